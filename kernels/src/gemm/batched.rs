//! Many products of one shape, as in attention: heads, causal or not.

use super::gathered::GemmScratch;
use super::operand::Operand;
use super::output::Output;
use super::product::product;
use super::strips::Precision;
use super::window::{Causal, Window};
use crate::simd::Weight;
use crate::{Level, MatMut, MatRef};

/// Rows of the left factor packed and multiplied at a time.
const ROWS: usize = 128;

/// How `count` row-major matrices of (`rows`, `cols`) lie in one slice: entry (r, c) of matrix `b` is
/// `data[b * batch_stride + r * row_stride + c]`.
///
/// ```
/// use hotrow_kernels::gemm::BatchShape;
/// let shape = BatchShape { count: 8, rows: 100, cols: 64, row_stride: 512, batch_stride: 64 };
/// assert_eq!(BatchShape::heads(8, 100, 64), shape);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchShape {
    /// Matrices.
    pub count: usize,
    /// Rows of each.
    pub rows: usize,
    /// Columns of each.
    pub cols: usize,
    /// Elements from one row to the next, not below `cols`.
    pub row_stride: usize,
    /// Elements from one matrix to the next.
    pub batch_stride: usize,
}

impl BatchShape {
    /// (count, rows, cols) without gaps.
    ///
    /// ```
    /// assert_eq!(hotrow_kernels::gemm::BatchShape::dense(2, 3, 4).batch_stride, 12);
    /// ```
    pub fn dense(count: usize, rows: usize, cols: usize) -> Self {
        Self { count, rows, cols, row_stride: cols, batch_stride: rows * cols }
    }

    /// (rows, count, cols) without gaps: one row per token, in it the heads side by side.
    ///
    /// ```
    /// assert_eq!(hotrow_kernels::gemm::BatchShape::heads(2, 3, 4).row_stride, 8);
    /// ```
    pub fn heads(count: usize, rows: usize, cols: usize) -> Self {
        Self { count, rows, cols, row_stride: count.max(1) * cols, batch_stride: cols }
    }

    /// # Panics
    ///
    /// If a row stride is below the columns, or the last matrix reaches past `len` elements.
    #[track_caller]
    fn check(self, len: usize) {
        let Self { count, rows, cols, row_stride, batch_stride } = self;
        assert!(row_stride >= cols, "row stride {row_stride} is below the {cols} columns");
        let end = || {
            let last = (count - 1).checked_mul(batch_stride)?;
            let row = rows.checked_sub(1).map_or(Some(0), |last| last.checked_mul(row_stride)?.checked_add(cols))?;
            last.checked_add(row)
        };
        assert!(self.is_empty() || end().is_some_and(|end| end <= len), "{self:?} does not fit into {len} elements");
    }

    fn is_empty(self) -> bool {
        let Self { count, rows, cols, .. } = self;
        count == 0 || rows == 0 || cols == 0
    }

    /// How many matrices after one is the first that shares an element with it.
    fn overlap(self) -> Option<usize> {
        let Self { count, rows, cols, row_stride, batch_stride } = self;
        if self.is_empty() {
            return None;
        }
        // Row `k` of the earlier matrix has the elements from `k * row_stride` on: those rows that begin at or before the first
        // element of the later one, and behind it.
        let meets = |begin: usize| {
            let (row, past) = (begin / row_stride, begin % row_stride);
            row < rows && past < cols || row + 1 < rows && row_stride - past < cols
        };
        let reach = |begin: &usize| *begin < (rows - 1) * row_stride + cols;
        (1..count).map_while(|after| after.checked_mul(batch_stride).filter(reach)).position(meets).map(|at| at + 1)
    }
}

/// Matrices to read, as they stand or transposed. They may share elements: keys that several heads read are one matrix
/// with a batch stride of 0.
///
/// ```
/// use hotrow_kernels::gemm::{Batch, BatchShape};
/// let keys = Batch::new(&[0.0; 24], BatchShape::heads(2, 3, 4));
/// assert_eq!((keys.rows(), keys.cols()), (3, 4));
/// assert_eq!((keys.transposed().rows(), keys.transposed().cols()), (4, 3));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a, W> {
    data: &'a [W],
    shape: BatchShape,
    transposed: bool,
}

