//! Lines with a text and labels: tab-separated columns, and JSON objects.

use super::lines::Fault;
use super::records::{Records, Scratch};
use super::samples::{Limits, Policy, distinct, keep};
use super::text::Featurizer;
use crate::config::{self, Format};
use crate::error::{Error, Result};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

mod census;
mod json;

pub(crate) use census::Census;

/// The columns or fields with text and labels.
#[derive(Clone, Debug)]
pub(crate) enum Columns {
    /// Numbers from 0.
    Tsv { text: Vec<usize>, label: usize },
    /// Names of fields.
    Jsonl { text: Vec<String>, label: String },
}

impl Columns {
    /// The columns that `config` names.
    ///
    /// # Errors
    ///
    /// If it names none, or a tab-separated column by anything but a number from 1.
    pub fn new(format: Format, config: &config::Data) -> Result<Self> {
        for (key, value) in [("data.text", &config.text), ("data.label", &config.label)] {
            if value.is_empty() {
                let kind = if format == Format::Tsv { "a column number from 1" } else { "a field's name" };
                return Err(Error::config(key, format!("is not set; a file of text needs {kind}")));
            }
        }
        let number = |key: &str, value: &str| match value.parse::<usize>() {
            Ok(number @ 1..) => Ok(number - 1),
            _ => Err(Error::config(key, format!("`{value}` is not a column number from 1"))),
        };
        Ok(match format {
            Format::Jsonl => {
                Self::Jsonl { text: config.texts().map(str::to_owned).collect(), label: config.label.clone() }
            }
            _ => Self::Tsv {
                text: config.texts().map(|column| number("data.text", column)).collect::<Result<_>>()?,
                label: number("data.label", &config.label)?,
            },
        })
    }

    /// The line as text; `None` if it is blank. A line of tabs alone has columns, so it is a sample.
    fn nonblank<'a>(&self, line: &'a [u8]) -> Result<Option<&'a str>, Fault> {
        match self {
            Self::Tsv { .. } if line.contains(&b'\t') => utf8(line).map(Some),
            _ => nonblank(line),
        }
    }

    /// Whether `line` has labels.
    pub fn has_labels(&self, line: &str) -> bool {
        match self {
            Self::Tsv { label, .. } => line.split('\t').nth(*label).is_some(),
            Self::Jsonl { .. } => true,
        }
    }

    /// The text and the labels of `line`, each label with its byte, from 1.
    ///
    /// A line without a label column is faulty, unless `policy` ignores labels.
    fn split<'a>(&self, line: &'a str, policy: Policy) -> Result<(Cow<'a, str>, Vec<Token<'a>>), Fault> {
        match self {
            Self::Jsonl { text, label } => json::split(line, text, label, policy),
            Self::Tsv { text, label } => {
                let missing = |at: usize| {
                    let columns = line.split('\t').count();
                    Fault::at(line.len() + 1, format!("column {} is missing: the line has {columns}", at + 1))
                };
                let column = |&at: &usize| line.split('\t').nth(at).ok_or_else(|| missing(at));
                let found = match &text[..] {
                    [at] => Cow::Borrowed(column(at)?),
                    several => Cow::Owned(several.iter().map(column).collect::<Result<Vec<_>, _>>()?.join(" ")),
                };
                let labels = match line.split('\t').nth(*label) {
                    _ if policy == Policy::Ignore => Vec::new(),
                    Some(labels) => comma_separated(labels, labels.as_ptr() as usize - line.as_ptr() as usize),
                    None => return Err(missing(*label)),
                };
                Ok((found, labels))
            }
        }
    }
}

/// A label as it is written.
#[derive(Debug)]
struct Token<'a> {
    text: Cow<'a, str>,
    /// Its byte, from 1.
    column: usize,
    /// Whether it is a number in the syntax of JSON, and not only by its digits.
    number: bool,
}

impl<'a> Token<'a> {
    fn text(text: impl Into<Cow<'a, str>>, column: usize) -> Self {
        Self { text: text.into(), column, number: false }
    }

