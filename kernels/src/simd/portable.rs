//! Portable level: eight lanes from the `wide` crate, which compiles to whatever the target has as a baseline.

use half::bf16;
use wide::{f32x8, i32x8, u32x8};

use super::{Sealed, Simd, ops};

/// Eight lanes in portable Rust. Exists everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portable(());

impl Portable {
    /// The token; every machine has this level.
    pub const TOKEN: Self = Self(());
}

impl Sealed for Portable {}

#[inline(always)]
fn array<T: Copy>(xs: &[T]) -> [T; 8] {
    xs[..8].try_into().expect("cut to eight")
}

#[inline(always)]
fn partial<T: Copy + Default>(xs: &[T]) -> [T; 8] {
    let mut out = [T::default(); 8];
    let n = xs.len().min(8);
    out[..n].copy_from_slice(&xs[..n]);
    out
}

#[inline(always)]
fn put<T: Copy>(from: [T; 8], out: &mut [T]) {
    let n = out.len().min(8);
    out[..n].copy_from_slice(&from[..n]);
}

#[inline(always)]
fn widen(xs: [bf16; 8]) -> f32x8 {
    f32x8::new(xs.map(|x| f32::from_bits((x.to_bits() as u32) << 16)))
}

/// Even and odd elements: the low and the high halves of 32-bit lanes on a little-endian machine.
#[inline(always)]
fn pair(xs: [bf16; 16]) -> (f32x8, f32x8) {
    let lanes = u32x8::new(bytemuck::cast::<[bf16; 16], [u32; 8]>(xs).map(u32::from_le));
    (f32x8::from_bits(lanes << 16_u32), f32x8::from_bits(lanes & u32x8::splat(0xffff_0000)))
}

#[inline(always)]
fn low_halves(v: u32x8) -> [bf16; 8] {
    v.to_array().map(|x| bf16::from_bits(x as u16))
}

#[inline(always)]
fn lookup(table: &[f32], index: u32x8) -> f32x8 {
    f32x8::new(index.to_array().map(|i| if i < 1 << 31 { table.get(i as usize).copied().unwrap_or(0.0) } else { 0.0 }))
}

#[inline(always)]
fn deinterleave(a: [f32; 8], b: [f32; 8]) -> (f32x8, f32x8) {
    (
        f32x8::new([a[0], a[2], a[4], a[6], b[0], b[2], b[4], b[6]]),
        f32x8::new([a[1], a[3], a[5], a[7], b[1], b[3], b[5], b[7]]),
    )
}

#[inline(always)]
fn interleave(e: [f32; 8], o: [f32; 8]) -> (f32x8, f32x8) {
    (
        f32x8::new([e[0], o[0], e[1], o[1], e[2], o[2], e[3], o[3]]),
        f32x8::new([e[4], o[4], e[5], o[5], e[6], o[6], e[7], o[7]]),
    )
}

