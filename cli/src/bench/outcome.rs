//! The result of one run of any engine: the JSON that `bench run` and the rivals' harness write.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::workload::{Division, SCHEMA, Task};
use hotrow::error::{Error, Result};
use hotrow::files;
use hotrow::run::{Component, Flops, PhaseCost};

/// The kind of a result file.
pub const KIND: &str = "hotrow-bench-result";

/// A point of training: seconds since its start (with reading and evaluation), step, the target's metric on the
/// validation set, loss.
pub type CurvePoint = (f64, u64, Option<f64>, Option<f64>);

/// One run of a workload. Keys are added, never changed; readers ignore unknown ones.
///
/// ```
/// use hotrow_cli::bench::Outcome;
/// let outcome = Outcome { workload: "xmc-demo".into(), engine: "pytorch".into(), ..Outcome::default() };
/// let json = serde_json::to_string(&outcome).unwrap();
/// assert_eq!(serde_json::from_str::<Outcome>(&json).unwrap(), outcome);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// Version of the format.
    pub schema: u32,
    /// [`KIND`].
    pub kind: String,
    /// The workload's name.
    pub workload: String,
    /// The hash of its file.
    pub workload_hash: String,
    /// What was trained.
    pub task: Task,
    /// What may differ between engines.
    pub division: Division,
    /// The variant's name.
    pub variant: String,
    /// The program: `hotrow`, `pytorch`, ...
    pub engine: String,
    /// `cpu` or `cuda`.
    pub device: String,
    /// `f32` or `bf16`.
    pub precision: String,
    /// The seed.
    pub seed: u64,
    /// The run's position among those of one call, from 0. Runs of variants are interleaved.
    pub place: u64,
    /// Whether there were fewer than three seeds.
    pub runs_few: bool,
    /// The command that repeats it.
    pub command: Vec<String>,
    /// The start (UTC).
    pub started: String,
    /// The machine.
    pub machine: Host,
    /// Versions of the software.
    pub software: BTreeMap<String, String>,
    /// The xxh3-128 of each file that was made from the workload's data before the run.
    pub data: BTreeMap<String, String>,
    /// How the time was spent.
    pub seconds: Times,
    /// The points of training.
    pub curve: Vec<CurvePoint>,
    /// When it reached the target.
    pub target: Reached,
    /// The last evaluation.
    pub metrics: BTreeMap<String, f64>,
    /// Whether they cover only a part of the validation set.
    pub metrics_are_estimates: bool,
    /// Samples (sequences) per second of training.
    pub samples_per_second: f64,
    /// Tokens per second of training.
    pub tokens_per_second: Option<f64>,
    /// Floating-point operations of training.
    pub flops: Flops,
    /// The same by phase of a step.
    pub phases: BTreeMap<String, PhaseCost>,
    /// Bytes of weights and optimiser state read or written, estimated.
    pub bytes: u64,
    /// The mean share of the output layer's rows that a step computes.
    pub active_share: f64,
    /// The mean number of the output layer's rows that a step computes.
    pub union_rows: f64,
    /// The most main memory used at once, in bytes.
    pub peak_memory_bytes: u64,
    /// Energy of the machine during the run.
    pub energy: Energy,
    /// The cost of the machine during the run.
    pub cost: Cost,
    /// The number of trained parameters.
    pub parameters: u64,
    /// Steps of the optimiser.
    pub steps: u64,
    /// The digest of all weights at the end.
    pub digest: String,
    /// `reached`, `not converged` or `diverged`.
    pub status: String,
    /// How the network's memory is divided.
    pub components: Vec<Component>,
    /// The events of the run's log about the index.
    pub index: Vec<Value>,
    /// The step, the share of rows that a sample had active, and the share that the batch had together.
    pub activity: Vec<(u64, Option<f64>, Option<f64>)>,
}

