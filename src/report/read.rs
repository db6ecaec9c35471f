//! Reports from the folders of runs (`metrics.jsonl`, `summary.json`, `env.json`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{Health, PhaseCost, Point, Report, RunReport};
use crate::error::{Error, Result};
use crate::flops::Phase;

type Object = Map<String, Value>;

/// Reads the folders of finished or running runs; their names become the runs' names. Keys that are not known are passed
/// over, keys and files that are missing leave their figures out.
///
/// ```
/// let folder = tempfile::tempdir().unwrap();
/// std::fs::write(folder.path().join("summary.json"), r#"{"task": "xmc", "metrics": {"p@1": 0.31}}"#).unwrap();
/// let report = hotrow::report::from_runs(&[folder.path().to_path_buf()]).unwrap();
/// assert_eq!(report.runs[0].metrics, [("p@1".to_string(), 0.31)]);
/// ```
///
/// # Errors
///
/// [`Error::Io`] if a file cannot be read; [`Error::Data`] with file, line and column if one is not JSON, and for a folder
/// that has none of the three files.
pub fn from_runs(folders: &[PathBuf]) -> Result<Report> {
    let mut report = Report::default();
    let mut tasks: Vec<String> = Vec::new();
    let mut environments = Vec::new();
    for folder in folders {
        let [events, summary, env] = ["metrics.jsonl", "summary.json", "env.json"].map(|name| folder.join(name));
        let (log, result, machine) = (text(&events)?, object(&summary)?, object(&env)?);
        if log.is_none() && result.is_none() && machine.is_none() {
            let message = "has no metrics.jsonl, summary.json or env.json: not the folder of a run";
            return Err(Error::data(folder, 0, 0, message));
        }
        let mut run = RunReport { name: name(folder), ..RunReport::default() };
        if let Some(log) = log {
            read_log(&events, &log, &mut run)?;
        }
        let result = result.unwrap_or_default();
        read_summary(&result, &mut run);
        match result.get("task").and_then(Value::as_str) {
            Some(task) if !tasks.iter().any(|known| known == task) => tasks.push(task.to_string()),
            _ => {}
        }
        let machine = machine.unwrap_or_default();
        if report.command.is_empty() {
            report.command = command(&machine);
        }
        environments.push((run.name.clone(), machine));
        report.runs.push(run);
    }
    report.title = match tasks.len() {
        0 => "Training report".to_string(),
        _ => format!("Training report: {}", tasks.join(", ")),
    };
    report.subtitle = report.runs.iter().map(|run| run.name.as_str()).collect::<Vec<_>>().join(" · ");
    report.environment = environment(&environments);
    Ok(report)
}

/// Nothing if there is no such file.
fn text(path: &Path) -> Result<Option<String>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(Error::io(path))?,
    };
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|&&byte| byte == b'\n').count() as u64 + 1;
        Error::data(path, line, 0, "not UTF-8")
    })
}

fn object(path: &Path) -> Result<Option<Object>> {
    let Some(text) = text(path)? else { return Ok(None) };
    let value = serde_json::from_str(&text)
        .map_err(|error| Error::data(path, error.line() as u64, error.column() as u64, error.to_string()))?;
    match value {
        Value::Object(object) => Ok(Some(object)),
        _ => Err(Error::data(path, 1, 0, "not a JSON object")),
    }
}

