//! Rows of ids as tensors of a checkpoint, and back.

use crate::ragged::Ragged;
use crate::tensor::{Elements, Tensor};

/// A tensor of one dimension.
pub(super) fn tensor<'a>(name: &str, elements: Elements<'a>) -> Tensor<'a> {
    let length = match elements {
        Elements::F32(x) => x.len(),
        Elements::Bf16(x) => x.len(),
        Elements::U8(x) => x.len(),
        Elements::U32(x) => x.len(),
        Elements::U64(x) => x.len(),
    };
    Tensor { name: name.to_owned(), shape: vec![length], elements }
}

/// Where rows begin, and their ids.
pub(super) fn rows<'a>(name: &str, rows: &'a Ragged<u32>) -> [Tensor<'a>; 2] {
    let offsets = Elements::U64(bytemuck::cast_slice(rows.offsets()));
    [tensor(&format!("{name}.offsets"), offsets), tensor(&format!("{name}.ids"), Elements::U32(rows.items()))]
}

/// Tensors of a checkpoint, to be found by name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Saved<'a>(pub &'a [Tensor<'a>]);

impl<'a> Saved<'a> {
    fn elements(self, name: &str) -> Result<Elements<'a>, String> {
        let tensor = self.0.iter().find(|tensor| tensor.name == name);
        tensor.map(|tensor| tensor.elements).ok_or_else(|| format!("{name} is missing"))
    }

    /// Whether there is such a tensor.
    pub fn has(self, name: &str) -> bool {
        self.elements(name).is_ok()
    }

    /// All elements of the tensor `name`.
    pub fn all_u32s(self, name: &str) -> Result<&'a [u32], String> {
        match self.elements(name)? {
            Elements::U32(x) => Ok(x),
            other => Err(format!("{name}: elements are {}, not U32", other.type_name())),
        }
    }

    /// The elements of the tensor `name`, which are `len`.
    pub fn u32s(self, name: &str, len: usize) -> Result<&'a [u32], String> {
        match self.all_u32s(name)? {
            x if x.len() == len => Ok(x),
            x => Err(format!("{name}: {} elements, not {len}", x.len())),
        }
    }

    /// The same in 64 bits.
    pub fn u64s(self, name: &str, len: usize) -> Result<&'a [u64], String> {
        match self.elements(name)? {
            Elements::U64(x) if x.len() == len => Ok(x),
            Elements::U64(x) => Err(format!("{name}: {} elements, not {len}", x.len())),
            other => Err(format!("{name}: elements are {}, not U64", other.type_name())),
        }
    }

    /// The same in f32.
    pub fn f32s(self, name: &str, len: usize) -> Result<&'a [f32], String> {
        match self.elements(name)? {
            Elements::F32(x) if x.len() == len => Ok(x),
            Elements::F32(x) => Err(format!("{name}: {} elements, not {len}", x.len())),
            other => Err(format!("{name}: elements are {}, not F32", other.type_name())),
        }
    }

    /// All elements of the tensor `name`, in f32.
    pub fn all_f32s(self, name: &str) -> Result<&'a [f32], String> {
        match self.elements(name)? {
            Elements::F32(x) => Ok(x),
            other => Err(format!("{name}: elements are {}, not F32", other.type_name())),
        }
    }

    /// How many rows `name` has.
    pub fn count(self, name: &str) -> Result<usize, String> {
        let name = format!("{name}.offsets");
        match self.elements(&name)? {
            Elements::U64(offsets) if !offsets.is_empty() => Ok(offsets.len() - 1),
            _ => Err(format!("{name}: no offsets")),
        }
    }

    /// `count` rows of increasing ids below `limit`.
    pub fn rows(self, name: &str, count: usize, limit: usize) -> Result<Ragged<u32>, String> {
        let (of_offsets, of_ids) = (format!("{name}.offsets"), format!("{name}.ids"));
        let (Elements::U64(offsets), Elements::U32(ids)) = (self.elements(&of_offsets)?, self.elements(&of_ids)?)
        else {
            return Err(format!("{of_offsets} and {of_ids}: elements are not U64 and U32"));
        };
        if offsets.len() != count + 1 {
            return Err(format!("{of_offsets}: {} elements, not {}", offsets.len(), count + 1));
        }
        let offsets = offsets.iter().map(|&offset| offset as usize).collect();
        let rows = Ragged::from_parts(offsets, ids.to_vec());
        let rows = rows.ok_or_else(|| format!("{of_offsets}: no places in {of_ids}"))?;
        let increasing =
            |row: &[u32]| row.is_sorted_by(|a, b| a < b) && row.last().is_none_or(|&id| (id as usize) < limit);
        let wrong = rows.iter().position(|row| !increasing(row));
        wrong.map_or(Ok(rows), |row| Err(format!("{of_ids}: row {row} does not increase below {limit}")))
    }
}
