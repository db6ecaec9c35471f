//! Reports: what runs and measurements cost and reached, side by side, as one HTML file, Markdown, or a table for the
//! terminal.
//!
//! A report is a pure function of numbers. [`from_runs`] reads them from files; [`html`], [`markdown`], [`pictures`]
//! and [`table`] write them out. The page is self-contained, without scripts. It follows the reader's light or dark
//! scheme, and prints on paper. Missing and non-finite numbers are left out, and the page says so. Each figure names
//! its machine, commit and command.

use std::fmt::Write as _;
use std::path::Path;

mod axis;
mod bars;
mod block;
mod canvas;
mod chart;
mod compare;
mod contest;
mod data;
mod document;
mod drawing;
mod figures;
mod group;
mod markdown;
mod measured;
mod number;
mod page;
mod read;
mod theme;

#[cfg(test)]
mod read_tests;
#[cfg(test)]
mod tests;

pub use data::{Cost, Health, Origin, PhaseCost, Point, Report, RunReport, Target};
pub use measured::{BreakEven, BreakEvenRow, Kernel, PackingRule, Peak, Roofline, Sweep, SweepRow};
pub use read::{from_json, from_runs};

use hotrow::error::Result;

/// The report as one HTML page.
///
/// ```
/// use hotrow_cli::report::{html, Report, RunReport};
/// let run = RunReport { name: "dense <1>".into(), seconds: Some(38.2), ..RunReport::default() };
/// let page = html(&Report { title: "demo".into(), runs: vec![run], ..Report::default() });
/// assert!(page.starts_with("<!DOCTYPE html>") && page.contains("dense &lt;1&gt;") && page.contains("38.2 s"));
/// ```
pub fn html(report: &Report) -> String {
    page::page(&document::blocks(report))
}

/// The report as Markdown: the tables, and links to the [`pictures`] in the folder `images`, if given.
///
/// ```
/// use hotrow_cli::report::{markdown, Report, RunReport};
/// let run = RunReport { name: "dense".into(), seconds: Some(38.2), ..RunReport::default() };
/// let text = markdown(&Report { title: "demo".into(), runs: vec![run], ..Report::default() }, None);
/// assert!(text.starts_with("# demo\n") && text.contains("| time of training | 38.2 s |"));
/// ```
pub fn markdown(report: &Report, images: Option<&str>) -> String {
    markdown::markdown(&document::blocks(report), images)
}

/// The drawings of the report as PNG files on white, with their names.
///
/// ```
/// use hotrow_cli::report::{pictures, PhaseCost, Report, RunReport};
/// let phases = vec![PhaseCost { name: "gemm".into(), seconds: 1.0, ..PhaseCost::default() }];
/// let run = RunReport { phases, ..RunReport::default() };
/// let pictures = pictures(&Report { runs: vec![run], ..Report::default() });
/// assert_eq!(pictures[0].0, "phases.png");
/// assert!(pictures[0].1.starts_with(b"\x89PNG"));
/// ```
pub fn pictures(report: &Report) -> Vec<(String, Vec<u8>)> {
    let blocks = document::blocks(report);
    let figures = blocks.iter().filter_map(|block| match block {
        block::Block::Figures(figures) => Some(figures),
        _ => None,
    });
    figures.flatten().map(|figure| (format!("{}.png", figure.file), figure.drawing.png())).collect()
}

/// The comparison as an aligned table with a line for each figure and a column for each run. It ends with a newline.
///
/// ```
/// use hotrow_cli::report::{table, Report, RunReport};
/// let run = |name: &str, seconds| RunReport { name: name.into(), seconds: Some(seconds), ..RunReport::default() };
/// let report = Report { runs: vec![run("dense", 30.0), run("sparse", 6.0)], ..Report::default() };
/// let lines = table(&report);
/// assert_eq!(lines.lines().nth(1), Some("time of training   30 s  6 s (5x less)"));
/// ```
pub fn table(report: &Report) -> String {
    let names = report.runs.iter().map(|run| number::one_line(&run.name));
    let mut lines = vec![std::iter::once(String::new()).chain(names).collect::<Vec<_>>()];
    for row in compare::rows(&report.runs.iter().collect::<Vec<_>>()) {
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

/// Writes a page, text or picture to `path`, as [`files::write`](hotrow::files::write()) does.
///
/// ```
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("report.html");
/// hotrow_cli::report::write(&path, b"<!DOCTYPE html>")?;
/// assert_eq!(std::fs::read(&path).unwrap(), b"<!DOCTYPE html>");
/// # Ok::<(), hotrow::error::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Io`](hotrow::error::Error::Io) if the system refuses, or `path` is a folder.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    hotrow::files::write(path, bytes)
}

/// A file name of lower-case letters, digits and single dashes.
fn slug(name: &str) -> String {
    let plain = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { ' ' });
    plain.collect::<String>().split_whitespace().collect::<Vec<_>>().join("-")
}
