//! f32 to and from bf16.

use crate::simd::{Simd, Weight, is_nan};
use crate::{Level, bf16, dispatch};

use super::{Noise, RandomKey};

/// `out[i]` = the bf16 nearest to `xs[i]`, ties to even: what `half::bf16::from_f32` gives, to the bit, on every level.
///
/// Numbers beyond the largest bf16 by half a step or more become infinite. A NaN keeps its sign and upper payload and
/// becomes quiet.
///
/// # Panics
///
/// If `out` and `xs` differ in length.
///
/// ```
/// use hotrow_kernels::{Level, bf16, convert::bf16_from_f32};
/// let mut out = [bf16::ZERO; 2];
/// bf16_from_f32(Level::detect(), &mut out, &[1.0, 1.003]);
/// assert_eq!(out.map(f32::from), [1.0, 1.0]);
/// ```
#[track_caller]
pub fn bf16_from_f32(level: Level, out: &mut [bf16], xs: &[f32]) {
    assert_eq!(out.len(), xs.len(), "out and xs differ in length");
    dispatch!(level, s => copy(s, out, xs))
}

/// `out[i] = xs[i]`, exactly.
///
/// # Panics
///
/// If `out` and `xs` differ in length.
///
/// ```
/// use hotrow_kernels::{Level, bf16, convert::f32_from_bf16};
/// let mut out = [0.0];
/// f32_from_bf16(Level::detect(), &mut out, &[bf16::from_f32(-1.5)]);
/// assert_eq!(out, [-1.5]);
/// ```
#[track_caller]
pub fn f32_from_bf16(level: Level, out: &mut [f32], xs: &[bf16]) {
    assert_eq!(out.len(), xs.len(), "out and xs differ in length");
    dispatch!(level, s => copy(s, out, xs))
}

/// Rounds each number up or down at random: `out[i]` is one of the two bf16 around `xs[i]`, `low <= x < high`. It is
/// `high` with probability `(x - low) / (high - low)`, so its mean is `x` and its variance `(x - low)(high - x)`.
/// Numbers that bf16 holds are kept. Every level gives the same bits.
///
/// Weights in bf16 are updated this way because round-to-nearest drops every update below half a step (Gupta et al.
/// 2015). An f32 has 16 bits more than a bf16. The function adds 16 random bits there and cuts them off.
///
/// Above the largest bf16 the next number is 2^128, stored as infinity. So only numbers beyond the largest bf16 can
/// become infinite. A NaN stays NaN, as in [`bf16_from_f32`].
///
/// # Panics
///
/// If `out` and `xs` differ in length.
///
/// ```
/// use hotrow_kernels::{Level, bf16, convert::{RandomKey, bf16_from_f32_stochastic}};
/// let key = RandomKey { seed: 1, step: 0, row: 0 };
/// let mut out = [bf16::ZERO; 1000];
/// bf16_from_f32_stochastic(Level::detect(), &mut out, &[1.001; 1000], key);
/// let mean = out.iter().map(|&x| f32::from(x)).sum::<f32>() / 1000.0;
/// assert!((mean - 1.001).abs() < 0.0005); // the nearest bf16, 1.0, is 0.001 away
/// ```
#[track_caller]
pub fn bf16_from_f32_stochastic(level: Level, out: &mut [bf16], xs: &[f32], key: RandomKey) {
    assert_eq!(out.len(), xs.len(), "out and xs differ in length");
    dispatch!(level, s => copy_stochastic(s, out, xs, key))
}

