//! Where caches are looked up, and where parsed data goes.

use super::{Cache, Writer};
use crate::error::{Error, Result};
use crate::files;
use std::io;
use std::path::Path;

/// The end of a cache's name.
const SUFFIX: &str = ".samples";

/// A place for caches.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shelf<'a> {
    /// This folder, made if needed. Parsed data stays there.
    Kept(&'a Path),
    /// Nothing stays. A cache in the folder `existing` is reused. Other data goes to an unnamed file in the first
    /// folder of `scratch` that takes one.
    Passing { existing: Option<&'a Path>, scratch: &'a [&'a Path] },
}

impl Shelf<'_> {
    /// The existing cache. A faulty one counts as none, so it is made again.
    pub fn find(&self, name: u64, key: u128) -> Option<Cache> {
        let folder = match *self {
            Self::Kept(folder) => {
                // Every run that uses the folder comes past here.
                files::sweep(folder, |name| name.ends_with(SUFFIX) || name == files::SCRATCH);
                folder
            }
            Self::Passing { existing, .. } => existing?,
        };
        Cache::open(&folder.join(file_name(name)), key).ok()
    }

    /// A writer for a cache that does not exist.
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