fn name(folder: &Path) -> String {
    folder.file_name().map_or_else(|| folder.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// A number under a key, or under keys in objects: `["flops", "executed"]`.
fn number(object: &Object, path: &[&str]) -> Option<f64> {
    let (last, outer) = path.split_last()?;
    outer.iter().try_fold(object, |object, key| object.get(*key)?.as_object())?.get(*last)?.as_f64()
}

fn read_log(path: &Path, log: &str, run: &mut RunReport) -> Result<()> {
    for (line, text) in (1..).zip(log.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let event: Object = serde_json::from_str(text)
            .map_err(|error| Error::data(path, line, error.column() as u64, format!("not a JSON object: {error}")))?;
        let step = event.get("step").and_then(Value::as_u64).unwrap_or(0);
        match event.get("event").and_then(Value::as_str) {
            Some(kind @ ("train" | "eval")) => {
                // A run that was resumed logs again the steps after its last checkpoint.
                while run.curve.last().is_some_and(|point| point.step > step) {
                    run.curve.pop();
                }
                if run.curve.last().is_none_or(|point| point.step != step) {
                    run.curve.push(Point { step, ..Point::default() });
                }
                let point = run.curve.last_mut().expect("there is one now");
                point.samples = number(&event, &["samples"]).or(point.samples);
                point.seconds = number(&event, &["seconds"]).or(point.seconds);
                point.precision_at_1 = number(&event, &["p@1"]).or(point.precision_at_1);
                // The loss of an evaluation is another quantity.
                if kind == "train" {
                    point.loss = number(&event, &["loss"]).or(point.loss);
                }
            }
            Some("index") => {
                while run.index_health.last().is_some_and(|health| health.step >= step) {
                    run.index_health.pop();
                }
                run.index_health.push(index_health(&event, step));
            }
            _ => {}
        }
    }
    Ok(())
}

fn index_health(event: &Object, step: u64) -> Health {
    let at = |key| number(event, &[key]);
    let recall = event.iter().find_map(|(key, value)| Some((key.strip_prefix("recall@")?, value.as_f64()?)));
    Health {
        step,
        recall_k: recall.and_then(|(k, _)| k.parse().ok()),
        recall: recall.map(|(_, share)| share),
        captured_mass: at("captured_mass"),
        union_rows: at("union_rows"),
        share_index: at("share_index"),
        share_labels: at("share_labels"),
        share_tail: at("share_tail"),
        log_z_drift: at("log_z_drift"),
        occupancy_mean: at("occupancy_mean"),
        occupancy_largest: at("occupancy_largest"),
    }
}

fn read_summary(summary: &Object, run: &mut RunReport) {
    let at = |path: &[&str]| number(summary, path);
    if let Some(metrics) = summary.get("metrics").and_then(Value::as_object) {
        run.metrics = metrics.iter().filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect();
        // Precision first, at small k first: `p@1, p@3, ndcg@1, ...`, whatever order the file has.
        let kinds = ["p", "ndcg", "psp", "recall"];
        run.metrics.sort_by_key(|(name, _)| match name.split_once('@') {
            Some((kind, k)) => (kinds.iter().position(|known| *known == kind).unwrap_or(kinds.len()), k.parse().ok()),
            None => (kinds.len() + 1, None::<u64>),
        });
    }
    run.seconds = at(&["seconds", "train"]);
    run.total_seconds = at(&["seconds", "total"]);
    run.samples_per_second = at(&["samples_per_second"]);
    run.flops = at(&["flops", "executed"]);
    run.dense_flops = at(&["flops", "dense_equivalent"]);
    run.active_share = at(&["active_share"]);
    run.bytes = at(&["bytes"]);
    run.peak_memory_bytes = at(&["peak_memory_bytes"]);
    if let Some(phases) = summary.get("phases").and_then(Value::as_object) {
        let cost = |(name, cost): (&String, &Value)| {
            let cost = cost.as_object()?;
            let at = |key| number(cost, &[key]).unwrap_or(0.0);
            Some(PhaseCost { name: name.clone(), seconds: at("seconds"), flops: at("flops"), bytes: at("bytes") })
        };
        run.phases = phases.iter().filter_map(cost).collect();
        let place = |name: &str| Phase::ALL.iter().position(|phase| phase.name() == name).unwrap_or(Phase::ALL.len());
        run.phases.sort_by_key(|phase| place(&phase.name));
    }
}

fn command(machine: &Object) -> String {
    match machine.get("command") {
        Some(Value::Array(words)) => words.iter().map(plain).collect::<Vec<_>>().join(" "),
        Some(command) => plain(command),
        None => String::new(),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

/// A line for each key that any run has; where runs differ, each value with its run.
fn environment(runs: &[(String, Object)]) -> Vec<(String, String)> {
    let mut keys: Vec<&String> = Vec::new();
    runs.iter().flat_map(|(_, machine)| machine.keys()).for_each(|key| {
        if key != "command" && !keys.contains(&key) {
            keys.push(key);
        }
    });
    let line = |key: &String| {
        let own: Vec<_> = runs.iter().filter_map(|(run, machine)| Some((run, plain(machine.get(key)?)))).collect();
        let value = match own.iter().all(|(_, value)| *value == own[0].1) {
            true => own[0].1.clone(),
            false => own.iter().map(|(run, value)| format!("{run}: {value}")).collect::<Vec<_>>().join("; "),
        };
        (key.clone(), value)
    };
    keys.into_iter().map(line).collect()
}
