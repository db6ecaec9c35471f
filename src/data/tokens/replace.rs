//! Files that replace others when complete.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::Output;

/// A file under a temporary name. It vanishes if it is dropped before it is [renamed](Self::rename).
pub(super) struct Replacement {
    path: PathBuf,
    output: Output,
    /// Takes its bytes.
    pub file: BufWriter<File>,
}

impl Replacement {
    /// An empty file for `path`. It sweeps what killed programs left of earlier ones.
    pub fn create(path: &Path) -> Result<Self> {
        let output = Output::create(path)?;
        output.sweep();
        let file = output.file().try_clone().map_err(Error::io(path))?;
        Ok(Self { path: path.to_owned(), output, file: BufWriter::with_capacity(1 << 20, file) })
    }

    /// Waits until all bytes are on the disk. After that a full disk cannot interfere.
    pub fn complete(&mut self) -> Result<()> {
        self.file.flush().map_err(Error::io(&self.path))?;
        self.output.complete()
    }

    /// Gives the [complete](Self::complete) file its name, replacing the old one.
    pub fn rename(self) -> Result<()> {
        // Its buffer is empty.
        drop(self.file);
        self.output.finish()
    }
}
