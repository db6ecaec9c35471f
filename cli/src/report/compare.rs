//! The rows of the comparison, for the page and the terminal.

use super::RunReport;
use super::number::{percent, points, quantity, ratio};

/// A figure of all runs.
pub(super) struct Row {
    /// The figure's name.
    pub name: String,
    /// One for each run.
    pub cells: Vec<Cell>,
}

/// A figure of one run.
pub(super) struct Cell {
    /// The formatted value, if known.
    pub value: Option<String>,
    /// The ratio to the first run; `None` for the first run itself, and if there is no ratio.
    pub against_first: Option<String>,
}

/// All figures that any run has: quality first, then cost.
pub(super) fn rows(runs: &[&RunReport]) -> Vec<Row> {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in runs.iter().flat_map(|run| &run.metrics) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let mut rows = Vec::new();
    for name in names {
        let values = runs.iter().map(|run| run.metrics.iter().find(|(own, _)| own == name).map(|&(_, value)| value));
        match name.contains('@') {
            true => rows.extend(row(metric(name), values, percent, points)),
            false => rows.extend(row(metric(name), values, |value| quantity(value, ""), ratio)),
        }
    }
    type Figure = fn(&RunReport) -> Option<f64>;
    let costs: [(&str, &str, Figure); 11] = [
        ("time of training", "s", |run| run.seconds),
        ("time in all", "s", |run| run.total_seconds),
        ("speed", "samples/s", |run| run.samples_per_second),
        ("speed in tokens", "tokens/s", |run| run.tokens_per_second),
        ("arithmetic", "FLOP", |run| run.flops),
        ("arithmetic if dense", "FLOP", |run| run.dense_flops),
        ("memory traffic", "B", |run| run.bytes),
        ("peak memory", "B", |run| run.peak_memory_bytes),
        ("arithmetic a second", "FLOP/s", |run| Some(run.flops? / run.seconds?)),
        ("rows computed", "%", |run| run.active_share.filter(|&share| share > 0.0)),
        ("parameters", "", |run| run.parameters),
    ];
    for (name, unit, figure) in costs {
        let values = runs.iter().map(|run| figure(run));
        match unit {
            "%" => rows.extend(row(name.to_string(), values, percent, ratio)),
            _ => rows.extend(row(name.to_string(), values, |value| quantity(value, unit), ratio)),
        }
    }
    rows
}

/// A row of the comparison; `None` if no run has the figure.
fn row(
    name: String,
    values: impl Iterator<Item = Option<f64>>,
    write: impl Fn(f64) -> String,
    against: impl Fn(f64, f64) -> Option<String>,
) -> Option<Row> {
    let values: Vec<Option<f64>> = values.map(|value| value.filter(|value| value.is_finite())).collect();
    values.iter().any(Option::is_some).then(|| {
        let cell = |(run, value): (usize, &Option<f64>)| Cell {
            value: value.map(&write),
            against_first: match (run, value, values[0]) {
                (1.., &Some(value), Some(first)) => against(value, first),
                _ => None,
            },
        };
        Row { name, cells: values.iter().enumerate().map(cell).collect() }
    })
}

/// `p@1` as `P@1`, `ndcg@5` as `nDCG@5`; others unchanged.
pub(super) fn metric(name: &str) -> String {
    match name.split_once('@') {
        Some(("p", k)) => format!("P@{k}"),
        Some(("ndcg", k)) => format!("nDCG@{k}"),
        Some(("psp", k)) => format!("PSP@{k}"),
        _ => super::number::one_line(name),
    }
}