impl Simd for Portable {
    const LANES: usize = 8;
    // Two SSE registers make one vector where AVX is not the baseline.
    const REGISTERS: usize = 8;
    type F32 = f32x8;
    type U32 = u32x8;
    type Mask = u32x8;

    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        f()
    }

    ops! {
        fn splat(x: f32) -> f32x8 = f32x8::splat(x);
        fn load(xs: &[f32]) -> f32x8 = f32x8::new(array(xs));
        fn load_partial(xs: &[f32]) -> f32x8 = f32x8::new(partial(xs));
        fn store(v: f32x8, out: &mut [f32]) = out[..8].copy_from_slice(&v.to_array());
        fn store_partial(v: f32x8, out: &mut [f32]) = put(v.to_array(), out);
        fn add(a: f32x8, b: f32x8) -> f32x8 = a + b;
        fn sub(a: f32x8, b: f32x8) -> f32x8 = a - b;
        fn mul(a: f32x8, b: f32x8) -> f32x8 = a * b;
        fn div(a: f32x8, b: f32x8) -> f32x8 = a / b;
        fn mul_add(a: f32x8, b: f32x8, c: f32x8) -> f32x8 = a.mul_add(b, c);
        fn max(a: f32x8, b: f32x8) -> f32x8 = a.simd_gt(b).select(a, b);
        fn min(a: f32x8, b: f32x8) -> f32x8 = a.simd_lt(b).select(a, b);
        fn sqrt(a: f32x8) -> f32x8 = a.sqrt();
        fn sum(a: f32x8) -> f32 = a.reduce_add();
        fn gt(a: f32x8, b: f32x8) -> u32x8 = a.simd_gt(b).to_bits();
        fn select(m: u32x8, a: f32x8, b: f32x8) -> f32x8 = f32x8::from_bits(m.bitselect(a.to_bits(), b.to_bits()));
        fn xor_lanes(v: f32x8, lanes: usize) -> f32x8 = {
            let v = v.to_array();
            f32x8::new(std::array::from_fn(|i| v[(i ^ lanes) & 7]))
        };
        fn deinterleave(a: f32x8, b: f32x8) -> (f32x8, f32x8) = deinterleave(a.to_array(), b.to_array());
        fn interleave(even: f32x8, odd: f32x8) -> (f32x8, f32x8) = interleave(even.to_array(), odd.to_array());
        fn gather(table: &[f32], index: u32x8) -> f32x8 = lookup(table, index);

        fn to_bits(v: f32x8) -> u32x8 = v.to_bits();
        fn from_bits(v: u32x8) -> f32x8 = f32x8::from_bits(v);
        fn from_i32(v: u32x8) -> f32x8 = f32x8::from_i32x8(bytemuck::cast::<u32x8, i32x8>(v));
        fn round_to_i32(v: f32x8) -> u32x8 = bytemuck::cast(v.fast_round_int());

        fn splat_u32(x: u32) -> u32x8 = u32x8::splat(x);
        fn iota() -> u32x8 = u32x8::new([0, 1, 2, 3, 4, 5, 6, 7]);
        fn load_u32(xs: &[u32]) -> u32x8 = u32x8::new(array(xs));
        fn store_u32(v: u32x8, out: &mut [u32]) = out[..8].copy_from_slice(&v.to_array());
        fn load_u8(xs: &[u8]) -> u32x8 = u32x8::new(array(xs).map(u32::from));
        fn store_u8(v: u32x8, out: &mut [u8]) = out[..8].copy_from_slice(&v.to_array().map(|x| x as u8));
        fn and(a: u32x8, b: u32x8) -> u32x8 = a & b;
        fn or(a: u32x8, b: u32x8) -> u32x8 = a | b;
        fn xor(a: u32x8, b: u32x8) -> u32x8 = a ^ b;
        fn add_u32(a: u32x8, b: u32x8) -> u32x8 = a + b;
        fn mul_u32(a: u32x8, b: u32x8) -> u32x8 = a * b;
        fn shl(v: u32x8, n: u32) -> u32x8 = v << n;
        fn shr(v: u32x8, n: u32) -> u32x8 = v >> n;
        fn min_u32(a: u32x8, b: u32x8) -> u32x8 = a.min(b);
        fn eq_u32(a: u32x8, b: u32x8) -> u32x8 = a.simd_eq(b);
        fn select_u32(m: u32x8, a: u32x8, b: u32x8) -> u32x8 = m.bitselect(a, b);
        fn bits(m: u32x8) -> u32 = m.to_bitmask();

        fn load_bf16(xs: &[bf16]) -> f32x8 = widen(array(xs));
        fn load_bf16_partial(xs: &[bf16]) -> f32x8 = widen(partial(xs));
        fn load_bf16_pair(xs: &[bf16]) -> (f32x8, f32x8) = pair(xs[..16].try_into().expect("cut to sixteen"));
        fn store_bf16_bits(v: u32x8, out: &mut [bf16]) = out[..8].copy_from_slice(&low_halves(v));
        fn store_bf16_bits_partial(v: u32x8, out: &mut [bf16]) = put(low_halves(v), out);
    }

    #[inline(always)]
    fn prefetch<T>(self, _row: &[T]) {}
}
