//! The parts of a report, before it is HTML or Markdown: headings, sentences, tables, pictures.

use super::Origin;
use super::drawing::Drawing;

/// A part of a report.
#[derive(Clone, Debug)]
pub(super) enum Block {
    /// The level, from 1, and the text.
    Heading(u8, String),
    Text(String),
    /// What to know beside the figures: captions, and what is missing.
    Remark(String),
    Code(String),
    Table(Table),
    /// Side by side if they are small.
    Figures(Vec<Figure>),
}

/// A picture with the name of its file and its source.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    /// The file's name without extension. All figures of a report have different ones.
    pub file: String,
    pub title: String,
    pub drawing: Drawing,
    pub origins: Vec<Origin>,
}

/// Rows of cells below a head. The first cell of a row is its name.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub head: Vec<String>,
    pub rows: Vec<Vec<Cell>>,
    /// Whether cells are sentences instead of figures.
    pub prose: bool,
}

/// A figure, with its explanation in small print.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    pub text: String,
    pub small: Option<String>,
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell { text, small: None }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        text.to_owned().into()
    }
}

impl From<Option<String>> for Cell {
    /// An unknown value is a dash.
    fn from(text: Option<String>) -> Cell {
        text.unwrap_or_else(|| "–".to_owned()).into()
    }
}

impl Table {
    /// The table as a part of a report; `None` if it has no rows.
    pub fn block(head: &[&str], rows: Vec<Vec<Cell>>) -> Option<Block> {
        let head = head.iter().map(|&name| name.to_owned()).collect();
        (!rows.is_empty()).then_some(Block::Table(Table { head, rows, prose: false }))
    }
}

impl Origin {
    /// For a caption: machine, commit, command.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let parts = [("machine", &self.machine), ("commit", &self.commit), ("command", &self.command)];
        parts.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name, value.as_str()))
    }
}

/// The distinct origins, in order.
pub(super) fn origins<'a>(all: impl Iterator<Item = &'a Origin>) -> Vec<Origin> {
    let mut origins: Vec<Origin> = Vec::new();
    for origin in all {
        if !origins.contains(origin) {
            origins.push(origin.clone());
        }
    }
    origins
}
