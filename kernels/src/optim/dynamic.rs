//! Dynamic quantisation: numbers of [-1, 1] or [0, 1] in 8 bits, fine near zero and near one.
//!
//! The data type of Dettmers, Lewis, Shleifer and Zettlemoyer, "8-bit optimizers via block-wise quantization" (2022), section 2: the
//! leading zeros of a code name the power of ten, the bits after them a linear fraction of it. Decade `i` = 0..=6 holds the numbers
//! `[10^(i-7), 10^(i-6))`, cut into `2^i` equal bins (`2^(i+1)` without a sign), each code being the centre of its bin.
//!
//! A magnitude is numbered from 0 (zero) upwards through the decades to the last number, which is 1: with a sign,
//! bin `b` of decade `i` is magnitude `2^i + b`, without one `2^(i+1) - 1 + b`. So a bin is found by arithmetic, without a
//! search: `floor(a x + b)` with two constants of the decade.

use crate::simd::Simd;

/// `10^-n` for `n` = 0..=7.
const TENTHS: [f64; 8] = [1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7];

/// The code of zero in [`signed_map`].
const ZERO: u32 = 127;

static SIGNED: [f32; 256] = {
    let mut map = [0.0; 256];
    let mut magnitude = 1;
    while magnitude <= 128 {
        let value = on_line(magnitude, &SIGNED_CENTRES, magnitude);
        map[ZERO as usize + magnitude as usize] = value;
        if magnitude < 128 {
            map[ZERO as usize - magnitude as usize] = -value;
        }
        magnitude += 1;
    }
    map
};

static UNSIGNED: [f32; 256] = {
    let mut map = [0.0; 256];
    let mut magnitude = 0;
    while magnitude < 256 {
        map[magnitude as usize] = on_line(magnitude, &UNSIGNED_CENTRES, magnitude + 1);
        magnitude += 1;
    }
    map
};

/// Slopes `a` and offsets `b` of the centres `a magnitude + b`, by decade.
struct Centres {
    slopes: [f32; 8],
    offsets: [f32; 8],
}

/// The number of a magnitude: its line has the place `floor(log2(of))`, from 0 again at 8.
const fn on_line(magnitude: u32, lines: &Centres, of: u32) -> f32 {
    let line = (of.ilog2() & 7) as usize;
    lines.slopes[line] * magnitude as f32 + lines.offsets[line]
}

/// The centres of a map with `first` bins in decade 0, which starts at magnitude `first - shift` and has the place `first - 1`.
const fn centres(first: usize, shift: f64, mut lines: Centres) -> Centres {
    let mut decade = 0;
    while decade < 7 {
        let bins = (first << decade) as f64;
        let unit = TENTHS[6 - decade];
        let place = decade + first - 1;
        lines.slopes[place] = (unit * 0.9 / bins) as f32;
        // Bin `b` is magnitude `bins - shift + b`.
        lines.offsets[place] = (unit * (0.1 + 0.9 * (0.5 - bins + shift) / bins)) as f32;
        decade += 1;
    }
    lines
}

/// Magnitude 128 has a place of its own, 7, and is 1.
const SIGNED_CENTRES: Centres = {
    let mut lines = centres(1, 0.0, Centres { slopes: [0.0; 8], offsets: [0.0; 8] });
    lines.offsets[7] = 1.0;
    lines
};

/// Magnitudes 0 and 255 share the place 0, the line through 0 and 1.
const UNSIGNED_CENTRES: Centres = {
    let mut lines = Centres { slopes: [0.0; 8], offsets: [0.0; 8] };
    lines.slopes[0] = 1.0 / 255.0;
    centres(2, 1.0, lines)
};

/// `on_line` of magnitudes, as floats, without fused multiply-add: the bits of the maps on every level.
#[inline(always)]
fn number<S: Simd>(s: S, magnitude: S::F32, lines: &Centres, of: S::F32) -> S::F32 {
    // The exponent field of a float is 127 + floor(log2), and 127 + 1 is a multiple of 8.
    let place = s.add_u32(s.shr(s.to_bits(of), 23), s.splat_u32(1));
    let place = s.and(place, s.splat_u32(7));
    s.add(s.mul(s.lookup(&lines.slopes, place), magnitude), s.lookup(&lines.offsets, place))
}

