//! Integers, masks, and the rounding to bf16.

use super::*;

/// Small numbers, powers of two and their neighbours, and a scatter over all of `u32`.
fn integers() -> Vec<u32> {
    let mut all =
        vec![0, 1, 2, 3, 255, 256, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, u32::MAX - 1, u32::MAX];
    all.extend((1..40).map(|i: u32| i.wrapping_mul(0x9e37_79b9)));
    all
}

/// `op` on all pairs of integers.
#[inline(always)]
fn check_binary_u32<S: Simd>(s: S, name: &str, op: impl Fn(S::U32, S::U32) -> S::U32, want: impl Fn(u32, u32) -> u32) {
    for a in integers() {
        for bs in integers().chunks(S::LANES) {
            let got = lanes_u32(s, op(s.splat_u32(a), load_padded(s, bs)));
            for (&b, got) in bs.iter().zip(got) {
                assert_eq!(got, want(a, b), "{name} of {a:#x}, {b:#x}");
            }
        }
    }
}

#[test]
fn integer_operations_wrap_and_compare_without_sign() {
    #[inline(always)]
    fn check<S: Simd>(s: S) {
        check_binary_u32(s, "and", |a, b| s.and(a, b), |a, b| a & b);
        check_binary_u32(s, "or", |a, b| s.or(a, b), |a, b| a | b);
        check_binary_u32(s, "xor", |a, b| s.xor(a, b), |a, b| a ^ b);
        check_binary_u32(s, "add_u32", |a, b| s.add_u32(a, b), u32::wrapping_add);
        check_binary_u32(s, "mul_u32", |a, b| s.mul_u32(a, b), u32::wrapping_mul);
        check_binary_u32(s, "min_u32", |a, b| s.min_u32(a, b), u32::min);
    }
    at_every_token!(s => check(s));
}

#[test]
fn shifts_by_every_count_bring_in_zeros() {
    #[inline(always)]
    fn check<S: Simd>(s: S) {
        for n in 0..32 {
            check_binary_u32(s, &format!("shl {n}"), |_, b| s.shl(b, n), |_, b| b << n);
            check_binary_u32(s, &format!("shr {n}"), |_, b| s.shr(b, n), |_, b| b >> n);
        }
    }
    at_every_token!(s => check(s));
}

#[test]
fn equality_selects_whole_lanes() {
    #[inline(always)]
    fn check<S: Simd>(s: S) {
        let pick = |a, b| s.select_u32(s.eq_u32(a, b), s.or(a, s.splat_u32(1)), s.xor(a, b));
        check_binary_u32(s, "select_u32", pick, |a, b| if a == b { a | 1 } else { a ^ b });
        let from_floats = |a, b| s.to_bits(s.select(s.eq_u32(a, b), s.splat(1.0), s.splat(2.0)));
        check_binary_u32(s, "select", from_floats, |a, b| if a == b { 1f32.to_bits() } else { 2f32.to_bits() });
    }
    at_every_token!(s => check(s));
}

#[test]
fn every_mask_has_its_lanes_as_bits_and_nothing_above() {
    #[inline(always)]
    fn check<S: Simd>(s: S) {
        for pattern in 0..1u32 << S::LANES {
            let floats: Vec<f32> = (0..S::LANES).map(|i| (pattern >> i & 1) as f32).collect();
            let mask = s.gt(s.load(&floats), s.splat(0.5));
            assert_eq!(s.bits(mask), pattern);
            let words: Vec<u32> = floats.iter().map(|x| x.to_bits()).collect();
            assert_eq!(s.bits(s.eq_u32(s.load_u32(&words), s.splat_u32(1f32.to_bits()))), pattern);
        }
    }
    at_every_token!(s => check(s));
}

#[test]
fn stored_bits_are_the_low_halves() {
    #[inline(always)]
    fn check<S: Simd>(s: S) {
        let words: Vec<u32> = (1..=S::LANES as u32).map(|i| i.wrapping_mul(0x9e37_79b9)).collect();
        let want: Vec<u16> = words.iter().map(|&x| x as u16).collect();
        for len in 0..=S::LANES + 3 {
            let mut out = vec![bf16::MAX; S::LANES + 3];
            s.store_bf16_bits_partial(s.load_u32(&words), &mut out[..len]);
            for (lane, got) in out.iter().enumerate() {
                let want = if lane < len.min(S::LANES) { want[lane] } else { bf16::MAX.to_bits() };
                assert_eq!(got.to_bits(), want, "lane {lane} of {len}");
            }
            if len >= S::LANES {
                let mut whole = vec![bf16::MAX; S::LANES + 3];
                s.store_bf16_bits(s.load_u32(&words), &mut whole[..len]);
                assert_eq!(whole, out);
            }
        }
    }
    at_every_token!(s => check(s));
}

/// All upper halves, with lower halves on either side of every decision: below, at and above the tie, and its ends.
#[test]
fn the_nearest_bf16_is_that_of_half_for_all_upper_halves() {
    #[inline(always)]
    fn check<S: Simd>(s: S) {
        for low in [0u32, 1, 0x7fff, 0x8000, 0x8001, 0xffff] {
            for start in (0..0x1_0000).step_by(S::LANES) {
                let bits = s.or(s.shl(s.add_u32(s.splat_u32(start), s.iota()), 16), s.splat_u32(low));
                let mut got = vec![bf16::ZERO; S::LANES];
                bf16::store(s, s.from_bits(bits), &mut got);
                for (upper, got) in (start..).zip(got) {
                    let x = f32::from_bits(upper << 16 | low);
                    assert_eq!(got.to_bits(), bf16::from_f32(x).to_bits(), "{:#010x}", x.to_bits());
                    assert_eq!(got.to_bits(), <bf16 as Weight>::from_f32(x).to_bits());
                    assert_eq!(got.is_nan(), x.is_nan());
                }
            }
        }
    }
    at_every_token!(s => check(s));
}

#[test]
fn widening_bf16_is_exact_for_all_of_them() {
    #[inline(always)]
    fn check<S: Simd>(s: S) {
        let all: Vec<bf16> = (0..=u16::MAX).map(bf16::from_bits).collect();
        for chunk in all.chunks_exact(S::LANES) {
            let wide = s.to_bits(s.load_bf16(chunk));
            for (x, got) in chunk.iter().zip(lanes_u32(s, wide)) {
                assert_eq!(got, u32::from(x.to_bits()) << 16);
                assert_eq!(got, Weight::to_f32(*x).to_bits(), "Weight and load_bf16 disagree");
            }
        }
    }
    at_every_token!(s => check(s));
}
