//! Finds the tensors of a checkpoint by name, and checks them.

use crate::tensor::{Elements, Tensor};

/// The tensors that `Index::state` gave, read back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Saved<'a>(pub &'a [Tensor<'a>]);

macro_rules! elements {
    ($name:ident, $variant:ident, $type:ty) => {
        /// The elements of the tensor `name`, which must be there and have `len` elements if that is given.
        pub fn $name(self, name: &str, len: impl Into<Option<usize>>) -> Result<&'a [$type], String> {
            let tensor = self.0.iter().find(|tensor| tensor.name == name);
            let tensor = tensor.ok_or_else(|| format!("{name} is missing"))?;
            let Elements::$variant(elements) = tensor.elements else {
                return Err(format!("{name}: elements are {}", tensor.elements.type_name()));
            };
            match len.into() {
                Some(len) if len != elements.len() => {
                    Err(format!("{name}: {} elements where the index has {len}", elements.len()))
                }
                _ => Ok(elements),
            }
        }
    };
}

impl<'a> Saved<'a> {
    /// The name, if there is such a tensor.
    pub fn has(self, name: String) -> Option<String> {
        self.0.iter().any(|tensor| tensor.name == name).then_some(name)
    }

    elements!(f32s, F32, f32);
    elements!(u32s, U32, u32);
    elements!(u64s, U64, u64);
}
