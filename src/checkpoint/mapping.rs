//! Tensors of a checkpoint that are mapped where they are, not copied.

use std::collections::{HashMap, HashSet};
use std::fs::File;

use memmap2::MmapMut;
use safetensors::tensor::TensorInfo;

use super::header::Header;
use crate::data::map::map_private;

/// A file of tensors. A mapped one takes memory for the pages that are read or written, and its first read is the file's.
pub(crate) struct Mapping {
    file: File,
    /// Where the first tensor starts.
    start: u64,
    tensors: HashMap<String, TensorInfo>,
    mapped: HashSet<String>,
}

impl Mapping {
    pub(super) fn new(file: File, header: Header) -> Self {
        Self { file, start: header.start, tensors: header.tensors.into_iter().collect(), mapped: HashSet::new() }
    }

    /// The numbers of the tensor `name`, if the file has it with this type and so many bytes, where a number of its type can stand, and
    /// the system maps it. Otherwise it has to be read.
    pub fn memory(&mut self, name: &str, type_name: &str, bytes: usize) -> Option<MmapMut> {
        let info = self.tensors.get(name)?;
        let (from, to) = info.data_offsets;
        let start = self.start + from as u64;
        // Mapped memory starts at a page; offsets into it are those into the file.
        let aligned = start.is_multiple_of(info.dtype.bitsize() as u64 / 8);
        if bytes == 0 || to - from != bytes || info.dtype.to_string() != type_name || !aligned {
            return None;
        }
        let memory = map_private(&self.file, start, bytes).ok()?;
        self.mapped.insert(name.to_owned());
        Some(memory)
    }

    /// The names of those that [`memory`](Self::memory) gave.
    pub fn mapped(&self) -> &HashSet<String> {
        &self.mapped
    }
}
