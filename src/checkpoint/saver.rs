//! Checkpoints that are written while training goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use super::contents::Contents;
use super::disk::{Disk, System};
use super::save::{prune, save_on, withdraw};
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
    /// The step of a checkpoint that has proved good since it was saved: older ones may go.
    proved: Option<u64>,
}

impl Saver {
    /// For the folder `run`, of whose checkpoints the newest `keep` stay. What holds at most `limit` bytes is copied; 0 means that
    /// nothing is.
    pub fn new(run: &Path, keep: usize, limit: u64) -> Self {
        Self::on(Arc::new(System), run, keep, limit)
    }

    pub(super) fn on(disk: Arc<dyn Disk>, run: &Path, keep: usize, limit: u64) -> Self {
        Self { disk, run: run.to_owned(), keep, limit, writing: None, proved: None }
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
        self.save_and_keep(contents, self.keep)
    }

    /// The same of a state that an evaluation has still to prove good: the checkpoint that it would replace stays until
    /// [`prove`](Self::prove), or until the next save.
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

    /// The checkpoint of this step, if there is one, is as good as it can be.
    pub(crate) fn prove(&mut self, step: u64) {
        self.proved = Some(step);
    }

    /// Removes the checkpoint of this step, if there is one, because its network is broken. `latest` names the one before.
    pub(crate) fn withdraw(&mut self, step: u64) -> Result<()> {
        self.finish()?;
        withdraw(&*self.disk, &self.run, step)
    }

    #[track_caller]
    fn save_and_keep(&mut self, contents: &Contents, keep: usize) -> Result<()> {
        let files = contents.files();
        // Before anything is copied: there are never two copies.
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

    /// How the last checkpoint went, if it is written already. Does not wait.
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
        // Whoever has not asked how it went has an error already that came first.
        let _ = self.writing.take().map(JoinHandle::join);
    }
}
