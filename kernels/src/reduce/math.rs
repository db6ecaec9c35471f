//! Elementary functions on vectors: what softmax, the losses and the activations share.
//!
//! Each is a range reduction and one polynomial, a fixed sequence of elementwise operations: the levels with a fused
//! multiply-add give the same bits, the portable level of x86 differs in the last places. The polynomials interpolate at
//! Chebyshev nodes; the error beside each is its largest relative error with coefficients rounded to f32.

use crate::simd::Simd;

/// `p[0] + x * (p[1] + x * (..))`
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, x: S::F32, p: [f32; N]) -> S::F32 {
    let mut acc = s.splat(p[N - 1]);
    for &c in p[..N - 1].iter().rev() {
        acc = s.mul_add(acc, x, s.splat(c));
    }
    acc
}

/// `exp(x)` within 1.5 ulp, denormal results included: 0 below -104, infinity above
/// 88.73, NaN for NaN.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let x = clamp_exponent(s, x);
    let n = s.round_to_i32(s.mul(x, s.splat(std::f32::consts::LOG2_E)));
    exp_reduced(s, n, remainder(s, x, n))
}

/// `exp(high + low)` for `|low| < 1`, where the sum itself would round.
#[inline(always)]
fn exp_of_sum<S: Simd>(s: S, high: S::F32, low: S::F32) -> S::F32 {
    let high = clamp_exponent(s, high);
    let n = s.round_to_i32(s.mul(s.add(high, low), s.splat(std::f32::consts::LOG2_E)));
    exp_reduced(s, n, s.add(remainder(s, high, n), low))
}

/// Keeps `x` where its exponential is neither 0 nor infinite, with some room, so that the exponent fits an integer. NaN
/// stays, because `max` and `min` return their second argument for it.
#[inline(always)]
fn clamp_exponent<S: Simd>(s: S, x: S::F32) -> S::F32 {
    s.min(s.splat(89.0), s.max(s.splat(-104.0), x))
}

/// `x - n ln 2` by Cody and Waite: `n` has at most 8 bits and the upper part of `ln 2` has 9, so the first product is
/// exact even unfused.
#[inline(always)]
fn remainder<S: Simd>(s: S, x: S::F32, n: S::U32) -> S::F32 {
    let n = s.from_i32(n);
    s.mul_add(n, s.splat(2.121_944_4e-4), s.mul_add(n, s.splat(-0.693_359_4), x))
}

/// `2^n * exp(r)` for `|r| <= 0.348`, `-151 <= n <= 129`.
#[inline(always)]
fn exp_reduced<S: Simd>(s: S, n: S::U32, r: S::F32) -> S::F32 {
    // (exp(r) - 1 - r) / r^2, error 1.4e-7: 1e-8 of exp(r).
    let q = polynomial(s, r, [0.5, 0.166_665_76, 0.041_666_552, 0.008_363_419, 0.001_392_648_4]);
    let p = s.add(s.mul_add(q, s.mul(r, r), r), s.splat(1.0));
    // 2^n in two factors, each a normal number: only the last product rounds when the result is denormal.
    let n = s.add_u32(n, s.splat_u32(2 * 127));
    let first = s.from_bits(s.shl(s.shr(n, 1), 23));
    let second = s.from_bits(s.shl(s.shr(s.add_u32(n, s.splat_u32(1)), 1), 23));
    s.mul(s.mul(p, first), second)
}

/// `2 atanh(z)` for `|z| <= 1/3`.
#[inline(always)]
fn twice_atanh<S: Simd>(s: S, z: S::F32) -> S::F32 {
    let w = s.mul(z, z);
    // (atanh(z) / z - 1) / z^2 in w = z^2, error 3e-8.
    let q = polynomial(s, w, [0.333_333_34, 0.199_998_53, 0.142_961_79, 0.108_532_876, 0.116_121_65]);
    let twice = s.add(z, z);
    s.mul_add(s.mul(q, w), twice, twice)
}

/// `ln x` for positive, normal, finite `x`, within 3 ulp.
#[inline(always)]
fn ln<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // x = 2^n * m with m in [sqrt(1/2), sqrt 2): ln m = 2 atanh((m - 1) / (m + 1)).
    const SQRT_HALF: u32 = std::f32::consts::FRAC_1_SQRT_2.to_bits();
    let from_root = s.add_u32(s.to_bits(x), s.splat_u32((127 << 23) - SQRT_HALF));
    let n = s.from_i32(s.add_u32(s.shr(from_root, 23), s.splat_u32(127u32.wrapping_neg())));
    let m = s.from_bits(s.add_u32(s.and(from_root, s.splat_u32((1 << 23) - 1)), s.splat_u32(SQRT_HALF)));
    let one = s.splat(1.0);
    let ln_m = twice_atanh(s, s.div(s.sub(m, one), s.add(m, one)));
    s.mul_add(n, s.splat(0.693_359_4), s.mul_add(n, s.splat(-2.121_944_4e-4), ln_m))
}

