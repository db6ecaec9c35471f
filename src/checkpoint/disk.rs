//! The few things that are done to a disk, behind a trait so that tests can fill it up and pull the plug.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::error::{Error, Result};
use crate::files::Listed;

/// A file that is being written.
pub(crate) trait Sink: Write {
    /// Waits until its bytes are on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

/// What changes a folder; from any thread.
pub(crate) trait Disk: Send + Sync {
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    fn create_file(&self, path: &Path) -> io::Result<Box<dyn Sink>>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// With everything in it.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
    fn remove_file(&self, path: &Path) -> io::Result<()>;
}

/// The real one.
pub(crate) struct System;

impl Sink for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

impl Disk for System {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn Sink>> {
        Ok(Box::new(File::create(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

/// Makes `folder/name` hold `bytes`: at any instant it holds all of the old bytes or all of the new ones. For folders that are
/// this program's alone; where a user has pointed, `files::write` writes.
pub(crate) fn replace_file(disk: &dyn Disk, folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let (path, temporary) = (folder.join(name), folder.join(format!(".tmp-{name}")));
    let _listed = Listed::new(&temporary, false)?;
    let write = || -> io::Result<()> {
        let mut file = disk.create_file(&temporary)?;
        file.write_all(bytes)?;
        file.sync()?;
        disk.rename(&temporary, &path)?;
        disk.sync_folder(folder)
    };
    write().map_err(|error| {
        // The error that is told is the one that came first.
        let _ = disk.remove_file(&temporary);
        Error::io(path.clone())(error)
    })
}
