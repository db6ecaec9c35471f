//! Files that take the place of others when they are complete, and not before.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// What the name of an unfinished file begins with; its process and the name that it will have follow.
const TEMPORARY: &str = ".tmp-";

/// A file under a name of its own, which vanishes if it is dropped before it is [renamed](Self::rename).
pub(super) struct Replacement {
    path: PathBuf,
    temporary: PathBuf,
    /// What its bytes are written to.
    pub file: BufWriter<File>,
    renamed: bool,
}

impl Replacement {
    /// An empty one for `path`. What killed programs have left of earlier ones goes.
    pub fn create(path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        remove_abandoned(path, &name);
        let temporary = path.with_file_name(format!("{TEMPORARY}{}-{name}", std::process::id()));
        let file = File::create(&temporary).map_err(Error::io(&temporary))?;
        // Tells others that it is being written. Where the file system has no locks, they do not remove it either.
        let _ = file.try_lock();
        Ok(Self { path: path.to_owned(), temporary, file: BufWriter::with_capacity(1 << 20, file), renamed: false })
    }

    /// Waits until all bytes are on the disk: after that a full disk can no longer get in the way.
    pub fn complete(&mut self) -> Result<()> {
        self.file.flush().and_then(|()| self.file.get_ref().sync_all()).map_err(Error::io(&self.path))
    }

    /// Puts the file, which is [complete](Self::complete), in the place of the one that was there.
    pub fn rename(mut self) -> Result<()> {
        fs::rename(&self.temporary, &self.path).map_err(Error::io(&self.path))?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.renamed {
            // Nobody to tell: the failure that led here is the one to report.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Removes unfinished files for `path`, whose file is called `name`, that nobody writes any more. What cannot be removed stays: it
/// is in nobody's way.
fn remove_abandoned(path: &Path, name: &str) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let process = |other: &str| -> Option<u32> {
        other.strip_prefix(TEMPORARY)?.strip_suffix(name)?.strip_suffix('-')?.parse().ok()
    };
    for other in fs::read_dir(folder).into_iter().flatten().flatten() {
        let process = other.file_name().to_str().and_then(process);
        if process.is_some_and(|process| abandoned(process, &other.path())) {
            let _ = fs::remove_file(other.path());
        }
    }
}

/// Whether nobody writes the file of a process.
///
/// That there is no such process does not say it alone: those of other containers and machines that share the folder are not seen
/// here, and their files are locked. That there is no lock does not say it either: a file has none just after it was made.
fn abandoned(process: u32, path: &Path) -> bool {
    let lives = Path::new("/proc").join(process.to_string()).exists();
    !lives && File::options().write(true).open(path).is_ok_and(|file| file.try_lock().is_ok())
}
