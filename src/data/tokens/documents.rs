//! Divides a block of a file into documents: lines of JSON objects, or text.

use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rand::RngExt;

use super::cuts::Cuts;
use super::tokenizer::EndOfText;
use crate::data::lines::{BLOCK, Fault, after_line, lines};
use crate::rng::rng;

/// The format of text files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextFormat {
    /// JSON objects if the name ends in `.jsonl` or `.ndjson`, also packed; else text. Text that looks like JSON is
    /// refused.
    #[default]
    ByName,
    /// Text, whatever it looks like.
    Text,
    /// JSON objects, one a line.
    Objects,
}

impl TextFormat {
    /// Whether a file of this name holds JSON objects.
    pub(super) fn holds_objects(self, path: &Path) -> bool {
        let name = path.to_string_lossy().to_lowercase();
        let name = name.strip_suffix(".gz").or(name.strip_suffix(".zst")).unwrap_or(&name);
        match self {
            Self::ByName => name.ends_with(".jsonl") || name.ends_with(".ndjson"),
            Self::Text => false,
            Self::Objects => true,
        }
    }
}

/// What [`tokenize`](super::tokenize) reads, and how.
#[derive(Clone, Debug, Default)]
pub struct TextOptions {
    /// Files of text, or of JSON objects a line (see `format`); both may be packed (gzip, zstd). A line of objects is
    /// one document. So is a text file, unless there is a `document_separator`.
    pub files: Vec<PathBuf>,
    /// The files for validation.
    pub valid: Vec<PathBuf>,
    /// The field with an object's text.
    pub field: String,
    /// The share of `files` that goes to validation instead: randomly drawn objects, or the end of a text file. The end
    /// begins at a line or a word, if one is near.
    pub valid_share: f64,
    /// The seed of that draw.
    pub seed: u64,
    /// The format of the files.
    pub format: TextFormat,
    /// Stands between the documents of a text file, and is no text itself. If it has a line of its own, the end of that
    /// line belongs to it. Empty documents do not count.
    pub document_separator: Option<String>,
    /// The token before each document.
    pub end_of_text: EndOfText,
    /// How many records may be left out, over all files: lines that are no UTF-8, and lines of objects that are no
    /// object or lack a text in the field.
    pub skip_bad: u64,
    /// Whether text is brought into the normal form of the tokenizer first (see
    /// [`Tokenizer::normalizing`](super::Tokenizer::normalizing)). Bytes are then counted in that form.
    pub normalize: bool,
}

/// A file, and which part of it is for training.
pub(super) struct Text<'a> {
    pub path: &'a Path,
    pub objects: bool,
    /// The probability that a document of objects is for training, or the share of a text that is.
    pub share: f64,
    pub train_bytes: u64,
    /// Text is cut at the end of a line or a word that is at most so many bytes from the exact place.
    pub near: u64,
    pub number: usize,
}

/// Some text of a document.
pub(super) struct Part<'a> {
    pub train: bool,
    /// Whether it begins a document. Otherwise it continues the one before, if there is one.
    pub opens: bool,
    pub text: &'a str,
}

/// Counts of a block, apart from its text.
#[derive(Debug, Default)]
pub(super) struct BlockInfo {
    /// The number of lines that end in it.
    pub lines: u64,
    /// The records left out, up to one too many.
    pub bad: Vec<Fault>,
    /// The number of separators between documents.
    pub separators: u64,
}

