//! One dense vector against a list of rows.
//!
//! Four rows are taken at a time, so one load of the vector serves four rows. bf16 rows are read in pair order. Rows
//! that follow one another in memory are read one by one instead, because the hardware fetches those ahead best. 100 MB
//! of rows of 1 KiB came to one core of Zen 4 at 27 GB/s one by one and at 10 GB/s four at a time. Two cores got 38 and
//! 21.

use super::pairs::{Pairs, block_columns};
use crate::simd::{MAX_LANES, Simd, Weight};
use crate::{Level, MatMut, MatRef, RowIds, dispatch};

/// Rows that share one load of the vector. With the two vectors of a pair they make eight independent sums, which cover
/// the latency of two fused multiply-adds a cycle.
const GROUP: usize = 4;

/// How many rows ahead of the one at work a row is asked for.
const AHEAD: usize = 8;

/// Bytes of it that are asked for: enough to start the hardware's own stream. Asking for every line of a row gains nothing
/// from DRAM and costs a fifth of the speed from L2 (measured on Zen 4, rows of 512 B - 4 KiB).
const HEAD: usize = 256;

/// Asks for the row that stands [`AHEAD`] places after `at` in the list, if there is one: its columns from `from`.
#[inline(always)]
pub(crate) fn prefetch_ahead<S: Simd, W>(s: S, w: MatRef<W>, ids: &[u32], at: usize, from: usize) {
    if let Some(&id) = ids.get(at + AHEAD) {
        let row = &w.row(id as usize)[from..];
        s.prefetch(&row[..row.len().min(HEAD / size_of::<W>())]);
    }
}

/// `out[a] = <W[active[a], :], x>`: `out` and `active` (A), `w` (rows, D), `x` (D).
///
/// `active` may have any order and duplicates. Sums are f32, so a product differs from the exact one by at most
/// `(D + 1) * eps * sum |w||x|`.
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
/// `active` may have any order. Duplicates count as often as they stand there. Sums are f32, so an element differs from
/// the exact one by at most `(A + 1) * eps * (|y| + sum_a |c||w|)`.
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

/// `W[active[a], :] += c[a] * x`: `w` (rows, D), `active` and `c` (A), `x` (D). bf16 rows are rounded to nearest;
/// [`optim`](crate::optim) rounds stochastically instead.
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
        let ids = active.as_slice();
        for (a, (&c, &id)) in c.iter().zip(ids).enumerate() {
            prefetch_ahead(s, w.as_ref(), ids, a, 0);
            add_scaled(s, w.row_mut(id as usize), c, x);
        }
    })
}

#[track_caller]
pub(crate) fn check<W>(active: RowIds, w: MatRef<W>, dim: usize) {
    assert_eq!(w.cols(), dim, "the rows of w and the vector differ in length");
    assert!(active.limit() <= w.rows(), "active rows below {} for a matrix of {} rows", active.limit(), w.rows());
}

#[inline(always)]
fn dot_all<S: Simd, W: Weight>(s: S, out: &mut [f32], ids: &[u32], w: MatRef<W>, x: &[f32]) {
    let columns = block_columns::<W>(x.len());
    let mut pairs = Pairs::new();
    out.fill(0.0);
    for (block, x) in x.chunks(columns).enumerate() {
        let x = pairs.arrange::<S, W>(s, x);
        let from = block * columns;
        let mut a = 0;
        while a + GROUP <= ids.len() {
            let rows = pick::<W, GROUP>(w, &ids[a..], from, x.len());
            let sums = if consecutive(&ids[a..a + GROUP]) {
                dot_each(s, rows, x)
            } else {
                for next in a..a + GROUP {
                    prefetch_ahead(s, w, ids, next, from);
                }
                dot_group(s, rows, x)
            };
            add_to(&mut out[a..], sums);
            a += GROUP;
        }
        while a < ids.len() {
            let sums = dot_group(s, pick::<W, 1>(w, &ids[a..], from, x.len()), x);
            add_to(&mut out[a..], sums);
            a += 1;
        }
    }
}

/// The columns `from..from + len` of the first `R` rows of a list.
#[inline(always)]
pub(super) fn pick<'a, W, const R: usize>(w: MatRef<'a, W>, ids: &[u32], from: usize, len: usize) -> [&'a [W]; R] {
    let mut rows: [&[W]; R] = [&[]; R];
    for (row, &id) in rows.iter_mut().zip(&ids[..R]) {
        *row = w.part(id, from, len);
    }
    rows
}

#[inline(always)]
pub(super) fn add_to<const R: usize>(out: &mut [f32], sums: [f32; R]) {
    for (out, sum) in out[..R].iter_mut().zip(sums) {
        *out += sum;
    }
}

/// The first `len` elements of each row: one length for all, so that one bounds check an iteration serves all rows.
#[inline(always)]
fn cut<W, const R: usize>(mut rows: [&[W]; R], len: usize) -> [&[W]; R] {
    for row in &mut rows {
        *row = &row[..len];
    }
    rows
}

