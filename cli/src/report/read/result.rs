//! Reads a result of `hotrow bench run` or of the rivals' harness.

use std::path::Path;

use serde_json::Value;

use super::Reader;
use super::json::{self, Object, number, required, words};
use super::run::index_health;
use crate::report::{Cost, Point, RunReport, Target};
use hotrow::error::{Error, Result};

impl Reader {
    pub(super) fn result(&mut self, path: &Path, object: &Object) -> Result<()> {
        let wrong = |key: &str, message: &str| Error::data(path, 0, 0, format!("{key}: {message}"));
        let (workload, engine) = (required(path, object, "workload")?, required(path, object, "engine")?);
        let (variant, device) = (required(path, object, "variant")?, required(path, object, "device")?);
        let rule = object.get("target").and_then(Value::as_object).ok_or(wrong("target", "is missing or no object"))?;
        let target = Target {
            metric: required(path, rule, "metric")
                .map_err(|_| wrong("target.metric", "is missing or no text"))?
                .to_owned(),
            value: number(rule, &["value"]).ok_or(wrong("target.value", "is missing or no number"))?,
            reached: rule
                .get("reached")
                .and_then(Value::as_bool)
                .ok_or(wrong("target.reached", "is no true or false"))?,
            seconds: number(rule, &["seconds"]),
            step: rule.get("step").and_then(Value::as_u64),
        };
        let at = |path: &[&str]| number(object, path);
        let seed = object.get("seed").map(json::plain).unwrap_or_default();
        let mut contender = format!("{engine} {variant}");
        for word in [words(object, "precision"), if device == "cpu" { "" } else { device }] {
            if !word.is_empty() {
                contender = format!("{contender}, {word}");
            }
        }
        let mut run = RunReport {
            name: format!("{contender}, seed {seed}"),
            contender,
            device: device.to_owned(),
            division: words(object, "division").to_owned(),
            status: words(object, "status").to_owned(),
            metric: target.metric.clone(),
            metrics: json::metrics(object),
            metrics_are_estimates: object.get("metrics_are_estimates").and_then(Value::as_bool).unwrap_or(false),
            seconds: at(&["seconds", "train"]),
            total_seconds: at(&["seconds", "total"]),
            parts: json::numbers(object, "seconds"),
            samples_per_second: at(&["samples_per_second"]),
            tokens_per_second: at(&["tokens_per_second"]),
            flops: at(&["flops", "executed"]),
            dense_flops: at(&["flops", "dense_equivalent"]),
            active_share: at(&["active_share"]),
            bytes: at(&["bytes"]),
            // 0 means unknown.
            peak_memory_bytes: at(&["peak_memory_bytes"]).filter(|&bytes| bytes > 0.0),
            parameters: at(&["parameters"]),
            phases: json::phases(object),
            components: json::components(object),
            energy: at(&["energy", "joules"]).map(|joules| {
                let method = object["energy"].get("method").map(json::plain).unwrap_or_default();
                (joules, method)
            }),
            cost: at(&["cost", "amount"]).map(|amount| Cost {
                amount,
                currency: object["cost"].get("currency").map(json::plain).unwrap_or_default(),
                price_per_hour: at(&["cost", "price_per_hour"]),
            }),
            target: Some(target),
            ..RunReport::default()
        };
        // Each step has the same share of all operations.
        let per_step = run.flops.filter(|&flops| flops > 0.0).zip(at(&["steps"]).filter(|&steps| steps > 0.0));
        run.curve = curve(path, object, per_step.map(|(flops, steps)| flops / steps))?;
        run.curve.extend(activity(object));
        // The log's events `index`, each with its step.
        let events = object.get("index").and_then(Value::as_array).into_iter().flatten();
        let health = |event: &Value| Some(index_health(event.as_object()?, event.get("step")?.as_u64()?));
        run.index_health = events.filter_map(health).collect();
        // Workload files of one name may differ. Then their runs have not done the same.
        run.workload = match words(object, "workload_hash") {
            "" => workload.to_owned(),
            hash => format!("{workload} ({})", hash.chars().take(8).collect::<String>()),
        };
        if !self.tasks.contains(&workload.to_owned()) {
            self.tasks.push(workload.to_owned());
        }
        let part = |key: &str| object.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
        let mut machine = part("machine");
        run.origin = json::origin(&machine, object);
        machine.extend(part("software"));
        self.environments.push((run.name.clone(), machine));
        self.report.runs.push(run);
        Ok(())
    }
}

/// `[step, active share or null, union share or null]` at points of training. Other engines have none.
fn activity(object: &Object) -> Vec<Point> {
    let list = object.get("activity").and_then(Value::as_array);
    let point = |value: &Value| {
        let [step, active, union] = value.as_array()?.as_slice() else { return None };
        let (active_share, union_share) = (active.as_f64(), union.as_f64());
        Some(Point { step: step.as_u64()?, active_share, union_share, ..Point::default() })
    };
    list.into_iter().flatten().filter_map(point).collect()
}

fn curve(path: &Path, object: &Object, flops_per_step: Option<f64>) -> Result<Vec<Point>> {
    let wrong = |message: String| Error::data(path, 0, 0, message);
    let list = match object.get("curve") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(wrong("curve: is no list".to_owned())),
    };
    let mut curve: Vec<Point> = Vec::with_capacity(list.len());
    for (i, value) in list.iter().enumerate() {
        let shape = || wrong(format!("curve[{i}]: {value} is not [seconds, step, metric or null, loss or null]"));
        let [seconds, step, metric, loss] = value.as_array().map(Vec::as_slice).ok_or_else(shape)? else {
            return Err(shape());
        };
        let (Some(seconds), Some(step)) = (seconds.as_f64(), step.as_u64()) else { return Err(shape()) };
        if [metric, loss].iter().any(|value| !value.is_null() && !value.is_number()) {
            return Err(shape());
        }
        curve.push(Point {
            step,
            seconds: Some(seconds),
            flops: flops_per_step.map(|flops| flops * step as f64),
            quality: metric.as_f64(),
            loss: loss.as_f64(),
            ..Point::default()
        });
    }
    Ok(curve)
}
