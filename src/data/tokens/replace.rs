//! Files that take the place of others when they are complete, and not before.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::Output;

/// A file under a name of its own, which vanishes if it is dropped before it is [renamed](Self::rename).
pub(super) struct Replacement {
    path: PathBuf,
    output: Output,
    /// What its bytes are written to.
    pub file: BufWriter<File>,
}

impl Replacement {
    /// An empty one for `path`. What killed programs have left of earlier ones goes.
    pub fn create(path: &Path) -> Result<Self> {
        let output = Output::create(path)?;
        output.sweep();
        let file = output.file().try_clone().map_err(Error::io(path))?;
        Ok(Self { path: path.to_owned(), output, file: BufWriter::with_capacity(1 << 20, file) })
    }

    /// Waits until all bytes are on the disk: after that a full disk can no longer get in the way.
    pub fn complete(&mut self) -> Result<()> {
        self.file.flush().map_err(Error::io(&self.path))?;
        self.output.complete()
    }

    /// Puts the file, which is [complete](Self::complete), in the place of the one that was there.
    pub fn rename(self) -> Result<()> {
        // Nothing is left in its buffer.
        drop(self.file);
        self.output.finish()
    }
}
