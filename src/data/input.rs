//! Where bytes come from: a file, or memory.

use super::lines::unpacked;
use crate::error::{Error, Result};
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::Path;

/// A file, or its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Input<'a> {
    File(&'a Path),
    Bytes(&'a [u8]),
}

/// What archives are read from.
pub(crate) trait Seekable: Read + Seek {}
impl<T: Read + Seek> Seekable for T {}

impl<'a> Input<'a> {
    /// What errors call it.
    pub fn path(&self) -> &'a Path {
        match self {
            Self::File(path) => path,
            Self::Bytes(_) => Path::new("input"),
        }
    }

    /// The bytes, unpacked if they begin like gzip or zstd.
    pub fn unpack(&self) -> Result<Box<dyn Read + Send + 'a>> {
        match *self {
            Self::File(path) => {
                let file = File::open(path).map_err(Error::io(path))?;
                unpacked(BufReader::with_capacity(1 << 18, file)).map_err(Error::io(path))
            }
            Self::Bytes(bytes) => unpacked(bytes).map_err(Error::io(self.path())),
        }
    }

    /// The bytes as they are.
    pub fn seekable(&self) -> Result<Box<dyn Seekable + 'a>> {
        Ok(match *self {
            Self::File(path) => Box::new(BufReader::new(File::open(path).map_err(Error::io(path))?)),
            Self::Bytes(bytes) => Box::new(Cursor::new(bytes)),
        })
    }
}
