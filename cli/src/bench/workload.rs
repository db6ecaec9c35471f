//! Workload files: data with checksums, a configuration, its variants, seeds, and a target.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::keys;
use hotrow::config::lm::Lm;
use hotrow::config::{Config, Precision, Storage};
use hotrow::error::{Error, Result};
use hotrow::files;

/// The version of workload files and results.
pub const SCHEMA: u32 = 1;

/// The task of a workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Extreme classification.
    #[default]
    Xmc,
    /// A language model.
    Lm,
}

impl Task {
    /// Its name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Task::Xmc => "xmc",
            Task::Lm => "lm",
        }
    }
}

/// What may differ between the runs that are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Division {
    /// All engines share model, optimiser, batch, epochs and order of the data.
    #[default]
    Closed,
    /// Anything but data and target.
    Tuned,
}

/// The quality to reach.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// `p@1`, `ndcg@3`, `psp@5`, .., which must be at least `value`; or `loss`, `perplexity`, `bits_per_byte`, which
    /// must be at most `value`.
    pub metric: String,
    /// The number to reach.
    pub value: f64,
}

impl Target {
    /// Whether a metric of `value` reaches it.
    ///
    /// ```
    /// use hotrow_cli::bench::Target;
    /// assert!(Target { metric: "p@1".into(), value: 0.3 }.is_reached_by(0.31));
    /// assert!(!Target { metric: "loss".into(), value: 2.0 }.is_reached_by(2.1));
    /// ```
    pub fn is_reached_by(&self, value: f64) -> bool {
        if self.metric.contains('@') { value >= self.value } else { value <= self.value }
    }
}

/// Data files, relative to the root of the repository.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataFiles {
    /// The training file. Commas separate files that belong together.
    pub train: String,
    /// The validation file. It may be missing if `valid_share` names a part of `train`.
    #[serde(default)]
    pub valid: String,
    /// Language models: the share at the end of `train` that is for validation instead.
    #[serde(default)]
    pub valid_share: f64,
    /// Language models: the vocabulary of the tokenizer that is learnt from `train`.
    #[serde(default)]
    pub vocabulary: usize,
    /// Language models: the tokenizer to load instead.
    #[serde(default)]
    pub tokenizer: String,
    /// Language models: the field with a JSON object's text; `text` by default.
    #[serde(default)]
    pub field: String,
    /// The xxh3-128 of each file, as 32 hexadecimal digits.
    pub xxh3: BTreeMap<String, String>,
}

/// One way to run the workload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    /// Its name: letters, digits, `_`, `.` and `-`.
    pub name: String,
    /// Its division, if it differs from the file's.
    pub division: Option<Division>,
    /// Its changes to the configuration, as `section.key=value`.
    #[serde(default)]
    pub set: Vec<String>,
}

#[derive(Deserialize)]
struct File {
    schema: u32,
    name: String,
    #[serde(default)]
    title: String,
    task: Task,
    #[serde(default)]
    division: Division,
    seeds: Vec<u64>,
    target: Target,
    data: DataFiles,
    #[serde(default)]
    config: Table,
    variant: Vec<Variant>,
}

/// A workload: what to train, on what, and the target.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Its name, which is also its file's.
    pub name: String,
    /// A sentence about it.
    pub title: String,
    /// The task.
    pub task: Task,
    /// The division of variants without one.
    pub division: Division,
    /// The seeds. Each variant has a run with each of them.
    pub seeds: Vec<u64>,
    /// The target.
    pub target: Target,
    /// The data.
    pub data: DataFiles,
    /// The configuration that all variants share.
    pub config: Table,
    /// The variants.
    pub variants: Vec<Variant>,
    /// The xxh3-128 of the file, as 32 hexadecimal digits. Results with equal hashes are of the same workload.
    pub hash: String,
    /// The folder that the data's paths start from.
    pub root: PathBuf,
}

