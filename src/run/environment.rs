//! What a run was started with, for whoever wants to repeat it.

use std::collections::BTreeMap;
use std::path::PathBuf;
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
    /// The instruction set in use.
    pub level: String,
    /// Threads in use.
    pub threads: usize,
    /// The seed.
    pub seed: u64,
    /// The command line.
    pub command: Vec<String>,
    /// Files that the run reads, absolute, by what they are (`train`, `valid`): a resumed run reads them again.
    pub inputs: BTreeMap<String, PathBuf>,
    /// Seconds since 1970 at the start.
    pub started: u64,
}

impl Environment {
    /// Of this machine and this build. `inputs` are made absolute.
    ///
    /// ```
    /// use hotrow::{kernels::Level, run::Environment};
    /// let inputs = [("train".to_owned(), "train.txt".into())].into();
    /// let environment = Environment::read(Level::PORTABLE, 2, 7, vec!["hotrow".into()], inputs);
    /// assert_eq!((environment.level.as_str(), environment.threads), ("portable", 2));
    /// assert!(environment.inputs["train"].is_absolute());
    /// ```
    pub fn read(
        level: Level,
        threads: usize,
        seed: u64,
        command: Vec<String>,
        inputs: BTreeMap<String, PathBuf>,
    ) -> Environment {
        let absolute = |(name, path): (String, PathBuf)| {
            let path = std::path::absolute(&path).unwrap_or(path);
            (name, path)
        };
        Environment {
            schema: 1,
            version: provenance::VERSION.to_owned(),
            commit: provenance::COMMIT.to_owned(),
            rustc: provenance::RUSTC.to_owned(),
            target: provenance::TARGET.to_owned(),
            machine: Machine::read(),
            level: level.name().to_owned(),
            threads,
            seed,
            command,
            inputs: inputs.into_iter().map(absolute).collect(),
            started: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
        }
    }
}
