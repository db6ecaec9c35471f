//! Reads samples to predict, one a line, as they come.

use super::ids::{self, IdParser};
use super::input::Input;
use super::line_reader::LineReader;
use super::records::{Entry, Records, Scratch};
use super::samples::{Limits, Policy};
use super::source::{by_name, files, is_text};
use super::text::Featurizer;
use super::text_lines::{Columns, TextParser, nonblank};
use super::unpack::other_kind;
use super::{Batch, Summary, Vocabulary, npz};
use crate::config::Format;
use crate::data::lines::Fault;
use crate::error::{Error, Result};
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;

/// Lines that wait to be parsed. More would only take memory: parsing is faster than scoring.
const WAITING: usize = 512;

/// What the reading thread hands on.
enum Item {
    Line(Vec<u8>),
    /// The features of a row of an array, and the number of others that the training set lacks.
    Row(Vec<Entry>, u64),
}

/// How a line is parsed.
#[derive(Debug)]
enum Parser {
    /// A line of plain text.
    Text(Featurizer),
    Columns(Box<TextParser>),
    Ids(IdParser),
}

/// Samples to predict, from a file or a stream, in the format of the training set: packed or not, with or without a
/// header, lines or arrays. Labels are ignored. A thread of its own reads ahead, so that available samples are answered
/// while others are awaited.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("train.svm");
/// # std::fs::write(&path, "0 1:1\n1 2:1\n")?;
/// # let sets = hotrow::data::open(&path, None, &Default::default(), folder.path())?;
/// # let vocabulary = sets.vocabulary;
/// use hotrow::data::{Batch, Stream};
/// let mut stream = Stream::new(&vocabulary, "input".as_ref(), &b"0 1:1\n\n? 2:5\n"[..], false, None)?;
/// let mut batch = Batch::new(vocabulary.features());
/// let mut lines = Vec::new();
/// while let Some(more) = stream.next(&mut batch, 256)? {
///     lines.extend(more);
/// }
/// assert_eq!((lines, batch.len()), (vec![true, false, true], 2)); // the second line has no sample
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Stream<'v> {
    vocabulary: &'v Vocabulary,
    name: PathBuf,
    items: Receiver<Result<Item>>,
    parser: Parser,
    /// Whether the first line may be a header of numbers, and whether it holds names of columns.
    numbers: bool,
    header: bool,
    line: u64,
    left_to_skip: u64,
    /// The error after the lines returned so far.
    failed: Option<Error>,
    scratch: Scratch,
    summary: Summary,
}

impl<'v> Stream<'v> {
    /// The samples of a file. It is opened once, so a pipe will do. Of a pair only the first file is read. With `text`,
    /// a line is plain text. Up to `skip_bad` faulty lines are skipped; `None` allows as many as for the training set.
    ///
    /// # Errors
    ///
    /// If there is no such file; if it holds text and the training set did not, or the other way round.
    pub fn open(
        vocabulary: &'v Vocabulary,
        path: &(impl AsRef<OsStr> + ?Sized),
        text: bool,
        skip_bad: Option<u64>,
    ) -> Result<Self> {
        let path = files(path.as_ref()).remove(0);
        let file = std::fs::File::open(&path).map_err(Error::io(&path))?;
        let meta = file.metadata().map_err(Error::io(&path))?;
        if meta.is_dir() {
            return Err(Error::data(&path, 0, 0, "is a folder, not a file"));
        }
        let named = by_name(&path).filter(|_| !text);
        let arrays = named == Some(Format::Npz) || (meta.is_file() && !text && starts_like_an_archive(&path)?);
        let format = if arrays { Format::Npz } else { later_format(vocabulary, named) };
        let (send, items) = sync_channel(WAITING);
        let stream = Self::with(vocabulary, &path, format, items, text, skip_bad)?;
        match arrays {
            true => {
                drop(file);
                let limit = vocabulary.features() as u64;
                thread::spawn(move || {
                    let take = |row, gone| send.send(Ok(Item::Row(row, gone))).is_ok();
                    // If the receiver is gone, nobody wants the error either.
                    let _ = npz::each_row(&Input::File(&path), limit, take).map_err(|error| send.send(Err(error)));
                });
            }
            false => read_lines(path, file, send),
        }
        Ok(stream)
    }

    /// The lines of `reader`; errors call it `name`. See [`Stream::open`].
    ///
    /// # Errors
    ///
    /// If `text` is set and the training set had none.
    pub fn new(
        vocabulary: &'v Vocabulary,
        name: &Path,
        reader: impl Read + Send + 'static,
        text: bool,
        skip_bad: Option<u64>,
    ) -> Result<Self> {
        let (send, items) = sync_channel(WAITING);
        let stream = Self::with(vocabulary, name, later_format(vocabulary, None), items, text, skip_bad)?;
        read_lines(name.to_owned(), reader, send);
        Ok(stream)
    }

    fn with(
        vocabulary: &'v Vocabulary,
        name: &Path,
        format: Format,
        items: Receiver<Result<Item>>,
        text: bool,
        skip_bad: Option<u64>,
    ) -> Result<Self> {
        let (options, trained) = (vocabulary.options(), vocabulary.format());
        if text && !is_text(trained) {
            return Err(Error::config("data.format", "the training set has features, not text"));
        }
        if !text && is_text(format) != is_text(trained) {
            return Err(Error::data(name, 0, 0, format!("is {format:?}, but the training set was {trained:?}")));
        }
        let parser = match format {
            _ if text => Parser::Text(Featurizer::new(options)?),
            format if is_text(format) => {
                Parser::Columns(Box::new(vocabulary.text_parser(Columns::new(format, options)?, Policy::Ignore)?))
            }
            format => {
                let limits = Limits { known_labels: 0, ..vocabulary.limits() };
                Parser::Ids(IdParser { limits, policy: Policy::Ignore, comments: format != Format::Xc })
            }
        };
        Ok(Self {
            vocabulary,
            name: name.to_owned(),
            items,
            numbers: matches!(parser, Parser::Ids(_)),
            header: options.header && format == Format::Tsv && !text,
            parser,
            line: 0,
            left_to_skip: skip_bad.unwrap_or(options.skip_bad),
            failed: None,
            scratch: Scratch::default(),
            summary: Summary::default(),
        })
    }