/// [`ln`] of one number, which may also be infinite or NaN: the standard library's differs between systems.
#[inline(always)]
pub(crate) fn ln_scalar<S: Simd>(s: S, x: f32) -> f32 {
    let mut out = [x];
    if x.is_finite() {
        s.store_partial(ln(s, s.splat(x)), &mut out);
    }
    out[0]
}

/// `ln(1 + e)` for `0 <= e <= 1`, within 3 ulp.
#[inline(always)]
pub(crate) fn ln_1p_of_unit<S: Simd>(s: S, e: S::F32) -> S::F32 {
    twice_atanh(s, s.div(e, s.add(e, s.splat(2.0))))
}

/// The logistic function of `x` and of `-x`, and `exp(-|x|)`; each within 3 ulp.
#[derive(Clone, Copy)]
pub(crate) struct Sigmoid<V> {
    /// `1 / (1 + exp(-x))`
    pub(crate) value: V,
    /// `1 - value`, without cancellation.
    pub(crate) complement: V,
    /// `exp(-|x|)`
    pub(crate) exp: V,
}

/// See [`Sigmoid`].
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::F32) -> Sigmoid<S::F32> {
    // exp(-|x|) is at most 1: neither tail overflows, both keep their relative accuracy.
    let exp = exp(s, s.from_bits(s.or(s.to_bits(x), s.splat_u32(1 << 31))));
    let large = s.div(s.splat(1.0), s.add(s.splat(1.0), exp));
    let small = s.mul(exp, large);
    let positive = s.gt(x, s.splat(0.0));
    Sigmoid { value: s.select(positive, large, small), complement: s.select(positive, small, large), exp }
}

/// The standard normal distribution function of `x` within 12 ulp, and its density.
///
/// The tail is `exp(-a^2/2) t P(2t - 1)` with `a = |x|`, `t = 1 / (1 + 0.3 a)`: after the exponential is taken out, the
/// complementary error function is smooth in a variable that maps the half line to an interval (Shepherd and Laframboise
/// 1981).
#[inline(always)]
pub(crate) fn normal<S: Simd>(s: S, x: S::F32) -> (S::F32, S::F32) {
    let magnitude = s.from_bits(s.and(s.to_bits(x), s.splat_u32(u32::MAX >> 1)));
    // Beyond 16 both are 0; NaN stays.
    let a = s.min(s.splat(16.0), magnitude);
    // a^2 = high^2 + (a + high) low, and high^2 is exact because high keeps 12 bits: rounding a^2 would cost a^2 / 2 ulp.
    let high = s.from_bits(s.and(s.to_bits(a), s.splat_u32(0xffff_f000)));
    let low = s.sub(a, high);
    let minus_half = s.splat(-0.5);
    let exp = exp_of_sum(s, s.mul(minus_half, s.mul(high, high)), s.mul(minus_half, s.mul(s.add(a, high), low)));
    let one = s.splat(1.0);
    let t = s.div(one, s.mul_add(a, s.splat(0.3), one));
    // Error 2.9e-8.
    const P: [f32; 10] = [
        0.221_970_62,
        0.164_579_5,
        0.086_549_69,
        0.027_760_25,
        0.001_816_261_3,
        -0.002_423_172,
        -5.706_601e-4,
        2.804_923_6e-4,
        7.796_685e-5,
        -4.094_283_6e-5,
    ];
    let tail = s.mul(exp, s.mul(t, polynomial(s, s.sub(s.add(t, t), one), P)));
    let cdf = s.select(s.gt(x, s.splat(0.0)), s.sub(one, tail), tail);
    // 1 / sqrt(2 pi)
    (cdf, s.mul(exp, s.splat(0.398_942_3)))
}