impl<'a, W: Weight> Batch<'a, W> {
    /// The matrices of `shape` in `data`.
    ///
    /// # Panics
    ///
    /// If the row stride is below the columns, or the last matrix reaches past the end of `data`.
    ///
    /// ```
    /// use hotrow_kernels::gemm::{Batch, BatchShape};
    /// assert_eq!(Batch::new(&[0.0; 24], BatchShape::dense(2, 3, 4)).count(), 2);
    /// ```
    #[track_caller]
    pub fn new(data: &'a [W], shape: BatchShape) -> Self {
        shape.check(data.len());
        Self { data, shape, transposed: false }
    }

    /// Each matrix transposed; nothing is moved.
    ///
    /// ```
    /// use hotrow_kernels::gemm::{Batch, BatchShape};
    /// assert_eq!(Batch::new(&[0.0; 24], BatchShape::dense(2, 3, 4)).transposed().rows(), 4);
    /// ```
    pub fn transposed(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    /// How many matrices there are.
    ///
    /// ```
    /// use hotrow_kernels::gemm::{Batch, BatchShape};
    /// assert_eq!(Batch::new(&[0.0; 24], BatchShape::dense(2, 3, 4)).count(), 2);
    /// ```
    pub fn count(&self) -> usize {
        self.shape.count
    }

    /// Rows of each.
    ///
    /// ```
    /// use hotrow_kernels::gemm::{Batch, BatchShape};
    /// assert_eq!(Batch::new(&[0.0; 24], BatchShape::dense(2, 3, 4)).rows(), 3);
    /// ```
    pub fn rows(&self) -> usize {
        if self.transposed { self.shape.cols } else { self.shape.rows }
    }

    /// Columns of each.
    ///
    /// ```
    /// use hotrow_kernels::gemm::{Batch, BatchShape};
    /// assert_eq!(Batch::new(&[0.0; 24], BatchShape::dense(2, 3, 4)).cols(), 4);
    /// ```
    pub fn cols(&self) -> usize {
        if self.transposed { self.shape.rows } else { self.shape.cols }
    }

    fn operand(&self, b: usize) -> Operand<'a, W> {
        let BatchShape { rows, cols, row_stride, batch_stride, .. } = self.shape;
        // A matrix without entries may begin past the end.
        let data = self.data.get(b.saturating_mul(batch_stride)..).unwrap_or(&[]);
        let operand = Operand::new(MatRef::with_stride(data, rows, cols, row_stride));
        if self.transposed { operand.transposed() } else { operand }
    }
}

/// Matrices to write over or add to, with a factor.
///
/// ```
/// use hotrow_kernels::gemm::{BatchMut, BatchShape};
/// let mut scores = [0.0; 18];
/// let scores = BatchMut::new(&mut scores, BatchShape::dense(2, 3, 3)).scaled(0.125);
/// assert_eq!(scores.count(), 2);
/// ```
#[derive(Debug)]
pub struct BatchMut<'a> {
    data: &'a mut [f32],
    shape: BatchShape,
    scale: f32,
    add: bool,
}

impl<'a> BatchMut<'a> {
    /// The matrices of `shape` in `data`, to be written over.
    ///
    /// # Panics
    ///
    /// If the row stride is below the columns, the last matrix reaches past the end of `data`, or two matrices share an
    /// element: the later would be written over the earlier.
    ///
    /// ```
    /// use hotrow_kernels::gemm::{BatchMut, BatchShape};
    /// assert_eq!(BatchMut::new(&mut [0.0; 24], BatchShape::heads(2, 3, 4)).count(), 2);
    /// ```
    #[track_caller]
    pub fn new(data: &'a mut [f32], shape: BatchShape) -> Self {
        shape.check(data.len());
        if let Some(after) = shape.overlap() {
            panic!("matrices 0 and {after} of {shape:?} share elements");
        }
        Self { data, shape, scale: 1.0, add: false }
    }

    /// The products are added to what stands there.
    ///
    /// ```
    /// use hotrow_kernels::gemm::{BatchMut, BatchShape};
    /// assert_eq!(BatchMut::new(&mut [0.0; 24], BatchShape::heads(2, 3, 4)).added().count(), 2);
    /// ```
    pub fn added(self) -> Self {
        Self { add: true, ..self }
    }

    /// The products are multiplied by `scale` first.
    ///
    /// ```
    /// use hotrow_kernels::gemm::{BatchMut, BatchShape};
    /// assert_eq!(BatchMut::new(&mut [0.0; 24], BatchShape::heads(2, 3, 4)).scaled(0.5).count(), 2);
    /// ```
    pub fn scaled(self, scale: f32) -> Self {
        Self { scale, ..self }
    }