impl Default for Outcome {
    fn default() -> Self {
        Self {
            schema: SCHEMA,
            kind: KIND.to_owned(),
            workload: String::new(),
            workload_hash: String::new(),
            task: Task::default(),
            division: Division::default(),
            variant: String::new(),
            engine: "hotrow".to_owned(),
            device: "cpu".to_owned(),
            precision: "f32".to_owned(),
            seed: 0,
            place: 0,
            runs_few: false,
            command: Vec::new(),
            started: String::new(),
            machine: Host::default(),
            software: BTreeMap::new(),
            data: BTreeMap::new(),
            seconds: Times::default(),
            curve: Vec::new(),
            target: Reached::default(),
            metrics: BTreeMap::new(),
            metrics_are_estimates: false,
            samples_per_second: 0.0,
            tokens_per_second: None,
            flops: Flops::default(),
            phases: BTreeMap::new(),
            bytes: 0,
            active_share: 1.0,
            union_rows: 0.0,
            peak_memory_bytes: 0,
            energy: Energy::default(),
            cost: Cost::default(),
            parameters: 0,
            steps: 0,
            digest: String::new(),
            components: Vec::new(),
            index: Vec::new(),
            activity: Vec::new(),
            status: "not converged".to_owned(),
        }
    }
}

/// The machine of a run, and its load.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// Name of the CPU.
    pub cpu: String,
    /// Logical CPUs.
    pub cores: usize,
    /// Main memory, in bytes.
    pub memory_bytes: u64,
    /// The instruction set used.
    pub level: String,
    /// The number of threads used.
    pub threads: usize,
    /// The rate at which all threads together read memory, in bytes a second, measured before the first run.
    pub bandwidth_bytes_per_second: f64,
    /// Runnable programs over the last 1, 5 and 15 minutes before the run.
    pub load_average_before: [f64; 3],
    /// The same after it.
    pub load_average_after: [f64; 3],
    /// Operating system.
    pub system: String,
}

/// Wall-clock time of a run, in seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Times {
    /// Everything, with loading and compiling.
    pub total: f64,
    /// Opening and parsing data, and making the network.
    pub load: f64,
    /// Compiling, for engines that do.
    pub compile: f64,
    /// Training steps, with waiting for batches.
    pub train: f64,
    /// Evaluation.
    pub eval: f64,
    /// Measuring the index. Building it is part of training.
    pub index: f64,
    /// Waiting for batches.
    pub read: f64,
    /// The whole process.
    pub process: f64,
}

/// When a run reached its target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reached {
    /// The metric.
    pub metric: String,
    /// The value to reach.
    pub value: f64,
    /// Whether an evaluation reached it.
    pub reached: bool,
    /// The seconds of the curve at that evaluation.
    pub seconds: Option<f64>,
    /// The same with loading and compiling.
    pub seconds_with_load: Option<f64>,
    /// The step of that evaluation.
    pub step: Option<u64>,
}

/// Energy of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Energy {
    /// The energy of the whole machine during the run.
    pub joules: Option<f64>,
    /// How it was measured; `none` if it was not.
    pub method: String,
}

impl Default for Energy {
    fn default() -> Self {
        Self { joules: None, method: "none".to_owned() }
    }
}

/// The price of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cost {
    /// The amount for `seconds.total`.
    pub amount: Option<f64>,
    /// Its currency.
    pub currency: String,
    /// The price of the machine for an hour.
    pub price_per_hour: Option<f64>,
    /// The entry of the price list.
    pub price: Option<String>,
}

impl Default for Cost {
    fn default() -> Self {
        Self { amount: None, currency: "USD".to_owned(), price_per_hour: None, price: None }
    }
}