impl Text<'_> {
    /// Where a block may end. If bad lines may be left out, a line that is not UTF-8 stays in one block, so it counts
    /// once.
    pub fn end_of_block(&self, cuts: &Cuts, bytes: &[u8], options: &TextOptions) -> Option<usize> {
        if self.objects {
            return after_line(bytes);
        }
        if bytes.len() < BLOCK && bytes.trim_ascii_start().starts_with(b"{") {
            // What may be an object stays whole, to be told from text. The file ends within this block.
            return None;
        }
        let mut whole = if options.skip_bad > 0 { after_line(bytes) } else { None };
        while let Some(at) = whole.and_then(|end| cuts.last(&bytes[..end])) {
            let start = after_line(&bytes[..at]).unwrap_or(0);
            let end = at + bytes[at..].iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len() - at);
            if std::str::from_utf8(&bytes[start..end]).is_ok() {
                return Some(at);
            }
            whole = Some(start).filter(|&start| start > 0);
        }
        cuts.end_of_block(bytes)
    }

    /// Calls `take` with the parts of a block.
    pub fn each(
        &self,
        block: &[u8],
        start: u64,
        options: &TextOptions,
        take: impl FnMut(Part) -> Result<(), String>,
    ) -> Result<BlockInfo, Fault> {
        let (bad, separators) = match self.objects {
            true => (self.each_object(block, start, options, take)?, 0),
            false => self.each_text(block, start, options, take)?,
        };
        Ok(BlockInfo { lines: block.iter().filter(|&&byte| byte == b'\n').count() as u64, bad, separators })
    }

    fn each_text(
        &self,
        block: &[u8],
        start: u64,
        options: &TextOptions,
        mut take: impl FnMut(Part) -> Result<(), String>,
    ) -> Result<(Vec<Fault>, u64), Fault> {
        let (text, bad) = readable(block, options.skip_bad);
        if let Some(what) = looks_like_json(&text).filter(|_| start == 0 && options.format == TextFormat::ByName) {
            return Err(Fault::at(0, what));
        }
        let wanted = usize::try_from(self.train_bytes.saturating_sub(start)).unwrap_or(usize::MAX);
        let cut = cut_near(&text, wanted, self.near as usize);
        let segments = segments(&text, options.document_separator.as_deref());
        let separators = segments.len() as u64 - 1;
        for (opens, range) in segments {
            let middle = cut.clamp(range.start, range.end);
            for (train, range) in [(true, range.start..middle), (false, middle..range.end)] {
                let part = Part { train, opens: opens && (train || middle == range.start), text: &text[range] };
                take(part).map_err(|message| Fault::at(0, message))?;
            }
        }
        Ok((bad, separators))
    }

    fn each_object(
        &self,
        block: &[u8],
        start: u64,
        options: &TextOptions,
        mut take: impl FnMut(Part) -> Result<(), String>,
    ) -> Result<Vec<Fault>, Fault> {
        let mut bad = Vec::new();
        for (line, bytes) in lines(block).enumerate() {
            let fault = |fault| Fault { line: line as u64, ..fault };
            // The position identifies a document.
            let number = start + (bytes.as_ptr() as usize - block.as_ptr() as usize) as u64;
            let document = match document(bytes, &options.field) {
                Ok(document) => document,
                Err(wrong) => {
                    bad.push(fault(wrong));
                    if bad.len() as u64 > options.skip_bad {
                        break;
                    }
                    continue;
                }
            };
            if document.is_empty() {
                continue;
            }
            let draw = || rng(options.seed, &format!("valid/{}", self.number), number).random::<f64>();
            let train = self.share == 1.0 || (self.share > 0.0 && draw() < self.share);
            let part = Part { train, opens: true, text: &document };
            take(part).map_err(|message| fault(Fault::at(0, message)))?;
        }
        Ok(bad)
    }
}

/// The text of an object; empty for a blank line.
fn document(line: &[u8], field: &str) -> Result<String, Fault> {
    if utf8(line)?.trim().is_empty() {
        return Ok(String::new());
    }
    let mut object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(line).map_err(|error| no_object(line, &error))?;
    match object.remove(field) {
        Some(serde_json::Value::String(text)) => Ok(text),
        Some(_) => Err(Fault::at(0, format!("the field {field:?} is no text"))),
        None => {
            let fields: Vec<_> = object.keys().take(8).map(String::as_str).collect();
            let message = format!("the object has no field {field:?}, but {}", fields.join(", "));
            Err(Fault::at(0, message))
        }
    }
}

fn no_object(line: &[u8], error: &serde_json::Error) -> Fault {
    let message = error.to_string();
    // The parser sees one line only. Its own place is cut from the message.
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = message.strip_suffix(&place).unwrap_or(&message);
    let help = match line.trim_ascii_start().first() {
        Some(b'[') => "; an array becomes objects, one a line, by `jq -c '.[]'`",
        _ => "",
    };
    Fault::at(error.column(), format!("no object: {message}{help}"))
}

