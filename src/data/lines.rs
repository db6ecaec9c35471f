//! Cuts files into blocks of whole lines, parses them in parallel, and hands the results on in order.

use super::input::Input;
use super::summary::Summary;
use crate::error::{Error, Result};
use rayon::prelude::*;
use std::io::{self, Read};
use std::path::Path;

/// Bytes of a block. They must not depend on the number of threads. Parsing a block takes milliseconds, so its overhead
/// is nothing; and [`GROUP`] blocks, with as many more being read, fit in any memory.
pub(crate) const BLOCK: usize = 1 << 20;

/// Blocks that are parsed at the same time.
const GROUP: usize = 16;

/// A group is full at this many bytes, even with fewer blocks than [`GROUP`]: blocks of very long lines reach it.
/// Memory holds two groups.
const GROUP_BYTES: usize = 4 * GROUP * BLOCK;

/// The longest line. A longer one is no text.
pub(crate) const LONGEST: usize = 1 << 28;

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Lines of the block before this one.
    pub line: u64,
    /// Byte, from 1.
    pub column: u64,
    pub message: String,
}

impl Fault {
    pub fn at(column: usize, message: impl Into<String>) -> Self {
        Self { line: 0, column: column as u64, message: message.into() }
    }
}

/// Returns the last position in some bytes at which a block may end.
pub(crate) type Cut<'a> = &'a (dyn Fn(&[u8]) -> Option<usize> + Sync);

/// The position after the last line.
pub(crate) fn after_line(bytes: &[u8]) -> Option<usize> {
    bytes.iter().rposition(|&byte| byte == b'\n').map(|at| at + 1)
}

/// Whole lines of a file, about [`BLOCK`] bytes at a time. `cut` may keep more than lines whole.
struct Blocks<'a> {
    reader: Box<dyn Read + Send + 'a>,
    cut: Cut<'a>,
    /// The beginning of a line whose end has not been read.
    rest: Vec<u8>,
    started: bool,
    ended: bool,
}

impl Blocks<'_> {
    /// The next blocks, and what follows them: nothing yet, the end or a failure.
    fn group(&mut self) -> (Vec<Vec<u8>>, io::Result<()>) {
        let (mut blocks, mut bytes) = (Vec::with_capacity(GROUP), 0);
        while blocks.len() < GROUP && bytes < GROUP_BYTES && !self.ended {
            let mut block = std::mem::take(&mut self.rest);
            let failed = self.fill(&mut block).err();
            self.ended |= failed.is_some();
            if failed.is_some() {
                // A line that was cut off would be blamed for the failure of the file.
                block.truncate(after_line(&block).unwrap_or(0));
            }
            if !block.is_empty() {
                bytes += block.len();
                blocks.push(block);
            }
            if let Some(error) = failed {
                return (blocks, Err(error));
            }
        }
        (blocks, Ok(()))
    }

    /// Adds whole lines to `block`, and keeps the unfinished line after them in `rest`.
    fn fill(&mut self, block: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let before = block.len();
            self.reader.by_ref().take(BLOCK as u64).read_to_end(block)?;
            if !std::mem::replace(&mut self.started, true) && block.starts_with("\u{feff}".as_bytes()) {
                block.drain(..3);
                continue;
            }
            if block.len() == before {
                self.ended = true;
                return Ok(());
            }
            // A cut may need the byte on either side of it.
            let seen = before.saturating_sub(1);
            if let Some(at) = (self.cut)(&block[seen..]).filter(|at| seen + at > 0) {
                self.rest = block.split_off(seen + at);
                return Ok(());
            }
            if block.len() > LONGEST {
                return Err(io::Error::other(format!("a line has more than {LONGEST} bytes")));
            }
        }
    }
}

