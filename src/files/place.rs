//! Finds where a user's path leads, for writing.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The most links in a row; the kernel follows as many.
const MOST_LINKS: usize = 40;

/// Where to write.
pub(super) enum Place {
    /// Nothing is there yet. The path has no link left at its end.
    New(PathBuf),
    /// A regular file. The path has no links.
    File(PathBuf, Metadata),
    /// A device, a pipe, or an output of this process. It takes bytes as they come.
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

/// The end of all links from `path`; `None` for a link in `/proc` to what a process has open. Such a link names the
/// open file, not its path.
pub(super) fn end(path: &Path) -> Result<Option<PathBuf>> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        // If it cannot be read, it is no link, or the next step says why.
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
