//! What a run was started with, for whoever wants to repeat it.

use std::collections::BTreeMap;
use std::path::Path;
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
    /// What the run reads, by what it is (`train`, `valid`), with absolute paths: a resumed run reads it again.
    pub inputs: BTreeMap<String, String>,
    /// Seconds since 1970 at the start.
    pub started: u64,
}

impl Environment {
    /// Of this machine and this build. `inputs` are made absolute; one that is no file and has commas is several paths
    /// (`features.npz,labels.npz`).
    ///
    /// ```
    /// use hotrow::{kernels::Level, run::Environment};
    /// let inputs = [("train".into(), "train.txt".into())].into();
    /// let environment = Environment::read(Level::PORTABLE, 2, 7, vec!["hotrow".into()], inputs);
    /// assert_eq!((environment.level.as_str(), environment.threads), ("portable", 2));
    /// assert!(environment.inputs["train"].ends_with("/train.txt"));
    /// ```
    pub fn read(
        level: Level,
        threads: usize,
        seed: u64,
        command: Vec<String>,
        inputs: BTreeMap<String, String>,
    ) -> Environment {
        let several = |paths: &str| paths.split(',').map(absolute).collect::<Vec<_>>().join(",");
        let input = |paths: &str| if Path::new(paths).exists() { absolute(paths) } else { several(paths) };
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
            inputs: inputs.into_iter().map(|(name, paths)| (name, input(&paths))).collect(),
            started: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
        }
    }
}

fn absolute(path: &str) -> String {
    let absolute = std::path::absolute(path).ok().and_then(|path| path.into_os_string().into_string().ok());
    absolute.unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_one_path_or_several() {
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("a,b.txt").to_str().unwrap().to_owned();
        std::fs::write(&odd, "").unwrap();
        let inputs = [("train".into(), "x.npz,y.npz".into()), ("valid".into(), odd.clone())].into();
        let environment = Environment::read(Level::PORTABLE, 1, 7, Vec::new(), inputs);
        let here = std::env::current_dir().unwrap();
        let want = format!("{0}/x.npz,{0}/y.npz", here.display());
        assert_eq!((&environment.inputs["train"], &environment.inputs["valid"]), (&want, &odd));
    }
}
