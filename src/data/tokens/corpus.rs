//! Reads files of text in blocks, in parallel and in order, and divides them between training and validation.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::cuts::Cuts;
use super::documents::{BlockInfo, Part, Text, TextOptions};
use super::tokenizer::{EndOfText, Tokenizer};
use super::train::{MOST_BYTES, Words};
use super::writer::TokenWriter;
use crate::data::input::Input;
use crate::data::lines::{Cut, Fault, for_each_cut};
use crate::error::{Error, Result};

/// The cut between training and validation moves to the end of a line, or of a word. It moves by at most a tenth of
/// either part, and by at most [`FARTHEST`] bytes.
const NEAR: u64 = 10;

/// See [`NEAR`].
const FARTHEST: u64 = 1 << 16;

/// Records that were left out, and text that may not be meant as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The number of records left out (see [`TextOptions::skip_bad`]).
    pub bad_records: u64,
    /// The fault of the first of them, with its place.
    pub first_bad_record: Option<String>,
    /// How often the text contains the name of the end-of-text token. It is text like any other, unless it separates
    /// documents.
    pub end_of_text_names: u64,
}

/// The progress of a pass of [`tokenize_with`](super::tokenize_with) over its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassProgress {
    /// The pass: `measuring`, `counting words`, `learning` (which reads nothing) or `encoding`.
    pub pass: &'static str,
    /// Bytes read so far. Packed files count as packed.
    pub bytes: u64,
    /// Bytes of all files of the pass.
    pub of: u64,
}

/// One pass over some of the files.
struct Pass<'a> {
    name: &'static str,
    of: u64,
    read: AtomicU64,
    progress: &'a mut dyn FnMut(PassProgress),
}

impl<'a> Pass<'a> {
    fn new<'b>(
        name: &'static str,
        files: impl Iterator<Item = &'b Path>,
        progress: &'a mut dyn FnMut(PassProgress),
    ) -> Self {
        // Reading finds out whether a file can be read.
        let of = files.map(|path| fs::metadata(path).map_or(0, |file| file.len())).sum();
        Self { name, of, read: AtomicU64::new(0), progress }
    }

    /// As [`for_each_cut`].
    fn read<T: Send>(
        &mut self,
        path: &Path,
        cut: Cut<'_>,
        parse: impl Fn(&[u8], u64) -> Result<T, Fault> + Sync,
        mut take: impl FnMut(T) -> Result<()>,
    ) -> Result<()> {
        for_each_cut(Input::Counted(path, &self.read), cut, parse, |part| {
            (self.progress)(PassProgress { pass: self.name, bytes: self.read.load(Ordering::Relaxed), of: self.of });
            take(part)
        })
    }
}

/// The files, divided between training and validation.
pub(super) struct Corpus<'a> {
    texts: Vec<Text<'a>>,
    options: &'a TextOptions,
}

/// Refuses a pipe that would have to be read twice. The second reading would find nothing, or wait for ever.
fn check_rereadable(path: &Path, options: &TextOptions, learns: bool) -> Result<()> {
    // Reading finds out whether the file exists. A folder has an error of its own.
    let flows = fs::metadata(path).is_ok_and(|file| !file.is_file() && !file.is_dir());
    let refuse = |why: &str| Err(Error::data(path, 0, 0, format!("is a pipe or device; {why}")));
    if flows && learns {
        return refuse("learning a tokenizer reads its files twice: give a file, or --tokenizer");
    }
    if flows && options.valid_share > 0.0 && !options.format.holds_objects(path) {
        return refuse("--valid-share reads a text twice, to know where its last part begins: give a file, or --valid");
    }
    Ok(())
}

/// The part of a block for training, or for validation.
#[derive(Default)]
struct Side {
    /// The rest of the document that the block before began.
    continued: Tokens,
    /// Documents that begin in this block.
    opened: Tokens,
    documents: u64,
    /// Whether the last document begun has any text yet; `None` if none was begun.
    begun: Option<bool>,
    /// How often the text contains the name of the end-of-text token.
    names: u64,
}

#[derive(Default)]
struct Tokens {
    tokens: Vec<u32>,
    bytes: u64,
}

impl Side {
    fn add(&mut self, part: &Part, tokenizer: &Tokenizer) -> Result<(), String> {
        if part.opens {
            self.begun = Some(false);
        }
        if part.text.is_empty() {
            return Ok(());
        }
        let tokens = match &mut self.begun {
            None => &mut self.continued,
            Some(begun) => {
                if !std::mem::replace(begun, true) {
                    self.documents += 1;
                    self.opened.tokens.extend(tokenizer.end_of_text());
                }
                &mut self.opened
            }
        };
        tokens.bytes += tokenizer.encode_text(part.text, &mut tokens.tokens)?;
        Ok(())
    }

    /// Writes it. `begun` tells whether the current document has any text yet.
    fn write(&self, writer: &mut TokenWriter, begun: &mut bool) -> Result<()> {
        if !self.continued.tokens.is_empty() && !std::mem::replace(begun, true) {
            writer.begin_document()?;
        }
        *begun = self.begun.unwrap_or(*begun);
        writer.count_documents(self.documents);
        [&self.continued, &self.opened].into_iter().try_for_each(|of| writer.append(&of.tokens, of.bytes))
    }
}

/// Counts the records left out. One too many is an error.
#[derive(Default)]
struct Bad {
    total: u64,
    first: Option<String>,
}

