//! Reads lines one after the other, as soon as each is complete.

use super::input::Input;
use super::lines::{LONGEST, unreadable};
use super::unpack::unpacked;
use crate::error::{Error, Result};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// The lines of a source, unpacked, without their ends and without a byte order mark. A line is returned as soon as its
/// end is read: nothing waits for a buffer to fill.
pub(crate) struct LineReader<'a> {
    name: PathBuf,
    reader: BufReader<Box<dyn Read + Send + 'a>>,
    /// The number of lines returned.
    lines: u64,
    longest: u64,
}

impl<'a> LineReader<'a> {
    pub fn open(input: &Input<'a>) -> Result<Self> {
        Ok(Self {
            name: input.path().into(),
            reader: BufReader::new(input.unpack()?),
            lines: 0,
            longest: LONGEST as u64,
        })
    }

    /// Reads `packed`; errors call it `name`.
    pub fn new(name: &Path, packed: impl Read + Send + 'a) -> Result<Self> {
        let reader = BufReader::new(unpacked(packed).map_err(|error| unreadable(name, 0, error))?);
        Ok(Self { name: name.into(), reader, lines: 0, longest: LONGEST as u64 })
    }

    /// The next line.
    ///
    /// # Errors
    ///
    /// If the line cannot be read, or never ends.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let read = self.reader.by_ref().take(self.longest + 1).read_until(b'\n', &mut line);
        read.map_err(|error| unreadable(&self.name, self.lines, error))?;
        if line.is_empty() {
            return Ok(None);
        }
        if line.last() != Some(&b'\n') && line.len() as u64 > self.longest {
            let message = format!("cannot be read further: a line has more than {} bytes", self.longest);
            return Err(Error::data(&self.name, self.lines + 1, 0, message));
        }
        if self.lines == 0 && line.starts_with("\u{feff}".as_bytes()) {
            line.drain(..3);
        }
        line.pop_if(|byte| *byte == b'\n');
        line.pop_if(|byte| *byte == b'\r');
        self.lines += 1;
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8], longest: u64) -> Result<Vec<String>> {
        let mut reader = LineReader::new("input".as_ref(), bytes).unwrap();
        reader.longest = longest;
        let mut lines = Vec::new();
        while let Some(line) = reader.next()? {
            lines.push(String::from_utf8(line).unwrap());
        }
        Ok(lines)
    }

    #[test]
    fn lines_have_no_ends_and_a_file_no_mark() {
        assert_eq!(all("\u{feff}a\r\n\n\u{feff}b\n\rc".as_bytes(), 100).unwrap(), ["a", "", "\u{feff}b", "\rc"]);
        assert_eq!(all("\u{feff}\na\n".as_bytes(), 100).unwrap(), ["", "a"]);
        assert!(all(b"", 100).unwrap().is_empty());
    }

    #[test]
    fn a_line_without_an_end_is_refused_with_its_place() {
        assert_eq!(all(b"one\n123456\n1234567", 7).unwrap().len(), 3);
        let error = all(b"one\n123456789", 7).unwrap_err();
        assert_eq!(error.to_string(), "input:2: cannot be read further: a line has more than 7 bytes");
        assert_eq!(error.exit_code(), 4);
    }
}
