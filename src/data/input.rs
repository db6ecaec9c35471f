//! Input: bytes from a file, or from memory.

use super::unpack::unpacked;
use crate::error::{Error, Result};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// A file, or its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Input<'a> {
    File(&'a Path),
    /// Counts what is read of the file, before it is unpacked.
    #[cfg_attr(not(feature = "text"), allow(dead_code))]
    Counted(&'a Path, &'a AtomicU64),
    Bytes(&'a [u8]),
}

/// What an archive is read from.
#[cfg(feature = "arrays")]
pub(crate) trait Seekable: Read + std::io::Seek {}
#[cfg(feature = "arrays")]
impl<T: Read + std::io::Seek> Seekable for T {}

impl<'a> Input<'a> {
    /// The name in errors.
    pub fn path(&self) -> &'a Path {
        match self {
            Self::File(path) | Self::Counted(path, _) => path,
            Self::Bytes(_) => Path::new("input"),
        }
    }

    /// The bytes, unpacked if they begin as gzip or zstd does.
    pub fn unpack(&self) -> Result<Box<dyn Read + Send + 'a>> {
        let path = self.path();
        let open = || -> Result<BufReader<File>> {
            Ok(BufReader::with_capacity(1 << 18, File::open(path).map_err(Error::io(path))?))
        };
        let reader = match *self {
            Self::File(_) => unpacked(open()?),
            Self::Counted(_, read) => unpacked(Counted(open()?, read)),
            Self::Bytes(bytes) => unpacked(bytes),
        };
        reader.map_err(|error| match error.kind() {
            // A reader that this build lacks. An error of the system has a number.
            io::ErrorKind::Unsupported if error.raw_os_error().is_none() => Error::data(path, 0, 0, error.to_string()),
            _ => Error::io(path)(error),
        })
    }

    /// The bytes as they are.
    #[cfg(feature = "arrays")]
    pub fn seekable(&self) -> Result<Box<dyn Seekable + 'a>> {
        Ok(match *self {
            Self::File(path) | Self::Counted(path, _) => {
                Box::new(BufReader::new(File::open(path).map_err(Error::io(path))?))
            }
            Self::Bytes(bytes) => Box::new(std::io::Cursor::new(bytes)),
        })
    }
}

struct Counted<'a, R>(R, &'a AtomicU64);

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