#[inline(always)]
fn copy_stochastic<S: Simd>(s: S, out: &mut [bf16], xs: &[f32], key: RandomKey) {
    let noise = Noise::new(s, key);
    let len = xs.len().min(out.len());
    let (out, xs) = (&mut out[..len], &xs[..len]);
    let whole = len - len % (2 * S::LANES);
    let mut at = 0;
    // Two vectors a turn: they share their random words.
    while at < whole {
        for at in [at, at + S::LANES] {
            let rounded = stochastic_bf16_bits(s, s.load(&xs[at..at + S::LANES]), noise.sixteen(s, at));
            s.store_bf16_bits(rounded, &mut out[at..at + S::LANES]);
        }
        at += 2 * S::LANES;
    }
    while at < len {
        let rounded = stochastic_bf16_bits(s, s.load_partial(&xs[at..]), noise.sixteen(s, at));
        s.store_bf16_bits_partial(rounded, &mut out[at..]);
        at += S::LANES;
    }
}

#[inline(always)]
fn copy<S: Simd, To: Weight, From: Weight>(s: S, out: &mut [To], xs: &[From]) {
    let (mut tos, mut froms) = (out.chunks_exact_mut(S::LANES), xs.chunks_exact(S::LANES));
    for (to, from) in (&mut tos).zip(&mut froms) {
        To::store(s, From::load(s, from), to);
    }
    To::store_partial(s, From::load_partial(s, froms.remainder()), tos.into_remainder());
}

