//! Temporary files and folders.

use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::registry::registry;
use super::{name_of, parent};
use crate::error::{Error, Result};

/// The beginning of every temporary's name.
pub(super) const START: &str = ".tmp-";
/// Hexadecimal digits of its random number.
pub(super) const DIGITS: usize = 16;
/// The most bytes of the file's name in it. A name may have 255 bytes in all.
const LONGEST: usize = 200;
/// A taken name is drawn again. With 64 random bits, this many taken names are no accident.
const TRIES: usize = 16;

/// A file or folder under a name of its own (`.tmp-RANDOM-NAME`). It is locked and listed (see
/// [`remove_all`](super::remove_all)) while this value lives. Dropping the value removes it, unless it was
/// [persisted](Self::persist).
///
/// The lock tells other programs that this one is using it, even in other containers. See [`sweep`](fn@super::sweep).
///
/// ```
/// use hotrow::files::Temporary;
/// let folder = tempfile::tempdir()?;
/// let scratch = Temporary::folder(folder.path(), "parsed")?;
/// let path = scratch.path().to_owned();
/// assert!(path.is_dir());
/// drop(scratch);
/// assert!(!path.exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Temporary {
    id: u64,
    path: PathBuf,
    /// The path in errors.
    given: PathBuf,
    /// Locked.
    file: File,
}

impl Temporary {
    /// An empty file in the folder of `path`. It may be [persisted](Self::persist) as `path`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] about `path` if the system refuses, [`Error::Interrupted`] if the program is ending.
    pub fn file(path: &Path) -> Result<Self> {
        Self::with_mode(path, path, 0o666)
    }

    /// The same with a mode, which the umask may reduce. Errors are about `given`.
    pub(super) fn with_mode(path: &Path, given: &Path, mode: u32) -> Result<Self> {
        let make = |at: &Path| File::options().read(true).write(true).create_new(true).mode(mode).open(at);
        Self::create(parent(path), &name_of(path), given, false, make)
    }

    /// An empty folder in `parent`, readable by this user only.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] about `parent` if the system refuses, [`Error::Interrupted`] if the program is ending.
    pub fn folder(parent: &Path, name: &str) -> Result<Self> {
        let make = |at: &Path| {
            fs::DirBuilder::new().mode(0o700).create(at)?;
            File::open(at).inspect_err(|_| drop(fs::remove_dir(at)))
        };
        Self::create(parent, name, parent, true, make)
    }

    fn create(
        folder: &Path,
        name: &str,
        given: &Path,
        is_folder: bool,
        make: impl Fn(&Path) -> io::Result<File>,
    ) -> Result<Self> {
        let cut = (0..=name.len().min(LONGEST)).rev().find(|&at| name.is_char_boundary(at)).unwrap_or(0);
        for _ in 0..TRIES {
            // The keys of the standard library's hash maps: random in each process, and different each time.
            let random = RandomState::new().hash_one(());
            let path = folder.join(format!("{START}{random:0DIGITS$x}-{}", &name[..cut]));
            let made = registry().create(&path, is_folder, || make(&path))?;
            let (id, file) = match made {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                // A sweep came between making the folder and opening it.
                Err(error) if is_folder && error.kind() == io::ErrorKind::NotFound && folder.is_dir() => continue,
                made => made.map_err(Error::io(given))?,
            };
            if claim(&file, &path) {
                return Ok(Self { id, path, given: given.to_owned(), file });
            }
            // A sweep came in between: it holds the lock and removes the name.
            registry().remove(id);
        }
        Err(Error::io(given)(io::Error::other("no name for a temporary is free")))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file; for a folder, the handle that is locked.
    pub fn handle(&self) -> &File {
        &self.file
    }

    /// Waits until all bytes are on the disk, and gives it its final name, in the same folder. It replaces what is
    /// there: readers see the old one or the new one.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] about the path that it was made for if the system refuses, [`Error::Interrupted`] if the program
    /// is ending. Then the temporary is removed, and `path` is unchanged.
    pub fn persist(self, path: &Path) -> Result<()> {
        self.file.sync_all().map_err(Error::io(&self.given))?;
        registry().publish(self.id, path)?.map_err(Error::io(&self.given))?;
        sync_folder(parent(path)).map_err(Error::io(&self.given))
    }

    /// The file without its name. It vanishes when it is closed, however the program ends.
    fn into_anonymous(self) -> Result<File> {
        let file = self.file.try_clone().map_err(Error::io(&self.given))?;
        drop(self);
        Ok(file)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // A temporary that was persisted is no longer listed.
        registry().remove(self.id);
    }
}

/// Lists a temporary that its owner removes, so that [`remove_all`](super::remove_all) finds it.
#[derive(Debug)]
pub(crate) struct Registered(u64);

impl Registered {
    /// Lists what is or will be at `path`.
    pub fn new(path: &Path, folder: bool) -> Result<Self> {
        let made = registry().create(path, folder, || Ok(()))?;
        made.map(|(id, ())| Self(id)).map_err(Error::io(path))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        registry().release(self.0);
    }
}

/// The name that unnamed files have for a moment. A program killed in that moment leaves it.
pub(crate) const SCRATCH: &str = "scratch";

/// An empty file in `folder` without a name. Its room is free again when it is closed, even if the program is killed.
///
/// # Errors
///
/// As [`Temporary::folder`].
///
/// ```
/// use std::io::Write;
/// let folder = tempfile::tempdir()?;
/// let mut file = hotrow::files::anonymous(folder.path())?;
/// file.write_all(b"for a while")?;
/// assert_eq!(std::fs::read_dir(folder.path())?.count(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn anonymous(folder: &Path) -> Result<File> {
    Temporary::with_mode(&folder.join(SCRATCH), folder, 0o600)?.into_anonymous()
}

/// Waits until the names in a folder are on the disk. A file system that cannot do this is not to blame.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

/// Locks what was just made; `false` if a sweep was faster.
///
/// A sweep may find it unlocked before this call. Then the sweep either holds the lock or has removed the name, and
/// this call sees both. After this call no sweep gets the lock. Where there are no locks, nothing is swept.
fn claim(file: &File, path: &Path) -> bool {
    match file.try_lock() {
        Ok(()) => is_at(file, path),
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(_)) => true,
    }
}

/// Whether `path` leads to this open file.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    let inode = |meta: fs::Metadata| (meta.dev(), meta.ino());
    match (file.metadata().map(inode), path.metadata().map(inode)) {
        (Ok(open), Ok(named)) => open == named,
        _ => false,
    }
}
