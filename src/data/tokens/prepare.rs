//! From files of text to token files: streamed, in parallel, in the order of the files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rand::RngExt;
use serde::Serialize;

use super::pieces::{last_cut, pieces};
use super::tokenizer::{TOKENIZER, Tokenizer};
use super::train::{MOST_BYTES, Words};
use super::{TokenSummary, TokenWriter};
use crate::checkpoint::disk::{System, replace_file};
use crate::data::input::Input;
use crate::data::lines::{Cut, Fault, for_each_cut, lines};
use crate::error::{Error, Result};
use crate::rng::rng;

/// What is made into tokens.
#[derive(Clone, Debug, Default)]
pub struct TextOptions {
    /// Files of text, or of JSON objects a line (`.jsonl`, `.ndjson`), each also packed (gzip, zstd). A text file is one document, a
    /// line of objects is one.
    pub files: Vec<PathBuf>,
    /// The same for validation.
    pub valid: Vec<PathBuf>,
    /// The field of an object that is its text.
    pub field: String,
    /// Share of `files` that goes to validation instead: of objects any, of a text file its end.
    pub valid_share: f64,
    /// What `valid_share` draws with.
    pub seed: u64,
}

/// Where the tokenizer comes from.
#[derive(Clone, Debug)]
pub enum TokenizerSource {
    /// Learnt from what is trained on, with so many tokens.
    Train(usize),
    /// See [`Tokenizer::load`].
    Load(PathBuf),
}

/// What [`tokenize`] has made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prepared {
    /// The token file to train on.
    pub train: PathBuf,
    /// The one to measure on.
    pub valid: Option<PathBuf>,
    /// The `tokenizer.json`.
    pub tokenizer: PathBuf,
    /// Tokens that there are.
    pub vocabulary: usize,
    /// Hash of the tokenizer.
    pub tokenizer_hash: String,
    /// Tokens, documents and bytes of text of both files.
    pub counts: Vec<Counts>,
}

/// How far a pass of [`tokenize_with`] over its files is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What it does: `measuring`, `counting words`, `learning` (which reads nothing), `encoding`.
    pub pass: &'static str,
    /// Bytes that it has read, of packed files packed ones.
    pub bytes: u64,
    /// Bytes of its files.
    pub of: u64,
}

/// How much a token file holds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Counts {
    /// Tokens, those between documents included.
    pub tokens: u64,
    /// Documents.
    pub documents: u64,
    /// Bytes of text.
    pub source_bytes: u64,
    /// Bytes of text a token.
    pub bytes_per_token: f64,
}

/// Makes `train.tokens`, `valid.tokens` (if there is anything for it) and `tokenizer.json` in the folder `out`, made if need be.
/// Memory does not depend on the size of the files.
///
/// ```
/// use hotrow::data::tokens::{TextOptions, TokenizerSource, tokenize};
/// # let folder = tempfile::tempdir()?;
/// let text = folder.path().join("text.jsonl");
/// std::fs::write(&text, "{\"text\": \"to be or not\"}\n{\"text\": \"to be\"}\n")?;
/// let options = TextOptions { files: vec![text], field: "text".into(), ..TextOptions::default() };
/// let made = tokenize(&options, &TokenizerSource::Train(260), folder.path())?;
/// assert_eq!((made.counts[0].documents, made.counts[0].source_bytes), (2, 17));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`Error::Config`] if an option cannot be; [`Error::Data`] with file and line for what is not UTF-8, no object, or has no such field;
/// [`Error::Io`] if the system refuses. Files that were there before are as they were.
pub fn tokenize(options: &TextOptions, source: &TokenizerSource, out: &Path) -> Result<Prepared> {
    tokenize_with(options, source, out, &mut |_| ())
}

/// As [`tokenize`]; tells again and again how far it is.
///
/// # Errors
///
/// As [`tokenize`].
pub fn tokenize_with(
    options: &TextOptions,
    source: &TokenizerSource,
    out: &Path,
    tell: &mut dyn FnMut(Reading),
) -> Result<Prepared> {
    if !(0.0..1.0).contains(&options.valid_share) {
        return Err(Error::config("--valid-share", format!("{} is not at least 0 and below 1", options.valid_share)));
    }
    if options.valid_share > 0.0 && !options.valid.is_empty() {
        return Err(Error::config("--valid-share", "there are files for validation: leave out one of the two"));
    }
    let corpus = Corpus::open(options, tell)?;
    let tokenizer = match source {
        TokenizerSource::Train(vocabulary) => {
            let words = corpus.words(tell)?;
            tell(Reading { pass: "learning", bytes: 0, of: 0 });
            words.learn(*vocabulary)?
        }
        TokenizerSource::Load(path) => Tokenizer::load(path)?,
    };
    fs::create_dir_all(out).map_err(Error::io(out))?;
    let paths = [out.join("train.tokens"), out.join("valid.tokens")];
    let create =
        |path: &PathBuf| TokenWriter::create(path, tokenizer.vocabulary(), tokenizer.end_of_text(), tokenizer.hash());
    let mut writers = [create(&paths[0])?, create(&paths[1])?];
    corpus.write(&tokenizer, &mut writers, tell)?;
    let [train, valid] = writers;
    if train.summary().tokens == 0 {
        return Err(Error::data(&options.files[0], 0, 0, "there is no text to train on"));
    }
    replace_file(&System, out, TOKENIZER, tokenizer.json())?;
    let mut counts = vec![Counts::from(train.finish()?)];
    let has_valid = valid.summary().tokens > 0;
    if has_valid {
        counts.push(valid.finish()?.into());
    }
    let [train, valid] = paths;
    Ok(Prepared {
        train,
        valid: has_valid.then_some(valid),
        tokenizer: out.join(TOKENIZER),
        vocabulary: tokenizer.vocabulary(),
        tokenizer_hash: format!("{:032x}", tokenizer.hash()),
        counts,
    })
}

impl From<TokenSummary> for Counts {
    fn from(summary: TokenSummary) -> Self {
        let TokenSummary { tokens, documents, source_bytes, .. } = summary;
        Self { tokens, documents, source_bytes, bytes_per_token: source_bytes as f64 / tokens.max(1) as f64 }
    }
}

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

struct Corpus<'a> {
    texts: Vec<Text<'a>>,
    options: &'a TextOptions,
}

/// What a block gives to training, or to validation.
#[derive(Default)]
struct Part {
    tokens: Vec<u32>,
    bytes: u64,
    documents: u64,
}

impl<'a> Corpus<'a> {
    fn open(options: &'a TextOptions, tell: &mut dyn FnMut(Reading)) -> Result<Self> {
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
    fn words(&self, tell: &mut dyn FnMut(Reading)) -> Result<Words> {
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

    fn write(
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
