//! What must not outlive this program unless it says so: one list for the whole process.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::real;
use crate::error::{Error, Result};

/// Temporaries, and what has been made by work that has not begun yet.
#[derive(Default)]
pub(super) struct Registry {
    ending: bool,
    next: u64,
    temporaries: BTreeMap<u64, Kept>,
    made: BTreeMap<u64, Entry>,
}

struct Kept {
    path: PathBuf,
    folder: bool,
}

/// A folder that is being filled, and what this program has made in it, in order.
struct Entry {
    root: PathBuf,
    folders: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

static REGISTRY: Mutex<Registry> =
    Mutex::new(Registry { ending: false, next: 0, temporaries: BTreeMap::new(), made: BTreeMap::new() });

pub(super) fn registry() -> MutexGuard<'static, Registry> {
    // A panic between two of its lines leaves a list of paths that may be gone: no harm.
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes every temporary, and all that was made by work that has not begun. From then on nothing is made in this process: what
/// would make something gets [`Error::Interrupted`]. For a program that ends without running destructors.
pub fn remove_all() {
    registry().remove_all();
}

/// Whether [`remove_all`] was called: then an error about a file that is not there says nothing to the user.
pub fn ending() -> bool {
    registry().ending
}

impl Registry {
    /// Makes a temporary: it is in the list before anybody can end the program.
    pub fn create<T>(
        &mut self,
        path: &Path,
        folder: bool,
        make: impl FnOnce() -> io::Result<T>,
    ) -> Result<io::Result<(u64, T)>> {
        self.check()?;
        Ok(make().map(|made| {
            self.next += 1;
            self.temporaries.insert(self.next, Kept { path: path.to_owned(), folder });
            (self.next, made)
        }))
    }

    pub fn check(&self) -> Result<()> {
        if self.ending { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Removes a temporary, unless somebody was faster.
    pub fn remove(&mut self, id: u64) {
        if let Some(kept) = self.temporaries.remove(&id) {
            kept.remove();
        }
    }

    /// Takes a temporary off the list, whose owner has removed it or given it its name.
    pub fn release(&mut self, id: u64) {
        self.temporaries.remove(&id);
    }

    /// Gives a temporary its last name, or says why not. A program that ends does it before this or not at all.
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

    /// A folder begins to be filled, of which `folders` were made for it.
    pub fn begin(&mut self, root: PathBuf, folders: Vec<PathBuf>) -> u64 {
        self.next += 1;
        self.made.insert(self.next, Entry { root, folders, files: Vec::new() });
        self.next
    }

    /// Notes a file or folder that was not there before with the folder that is being filled, if it is in one.
    pub fn record(&mut self, path: &Path, folder: bool) {
        if self.made.is_empty() {
            return;
        }
        let Some(full) = real(path) else { return };
        if let Some(entry) = self.made.values_mut().rev().find(|entry| full.starts_with(&entry.root)) {
            if folder { entry.folders.push(full) } else { entry.files.push(full) }
        }
    }

    /// What was made stays, unless it was part of something larger that has not begun either.
    pub fn keep(&mut self, id: u64) {
        let Some(entry) = self.made.remove(&id) else { return };
        if let Some(outer) = self.made.values_mut().rev().find(|outer| entry.root.starts_with(&outer.root)) {
            outer.folders.extend(entry.folders);
            outer.files.extend(entry.files);
        }
    }

    /// Something worth keeping is in `root`: it stays, and so does what is around it.
    pub fn begun(&mut self, root: &Path) {
        self.made.retain(|_, entry| !root.starts_with(&entry.root));
    }

    /// The latest one that fills `root`.
    pub fn find(&self, root: &Path) -> Option<u64> {
        self.made.iter().rev().find(|(_, entry)| entry.root == root).map(|(&id, _)| id)
    }

    pub fn take_back(&mut self, id: u64) {
        if let Some(entry) = self.made.remove(&id) {
            entry.take_back();
        }
    }

    pub fn remove_all(&mut self) {
        self.ending = true;
        std::mem::take(&mut self.temporaries).into_values().for_each(|kept| kept.remove());
        // The innermost first: the folders around it have to be empty.
        std::mem::take(&mut self.made).into_values().rev().for_each(Entry::take_back);
    }
}

impl Kept {
    fn remove(&self) {
        // Nobody to tell: what led here is the thing to report.
        let _ = if self.folder { fs::remove_dir_all(&self.path) } else { fs::remove_file(&self.path) };
    }
}

impl Entry {
    /// The last first: a lock goes after what it guards, a folder after what is in it. A folder with something of somebody else in
    /// it stays.
    fn take_back(self) {
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
        registry.begin(run.clone(), vec![run.clone()]);
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
            registry.begin(made.clone(), vec![made.clone()]);
        }
        registry.begun(&run);
        registry.remove_all();
        assert_eq!([&outer, &run, &beside].map(|path| path.exists()), [true, true, false]);
    }
}
