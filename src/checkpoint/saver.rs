//! Checkpoints that are written while training goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use super::contents::Contents;
use super::disk::{Disk, System};
use super::save::save_on;
use crate::error::{Error, Result};

/// Writes the checkpoints of a run. One that fits a limit is copied and then written by a thread of its own; a larger one goes
/// to the disk from where its tensors are, and the caller waits. The files are the same either way.
///
/// There is one write at a time: the next save waits for it, and so does dropping this value.
///
/// ```
/// use hotrow::checkpoint::{Contents, Saver, TrainerState, last};
/// # let folder = tempfile::tempdir().unwrap();
/// # let run = folder.path();
/// let mut saver = Saver::new(run, 2, 1 << 20);
/// saver.save(&Contents::new(TrainerState::new(500, 1, 7), serde_json::json!({})))?;
/// // ... steps of training ...
/// saver.finish()?;
/// assert_eq!(last(run), Some(run.join("checkpoint-000500")));
/// # Ok::<(), hotrow::error::Error>(())
/// ```
pub struct Saver {
    disk: Arc<dyn Disk>,
    run: PathBuf,
    keep: usize,
    limit: u64,
    writing: Option<JoinHandle<Result<PathBuf>>>,
}

impl Saver {
    /// For the folder `run`, of whose checkpoints the newest `keep` stay. What holds at most `limit` bytes is copied; 0 means that
    /// nothing is.
    pub fn new(run: &Path, keep: usize, limit: u64) -> Self {
        Self::on(Arc::new(System), run, keep, limit)
    }

    pub(super) fn on(disk: Arc<dyn Disk>, run: &Path, keep: usize, limit: u64) -> Self {
        Self { disk, run: run.to_owned(), keep, limit, writing: None }
    }

    /// Saves a checkpoint, as [`save`](super::save) does; when this returns it may not be on the disk yet, but the tensors may
    /// change.
    ///
    /// # Errors
    ///
    /// As [`save`](super::save): of this checkpoint, or of the one before, if that could not be written. Then this one is not
    /// begun.
    ///
    /// # Panics
    ///
    /// As [`save`](super::save).
    #[track_caller]
    pub fn save(&mut self, contents: &Contents) -> Result<()> {
        let files = contents.files();
        // Before anything is copied: there are never two copies.
        self.finish()?;
        if files.bytes() > self.limit {
            return save_on(&*self.disk, &self.run, &files, self.keep).map(drop);
        }
        let (files, disk, run, keep) = (files.into_owned(), Arc::clone(&self.disk), self.run.clone(), self.keep);
        let write = move || save_on(&*disk, &run, &files, keep);
        let thread = Builder::new().name("checkpoint".to_owned()).spawn(write);
        self.writing = Some(thread.map_err(Error::io(&self.run))?);
        Ok(())
    }

    /// Waits until the last checkpoint is on the disk.
    ///
    /// # Errors
    ///
    /// As [`save`](super::save), if it could not be written.
    pub fn finish(&mut self) -> Result<()> {
        match self.writing.take().map(JoinHandle::join) {
            Some(Ok(written)) => written.map(drop),
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(()),
        }
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        // Whoever has not asked how it went has an error already that came first.
        let _ = self.writing.take().map(JoinHandle::join);
    }
}
