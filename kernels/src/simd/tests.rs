//! Every operation of [`Simd`], at every level, against its definition on one lane.

mod bits;
mod memory;

use super::*;
use crate::dispatch;
use crate::testing::{assert_within, at_every_level, numbers, sum_bound};

/// Runs a check that is generic over the token at every level.
macro_rules! at_every_token {
    ($s:ident => $body:expr) => {
        at_every_level(|level| dispatch!(level, $s => $body))
    };
}
use at_every_token;

/// Zeros, ties, denormals, extremes, infinities, and NaN of either sign, quiet and signalling.
fn edges() -> Vec<f32> {
    let magnitudes = [
        0.0,
        f32::from_bits(1),
        f32::from_bits(0x007f_ffff),
        f32::MIN_POSITIVE,
        1e-20,
        0.1,
        0.5,
        1.0,
        1.0 + f32::EPSILON,
        1.5,
        2.5,
        3.0,
        8_388_607.5,
        16_777_217.0,
        1e20,
        f32::MAX,
        f32::INFINITY,
        f32::NAN,
        f32::from_bits(0x7f80_0001),
        f32::from_bits(0x7fff_ffff),
    ];
    magnitudes.into_iter().flat_map(|x| [x, -x]).collect()
}

/// The lanes of `v`.
#[inline(always)]
fn lanes<S: Simd>(s: S, v: S::F32) -> Vec<f32> {
    let mut out = vec![f32::NAN; S::LANES];
    s.store(v, &mut out);
    out
}

/// The lanes of `v`.
#[inline(always)]
fn lanes_u32<S: Simd>(s: S, v: S::U32) -> Vec<u32> {
    let mut out = vec![0; S::LANES];
    s.store_u32(v, &mut out);
    out
}

/// Up to `LANES` integers, then zeros.
#[inline(always)]
fn load_padded<S: Simd>(s: S, xs: &[u32]) -> S::U32 {
    let mut padded = vec![0; S::LANES];
    padded[..xs.len()].copy_from_slice(xs);
    s.load_u32(&padded)
}

/// The same number to the bit, or both NaN: which NaN comes out of an operation is not part of its definition.
#[track_caller]
fn assert_same(got: f32, want: f32, what: impl std::fmt::Display) {
    let same = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
    assert!(same, "{what}: {got:?} is not {want:?}");
}

/// `op` on all pairs of edges.
#[inline(always)]
fn check_binary<S: Simd>(s: S, name: &str, op: impl Fn(S::F32, S::F32) -> S::F32, want: impl Fn(f32, f32) -> f32) {
    for a in edges() {
        for bs in edges().chunks(S::LANES) {
            let got = lanes(s, op(s.splat(a), s.load_partial(bs)));
            for (&b, got) in bs.iter().zip(got) {
                assert_same(got, want(a, b), format!("{name} of {a:?}, {b:?}"));
            }
        }
    }
}

#[test]
fn arithmetic_is_that_of_one_lane_to_the_bit() {
    #[inline(always)]
    fn check<S: Simd>(s: S) {
        check_binary(s, "add", |a, b| s.add(a, b), |a, b| a + b);
        check_binary(s, "sub", |a, b| s.sub(a, b), |a, b| a - b);
        check_binary(s, "mul", |a, b| s.mul(a, b), |a, b| a * b);
        check_binary(s, "div", |a, b| s.div(a, b), |a, b| a / b);
        check_binary(s, "sqrt", |_, b| s.sqrt(b), |_, b| b.sqrt());
    }
    at_every_token!(s => check(s));
}

#[test]
fn max_and_min_are_the_second_argument_where_nothing_is_greater_or_less() {
    #[inline(always)]
    fn check<S: Simd>(s: S) {
        check_binary(s, "max", |a, b| s.max(a, b), |a, b| if a > b { a } else { b });
        check_binary(s, "min", |a, b| s.min(a, b), |a, b| if a < b { a } else { b });
        for x in edges() {
            assert_eq!(lanes(s, s.max(s.splat(f32::NAN), s.splat(x)))[0].to_bits(), x.to_bits(), "max of NaN, {x:?}");
            assert_eq!(lanes(s, s.min(s.splat(f32::NAN), s.splat(x)))[0].to_bits(), x.to_bits(), "min of NaN, {x:?}");
        }
    }
    at_every_token!(s => check(s));
}

