//! The three products of a sparse layer with the rows of its matrix, for one vector and for a batch walked by row.
//!
//! | kernel | meaning |
//! |---|---|
//! | [`rows_dot`] | `out[a] = <W[active[a]], x>` |
//! | [`rows_axpy`] | `y += sum_a c[a] * W[active[a]]` |
//! | [`rows_outer`] | `W[active[a]] += c[a] * x` |
//!
//! `W` is (rows, D) row-major with any stride, f32 or bf16; `x` and `y` are (D) and f32; arithmetic is f32.

mod vector;

pub(crate) use vector::{check as check_rows, rows_ahead};
pub use vector::{rows_axpy, rows_dot, rows_outer};