impl Bad {
    /// Adds those of a block that begins after `line` lines of the file.
    fn add(&mut self, text: &Text, line: &mut u64, info: BlockInfo, most: u64) -> Result<()> {
        for fault in info.bad {
            self.total += 1;
            let error = || Error::data(text.path, *line + fault.line + 1, fault.column, fault.message.clone());
            if self.total > most {
                return Err(error());
            }
            self.first.get_or_insert_with(|| error().to_string());
        }
        *line += info.lines;
        Ok(())
    }
}

impl<'a> Corpus<'a> {
    /// Opens the files. `learns` tells whether [`words`](Self::words) will be called.
    pub fn open(options: &'a TextOptions, learns: bool, progress: &mut dyn FnMut(PassProgress)) -> Result<Self> {
        options.files.iter().try_for_each(|path| check_rereadable(path, options, learns))?;
        let cut = options.files.iter().map(PathBuf::as_path).filter(|path| !options.format.holds_objects(path));
        let mut pass = Pass::new("measuring", cut, progress);
        let trained = options.files.iter().map(|path| (path, 1.0 - options.valid_share));
        let files = trained.chain(options.valid.iter().map(|path| (path, 0.0)));
        let texts = files.enumerate().map(|(number, (path, share))| {
            if path.is_dir() {
                return Err(Error::data(path, 0, 0, "is a folder, not a file"));
            }
            let objects = options.format.holds_objects(path);
            let mut text = Text { path, objects, share, train_bytes: 0, near: 0, number };
            if share == 1.0 {
                text.train_bytes = u64::MAX;
            } else if !objects && share > 0.0 {
                let mut bytes = 0;
                let anywhere = |bytes: &[u8]| Some(bytes.len());
                pass.read(
                    path,
                    &anywhere,
                    |block, _| Ok(block.len() as u64),
                    |length| {
                        bytes += length;
                        Ok(())
                    },
                )?;
                text.train_bytes = (bytes as f64 * share) as u64;
                text.near = (text.train_bytes.min(bytes - text.train_bytes) / NEAR).min(FARTHEST);
            }
            Ok(text)
        });
        Ok(Self { texts: texts.collect::<Result<_>>()?, options })
    }

    /// The words of the part for training.
    pub fn words(&self, progress: &mut dyn FnMut(PassProgress)) -> Result<Words> {
        let (mut total, mut used, mut bad) = (Words::default(), 0, Bad::default());
        let cuts = Cuts::known().around(self.options.document_separator.as_deref());
        let trained = self.texts.iter().filter(|text| text.share > 0.0);
        let mut pass = Pass::new("counting words", trained.clone().map(|text| text.path), progress);
        for text in trained {
            let (mut bytes, mut line) = (0, 0);
            let count = |block: &[u8], start: u64| {
                let (mut words, mut info) = (Words::default(), BlockInfo::default());
                if used + start + block.len() as u64 <= MOST_BYTES {
                    info = text.each(block, start, self.options, |part| match part.train {
                        true => words.count(part.text),
                        false => Ok(()),
                    })?;
                }
                Ok((words, info, block.len() as u64))
            };
            pass.read(
                text.path,
                &|bytes| text.end_of_block(&cuts, bytes, self.options),
                count,
                |(words, info, length)| {
                    bad.add(text, &mut line, info, self.options.skip_bad)?;
                    bytes += length;
                    total.add(words);
                    Ok(())
                },
            )?;
            used += bytes;
        }
        Ok(total)
    }

    /// Writes the part for training to the first of `writers`, and the rest to the second.
    ///
    /// # Errors
    ///
    /// As [`tokenize`](super::tokenize).
    pub fn write(
        &self,
        tokenizer: &Tokenizer,
        writers: &mut [TokenWriter; 2],
        progress: &mut dyn FnMut(PassProgress),
    ) -> Result<(LeftOut, u64)> {
        let options = self.options;
        let name = tokenizer.end_of_text().and_then(|token| tokenizer.name_of(token));
        let name = name.filter(|name| !name.is_empty());
        // Neither the separator nor the name lies across two blocks.
        let cuts = tokenizer.cuts().clone().around(options.document_separator.as_deref()).around(name.as_deref());
        let allowed = tokenizer.end_of_text().is_some() || options.end_of_text == EndOfText::Absent;
        let (mut bad, mut names, mut separators) = (Bad::default(), 0, 0);
        let mut pass = Pass::new("encoding", self.texts.iter().map(|text| text.path), progress);
        for text in &self.texts {
            let encode = |block: &[u8], start: u64| {
                let mut sides = [Side::default(), Side::default()];
                let info = text.each(block, start, options, |part| {
                    let side = &mut sides[usize::from(!part.train)];
                    side.names += name.as_ref().map_or(0, |name| part.text.matches(name).count() as u64);
                    side.add(&part, tokenizer)
                })?;
                Ok((sides, info))
            };
            let (mut begun, mut line) = ([false; 2], 0);
            pass.read(text.path, &|bytes| text.end_of_block(&cuts, bytes, options), encode, |(sides, info)| {
                separators += info.separators;
                bad.add(text, &mut line, info, options.skip_bad)?;
                for ((side, writer), begun) in sides.iter().zip(&mut *writers).zip(&mut begun) {
                    side.write(writer, begun)?;
                    names += side.names;
                    if writer.summary().documents > 1 && !allowed {
                        return Err(tokenizer.no_end_of_text());
                    }
                }
                Ok(())
            })?;
        }
        let Bad { total: bad_records, first: first_bad_record } = bad;
        Ok((LeftOut { bad_records, first_bad_record, end_of_text_names: names }, separators))
    }
}
