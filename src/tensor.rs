//! Names, shapes and elements of everything that a checkpoint keeps.

use half::bf16;

/// The elements of a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Elements<'a> {
    F32(&'a [f32]),
    Bf16(&'a [bf16]),
    U8(&'a [u8]),
    U32(&'a [u32]),
    U64(&'a [u64]),
}

/// The elements of a tensor, to be written.
#[derive(Debug, PartialEq)]
#[allow(missing_docs)]
pub enum ElementsMut<'a> {
    F32(&'a mut [f32]),
    Bf16(&'a mut [bf16]),
    U8(&'a mut [u8]),
    U32(&'a mut [u32]),
    U64(&'a mut [u64]),
}

/// A tensor that borrows its elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor<'a> {
    /// `output.weight`, `output.weight.adam.m`, ...
    pub name: String,
    /// Lengths of its dimensions, outermost first.
    pub shape: Vec<usize>,
    /// As many elements as the product of `shape`.
    pub elements: Elements<'a>,
}

/// A tensor to be written, as [`Tensor`].
#[derive(Debug, PartialEq)]
pub struct TensorMut<'a> {
    /// As [`Tensor::name`].
    pub name: String,
    /// As [`Tensor::shape`].
    pub shape: Vec<usize>,
    /// As [`Tensor::elements`].
    pub elements: ElementsMut<'a>,
}

/// A walk over everything that is trained or kept: for checkpoints, digests and gradient checks. Both functions list
/// the same tensors in the same order.
pub trait Tensors {
    /// The tensors, to be read.
    fn tensors(&self) -> Vec<Tensor<'_>>;
    /// The tensors, to be written.
    fn tensors_mut(&mut self) -> Vec<TensorMut<'_>>;
}

impl Elements<'_> {
    /// The bytes in memory order, little-endian on every machine that hotrow runs on.
    ///
    /// ```
    /// assert_eq!(hotrow::tensor::Elements::U32(&[1]).bytes(), &1_u32.to_ne_bytes());
    /// ```
    pub fn bytes(&self) -> &[u8] {
        match self {
            Elements::F32(x) => bytemuck::cast_slice(x),
            Elements::Bf16(x) => bytemuck::cast_slice(x),
            Elements::U8(x) => x,
            Elements::U32(x) => bytemuck::cast_slice(x),
            Elements::U64(x) => bytemuck::cast_slice(x),
        }
    }

    /// The name of the element type in safetensors files.
    ///
    /// ```
    /// assert_eq!(hotrow::tensor::Elements::F32(&[1.0]).type_name(), "F32");
    /// ```
    pub fn type_name(&self) -> &'static str {
        match self {
            Elements::F32(_) => "F32",
            Elements::Bf16(_) => "BF16",
            Elements::U8(_) => "U8",
            Elements::U32(_) => "U32",
            Elements::U64(_) => "U64",
        }
    }
}

impl ElementsMut<'_> {
    /// The bytes in memory order, to be overwritten.
    ///
    /// ```
    /// let mut x = [0_u32];
    /// hotrow::tensor::ElementsMut::U32(&mut x).bytes_mut()[0] = 1;
    /// assert_eq!(u32::from_le(x[0]), 1);
    /// ```
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            ElementsMut::F32(x) => bytemuck::cast_slice_mut(x),
            ElementsMut::Bf16(x) => bytemuck::cast_slice_mut(x),
            ElementsMut::U8(x) => x,
            ElementsMut::U32(x) => bytemuck::cast_slice_mut(x),
            ElementsMut::U64(x) => bytemuck::cast_slice_mut(x),
        }
    }

    /// As [`Elements::type_name`].
    ///
    /// ```
    /// assert_eq!(hotrow::tensor::ElementsMut::F32(&mut [1.0]).type_name(), "F32");
    /// ```
    pub fn type_name(&self) -> &'static str {
        match self {
            ElementsMut::F32(_) => "F32",
            ElementsMut::Bf16(_) => "BF16",
            ElementsMut::U8(_) => "U8",
            ElementsMut::U32(_) => "U32",
            ElementsMut::U64(_) => "U64",
        }
    }
}