fn utf8(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() as u64;
        let column = before.iter().rev().take_while(|&&byte| byte != b'\n').count() + 1;
        Fault { line, ..Fault::at(column, "the text is not UTF-8") }
    })
}

/// The text of a block without the lines that are not UTF-8, and these lines, up to one too many. The first line may
/// have begun in another block.
fn readable(block: &[u8], skip_bad: u64) -> (Cow<'_, str>, Vec<Fault>) {
    if let Ok(text) = std::str::from_utf8(block) {
        return (Cow::Borrowed(text), Vec::new());
    }
    let (mut text, mut bad) = (String::new(), Vec::new());
    for (number, line) in block.split_inclusive(|&byte| byte == b'\n').enumerate() {
        match utf8(line) {
            Ok(line) => text.push_str(line),
            Err(fault) => {
                bad.push(Fault { line: number as u64, ..fault });
                if bad.len() as u64 > skip_bad {
                    break;
                }
            }
        }
    }
    (Cow::Owned(text), bad)
}

/// The name of what a text looks like, if it begins as JSON objects do.
fn looks_like_json(text: &str) -> Option<&'static str> {
    let text = text.trim_start();
    let object = || match serde_json::from_str::<serde_json::Map<_, serde_json::Value>>(text.lines().next()?) {
        // A long line shows only its beginning here. As far as it goes it is an object.
        Err(error) => (error.is_eof() && text.starts_with('{') && text.len() > BLOCK / 2).then_some(()),
        Ok(_) => Some(()),
    };
    if text.strip_prefix('[').is_some_and(|rest| rest.trim_start().starts_with('{')) {
        return Some(
            "looks like a JSON array of objects, not like text: `jq -c '.[]'` makes objects of it, one a line, for \
             --format jsonl; --format text takes it as it is",
        );
    }
    object().map(|()| {
        "looks like JSON objects, one a line, not like text: say --format jsonl for their texts, --format text to take \
         the file as it is"
    })
}

/// The ranges of `text` between separators, and whether a separator stands before each. A separator with a line of its
/// own includes the end of that line.
fn segments(text: &str, mark: Option<&str>) -> Vec<(bool, Range<usize>)> {
    let Some(mark) = mark.filter(|mark| !mark.is_empty()) else { return vec![(false, 0..text.len())] };
    let (mut segments, mut from, mut alone) = (Vec::new(), 0, false);
    for (at, _) in text.match_indices(mark) {
        if at < from {
            // The end of a line that belongs to a separator.
            continue;
        }
        segments.push((!segments.is_empty(), from..at));
        // Several separators may share a line.
        alone = at == 0 || text[..at].ends_with('\n') || (alone && at == from);
        from = at + mark.len();
        let rest = &text[from..];
        let end = if rest.starts_with("\r\n") { 2 } else { usize::from(rest.starts_with('\n')) };
        from += if alone { end } else { 0 };
    }
    segments.push((!segments.is_empty(), from..text.len()));
    segments
}

/// The beginning of a line nearest to `wanted`, within `near` bytes; else the nearest place before white space; else
/// the beginning of the character there.
fn cut_near(text: &str, wanted: usize, near: usize) -> usize {
    if wanted == 0 || wanted >= text.len() {
        return wanted.min(text.len());
    }
    let character = (0..=wanted).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let (before, after) = text.split_at(character);
    let nearest = |left: Option<usize>, right: Option<usize>| {
        let places = left.into_iter().chain(right.map(|at| at + character));
        places.min_by_key(|at| at.abs_diff(wanted)).filter(|at| at.abs_diff(wanted) <= near)
    };
    let line = nearest(before.rfind('\n').map(|at| at + 1), after.find('\n').map(|at| at + 1));
    let word = || nearest(before.rfind(char::is_whitespace), after.find(char::is_whitespace));
    line.or_else(word).unwrap_or(character)
}