impl Workload {
    /// Reads a workload file and checks everything but the data. The root is the nearest folder above the file, or
    /// above the working folder, that has the first data file.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be read; [`Error::Config`] with the wrong key; [`Error::Data`] if its data is
    /// nowhere.
    ///
    /// ```
    /// let workload = hotrow_cli::bench::Workload::read("../benches/workloads/xmc-demo.toml".as_ref())?;
    /// assert_eq!((workload.name.as_str(), workload.variants[0].name.as_str()), ("xmc-demo", "dense"));
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn read(path: &Path) -> Result<Workload> {
        let bytes = files::read(path)?;
        let text = std::str::from_utf8(&bytes).map_err(|error| Error::data(path, 0, 0, error.to_string()))?;
        let wrong = |key: &str, message: String| Error::config(key, format!("{message} (in {})", path.display()));
        let syntax = |error: toml::de::Error| {
            let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
            Error::config(format!("{}:{line}", path.display()), error.message())
        };
        keys::check(path, &text.parse::<Table>().map_err(syntax)?)?;
        let File { schema, name, title, task, division, seeds, target, data, config, variant } =
            toml::from_str(text).map_err(syntax)?;
        if schema != SCHEMA {
            return Err(wrong("schema", format!("{schema} is not {SCHEMA}")));
        }
        if path.file_stem().and_then(|stem| stem.to_str()) != Some(&name) {
            return Err(wrong("name", format!("{name:?} is not the name of the file")));
        }
        if seeds.is_empty() || variant.is_empty() {
            return Err(wrong("seeds", "there has to be a seed, and a variant".to_owned()));
        }
        let known = |metric: &str| match (task, metric.split_once('@')) {
            (Task::Xmc, Some((name, k))) => {
                ["p", "ndcg", "psp", "recall"].contains(&name) && ["1", "3", "5"].contains(&k)
            }
            (Task::Lm, None) => ["loss", "perplexity", "bits_per_byte"].contains(&metric),
            _ => false,
        };
        if !known(&target.metric) {
            let names = match task {
                Task::Xmc => "p, ndcg, psp or recall at 1, 3 or 5, such as p@1",
                Task::Lm => "loss, perplexity or bits_per_byte",
            };
            return Err(wrong("target.metric", format!("{:?} is none of {names}", target.metric)));
        }
        let letters = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
        for (at, Variant { name, .. }) in variant.iter().enumerate() {
            if name.is_empty() || !letters(name) {
                return Err(wrong("variant.name", format!("{name:?} is not of letters, digits, _ . and -")));
            }
            if variant[..at].iter().any(|before| before.name == *name) {
                return Err(wrong("variant.name", format!("there are two called {name:?}")));
            }
        }
        let own = [data.vocabulary > 0, !data.tokenizer.is_empty()].iter().filter(|&&given| given).count();
        if (task == Task::Lm) != (own == 1) {
            let message = "text needs one of vocabulary and tokenizer, and nothing else does";
            return Err(wrong("data.vocabulary", message.to_owned()));
        }
        if data.valid.is_empty() != (task == Task::Lm && data.valid_share > 0.0) {
            return Err(wrong(
                "data.valid",
                "one of valid and (of text) valid_share says what is measured on".to_owned(),
            ));
        }
        let first = data.train.split(',').next().unwrap_or_default();
        let absolute = std::path::absolute(path).map_err(Error::io(path))?;
        let mut above = absolute.ancestors().skip(1).map(Path::to_owned).chain(std::env::current_dir());
        let Some(root) = above.find(|folder| folder.join(first).is_file()) else {
            return Err(Error::data(path, 0, 0, format!("no folder above has the data file {first}")));
        };
        let hash = digest(&bytes);
        let workload =
            Workload { name, title, task, division, seeds, target, data, config, variants: variant, hash, root };
        workload.check_configurations()?;
        Ok(workload)
    }

    /// The data files, relative to the root.
    fn files(&self) -> impl Iterator<Item = &str> {
        let DataFiles { train, valid, tokenizer, .. } = &self.data;
        [train, valid, tokenizer].into_iter().flat_map(|names| names.split(',')).filter(|name| !name.is_empty())
    }

    /// Compares each data file with its checksum.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] with both checksums if they differ; [`Error::Config`] if a file has none; [`Error::Io`] if it
    /// cannot be read.
    ///
    /// ```
    /// hotrow_cli::bench::Workload::read("../benches/workloads/xmc-demo.toml".as_ref())?.check_data()?;
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn check_data(&self) -> Result<()> {
        for name in self.files() {
            let path = self.root.join(name);
            let found = file_digest(&path)?;
            match self.data.xxh3.get(name) {
                Some(expected) if *expected == found => {}
                Some(expected) => {
                    let message = format!("xxh3-128 is not that of the workload: expected {expected}, found {found}");
                    return Err(Error::data(path, 0, 0, message));
                }
                None => return Err(Error::config("data.xxh3", format!("has no {name:?}; the file's is {found}"))),
            }
        }
        Ok(())
    }

    /// The configuration as a file for `--config`.
    pub(super) fn config_text(&self) -> String {
        toml::to_string(&self.config).expect("what was TOML is TOML")
    }

    /// The settings of a variant's run: its own changes, then the seed.
    pub(super) fn sets(&self, variant: &Variant, seed: u64) -> Vec<String> {
        variant.set.iter().cloned().chain([format!("train.seed={seed}")]).collect()
    }

    /// The division of a variant.
    pub(super) fn division_of(&self, variant: &Variant) -> Division {
        variant.division.unwrap_or(self.division)
    }

    /// Checks the configuration of every variant.
    fn check_configurations(&self) -> Result<()> {
        self.variants.iter().try_for_each(|variant| self.precision(variant).map(drop))
    }

    /// The precision of a variant: `bf16` if any factor of its products is.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if its configuration is invalid.
    pub(super) fn precision(&self, variant: &Variant) -> Result<&'static str> {
        let mut sets = Vec::new();
        for (section, keys) in &self.config {
            let Value::Table(keys) = keys else {
                return Err(Error::config(format!("config.{section}"), "is no section of keys"));
            };
            sets.extend(keys.iter().map(|(key, value)| format!("{section}.{key}={value}")));
        }
        sets.extend(self.sets(variant, self.seeds[0]));
        let f32 = match self.task {
            Task::Xmc => Config::load(None, &sets)
                .map(|config| (config.model.precision, config.model.storage) == (Precision::F32, Storage::F32)),
            Task::Lm => Lm::load(None, None, &sets).map(|config| config.model.precision == Precision::F32),
        };
        let naming_variant = |error| match error {
            Error::Config { key, message } => {
                Error::config(key, format!("{message} (workload {}, variant {})", self.name, variant.name))
            }
            error => error,
        };
        Ok(if f32.map_err(naming_variant)? { "f32" } else { "bf16" })
    }
}

/// The xxh3-128 of bytes, as 32 hexadecimal digits.
pub(super) fn digest(bytes: &[u8]) -> String {
    format!("{:032x}", xxh3_128(bytes))
}

/// The same for a file, piece by piece.
pub(super) fn file_digest(path: &Path) -> Result<String> {
    let mut file = files::open(path)?;
    let (mut hash, mut piece) = (Xxh3::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut piece).map_err(Error::io(path))? {
            0 => return Ok(format!("{:032x}", hash.digest128())),
            length => hash.update(&piece[..length]),
        }
    }
}
