//! Reads the folder of a run.

use std::io;
use std::path::Path;

use serde_json::Value;

use super::Reader;
use super::json::{self, Object, number};
use crate::report::{Health, Point, RunReport};
use hotrow::error::{Error, Result};
use hotrow::files;

const LOG: &str = "metrics.jsonl";
const SUMMARY: &str = "summary.json";
const ENVIRONMENT: &str = "env.json";

/// Whether a folder has any file of a run.
pub(super) fn is_run(folder: &Path) -> bool {
    [LOG, SUMMARY, ENVIRONMENT].iter().any(|name| folder.join(name).is_file())
}

impl Reader {
    pub(super) fn run(&mut self, folder: &Path) -> Result<()> {
        let path = |name: &str| folder.join(name);
        let object = |name: &str| match text(&path(name))? {
            Some(text) => json::object(&path(name), &text).map(Some),
            None => Ok(None),
        };
        let (log, summary, machine) = (text(&path(LOG))?, object(SUMMARY)?, object(ENVIRONMENT)?);
        let name =
            folder.file_name().map_or_else(|| folder.display().to_string(), |n| n.to_string_lossy().into_owned());
        let mut run = RunReport { name, metric: "p@1".to_owned(), ..RunReport::default() };
        if let Some(log) = log {
            read_log(&path(LOG), &log, &mut run)?;
        }
        let summary = summary.unwrap_or_default();
        read_summary(&summary, &mut run);
        if !run.workload.is_empty() && !self.tasks.contains(&run.workload) {
            self.tasks.push(run.workload.clone());
        }
        let machine = machine.unwrap_or_default();
        run.origin = json::origin(&machine, &machine);
        self.environments.push((run.name.clone(), machine));
        self.report.runs.push(run);
        Ok(())
    }
}

/// The text of a file; `None` if it does not exist.
fn text(path: &Path) -> Result<Option<String>> {
    match files::read(path) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        read => json::text(path, read?).map(Some),
    }
}

fn read_log(path: &Path, log: &str, run: &mut RunReport) -> Result<()> {
    for (line, text) in (1..).zip(log.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let event: Object = serde_json::from_str(text)
            .map_err(|error| Error::data(path, line, error.column() as u64, format!("not a JSON object: {error}")))?;
        let step = event.get("step").and_then(Value::as_u64).unwrap_or(0);
        match event.get("event").and_then(Value::as_str) {
            Some(kind @ ("train" | "eval")) => {
                // A resumed run logs the steps after its last checkpoint again.
                while run.curve.last().is_some_and(|point| point.step > step) {
                    run.curve.pop();
                }
                if run.curve.last().is_none_or(|point| point.step != step) {
                    run.curve.push(Point { step, ..Point::default() });
                }
                let point = run.curve.last_mut().expect("there is one now");
                let at = |key| number(&event, &[key]);
                point.samples = at("samples").or(at("tokens")).or(point.samples);
                point.seconds = at("seconds").or(point.seconds);
                point.flops = at("flops").or(point.flops);
                point.active_share = at("active_share").or(point.active_share);
                point.union_share = at("union_share").or(point.union_share);
                // The loss of an evaluation is another quantity.
                if kind == "train" {
                    point.loss = at("loss").or(point.loss);
                } else if let Some(precision) = at("p@1") {
                    point.quality = Some(precision);
                } else if let Some(loss) = at("loss") {
                    (point.quality, run.metric) = (Some(loss), "loss".to_owned());
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

/// An event `index` of a log.
pub(super) fn index_health(event: &Object, step: u64) -> Health {
    let at = |key| number(event, &[key]);
    let recall = event.iter().find_map(|(key, value)| Some((key.strip_prefix("recall@")?, value.as_f64()?)));
    let index = event.get("index").and_then(Value::as_object);
    let occupancy = index.and_then(|index| index.get("occupancy")).and_then(Value::as_array);
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
        occupancy: occupancy.map(|counts| counts.iter().filter_map(Value::as_f64).collect()).unwrap_or_default(),
    }
}

fn read_summary(summary: &Object, run: &mut RunReport) {
    let at = |path: &[&str]| number(summary, path);
    run.workload = json::words(summary, "task").to_owned();
    run.metrics = json::metrics(summary);
    run.seconds = at(&["seconds", "train"]);
    run.total_seconds = at(&["seconds", "total"]);
    run.parts = json::numbers(summary, "seconds");
    run.samples_per_second = at(&["samples_per_second"]);
    run.tokens_per_second = at(&["tokens_per_second"]);
    run.flops = at(&["flops", "executed"]);
    // What has no network has none that would be dense.
    run.dense_flops = at(&["flops", "dense_equivalent"]).filter(|&flops| flops > 0.0);
    run.active_share = at(&["active_share"]);
    run.bytes = at(&["bytes"]);
    run.peak_memory_bytes = at(&["peak_memory_bytes"]);
    run.parameters = at(&["parameters"]);
    run.phases = json::phases(summary);
    run.components = json::components(summary);
    // In logs without operations, each step has the same share of all.
    if let (Some(flops), Some(steps)) = (run.flops, at(&["steps"]).filter(|&steps| steps > 0.0)) {
        for point in run.curve.iter_mut().filter(|point| point.flops.is_none()) {
            point.flops = Some(flops * point.step as f64 / steps);
        }
    }
}
