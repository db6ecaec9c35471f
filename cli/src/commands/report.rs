//! `hotrow report`: a page about runs and measurements.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use hotrow::error::Result;
use hotrow::files::{Rollback, write_all};
use hotrow_cli::report;

use super::Failure;

#[derive(Args)]
pub struct Arguments {
    /// Folders of training runs, files from `hotrow bench`, or folders of either
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// The page: HTML with its drawings inside
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    out: PathBuf,
    /// The same as Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Folder for the drawings as PNG files
    #[arg(long, value_name = "DIR")]
    png: Option<PathBuf>,
    /// Title of the page
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    title: Option<String>,
}

pub fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Failure> {
    let mut report = report::from_runs(&arguments.runs)?;
    if let Some(title) = &arguments.title {
        report.title.clone_from(title);
    }
    let mut files = vec![(arguments.out.clone(), report::html(&report).into_bytes())];
    let mut lines = vec![format!("report: {}", arguments.out.display())];
    let made = arguments.png.as_deref().map(Rollback::folder).transpose()?;
    if let Some(folder) = &arguments.png {
        let pictures = report::pictures(&report);
        lines.push(format!("pictures: {} in {}", pictures.len(), folder.display()));
        files.extend(pictures.into_iter().map(|(name, bytes)| (folder.join(name), bytes)));
    }
    if let Some(path) = &arguments.markdown {
        let images = arguments.png.as_ref().map(|folder| link(path, folder));
        files.push((path.clone(), report::markdown(&report, images.as_deref()).into_bytes()));
        lines.push(format!("markdown: {}", path.display()));
    }
    write_all(&files)?;
    made.into_iter().for_each(Rollback::keep);
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    Ok(())
}

/// The path of the pictures' folder for the Markdown file: relative, if both are below one folder.
fn link(markdown: &Path, pictures: &Path) -> String {
    let beside = markdown.parent().unwrap_or(Path::new(""));
    pictures.strip_prefix(beside).unwrap_or(pictures).to_string_lossy().into_owned()
}
