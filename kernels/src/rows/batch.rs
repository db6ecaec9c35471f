//! A batch against a list of rows, row by row. A row that is loaded serves every sample that wants it.

use super::pairs::{BLOCK, block_columns};
use super::vector::{add_to, check, dot_group, pick, prefetch_ahead};
use crate::simd::{Simd, Weight};
use crate::{IndexError, Level, MatMut, MatRef, RowIds, dispatch};

/// Samples that share one load of a row where there are 32 registers: two sums each, and the row. Otherwise half as many.
const GROUP: usize = 8;

/// The samples that want each row of a list: the non-zero pattern of an active batch, transposed.
///
/// Row `rows[i]` is wanted by `samples[e]` for the entries `offsets[i] <= e < offsets[i + 1]`:
///
/// ```text
/// rows     7        12    40
/// offsets  0        3     4        6
/// samples  0  2  9  |  2  |  0  1
/// ```
///
/// ```
/// use hotrow_kernels::{RowIds, rows::RowBatch};
/// let rows = RowIds::new(&[7, 12, 40], 100)?;
/// let samples = RowIds::new(&[0, 2, 9, 2, 0, 1], 10)?;
/// let batch = RowBatch::new(rows, &[0, 3, 4, 6], samples)?;
/// assert_eq!(batch.entries(), 6);
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RowBatch<'a> {
    rows: RowIds<'a>,
    offsets: &'a [u32],
    samples: RowIds<'a>,
}

impl<'a> RowBatch<'a> {
    /// `rows` (R), `offsets` (R + 1), `samples` (E): any order, duplicates allowed.
    ///
    /// # Errors
    ///
    /// [`IndexError::LengthMismatch`] if there are not R + 1 offsets, [`IndexError::BadOffset`] if they do not run from 0
    /// to E without decreasing.
    pub fn new(rows: RowIds<'a>, offsets: &'a [u32], samples: RowIds<'a>) -> Result<Self, IndexError> {
        if offsets.len() != rows.len() + 1 {
            return Err(IndexError::LengthMismatch {
                left: "offsets",
                left_len: offsets.len(),
                right: "rows and the end",
                right_len: rows.len() + 1,
            });
        }
        let items = samples.len();
        let at_fault = |position| IndexError::BadOffset { position, offset: offsets[position], items };
        if offsets[0] != 0 {
            return Err(at_fault(0));
        }
        if let Some(before) = offsets.windows(2).position(|pair| pair[0] > pair[1]) {
            return Err(at_fault(before + 1));
        }
        match offsets[rows.len()] as usize == items {
            true => Ok(Self { rows, offsets, samples }),
            false => Err(at_fault(rows.len())),
        }
    }

    /// The rows (R).
    pub fn rows(self) -> RowIds<'a> {
        self.rows
    }

    /// How many (row, sample) pairs there are (E).
    pub fn entries(self) -> usize {
        self.samples.len()
    }

    #[inline(always)]
    fn range(self, i: usize) -> std::ops::Range<usize> {
        self.offsets[i] as usize..self.offsets[i + 1] as usize
    }
}

/// Sampled dense-dense product: `out[e] = <W[row of e, :], X[sample of e, :]>`. `out` (E), `w` (rows, D), `x` (samples, D).
///
/// The bound of [`rows_dot`](super::rows_dot) holds.
///
/// # Panics
///
/// If `out` is not as long as the batch has entries, `x` and `w` differ in columns, or the batch was checked for more
/// rows or samples than there are.
///
/// ```
/// use hotrow_kernels::{Level, MatRef, RowIds, rows::{RowBatch, sddmm}};
/// let w = MatRef::new(&[1.0, 0.0, 0.0, 1.0], 2, 2);
/// let x = MatRef::new(&[3.0, 4.0, 5.0, 6.0], 2, 2);
/// let batch = RowBatch::new(RowIds::new(&[1], 2)?, &[0, 2], RowIds::new(&[0, 1], 2)?)?;
/// let mut out = [0.0; 2];
/// sddmm(Level::detect(), &mut out, batch, w, x);
/// assert_eq!(out, [4.0, 6.0]);
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[track_caller]
pub fn sddmm<W: Weight>(level: Level, out: &mut [f32], batch: RowBatch, w: MatRef<W>, x: MatRef<f32>) {
    assert_eq!(out.len(), batch.entries(), "out and the entries of the batch differ in length");
    check(batch.rows, w, x.cols());
    check(batch.samples, x, w.cols());
    dispatch!(level, s => sddmm_all(s, out, batch, w, x))
}

