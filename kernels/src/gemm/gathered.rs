//! The three products of a layer with the active rows of its matrix, packing included.

use super::operand::Operand;
use super::output::Output;
use super::panel::PackedPanel;
use super::product::product;
use super::strips::Precision;
use super::window::Window;
use crate::simd::Weight;
use crate::{Level, MatRef};

/// Rows packed and multiplied at a time: packed rows are still in the second-level cache when they are multiplied.
const ROWS: usize = 128;

/// Contraction indices packed and multiplied at a time, where rows are what is summed over: as many as one pass of
/// the product, so that the output is not written more often than in one product.
const DEPTH: usize = 512;

/// The two panels that the functions of this family pack into, owned by the caller and reused (one a thread).
///
/// ```
/// let scratch = hotrow_kernels::gemm::GemmScratch::default();
/// assert_eq!(scratch.left.outer(), 0);
/// ```
#[derive(Debug, Default)]
pub struct GemmScratch {
    /// The left factor, a block of rows at a time.
    pub left: PackedPanel,
    /// The right factor.
    pub right: PackedPanel,
}

/// Forward: `C = W[active, :] X^T`. `w` (U, D) is `Operand::gathered(w, active)` or, for all rows, `Operand::new(w)`.
/// `x` (B, D), `out` (U, B). Factors may be f32 or bf16.
///
/// Rows are packed 128 at a time, just before they are multiplied. Accuracy is that of [`gemm`](super::gemm).
///
/// # Panics
///
/// If the shapes disagree, or a scratch panel has to grow and memory runs out.
///
/// ```
/// use hotrow_kernels::gemm::{GemmScratch, Operand, Output, Precision, gathered_forward};
/// use hotrow_kernels::{Level, MatMut, MatRef, RowIds};
/// let w = MatRef::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3, 2);
/// let x = MatRef::new(&[1.0, -1.0, 0.5, 2.0], 2, 2);
/// let active = RowIds::new(&[2, 0], w.rows())?;
/// let (mut scratch, mut c) = (GemmScratch::default(), [0.0; 4]);
/// let out = Output::new(MatMut::new(&mut c, 2, 2));
/// gathered_forward(Level::detect(), Precision::F32, &mut scratch, out, Operand::gathered(w, active), x);
/// assert_eq!(c, [-1.0, 14.5, -1.0, 4.5]);
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[track_caller]
pub fn gathered_forward<W: Weight, X: Weight>(
    level: Level,
    precision: Precision,
    scratch: &mut GemmScratch,
    out: Output,
    w: Operand<W>,
    x: MatRef<X>,
) {
    assert_eq!(w.cols(), x.cols(), "the rows of w and of x differ in length (D)");
    rows_at_a_time(level, precision, scratch, out, w, Operand::new(x).transposed());
}

/// Backward to the inputs: `dX = dC^T W[active, :]`. `w` (U, D) as in [`gathered_forward`], `dc` (U, B), `dx` (B, D).
///
/// The contraction runs over the active rows, 512 at a time. They are copied, not transposed.
///
/// # Panics
///
/// If the shapes disagree, or a scratch panel has to grow and memory runs out.
///
/// ```
/// use hotrow_kernels::gemm::{GemmScratch, Operand, Output, Precision, gathered_backward_input};
/// use hotrow_kernels::{Level, MatMut, MatRef, RowIds};
/// let w = MatRef::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3, 2);
/// let active = RowIds::new(&[2, 0], w.rows())?;
/// let dc = MatRef::new(&[1.0, 0.5, 0.0, -1.0], 2, 2);
/// let (mut scratch, mut dx) = (GemmScratch::default(), [0.0; 4]);
/// let out = Output::new(MatMut::new(&mut dx, 2, 2));
/// gathered_backward_input(Level::detect(), Precision::F32, &mut scratch, out, Operand::gathered(w, active), dc);
/// assert_eq!(dx, [5.0, 6.0, 1.5, 1.0]);
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[track_caller]
pub fn gathered_backward_input<W: Weight, X: Weight>(
    level: Level,
    precision: Precision,
    scratch: &mut GemmScratch,
    mut dx: Output,
    w: Operand<W>,
    dc: MatRef<X>,
) {
    assert_eq!(w.rows(), dc.rows(), "w and dc differ in rows (U)");
    let (rows, left) = (dx.rows(), Operand::new(dc));
    // At least once: a sum over no rows is zero and is written.
    for from in (0..left.rows().max(1)).step_by(DEPTH) {
        let to = left.rows().min(from + DEPTH);
        scratch.left.pack_left(level, precision, left.part(from, to).transposed());
        scratch.right.pack_right(level, precision, w.part(from, to));
        product(level, &mut dx.part(0, rows, from > 0), &scratch.left, &scratch.right, Window::FULL);
    }
}

/// Backward to the rows: `dW[active, :] = dC X`. `dc` (U, B), `x` (B, D), `dw` (U, D). [`Output::scattered`] writes to
/// the active rows of a matrix, [`Output::added`] adds to what stands there.
///
/// # Panics
///
/// If the shapes disagree, or a scratch panel has to grow and memory runs out.
///
/// ```
/// use hotrow_kernels::gemm::{GemmScratch, Output, Precision, gathered_backward_weights};
/// use hotrow_kernels::{Level, MatMut, MatRef, UniqueRowIds};
/// let dc = MatRef::new(&[1.0, 0.5, 0.0, -1.0], 2, 2);
/// let x = MatRef::new(&[1.0, -1.0, 0.5, 2.0], 2, 2);
/// let active = UniqueRowIds::new(&[0, 2], 3)?;
/// let (mut scratch, mut dw) = (GemmScratch::default(), [0.0; 6]);
/// let out = Output::scattered(MatMut::new(&mut dw, 3, 2), active);
/// gathered_backward_weights(Level::detect(), Precision::F32, &mut scratch, out, dc, x);
/// assert_eq!(dw, [1.25, 0.0, 0.0, 0.0, -0.5, -2.0]);
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[track_caller]
pub fn gathered_backward_weights<C: Weight, X: Weight>(
    level: Level,
    precision: Precision,
    scratch: &mut GemmScratch,
    dw: Output,
    dc: MatRef<C>,
    x: MatRef<X>,
) {
    assert_eq!(dc.cols(), x.rows(), "the rows of dc are not as long as x has rows (B)");
    rows_at_a_time(level, precision, scratch, dw, Operand::new(dc), Operand::new(x));
}

/// `out = left right`, the right factor packed as a whole.
#[track_caller]
fn rows_at_a_time<A: Weight, B: Weight>(
    level: Level,
    precision: Precision,
    scratch: &mut GemmScratch,
    mut out: Output,
    left: Operand<A>,
    right: Operand<B>,
) {
    assert_eq!(out.rows(), left.rows(), "the output and the left factor differ in rows (U)");
    scratch.right.pack_right(level, precision, right);
    for from in (0..left.rows()).step_by(ROWS) {
        let to = left.rows().min(from + ROWS);
        scratch.left.pack_left(level, precision, left.part(from, to));
        product(level, &mut out.part(from, to, false), &scratch.left, &scratch.right, Window::FULL);
    }
}
