//! Reads untrusted JSON. A value of another type counts as unknown.

use std::path::Path;

use serde_json::{Map, Value};

use crate::report::{Origin, PhaseCost};
use hotrow::error::{Error, Result};
use hotrow::flops::Phase;

pub(super) type Object = Map<String, Value>;

pub(super) fn text(path: &Path, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|&&byte| byte == b'\n').count() as u64 + 1;
        Error::data(path, line, 0, "not UTF-8")
    })
}

pub(super) fn object(path: &Path, text: &str) -> Result<Object> {
    let value = serde_json::from_str(text)
        .map_err(|error| Error::data(path, error.line() as u64, error.column() as u64, error.to_string()))?;
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(Error::data(path, 1, 0, "not a JSON object")),
    }
}

/// A number under a key, or under keys in objects: `["flops", "executed"]`.
pub(super) fn number(object: &Object, path: &[&str]) -> Option<f64> {
    let (last, outer) = path.split_last()?;
    outer.iter().try_fold(object, |object, key| object.get(*key)?.as_object())?.get(*last)?.as_f64()
}

/// Text under a key; empty if there is none.
pub(super) fn words<'a>(object: &'a Object, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Text that must be there.
pub(super) fn required<'a>(path: &Path, object: &'a Object, key: &str) -> Result<&'a str> {
    match words(object, key) {
        "" => Err(Error::data(path, 0, 0, format!("{key}: is missing or no text"))),
        text => Ok(text),
    }
}

/// Numbers by name.
pub(super) fn numbers(object: &Object, key: &str) -> Vec<(String, f64)> {
    let Some(inner) = object.get(key).and_then(Value::as_object) else { return Vec::new() };
    inner.iter().filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect()
}

pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

/// A command, as words or as one string.
pub(super) fn command(object: &Object) -> String {
    match object.get("command") {
        Some(Value::Array(words)) => words.iter().map(plain).collect::<Vec<_>>().join(" "),
        Some(Value::Null) | None => String::new(),
        Some(command) => plain(command),
    }
}

/// The origin, from the machine's object and the one with `command` and perhaps `commit`.
pub(super) fn origin(machine: &Object, outer: &Object) -> Origin {
    let mut parts: Vec<String> =
        Some(words(machine, "cpu").to_owned()).into_iter().filter(|cpu| !cpu.is_empty()).collect();
    let count = |key: &str| number(machine, &[key]).filter(|&count| count > 0.0);
    let counted = |count: f64, one: &str| if count == 1.0 { format!("1 {one}") } else { format!("{count} {one}s") };
    parts.extend(count("cores").map(|cores| counted(cores, "core")));
    parts.extend(Some(words(machine, "gpu").to_owned()).filter(|gpu| !gpu.is_empty()));
    parts.extend(Some(words(machine, "level").to_owned()).filter(|level| !level.is_empty()));
    parts.extend(count("threads").map(|threads| counted(threads, "thread")));
    let software = outer.get("software").and_then(Value::as_object);
    let commit = match software.map_or("", |software| words(software, "commit")) {
        "" => words(outer, "commit"),
        commit => commit,
    };
    // Twelve digits name a commit. What follows a dash says that the code differed.
    let (hash, changed) = commit.split_at(commit.find('-').unwrap_or(commit.len()));
    let commit = hash.chars().take(12).chain(changed.chars()).collect();
    Origin { machine: parts.join(", "), commit, command: command(outer) }
}

/// `p@1, p@3, ndcg@1, ...`: precision first, small k first, in any order of the file.
pub(super) fn metrics(object: &Object) -> Vec<(String, f64)> {
    let mut metrics = numbers(object, "metrics");
    let kinds = ["p", "ndcg", "psp", "recall"];
    metrics.sort_by_key(|(name, _)| match name.split_once('@') {
        Some((kind, k)) => (kinds.iter().position(|known| *known == kind).unwrap_or(kinds.len()), k.parse().ok()),
        None => (kinds.len() + 1, None::<u64>),
    });
    metrics
}

/// The phases, in the order of a step.
pub(super) fn phases(object: &Object) -> Vec<PhaseCost> {
    let Some(phases) = object.get("phases").and_then(Value::as_object) else { return Vec::new() };
    let cost = |(name, cost): (&String, &Value)| {
        let cost = cost.as_object()?;
        let at = |key| number(cost, &[key]).unwrap_or(0.0);
        Some(PhaseCost { name: name.clone(), seconds: at("seconds"), flops: at("flops"), bytes: at("bytes") })
    };
    let mut phases: Vec<PhaseCost> = phases.iter().filter_map(cost).collect();
    let place = |name: &str| Phase::ALL.iter().position(|phase| phase.name() == name).unwrap_or(Phase::ALL.len());
    phases.sort_by_key(|phase| place(&phase.name));
    phases
}

/// Memory by name, from a list of `{"name", "bytes"}`.
pub(super) fn components(object: &Object) -> Vec<(String, f64)> {
    let Some(list) = object.get("components").and_then(Value::as_array) else { return Vec::new() };
    let component = |value: &Value| {
        let object = value.as_object()?;
        Some((words(object, "name").to_owned(), number(object, &["bytes"])?))
    };
    list.iter().filter_map(component).filter(|(name, _)| !name.is_empty()).collect()
}
