//! Files of text, and which parts of them are for training: read in blocks, in parallel, in the order of the files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rand::RngExt;

use super::pieces::{last_cut, pieces};
use super::prepare::{Reading, TextOptions};
use super::tokenizer::Tokenizer;
use super::train::{MOST_BYTES, Words};
use super::writer::TokenWriter;
use crate::data::input::Input;
use crate::data::lines::{Cut, Fault, for_each_cut, lines};
use crate::error::{Error, Result};
use crate::rng::rng;

/// A file, and which part of it is for training.
struct Text<'a> {
    path: &'a Path,
    objects: bool,
    /// A document (of objects) or a place (of text) is for training with this probability, or below this byte.
    share: f64,
    train_bytes: u64,
    number: usize,
}

/// One reading of some of the files.
struct Pass<'a> {
    name: &'static str,
    of: u64,
    read: AtomicU64,
    tell: &'a mut dyn FnMut(Reading),
}

impl<'a> Pass<'a> {
    fn new<'b>(name: &'static str, files: impl Iterator<Item = &'b Path>, tell: &'a mut dyn FnMut(Reading)) -> Self {
        // Whether a file can be read is found out by reading it.
        let of = files.map(|path| fs::metadata(path).map_or(0, |file| file.len())).sum();
        Self { name, of, read: AtomicU64::new(0), tell }
    }

    /// As [`for_each_cut`].
    fn read<T: Send>(
        &mut self,
        path: &Path,
        cut: Cut,
        parse: impl Fn(&[u8], u64) -> Result<T, Fault> + Sync,
        mut take: impl FnMut(T) -> Result<()>,
    ) -> Result<()> {
        for_each_cut(Input::Counted(path, &self.read), cut, parse, |part| {
            (self.tell)(Reading { pass: self.name, bytes: self.read.load(Ordering::Relaxed), of: self.of });
            take(part)
        })
    }
}

/// Whether a file holds JSON objects, by its name.
fn holds_objects(path: &Path) -> bool {
    let name = path.to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").or(name.strip_suffix(".zst")).unwrap_or(&name);
    name.ends_with(".jsonl") || name.ends_with(".ndjson")
}

/// The files.
pub(super) struct Corpus<'a> {
    texts: Vec<Text<'a>>,
    options: &'a TextOptions,
}

/// Refuses a pipe that would have to be read twice: the second reading finds nothing, or waits for ever.
fn can_be_read_again(path: &Path, learns: bool, shares: bool) -> Result<()> {
    // A file that is not there is found out by reading it, and a folder has an error of its own.
    let flows = fs::metadata(path).is_ok_and(|file| !file.is_file() && !file.is_dir());
    let refuse = |why: &str| Err(Error::data(path, 0, 0, format!("is a pipe or device; {why}")));
    if flows && learns {
        return refuse("learning a tokenizer reads its files twice: give a file, or --tokenizer");
    }
    if flows && shares && !holds_objects(path) {
        return refuse("--valid-share reads a text twice, to know where its last part begins: give a file, or --valid");
    }
    Ok(())
}

/// What a block gives to training, or to validation.
#[derive(Default)]
struct Part {
    tokens: Vec<u32>,
    bytes: u64,
    documents: u64,
}

impl<'a> Corpus<'a> {
    /// `learns` says whether [`words`](Self::words) will be called.
    pub fn open(options: &'a TextOptions, learns: bool, tell: &mut dyn FnMut(Reading)) -> Result<Self> {
        options.files.iter().try_for_each(|path| can_be_read_again(path, learns, options.valid_share > 0.0))?;
        let cut = options.files.iter().map(PathBuf::as_path).filter(|path| !holds_objects(path));
        let mut pass = Pass::new("measuring", cut, tell);
        let trained = options.files.iter().map(|path| (path, 1.0 - options.valid_share));
        let files = trained.chain(options.valid.iter().map(|path| (path, 0.0)));
        let texts = files.enumerate().map(|(number, (path, share))| {
            if path.is_dir() {
                return Err(Error::data(path, 0, 0, "is a folder, not a file"));
            }
            let objects = holds_objects(path);
            let mut text = Text { path, objects, share, train_bytes: 0, number };
            if share == 1.0 {
                text.train_bytes = u64::MAX;
            } else if !objects && share > 0.0 {
                let mut bytes = 0;
                pass.read(
                    path,
                    text.cut(),
                    |block, _| Ok(block.len() as u64),
                    |length| {
                        bytes += length;
                        Ok(())
                    },
                )?;
                text.train_bytes = (bytes as f64 * share) as u64;
            }
            Ok(text)
        });
        Ok(Self { texts: texts.collect::<Result<_>>()?, options })
    }

