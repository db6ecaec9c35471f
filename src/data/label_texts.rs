//! Texts of labels (`data.label_texts`): their names, or the lines of a file.
//!
//! The first line that is not blank decides what the lines of a file are.
//!
//! | its first line | the labels are names | the labels are ids |
//! |---|---|---|
//! | has a tab | `name<TAB>text` | `id<TAB>text` |
//! | has none | a name, which is its own text | line `i`, from 0, is the text of label `i`; it may be blank |
//!
//! A text becomes a vector as a sample does: by the same words, and weighed alike. Where the training set has features, a text is
//! `feature:value feature:value ..` of the same features.

use super::ids::IdParser;
use super::input::Input;
use super::line_reader::LineReader;
use super::lines::Fault;
use super::records::{Records, Scratch};
use super::samples::{Limits, Policy};
use super::source::is_text;
use super::{Batch, Vocabulary};
use crate::config;
use crate::error::{Error, Result};
use crate::files::regular;
use crate::sparse::SparseBatch;
use std::collections::HashMap;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

/// The texts of labels as vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelTexts {
    features: SparseBatch,
}

impl LabelTexts {
    /// A vector for each label, which is empty if the label has no text.
    pub fn features(&self) -> &SparseBatch {
        &self.features
    }

    /// Number of labels whose text has a feature.
    pub fn described(&self) -> usize {
        self.features.offsets().windows(2).filter(|pair| pair[0] < pair[1]).count()
    }

    /// A hash of all vectors. A resumed run compares it.
    pub fn digest(&self) -> u64 {
        let parts = [
            xxh3_64(bytemuck::cast_slice(self.features.offsets())),
            xxh3_64(bytemuck::cast_slice(self.features.indices())),
            xxh3_64(bytemuck::cast_slice(self.features.values())),
        ];
        xxh3_64(bytemuck::cast_slice(&parts))
    }
}

/// The vocabulary with the labels that only texts name, and the texts, as the options of the vocabulary say.
pub(crate) fn find(vocabulary: Vocabulary) -> Result<(Vocabulary, Option<LabelTexts>)> {
    let which = vocabulary.options().label_texts.clone();
    match which.as_str() {
        "" => Ok((vocabulary, None)),
        config::AUTO | config::NAMES => {
            let Some(names) = vocabulary.names() else {
                let message = "the labels are numbers, which say nothing; name a file with their texts";
                let refused = Err(Error::config("data.label_texts", format!("{which}: {message}")));
                return if which == config::AUTO { Ok((vocabulary, None)) } else { refused };
            };
            let telling = |name: &&String| name.contains(char::is_alphabetic);
            let texts = texts_of(&vocabulary, names.iter().map(|name| Some(name).filter(telling).map(String::as_str)))?;
            Ok((vocabulary, Some(texts).filter(|texts| which == config::NAMES || texts.described() > 0)))
        }
        path => {
            let path = Path::new(path);
            regular(path)?;
            let (vocabulary, texts) = read(Input::File(path), vocabulary)?;
            Ok((vocabulary, Some(texts)))
        }
    }
}

/// Reads texts of labels from the bytes of a file: see `data.label_texts`. The vocabulary comes back with the labels that only the file
/// has.
///
/// # Errors
///
/// As of a file, which is called `input`: for what is no UTF-8, lines with a tab among lines without one, a label twice, an empty text,
/// ids that are no numbers or far above the others, fewer lines than labels, and names the training set has none of.
///
/// ```
/// use hotrow::{config::Data, data::{self, read_label_texts}};
/// let folder = tempfile::tempdir()?;
/// let train = folder.path().join("train.tsv");
/// std::fs::write(&train, "hot rows\tfig,pear\ncold rows\tfig\n")?;
/// let config = Data { text: "1".into(), label: "2".into(), ..Data::default() };
/// let vocabulary = data::open(&train, None, &config, folder.path())?.vocabulary;
/// let (vocabulary, texts) = read_label_texts(b"plum\tdark and cold\nfig\thot\n", &vocabulary)?;
/// assert_eq!(vocabulary.names().unwrap(), ["fig", "pear", "plum"]);
/// assert_eq!((texts.described(), texts.features().entries(2).0.len()), (2, 3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_label_texts(bytes: &[u8], vocabulary: &Vocabulary) -> Result<(Vocabulary, LabelTexts)> {
    read(Input::Bytes(bytes), vocabulary.clone())
}