/// The numbers of [`signed_map`] for codes below 256.
#[inline(always)]
pub(super) fn decode_signed<S: Simd>(s: S, codes: S::U32) -> S::F32 {
    let signed = s.to_bits(s.from_i32(s.add_u32(codes, s.splat_u32(ZERO.wrapping_neg()))));
    let sign = s.and(signed, s.splat_u32(1 << 31));
    let size = s.xor(signed, sign);
    let number = number(s, s.from_bits(size), &SIGNED_CENTRES, s.from_bits(size));
    let number = s.from_bits(s.or(s.to_bits(number), sign));
    s.select(s.eq_u32(size, s.splat_u32(0)), s.splat(0.0), number)
}

/// The numbers of [`unsigned_map`] for codes below 256.
#[inline(always)]
pub(super) fn decode_unsigned<S: Simd>(s: S, codes: S::U32) -> S::F32 {
    let magnitude = s.from_i32(codes);
    number(s, magnitude, &UNSIGNED_CENTRES, s.add(magnitude, s.splat(1.0)))
}

/// The number that each code of a first moment stands for, in units of its block's scale; increasing.
///
/// ```
/// let map = hotrow_kernels::optim::signed_map();
/// assert_eq!((map[127], map[255]), (0.0, 1.0));
/// assert!(map.is_sorted_by(|a, b| a < b));
/// ```
pub fn signed_map() -> &'static [f32; 256] {
    &SIGNED
}

/// The number that each code of a second moment stands for, in units of its block's scale; increasing.
///
/// ```
/// let map = hotrow_kernels::optim::unsigned_map();
/// assert_eq!((map[0], map[255]), (0.0, 1.0));
/// assert!(map.is_sorted_by(|a, b| a < b));
/// ```
pub fn unsigned_map() -> &'static [f32; 256] {
    &UNSIGNED
}

/// The constants `a` and `b` of `a x + b` for each decade of a map that has `first` bins in decade 0, whose bins start at
/// magnitude `first`, less `shift`.
const fn lines(first: f64, shift: f64) -> [(f32, f32); 7] {
    let mut lines = [(0.0, 0.0); 7];
    let mut decade = 0;
    while decade < 7 {
        let bins = first * (1 << decade) as f64;
        // Rounding to the nearest integer is the floor of half a unit more. A hair above that half, so that 1 itself, which ends
        // the last bin, rounds up to a magnitude of its own instead of being a tie.
        let b = bins - shift - bins / 9.0 - 0.4999;
        lines[decade] = ((bins / 0.9 / TENTHS[6 - decade]) as f32, b as f32);
        decade += 1;
    }
    lines
}

const SIGNED_LINES: [(f32, f32); 7] = lines(1.0, 0.0);
const UNSIGNED_LINES: [(f32, f32); 7] = lines(2.0, 1.0);

/// The number of the bin of `x` in [0, 1], as a float that is still to be rounded to the nearest integer. Without fused
/// multiply-add: the same bits on every level.
#[inline(always)]
fn magnitude<S: Simd>(s: S, x: S::F32, lines: &[(f32, f32); 7]) -> S::F32 {
    let (mut a, mut b) = (s.splat(lines[0].0), s.splat(lines[0].1));
    for (decade, line) in lines.iter().enumerate().skip(1) {
        let above = s.gt(x, s.splat(TENTHS[7 - decade] as f32));
        a = s.select(above, s.splat(line.0), a);
        b = s.select(above, s.splat(line.1), b);
    }
    s.add(s.mul(x, a), b)
}

/// The codes of the bins that `x` in [-1, 1] falls into, in the low 8 bits. -1 has no code of its own and shares the last bin.
#[inline(always)]
pub(super) fn encode_signed<S: Simd>(s: S, x: S::F32) -> S::U32 {
    let sign = s.and(s.to_bits(x), s.splat_u32(1 << 31));
    let size = s.from_bits(s.xor(s.to_bits(x), sign));
    let magnitude = s.round_to_i32(magnitude(s, size, &SIGNED_LINES));
    // 128 is the code 255 of 1. `127 - magnitude` is `128 + !magnitude` in two's complement.
    let positive = s.add_u32(s.splat_u32(ZERO), s.min_u32(magnitude, s.splat_u32(128)));
    let negated = s.xor(s.min_u32(magnitude, s.splat_u32(127)), s.splat_u32(u32::MAX));
    let negative = s.add_u32(s.splat_u32(ZERO + 1), negated);
    s.select_u32(s.eq_u32(sign, s.splat_u32(0)), positive, negative)
}