    /// How many matrices there are.
    ///
    /// ```
    /// use hotrow_kernels::gemm::{BatchMut, BatchShape};
    /// assert_eq!(BatchMut::new(&mut [0.0; 24], BatchShape::heads(2, 3, 4)).count(), 2);
    /// ```
    pub fn count(&self) -> usize {
        self.shape.count
    }

    fn output(&mut self, b: usize) -> Output<'_> {
        let BatchShape { rows, cols, row_stride, batch_stride, .. } = self.shape;
        let data = self.data.get_mut(b.saturating_mul(batch_stride)..).unwrap_or(&mut []);
        let output = Output::new(MatMut::with_stride(data, rows, cols, row_stride)).scaled(self.scale);
        if self.add { output.added() } else { output }
    }
}

/// `out[b] = left[b] right[b]` for each `b`: (M, K) times (K, N) is (M, N). With `causal`, only the part on and below
/// the diagonal is packed (rounded up to a block), multiplied and, where the output has the diagonal, written.
///
/// The six products of causal attention over `T` tokens, forward and backward, per head:
///
/// | product | left, right | `causal` |
/// |---|---|---|
/// | scores `S = Q K^T / sqrt(d)` | `q`, `k.transposed()` | [`Causal::Output`] |
/// | `O = P V` | `p`, `v` | [`Causal::Until`] |
/// | `dP = dO V^T` | `d_o`, `v.transposed()` | [`Causal::Output`] |
/// | `dV = P^T dO` | `p.transposed()`, `d_o` | [`Causal::From`] |
/// | `dQ = dS K` | `ds`, `k` | [`Causal::Until`] |
/// | `dK = dS^T Q` | `ds.transposed()`, `q` | [`Causal::From`] |
///
/// # Panics
///
/// If counts or shapes disagree, or a scratch panel has to grow and memory runs out.
///
/// ```
/// use hotrow_kernels::gemm::{Batch, BatchMut, BatchShape, Causal, GemmScratch, Precision, batched_gemm};
/// use hotrow_kernels::Level;
/// // Two tokens, one head of two numbers.
/// let q = Batch::new(&[1.0, 0.0, 1.0, 1.0], BatchShape::heads(1, 2, 2));
/// let k = Batch::new(&[2.0, 3.0, 5.0, 7.0], BatchShape::heads(1, 2, 2));
/// let mut scores = [f32::NEG_INFINITY; 4];
/// let out = BatchMut::new(&mut scores, BatchShape::dense(1, 2, 2)).scaled(0.5);
/// let (level, mut scratch) = (Level::detect(), GemmScratch::default());
/// batched_gemm(level, Precision::F32, &mut scratch, out, q, k.transposed(), Causal::Output { offset: 0 });
/// assert_eq!(scores, [1.0, f32::NEG_INFINITY, 2.5, 6.0]);
/// ```
#[track_caller]
pub fn batched_gemm<A: Weight, B: Weight>(
    level: Level,
    precision: Precision,
    scratch: &mut GemmScratch,
    mut out: BatchMut,
    left: Batch<A>,
    right: Batch<B>,
    causal: Causal,
) {
    assert_eq!(out.count(), left.count(), "the output and the left factor differ in the number of matrices");
    assert_eq!(left.count(), right.count(), "the left and the right factor differ in the number of matrices");
    assert_eq!(left.cols(), right.rows(), "the columns of left are not the rows of right (K)");
    assert_eq!(out.shape.rows, left.rows(), "the output and the left factor differ in rows (M)");
    assert_eq!(out.shape.cols, right.cols(), "the output and the right factor differ in columns (N)");
    let (rows, depth) = (left.rows(), left.cols());
    for b in 0..out.count() {
        let (left, mut out) = (left.operand(b), out.output(b));
        scratch.right.pack_right(level, precision, right.operand(b));
        for row in (0..rows).step_by(ROWS) {
            let below = rows.min(row + ROWS);
            let terms = Window { causal, row, from: 0 }.terms(0, below - row - 1, depth);
            // Whole steps of the tile unit.
            let from = terms.start / 32 * 32;
            let window = Window { causal, row, from };
            scratch.left.pack_left(level, precision, left.part(row, below).columns(from, terms.end));
            scratch.left.clear(window);
            product(level, &mut out.part(row, below, false), &scratch.left, &scratch.right, window);
        }
    }
}
