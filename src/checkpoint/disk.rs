//! The operations on a disk, behind a trait so that tests can fill it up and interrupt it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::error::{Error, Result};
use crate::files::Registered;

/// A file that is being written.
pub(crate) trait Sink: Write {
    /// Waits until its bytes are on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

/// Changes folders, from any thread.
pub(crate) trait Disk: Send + Sync {
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    fn create_file(&self, path: &Path) -> io::Result<Box<dyn Sink>>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// Removes the folder with its contents.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
    fn remove_file(&self, path: &Path) -> io::Result<()>;
}

/// The real file system.
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

/// Makes `folder/name` hold `bytes`. At any instant it holds all old bytes or all new ones. Only for folders of this
/// program;
/// `files::write` writes to users' paths.
pub(crate) fn replace_file(disk: &dyn Disk, folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let (path, temporary) = (folder.join(name), folder.join(format!(".tmp-{name}")));
    let _listed = Registered::new(&temporary, false)?;
    let write = || -> io::Result<()> {
        let mut file = disk.create_file(&temporary)?;
        file.write_all(bytes)?;
        file.sync()?;
        disk.rename(&temporary, &path)?;
        disk.sync_folder(folder)
    };
    write().map_err(|error| {
        // The first error is the one to report.
        let _ = disk.remove_file(&temporary);
        Error::io(path.clone())(error)
    })
}
