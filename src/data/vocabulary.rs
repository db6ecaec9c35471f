//! What the training set determines, so that other files are read in the same way.

use super::cache::Shelf;
use super::ids::IdParser;
use super::lines::Fault;
use super::records::{Records, Scratch};
use super::samples::{Limits, Policy};
use super::source::is_text;
use super::text::Featurizer;
use super::text_lines::{Columns, Labels, TextParser};
use super::weighting::Weighting;
use super::{Batch, Dataset};
use crate::config::{self, Format};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

/// Raise it for a new key of the options whose default differs from what was done before.
const VERSION: u32 = 2;

/// The contents of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    version: u32,
    options: config::Data,
    /// The training file's format, if the options say `auto`.
    format: Format,
    features: u64,
    labels: u64,
    names: Option<Vec<String>>,
    /// The number of training samples, and of those with each feature.
    samples: u64,
    frequencies: Option<Vec<u32>>,
}

/// What the training set determines: dimensions, names of labels, weights of features, and the options it was read
/// with.
///
/// It is saved with a run ([`Vocabulary::save`]) and reads every later file of that run ([`Vocabulary::open`]).
///
/// ```
/// use hotrow::{config::Data, data::{self, Vocabulary}};
/// let folder = tempfile::tempdir()?;
/// let (train, saved) = (folder.path().join("train.tsv"), folder.path().join("vocabulary.json"));
/// std::fs::write(&train, "hot rows\tfig,pear\ncold rows\tfig\n")?;
/// let config = Data { text: "1".into(), label: "2".into(), tf_idf: true.into(), ..Data::default() };
/// data::open(train.to_str().unwrap(), None, &config, folder.path())?.vocabulary.save(&saved)?;
///
/// let vocabulary = Vocabulary::load(&saved)?;
/// assert_eq!(vocabulary.names().unwrap(), ["fig", "pear"]);
/// assert_eq!(vocabulary.features(), config.hash_size);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Vocabulary {
    saved: Saved,
    ids: Arc<HashMap<String, u32>>,
    weighting: Weighting,
}

impl Vocabulary {
    pub(crate) fn new(
        options: &config::Data,
        format: Format,
        (features, labels): (usize, usize),
        names: Option<Vec<String>>,
        samples: u64,
        frequencies: Option<Vec<u32>>,
    ) -> Self {
        Self::from_saved(Saved {
            version: VERSION,
            options: options.clone(),
            format,
            features: features as u64,
            labels: labels as u64,
            names,
            samples,
            frequencies,
        })
    }

    fn from_saved(saved: Saved) -> Self {
        let names = saved.names.iter().flatten();
        let ids = Arc::new(names.enumerate().map(|(id, name)| (name.clone(), id as u32)).collect());
        let weighting = Weighting::new(saved.samples, saved.frequencies.as_deref(), saved.options.normalize);
        Self { saved, ids, weighting }
    }

    /// Length of the feature vectors.
    pub fn features(&self) -> usize {
        self.saved.features as usize
    }

    /// Number of labels.
    pub fn labels(&self) -> usize {
        self.saved.labels as usize
    }

    /// The options that the training set was read with.
    pub fn options(&self) -> &config::Data {
        &self.saved.options
    }

    /// The same, but up to `lines` faulty lines of each later file are skipped (see `data.skip_bad`).
    pub fn with_skip_bad(mut self, lines: u64) -> Self {
        self.saved.options.skip_bad = lines;
        self
    }

    /// The same with further labels, which no training sample has.
    pub(crate) fn with_labels(self, labels: usize, names: Option<Vec<String>>) -> Self {
        Self::from_saved(Saved { labels: labels as u64, names, ..self.saved })
    }

    /// The names of the labels by id, if the training set names them.
    pub fn names(&self) -> Option<&[String]> {
        self.saved.names.as_deref()
    }