#[inline(always)]
fn consecutive(ids: &[u32]) -> bool {
    let mut so_far = true;
    for i in 1..ids.len() {
        so_far &= ids[i] == ids[i - 1].wrapping_add(1);
    }
    so_far
}

/// [`dot_group`], to the bit, row after row.
#[inline(always)]
fn dot_each<S: Simd, W: Weight, const R: usize>(s: S, rows: [&[W]; R], x: &[f32]) -> [f32; R] {
    let mut sums = [s.splat(0.0); R];
    for (sum, row) in sums.iter_mut().zip(cut(rows, x.len())) {
        *sum = dot_parts(s, [row], x)[0];
    }
    sum_each(s, sums)
}

/// The dot product of each row with `x`, which is in pair order; all of one length.
#[inline(always)]
pub(super) fn dot_group<S: Simd, W: Weight, const R: usize>(s: S, rows: [&[W]; R], x: &[f32]) -> [f32; R] {
    let sums = dot_parts(s, cut(rows, x.len()), x);
    sum_each(s, sums)
}

/// The vectors whose lanes the dot products are the sums of.
#[inline(always)]
fn dot_parts<S: Simd, W: Weight, const R: usize>(s: S, rows: [&[W]; R], x: &[f32]) -> [S::F32; R] {
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
    let mut sums = [s.splat(0.0); R];
    for (sum, [even, odd]) in sums.iter_mut().zip(acc) {
        *sum = s.add(even, odd);
    }
    sums
}

/// The sum of the lanes of each of `R` vectors, `R` a power of two up to 8.
///
/// Two vectors are folded into one that holds neighbouring sums of the first in its lower half, of the second in its upper
/// half: `R - 1` folds and a few more for all rows together, where summing one by one takes `log2(LANES)` folds for each.
#[inline(always)]
fn sum_each<S: Simd, const R: usize>(s: S, mut rows: [S::F32; R]) -> [f32; R] {
    const { assert!(R.is_power_of_two() && R <= 8) }
    let (mut vectors, mut partial_sums) = (R, S::LANES);
    while partial_sums > 1 {
        for i in 0..vectors.div_ceil(2) {
            let (first, second) = (rows[2 * i], rows[if vectors > 1 { 2 * i + 1 } else { 0 }]);
            let (even, odd) = s.deinterleave(first, second);
            rows[i] = s.add(even, odd);
        }
        vectors = vectors.div_ceil(2);
        partial_sums /= 2;
    }
    let mut lanes = [0.0; MAX_LANES];
    for (i, lanes) in lanes.chunks_exact_mut(S::LANES).take(vectors).enumerate() {
        s.store(rows[i], lanes);
    }
    lanes[..R].try_into().expect("at most 8 sums")
}

#[inline(always)]
fn axpy_all<S: Simd, W: Weight>(s: S, y: &mut [f32], ids: &[u32], c: &[f32], w: MatRef<W>) {
    let columns = block_columns::<W>(y.len());
    let mut pairs = Pairs::new();
    for (block, y) in y.chunks_mut(columns).enumerate() {
        let from = block * columns;
        pairs.with_arranged::<S, W>(
            s,
            y,
            #[inline(always)]
            |y| {
                let mut a = 0;
                while a + GROUP <= ids.len() {
                    for next in a..a + GROUP {
                        prefetch_ahead(s, w, ids, next, from);
                    }
                    let c = c[a..a + GROUP].try_into().expect("cut to the group");
                    axpy_group(s, y, c, pick::<W, GROUP>(w, &ids[a..], from, y.len()));
                    a += GROUP;
                }
                while a < ids.len() {
                    axpy_group(s, y, [c[a]], pick::<W, 1>(w, &ids[a..], from, y.len()));
                    a += 1;
                }
            },
        );
    }
}

/// `y += sum_r c[r] * rows[r]`, `y` in pair order; all of one length.
#[inline(always)]
fn axpy_group<S: Simd, W: Weight, const R: usize>(s: S, y: &mut [f32], c: [f32; R], rows: [&[W]; R]) {
    let rows = cut(rows, y.len());
    let mut factors = [s.splat(0.0); R];
    for (factor, c) in factors.iter_mut().zip(c) {
        *factor = s.splat(c);
    }
    let whole = y.len() - y.len() % (2 * S::LANES);
    for at in (0..whole).step_by(2 * S::LANES) {
        let (mut y0, mut y1) = (s.load(&y[at..]), s.load(&y[at + S::LANES..]));
        for (&c, row) in factors.iter().zip(&rows) {
            let (w0, w1) = W::load_pair(s, &row[at..]);
            (y0, y1) = (s.mul_add(c, w0, y0), s.mul_add(c, w1, y1));
        }
        s.store(y0, &mut y[at..]);
        s.store(y1, &mut y[at + S::LANES..]);
    }
    for at in (whole..y.len()).step_by(S::LANES) {
        let mut sum = s.load_partial(&y[at..]);
        for (&c, row) in factors.iter().zip(&rows) {
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
