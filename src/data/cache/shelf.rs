//! Where parsed data is looked for, and where it goes.

use super::{Cache, Writer};
use crate::error::{Error, Result};
use crate::files;
use std::io;
use std::path::Path;

/// How the names of caches end.
const SUFFIX: &str = ".samples";

/// A place for caches.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shelf<'a> {
    /// This folder, made if need be: what is parsed stays there for later.
    Kept(&'a Path),
    /// Nothing stays. What is in the first folder is used; else the data goes to a file without a name, in the first of the others
    /// that takes one.
    Passing { look: Option<&'a Path>, scratch: &'a [&'a Path] },
}

impl Shelf<'_> {
    /// The cache that is there already. Whatever is wrong with one, the answer is the same: it is made again.
    pub fn find(&self, name: u64, key: u128) -> Option<Cache> {
        let folder = match *self {
            Self::Kept(folder) => {
                // Here every run comes past that uses the folder.
                files::sweep(folder, |name| name.ends_with(SUFFIX) || name == files::SCRATCH);
                folder
            }
            Self::Passing { look, .. } => look?,
        };
        Cache::open(&folder.join(file_name(name)), key).ok()
    }

    /// For one that is not there.
    pub fn writer(&self, name: u64, key: u128) -> Result<Writer> {
        match *self {
            Self::Kept(folder) => Writer::create(folder, &file_name(name), key),
            Self::Passing { scratch, .. } => {
                let mut refused = Error::io("scratch")(io::Error::from(io::ErrorKind::NotFound));
                for folder in scratch {
                    files::sweep(folder, |name| name == files::SCRATCH);
                    match Writer::unkept(folder, key) {
                        Err(Error::Io { path, source }) => refused = Error::Io { path, source },
                        other => return other,
                    }
                }
                Err(match refused {
                    Error::Io { path, source } => {
                        let message = format!("{source} (for parsed data; --cache names another folder)");
                        Error::io(path)(io::Error::new(source.kind(), message))
                    }
                    refused => refused,
                })
            }
        }
    }
}

fn file_name(name: u64) -> String {
    format!("{name:016x}{SUFFIX}")
}
