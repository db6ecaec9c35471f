//! Reads the result of a run from its folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::outcome::{Outcome, Reached, Times};
use super::workload::Target;
use hotrow::error::{Error, Result};
use hotrow::files;
use hotrow::provenance;
use hotrow::run::Summary;

/// Fills `outcome` from the run in `folder`, whose process took `process` seconds. A run that `diverged` has no
/// summary, so only its curve is known.
pub(super) fn fill(outcome: &mut Outcome, folder: &Path, target: &Target, process: f64, diverged: bool) -> Result<()> {
    outcome.software = BTreeMap::from(
        [("hotrow", provenance::VERSION), ("commit", provenance::COMMIT), ("rustc", provenance::RUSTC)]
            .map(|(name, version)| (name.to_owned(), version.to_owned())),
    );
    outcome.seconds = Times { total: process, process, ..Times::default() };
    if !diverged {
        summarise(outcome, json(&folder.join("summary.json"))?, process);
    }
    let log = folder.join("metrics.jsonl");
    let mut reached = Reached { metric: target.metric.clone(), value: target.value, ..Reached::default() };
    for (number, line) in fs::read_to_string(&log).map_err(Error::io(&log))?.lines().enumerate() {
        let wrong = |error: serde_json::Error| Error::data(&log, number as u64 + 1, 0, error.to_string());
        let event: Value = serde_json::from_str(line).map_err(wrong)?;
        if event["event"] == "index" {
            outcome.index.push(event);
            continue;
        }
        let (Some(clock), Some(step)) = (event["clock"].as_f64(), event["step"].as_u64()) else { continue };
        outcome.steps = outcome.steps.max(step);
        let metric = event[&target.metric].as_f64();
        match event["event"].as_str() {
            Some("train") => {
                outcome.curve.push((clock, step, None, event["loss"].as_f64()));
                let shares = [&event["active_share"], &event["union_share"]].map(Value::as_f64);
                if shares.iter().any(Option::is_some) {
                    outcome.activity.push((step, shares[0], shares[1]));
                }
            }
            Some("eval") => outcome.curve.push((clock, step, metric, None)),
            _ => continue,
        }
        if event["event"] == "eval" && !reached.reached && metric.is_some_and(|metric| target.is_reached_by(metric)) {
            reached.reached = true;
            (reached.seconds, reached.step) = (Some(clock), Some(step));
            reached.seconds_with_load = Some(clock + outcome.seconds.load + outcome.seconds.compile);
        }
        if diverged && event["event"] == "eval" {
            outcome.metrics.extend(metric.map(|metric| (target.metric.clone(), metric)));
        }
    }
    outcome.status = match (diverged, reached.reached) {
        (true, _) => "diverged",
        (false, true) => "reached",
        (false, false) => "not converged",
    }
    .to_owned();
    outcome.target = reached;
    Ok(())
}

fn summarise(outcome: &mut Outcome, summary: Summary, process: f64) {
    outcome.seconds = Times {
        total: summary.seconds.total,
        load: summary.seconds.load,
        compile: 0.0,
        train: summary.seconds.train,
        eval: summary.seconds.eval,
        index: summary.seconds.index,
        read: summary.phases.get("read").map_or(0.0, |phase| phase.seconds),
        process,
    };
    outcome.metrics = summary.metrics;
    // Both tasks evaluate on the whole validation set.
    outcome.metrics_are_estimates = false;
    outcome.samples_per_second = summary.samples_per_second;
    outcome.tokens_per_second = summary.tokens_per_second;
    outcome.flops = summary.flops;
    outcome.phases = summary.phases;
    outcome.bytes = summary.bytes;
    (outcome.active_share, outcome.union_rows) = (summary.active_share, summary.union_rows);
    outcome.peak_memory_bytes = summary.peak_memory_bytes.unwrap_or(0);
    outcome.parameters = summary.parameters;
    outcome.steps = summary.steps;
    outcome.digest = summary.digest;
    outcome.components = summary.components;
    outcome.machine.level = summary.level;
    outcome.machine.threads = summary.threads;
}

fn json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = files::read(path)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::data(path, error.line() as u64, error.column() as u64, error.to_string()))
}
