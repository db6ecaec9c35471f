//! What training runs cost and what they reached, side by side: one HTML file, or a table for the terminal.
//!
//! A report is a pure function of numbers: [`from_runs`] reads them from the folders of runs, [`html`] and [`table`] write
//! them down. The page needs nothing but itself (style and drawings are in it, there is no script), follows the reader's
//! light or dark scheme and prints on paper. What is missing or not finite is left out, and the page says so.
//!
//! The colours are those of Okabe and Ito ("Color Universal Design", 2008) for runs and the "muted" scheme of Tol ("Colour
//! Schemes", SRON/EPS/TN/09-002, 2021) for phases: readers with colour blindness tell them apart; runs also differ by the
//! shape of their marks.

use std::fmt::Write as _;

mod bars;
mod chart;
mod compare;
mod figures;
mod number;
mod page;
mod read;

#[cfg(test)]
mod read_tests;
#[cfg(test)]
mod tests;

pub use read::from_runs;

/// Everything that a page shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// What was compared.
    pub title: String,
    /// One sentence more.
    pub subtitle: String,
    /// The command that repeats it; may be empty.
    pub command: String,
    /// Machine, versions, seeds: name and value.
    pub environment: Vec<(String, String)>,
    /// The runs; all are compared with the first.
    pub runs: Vec<RunReport>,
    /// What a reader has to know, one paragraph each.
    pub notes: Vec<String>,
}

/// One run. `None` and numbers that are not finite mean: not known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunReport {
    /// Its name in tables and legends.
    pub name: String,
    /// The last evaluation: `p@1` and the like; names with an `@` are shares of 1 and shown in per cent.
    pub metrics: Vec<(String, f64)>,
    /// Time of training alone.
    pub seconds: Option<f64>,
    /// Time of everything: loading, training, evaluation.
    pub total_seconds: Option<f64>,
    /// Samples trained on in a second.
    pub samples_per_second: Option<f64>,
    /// Floating-point operations that were executed.
    pub flops: Option<f64>,
    /// Floating-point operations of a network that computes every row.
    pub dense_flops: Option<f64>,
    /// Rows of the output layer that a step computes, as a share of all.
    pub active_share: Option<f64>,
    /// Bytes of weights and optimiser state that were read or written.
    pub bytes: Option<f64>,
    /// The most memory that the process held, in bytes.
    pub peak_memory_bytes: Option<f64>,
    /// How training went.
    pub curve: Vec<Point>,
    /// Where the time went.
    pub phases: Vec<PhaseCost>,
    /// How well the index named the rows that matter.
    pub index_health: Vec<Health>,
}

/// One moment of training.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Steps done.
    pub step: u64,
    /// Samples trained on.
    pub samples: Option<f64>,
    /// Seconds since training began.
    pub seconds: Option<f64>,
    /// Training loss since the point before.
    pub loss: Option<f64>,
    /// Precision of the first guess on the validation part.
    pub precision_at_1: Option<f64>,
}

/// What one phase has cost ([`crate::flops::Phase`]).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PhaseCost {
    /// `read`, `gemm`, ...
    pub name: String,
    /// Time.
    pub seconds: f64,
    /// Floating-point operations executed.
    pub flops: f64,
    /// Bytes of weights and state read or written.
    pub bytes: f64,
}

/// The index at one step, measured on a sample of queries.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Health {
    /// Steps done.
    pub step: u64,
    /// The k of `recall`.
    pub recall_k: Option<u64>,
    /// Share of the k rows with the highest scores that the active set holds.
    pub recall: Option<f64>,
    /// Share of the exact softmax that the active set holds.
    pub captured_mass: Option<f64>,
    /// Rows in the union over a micro-batch.
    pub union_rows: Option<f64>,
    /// Share of the active set that the index named.
    pub share_index: Option<f64>,
    /// Share that are labels of the samples.
    pub share_labels: Option<f64>,
    /// Share that the random tail added.
    pub share_tail: Option<f64>,
    /// Sampled minus exact log Z.
    pub log_z_drift: Option<f64>,
    /// Rows in a used bucket, mean.
    pub occupancy_mean: Option<f64>,
    /// Rows in the fullest bucket.
    pub occupancy_largest: Option<f64>,
}

/// The report as one HTML page.
///
/// ```
/// use hotrow::report::{html, Report, RunReport};
/// let run = RunReport { name: "dense <1>".into(), seconds: Some(38.2), ..RunReport::default() };
/// let page = html(&Report { title: "demo".into(), runs: vec![run], ..Report::default() });
/// assert!(page.starts_with("<!DOCTYPE html>") && page.contains("dense &lt;1&gt;") && page.contains("38.2 s"));
/// ```
pub fn html(report: &Report) -> String {
    page::page(report)
}

/// The comparison as an aligned table, a line for each figure and a column for each run, with a newline at its end.
///
/// ```
/// use hotrow::report::{table, Report, RunReport};
/// let run = |name: &str, seconds| RunReport { name: name.into(), seconds: Some(seconds), ..RunReport::default() };
/// let report = Report { runs: vec![run("dense", 30.0), run("sparse", 6.0)], ..Report::default() };
/// let lines = table(&report);
/// assert_eq!(lines.lines().nth(1), Some("time of training   30 s  6 s (5x less)"));
/// ```
pub fn table(report: &Report) -> String {
    let names = report.runs.iter().map(|run| number::one_line(&run.name));
    let mut lines = vec![std::iter::once(String::new()).chain(names).collect::<Vec<_>>()];
    for row in compare::rows(&report.runs) {
        let cells = row.cells.iter().map(|cell| match (&cell.value, &cell.against_first) {
            (None, _) => "-".to_string(),
            (Some(value), None) => value.clone(),
            (Some(value), Some(ratio)) => format!("{value} ({ratio})"),
        });
        lines.push(std::iter::once(row.name.clone()).chain(cells).collect());
    }
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..=report.runs.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let mut padded = format!("{:<1$}", line[0], widths[0]);
        for (cell, width) in line[1..].iter().zip(&widths[1..]) {
            write!(padded, "  {cell:>width$}").expect("writing to a String does not fail");
        }
        text.push_str(padded.trim_end());
        text.push('\n');
    }
    text
}
