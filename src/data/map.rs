//! Maps files into memory.
#![allow(unsafe_code)]

use memmap2::{Mmap, MmapMut, MmapOptions};
use std::fs::File;
use std::io;

/// The bytes of a finished file: a cache, or tokens.
///
/// Nobody may write to the file while it is mapped. If somebody truncates it (`truncate`, `: > FILE`), reading the
/// missing bytes ends this program with a bus error (SIGBUS, exit code 135). No check beforehand can rule this out.
/// Replacing a file by renaming (`mv NEW FILE`) or removing it (`rm`) leaves the mapped bytes as they are.
pub(crate) fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: such a file is written under another name, or without one, and gets its name when complete. After that it
    // is only replaced by renaming, which leaves the mapped file as it is. So the bytes do not change while mapped.
    unsafe { Mmap::map(file) }
}

/// `len` bytes of a finished file from byte `start`. What is written to them stays in memory: the file is left as it is.
///
/// The same holds for the file as for [`map`].
pub(crate) fn map_private(file: &File, start: u64, len: usize) -> io::Result<MmapMut> {
    // SAFETY: as in `map`; no other program sees what is written to a private mapping.
    unsafe { MmapOptions::new().offset(start).len(len).map_copy(file) }
}

/// A mapped file, or bytes in memory.
#[derive(Debug)]
pub(crate) enum Bytes {
    Map(Mmap),
    /// Words for alignment, and the number of bytes.
    Memory(Vec<u64>, usize),
}

impl Bytes {
    /// Copies the bytes to aligned memory.
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