/// `v` rounded to bf16 by `noise`, 16 uniform bits in each lane; the result is in the low 16 bits.
#[inline(always)]
pub(crate) fn stochastic_bf16_bits<S: Simd>(s: S, v: S::F32, noise: S::U32) -> S::U32 {
    let bits = s.to_bits(v);
    // The carry out of the low half is 1 for `low half` of the 65 536 values of the noise, and an infinity has no low half.
    let rounded = s.add_u32(bits, noise);
    let quiet = s.or(bits, s.splat_u32(0x40_0000));
    s.shr(s.select_u32(is_nan(s, v), quiet, rounded), 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    /// Every bf16, and above each of them the f32 just over it, just under, at and just over the tie, and just under the next.
    fn every_bf16_and_its_ties() -> Vec<f32> {
        let lows = [0, 1, 0x1234, 0x7fff, 0x8000, 0x8001, 0xffff];
        (0..=u16::MAX).flat_map(|high| lows.map(|low| f32::from_bits((high as u32) << 16 | low))).collect()
    }

    #[test]
    fn every_bf16_and_its_ties_round_as_half_does() {
        let xs = Misaligned::new(&every_bf16_and_its_ties(), 1);
        at_every_level(|level| {
            let mut out = vec![bf16::ZERO; xs.len()];
            bf16_from_f32(level, &mut out, &xs);
            for (x, out) in xs.iter().zip(&out) {
                assert_eq!(out.to_bits(), bf16::from_f32(*x).to_bits(), "{:#x}", x.to_bits());
            }
        });
    }

    #[test]
    fn every_bf16_widens_to_itself() {
        let xs: Vec<bf16> = (0..=u16::MAX).map(bf16::from_bits).collect();
        at_every_level(|level| {
            let mut out = vec![0.0; xs.len()];
            f32_from_bf16(level, &mut out, &xs);
            assert!(out.iter().zip(&xs).all(|(out, x)| out.to_bits() == (x.to_bits() as u32) << 16));
        });
    }

    #[test]
    fn all_lengths_agree_with_the_elements() {
        for len in lengths() {
            let xs = Misaligned::new(&numbers(len, len as u64), 3);
            at_every_level(|level| {
                let mut narrow = vec![bf16::ZERO; len];
                bf16_from_f32(level, &mut narrow, &xs);
                assert_eq!(narrow, halves(&xs));
                let mut wide = vec![0.0; len];
                f32_from_bf16(level, &mut wide, &narrow);
                assert_eq!(wide, narrow.iter().map(|x| x.to_f32()).collect::<Vec<_>>());
            });
        }
    }

    /// Over all 65 536 values of the noise a number must go up exactly as often as its low half says: then the mean over uniform
    /// noise is the number itself, without any error.
    #[test]
    fn the_share_of_roundings_up_is_exactly_the_distance() {
        for x in [1.0f32, 1.001, -3.3, 1e-40, -1e-45, 0.0, 6.5e4, 3.395e38, -3.4e38] {
            let (bits, low) = (x.to_bits() >> 16, x.to_bits() & 0xffff);
            at_every_level(|level| {
                let mut up = 0;
                for noise in 0..=0xffff {
                    let mut out = [bf16::ZERO; 1];
                    dispatch!(level, s => {
                        let bits = stochastic_bf16_bits(s, s.splat(x), s.splat_u32(noise));
                        s.store_bf16_bits_partial(bits, &mut out)
                    });
                    let over = out[0].to_bits() as u32 - bits;
                    assert!(over <= 1, "{x} became {}", out[0]);
                    up += over;
                }
                assert_eq!(up, low, "{x}");
            });
        }
    }

    /// With `p` the probability of `high` and `n` draws, the share of `high` has standard deviation `sqrt(p (1 - p) / n)`; a draw is
    /// five of them away once in two million. The sample variance is `share (1 - share) (high - low)^2`, which differs from
    /// `p (1 - p) (high - low)^2 = (x - low)(high - x)` by `(share - p)(1 - 2p) - (share - p)^2` in units of the square step.
    #[test]
    fn mean_and_variance_are_those_of_the_two_neighbours() {
        let n = 1 << 16;
        for (row, x) in [1.001f32, -1.001, 1.0039, 700.3, 1e-40, -3e-39, 3.4e38].into_iter().enumerate() {
            let mut out = vec![bf16::ZERO; n];
            let key = RandomKey { seed: 5, step: 1, row: row as u64 };
            bf16_from_f32_stochastic(Level::detect(), &mut out, &vec![x; n], key);
            let value = |bits: u32| match f32::from_bits(bits << 16) {
                v if v.is_finite() => v as f64,
                v => 2f64.powi(128) * v.signum() as f64,
            };
            let (low, high) = (value(x.to_bits() >> 16), value((x.to_bits() >> 16) + 1));
            let (x, step) = (x as f64, high - low);
            let outs: Vec<f64> = out.iter().map(|o| value(o.to_bits() as u32)).collect();
            let mean = outs.iter().sum::<f64>() / n as f64;
            let variance = outs.iter().map(|o| (o - mean) * (o - mean)).sum::<f64>() / n as f64;
            let p = (x - low) / step;
            let away = 5.0 * (p * (1.0 - p) / n as f64).sqrt();
            assert!((mean - x).abs() <= away * step.abs(), "mean {mean} of {x}");
            let want = (x - low) * (high - x);
            let bound = (away * (1.0 - 2.0 * p).abs() + away * away) * step * step;
            assert!((variance - want).abs() <= bound, "variance {variance} of {x}, not {want}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bits_round_to_a_neighbour_the_same_on_every_level(
            bits in proptest::collection::vec(proptest::num::u32::ANY, 0..200), seed: u64, step: u64, row: u64,
        ) {
            let xs: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
            let key = RandomKey { seed, step, row };
            let mut want = vec![bf16::ZERO; xs.len()];
            bf16_from_f32_stochastic(Level::PORTABLE, &mut want, &xs, key);
            for (x, out) in xs.iter().zip(&want) {
                let over = (out.to_bits() as u32).wrapping_sub(x.to_bits() >> 16);
                assert!(if x.is_nan() { out.is_nan() } else { over <= 1 && !out.is_nan() }, "{x} became {out}");
                assert!(!x.is_infinite() || over == 0, "{x} became {out}");
            }
            at_every_level(|level| {
                let mut out = Misaligned::new(&vec![bf16::ZERO; xs.len()], 1);
                bf16_from_f32_stochastic(level, &mut out, &xs, key);
                assert!(out.iter().zip(&want).all(|(a, b)| a.to_bits() == b.to_bits()));
            });
        }
    }

    #[test]
    #[should_panic(expected = "out and xs differ in length")]
    fn different_lengths_are_a_wrong_call() {
        bf16_from_f32(Level::PORTABLE, &mut [], &[1.0]);
    }
}
