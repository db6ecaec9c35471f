//! Rows of 8-bit integers with one f32 scale each.

use crate::rows::{check_rows, prefetch_ahead};
use crate::simd::{Simd, is_nan};
use crate::{Level, MatMut, MatRef, RowIds, dispatch};

use super::{Noise, RandomKey};

/// The largest code: the range is symmetric, -128 is never written, so `-x` has the negated codes of `x`.
const LARGEST: f32 = 127.0;

/// Rounds rows to 8 bits: `scales[r] = max|x[r]| / 127` and `out[r, i] = round(x[r, i] / scales[r])`, ties to even.
/// `out` and `x` (rows, D), `scales` (rows). Every level gives the same bits.
///
/// `|scale * q - x| <= scale * (1/2 + 127 eps)`. A row of zeros has scale 0. Any other scale is at least
/// `f32::MIN_POSITIVE`, so rows of denormals keep this bound too. A row with a NaN or an infinity gets scale NaN and
/// zero codes. All of it reads back as NaN, so the fault is seen.
///
/// # Panics
///
/// If the shapes disagree.
///
/// ```
/// use hotrow_kernels::{Level, MatMut, MatRef, convert::i8_rows_from_f32};
/// let (mut codes, mut scales) = ([0; 4], [0.0; 2]);
/// let x = [1.0, -254.0, 0.0, 0.0];
/// i8_rows_from_f32(Level::detect(), MatMut::new(&mut codes, 2, 2), &mut scales, MatRef::new(&x, 2, 2));
/// assert_eq!((codes, scales), ([0, -127, 0, 0], [2.0, 0.0])); // 0.5 is a tie
/// ```
#[track_caller]
pub fn i8_rows_from_f32(level: Level, mut out: MatMut<i8>, scales: &mut [f32], x: MatRef<f32>) {
    check_shapes(out.as_ref(), scales, x);
    dispatch!(level, s => {
        for (r, scale) in scales.iter_mut().enumerate() {
            *scale = row_scale(s, x.row(r));
            quantise(s, out.row_mut(r), x.row(r), *scale, #[inline(always)] |s, y, _| s.round_to_i32(y));
        }
    })
}

/// As [`i8_rows_from_f32`], but rounds `y = x / scale` up with probability `y - floor(y)`, to 16 bits of that fraction.
/// The mean of `q` is `y` within 2^-17, its variance `(y - floor(y))(ceil(y) - y)`. Row `r` takes the random bits of
/// row `key.row + r`.
///
/// # Panics
///
/// If the shapes disagree.
///
/// ```
/// use hotrow_kernels::{Level, MatMut, MatRef, convert::{RandomKey, i8_rows_from_f32_stochastic}};
/// let mut x = [0.25; 1000];
/// x[0] = 127.0; // scale 1
/// let (mut codes, mut scales) = ([0; 1000], [0.0]);
/// let out = MatMut::new(&mut codes, 1, 1000);
/// i8_rows_from_f32_stochastic(Level::detect(), out, &mut scales, MatRef::new(&x, 1, 1000), RandomKey::default());
/// let ones = codes[1..].iter().filter(|&&q| q == 1).count();
/// assert!((200..300).contains(&ones));
/// ```
#[track_caller]
pub fn i8_rows_from_f32_stochastic(
    level: Level,
    mut out: MatMut<i8>,
    scales: &mut [f32],
    x: MatRef<f32>,
    key: RandomKey,
) {
    check_shapes(out.as_ref(), scales, x);
    dispatch!(level, s => {
        for (r, scale) in scales.iter_mut().enumerate() {
            *scale = row_scale(s, x.row(r));
            let noise = Noise::new(s, RandomKey { row: key.row.wrapping_add(r as u64), ..key });
            quantise(s, out.row_mut(r), x.row(r), *scale, #[inline(always)] |s, y, first| stochastic(s, y, noise.sixteen(s, first)));
        }
    })
}

/// `out[r, i] = scales[r] * q[r, i]`: `out` and `q` (rows, D), `scales` (rows). There is one rounding. Every level
/// gives the same bits.
///
/// # Panics
///
/// If the shapes disagree.
///
/// ```
/// use hotrow_kernels::{Level, MatMut, MatRef, convert::f32_rows_from_i8};
/// let mut out = [0.0; 2];
/// f32_rows_from_i8(Level::detect(), MatMut::new(&mut out, 1, 2), MatRef::new(&[-127, 3], 1, 2), &[0.5]);
/// assert_eq!(out, [-63.5, 1.5]);
/// ```
#[track_caller]
pub fn f32_rows_from_i8(level: Level, mut out: MatMut<f32>, q: MatRef<i8>, scales: &[f32]) {
    check_shapes(q, scales, out.as_ref());
    dispatch!(level, s => {
        for (r, &scale) in scales.iter().enumerate() {
            dequantise(s, out.row_mut(r), q.row(r), scale);
        }
    })
}

/// `out[a] = scales[active[a]] * <q[active[a], :], x>`: `out` and `active` (A), `q` (rows, D), `scales` (rows), `x` (D).
///
/// `active` may have any order and duplicates. Sums are f32 and scaled at the end. A product differs from the exact one
/// by at most `(D + 2) * eps * scale * sum |q||x|`.
///
/// # Panics
///
/// If `out` and `active` differ in length, `q` and `scales` in rows, `x` is not as long as a row, or `active` was checked for more
/// rows than `q` has.
///
/// ```
/// use hotrow_kernels::{Level, MatRef, RowIds, convert::rows_dot_i8};
/// let q = MatRef::new(&[1, 0, 2, 3], 2, 2);
/// let mut out = [0.0; 2];
/// rows_dot_i8(Level::detect(), &mut out, RowIds::new(&[1, 0], 2)?, q, &[1.0, 0.5], &[10.0, 1.0]);
/// assert_eq!(out, [11.5, 10.0]);
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[track_caller]
pub fn rows_dot_i8(level: Level, out: &mut [f32], active: RowIds, q: MatRef<i8>, scales: &[f32], x: &[f32]) {
    assert_eq!(out.len(), active.len(), "out and active differ in length");
    assert_eq!(scales.len(), q.rows(), "scales and the rows of q differ in number");
    check_rows(active, q, x.len());
    dispatch!(level, s => {
        let ids = active.as_slice();
        for (a, (out, &id)) in out.iter_mut().zip(ids).enumerate() {
            prefetch_ahead(s, q, ids, a, 0);
            *out = scales[id as usize] * dot(s, q.row(id as usize), x);
        }
    })
}

#[track_caller]
fn check_shapes(q: MatRef<i8>, scales: &[f32], x: MatRef<f32>) {
    assert_eq!((q.rows(), q.cols()), (x.rows(), x.cols()), "the 8-bit and the f32 matrix differ in shape");
    assert_eq!(scales.len(), q.rows(), "scales and the rows of the matrix differ in number");
}

#[inline(always)]
fn row_scale<S: Simd>(s: S, xs: &[f32]) -> f32 {
    let (mut largest, mut poison) = (s.splat(0.0), s.splat(0.0));
    for xs in xs.chunks(S::LANES) {
        let x = s.load_partial(xs);
        let magnitude = s.from_bits(s.and(s.to_bits(x), s.splat_u32(0x7fff_ffff)));
        largest = s.max(magnitude, largest);
        // `max` passes over a NaN; zero times it, or times an infinity, stays NaN.
        poison = s.mul_add(x, s.splat(0.0), poison);
    }
    let mut lanes = [0.0f32; 16];
    s.store(largest, &mut lanes);
    let largest = lanes.into_iter().fold(0.0, f32::max);
    if s.bits(is_nan(s, poison)) != 0 {
        f32::NAN
    } else if largest == 0.0 {
        0.0
    } else {
        (largest / LARGEST).max(f32::MIN_POSITIVE)
    }
}

#[inline(always)]
fn quantise<S: Simd>(s: S, out: &mut [i8], xs: &[f32], scale: f32, round: impl Fn(S, S::F32, usize) -> S::U32) {
    if scale == 0.0 || scale.is_nan() {
        out.fill(0);
        return;
    }
    let scale = s.splat(scale);
    for (i, (out, xs)) in out.chunks_mut(S::LANES).zip(xs.chunks(S::LANES)).enumerate() {
        let codes = round(s, s.div(s.load_partial(xs), scale), i * S::LANES);
        let out: &mut [u8] = bytemuck::cast_slice_mut(out);
        if out.len() == S::LANES {
            s.store_u8(codes, out);
        } else {
            let mut bytes = [0; 16];
            s.store_u8(codes, &mut bytes);
            out.copy_from_slice(&bytes[..out.len()]);
        }
    }
}

/// `floor(y + noise / 2^16)` for `|y| <= 127` and a little, in fixed point with 16 bits: |y| 2^16 < 2^23 is held by an f32.
#[inline(always)]
fn stochastic<S: Simd>(s: S, y: S::F32, noise: S::U32) -> S::U32 {
    let fixed = s.round_to_i32(s.mul(y, s.splat(65536.0)));
    // Shifted up by 127, so that unsigned operations serve. The quotient of the largest element can exceed 127 by a rounding
    // error, which must not carry to 128.
    let shifted = s.min_u32(s.add_u32(fixed, s.splat_u32(127 << 16)), s.splat_u32(254 << 16));
    // For the same reason it can be below -127, that is: below zero here, a huge unsigned number, which `min` made 254 << 16.
    let below = s.gt(s.splat(-LARGEST), y);
    let shifted = s.select_u32(below, s.splat_u32(0), shifted);
    s.add_u32(s.shr(s.add_u32(shifted, noise), 16), s.splat_u32(-127i32 as u32))
}

/// The first `min(LANES, len)` codes as floats, then zeros.
#[inline(always)]
fn load_i8<S: Simd>(s: S, q: &[i8]) -> S::F32 {
    let q: &[u8] = bytemuck::cast_slice(q);
    let bytes = if q.len() >= S::LANES {
        s.load_u8(q)
    } else {
        let mut bytes = [0; 16];
        bytes[..q.len()].copy_from_slice(q);
        s.load_u8(&bytes)
    };
    // Flipping the sign bit of a two's complement byte adds 128 to its value.
    s.from_i32(s.add_u32(s.xor(bytes, s.splat_u32(0x80)), s.splat_u32(-128i32 as u32)))
}

#[inline(always)]
fn dequantise<S: Simd>(s: S, out: &mut [f32], q: &[i8], scale: f32) {
    for (out, q) in out.chunks_mut(S::LANES).zip(q.chunks(S::LANES)) {
        s.store_partial(s.mul(load_i8(s, q), s.splat(scale)), out);
    }
}

#[inline(always)]
fn dot<S: Simd>(s: S, q: &[i8], x: &[f32]) -> f32 {
    let mut acc = [s.splat(0.0); 4];
    let (mut qs, mut xs) = (q.chunks_exact(4 * S::LANES), x.chunks_exact(4 * S::LANES));
    for (q, x) in (&mut qs).zip(&mut xs) {
        for (i, acc) in acc.iter_mut().enumerate() {
            *acc = s.mul_add(load_i8(s, &q[i * S::LANES..][..S::LANES]), s.load(&x[i * S::LANES..]), *acc);
        }
    }
    for (q, x) in qs.remainder().chunks(S::LANES).zip(xs.remainder().chunks(S::LANES)) {
        acc[0] = s.mul_add(load_i8(s, q), s.load_partial(x), acc[0]);
    }
    s.sum(s.add(s.add(acc[0], acc[1]), s.add(acc[2], acc[3])))
}

#[cfg(test)]
mod tests;
