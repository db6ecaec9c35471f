//! One dense vector against a list of rows.
//!
//! Rows are taken four at a time, so that one load of the vector serves four rows, and bf16 rows are read in pair order.

use super::pairs::{Pairs, block_columns};
use crate::simd::{Simd, Weight};
use crate::{Level, MatMut, MatRef, RowIds, dispatch};

/// Rows that share one load of the vector. With the two vectors of a pair they make eight independent sums, which cover
/// the latency of two fused multiply-adds a cycle.
const GROUP: usize = 4;

/// Bytes of rows asked for ahead of the ones at work.
const AHEAD: usize = 4096;

/// How many rows ahead of the one at work to prefetch.
#[inline(always)]
pub(super) fn rows_ahead<W>(cols: usize) -> usize {
    (AHEAD / (cols * size_of::<W>()).max(64)).clamp(GROUP, 32)
}

/// `out[a] = <W[active[a], :], x>`: `out` and `active` (A), `w` (rows, D), `x` (D).
///
/// Any order of `active` and duplicates are allowed. Each dot product is accumulated in f32, so it differs from the exact one
/// by at most `(D + 1) * eps * sum |w||x|`.
///
/// # Panics
///
/// If `out` and `active` differ in length, `x` is not as long as a row, or `active` was checked for more rows than `w` has.
///
/// ```
/// use hotrow_kernels::{Level, MatRef, RowIds, rows::rows_dot};
/// let w = MatRef::new(&[1.0, 0.0, 0.0, 1.0, 1.0, 1.0], 3, 2);
/// let active = RowIds::new(&[2, 0], w.rows())?;
/// let mut out = [0.0; 2];
/// rows_dot(Level::detect(), &mut out, active, w, &[3.0, 4.0]);
/// assert_eq!(out, [7.0, 3.0]);
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[track_caller]
pub fn rows_dot<W: Weight>(level: Level, out: &mut [f32], active: RowIds, w: MatRef<W>, x: &[f32]) {
    assert_eq!(out.len(), active.len(), "out and active differ in length");
    check(active, w, x.len());
    dispatch!(level, s => dot_all(s, out, active.as_slice(), w, x))
}

/// `y += sum_a c[a] * W[active[a], :]`: `y` (D), `active` and `c` (A), `w` (rows, D).
///
/// Any order of `active` is allowed; duplicates count as often as they stand there. Each element is accumulated in f32: it
/// differs from the exact one by at most `(A + 1) * eps * (|y| + sum_a |c||w|)`.
///
/// # Panics
///
/// If `c` and `active` differ in length, `y` is not as long as a row, or `active` was checked for more rows than `w` has.
///
/// ```
/// use hotrow_kernels::{Level, MatRef, RowIds, rows::rows_axpy};
/// let w = MatRef::new(&[1.0, 0.0, 0.0, 1.0, 1.0, 1.0], 3, 2);
/// let active = RowIds::new(&[2, 0], w.rows())?;
/// let mut y = [10.0, 10.0];
/// rows_axpy(Level::detect(), &mut y, active, &[2.0, -1.0], w);
/// assert_eq!(y, [11.0, 12.0]);
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[track_caller]
pub fn rows_axpy<W: Weight>(level: Level, y: &mut [f32], active: RowIds, c: &[f32], w: MatRef<W>) {
    assert_eq!(c.len(), active.len(), "c and active differ in length");
    check(active, w, y.len());
    dispatch!(level, s => axpy_all(s, y, active.as_slice(), c, w))
}

/// `W[active[a], :] += c[a] * x`: `w` (rows, D), `active` and `c` (A), `x` (D). bf16 rows are rounded to nearest; the
/// optimisers of this crate round stochastically instead.
///
/// Duplicates are allowed and add up in order.
///
/// # Panics
///
/// If `c` and `active` differ in length, `x` is not as long as a row, or `active` was checked for more rows than `w` has.
///
/// ```
/// use hotrow_kernels::{Level, MatMut, RowIds, rows::rows_outer};
/// let mut w = [0.0; 6];
/// let active = RowIds::new(&[2, 0], 3)?;
/// rows_outer(Level::detect(), MatMut::new(&mut w, 3, 2), active, &[2.0, -1.0], &[3.0, 4.0]);
/// assert_eq!(w, [-3.0, -4.0, 0.0, 0.0, 6.0, 8.0]);
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[track_caller]
pub fn rows_outer<W: Weight>(level: Level, mut w: MatMut<W>, active: RowIds, c: &[f32], x: &[f32]) {
    assert_eq!(c.len(), active.len(), "c and active differ in length");
    check(active, w.as_ref(), x.len());
    dispatch!(level, s => {
        let (ids, ahead) = (active.as_slice(), rows_ahead::<W>(x.len()));
        for (a, (&c, &id)) in c.iter().zip(ids).enumerate() {
            if let Some(&next) = ids.get(a + ahead) {
                s.prefetch(w.as_ref().row(next as usize));
            }
            add_scaled(s, w.row_mut(id as usize), c, x);
        }
    })
}

#[track_caller]
pub(super) fn check<W>(active: RowIds, w: MatRef<W>, dim: usize) {
    assert_eq!(w.cols(), dim, "the rows of w and the vector differ in length");
    assert!(active.limit() <= w.rows(), "active rows below {} for a matrix of {} rows", active.limit(), w.rows());
}

