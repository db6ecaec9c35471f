//! From paths to data sets: finds the cache, or reads the files into a new one.

use super::cache::{Cache, Shelf};
use super::ids::{self, IdParser};
use super::input::Input;
use super::lines::{self, Fault, first_line, for_each_block};
use super::records::{Records, Scratch};
use super::samples::{Limits, Policy};
use super::sink::Sink;
use super::source::Source;
use super::text::Featurizer;
use super::text_lines::{Census, Columns, Labels, TextParser};
use super::{Dataset, Vocabulary, npz};
use crate::config::{self, Format};
use crate::error::{Error, Result};
use std::path::Path;
use std::sync::Arc;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// What is trained on, and what it is measured on in between: see [`open`].
#[derive(Clone, Debug)]
pub struct Datasets {
    /// The training set.
    pub train: Dataset,
    /// The validation set.
    pub valid: Option<Dataset>,
    /// What the training set decides; to be saved with the run.
    pub vocabulary: Vocabulary,
}

/// Reads a training set, and perhaps a validation set, each into a cache file in the folder `cache` (made if need be).
/// Files that are there already and belong to the same data and options are used as they are.
///
/// A path names a text file (plain, gzip or zstd), or two arrays as `features.npz,labels.npz`.
///
/// # Errors
///
/// If a file cannot be read or is faulty (then its name, line and byte are told, of the first fault), no training sample
/// is left, or an option cannot be.
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
pub fn open(train: &str, valid: Option<&str>, config: &config::Data, cache: &Path) -> Result<Datasets> {
    open_on(train, valid, config, Shelf::Kept(cache))
}

/// As [`open`], but nothing stays: parsed data goes to files without a name in the folder `scratch`, whose room is free again when
/// the sets are dropped, or the program is killed.
///
/// ```
/// use hotrow::{config::Data, data::{self, Samples}};
/// let folder = tempfile::tempdir()?;
/// let train = folder.path().join("train.svm");
/// std::fs::write(&train, "0,2 1:0.5 4:1\n1 0:2\n")?;
/// let sets = data::open_unkept(train.to_str().unwrap(), None, &Data::default(), folder.path())?;
/// assert_eq!((sets.train.len(), std::fs::read_dir(folder.path())?.count()), (2, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// As [`open`].
pub fn open_unkept(train: &str, valid: Option<&str>, config: &config::Data, scratch: &Path) -> Result<Datasets> {
    open_on(train, valid, config, Shelf::Passing { look: None, scratch: &[scratch] })
}

fn open_on(train: &str, valid: Option<&str>, config: &config::Data, shelf: Shelf) -> Result<Datasets> {
    let source = Source::find(train, config.format)?;
    let samples = Arc::new(cached(&source, config, None, shelf)?);
    let frequencies = config.tf_idf.then(|| document_frequencies(&samples));
    let dimensions = (samples.features(), samples.labels());
    let names = samples.meta.names.clone();
    let count = samples.len() as u64;
    let vocabulary = Vocabulary::new(config, source.format, dimensions, names, count, frequencies);
    let valid = valid.map(|path| with_vocabulary(path, &vocabulary, shelf)).transpose()?;
    Ok(Datasets { train: Dataset::new(samples, &vocabulary, &source.paths[0]), valid, vocabulary })
}

pub(crate) fn with_vocabulary(path: &str, vocabulary: &Vocabulary, shelf: Shelf) -> Result<Dataset> {
    let source = Source::find(path, vocabulary.options().format)?;
    if source.is_text() != super::source::is_text(vocabulary.format()) {
        let message = format!("is {:?}, but the training set was {:?}", source.format, vocabulary.format());
        return Err(Error::data(path, 0, 0, message));
    }
    let samples = cached(&source, vocabulary.options(), Some(vocabulary), shelf)?;
    Ok(Dataset::new(Arc::new(samples), vocabulary, &source.paths[0]))
}

/// In how many samples each feature occurs.
fn document_frequencies(samples: &Cache) -> Vec<u32> {
    let mut frequencies = vec![0; samples.features()];
    for sample in 0..samples.len() {
        samples.get(sample).indices.iter().for_each(|&index| frequencies[index as usize] += 1);
    }
    frequencies
}

