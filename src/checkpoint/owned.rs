//! Tensors that own their elements.

use half::bf16;
use safetensors::tensor::Dtype;

use crate::tensor::{Elements, ElementsMut, Tensor, TensorMut};

/// The elements of an [`OwnedTensor`].
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum OwnedElements {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
    U8(Vec<u8>),
    U32(Vec<u32>),
    U64(Vec<u64>),
}

/// A tensor from a file, before it is known where it belongs.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnedTensor {
    /// As [`Tensor::name`].
    pub name: String,
    /// As [`Tensor::shape`].
    pub shape: Vec<usize>,
    /// As many as the product of `shape`.
    pub elements: OwnedElements,
}

impl OwnedTensor {
    /// A tensor of zeros; `None` for a type that hotrow does not write.
    pub(super) fn zeros(name: String, shape: Vec<usize>, dtype: Dtype) -> Option<Self> {
        let len = shape.iter().product();
        let elements = match dtype {
            Dtype::F32 => OwnedElements::F32(vec![0.0; len]),
            Dtype::BF16 => OwnedElements::Bf16(vec![bf16::ZERO; len]),
            Dtype::U8 => OwnedElements::U8(vec![0; len]),
            Dtype::U32 => OwnedElements::U32(vec![0; len]),
            Dtype::U64 => OwnedElements::U64(vec![0; len]),
            _ => return None,
        };
        Some(Self { name, shape, elements })
    }

    /// The tensor, borrowed.
    ///
    /// ```
    /// use hotrow::checkpoint::{OwnedElements, OwnedTensor};
    /// let tensor = OwnedTensor { name: "ids".into(), shape: vec![2], elements: OwnedElements::U32(vec![3, 5]) };
    /// assert_eq!(tensor.view().elements, hotrow::tensor::Elements::U32(&[3, 5]));
    /// ```
    pub fn view(&self) -> Tensor<'_> {
        let elements = match &self.elements {
            OwnedElements::F32(x) => Elements::F32(x),
            OwnedElements::Bf16(x) => Elements::Bf16(x),
            OwnedElements::U8(x) => Elements::U8(x),
            OwnedElements::U32(x) => Elements::U32(x),
            OwnedElements::U64(x) => Elements::U64(x),
        };
        Tensor { name: self.name.clone(), shape: self.shape.clone(), elements }
    }

    /// The tensor, borrowed to be written.
    ///
    /// ```
    /// use hotrow::checkpoint::{OwnedElements, OwnedTensor};
    /// let mut tensor = OwnedTensor { name: "ids".into(), shape: vec![1], elements: OwnedElements::U8(vec![3]) };
    /// tensor.view_mut().elements.bytes_mut()[0] = 4;
    /// assert_eq!(tensor.elements, OwnedElements::U8(vec![4]));
    /// ```
    pub fn view_mut(&mut self) -> TensorMut<'_> {
        let elements = match &mut self.elements {
            OwnedElements::F32(x) => ElementsMut::F32(x),
            OwnedElements::Bf16(x) => ElementsMut::Bf16(x),
            OwnedElements::U8(x) => ElementsMut::U8(x),
            OwnedElements::U32(x) => ElementsMut::U32(x),
            OwnedElements::U64(x) => ElementsMut::U64(x),
        };
        TensorMut { name: self.name.clone(), shape: self.shape.clone(), elements }
    }
}
