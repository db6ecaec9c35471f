//! This library has the arithmetic of sparse layers on CPUs. Its kernels read, compute and update only the rows of a matrix that a
//! list names.
//!
//! # Overview
//!
//! * [`rows`] multiplies a list of rows with one vector, dense or sparse, or with a batch.
//! * [`gemm`] multiplies matrices after packing them: gathered rows, dense factors, attention.
//! * [`hash`] gives vectors bucket ids, so that near vectors meet in a bucket. It hashes n-grams too.
//! * [`optim`] updates the rows that have a gradient.
//! * [`reduce`] has softmax, losses, the k largest scores, norms, activations and rotary embedding.
//! * [`convert`] changes storage: f32, bf16, and 8-bit rows with a scale.
//! * [`simd`] has the vectors that all kernels are written over. Kernels of your own can use them.
//!
//! A kernel takes slices and runs on the calling thread. You decide how to divide work among threads. Kernels do not allocate; the
//! documentation names the few functions that do.
//!
//! # Guide
//!
//! 1. Detect the instruction set once: [`Level::detect`]. Pass the [`Level`] to every kernel.
//! 2. View your slices as matrices: [`MatRef`] reads, [`MatMut`] writes.
//! 3. Check row numbers once: [`RowIds`] takes any order, [`UniqueRowIds`] increasing numbers, [`SparseRow`] a sparse vector.
//! 4. Call the kernel.
//!
//! This is a layer of three neurons, two of them active, forward and backward:
//!
//! ```
//! use hotrow_kernels::{Level, MatMut, MatRef, RowIds, rows::{rows_axpy, rows_dot, rows_outer}};
//!
//! let level = Level::detect();
//! let mut weights = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0]; // 3 rows of 2
//! let active = RowIds::new(&[2, 0], 3)?;
//! let x = [3.0, 4.0];
//!
//! let mut scores = [0.0; 2];
//! rows_dot(level, &mut scores, active, MatRef::new(&weights, 3, 2), &x);
//! assert_eq!(scores, [7.0, 3.0]);
//!
//! let d_scores = [1.0, -1.0];
//! let mut dx = [0.0; 2];
//! rows_axpy(level, &mut dx, active, &d_scores, MatRef::new(&weights, 3, 2));
//! assert_eq!(dx, [0.0, 1.0]);
//!
//! let steps = d_scores.map(|d| -0.5 * d);
//! rows_outer(level, MatMut::new(&mut weights, 3, 2), active, &steps, &x);
//! assert_eq!(weights, [2.5, 2.0, 0.0, 1.0, -0.5, -1.0]);
//! # Ok::<(), hotrow_kernels::IndexError>(())
//! ```
//!
//! # Which function do I want?
//!
//! | you have | you want | function |
//! |---|---|---|
//! | a vector and a list of rows | the product with each row | [`rows::rows_dot`] |
//! | | the sum of the rows, each with a factor | [`rows::rows_axpy`] |
//! | | multiples of the vector added to the rows | [`rows::rows_outer`] |
//! | a sparse vector | its products with dense rows | [`rows::rows_gather_dot`] |
//! | | multiples of it added to a dense row | [`rows::scatter_axpy`] |
//! | many sparse rows | their sum, and the largest numbers of it | [`rows::scatter_axpy_marked`], [`rows::top_k_marked`] |
//! | a batch, each sample with rows of its own | forward | [`rows::sddmm`] |
//! | | the gradient of the inputs, of the rows | [`rows::spmm`], [`rows::row_gradients`] |
//! | a batch whose samples share a list of rows | forward | [`gemm::gathered_forward`] |
//! | | the gradient of the inputs, of the rows | [`gemm::gathered_backward_input`], [`gemm::gathered_backward_weights`] |
//! | dense matrices | one product, many of one shape | [`gemm::gemm`], [`gemm::batched_gemm`] |
//! | logits | the loss of one right class among many | [`reduce::softmax_cross_entropy`] |
//! | | the loss of independent yes-or-no labels | [`reduce::sigmoid_cross_entropy`] |
//! | scores | the k largest | [`reduce::top_k`] |
//! | a query and many vectors | those at a small angle to it | [`hash::SimHash`], or [`hash::CrossPolytope`] with probes |
//! | sparse vectors | those with like sets of features | [`hash::MinHash`] |
//! | gradients of some rows | a step without state | [`optim::sgd`] |
//! | | an adaptive step with one number a row | [`optim::rowwise_adagrad`] |
//! | | Adam as if every row had stepped | [`optim::adam_catch_up`] |
//! | f32 numbers | half the memory | [`convert::bf16_from_f32`], or [`convert::bf16_from_f32_stochastic`] for weights that are trained |
//! | | a quarter of the memory | [`convert::i8_rows_from_f32`], then [`convert::rows_dot_i8`] |
//!
//! # Shapes and units
//!
//! * **Matrices** are row-major. A stride is the number of elements from one row to the next. Lengths count elements, never bytes.
//! * **Shapes** stand behind names: `w` (rows, D). A is the number of active rows, B of samples, D of columns.
//! * **Numbers** of a matrix are f32 or [`bf16`] ([`Weight`]). Vectors, sums and results are f32.
//! * **Bounds** on errors are in `eps`, which is [`f32::EPSILON`]. Losses are in nats.
//! * **Wrong calls** panic and name both shapes. Wrong row numbers give an [`IndexError`] before a kernel sees them.
//! * **Levels** differ in the last places only: in the order of additions and in fused multiply-adds. Equal arguments at one level
//!   give equal bits.
//!
//! # Crate features
//!
//! * **amx-emulator** is for tests: it offers [`Level`] `amx` on x86-64 Linux machines with AVX-512 and without AMX.
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