fn cached(source: &Source, config: &config::Data, vocabulary: Option<&Vocabulary>, shelf: Shelf) -> Result<Cache> {
    let identity = source.identity()?;
    // TF-IDF and normalisation are worked out when a sample is read: they do not make another cache.
    let options = config::Data { format: source.format, tf_idf: false, normalize: false, ..config.clone() };
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

/// Reads the files of `format` into `sink`; returns the names of the labels if they are learnt here.
pub(crate) fn fill(
    inputs: &[Input],
    format: Format,
    config: &config::Data,
    vocabulary: Option<&Vocabulary>,
    sink: &mut impl Sink,
) -> Result<Option<Vec<String>>> {
    let policy = vocabulary.map_or(Policy::from(config.unlabelled), |_| Policy::Keep);
    match format {
        Format::Npz => npz::fill(inputs, policy, vocabulary, sink).map(|()| None),
        Format::Tsv | Format::Jsonl => {
            let columns = Columns::new(format, config)?;
            fill_text(inputs[0], columns, config, policy, vocabulary, sink)
        }
        Format::Xc => fill_xc(inputs[0], policy, vocabulary, sink).map(|()| None),
        _ => {
            let limits = vocabulary.map_or(Limits::NONE, Vocabulary::limits);
            let parser = IdParser { limits, policy, comments: true };
            stream(inputs[0], 0, |line, scratch, out| parser.line(line, scratch, out), sink)?;
            dimensions(vocabulary, sink, None);
            Ok(None)
        }
    }
}

/// Parses every line but the first `skip`.
fn stream(
    input: Input,
    skip: usize,
    parse: impl Fn(&[u8], &mut Scratch, &mut Records) -> Result<(), Fault> + Sync,
    sink: &mut impl Sink,
) -> Result<u64> {
    let parse_block = |block: &[u8], start: u64| {
        let (mut scratch, mut out, mut count) = (Scratch::default(), Records::default(), 0);
        for (at, line) in lines::lines(block).enumerate().skip(if start == 0 { skip } else { 0 }) {
            parse(line, &mut scratch, &mut out).map_err(|fault| Fault { line: at as u64, ..fault })?;
            count += 1;
        }
        Ok((out, count))
    };
    let mut total = 0;
    for_each_block(input, parse_block, |(records, count)| {
        total += count;
        sink.append(&records)
    })?;
    Ok(total)
}

fn fill_xc(input: Input, policy: Policy, vocabulary: Option<&Vocabulary>, sink: &mut impl Sink) -> Result<()> {
    let line = first_line(input)?;
    let bad = |message: String| Error::data(input.path(), 1, 1, message);
    let found = ids::header(&line);
    let Some([samples, features, labels]) = found else {
        return Err(bad("the header `samples features labels` is missing".into()));
    };
    let limits = vocabulary.map_or(Limits::NONE, Vocabulary::limits);
    for (what, number, limit) in [("features", features, limits.features), ("labels", labels, limits.labels)] {
        if number > limit {
            return Err(bad(format!("{number} {what} are more than {limit}")));
        }
    }
    let parser = IdParser { limits: Limits { features, labels, drop: false }, policy, comments: false };
    let found = stream(input, 1, |line, scratch, out| parser.line(line, scratch, out), sink)?;
    if found != samples {
        return Err(bad(format!("the header says {samples} samples, the file has {found}")));
    }
    dimensions(vocabulary, sink, Some((features, labels)));
    Ok(())
}

fn fill_text(
    input: Input,
    columns: Columns,
    config: &config::Data,
    policy: Policy,
    vocabulary: Option<&Vocabulary>,
    sink: &mut impl Sink,
) -> Result<Option<Vec<String>>> {
    let featurizer = Featurizer::new(config)?;
    let (parser, names) = match vocabulary {
        Some(vocabulary) => (vocabulary.text_parser(columns)?, None),
        None => {
            let names = census(input, &columns)?;
            let labels = match &names {
                Some(names) => Labels::Names(Arc::new(
                    names.iter().enumerate().map(|(id, name)| (name.clone(), id as u32)).collect(),
                )),
                None => Labels::Ids,
            };
            (TextParser { columns, featurizer, labels, limits: Limits::NONE, policy }, names)
        }
    };
    stream(input, 0, |line, scratch, out| parser.line(line, scratch, out), sink)?;
    let known = (config.hash_size as u64, names.as_ref().map_or(0, |names| names.len() as u64));
    dimensions(vocabulary, sink, Some(known));
    Ok(names)
}

/// The names of the labels, if they are not numbers.
fn census(input: Input, columns: &Columns) -> Result<Option<Vec<String>>> {
    let count_block = |block: &[u8], _| {
        let mut census = Census::default();
        for (at, line) in lines::lines(block).enumerate() {
            census.line(columns, line).map_err(|fault| Fault { line: at as u64, ..fault })?;
        }
        Ok(census)
    };
    let mut total = Census::default();
    for_each_block(input, count_block, |census| {
        total.add(census);
        Ok(())
    })?;
    Ok(total.names())
}

/// Sets the dimensions: the training set's, else those `known` beforehand, else what was seen.
pub(crate) fn dimensions(vocabulary: Option<&Vocabulary>, sink: &mut impl Sink, known: Option<(u64, u64)>) {
    let summary = sink.summary();
    let (features, labels) = match (vocabulary, known) {
        (Some(vocabulary), _) => (vocabulary.features() as u64, vocabulary.labels() as u64),
        (None, Some(known)) => known,
        (None, None) => (0, 0),
    };
    summary.features = summary.features.max(features);
    summary.labels = summary.labels.max(labels);
}