/// Sparse-dense product: `dX[sample of e, :] += c[e] * W[row of e, :]`. `dx` (samples, D), `c` (E), `w` (rows, D).
///
/// Entries are added in order, so the result does not depend on how a batch is cut by rows.
///
/// # Panics
///
/// As [`sddmm`], with `c` for `out` and `dx` for `x`.
///
/// ```
/// use hotrow_kernels::{Level, MatMut, MatRef, RowIds, rows::{RowBatch, spmm}};
/// let w = MatRef::new(&[1.0, 2.0, 3.0, 4.0], 2, 2);
/// let batch = RowBatch::new(RowIds::new(&[1, 0], 2)?, &[0, 1, 2], RowIds::new(&[0, 0], 1)?)?;
/// let mut dx = [0.0; 2];
/// spmm(Level::detect(), MatMut::new(&mut dx, 1, 2), batch, &[10.0, 1.0], w);
/// assert_eq!(dx, [31.0, 42.0]);
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[track_caller]
pub fn spmm<W: Weight>(level: Level, mut dx: MatMut<f32>, batch: RowBatch, c: &[f32], w: MatRef<W>) {
    assert_eq!(c.len(), batch.entries(), "c and the entries of the batch differ in length");
    check(batch.rows, w, dx.cols());
    check(batch.samples, dx.as_ref(), w.cols());
    dispatch!(level, s => {
        let ids = batch.rows.as_slice();
        for (i, &id) in ids.iter().enumerate() {
            prefetch_ahead(s, w, ids, i, 0);
            for e in batch.range(i) {
                add_row(s, dx.row_mut(batch.samples.as_slice()[e] as usize), c[e], w.row(id as usize));
            }
        }
    })
}

/// The gradient of each row of the batch: `dw[i, :] = sum of c[e] * X[sample of e, :]` over the entries `e` of row `i`.
/// `dw` (R, D) is overwritten, `c` (E), `x` (samples, D). A row without entries becomes zero.
///
/// # Panics
///
/// If `c` is not as long as the batch has entries, `dw` has not one row for each of the batch, `x` and `dw` differ in
/// columns, or the batch was checked for more samples than `x` has.
///
/// ```
/// use hotrow_kernels::{Level, MatMut, MatRef, RowIds, rows::{RowBatch, row_gradients}};
/// let x = MatRef::new(&[1.0, 2.0, 3.0, 4.0], 2, 2);
/// let batch = RowBatch::new(RowIds::new(&[7], 9)?, &[0, 2], RowIds::new(&[0, 1], 2)?)?;
/// let mut dw = [f32::NAN; 2];
/// row_gradients(Level::detect(), MatMut::new(&mut dw, 1, 2), batch, &[10.0, 1.0], x);
/// assert_eq!(dw, [13.0, 24.0]);
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[track_caller]
pub fn row_gradients(level: Level, mut dw: MatMut<f32>, batch: RowBatch, c: &[f32], x: MatRef<f32>) {
    assert_eq!(c.len(), batch.entries(), "c and the entries of the batch differ in length");
    assert_eq!(dw.rows(), batch.rows.len(), "dw and the rows of the batch differ in number");
    check(batch.samples, x, dw.cols());
    dispatch!(level, s => {
        for i in 0..dw.rows() {
            let entries = batch.range(i);
            weighted_sum(s, dw.row_mut(i), &c[entries.clone()], &batch.samples.as_slice()[entries], x);
        }
    })
}

#[inline(always)]
fn sddmm_all<S: Simd, W: Weight>(s: S, out: &mut [f32], batch: RowBatch, w: MatRef<W>, x: MatRef<f32>) {
    let (ids, columns) = (batch.rows.as_slice(), block_columns::<W>(w.cols()));
    let mut widened = [0.0; BLOCK];
    out.fill(0.0);
    for (i, &id) in ids.iter().enumerate() {
        prefetch_ahead(s, w, ids, i, 0);
        let entries = batch.range(i);
        for from in (0..w.cols()).step_by(columns) {
            let row = widen(s, w.part(id, from, columns.min(w.cols() - from)), &mut widened);
            dots(s, &mut out[entries.clone()], row, &batch.samples.as_slice()[entries.clone()], x, from);
        }
    }
}