/// The lines of `block`, without their ends (LF or CR LF).
pub(crate) fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let end = block.len() - usize::from(block.last() == Some(&b'\n'));
    let nothing = block.is_empty();
    block[..end]
        .split(|&byte| byte == b'\n')
        .filter(move |_| !nothing)
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Parses the blocks of `input` in parallel. `parse` gets whole lines and their position in the file. `take` gets the
/// results in the order of the file, each with the number of lines before its block.
///
/// # Errors
///
/// The first fault of the file, for any number of threads, or what `take` returns.
pub(crate) fn for_each_block<T: Send>(
    input: Input,
    parse: impl Fn(&[u8], u64) -> Result<T, Fault> + Sync,
    take: impl FnMut(T, u64) -> Result<()>,
) -> Result<()> {
    for_each(input, &after_line, parse, take)
}

/// The same with blocks that end where `cut` says.
#[cfg(feature = "text")]
pub(crate) fn for_each_cut<T: Send>(
    input: Input,
    cut: Cut<'_>,
    parse: impl Fn(&[u8], u64) -> Result<T, Fault> + Sync,
    mut take: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    for_each(input, cut, parse, |part, _| take(part))
}

fn for_each<T: Send>(
    input: Input,
    cut: Cut<'_>,
    parse: impl Fn(&[u8], u64) -> Result<T, Fault> + Sync,
    mut take: impl FnMut(T, u64) -> Result<()>,
) -> Result<()> {
    let (path, reader) = (input.path(), input.unpack()?);
    let mut blocks = Blocks { reader, cut, rest: Vec::new(), started: false, ended: false };
    let (mut group, mut state) = blocks.group();
    let (mut line, mut start) = (0, 0);
    while !group.is_empty() || state.is_err() {
        let place = |block: &Vec<u8>| {
            start += block.len() as u64;
            start - block.len() as u64
        };
        let starts: Vec<u64> = group.iter().map(place).collect();
        let (next, parsed) = rayon::join(
            || if state.is_ok() { blocks.group() } else { (Vec::new(), Ok(())) },
            || -> Vec<_> {
                let parse_one = |(block, &start): (&Vec<u8>, &u64)| {
                    let newlines = block.iter().filter(|&&byte| byte == b'\n').count() as u64;
                    (parse(block, start), newlines)
                };
                group.par_iter().zip(&starts).map(parse_one).collect()
            },
        );
        for (result, newlines) in parsed {
            match result {
                Ok(value) => take(value, line)?,
                Err(fault) => return Err(Error::data(path, line + fault.line + 1, fault.column, fault.message)),
            }
            line += newlines;
        }
        state.map_err(|error| unreadable(path, line, error))?;
        (group, state) = next;
    }
    Ok(())
}

/// An error of the system as it is, and one of unpacking as wrong data after line `line`.
pub(crate) fn unreadable(path: &Path, line: u64, error: io::Error) -> Error {
    match error.raw_os_error() {
        Some(_) => Error::io(path)(error),
        None => Error::data(path, line + 1, 0, format!("cannot be read further: {error}")),
    }
}

/// The first line of `input`, without its end, up to 64 KiB.
pub(crate) fn first_line(input: Input) -> Result<Vec<u8>> {
    let (path, mut start, mut bytes) = (input.path(), Vec::new(), input.unpack()?.take(1 << 16));
    while !start.contains(&b'\n') {
        let before = start.len();
        bytes.by_ref().take(1 << 10).read_to_end(&mut start).map_err(|error| unreadable(path, 0, error))?;
        if start.len() == before {
            break;
        }
    }
    let start = start.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&start);
    Ok(lines(start).next().unwrap_or_default().to_vec())
}

/// Refuses a file without a sample.
pub(crate) fn not_empty(path: &Path, summary: &Summary) -> Result<()> {
    match (summary.samples, summary.skipped) {
        (0, 0) => Err(Error::data(path, 0, 0, "the file has no sample")),
        (0, skipped) => Err(Error::data(path, 0, 0, format!("none of the file's {skipped} samples has a label"))),
        _ => Ok(()),
    }
}
