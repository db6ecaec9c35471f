//! Opens data sets: finds the cache of a path, or reads the files into a new one.

use super::cache::{Cache, Shelf};
use super::fill::fill;
use super::source::Source;
use super::{Dataset, LabelTexts, Vocabulary, capacity, label_texts, lines};
use crate::config::{self, Weighing};
use crate::error::{Error, Result};
use crate::machine::Limits;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// A training set with its validation set. See [`open`].
#[derive(Clone, Debug)]
pub struct Datasets {
    /// The training set.
    pub train: Dataset,
    /// The validation set.
    pub valid: Option<Dataset>,
    /// What the training set determines. Save it with the run.
    pub vocabulary: Vocabulary,
    /// The texts of the labels, if the options say where they are.
    pub label_texts: Option<LabelTexts>,
}

/// Reads a training set, and perhaps a validation set, each into a cache file in the folder `cache`. The folder is made
/// if needed. Caches of the same data and options are reused.
///
/// A path names a file (plain, gzip or zstd), or the two files of a pair with a comma between them: arrays
/// (`features.npz,labels.npz`), or files of the extreme-classification repository (`trn_X_Xf.txt,trn_X_Y.txt`).
///
/// # Errors
///
/// If a file cannot be read or is faulty (the error has name, line and byte of the first fault), if no training sample
/// is left, if the ids ask for more memory than this machine has, or if an option is out of range.
///
/// ```
/// use hotrow::{config::Data, data::{self, Batch, Samples}};
/// let folder = tempfile::tempdir()?;
/// let train = folder.path().join("train.txt");
/// std::fs::write(&train, "2 5 3\n0,2 1:0.5 4:1\n1 0:2\n")?;
/// let sets = data::open(train.to_str().unwrap(), None, &Data::default(), &folder.path().join("cache"))?;
/// let mut batch = Batch::new(sets.train.features());
/// sets.train.read(1, &mut batch);
/// assert_eq!((batch.labels.row(0), batch.features.row(0).values()), (&[1][..], &[2.0][..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn open<P: AsRef<OsStr> + ?Sized>(
    train: &P,
    valid: Option<&P>,
    config: &config::Data,
    cache: &Path,
) -> Result<Datasets> {
    open_on(train.as_ref(), valid.map(AsRef::as_ref), config, Shelf::Kept(cache))
}

/// As [`open`], but keeps nothing. Parsed data goes to unnamed files in the folder `scratch`. Their room is free again
/// when the sets are dropped or the program is killed.
///
/// ```
/// use hotrow::{config::Data, data::{self, Samples}};
/// let folder = tempfile::tempdir()?;
/// let train = folder.path().join("train.svm");
/// std::fs::write(&train, "0,2 1:0.5 4:1\n1 0:2\n")?;
/// let sets = data::open_unkept(&train, None, &Data::default(), folder.path())?;
/// assert_eq!((sets.train.len(), std::fs::read_dir(folder.path())?.count()), (2, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// As [`open`].
pub fn open_unkept<P: AsRef<OsStr> + ?Sized>(
    train: &P,
    valid: Option<&P>,
    config: &config::Data,
    scratch: &Path,
) -> Result<Datasets> {
    open_on(train.as_ref(), valid.map(AsRef::as_ref), config, Shelf::Passing { existing: None, scratch: &[scratch] })
}

/// As [`open_unkept`], but reuses the caches in the folder `cache`. Parsed data goes to the folder `scratch`, or to the
/// system's folder for temporary files.
pub(crate) fn open_from<P: AsRef<OsStr> + ?Sized>(
    train: &P,
    valid: Option<&P>,
    config: &config::Data,
    cache: &Path,
    scratch: &Path,
) -> Result<Datasets> {
    let scratch = [scratch, &std::env::temp_dir()];
    let shelf = Shelf::Passing { existing: Some(cache), scratch: &scratch };
    open_on(train.as_ref(), valid.map(AsRef::as_ref), config, shelf)
}

fn open_on(train: &OsStr, valid: Option<&OsStr>, config: &config::Data, shelf: Shelf) -> Result<Datasets> {
    let source = Source::find(train, config, None)?;
    let config = &config.resolved(source.is_text(), source.bytes());
    let weighs = config.tf_idf == Weighing::On;
    let samples = Arc::new(cached(&source, config, None, shelf)?);
    capacity::check(&source.paths[0], &samples.meta.summary, weighs, &Limits::read())?;
    let frequencies = weighs.then(|| document_frequencies(&samples));
    let dimensions = (samples.features(), samples.labels());
    let names = samples.meta.names.clone();
    let count = samples.len() as u64;
    let vocabulary = Vocabulary::new(config, source.format, dimensions, names, count, frequencies);
    let (vocabulary, label_texts) = label_texts::find(vocabulary)?;
    let valid = valid.map(|path| with_vocabulary(path, &vocabulary, shelf)).transpose()?;
    Ok(Datasets { train: Dataset::new(samples, &vocabulary, &source.paths[0]), valid, vocabulary, label_texts })
}

pub(crate) fn with_vocabulary(path: &OsStr, vocabulary: &Vocabulary, shelf: Shelf) -> Result<Dataset> {
    let source = Source::find(path, vocabulary.options(), Some(vocabulary.format()))?;
    if source.is_text() != super::source::is_text(vocabulary.format()) {
        let message = format!("is {:?}, but the training set was {:?}", source.format, vocabulary.format());
        return Err(Error::data(path, 0, 0, message));
    }
    let samples = cached(&source, vocabulary.options(), Some(vocabulary), shelf)?;
    Ok(Dataset::new(Arc::new(samples), vocabulary, &source.paths[0]))
}

/// The number of samples that each feature occurs in.
fn document_frequencies(samples: &Cache) -> Vec<u32> {
    let mut frequencies = vec![0; samples.features()];
    for sample in 0..samples.len() {
        samples.get(sample).indices.iter().for_each(|&index| frequencies[index as usize] += 1);
    }
    frequencies
}

fn cached(source: &Source, config: &config::Data, vocabulary: Option<&Vocabulary>, shelf: Shelf) -> Result<Cache> {
    let identity = source.identity()?;
    // TF-IDF and normalisation are computed when a sample is read, so they need no cache of their own. Nor do texts of labels, which
    // samples do not depend on.
    let options = config::Data {
        format: source.format,
        tf_idf: Weighing::Off,
        normalize: false,
        label_texts: String::new(),
        ..config.clone()
    };
    let known = vocabulary.map(|known| (known.features(), known.labels(), digest(&known.names())));
    let paths: Vec<_> = identity.iter().map(|file| &file.path).collect();
    let name = digest(&(paths, &options, known));
    let key = xxh3_128(&json(&(&identity, &options, known)));
    if let Some(cache) = shelf.find(name, key) {
        return Ok(cache);
    }
    let mut writer = shelf.writer(name, key)?;
    let names = fill(&source.inputs(), source.format, &options, vocabulary, &mut writer)?;
    lines::not_empty(&source.paths[0], writer.summary())?;
    writer.finish(names)
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("names and numbers")
}

fn digest(value: &impl serde::Serialize) -> u64 {
    xxh3_64(&json(value))
}