impl Outcome {
    /// Reads one result.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be read; [`Error::Data`] if it is no result.
    pub fn read(path: &Path) -> Result<Outcome> {
        let bytes = files::read(path)?;
        let wrong =
            |error: serde_json::Error| Error::data(path, error.line() as u64, error.column() as u64, error.to_string());
        // A result without these two would be about nothing.
        let mut value: serde_json::Value = serde_json::from_slice(&bytes).map_err(wrong)?;
        if value["kind"] != KIND || value["schema"] != SCHEMA {
            return Err(Error::data(path, 0, 0, format!("is no result ({KIND:?} of schema {SCHEMA})")));
        }
        drop_unknown(&mut value);
        serde_json::from_value(value).map_err(wrong)
    }

    /// Reads the results at a path: that file, all results in that folder, or else those of all seeds whose files begin
    /// with the path (`results/xmc-demo-hotrow-cpu-dense`), in the order of their names.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), and [`Error::Config`] if there is none.
    pub fn read_all(path: &Path) -> Result<Vec<Outcome>> {
        let entries = |folder: &Path, wanted: &dyn Fn(&str) -> bool| -> Result<Vec<PathBuf>> {
            let mut files = Vec::new();
            for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
                let path = entry.map_err(Error::io(folder))?.path();
                let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
                if path.extension().is_some_and(|extension| extension == "json") && wanted(stem) {
                    files.push(path);
                }
            }
            files.sort();
            Ok(files)
        };
        let outcomes = if path.is_dir() {
            let all = entries(path, &|stem| !stem.starts_with('.'))?;
            all.iter().filter(|path| names_kind(path)).map(|path| Outcome::read(path)).collect::<Result<_>>()?
        } else if path.exists() {
            vec![Outcome::read(path)?]
        } else {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let prefix = format!("{}-", path.file_name().and_then(|name| name.to_str()).unwrap_or_default());
            let seed = |stem: &str| stem.strip_prefix(&prefix).is_some_and(|seed| seed.parse::<u64>().is_ok());
            let files = if folder.is_dir() { entries(folder, &seed)? } else { Vec::new() };
            files.iter().map(|path| Outcome::read(path)).collect::<Result<_>>()?
        };
        match outcomes.is_empty() {
            true => Err(Error::config("results", format!("there are none at {}", path.display()))),
            false => Ok(outcomes),
        }
    }

    /// The name of its file.
    pub fn file_name(&self) -> String {
        let Outcome { workload, engine, device, variant, seed, .. } = self;
        format!("{workload}-{engine}-{device}-{variant}-{seed}.json")
    }

    /// Writes it to `folder`, all at once. Returns its path.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let mut json = serde_json::to_vec_pretty(self).expect("names and numbers are JSON");
        json.push(b'\n');
        let path = folder.join(self.file_name());
        files::write(&path, &json)?;
        Ok(path)
    }
}

/// Whether a file is a result. Folders may also hold measurements of kernels.
fn names_kind(path: &Path) -> bool {
    files::read(path).is_ok_and(|bytes| {
        let value: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
        // A file that is no JSON is read again, and refused.
        value.is_none_or(|value| value["kind"] == KIND)
    })
}

/// Removes `null` values, and objects that are then empty. An engine writes `null` for what it does not count, which is
/// the same as leaving it out.
fn drop_unknown(value: &mut serde_json::Value) {
    if let serde_json::Value::Object(keys) = value {
        keys.values_mut().for_each(drop_unknown);
        keys.retain(|_, value| !value.is_null() && value.as_object().is_none_or(|keys| !keys.is_empty()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_engine_does_not_know_is_as_if_it_were_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rival.json");
        let text = r#"{"schema": 1, "kind": "hotrow-bench-result", "engine": "omikuji", "tokens_per_second": null, "metrics": {},
            "flops": {"executed": null, "dense_equivalent": null}, "curve": [[1.5, 0, 0.25, null]], "seconds": {"total": 2.0}}"#;
        fs::write(&path, text).unwrap();
        let outcome = Outcome::read(&path).unwrap();
        assert_eq!((outcome.flops, outcome.seconds.total), (Flops::default(), 2.0));
        assert_eq!(outcome.curve, [(1.5, 0, Some(0.25), None)]);
    }
}
