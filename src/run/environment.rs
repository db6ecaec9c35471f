//! The environment of a run, for whoever wants to repeat it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::kernels::Level;
use crate::machine::Machine;
use crate::provenance;

/// The contents of `env.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Version of this structure.
    pub schema: u32,
    /// Version of hotrow.
    pub version: String,
    /// Commit of hotrow.
    pub commit: String,
    /// The compiler.
    pub rustc: String,
    /// The target triple.
    pub target: String,
    /// CPU, cores, caches, memory.
    #[serde(flatten)]
    pub machine: Machine,
    /// The instruction set at the start.
    pub level: String,
    /// The instruction sets of later resumptions, in order, where another was allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub later_levels: Vec<String>,
    /// Threads in use.
    pub threads: usize,
    /// The seed.
    pub seed: u64,
    /// The command line.
    pub command: Vec<String>,
    /// The inputs of the run by purpose (`train`, `valid`), as absolute paths. A resumed run reads them again.
    #[serde(with = "paths")]
    pub inputs: BTreeMap<String, PathBuf>,
    /// The start, in seconds since 1970.
    pub started: u64,
}

impl Environment {
    /// The environment of this machine and build. `inputs` are made absolute. One with commas that is no file may be a
    /// pair (`features.npz,labels.npz`).
    ///
    /// ```
    /// use hotrow::{kernels::Level, run::Environment};
    /// let inputs = [("train".into(), "train.txt".into())].into();
    /// let environment = Environment::read(Level::PORTABLE, 2, 7, vec!["hotrow".into()], inputs);
    /// assert_eq!((environment.level.as_str(), environment.threads), ("portable", 2));
    /// assert!(environment.inputs["train"].is_absolute() && environment.inputs["train"].ends_with("train.txt"));
    /// ```
    pub fn read(
        level: Level,
        threads: usize,
        seed: u64,
        command: Vec<String>,
        inputs: BTreeMap<String, PathBuf>,
    ) -> Environment {
        Environment {
            schema: 1,
            version: provenance::VERSION.to_owned(),
            commit: provenance::COMMIT.to_owned(),
            rustc: provenance::RUSTC.to_owned(),
            target: provenance::TARGET.to_owned(),
            machine: Machine::read(),
            level: level.name().to_owned(),
            later_levels: Vec::new(),
            threads,
            seed,
            command,
            inputs: inputs.into_iter().map(|(name, path)| (name, absolute(&path))).collect(),
            started: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
        }
    }

    /// The latest instruction set of the run.
    pub fn last_level(&self) -> &str {
        self.later_levels.last().unwrap_or(&self.level)
    }

    /// Records what a resumed run changes: its level, and inputs that have moved. Returns whether anything changed.
    pub(crate) fn record_resume<'a>(
        &mut self,
        level: Level,
        moved: impl IntoIterator<Item = (&'a str, Option<&'a Path>)>,
    ) -> bool {
        let before = self.clone();
        if self.last_level() != level.name() {
            self.later_levels.push(level.name().to_owned());
        }
        self.set_inputs(moved);
        *self != before
    }

    /// Replaces the inputs that have moved, made absolute.
    fn set_inputs<'a>(&mut self, inputs: impl IntoIterator<Item = (&'a str, Option<&'a Path>)>) {
        let named = inputs.into_iter().filter_map(|(name, path)| Some((name.to_owned(), absolute(path?))));
        self.inputs.extend(named);
    }
}

/// The absolute path; of a pair, both.
fn absolute(path: &Path) -> PathBuf {
    let one = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if path.exists() {
        return one(path);
    }
    let bytes = path.as_os_str().as_bytes();
    let commas = (0..bytes.len()).filter(|&at| bytes[at] == b',');
    let pairs = commas.map(|at| [&bytes[..at], &bytes[at + 1..]].map(|part| Path::new(OsStr::from_bytes(part))));
    // A comma may be part of a name, so the pair is cut where both files exist.
    match pairs.into_iter().find(|pair| pair.iter().all(|path| path.exists())) {
        Some([first, second]) => {
            let mut both = one(first).into_os_string();
            both.push(",");
            both.push(one(second));
            both.into()
        }
        None => one(path),
    }
}

/// Paths as text. A path that is not UTF-8 is a list of its bytes.
mod paths {
    use super::{BTreeMap, OsStr, OsStrExt, PathBuf};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Stored {
        Text(String),
        Bytes(Vec<u8>),
    }

    pub fn serialize<S: Serializer>(paths: &BTreeMap<String, PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
        let stored = |path: &PathBuf| match path.to_str() {
            Some(text) => Stored::Text(text.to_owned()),
            None => Stored::Bytes(path.as_os_str().as_bytes().to_vec()),
        };
        serializer.collect_map(paths.iter().map(|(name, path)| (name, stored(path))))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, PathBuf>, D::Error> {
        let stored = BTreeMap::<String, Stored>::deserialize(deserializer)?;
        let path = |stored| match stored {
            Stored::Text(text) => PathBuf::from(text),
            Stored::Bytes(bytes) => PathBuf::from(OsStr::from_bytes(&bytes)),
        };
        Ok(stored.into_iter().map(|(name, stored)| (name, path(stored))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(inputs: BTreeMap<String, PathBuf>) -> Environment {
        Environment::read(Level::PORTABLE, 1, 7, Vec::new(), inputs)
    }

    #[test]
    fn inputs_are_one_path_or_two_with_commas_in_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        std::fs::create_dir(place("a,b")).unwrap();
        let [odd, x, y] = [place("a,b.txt"), place("a,b/x.npz"), place("a,b/y.npz")];
        [&odd, &x, &y].iter().for_each(|path| std::fs::write(path, "").unwrap());
        let pair = PathBuf::from(format!("{}/./,{}", x.display(), y.display()).replace("/./,", ","));
        let inputs = [("train".into(), pair.clone()), ("valid".into(), odd.clone())].into();
        let environment = environment(inputs);
        assert_eq!((&environment.inputs["train"], &environment.inputs["valid"]), (&pair, &odd));
    }

    #[test]
    fn a_path_that_is_no_utf8_comes_back_to_the_byte() {
        let path = PathBuf::from(OsStr::from_bytes(b"/data/caf\xe9.svm"));
        let written = environment([("train".into(), path.clone()), ("valid".into(), "/data/v".into())].into());
        let json = serde_json::to_string(&written).unwrap();
        assert!(json.contains("\"valid\":\"/data/v\""), "{json}");
        assert_eq!(serde_json::from_str::<Environment>(&json).unwrap(), written);
    }
}
