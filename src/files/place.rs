//! Where a path leads that the user has given for writing.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Links that follow one another; the kernel follows as many.
const MOST_LINKS: usize = 40;

/// What is to be written to.
pub(super) enum Place {
    /// There is nothing yet. The path has no link left at its end.
    New(PathBuf),
    /// A regular file, without links on the way to it.
    File(PathBuf, Metadata),
    /// A device, a pipe, or an output of this process: bytes go straight through.
    Through,
}

/// Follows `path`.
pub(super) fn place(path: &Path) -> Result<Place> {
    let refuse = |kind, message| Err(Error::io(path)(io::Error::new(kind, message)));
    let Some(end) = end(path)? else { return Ok(Place::Through) };
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => refuse(io::ErrorKind::IsADirectory, "is a folder, where a file is to be written"),
        Ok(meta) if meta.is_file() => Ok(Place::File(end.canonicalize().map_err(Error::io(path))?, meta)),
        Ok(_) => Ok(Place::Through),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(path)(error)),
        Err(_) if end.file_name().is_none() || ends_in_slash(&end) => {
            refuse(io::ErrorKind::InvalidInput, "is no name of a file")
        }
        Err(_) => Ok(Place::New(end)),
    }
}

/// What is at the end of all links that begin at `path`; `None` for one of the links in `/proc` to what a process has open: it names
/// the open file, not its path.
pub(super) fn end(path: &Path) -> Result<Option<PathBuf>> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        // What cannot be read is no link, or the next step says why.
        let Ok(link) = fs::read_link(&path) else { return Ok(Some(path)) };
        if path.starts_with("/proc") || path.starts_with("/dev/fd") {
            return Ok(None);
        }
        path = super::parent(&path).join(link);
    }
    Err(Error::io(path)(io::Error::other("too many links follow one another")))
}

fn ends_in_slash(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/")
}