    /// The name of label `label`, or its number if it has none.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("train.tsv");
    /// # std::fs::write(&path, "hot rows\tfig,pear\ncold rows\tfig\n")?;
    /// # let config = hotrow::config::Data { text: "1".into(), label: "2".into(), ..Default::default() };
    /// # let sets = hotrow::data::open(path.to_str().unwrap(), None, &config, folder.path())?;
    /// # let vocabulary = sets.vocabulary;
    /// assert_eq!((vocabulary.name(1), vocabulary.name(7)), ("pear".into(), "7".into()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn name(&self, label: u32) -> String {
        let name = self.names().and_then(|names| names.get(label as usize));
        name.cloned().unwrap_or_else(|| label.to_string())
    }

    pub(crate) fn weighting(&self) -> &Weighting {
        &self.weighting
    }

    pub(crate) fn format(&self) -> Format {
        self.saved.format
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits::known(self.saved.features, self.saved.labels)
    }

    pub(crate) fn label_ids(&self) -> Labels {
        match self.saved.names {
            Some(_) => Labels::Names(Arc::clone(&self.ids)),
            None => Labels::Ids { canonical: self.saved.options.labels == config::Labels::Auto },
        }
    }

    /// Reads another file in the way of the training set. Samples without a label are kept. Features that the training
    /// set lacks are left out and counted. Labels that it lacks are counted for each sample ([`Batch::unseen_of`]), so
    /// that they count as missed.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or is faulty.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("train.tsv");
    /// # std::fs::write(&path, "hot rows\tfig,pear\ncold rows\tfig\n")?;
    /// # let config = hotrow::config::Data { text: "1".into(), label: "2".into(), ..Default::default() };
    /// # let sets = hotrow::data::open(path.to_str().unwrap(), None, &config, folder.path())?;
    /// # let vocabulary = sets.vocabulary;
    /// use hotrow::data::Samples;
    /// let valid = folder.path().join("valid.tsv");
    /// std::fs::write(&valid, "hot\tplum,pear\n")?;
    /// let valid = vocabulary.open(valid.to_str().unwrap(), folder.path())?;
    /// assert_eq!((valid.len(), valid.labels_of(0), valid.summary().unknown_labels), (1, &[1][..], 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(&self, path: &(impl AsRef<OsStr> + ?Sized), cache: &Path) -> Result<Dataset> {
        super::open::with_vocabulary(path.as_ref(), self, Shelf::Kept(cache))
    }

    /// As [`open`](Self::open), but keeps nothing. It reuses a cache in the folder `kept`, and makes none. Parsed data
    /// goes to an unnamed file beside that folder, or in the system's folder for temporary files.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_unkept(&self, path: &(impl AsRef<OsStr> + ?Sized), kept: &Path) -> Result<Dataset> {
        let scratch = [crate::files::parent(kept), &std::env::temp_dir()];
        super::open::with_vocabulary(path.as_ref(), self, Shelf::Passing { existing: Some(kept), scratch: &scratch })
    }

    /// Adds the sample of one line, in the format of the training set, to `batch`. It needs no label. An empty line
    /// adds nothing, if the format skips those.
    ///
    /// # Errors
    ///
    /// If the line is faulty, or the training set had no lines.
    ///
    /// # Panics
    ///
    /// If the vectors of `batch` are of another length than the training set's.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("train.tsv");
    /// # std::fs::write(&path, "hot rows\tfig,pear\ncold rows\tfig\n")?;
    /// # let config = hotrow::config::Data { text: "1".into(), label: "2".into(), ..Default::default() };
    /// # let sets = hotrow::data::open(path.to_str().unwrap(), None, &config, folder.path())?;
    /// # let vocabulary = sets.vocabulary;
    /// let mut batch = hotrow::data::Batch::new(vocabulary.features());
    /// vocabulary.push_line("hot\tpear", &mut batch)?;
    /// assert_eq!(batch.labels.row(0), &[1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn push_line(&self, line: &str, batch: &mut Batch) -> Result<()> {
        let (mut scratch, mut out) = (Scratch::default(), Records::default());
        let line = line.trim_end_matches(['\r', '\n']);
        let fault = |fault: Fault| Error::data("input", 1, fault.column, fault.message);
        match self.format() {
            Format::Npz => return Err(Error::config("data.format", "the training set has arrays, not lines")),
            format if is_text(format) => {
                let columns = Columns::new(format, self.options())?;
                let policy = if columns.has_labels(line) { Policy::Keep } else { Policy::Ignore };
                self.text_parser(columns, policy)?.line(line.as_bytes(), &mut scratch, &mut out).map_err(fault)?;
            }
            format => {
                let comments = format == Format::Svmlight;
                let parser = IdParser { limits: self.limits(), policy: Policy::Keep, comments };
                parser.line(line.as_bytes(), &mut scratch, &mut out).map_err(fault)?;
            }
        }
        for at in 0..out.len() {
            self.weighting.push(out.get(at), batch);
        }
        Ok(())
    }

    /// Adds a sample of this text, without labels, to `batch`.
    ///
    /// # Errors
    ///
    /// If the training set was no text.
    ///
    /// # Panics
    ///
    /// If the vectors of `batch` are of another length than the training set's.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("train.tsv");
    /// # std::fs::write(&path, "hot rows\tfig,pear\ncold rows\tfig\n")?;
    /// # let config = hotrow::config::Data { text: "1".into(), label: "2".into(), ..Default::default() };
    /// # let sets = hotrow::data::open(path.to_str().unwrap(), None, &config, folder.path())?;
    /// # let vocabulary = sets.vocabulary;
    /// let mut batch = hotrow::data::Batch::new(vocabulary.features());
    /// vocabulary.push_text("Hot and cold", &mut batch)?;
    /// assert_eq!(batch.features.nnz(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn push_text(&self, text: &str, batch: &mut Batch) -> Result<()> {
        if !is_text(self.format()) {
            return Err(Error::config("data.format", "the training set has features, not text"));
        }
        let (mut scratch, mut out) = (Scratch::default(), Records::default());
        Featurizer::new(self.options())?.features(text, &mut scratch);
        out.push(&[], 0, &scratch.features);
        self.weighting.push(out.get(0), batch);
        Ok(())
    }

    pub(crate) fn text_parser(&self, columns: Columns, policy: Policy) -> Result<TextParser> {
        let featurizer = Featurizer::new(self.options())?;
        Ok(TextParser { columns, featurizer, labels: self.label_ids(), limits: self.limits(), policy })
    }

    /// The bytes that [`save`](Self::save) writes.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(&self.saved).expect("names and numbers are JSON")
    }

    /// Writes it to a JSON file. An interrupted call leaves no part of the file.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("train.tsv");
    /// # std::fs::write(&path, "hot rows\tfig,pear\ncold rows\tfig\n")?;
    /// # let config = hotrow::config::Data { text: "1".into(), label: "2".into(), ..Default::default() };
    /// # let sets = hotrow::data::open(path.to_str().unwrap(), None, &config, folder.path())?;
    /// # let vocabulary = sets.vocabulary;
    /// vocabulary.save(&folder.path().join("vocabulary.json"))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn save(&self, path: &Path) -> Result<()> {
        crate::files::write(path, &self.to_json())
    }

    /// Reads what [`Vocabulary::save`] wrote.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or is no such file.
    ///
    /// ```
    /// use hotrow::{data::Vocabulary, error::Error};
    /// assert!(matches!(Vocabulary::load("no/such/file".as_ref()), Err(Error::Io { .. })));
    /// ```
    pub fn load(path: &Path) -> Result<Self> {
        Self::from_json(path, &crate::files::read(path)?)
    }

    /// Reads the bytes of [`to_json`](Self::to_json). Errors name `path`.
    pub(crate) fn from_json(path: &Path, bytes: &[u8]) -> Result<Self> {
        let bad = |message: String| Error::data(path, 0, 0, message);
        let mut saved: Saved = serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
        match saved.version {
            // Its options lack newer keys. Their defaults now are what was done then.
            1 => {
                saved.options.words = config::Words::Runs;
                saved.options.labels = if saved.names.is_some() { config::Labels::Names } else { config::Labels::Ids };
                saved.version = VERSION;
            }
            VERSION => {}
            version => return Err(bad(format!("vocabulary version {version} is not 1 or {VERSION}"))),
        }
        let text = is_text(saved.format);
        if text && saved.features != saved.options.hash_size as u64 {
            return Err(bad(format!("{} features of {} buckets", saved.features, saved.options.hash_size)));
        }
        if text {
            Featurizer::new(&saved.options)?;
        }
        let most = Limits::NONE;
        if saved.features > most.features || saved.labels > most.labels {
            return Err(bad(format!("{} features or {} labels are too many", saved.features, saved.labels)));
        }
        let lengths = [
            ("label names", saved.names.as_ref().map(Vec::len), saved.labels),
            ("feature frequencies", saved.frequencies.as_ref().map(Vec::len), saved.features),
        ];
        for (what, length, limit) in lengths {
            if length.is_some_and(|length| length as u64 != limit) {
                return Err(bad(format!("{} {what}, not {limit}", length.unwrap_or_default())));
            }
        }
        Ok(Self::from_saved(saved))
    }
}
