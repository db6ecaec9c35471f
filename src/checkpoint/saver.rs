//! Writes checkpoints while training continues.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use super::contents::Contents;
use super::disk::{Disk, System};
use super::save::{prune, save_on, withdraw};
use crate::error::{Error, Result};

/// Writes the checkpoints of a run. One within a limit is copied, and a thread of its own writes the copy. A larger one
/// is written from its tensors, and the caller waits. The files are the same either way.
///
/// There is one write at a time. The next save waits for it, and so does dropping this value.
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
    /// The step of a saved checkpoint that has since proved good. Older ones may go.
    proved: Option<u64>,
}

impl Saver {
    /// A saver for the folder `run`, of which the newest `keep` checkpoints stay. Contents of at most `limit` bytes are
    /// copied; 0 copies nothing.
    pub fn new(run: &Path, keep: usize, limit: u64) -> Self {
        Self::on(Arc::new(System), run, keep, limit)
    }

    pub(super) fn on(disk: Arc<dyn Disk>, run: &Path, keep: usize, limit: u64) -> Self {
        Self { disk, run: run.to_owned(), keep, limit, writing: None, proved: None }
    }

    /// Saves a checkpoint, as [`save`](super::save) does. On return the tensors may change, although the checkpoint may
    /// not be on the disk yet.
    ///
    /// # Errors
    ///
    /// As [`save`](super::save), about this checkpoint or the one before. After an error about the one before, this one
    /// is not started.
    ///
    /// # Panics
    ///
    /// As [`save`](super::save).
    #[track_caller]
    pub fn save(&mut self, contents: &Contents) -> Result<()> {
        self.save_and_keep(contents, self.keep)
    }

    /// The same for a state that an evaluation has still to prove good. The checkpoint that it would replace stays
    /// until [`prove`](Self::prove), or until the next save.
    ///
    /// # Errors
    ///
    /// As [`save`](Self::save).
    ///
    /// # Panics
    ///
    /// As [`save`](Self::save).
    #[track_caller]
    pub(crate) fn save_unproved(&mut self, contents: &Contents) -> Result<()> {
        self.save_and_keep(contents, self.keep + 1)
    }

    /// Declares the checkpoint of this step good, if it exists.
    pub(crate) fn prove(&mut self, step: u64) {
        self.proved = Some(step);
    }

    /// Removes the checkpoint of this step, if it exists, because its network is broken. `latest` then names the one
    /// before.
    pub(crate) fn withdraw(&mut self, step: u64) -> Result<()> {
        self.finish()?;
        withdraw(&*self.disk, &self.run, step)
    }

    #[track_caller]
    fn save_and_keep(&mut self, contents: &Contents, keep: usize) -> Result<()> {
        let files = contents.files();
        // Before copying, so there are never two copies.
        self.finish()?;
        if files.bytes() > self.limit {
            return save_on(&*self.disk, &self.run, &files, keep).map(drop);
        }
        let (files, disk, run) = (files.into_owned(), Arc::clone(&self.disk), self.run.clone());
        let write = move || save_on(&*disk, &run, &files, keep);
        let thread = Builder::new().name("checkpoint".to_owned()).spawn(write);
        self.writing = Some(thread.map_err(Error::io(&self.run))?);
        Ok(())
    }

    /// The result of the last checkpoint, if it is written already. Does not wait.
    ///
    /// # Errors
    ///
    /// As [`save`](super::save), if it could not be written.
    pub fn check(&mut self) -> Result<()> {
        if self.writing.as_ref().is_some_and(JoinHandle::is_finished) { self.finish() } else { Ok(()) }
    }

    /// Waits until the last checkpoint is on the disk.
    ///
    /// # Errors
    ///
    /// As [`save`](super::save), if it could not be written.
    pub fn finish(&mut self) -> Result<()> {
        match self.writing.take().map(JoinHandle::join) {
            Some(Ok(written)) => drop(written?),
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => {}
        }
        match self.proved.take() {
            Some(step) => prune(&*self.disk, &self.run, step, self.keep),
            None => Ok(()),
        }
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        // Whoever did not ask for the result has an earlier error already.
        let _ = self.writing.take().map(JoinHandle::join);
    }
}