/// The normal distribution in f64: the series of Marsaglia (2004) in the middle, the continued fraction of the tail.
#[cfg(test)]
pub(crate) mod reference {
    pub fn density(x: f64) -> f64 {
        (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
    }

    pub fn cdf(x: f64) -> f64 {
        if x.abs() < 3.0 {
            let (mut term, mut sum, mut k) = (x, 0.0, 1.0);
            while sum + term != sum {
                sum += term;
                k += 2.0;
                term *= x * x / k;
            }
            return 0.5 + density(x) * sum;
        }
        let a = x.abs();
        let fraction = (1..120).rev().fold(a, |below, k| a + k as f64 / below);
        let tail = density(x) / fraction;
        if x < 0.0 { tail } else { 1.0 - tail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch;
    use crate::reduce::map;
    use crate::testing::*;

    /// Every 4001st float from `from` up to `to`, both of one sign and of growing magnitude.
    fn sweep(from: f32, to: f32) -> Vec<f32> {
        (from.to_bits()..=to.to_bits()).step_by(4001).map(f32::from_bits).collect()
    }

    /// Asserts that `got` is within `ulps` units in the last place of `want`, or of the smallest denormal.
    #[track_caller]
    fn assert_ulps(got: f32, want: f64, ulps: f64, what: impl std::fmt::Display) {
        let exponent = want.abs().log2().floor().max(-126.0);
        assert_within(got, want, ulps * (exponent - 23.0).exp2(), what);
    }

    macro_rules! on_all {
        ($level:expr, $xs:expr, $s:ident, $x:ident => $body:expr) => {{
            let mut out = $xs.to_vec();
            dispatch!($level, $s => map($s, &mut out, #[inline(always)] |$x| $body));
            out
        }};
    }

    #[test]
    fn exp_is_accurate_over_its_whole_range_and_saturates_beyond() {
        let mut xs = [sweep(0.0, 88.722), sweep(-0.0, -110.0)].concat();
        xs.extend([f32::MIN_POSITIVE, 1e-45, -1e-45, 88.722_83]);
        at_every_level(|level| {
            for (&x, got) in xs.iter().zip(on_all!(level, xs, s, x => exp(s, x))) {
                assert_ulps(got, (x as f64).exp(), 1.5, format_args!("exp({x})"));
            }
            let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 88.73, f32::MAX, -104.0, f32::MIN, -f32::NAN];
            let got = on_all!(level, special, s, x => exp(s, x));
            assert!(got[0].is_nan() && got[7].is_nan());
            assert_eq!(got[1..7], [f32::INFINITY, 0.0, f32::INFINITY, f32::INFINITY, 0.0, 0.0]);
            assert_eq!(on_all!(level, [0.0, -0.0], s, x => exp(s, x)), [1.0, 1.0]);
        });
    }

    #[test]
    fn logarithms_are_accurate() {
        let xs = [sweep(f32::MIN_POSITIVE, f32::MAX), sweep(0.7, 1.4), vec![1.0]].concat();
        let units = [sweep(0.0, 1.0), vec![1.0]].concat();
        at_every_level(|level| {
            for (&x, got) in xs.iter().zip(on_all!(level, xs, s, x => ln(s, x))) {
                assert_ulps(got, (x as f64).ln(), 3.0, format_args!("ln({x})"));
            }
            for (&e, got) in units.iter().zip(on_all!(level, units, s, x => ln_1p_of_unit(s, x))) {
                assert_ulps(got, (e as f64).ln_1p(), 3.0, format_args!("ln_1p({e})"));
            }
            for x in [f32::INFINITY, f32::NAN] {
                let got = dispatch!(level, s => ln_scalar(s, x));
                assert_eq!(got.to_bits(), x.to_bits());
            }
        });
    }

    #[test]
    fn sigmoid_keeps_its_relative_accuracy_in_both_tails() {
        let xs = [sweep(0.0, 120.0), sweep(-0.0, -120.0)].concat();
        at_every_level(|level| {
            let value = on_all!(level, xs, s, x => sigmoid(s, x).value);
            let complement = on_all!(level, xs, s, x => sigmoid(s, x).complement);
            for ((&x, value), complement) in xs.iter().zip(value).zip(complement) {
                let e = (-(x as f64)).exp();
                assert_ulps(value, 1.0 / (1.0 + e), 3.0, format_args!("sigmoid({x})"));
                assert_ulps(complement, 1.0 / (1.0 + 1.0 / e), 3.0, format_args!("sigmoid(-{x})"));
            }
            let special = on_all!(level, [f32::INFINITY, f32::NEG_INFINITY, f32::NAN], s, x => sigmoid(s, x).value);
            assert_eq!(special[..2], [1.0, 0.0]);
            assert!(special[2].is_nan());
        });
    }

    #[test]
    fn normal_keeps_its_relative_accuracy_in_the_tail() {
        let xs = [sweep(0.0, 20.0), sweep(-0.0, -20.0)].concat();
        let (cdf, density): (Vec<_>, Vec<_>) =
            xs.iter().map(|&x| (reference::cdf(x as f64), reference::density(x as f64))).unzip();
        at_every_level(|level| {
            for ((&x, got), &want) in xs.iter().zip(on_all!(level, xs, s, x => normal(s, x).0)).zip(&cdf) {
                assert_ulps(got, want, 12.0, format_args!("normal({x})"));
            }
            for ((&x, got), &want) in xs.iter().zip(on_all!(level, xs, s, x => normal(s, x).1)).zip(&density) {
                assert_ulps(got, want, 4.0, format_args!("density({x})"));
            }
            let special = on_all!(level, [f32::INFINITY, f32::NEG_INFINITY, f32::NAN], s, x => normal(s, x).0);
            assert_eq!(special[..2], [1.0, 0.0]);
            assert!(special[2].is_nan());
        });
    }

    #[test]
    fn the_reference_distribution_joins_its_two_formulas_and_is_symmetric() {
        // Both sides of the seam agree to the change of the function between them, density(3) * 2e-9.
        let (below, above) = (reference::cdf(3.0 - 1e-9), reference::cdf(3.0 + 1e-9));
        assert!((above - below - 2e-9 * reference::density(3.0)).abs() < 1e-15);
        for x in [0.3, 1.7, 2.5, 7.0] {
            assert!((reference::cdf(x) + reference::cdf(-x) - 1.0).abs() < 1e-15);
        }
    }
}
