//! Removes what was made for work that cannot start.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::place;
use super::registry::registry;
use crate::error::{Error, Result};

/// A folder that is being filled. Dropping this value rolls back what this program made there, unless it was
/// [kept](Self::keep). It removes new files that got their names through this module, then the folders it had to make,
/// if they hold nothing else. [`remove_all`](super::remove_all) does the same.
///
/// ```
/// use hotrow::files::{Rollback, write};
/// let folder = tempfile::tempdir()?;
/// let out = folder.path().join("new/run");
/// let made = Rollback::folder(&out)?;
/// write(&out.join("config.toml"), b"")?;
/// drop(made);
/// assert!(!folder.path().join("new").exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Rollback {
    id: u64,
    pending: bool,
}

impl Rollback {
    /// Starts to fill the folder `path`. It and those above it are made if needed, also at the end of a link.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if a file stands in its place, or in the place of a folder above it; [`Error::Io`] about
    /// `path` if the system refuses; [`Error::Interrupted`] if the program is ending.
    pub fn folder(path: &Path) -> Result<Self> {
        let mut registry = registry();
        registry.check()?;
        let end = place::end(path)?.unwrap_or_else(|| path.to_owned());
        let mut folders = Vec::new();
        let made = make(&end, &mut folders).and_then(|()| end.canonicalize());
        let undo = |folders: &[PathBuf]| folders.iter().rev().for_each(|path| drop(fs::remove_dir(path)));
        let root = made.inspect_err(|_| undo(&folders)).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                Error::config(path.display().to_string(), "cannot be made: a file is in its place")
            }
            _ => Error::io(path)(error),
        })?;
        let folders = folders.iter().filter_map(|folder| folder.canonicalize().ok()).collect();
        Ok(Self { id: registry.start(root, folders), pending: false })
    }

    /// Keeps what was made. If another folder that is being filled contains it, it becomes part of that one.
    pub fn keep(self) {
        registry().keep(self.id);
    }

    /// Leaves what was made pending after this value is dropped: [`keep`] keeps it, and [`roll_back`] and
    /// [`remove_all`](super::remove_all) remove it.
    pub fn leave_pending(mut self) {
        self.pending = true;
    }
}

impl Drop for Rollback {
    fn drop(&mut self) {
        if !self.pending {
            // A folder that was kept is no longer listed.
            registry().roll_back(self.id);
        }
    }
}

/// Records a file that was made by other means in a folder that is being filled.
pub(crate) fn record(path: &Path) {
    registry().record(path, false);
}

/// Keeps what was made in `root`, and the folders around it: the work there has started.
pub fn keep(root: &Path) {
    if let Ok(root) = root.canonicalize() {
        registry().keep_around(&root);
    }
}

/// Rolls back what was made in `root` and is [pending](Rollback::leave_pending).
pub fn roll_back(root: &Path) {
    let Ok(root) = root.canonicalize() else { return };
    let mut registry = registry();
    if let Some(id) = registry.find(&root) {
        registry.roll_back(id);
    }
}

/// Makes a folder and those above it. Adds those that were new to `made`.
fn make(path: &Path, made: &mut Vec<PathBuf>) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => {
            made.push(path.to_owned());
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Without a parent the path is empty, and there is nothing to make.
            let above = path.parent().filter(|above| !above.as_os_str().is_empty()).ok_or(error)?;
            make(above, made)?;
            make(path, made)
        }
        Err(_) if path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}
