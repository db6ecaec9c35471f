//! The process's registry of everything that must not outlive it unfinished.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::real;
use crate::error::{Error, Result};

/// Temporaries, and what was made for work that has not started yet.
#[derive(Default)]
pub(super) struct Registry {
    ending: bool,
    next: u64,
    temporaries: BTreeMap<u64, Item>,
    made: BTreeMap<u64, Entry>,
}

struct Item {
    path: PathBuf,
    folder: bool,
}

/// A folder that is being filled, and what this program made in it, in order.
struct Entry {
    root: PathBuf,
    folders: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

static REGISTRY: Mutex<Registry> =
    Mutex::new(Registry { ending: false, next: 0, temporaries: BTreeMap::new(), made: BTreeMap::new() });

pub(super) fn registry() -> MutexGuard<'static, Registry> {
    // A panic halfway leaves a list of paths that may be gone. That does no harm.
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes every temporary, and everything made for work that has not started. Afterwards nothing can be made in this
/// process: every attempt gets [`Error::Interrupted`](crate::error::Error::Interrupted). A program calls this if it
/// ends without running destructors.
pub fn remove_all() {
    registry().remove_all();
}

/// Whether [`remove_all`] was called. Errors about missing files then mean nothing to the user.
pub fn ending() -> bool {
    registry().ending
}

impl Registry {
    /// Makes a temporary. It is listed before anybody can end the program.
    pub fn create<T>(
        &mut self,
        path: &Path,
        folder: bool,
        make: impl FnOnce() -> io::Result<T>,
    ) -> Result<io::Result<(u64, T)>> {
        self.check()?;
        Ok(make().map(|made| {
            self.next += 1;
            self.temporaries.insert(self.next, Item { path: path.to_owned(), folder });
            (self.next, made)
        }))
    }

    pub fn check(&self) -> Result<()> {
        if self.ending { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Removes a temporary, unless it is gone.
    pub fn remove(&mut self, id: u64) {
        if let Some(kept) = self.temporaries.remove(&id) {
            kept.remove();
        }
    }

    /// Takes a temporary off the list: its owner has removed it, or given it its name.
    pub fn release(&mut self, id: u64) {
        self.temporaries.remove(&id);
    }

    /// Gives a temporary its final name, or returns the system's error. An ending program does it before this call or
    /// not at all.
    pub fn publish(&mut self, id: u64, target: &Path) -> Result<io::Result<()>> {
        self.check()?;
        let Some(kept) = self.temporaries.get(&id) else { return Err(Error::Interrupted) };
        let new = target.symlink_metadata().is_err();
        let renamed = fs::rename(&kept.path, target);
        if renamed.is_ok() {
            let folder = kept.folder;
            self.temporaries.remove(&id);
            if new {
                self.record(target, folder);
            }
        }
        Ok(renamed)
    }

    /// Starts to fill a folder. `folders` were made for it.
    pub fn start(&mut self, root: PathBuf, folders: Vec<PathBuf>) -> u64 {
        self.next += 1;
        self.made.insert(self.next, Entry { root, folders, files: Vec::new() });
        self.next
    }

    /// Records a new file or folder under the folder that is being filled, if it is in one.
    pub fn record(&mut self, path: &Path, folder: bool) {
        if self.made.is_empty() {
            return;
        }
        let Some(full) = real(path) else { return };
        if let Some(entry) = self.made.values_mut().rev().find(|entry| full.starts_with(&entry.root)) {
            if folder { entry.folders.push(full) } else { entry.files.push(full) }
        }
    }

    /// Keeps what was made, unless it is part of a larger folder that is still being filled.
    pub fn keep(&mut self, id: u64) {
        let Some(entry) = self.made.remove(&id) else { return };
        if let Some(outer) = self.made.values_mut().rev().find(|outer| entry.root.starts_with(&outer.root)) {
            outer.folders.extend(entry.folders);
            outer.files.extend(entry.files);
        }
    }

    /// Keeps what was made in `root`, and what is around it.
    pub fn keep_around(&mut self, root: &Path) {
        self.made.retain(|_, entry| !root.starts_with(&entry.root));
    }

    /// The latest entry that fills `root`.
    pub fn find(&self, root: &Path) -> Option<u64> {
        self.made.iter().rev().find(|(_, entry)| entry.root == root).map(|(&id, _)| id)
    }

    pub fn roll_back(&mut self, id: u64) {
        if let Some(entry) = self.made.remove(&id) {
            entry.roll_back();
        }
    }

    pub fn remove_all(&mut self) {
        self.ending = true;
        std::mem::take(&mut self.temporaries).into_values().for_each(|kept| kept.remove());
        // The innermost first: the folders around it have to be empty.
        std::mem::take(&mut self.made).into_values().rev().for_each(Entry::roll_back);
    }
}

impl Item {
    fn remove(&self) {
        // The first failure is the one to report.
        let _ = if self.folder { fs::remove_dir_all(&self.path) } else { fs::remove_file(&self.path) };
    }
}

impl Entry {
    /// The last first: a lock goes after what it guards, and a folder after its contents. A folder with anything else
    /// in it stays.
    fn roll_back(self) {
        self.files.iter().rev().for_each(|path| drop(fs::remove_file(path)));
        self.folders.iter().rev().for_each(|path| drop(fs::remove_dir(path)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_ends_removes_what_it_has_made_and_makes_nothing_more() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let mut registry = Registry::default();
        let (file, scratch) = (root.join("file"), root.join("scratch"));
        registry.create(&file, false, || fs::write(&file, "")).unwrap().unwrap();
        registry.create(&scratch, true, || fs::create_dir(&scratch)).unwrap().unwrap();
        fs::write(scratch.join("inside"), "").unwrap();
        let run = root.join("run");
        fs::create_dir(&run).unwrap();
        registry.start(run.clone(), vec![run.clone()]);
        fs::write(run.join("config"), "").unwrap();
        registry.record(&run.join("config"), false);
        registry.remove_all();
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
        let refused = registry.create(&file, false, || fs::write(&file, "")).unwrap_err();
        assert_eq!(refused.exit_code(), 130);
        assert!(!file.exists());
    }

    #[test]
    fn what_has_begun_stays_with_what_is_around_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let mut registry = Registry::default();
        let [outer, run, beside] = ["out", "out/run", "beside"].map(|name| root.join(name));
        for made in [&outer, &run, &beside] {
            fs::create_dir(made).unwrap();
            registry.start(made.clone(), vec![made.clone()]);
        }
        registry.keep_around(&run);
        registry.remove_all();
        assert_eq!([&outer, &run, &beside].map(|path| path.exists()), [true, true, false]);
    }
}