fn read(input: Input, vocabulary: Vocabulary) -> Result<(Vocabulary, LabelTexts)> {
    let lines = Lines::read(input)?;
    let (vocabulary, labels) = match vocabulary.names() {
        Some(_) => by_name(&lines, vocabulary),
        None => by_id(&lines, vocabulary),
    }
    .map_err(|fault| fault.of(input))?;
    let mut texts = vec![None; vocabulary.labels()];
    for (&label, line) in labels.iter().zip(&lines.lines) {
        texts[label as usize] = Some(line);
    }
    let texts = vectors(&vocabulary, texts).map_err(|fault| fault.of(input))?;
    match texts.described() {
        0 => Err(Error::data(input.path(), 0, 0, "no text of a label has a feature")),
        _ => Ok((vocabulary, texts)),
    }
}

impl Fault {
    /// Of the line after `line` others.
    fn on(self, line: u64) -> Self {
        Self { line, ..self }
    }

    fn of(self, input: Input) -> Error {
        Error::data(input.path(), self.line + 1, self.column, self.message)
    }
}

/// A line that is not blank.
struct Line {
    /// Lines before it.
    before: u64,
    /// What stands before the tab, if lines have one.
    label: Option<String>,
    text: String,
}

struct Lines {
    lines: Vec<Line>,
    /// Of the file, with blank ones.
    count: u64,
}

impl Lines {
    fn read(input: Input) -> Result<Self> {
        let (mut reader, mut lines, mut count) = (LineReader::open(&input)?, Vec::<Line>::new(), 0);
        while let Some(line) = reader.next()? {
            let first = lines.first().map(|line| line.label.is_some());
            if let Some((label, text)) = split(&line, first).map_err(|fault| fault.on(count).of(input))? {
                lines.push(Line { before: count, label, text });
            }
            count += 1;
        }
        match lines.is_empty() {
            true => Err(Error::data(input.path(), 0, 0, "has no text of a label")),
            false => Ok(Self { lines, count }),
        }
    }
}

/// The label, if it has one, and the text of a line; nothing of a blank one. `tabs` is whether the lines before have tabs.
fn split(line: &[u8], tabs: Option<bool>) -> Result<Option<(Option<String>, String)>, Fault> {
    let utf8 = std::str::from_utf8(line);
    let line = utf8.map_err(|error| Fault::at(error.valid_up_to() + 1, "the text is not UTF-8"))?;
    if line.trim().is_empty() {
        return Ok(None);
    }
    let Some((label, text)) = line.split_once('\t') else {
        return match tabs {
            Some(true) => {
                Err(Fault::at(line.len() + 1, "no tab, where the lines before have a label, a tab and a text"))
            }
            _ => Ok(Some((None, line.trim().to_owned()))),
        };
    };
    let (column, label, text) = (label.len() + 1, label.trim(), text.trim());
    match tabs {
        Some(false) => Err(Fault::at(column, "a tab, where the lines before have none")),
        _ if label.is_empty() => Err(Fault::at(1, "the label before the tab is empty")),
        _ if text.is_empty() => Err(Fault::at(column + 1, format!("the text of label `{label}` is empty"))),
        _ => Ok(Some((Some(label.to_owned()), text.to_owned()))),
    }
}

/// An error if a label comes twice.
fn once(labels: &[u32], lines: &Lines) -> Result<(), Fault> {
    let mut seen: HashMap<u32, u64> = HashMap::new();
    for (&label, line) in labels.iter().zip(&lines.lines) {
        if let Some(before) = seen.insert(label, line.before) {
            let label = line.label.as_ref().unwrap_or(&line.text);
            return Err(Fault::at(1, format!("label `{label}` stands in line {} too", before + 1)).on(line.before));
        }
    }
    Ok(())
}

