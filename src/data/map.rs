//! Files as memory.
#![allow(unsafe_code)]

use memmap2::Mmap;
use std::fs::File;
use std::io;

/// The bytes of a finished file: of a cache, or of tokens.
///
/// Nobody else may write to it while it is mapped. A file that is cut (`truncate`, `: > FILE`) has no bytes any more where this
/// program reads, and the system ends it with a bus error (SIGBUS, exit code 135), which no check beforehand can rule out: a file is
/// replaced by renaming (`mv NEW FILE`) or removed (`rm`), either of which leaves the mapped bytes as they are.
pub(crate) fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: such a file is written under another name, or without one, and gets its name when it is complete; from then on
    // it is never written to, only replaced by renaming, which leaves the mapped file as it is. So the bytes do not change
    // while mapped.
    unsafe { Mmap::map(file) }
}

/// A file, or a copy of one.
#[derive(Debug)]
pub(crate) enum Bytes {
    Map(Mmap),
    /// Words, so that they are aligned, and the number of bytes.
    Memory(Vec<u64>, usize),
}

impl Bytes {
    /// The bytes, aligned.
    pub fn copy(bytes: &[u8]) -> Self {
        let mut words = vec![0_u64; bytes.len().div_ceil(8)];
        bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(bytes);
        Self::Memory(words, bytes.len())
    }

    pub fn all(&self) -> &[u8] {
        match self {
            Self::Map(map) => map,
            Self::Memory(words, len) => &bytemuck::cast_slice(words)[..*len],
        }
    }
}