    /// Whether other digits would be another label: it has no sign and no leading zero.
    fn is_canonical(&self) -> bool {
        integer(&self.text) == Some(false) && (self.text.len() == 1 || !self.text.starts_with('0'))
    }
}

/// The labels of `list`, which begins at byte `start` of its line.
fn comma_separated(list: &str, start: usize) -> Vec<Token<'_>> {
    if list.trim().is_empty() {
        return Vec::new();
    }
    let mut at = start;
    let token = |part: &str| {
        let column = at + part.len() - part.trim_start().len() + 1;
        at += part.len() + 1;
        column
    };
    let columns: Vec<usize> = list.split(',').map(token).collect();
    list.split(',').zip(columns).map(|(part, column)| Token::text(part.trim(), column)).collect()
}

/// How labels become ids.
#[derive(Clone, Debug)]
pub(crate) enum Labels {
    /// Labels are ids. If `canonical`, text that is no canonical integer is a name that the training set lacks.
    Ids { canonical: bool },
    /// Labels are names, with these ids.
    Names(Arc<HashMap<String, u32>>),
}

/// Parses lines of text.
#[derive(Clone, Debug)]
pub(crate) struct TextParser {
    pub columns: Columns,
    pub featurizer: Featurizer,
    pub labels: Labels,
    pub limits: Limits,
    pub policy: Policy,
}

impl TextParser {
    /// Adds the sample of `line`.
    pub fn line(&self, line: &[u8], scratch: &mut Scratch, out: &mut Records) -> Result<(), Fault> {
        let Some(line) = self.columns.nonblank(line)? else { return Ok(()) };
        let (text, tokens) = self.columns.split(line, self.policy)?;
        self.featurizer.features(&text, scratch);
        scratch.labels.clear();
        let mut unknown = Vec::new();
        for token in tokens {
            let column = token.column;
            let label = match &self.labels {
                Labels::Names(_) if token.text.is_empty() => return Err(Fault::at(column, "a label is empty")),
                Labels::Names(names) => names.get(&*token.text).copied(),
                Labels::Ids { canonical } => {
                    let id = id(&token.text, column).map_err(|fault| fault.with_hint(*canonical))?;
                    let other = *canonical && !token.number && !token.is_canonical();
                    if other { None } else { self.limits.label(id, column)? }
                }
            };
            match label {
                Some(label) => scratch.labels.push(label),
                None => unknown.push(token.text),
            }
        }
        let unseen = distinct(&mut unknown, &mut out.summary.duplicate_labels);
        keep(self.policy, scratch, unseen, out)
    }
}

impl Fault {
    /// Adds a hint to the fault of a label, if the program decided that labels are ids: it might be a name.
    fn with_hint(self, decided: bool) -> Self {
        let hint =
            if decided { " (labels of training are numbers; data.labels=names takes them as names)" } else { "" };
        Self { message: self.message + hint, ..self }
    }
}

fn id(token: &str, column: usize) -> Result<u64, Fault> {
    match integer(token) {
        // What does not fit 64 bits is above every limit.
        Some(false) => Ok(token.parse().unwrap_or(u64::MAX)),
        Some(true) => Err(Fault::at(column, format!("label {token} is negative"))),
        None => Err(Fault::at(column, format!("label `{}` is not a number", cut(token)))),
    }
}

/// Whether `token` is a negative integer; `None` if it is no integer.
fn integer(token: &str) -> Option<bool> {
    let digits = token.strip_prefix('-').unwrap_or(token);
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(digits.len() < token.len())
}

/// The beginning of `text`, short enough for a message.
fn cut(text: &str) -> String {
    text.chars().take(40).collect()
}

/// The line as text; `None` if it is blank.
pub(crate) fn nonblank(line: &[u8]) -> Result<Option<&str>, Fault> {
    utf8(line).map(|line| Some(line).filter(|line| !line.trim().is_empty()))
}

fn utf8(line: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(line).map_err(|error| Fault::at(error.valid_up_to() + 1, "the text is not UTF-8"))
}
