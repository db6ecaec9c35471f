//! Maximum, sum, dot product and squared norm of a slice.

use crate::simd::{Simd, Weight};
use crate::{Level, dispatch};

use super::{lanes, load_padded};

/// The largest of `x` (N): -infinity if there is none, NaN if any is NaN. Every level gives the same, but for the sign
/// of a zero.
///
/// ```
/// use hotrow_kernels::{Level, reduce::max};
/// assert_eq!(max(Level::detect(), &[-3.0f32, -1.0, -2.0]), -1.0);
/// assert_eq!(max::<f32>(Level::detect(), &[]), f32::NEG_INFINITY);
/// ```
pub fn max<W: Weight>(level: Level, x: &[W]) -> f32 {
    dispatch!(level, s => max_of(s, x, None))
}

/// The largest of `x + weights`, as [`max`].
#[inline(always)]
pub(super) fn max_of<S: Simd, W: Weight>(s: S, x: &[W], weights: Option<&[f32]>) -> f32 {
    // `Simd::max` drops a NaN in its first argument, so NaN is looked for beside it: the smallest complement of a
    // magnitude is below that of infinity exactly if there is one.
    const COMPLEMENT_OF_INFINITY: u32 = 0x7fff_ffff - 0x7f80_0000;
    let none = (s.splat(f32::NEG_INFINITY), s.splat_u32(u32::MAX));
    let parts = fold(
        s,
        x,
        weights,
        none,
        #[inline(always)]
        |(acc, complement), x| {
            let inverted = s.and(s.xor(s.to_bits(x), s.splat_u32(u32::MAX)), s.splat_u32(0x7fff_ffff));
            (s.max(x, acc), s.min_u32(complement, inverted))
        },
    );
    let (acc, complement) = (parts.map(|part| part.0), parts.map(|part| part.1));
    let complement = s.min_u32(s.min_u32(complement[0], complement[1]), s.min_u32(complement[2], complement[3]));
    let any_nan = lanes(s, s.from_bits(complement))[..S::LANES].iter().any(|x| x.to_bits() < COMPLEMENT_OF_INFINITY);
    if any_nan {
        return f32::NAN;
    }
    let acc = s.max(s.max(acc[0], acc[1]), s.max(acc[2], acc[3]));
    lanes(s, acc)[..S::LANES].iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// The sum of `x` (N), accumulated in f32: within `(N + 1) * eps * sum |x|` of the exact one.
///
/// ```
/// use hotrow_kernels::{Level, reduce::sum};
/// assert_eq!(sum(Level::detect(), &[1.0f32, 2.0, 4.0]), 7.0);
/// ```
pub fn sum<W: Weight>(level: Level, x: &[W]) -> f32 {
    dispatch!(level, s => accumulate(s, x, #[inline(always)] |x, acc| s.add(acc, x)))
}

/// `sum x^2` of `x` (N), accumulated in f32: within `(N + 1) * eps` of itself. Infinite where a square overflows.
///
/// ```
/// use hotrow_kernels::{Level, reduce::squared_norm};
/// assert_eq!(squared_norm(Level::detect(), &[3.0f32, 4.0]), 25.0);
/// ```
pub fn squared_norm<W: Weight>(level: Level, x: &[W]) -> f32 {
    dispatch!(level, s => squares(s, x))
}

#[inline(always)]
pub(super) fn squares<S: Simd, W: Weight>(s: S, x: &[W]) -> f32 {
    accumulate(
        s,
        x,
        #[inline(always)]
        |x, acc| s.mul_add(x, x, acc),
    )
}

/// `sum a b`: `a` and `b` (N), accumulated in f32: within `(N + 1) * eps * sum |a b|` of the exact one.
///
/// # Panics
///
/// If the lengths differ.
///
/// ```
/// use hotrow_kernels::{Level, reduce::dot};
/// assert_eq!(dot(Level::detect(), &[1.0f32, 2.0], &[3.0, 4.0]), 11.0);
/// ```
#[track_caller]
pub fn dot<W: Weight>(level: Level, a: &[W], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "a and b differ in length");
    dispatch!(level, s => products(s, a, b))
}

#[inline(always)]
fn products<S: Simd, W: Weight>(s: S, a: &[W], b: &[f32]) -> f32 {
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

/// Folds the vectors of `x + weights` into four accumulators, which cover the latency of one step; -infinity stands past
/// the end.
#[inline(always)]
pub(super) fn fold<S: Simd, W: Weight, A: Copy>(
    s: S,
    x: &[W],
    weights: Option<&[f32]>,
    start: A,
    step: impl Fn(A, S::F32) -> A,
) -> [A; 4] {
    let mut acc = [start; 4];
    let mut blocks = x.chunks_exact(4 * S::LANES);
    let Some(weights) = weights else {
        for x in &mut blocks {
            for (i, acc) in acc.iter_mut().enumerate() {
                *acc = step(*acc, W::load(s, &x[i * S::LANES..]));
            }
        }
        for x in blocks.remainder().chunks(S::LANES) {
            acc[0] = step(acc[0], load_padded(s, x, f32::NEG_INFINITY));
        }
        return acc;
    };
    let mut weights = weights.chunks_exact(4 * S::LANES);
    for (x, weights) in (&mut blocks).zip(&mut weights) {
        for (i, acc) in acc.iter_mut().enumerate() {
            *acc = step(*acc, s.add(W::load(s, &x[i * S::LANES..]), s.load(&weights[i * S::LANES..])));
        }
    }
    for (x, weights) in blocks.remainder().chunks(S::LANES).zip(weights.remainder().chunks(S::LANES)) {
        acc[0] = step(acc[0], s.add(load_padded(s, x, f32::NEG_INFINITY), s.load_partial(weights)));
    }
    acc
}

/// Folds `x` into a sum: `add` must leave the accumulator unchanged for zeros. Four accumulators cover the latency of an
/// addition on every level.
#[inline(always)]
pub(super) fn accumulate<S: Simd, W: Weight>(s: S, x: &[W], add: impl Fn(S::F32, S::F32) -> S::F32) -> f32 {
    let mut acc = [s.splat(0.0); 4];
    let mut blocks = x.chunks_exact(4 * S::LANES);
    for x in &mut blocks {
        for (i, acc) in acc.iter_mut().enumerate() {
            *acc = add(W::load(s, &x[i * S::LANES..]), *acc);
        }
    }
    for x in blocks.remainder().chunks(S::LANES) {
        acc[0] = add(W::load_partial(s, x), acc[0]);
    }
    s.sum(s.add(s.add(acc[0], acc[1]), s.add(acc[2], acc[3])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bf16;
    use crate::testing::*;

    fn reductions_agree<W: Weight>(x: &[f32], y: &[f32]) {
        let stored: Vec<W> = x.iter().map(|&x| W::from_f32(x)).collect();
        let (stored, y) = (Misaligned::new(&stored, 1), Misaligned::new(y, 3));
        let (a, b) = (exact(&stored), exact(&y));
        let n = a.len();
        let want_sum: f64 = a.iter().sum();
        let magnitude: f64 = a.iter().map(|a| a.abs()).sum();
        let want_norm: f64 = a.iter().map(|a| a * a).sum();
        let want_dot: f64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
        let dot_magnitude: f64 = a.iter().zip(&b).map(|(a, b)| (a * b).abs()).sum();
        let want_max = a.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        at_every_level(|level| {
            assert_within(sum(level, &stored), want_sum, sum_bound(n, magnitude), format!("sum of {n}"));
            assert_within(squared_norm(level, &stored), want_norm, sum_bound(n, want_norm), format!("norm of {n}"));
            assert_within(dot(level, &stored, &y), want_dot, sum_bound(n, dot_magnitude), format!("dot of {n}"));
            assert_eq!(max(level, &stored) as f64, want_max, "max of {n}");
        });
    }

    #[test]
    fn reductions_agree_with_their_definitions_at_every_length() {
        for n in lengths() {
            let (x, y) = (numbers(n, n as u64), numbers(n, n as u64 + 1));
            reductions_agree::<f32>(&x, &y);
            reductions_agree::<bf16>(&x, &y);
            // A maximum that started at 0 would be wrong here.
            let below_zero: Vec<f32> = x.iter().map(|x| x - 2.0).collect();
            reductions_agree::<f32>(&below_zero, &y);
        }
    }

    #[test]
    fn denormals_are_numbers() {
        let x = [1e-45; 40];
        at_every_level(|level| {
            assert_eq!(sum(level, &x), 40.0 * 1e-45);
            assert_eq!(max(level, &x), 1e-45);
            assert_eq!(max(level, &x.map(|x| -x)), -1e-45);
        });
    }

    #[test]
    fn one_nan_anywhere_makes_the_result_nan_and_infinities_count_as_numbers() {
        for n in 1..=130 {
            for at in [0, n / 2, n - 1] {
                at_every_level(|level| {
                    let mut x = numbers(n, 1);
                    x[at] = f32::INFINITY;
                    assert_eq!((max(level, &x), sum(level, &x)), (f32::INFINITY, f32::INFINITY));
                    x[at] = f32::NEG_INFINITY;
                    assert_eq!(sum(level, &x), f32::NEG_INFINITY);
                    assert!(n == 1 || max(level, &x).is_finite());
                    for nan in [f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001)] {
                        x[at] = nan;
                        assert!(max(level, &x).is_nan(), "{at} of {n}");
                        assert!(sum(level, &x).is_nan() && squared_norm(level, &x).is_nan());
                        assert!(dot(level, &x, &vec![0.0; n]).is_nan());
                    }
                });
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_finite_numbers(x in proptest::collection::vec((-1e15f32..1e15, -1e15f32..1e15), 0..300)) {
            let (x, y): (Vec<f32>, Vec<f32>) = x.into_iter().unzip();
            reductions_agree::<f32>(&x, &y);
            reductions_agree::<bf16>(&x, &y);
        }
    }
}
