//! Sparse row kernels for training and running networks on CPUs: only the rows that matter are read, computed and updated.
//!
//! Single-threaded, slices in and out, no allocation in a kernel; every kernel takes the [`Level`] to run at.
//!
//! | module | what it holds |
//! |---|---|
//! | [`rows`] | dot, axpy and outer product over a list of active rows; the same over a batch, walked by row |
//! | [`hash`] | SimHash, cross-polytope, DWTA and MinHash to bucket ids; multiply-shift for n-grams |
#![deny(unsafe_code)]
#![warn(clippy::missing_panics_doc)]

mod error;
pub mod gemm;
pub mod hash;
mod ids;
mod level;
mod matrix;
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
