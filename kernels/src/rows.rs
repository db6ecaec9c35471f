//! The three products of a sparse layer with the rows of its matrix: for one vector, and for a batch row by row.
//!
//! | kernel | meaning |
//! |---|---|
//! | [`rows_dot`] | `out[a] = <W[active[a]], x>` |
//! | [`rows_axpy`] | `y += sum_a c[a] * W[active[a]]` |
//! | [`rows_outer`] | `W[active[a]] += c[a] * x` |
//! | [`sddmm`] | the first for a batch: `out[e] = <W[row of e], X[sample of e]>` |
//! | [`spmm`] | the second for a batch: `dX[sample of e] += c[e] * W[row of e]` |
//! | [`row_gradients`] | the third for a batch, row by row: `dW[i] = sum_e c[e] * X[sample of e]` |
//! | [`gather_dot`], [`rows_gather_dot`] | sparse vector x dense row(s) |
//! | [`sparse_dot`], [`scatter_axpy`] | sparse x sparse, and the gradient of a sparse product |
//! | [`scatter_axpy_marked`], [`top_k_marked`], [`clear_marked`] | sums of sparse rows, the largest of them, and none again |
//!
//! `W` is (rows, D), row-major with any stride, f32 or bf16. Vectors and arithmetic are f32.

mod batch;
mod gather;
mod marked;
mod pairs;
#[cfg(test)]
mod tests;
mod vector;

pub use batch::{RowBatch, row_gradients, sddmm, spmm};
pub use gather::{gather_dot, rows_gather_dot, scatter_axpy, sparse_dot};
pub use marked::{clear_marked, marks, scatter_axpy_marked, top_k_marked, top_k_scratch};
pub(crate) use vector::{check as check_rows, prefetch_ahead};
pub use vector::{rows_axpy, rows_dot, rows_outer};