#[inline(always)]
fn dot_all<S: Simd, W: Weight>(s: S, out: &mut [f32], ids: &[u32], w: MatRef<W>, x: &[f32]) {
    let (ahead, columns) = (rows_ahead::<W>(x.len()), block_columns::<W>(x.len()));
    let mut pairs = Pairs::new();
    out.fill(0.0);
    for (block, x) in x.chunks(columns).enumerate() {
        let x = pairs.arrange::<S, W>(s, x);
        let row = |a: usize| &w.row(ids[a] as usize)[block * columns..][..x.len()];
        let mut a = 0;
        while a + GROUP <= ids.len() {
            for next in a + ahead..(a + ahead + GROUP).min(ids.len()) {
                s.prefetch(row(next));
            }
            let sums = dot_group::<S, W, GROUP>(s, std::array::from_fn(|i| row(a + i)), x);
            out[a..a + GROUP].iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
            a += GROUP;
        }
        while a < ids.len() {
            let [sum] = dot_group(s, [row(a)], x);
            out[a] += sum;
            a += 1;
        }
    }
}

/// The dot product of each row with `x`, which is in pair order; all of one length.
#[inline(always)]
pub(super) fn dot_group<S: Simd, W: Weight, const R: usize>(s: S, rows: [&[W]; R], x: &[f32]) -> [f32; R] {
    let mut acc = [[s.splat(0.0); 2]; R];
    let whole = x.len() - x.len() % (2 * S::LANES);
    for at in (0..whole).step_by(2 * S::LANES) {
        let (x0, x1) = (s.load(&x[at..]), s.load(&x[at + S::LANES..]));
        for (acc, row) in acc.iter_mut().zip(&rows) {
            let (w0, w1) = W::load_pair(s, &row[at..]);
            *acc = [s.mul_add(w0, x0, acc[0]), s.mul_add(w1, x1, acc[1])];
        }
    }
    for at in (whole..x.len()).step_by(S::LANES) {
        let x = s.load_partial(&x[at..]);
        for (acc, row) in acc.iter_mut().zip(&rows) {
            acc[0] = s.mul_add(W::load_partial(s, &row[at..]), x, acc[0]);
        }
    }
    acc.map(|[even, odd]| s.sum(s.add(even, odd)))
}

#[inline(always)]
fn axpy_all<S: Simd, W: Weight>(s: S, y: &mut [f32], ids: &[u32], c: &[f32], w: MatRef<W>) {
    let (ahead, columns) = (rows_ahead::<W>(y.len()), block_columns::<W>(y.len()));
    let mut pairs = Pairs::new();
    for (block, y) in y.chunks_mut(columns).enumerate() {
        let len = y.len();
        let row = |a: usize| &w.row(ids[a] as usize)[block * columns..][..len];
        pairs.with_arranged::<S, W>(
            s,
            y,
            #[inline(always)]
            |y| {
                let mut a = 0;
                while a + GROUP <= ids.len() {
                    for next in a + ahead..(a + ahead + GROUP).min(ids.len()) {
                        s.prefetch(row(next));
                    }
                    axpy_group::<S, W, GROUP>(
                        s,
                        y,
                        std::array::from_fn(|i| c[a + i]),
                        std::array::from_fn(|i| row(a + i)),
                    );
                    a += GROUP;
                }
                while a < ids.len() {
                    axpy_group(s, y, [c[a]], [row(a)]);
                    a += 1;
                }
            },
        );
    }
}

/// `y += sum_r c[r] * rows[r]`, `y` in pair order; all of one length.
#[inline(always)]
pub(super) fn axpy_group<S: Simd, W: Weight, const R: usize>(s: S, y: &mut [f32], c: [f32; R], rows: [&[W]; R]) {
    let c = c.map(|c| s.splat(c));
    let whole = y.len() - y.len() % (2 * S::LANES);
    for at in (0..whole).step_by(2 * S::LANES) {
        let (mut y0, mut y1) = (s.load(&y[at..]), s.load(&y[at + S::LANES..]));
        for (&c, row) in c.iter().zip(&rows) {
            let (w0, w1) = W::load_pair(s, &row[at..]);
            (y0, y1) = (s.mul_add(c, w0, y0), s.mul_add(c, w1, y1));
        }
        s.store(y0, &mut y[at..]);
        s.store(y1, &mut y[at + S::LANES..]);
    }
    for at in (whole..y.len()).step_by(S::LANES) {
        let mut sum = s.load_partial(&y[at..]);
        for (&c, row) in c.iter().zip(&rows) {
            sum = s.mul_add(c, W::load_partial(s, &row[at..]), sum);
        }
        s.store_partial(sum, &mut y[at..]);
    }
}

/// `w += c * x`, rounded to nearest when stored.
#[inline(always)]
fn add_scaled<S: Simd, W: Weight>(s: S, w: &mut [W], c: f32, x: &[f32]) {
    let factor = s.splat(c);
    let (mut ws, mut xs) = (w.chunks_exact_mut(S::LANES), x.chunks_exact(S::LANES));
    for (w, x) in (&mut ws).zip(&mut xs) {
        W::store(s, s.mul_add(factor, s.load(x), W::load(s, w)), w);
    }
    let (w, x) = (ws.into_remainder(), xs.remainder());
    W::store_partial(s, s.mul_add(factor, s.load_partial(x), W::load_partial(s, w)), w);
}