    /// The words of what is trained on.
    pub fn words(&self, tell: &mut dyn FnMut(Reading)) -> Result<Words> {
        let (mut total, mut used) = (Words::default(), 0);
        let trained = self.texts.iter().filter(|text| text.share > 0.0);
        let mut pass = Pass::new("counting words", trained.clone().map(|text| text.path), tell);
        for text in trained {
            let mut bytes = 0;
            let count = |block: &[u8], start: u64| {
                let mut words = Words::default();
                if used + start + block.len() as u64 <= MOST_BYTES {
                    text.each(block, start, self.options, |train, text| match train {
                        true => words.count(text),
                        false => Ok(()),
                    })?;
                }
                Ok((words, block.len() as u64))
            };
            pass.read(text.path, text.cut(), count, |(words, length)| {
                bytes += length;
                total.add(words);
                Ok(())
            })?;
            used += bytes;
        }
        Ok(total)
    }

    /// Writes what is for training to the first of `writers`, the rest to the second.
    pub fn write(
        &self,
        tokenizer: &Tokenizer,
        writers: &mut [TokenWriter; 2],
        tell: &mut dyn FnMut(Reading),
    ) -> Result<()> {
        let mut pass = Pass::new("encoding", self.texts.iter().map(|text| text.path), tell);
        for text in &self.texts {
            let encode = |block: &[u8], start: u64| {
                let mut sides = [Part::default(), Part::default()];
                text.each(block, start, self.options, |train, document| {
                    let part = &mut sides[usize::from(!train)];
                    if text.objects {
                        part.documents += 1;
                        part.tokens.extend(tokenizer.end_of_text());
                    }
                    part.bytes += document.len() as u64;
                    tokenizer.encode_to(document, &mut part.tokens)
                })?;
                Ok(sides)
            };
            let mut begun = [text.objects; 2];
            pass.read(text.path, text.cut(), encode, |sides| {
                for ((part, writer), begun) in sides.into_iter().zip(&mut *writers).zip(&mut begun) {
                    if !part.tokens.is_empty() && !std::mem::replace(begun, true) {
                        writer.begin_document()?;
                    }
                    writer.count_documents(part.documents);
                    writer.append(&part.tokens, part.bytes)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

impl Text<'_> {
    fn cut(&self) -> Cut {
        if self.objects { |bytes| bytes.iter().rposition(|&byte| byte == b'\n').map(|at| at + 1) } else { last_cut }
    }

    /// Calls `take` with each document of a block (of text: with some of it), and whether it is for training.
    fn each(
        &self,
        block: &[u8],
        start: u64,
        options: &TextOptions,
        mut take: impl FnMut(bool, &str) -> Result<(), String>,
    ) -> Result<(), Fault> {
        if !self.objects {
            let text = utf8(block)?;
            // A block that training and validation share is cut at a line.
            let wanted = usize::try_from(self.train_bytes.saturating_sub(start)).unwrap_or(usize::MAX);
            let cut = if wanted < block.len() { last_cut(&block[..wanted]).unwrap_or(0) } else { block.len() };
            for (train, part) in [(true, &text[..cut]), (false, &text[cut..])] {
                pieces(part).try_for_each(|piece| take(train, piece)).map_err(|message| Fault::at(0, message))?;
            }
            return Ok(());
        }
        for (line, bytes) in lines(block).enumerate() {
            let fault = |fault| Fault { line: line as u64, ..fault };
            // A document is known by where it stands.
            let number = start + (bytes.as_ptr() as usize - block.as_ptr() as usize) as u64;
            let document = self.document(bytes, &options.field).map_err(fault)?;
            if document.is_empty() {
                continue;
            }
            let draw = || rng(options.seed, &format!("valid/{}", self.number), number).random::<f64>();
            let train = self.share == 1.0 || (self.share > 0.0 && draw() < self.share);
            take(train, &document).map_err(|message| fault(Fault::at(0, message)))?;
        }
        Ok(())
    }

    /// The text of an object; nothing for a blank line.
    fn document(&self, line: &[u8], field: &str) -> Result<String, Fault> {
        if utf8(line)?.trim().is_empty() {
            return Ok(String::new());
        }
        let mut object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(line).map_err(|error| Fault::at(error.column(), format!("no object: {error}")))?;
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
}

fn utf8(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() as u64;
        let column = before.iter().rev().take_while(|&&byte| byte != b'\n').count() + 1;
        Fault { line, ..Fault::at(column, "the text is not UTF-8") }
    })
}