/// The codes of the bins that `x` in [0, 1] falls into. What is above zero never becomes zero but at least the smallest code:
/// a first moment over a second moment that was rounded to zero would be a step of any size.
#[inline(always)]
pub(super) fn encode_unsigned<S: Simd>(s: S, x: S::F32) -> S::U32 {
    let least = s.select(s.gt(x, s.splat(0.0)), s.splat(1.0), s.splat(0.0));
    let magnitude = s.round_to_i32(s.max(magnitude(s, x, &UNSIGNED_LINES), least));
    s.min_u32(magnitude, s.splat_u32(255))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::testing::*;
    use crate::{Level, dispatch};

    /// Half the width of the bin that `x` in [0, 1] falls into, in a map with `2^sign` times fewer bins; what lies within a rounding error of
    /// the next decade may get that one's first bin. Below the first decade the error is that of taking zero (or, without a
    /// sign, the first centre) for the number.
    pub fn half_bin(x: f64, first: f64) -> f64 {
        let x = (x * (1.0 + 1e-6)).min(0.999);
        let decade = (0..7).rev().find(|i| x >= 10f64.powi(i - 7));
        decade.map_or(4.5e-7, |i| 0.45 * 10f64.powi(i - 6) / (first * 2f64.powi(i))) * (1.0 + 2e-3)
    }

    fn codes(level: Level, xs: &[f32], signed: bool) -> Vec<u32> {
        let mut out = vec![0; xs.len() + 16];
        dispatch!(level, s => encode_all(s, xs, signed, &mut out));
        out.truncate(xs.len());
        out
    }

    #[inline(always)]
    fn encode_all<S: Simd>(s: S, xs: &[f32], signed: bool, out: &mut [u32]) {
        for (i, xs) in xs.chunks(S::LANES).enumerate() {
            let x = s.load_partial(xs);
            let codes = if signed { encode_signed(s, x) } else { encode_unsigned(s, x) };
            s.store_u32(codes, &mut out[i * S::LANES..]);
        }
    }

    #[inline(always)]
    fn decode_all<S: Simd>(s: S, signed: bool) -> Vec<u32> {
        let (mut bits, mut lanes) = (vec![], [0; 16]);
        for first in (0..256).step_by(S::LANES) {
            let codes = s.add_u32(s.iota(), s.splat_u32(first as u32));
            let numbers = if signed { decode_signed(s, codes) } else { decode_unsigned(s, codes) };
            s.store_u32(s.to_bits(numbers), &mut lanes);
            bits.extend(&lanes[..S::LANES]);
        }
        bits
    }

    #[test]
    fn codes_are_read_as_the_numbers_of_the_maps_to_the_bit() {
        at_every_level(|level| {
            for (map, signed) in [(signed_map(), true), (unsigned_map(), false)] {
                assert_eq!(dispatch!(level, s => decode_all(s, signed)), map.map(f32::to_bits));
            }
        });
    }

    #[test]
    fn every_number_of_the_maps_has_its_own_code() {
        at_every_level(|level| {
            assert_eq!(codes(level, &SIGNED, true), (0..256).collect::<Vec<_>>());
            assert_eq!(codes(level, &UNSIGNED, false), (0..256).collect::<Vec<_>>());
        });
    }

    #[test]
    fn a_code_is_within_half_a_bin_the_same_on_every_level() {
        let grid = (0..200_000).map(|i| 10f64.powf(-8.0 + 8.0 * i as f64 / 200_000.0) as f32);
        let edges =
            (0..8).flat_map(|i| [-1, 0, 1].map(|d| f32::from_bits((10f32.powi(-i).to_bits() as i32 + d) as u32)));
        let xs: Vec<f32> = grid.chain(edges).filter(|&x| x <= 1.0).chain([0.0, 1e-40, f32::MIN_POSITIVE]).collect();
        let minus: Vec<f32> = xs.iter().map(|x| -x).collect();
        for (xs, map, signed) in [(&xs, &SIGNED, true), (&minus, &SIGNED, true), (&xs, &UNSIGNED, false)] {
            let want = codes(Level::PORTABLE, xs, signed);
            for (&x, &code) in xs.iter().zip(&want) {
                let bound = half_bin(x.abs() as f64, if signed { 1.0 } else { 2.0 });
                assert_within(map[code as usize], x as f64, bound, format!("code {code} of {x:e}"));
                assert!(signed || (code == 0) == (x == 0.0), "{x:e} has code {code}");
            }
            at_every_level(|level| assert_eq!(codes(level, xs, signed), want));
        }
    }
}