/// Adds the products of `row` with the columns from `from` of `samples` to `out`.
#[inline(always)]
fn dots<S: Simd>(s: S, out: &mut [f32], row: &[f32], samples: &[u32], x: MatRef<f32>, from: usize) {
    let mut e = 0;
    while S::REGISTERS >= 32 && e + GROUP <= samples.len() {
        e += dots_of::<S, GROUP>(s, &mut out[e..], row, &samples[e..], x, from);
    }
    while e + GROUP / 2 <= samples.len() {
        e += dots_of::<S, { GROUP / 2 }>(s, &mut out[e..], row, &samples[e..], x, from);
    }
    while e < samples.len() {
        e += dots_of::<S, 1>(s, &mut out[e..], row, &samples[e..], x, from);
    }
}

/// Adds the products of `row` with the columns from `from` of the first `R` samples to `out`; returns `R`.
#[inline(always)]
fn dots_of<S: Simd, const R: usize>(
    s: S,
    out: &mut [f32],
    row: &[f32],
    samples: &[u32],
    x: MatRef<f32>,
    from: usize,
) -> usize {
    add_to(out, dot_group(s, pick::<f32, R>(x, samples, from, row.len()), row));
    R
}

/// `row` as f32: itself, or a copy that all of its samples share.
#[inline(always)]
fn widen<'a, S: Simd, W: Weight>(s: S, row: &'a [W], buffer: &'a mut [f32; BLOCK]) -> &'a [f32] {
    if W::IS_F32 {
        return bytemuck::cast_slice(row);
    }
    let (mut to, mut from) = (buffer[..row.len()].chunks_exact_mut(S::LANES), row.chunks_exact(S::LANES));
    for (to, from) in (&mut to).zip(&mut from) {
        s.store(W::load(s, from), to);
    }
    s.store_partial(W::load_partial(s, from.remainder()), to.into_remainder());
    &buffer[..row.len()]
}

/// `y += c * row` in natural order.
#[inline(always)]
fn add_row<S: Simd, W: Weight>(s: S, y: &mut [f32], c: f32, row: &[W]) {
    let factor = s.splat(c);
    let (mut ys, mut rows) = (y.chunks_exact_mut(S::LANES), row.chunks_exact(S::LANES));
    for (y, row) in (&mut ys).zip(&mut rows) {
        s.store(s.mul_add(factor, W::load(s, row), s.load(y)), y);
    }
    let (y, row) = (ys.into_remainder(), rows.remainder());
    s.store_partial(s.mul_add(factor, W::load_partial(s, row), s.load_partial(y)), y);
}

/// `out = sum_e c[e] * X[samples[e], :]`, eight vectors of columns at a time so that the sums stay in registers.
#[inline(always)]
fn weighted_sum<S: Simd>(s: S, out: &mut [f32], c: &[f32], samples: &[u32], x: MatRef<f32>) {
    let strip = GROUP * S::LANES;
    let whole = out.len() - out.len() % strip;
    for at in (0..whole).step_by(strip) {
        let mut acc = [s.splat(0.0); GROUP];
        for (&c, &sample) in c.iter().zip(samples) {
            let (c, x) = (s.splat(c), &x.row(sample as usize)[at..][..strip]);
            for (k, acc) in acc.iter_mut().enumerate() {
                *acc = s.mul_add(c, s.load(&x[k * S::LANES..]), *acc);
            }
        }
        for (acc, out) in acc.into_iter().zip(out[at..].chunks_exact_mut(S::LANES)) {
            s.store(acc, out);
        }
    }
    for at in (whole..out.len()).step_by(S::LANES) {
        let mut acc = s.splat(0.0);
        for (&c, &sample) in c.iter().zip(samples) {
            acc = s.mul_add(s.splat(c), s.load_partial(&x.row(sample as usize)[at..]), acc);
        }
        s.store_partial(acc, &mut out[at..]);
    }
}
