//! One dense vector against a list of rows.

use crate::simd::{Simd, Weight};
use crate::{Level, MatMut, MatRef, RowIds, dispatch};

/// Bytes of rows asked for ahead of the one at work.
const AHEAD: usize = 4096;

/// How many rows ahead of the one at work to prefetch.
#[inline(always)]
pub(crate) fn rows_ahead<W>(cols: usize) -> usize {
    (AHEAD / (cols * size_of::<W>()).max(64)).clamp(1, 32)
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
    dispatch!(level, s => {
        let (ids, ahead) = (active.as_slice(), rows_ahead::<W>(x.len()));
        for (a, (out, &id)) in out.iter_mut().zip(ids).enumerate() {
            if let Some(&next) = ids.get(a + ahead) {
                s.prefetch(w.row(next as usize));
            }
            *out = dot(s, w.row(id as usize), x);
        }
    })
}

/// `y += sum_a c[a] * W[active[a], :]`: `y` (D), `active` and `c` (A), `w` (rows, D).
///
/// Rows are added in the order of `active`; duplicates count as often as they stand there.
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
    dispatch!(level, s => {
        let (ids, ahead) = (active.as_slice(), rows_ahead::<W>(y.len()));
        for (a, (&c, &id)) in c.iter().zip(ids).enumerate() {
            if let Some(&next) = ids.get(a + ahead) {
                s.prefetch(w.row(next as usize));
            }
            axpy(s, y, c, w.row(id as usize));
        }
    })
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
pub(crate) fn check<W>(active: RowIds, w: MatRef<W>, dim: usize) {
    assert_eq!(w.cols(), dim, "the rows of w and the vector differ in length");
    assert!(active.limit() <= w.rows(), "active rows below {} for a matrix of {} rows", active.limit(), w.rows());
}

/// `<a, b>`. Four accumulators cover the latency of a fused multiply-add on every level.
#[inline(always)]
pub(crate) fn dot<S: Simd, W: Weight>(s: S, a: &[W], b: &[f32]) -> f32 {
    let mut acc = [s.splat(0.0); 4];
    let (mut a, mut b) = (a.chunks_exact(4 * S::LANES), b.chunks_exact(4 * S::LANES));
    for (a, b) in (&mut a).zip(&mut b) {
        for (i, acc) in acc.iter_mut().enumerate() {
            *acc = s.mul_add(W::load(s, &a[i * S::LANES..]), s.load(&b[i * S::LANES..]), *acc);
        }
    }
    for (a, b) in a.remainder().chunks(S::LANES).zip(b.remainder().chunks(S::LANES)) {
        acc[0] = s.mul_add(W::load_partial(s, a), s.load_partial(b), acc[0]);
    }
    s.sum(s.add(s.add(acc[0], acc[1]), s.add(acc[2], acc[3])))
}

/// `y += c * a`
#[inline(always)]
pub(crate) fn axpy<S: Simd, W: Weight>(s: S, y: &mut [f32], c: f32, a: &[W]) {
    let factor = s.splat(c);
    let (mut ys, mut xs) = (y.chunks_exact_mut(S::LANES), a.chunks_exact(S::LANES));
    for (y, a) in (&mut ys).zip(&mut xs) {
        s.store(s.mul_add(factor, W::load(s, a), s.load(y)), y);
    }
    let (y, a) = (ys.into_remainder(), xs.remainder());
    s.store_partial(s.mul_add(factor, W::load_partial(s, a), s.load_partial(y)), y);
}

/// `w += c * x`, rounded to nearest when stored.
#[inline(always)]
pub(crate) fn add_scaled<S: Simd, W: Weight>(s: S, w: &mut [W], c: f32, x: &[f32]) {
    let factor = s.splat(c);
    let (mut ws, mut xs) = (w.chunks_exact_mut(S::LANES), x.chunks_exact(S::LANES));
    for (w, x) in (&mut ws).zip(&mut xs) {
        W::store(s, s.mul_add(factor, s.load(x), W::load(s, w)), w);
    }
    let (w, x) = (ws.into_remainder(), xs.remainder());
    W::store_partial(s, s.mul_add(factor, s.load_partial(x), W::load_partial(s, w)), w);
}

/// The same in f64, as the definition says it.
#[cfg(test)]
pub(super) mod reference {
    pub fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    pub fn magnitude(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a * b).abs()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    fn dots_agree<W: Weight>(dim: usize, ids: &[u32], rows: usize, seed: u64) {
        let store: Vec<W> = numbers(rows * dim, seed).into_iter().map(W::from_f32).collect();
        let (store, x) = (Misaligned::new(&store, 1), Misaligned::new(&numbers(dim, seed + 1), 3));
        let w = MatRef::new(&store, rows, dim);
        let active = RowIds::new(ids, rows).unwrap();
        at_every_level(|level| {
            let mut out = vec![f32::NAN; ids.len()];
            rows_dot(level, &mut out, active, w, &x);
            for (&got, &id) in out.iter().zip(ids) {
                let (row, x) = (exact(w.row(id as usize)), exact(&x));
                let bound = sum_bound(dim, reference::magnitude(&row, &x));
                assert_within(got, reference::dot(&row, &x), bound, format!("dim {dim}, row {id}"));
            }
        });
    }

    #[test]
    fn dot_is_the_sum_of_products_at_every_length() {
        for dim in lengths() {
            dots_agree::<f32>(dim, &[2, 0, 2, 1], 3, dim as u64);
            dots_agree::<crate::bf16>(dim, &[2, 0, 2, 1], 3, dim as u64);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_list_of_rows_is_allowed(dim in 0usize..200, ids in proptest::collection::vec(0u32..9, 0..20), seed: u32) {
            dots_agree::<f32>(dim, &ids, 9, seed as u64);
            dots_agree::<crate::bf16>(dim, &ids, 9, seed as u64);
        }
    }
}
