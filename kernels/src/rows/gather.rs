//! Sparse vectors against dense rows and against each other.

use super::vector::check;
use crate::simd::{Simd, Weight};
use crate::{Level, MatRef, RowIds, SparseRow, dispatch};

/// `<x, row>` of a sparse `x` with `nnz` values and a dense `row` (dim).
///
/// Sums are f32, within `(nnz + 1) * eps * sum |x||row|` of the exact value. Rows may be as long as indices reach: 2^32
/// numbers.
///
/// # Panics
///
/// If `row` is not `x.dim()` long.
///
/// ```
/// use hotrow_kernels::{Level, SparseRow, rows::gather_dot};
/// let x = SparseRow::new(&[0, 3], &[2.0, 10.0], 4)?;
/// assert_eq!(gather_dot(Level::detect(), x, &[1.0f32, 9.0, 9.0, 0.5]), 7.0);
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[track_caller]
pub fn gather_dot<W: Weight>(level: Level, x: SparseRow, row: &[W]) -> f32 {
    assert_eq!(row.len(), x.dim(), "row and x differ in length");
    dispatch!(level, s => gather_one(s, x, row))
}

/// `out[a] = <W[active[a], :], x>` of a sparse `x`: `out` and `active` (A), `w` (rows, x.dim()).
///
/// # Panics
///
/// If `out` and `active` differ in length, a row is not `x.dim()` long, or `active` was checked for more rows than `w` has.
///
/// ```
/// use hotrow_kernels::{Level, MatRef, RowIds, SparseRow, rows::rows_gather_dot};
/// let w = MatRef::new(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3);
/// let x = SparseRow::new(&[0, 2], &[1.0, 10.0], 3)?;
/// let mut out = [0.0; 2];
/// rows_gather_dot(Level::detect(), &mut out, RowIds::new(&[1, 0], 2)?, w, x);
/// assert_eq!(out, [64.0, 31.0]);
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[track_caller]
pub fn rows_gather_dot<W: Weight>(level: Level, out: &mut [f32], active: RowIds, w: MatRef<W>, x: SparseRow) {
    assert_eq!(out.len(), active.len(), "out and active differ in length");
    check(active, w, x.dim());
    dispatch!(level, s => {
        for (out, &id) in out.iter_mut().zip(active.as_slice()) {
            *out = gather_one(s, x, w.row(id as usize));
        }
    })
}

/// `<a, b>` of two sparse vectors: the sum over the indices that both hold, in increasing order.
///
/// Every level gives the same bits, because this is a merge of scalars.
///
/// # Panics
///
/// If the two differ in dimension.
///
/// ```
/// use hotrow_kernels::{SparseRow, rows::sparse_dot};
/// let a = SparseRow::new(&[0, 3, 9], &[1.0, 2.0, 3.0], 10)?;
/// let b = SparseRow::new(&[3, 4, 9], &[10.0, 10.0, 100.0], 10)?;
/// assert_eq!(sparse_dot(a, b), 320.0);
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[track_caller]
pub fn sparse_dot(a: SparseRow, b: SparseRow) -> f32 {
    assert_eq!(a.dim(), b.dim(), "a and b differ in dimension");
    let (short, long) = if a.nnz() <= b.nnz() { (a, b) } else { (b, a) };
    // Stepping costs a compare for each element of both; searching costs about log2 of the gap for each of the short one.
    if short.nnz() * 16 < long.nnz() { dot_by_search(short, long) } else { dot_by_steps(short, long) }
}

/// `y += c * x` for a sparse `x`: the gradient of [`gather_dot`] with respect to its dense row.
///
/// # Panics
///
/// If `y` is not `x.dim()` long.
///
/// ```
/// use hotrow_kernels::{SparseRow, rows::scatter_axpy};
/// let mut y = [1.0; 3];
/// scatter_axpy(&mut y, 2.0, SparseRow::new(&[0, 2], &[1.0, 10.0], 3)?);
/// assert_eq!(y, [3.0, 1.0, 21.0]);
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[track_caller]
pub fn scatter_axpy(y: &mut [f32], c: f32, x: SparseRow) {
    assert_eq!(y.len(), x.dim(), "y and x differ in length");
    for (&i, &value) in x.indices().iter().zip(x.values()) {
        y[i as usize] += c * value;
    }
}

/// Elements that [`Simd::gather`] reaches: its offsets are signed numbers of 32 bits.
const REACH: u32 = 1 << 31;

#[inline(always)]
fn gather_one<S: Simd, W: Weight>(s: S, x: SparseRow, row: &[W]) -> f32 {
    let (indices, values) = (x.indices(), x.values());
    let near = match row.len() > REACH as usize {
        true => indices.partition_point(|&i| i < REACH),
        false => indices.len(),
    };
    let sum = gather_window::<S, W, 0>(s, &indices[..near], &values[..near], row);
    if near == indices.len() {
        return sum;
    }
    // Indices increase, so what lies out of reach of the row's start stands behind, and in reach of this window's.
    sum + gather_window::<S, W, REACH>(s, &indices[near..], &values[near..], &row[REACH as usize..])
}

/// The sum over indices of a row of which only the elements from `FIRST` on are at hand.
#[inline(always)]
fn gather_window<S: Simd, W: Weight, const FIRST: u32>(s: S, indices: &[u32], values: &[f32], window: &[W]) -> f32 {
    let mut acc = [s.splat(0.0); 2];
    let whole = indices.len() - indices.len() % S::LANES;
    for at in (0..whole).step_by(S::LANES) {
        let mut index = s.load_u32(&indices[at..]);
        if FIRST > 0 {
            index = s.add_u32(index, s.splat_u32(FIRST.wrapping_neg()));
        }
        let weights = W::gather(s, window, index);
        acc.swap(0, 1);
        acc[0] = s.mul_add(weights, s.load(&values[at..]), acc[0]);
    }
    let mut sum = s.sum(s.add(acc[0], acc[1]));
    for (&i, &value) in indices[whole..].iter().zip(&values[whole..]) {
        sum += window[(i - FIRST) as usize].to_f32() * value;
    }
    sum
}

fn dot_by_steps(a: SparseRow, b: SparseRow) -> f32 {
    let (mut i, mut j, mut sum) = (0, 0, 0.0);
    let (ai, bi) = (a.indices(), b.indices());
    while i < ai.len() && j < bi.len() {
        let (left, right) = (ai[i], bi[j]);
        if left == right {
            sum += a.values()[i] * b.values()[j];
        }
        // Both advances are computed, none is branched on: which side is behind is a coin toss.
        i += (left <= right) as usize;
        j += (right <= left) as usize;
    }
    sum
}

fn dot_by_search(short: SparseRow, long: SparseRow) -> f32 {
    let (mut from, mut sum) = (0, 0.0);
    let indices = long.indices();
    for (&i, &value) in short.indices().iter().zip(short.values()) {
        let mut step = 1;
        while from + step < indices.len() && indices[from + step] < i {
            step *= 2;
        }
        let end = (from + step + 1).min(indices.len());
        from += indices[from..end].partition_point(|&other| other < i);
        match indices.get(from) {
            Some(&found) if found == i => sum += value * long.values()[from],
            Some(_) => {}
            None => break,
        }
    }
    sum
}