#[test]
fn mul_add_rounds_once_at_every_level_with_the_instruction() {
    #[inline(always)]
    fn check<S: Simd>(s: S, fused: bool) {
        let (a, b, c) = (numbers(S::LANES * 50, 1), numbers(S::LANES * 50, 2), numbers(S::LANES * 50, 3));
        let mut rounded_twice = 0;
        for i in (0..a.len()).step_by(S::LANES) {
            let got = lanes(s, s.mul_add(s.load(&a[i..]), s.load(&b[i..]), s.load(&c[i..])));
            for (j, got) in (i..).zip(got) {
                let once = a[j].mul_add(b[j], c[j]);
                rounded_twice += usize::from(got != once);
                assert!(got == once || !fused && got == a[j] * b[j] + c[j], "{} * {} + {}", a[j], b[j], c[j]);
            }
        }
        assert!(fused || S::LANES == 8 && rounded_twice < a.len());
    }
    at_every_level(|level| {
        let fused = level != crate::Level::PORTABLE;
        dispatch!(level, s => check(s, fused));
    });
}

#[test]
fn sum_adds_every_lane_once() {
    #[inline(always)]
    fn check<S: Simd>(s: S) {
        for lane in 0..S::LANES {
            let mut xs = vec![0.0; S::LANES];
            xs[lane] = 3.0;
            assert_eq!(s.sum(s.load(&xs)), 3.0, "lane {lane}");
        }
        for seed in 0..100 {
            let xs = numbers(S::LANES, seed);
            let (exact, magnitude) = xs.iter().fold((0.0, 0.0), |(sum, m), &x| (sum + x as f64, m + x.abs() as f64));
            assert_within(s.sum(s.load(&xs)), exact, sum_bound(S::LANES, magnitude), format!("seed {seed}"));
        }
        assert!(s.sum(s.splat(f32::NAN)).is_nan());
        assert_eq!(s.sum(s.splat(f32::INFINITY)), f32::INFINITY);
    }
    at_every_token!(s => check(s));
}

#[test]
fn gt_is_false_for_nan_and_select_follows_the_mask() {
    #[inline(always)]
    fn check<S: Simd>(s: S) {
        let select = |a, b| s.select(s.gt(a, b), s.splat(1.0), s.splat(-2.0));
        check_binary(s, "gt", select, |a, b| if a > b { 1.0 } else { -2.0 });
        check_binary(s, "select", |a, b| s.select(s.gt(b, a), a, b), |a, b| if b > a { a } else { b });
    }
    at_every_token!(s => check(s));
}

#[test]
fn splat_and_bits_keep_every_bit() {
    #[inline(always)]
    fn check<S: Simd>(s: S) {
        for x in edges() {
            let bits = x.to_bits();
            assert_eq!(lanes_u32(s, s.to_bits(s.splat(x))), vec![bits; S::LANES]);
            assert_eq!(lanes(s, s.from_bits(s.splat_u32(bits)))[S::LANES - 1].to_bits(), bits);
        }
    }
    at_every_token!(s => check(s));
}

#[test]
fn is_nan_knows_every_nan_and_nothing_else() {
    #[inline(always)]
    fn check<S: Simd>(s: S) {
        let to_number = |_, b| s.select(is_nan(s, b), s.splat(1.0), s.splat(0.0));
        check_binary(s, "is_nan", to_number, |_, b| f32::from(u8::from(b.is_nan())));
    }
    at_every_token!(s => check(s));
}

#[test]
fn conversions_round_to_nearest_with_ties_to_even() {
    #[inline(always)]
    fn check<S: Simd>(s: S) {
        let mut floats: Vec<f32> = (-41..=41).map(|i| i as f32 * 0.5).collect();
        floats.extend((-41..=41).flat_map(|i| [(i as f32 * 0.5).next_up(), (i as f32 * 0.5).next_down()]));
        floats.extend([0.0, -0.0, 1e-30, -1e-30, 8_388_607.5, -8_388_607.5, 16_777_216.0, 2147483520.0, -2147483648.0]);
        floats.extend(numbers(1000, 5).iter().map(|x| x * 2e6));
        for xs in floats.chunks(S::LANES) {
            let got = lanes_u32(s, s.round_to_i32(s.load_partial(xs)));
            for (x, got) in xs.iter().zip(got) {
                assert_eq!(got as i32, x.round_ties_even() as i32, "{x}");
            }
        }
        let mut integers: Vec<u32> =
            vec![0, 1, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, u32::MAX, 16_777_217, 16_777_219];
        integers.extend((0..1000).map(|i: u32| i.wrapping_mul(0x9e37_79b9)));
        for xs in integers.chunks(S::LANES) {
            let got = lanes(s, s.from_i32(load_padded(s, xs)));
            for (&x, got) in xs.iter().zip(got) {
                assert_eq!(got, x as i32 as f32, "{}", x as i32);
            }
        }
    }
    at_every_token!(s => check(s));
}