/// The label of each line. New names follow the known ones.
fn by_name(lines: &Lines, vocabulary: Vocabulary) -> Result<(Vocabulary, Vec<u32>), Fault> {
    let known = vocabulary.names().unwrap_or_default();
    let mut ids: HashMap<&str, u32> = known.iter().enumerate().map(|(id, name)| (name.as_str(), id as u32)).collect();
    let mut names = known.to_vec();
    let mut labels = Vec::with_capacity(lines.lines.len());
    for line in &lines.lines {
        let name = line.label.as_deref().unwrap_or(&line.text);
        let label = *ids.entry(name).or_insert_with(|| {
            names.push(name.to_owned());
            names.len() as u32 - 1
        });
        labels.push(label);
    }
    once(&labels, lines)?;
    if labels.iter().all(|&label| label as usize >= known.len()) {
        let example = known.first().map_or("", String::as_str);
        return Err(Fault::at(1, format!("no line names a label of the training set, as `{example}` is one")));
    }
    Ok((vocabulary.with_labels(names.len(), Some(names)), labels))
}

/// A label is at most so many times as far from 0 as there are labels and lines: each up to the largest takes memory.
const SPARSEST: u64 = 4;

/// The same where labels are ids.
fn by_id(lines: &Lines, vocabulary: Vocabulary) -> Result<(Vocabulary, Vec<u32>), Fault> {
    let known = vocabulary.labels() as u64;
    let limit = (SPARSEST * (known + lines.count)).min(Limits::NONE.labels);
    let mut labels = Vec::with_capacity(lines.lines.len());
    for line in &lines.lines {
        let fault = |message: String| Fault::at(1, message).on(line.before);
        let id = match &line.label {
            None => line.before,
            Some(label) => match label.parse::<u64>() {
                Ok(id) if label.bytes().all(|byte| byte.is_ascii_digit()) => id,
                _ => return Err(fault(format!("label `{label}` is not a number, as those of the training set are"))),
            },
        };
        if id >= limit {
            return Err(fault(format!("label {id} is far above the {known} labels of the training set")));
        }
        labels.push(id as u32);
    }
    once(&labels, lines)?;
    let tabs = lines.lines.first().is_some_and(|line| line.label.is_some());
    if !tabs && lines.count < known {
        let message = format!(
            "{} lines for {known} labels: line i, from 0, is the text of label i; texts of some labels are lines `id<TAB>text`",
            lines.count
        );
        return Err(Fault::at(0, message).on(lines.count - 1));
    }
    let all = if tabs { labels.iter().map(|&label| u64::from(label) + 1).max().unwrap_or(0) } else { lines.count };
    Ok((vocabulary.with_labels(known.max(all) as usize, None), labels))
}

fn texts_of<'a>(vocabulary: &Vocabulary, texts: impl Iterator<Item = Option<&'a str>>) -> Result<LabelTexts> {
    let mut batch = Batch::new(vocabulary.features());
    for text in texts {
        vocabulary.push_text(text.unwrap_or_default(), &mut batch)?;
    }
    Ok(LabelTexts { features: batch.features })
}

/// The text of each label.
fn vectors(vocabulary: &Vocabulary, texts: Vec<Option<&Line>>) -> Result<LabelTexts, Fault> {
    if is_text(vocabulary.format()) {
        let texts = texts.iter().map(|line| line.map(|line| line.text.as_str()));
        return texts_of(vocabulary, texts).map_err(|error| Fault::at(0, error.to_string()));
    }
    let limits = Limits { features: vocabulary.features() as u64, ..Limits::NONE };
    let parser = IdParser { limits, policy: Policy::Ignore, comments: false };
    let (mut batch, mut scratch) = (Batch::new(vocabulary.features()), Scratch::default());
    for line in texts {
        let (mut out, text) = (Records::default(), line.map_or("", |line| line.text.as_str()));
        parser.pair(text.as_bytes(), b"", &mut scratch, &mut out).map_err(|fault| {
            let message = format!("{}: the training set has features, so texts are `feature:value ..`", fault.message);
            // The column is the text's, not the line's.
            Fault::at(0, message).on(line.map_or(0, |line| line.before))
        })?;
        vocabulary.weighting().push(out.get(0), &mut batch);
    }
    Ok(LabelTexts { features: batch.features })
}
