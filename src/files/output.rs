//! Writes files to users' paths.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::place::{self, Place, place};
use super::temporary::Temporary;
use crate::error::{Error, Result};

/// Writes a file to `path`, all at once where possible.
///
/// - A regular file is replaced by renaming. Readers see the old file or the new one, and a full disk leaves the old
///   one. The file keeps its mode, and its owner if the system allows that. Access lists and other attributes are lost.
///   A read-only file is refused.
/// - Links are followed. They stay, and their target is replaced or made.
/// - A device or a pipe gets the bytes. A pipe without a reader is waited for, as everywhere.
/// - Some files are written in place: those with several names (hard links), mount points, and those in a read-only
///   folder. All their names show the new bytes, but a full disk leaves a mixture.
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
/// [`Error::Io`] about `path` if the system refuses, or `path` is a folder; [`Error::Interrupted`] if the program is
/// ending.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let place = place(path)?;
    if let Place::Through = place {
        return through(path, bytes).map_err(Error::io(path));
    }
    if let Place::File(target, meta) = &place {
        // Renaming needs no right to write the file. A user without that right is refused all the same, as by any other
        // program.
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

/// Writes several files as [`write`](fn@write) does; pipes and devices come first, because they may have to wait. If
/// one fails, those that are new are removed again.
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
/// As [`write`](fn@write), of the first that fails; [`Error::Config`] if two paths lead to one file.
pub fn write_all(files: &[(impl AsRef<Path>, impl AsRef<[u8]>)]) -> Result<()> {
    let mut made = Vec::new();
    let waits = |path: &Path| fs::metadata(path).is_ok_and(|meta| !meta.is_file());
    let (first, then): (Vec<_>, Vec<_>) = files.iter().partition(|(path, _)| waits(path.as_ref()));
    let mut places = HashSet::new();
    for (path, _) in &then {
        let path = path.as_ref();
        let end = place::end(path)?.unwrap_or_else(|| path.to_owned());
        if !places.insert(super::real(&end).unwrap_or(end)) {
            return Err(Error::config(path.display().to_string(), "is named twice"));
        }
    }
    for (path, bytes) in first.into_iter().chain(then) {
        let new = path.as_ref().symlink_metadata().is_err();
        if let Err(error) = write(path.as_ref(), bytes.as_ref()) {
            // The first failure is the one to report.
            made.iter().for_each(|path| drop(fs::remove_file(path)));
            return Err(error);
        }
        made.extend(new.then_some(path.as_ref()));
    }
    Ok(())
}

/// A large file that replaces another, or none, when it is complete. Links are followed.
///
/// It never writes in place: another program may have the old file mapped into memory. Further names (hard links) of
/// the old file keep the old bytes.
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
    /// An empty output for `path`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] about `path` if the system refuses, or something other than a regular file is there;
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
        // Whoever could not read the old bytes must not read the new ones.
        let mode = if old.is_some() { 0o600 } else { 0o666 };
        let temporary = Temporary::with_mode(&target, path, mode)?;
        if let Some(old) = old {
            // Only root may give files away, and users only to their own groups.
            let _ = std::os::unix::fs::fchown(temporary.handle(), Some(old.uid()), Some(old.gid()));
            let mode = fs::Permissions::from_mode(old.mode() & 0o777);
            temporary.handle().set_permissions(mode).map_err(Error::io(path))?;
        }
        Ok(Self { given: path.to_owned(), target, temporary })
    }

    /// Removes what killed programs left of earlier outputs of this name.
    pub fn sweep(&self) {
        let name = super::name_of(&self.target);
        super::sweep(super::parent(&self.target), |other| other == name);
    }

    /// Takes its bytes.
    pub fn file(&self) -> &File {
        self.temporary.handle()
    }

    /// Waits until all bytes are on the disk. After that a full disk cannot interfere.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses.
    pub fn complete(&self) -> Result<()> {
        self.temporary.handle().sync_all().map_err(Error::io(&self.given))
    }

    /// Gives the file its name, replacing the old one.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses, [`Error::Interrupted`] if the program is ending. Then the old file is
    /// unchanged.
    pub fn finish(self) -> Result<()> {
        self.temporary.persist(&self.target)
    }
}

/// Whether the error prevents replacing a file but not writing it.
fn is_about_the_folder(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    matches!(error.kind(), CrossesDevices | PermissionDenied | ReadOnlyFilesystem | ResourceBusy)
}

fn through(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // At the end, in case this is a file that the process has as its output.
    let mut file = File::options().append(true).open(path)?;
    file.write_all(bytes)?;
    // Something that is no file need not have a disk.
    let _ = file.sync_all();
    Ok(())
}

fn in_place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)?;
    file.sync_all()
}
