//! Sparse row kernels for training and running networks on CPUs: only the rows that matter are read, computed and updated.
//!
//! Single-threaded, slices in and out, no allocation in a kernel; every kernel takes the [`Level`] to run at.
//!
//! | module | what it holds |
//! |---|---|
//! | [`rows`] | dot, axpy and outer product over a list of active rows; the same over a batch, walked by row |
//! | [`gemm`] | packed products of gathered rows with a batch, forward and backward; dense and batched causal products |
//! | [`hash`] | SimHash, DWTA, MinHash, cross-polytope and n-gram hashes, packed into bucket ids |
//! | [`optim`] | fused row steps: SGD, momentum, row-wise Adagrad and RMSprop, Adam with f32 or 8-bit moments |
//! | [`reduce`] | reductions, softmax and losses on an active set, top-k, norms, activations, rotary embedding |
//! | [`convert`] | f32 to and from bf16 (nearest and stochastic) and int8 rows with a scale |
//! | [`simd`] | the tokens and operations that kernels are written over, to write one's own |
#![deny(unsafe_code)]
#![warn(clippy::missing_panics_doc)]

pub mod convert;
mod error;
pub mod gemm;
pub mod hash;
mod ids;
mod level;
mod matrix;
pub mod optim;
pub mod reduce;
pub mod rows;
#[allow(unsafe_code)]
pub mod simd;
#[cfg(test)]
mod testing;

pub use error::IndexError;
pub use half::bf16;
pub use ids::{RowIds, SparseRow, UniqueRowIds};
pub use level::{Level, LevelError};
pub use matrix::{MatMut, MatRef};
pub use simd::Weight;
