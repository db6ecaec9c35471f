//! Files as memory.
#![allow(unsafe_code)]

use memmap2::Mmap;
use std::fs::File;
use std::io;

/// The bytes of a finished cache file.
pub(crate) fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: a cache is written under another name and renamed when it is complete; from then on it is never written
    // to, only replaced by renaming, which leaves the mapped file as it is. So the bytes do not change while mapped.
    unsafe { Mmap::map(file) }
}
