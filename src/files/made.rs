//! What work has made that cannot begin after all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::place;
use super::registry::registry;
use crate::error::{Error, Result};

/// A folder that is being filled. Until it is [kept](Self::keep), dropping this value takes back exactly what this program has made
/// there: the files that got their names through this module and were not there before, then the folders that it had to make, if
/// nothing of anybody else is in them. [`remove_all`](super::remove_all) does the same.
///
/// ```
/// use hotrow::files::{Made, write};
/// let folder = tempfile::tempdir()?;
/// let out = folder.path().join("new/run");
/// let made = Made::folder(&out)?;
/// write(&out.join("config.toml"), b"")?;
/// drop(made);
/// assert!(!folder.path().join("new").exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Made {
    id: u64,
    pending: bool,
}

impl Made {
    /// The folder `path`, made if need be with those above it. A link to a folder that is not there has it made.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if a file is in its place, or in the place of a folder above it; [`Error::Io`] about `path` if the system
    /// refuses; [`Error::Interrupted`] if the program is ending.
    pub fn folder(path: &Path) -> Result<Self> {
        let mut registry = registry();
        registry.check()?;
        let end = place::end(path)?.unwrap_or_else(|| path.to_owned());
        let mut folders = Vec::new();
        let made = make(&end, &mut folders).and_then(|()| end.canonicalize());
        let undo = |folders: &[PathBuf]| folders.iter().rev().for_each(|path| drop(fs::remove_dir(path)));
        let root = made.inspect_err(|_| undo(&folders)).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                Error::config(path.display().to_string(), "cannot be made: a file is there that is no folder")
            }
            _ => Error::io(path)(error),
        })?;
        let folders = folders.iter().filter_map(|folder| folder.canonicalize().ok()).collect();
        Ok(Self { id: registry.begin(root, folders), pending: false })
    }

    /// What was made stays. If it is in another folder that is being filled, it is part of what that one takes back.
    pub fn keep(self) {
        registry().keep(self.id);
    }

    /// What was made is taken back by [`take_back`], stays after [`begun`], and is removed by
    /// [`remove_all`](super::remove_all) in between, but not by dropping this value.
    pub fn leave_pending(mut self) {
        self.pending = true;
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if !self.pending {
            // Nothing to do for one that was kept: it is no longer in the list.
            registry().take_back(self.id);
        }
    }
}

/// Notes a file that was made by other means in a folder that is being filled.
pub(crate) fn note(path: &Path) {
    registry().record(path, false);
}

/// The work in `root` has begun: what was made there stays, and so does what is around it.
pub fn begun(root: &Path) {
    if let Ok(root) = root.canonicalize() {
        registry().begun(&root);
    }
}

/// Takes back what was made in `root` and is [pending](Made::leave_pending).
pub fn take_back(root: &Path) {
    let Ok(root) = root.canonicalize() else { return };
    let mut registry = registry();
    if let Some(id) = registry.find(&root) {
        registry.take_back(id);
    }
}

/// Makes a folder and those above it, and says which were not there.
fn make(path: &Path, made: &mut Vec<PathBuf>) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => {
            made.push(path.to_owned());
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Without a parent there is nothing more to be made: the path is empty.
            let above = path.parent().filter(|above| !above.as_os_str().is_empty()).ok_or(error)?;
            make(above, made)?;
            make(path, made)
        }
        Err(_) if path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}