    /// Adds the samples of the next lines to `batch`. Returns for each line whether it has one: empty lines, comments,
    /// headers and skipped faulty lines have none. It waits for one line, then takes what is there, up to `most` lines.
    /// `None` is the end.
    ///
    /// # Errors
    ///
    /// If a line is faulty or cannot be read. The error names its place, and comes after all lines before it.
    ///
    /// # Panics
    ///
    /// If the vectors of `batch` are not of the training set's length.
    #[track_caller]
    pub fn next(&mut self, batch: &mut Batch, most: usize) -> Result<Option<Vec<bool>>> {
        let mut lines = Vec::new();
        while self.failed.is_none() && lines.len() < most {
            let item = match lines.is_empty() {
                true => self.items.recv().map_err(|_| TryRecvError::Disconnected),
                false => self.items.try_recv(),
            };
            let added = match item {
                Ok(item) => item.and_then(|item| self.add(item, batch)),
                Err(_) => break,
            };
            match added {
                Ok(sample) => lines.push(sample),
                Err(error) => self.failed = Some(error),
            }
        }
        match self.failed.take() {
            Some(error) if lines.is_empty() => Err(error),
            failed => {
                self.failed = failed;
                Ok((!lines.is_empty()).then_some(lines))
            }
        }
    }

    /// The counts of what was read and left out so far.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Adds the sample of `item`, if it has one.
    fn add(&mut self, item: Item, batch: &mut Batch) -> Result<bool> {
        let mut out = Records::default();
        self.line += 1;
        match item {
            Item::Row(row, gone) => {
                out.summary.unknown_features += gone;
                out.push(&[], 0, &row);
            }
            Item::Line(line) => {
                if self.line == 1 && self.is_header(&line)? {
                    return Ok(false);
                }
                if let Err(fault) = self.parse(&line, &mut out) {
                    let hint = match &self.parser {
                        Parser::Columns(_) if std::str::from_utf8(&line).is_ok() => {
                            " (--text takes lines as bare text)"
                        }
                        _ => "",
                    };
                    let error = Error::data(&self.name, self.line, fault.column, fault.message + hint);
                    if self.left_to_skip == 0 {
                        return Err(error);
                    }
                    self.left_to_skip -= 1;
                    if self.summary.bad_records == 0 {
                        self.summary.notes.push(format!("the first faulty line: {error}"));
                    }
                    self.summary.bad_records += 1;
                    return Ok(false);
                }
            }
        }
        self.summary.add(&out.summary);
        (0..out.len()).for_each(|at| self.vocabulary.weighting().push(out.get(at), batch));
        Ok(out.len() > 0)
    }

    /// Whether the first line of a file is a header.
    fn is_header(&mut self, line: &[u8]) -> Result<bool> {
        if matches!(self.parser, Parser::Text(_)) {
            return Ok(false);
        }
        if let Some(what) = other_kind(line) {
            return Err(Error::data(&self.name, 1, 0, format!("looks like {what}")));
        }
        let header = self.numbers && (ids::header::<3>(line).is_some() || ids::header::<2>(line).is_some());
        if let (true, Parser::Ids(parser)) = (header, &mut self.parser) {
            parser.comments = false;
        }
        Ok(header || self.header)
    }

    fn parse(&mut self, line: &[u8], out: &mut Records) -> Result<(), Fault> {
        match &self.parser {
            Parser::Text(featurizer) => {
                if let Some(text) = nonblank(line)? {
                    featurizer.features(text, &mut self.scratch);
                    out.push(&[], 0, &self.scratch.features);
                }
                Ok(())
            }
            Parser::Columns(parser) => parser.line(line, &mut self.scratch, out),
            Parser::Ids(parser) => parser.line(line, &mut self.scratch, out),
        }
    }
}

/// The format of later lines: the one that the name tells, if it is of the same kind, else the training set's.
fn later_format(vocabulary: &Vocabulary, named: Option<Format>) -> Format {
    match (named, vocabulary.options().format, vocabulary.format()) {
        (Some(named), Format::Auto, _) => named,
        // Arrays cannot come as a stream; lines of ids can.
        (_, _, Format::Npz) => Format::Svmlight,
        (_, _, trained) => trained,
    }
}

fn starts_like_an_archive(path: &Path) -> Result<bool> {
    let mut start = Vec::new();
    let file = std::fs::File::open(path).map_err(Error::io(path))?;
    file.take(4).read_to_end(&mut start).map_err(Error::io(path))?;
    Ok(start == b"PK\x03\x04")
}

fn read_lines(name: PathBuf, packed: impl Read + Send + 'static, send: SyncSender<Result<Item>>) {
    thread::spawn(move || {
        let read = || -> Result<()> {
            let mut reader = LineReader::new(&name, packed)?;
            while let Some(line) = reader.next()? {
                if send.send(Ok(Item::Line(line))).is_err() {
                    break;
                }
            }
            Ok(())
        };
        // If the receiver is gone, nobody wants the error either.
        let _ = read().map_err(|error| send.send(Err(error)));
    });
}
