//! Writing where the user pointed.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::place::{self, Place, place};
use super::temporary::Temporary;
use crate::error::{Error, Result};

/// Writes a file where `path` leads, all at once where that can be.
///
/// - A regular file is replaced by renaming: whoever looks sees the old one or the new one, and a full disk leaves the old one. It
///   keeps its mode, and its owner if the system lets it (lists of access rights and other attributes are lost). A file that may
///   not be written stays.
/// - Links are followed: what they name is replaced or made, they stay.
/// - A device or a pipe gets the bytes. A pipe that nobody reads yet is waited for, as everywhere.
/// - A file with several names (hard links), and one that cannot be replaced because its folder cannot be written or it is mounted
///   by itself, is written in place: all its names show the new bytes, but a full disk leaves a mixture.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("report.html");
/// hotrow::files::write(&path, b"<!DOCTYPE html>")?;
/// assert_eq!(std::fs::read(&path)?, b"<!DOCTYPE html>");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`Error::Io`] about `path` if the system refuses, or if it is a folder; [`Error::Interrupted`] if the program is ending.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let place = place(path)?;
    if let Place::Through = place {
        return through(path, bytes).map_err(Error::io(path));
    }
    if let Place::File(target, meta) = &place {
        // Replacing needs no right to the file itself. Whoever has none is refused all the same, as by any other program.
        File::options().write(true).open(target).map_err(Error::io(path))?;
        if meta.nlink() > 1 {
            return in_place(target, bytes).map_err(Error::io(path));
        }
    }
    let existing = if let Place::File(target, _) = &place { Some(target.clone()) } else { None };
    let replaced = Output::at(path, place).and_then(|output| {
        output.file().write_all(bytes).map_err(Error::io(path))?;
        output.finish()
    });
    match (replaced, existing) {
        (Err(Error::Io { source, .. }), Some(target)) if is_about_the_folder(&source) => {
            in_place(&target, bytes).map_err(|_| Error::io(path)(source))
        }
        (replaced, _) => replaced,
    }
}

/// Writes several files as [`write`](fn@write) does, pipes and devices first, for they may have to be waited for. If one cannot be
/// written, those go again that were not there before.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let (first, second) = (folder.path().join("a.html"), folder.path().join("no/such/folder/a.md"));
/// assert!(hotrow::files::write_all(&[(&first, b"one"), (&second, b"two")]).is_err());
/// assert!(!first.exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// As [`write`](fn@write), of the first that fails; [`Error::Config`] if two of them are one file.
pub fn write_all(files: &[(impl AsRef<Path>, impl AsRef<[u8]>)]) -> Result<()> {
    let mut made = Vec::new();
    let waits = |path: &Path| fs::metadata(path).is_ok_and(|meta| !meta.is_file());
    let (first, then): (Vec<_>, Vec<_>) = files.iter().partition(|(path, _)| waits(path.as_ref()));
    let mut places = HashSet::new();
    for (path, _) in &then {
        let path = path.as_ref();
        let end = place::end(path)?.unwrap_or_else(|| path.to_owned());
        if !places.insert(super::real(&end).unwrap_or(end)) {
            return Err(Error::config(path.display().to_string(), "is asked for twice"));
        }
    }
    for (path, bytes) in first.into_iter().chain(then) {
        let new = path.as_ref().symlink_metadata().is_err();
        if let Err(error) = write(path.as_ref(), bytes.as_ref()) {
            // The failure that led here is the one to report.
            made.iter().for_each(|path| drop(fs::remove_file(path)));
            return Err(error);
        }
        made.extend(new.then_some(path.as_ref()));
    }
    Ok(())
}

/// A large file that takes the place of another, or of none, when it is complete, and not before. Links are followed.
///
/// It always replaces and never writes in place: the old file may be mapped into memory by another program, whose bytes must not
/// change. A further name (hard link) of the old one keeps the old bytes.
///
/// ```
/// use std::io::Write;
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("train.txt");
/// let output = hotrow::files::Output::create(&path)?;
/// output.file().write_all(b"1 5 3\n0 1:1\n")?;
/// assert!(!path.exists());
/// output.finish()?;
/// assert!(path.exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Output {
    given: PathBuf,
    target: PathBuf,
    temporary: Temporary,
}

impl Output {
    /// An empty one for `path`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] about `path` if the system refuses, or if something is there that is no regular file;
    /// [`Error::Interrupted`] if the program is ending.
    pub fn create(path: &Path) -> Result<Self> {
        Self::at(path, place(path)?)
    }

    fn at(path: &Path, place: Place) -> Result<Self> {
        let (target, old) = match place {
            Place::New(target) => (target, None),
            Place::File(target, old) => (target, Some(old)),
            Place::Through => {
                let message = "is a device or a pipe, where a file is to be written";
                return Err(Error::io(path)(io::Error::new(io::ErrorKind::InvalidInput, message)));
            }
        };
        // Nobody reads the new bytes who could not read the old ones.
        let mode = if old.is_some() { 0o600 } else { 0o666 };
        let temporary = Temporary::with_mode(&target, path, mode)?;
        if let Some(old) = old {
            // Only root may give files away, and not everybody to every group.
            let _ = std::os::unix::fs::fchown(temporary.handle(), Some(old.uid()), Some(old.gid()));
            let mode = fs::Permissions::from_mode(old.mode() & 0o777);
            temporary.handle().set_permissions(mode).map_err(Error::io(path))?;
        }
        Ok(Self { given: path.to_owned(), target, temporary })
    }

    /// Removes what killed programs have left of earlier outputs of this name.
    pub fn sweep(&self) {
        let name = super::name_of(&self.target);
        super::sweep(super::parent(&self.target), |other| other == name);
    }

    /// What its bytes are written to.
    pub fn file(&self) -> &File {
        self.temporary.handle()
    }

    /// Waits until all bytes are on the disk: after that a full disk can no longer get in the way.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses.
    pub fn complete(&self) -> Result<()> {
        self.temporary.handle().sync_all().map_err(Error::io(&self.given))
    }

    /// Puts it in the place of the one that was there.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses, [`Error::Interrupted`] if the program is ending; then the old one is there as it was.
    pub fn finish(self) -> Result<()> {
        self.temporary.persist(&self.target)
    }
}

/// Whether a file cannot be replaced for a reason that does not keep it from being written.
fn is_about_the_folder(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    matches!(error.kind(), CrossesDevices | PermissionDenied | ReadOnlyFilesystem | ResourceBusy)
}

fn through(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // At the end, where this is a file that the process has as its output.
    let mut file = File::options().append(true).open(path)?;
    file.write_all(bytes)?;
    // What is no file need not have a disk.
    let _ = file.sync_all();
    Ok(())
}

fn in_place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)?;
    file.sync_all()
}
