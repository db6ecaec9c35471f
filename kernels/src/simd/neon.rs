//! NEON (Advanced SIMD): four lanes. Part of the aarch64 baseline that Rust builds for, detected all the same.

use half::bf16;
use std::arch::aarch64::*;

use super::{Sealed, Simd, detect, ops};

/// NEON: four lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neon(());

impl Neon {
    /// The token, if this CPU has NEON.
    pub fn detect() -> Option<Self> {
        detect::has(&["neon"]).then_some(Self(()))
    }
}

impl Sealed for Neon {}

#[inline(always)]
fn partial<T: Copy + Default>(xs: &[T]) -> [T; 4] {
    let mut out = [T::default(); 4];
    out.iter_mut().zip(xs).for_each(|(to, &from)| *to = from);
    out
}

#[inline(always)]
fn put<T: Copy>(from: [T; 4], out: &mut [T]) {
    out.iter_mut().zip(from).for_each(|(to, from)| *to = from);
}

/// # Safety
///
/// The CPU must have NEON.
#[inline(always)]
unsafe fn widen(halves: uint16x4_t) -> float32x4_t {
    // SAFETY: NEON by contract.
    unsafe { vreinterpretq_f32_u32(vshll_n_u16::<16>(halves)) }
}

/// NEON has no gather: four checked scalar loads.
///
/// # Safety
///
/// The CPU must have NEON.
#[inline(always)]
unsafe fn gather(table: &[f32], index: uint32x4_t) -> float32x4_t {
    let mut lanes = [0u32; 4];
    // SAFETY: NEON by contract; both arrays have four elements.
    unsafe {
        vst1q_u32(lanes.as_mut_ptr(), index);
        let found = lanes.map(|i| if i < 1 << 31 { table.get(i as usize).copied().unwrap_or(0.0) } else { 0.0 });
        vld1q_f32(found.as_ptr())
    }
}

impl Simd for Neon {
    const LANES: usize = 4;
    const REGISTERS: usize = 32;
    type F32 = float32x4_t;
    type U32 = uint32x4_t;
    type Mask = uint32x4_t;

    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "neon")]
        fn with_neon<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        // SAFETY: `self` exists, so the CPU has NEON.
        unsafe { with_neon(f) }
    }

    ops! {
        fn splat(x: f32) -> float32x4_t = vdupq_n_f32(x);
        fn load(xs: &[f32]) -> float32x4_t = vld1q_f32(xs[..4].as_ptr());
        fn load_partial(xs: &[f32]) -> float32x4_t = vld1q_f32(partial(xs).as_ptr());
        fn store(v: float32x4_t, out: &mut [f32]) = vst1q_f32(out[..4].as_mut_ptr(), v);
        fn store_partial(v: float32x4_t, out: &mut [f32]) = {
            let mut lanes = [0.0; 4];
            vst1q_f32(lanes.as_mut_ptr(), v);
            put(lanes, out)
        };
        fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t = vaddq_f32(a, b);
        fn sub(a: float32x4_t, b: float32x4_t) -> float32x4_t = vsubq_f32(a, b);
        fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t = vmulq_f32(a, b);
        fn div(a: float32x4_t, b: float32x4_t) -> float32x4_t = vdivq_f32(a, b);
        fn mul_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t = vfmaq_f32(c, a, b);
        fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t = vbslq_f32(vcgtq_f32(a, b), a, b);
        fn min(a: float32x4_t, b: float32x4_t) -> float32x4_t = vbslq_f32(vcltq_f32(a, b), a, b);
        fn sqrt(a: float32x4_t) -> float32x4_t = vsqrtq_f32(a);
        fn sum(a: float32x4_t) -> f32 = vaddvq_f32(a);
        fn gt(a: float32x4_t, b: float32x4_t) -> uint32x4_t = vcgtq_f32(a, b);
        fn select(m: uint32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t = vbslq_f32(m, a, b);
        fn xor_lanes(v: float32x4_t, lanes: usize) -> float32x4_t = match lanes & 3 {
            0 => v,
            1 => vrev64q_f32(v),
            2 => vextq_f32::<2>(v, v),
            _ => { let r = vrev64q_f32(v); vextq_f32::<2>(r, r) }
        };
        fn deinterleave(a: float32x4_t, b: float32x4_t) -> (float32x4_t, float32x4_t) = (vuzp1q_f32(a, b), vuzp2q_f32(a, b));
        fn interleave(even: float32x4_t, odd: float32x4_t) -> (float32x4_t, float32x4_t) =
            (vzip1q_f32(even, odd), vzip2q_f32(even, odd));
        fn gather(table: &[f32], index: uint32x4_t) -> float32x4_t = gather(table, index);

        fn to_bits(v: float32x4_t) -> uint32x4_t = vreinterpretq_u32_f32(v);
        fn from_bits(v: uint32x4_t) -> float32x4_t = vreinterpretq_f32_u32(v);
        fn from_i32(v: uint32x4_t) -> float32x4_t = vcvtq_f32_s32(vreinterpretq_s32_u32(v));
        fn round_to_i32(v: float32x4_t) -> uint32x4_t = vreinterpretq_u32_s32(vcvtnq_s32_f32(v));

        fn splat_u32(x: u32) -> uint32x4_t = vdupq_n_u32(x);
        fn iota() -> uint32x4_t = vld1q_u32([0u32, 1, 2, 3].as_ptr());
        fn load_u32(xs: &[u32]) -> uint32x4_t = vld1q_u32(xs[..4].as_ptr());
        fn store_u32(v: uint32x4_t, out: &mut [u32]) = vst1q_u32(out[..4].as_mut_ptr(), v);
        fn load_u8(xs: &[u8]) -> uint32x4_t = {
            let lanes = [xs[0] as u32, xs[1] as u32, xs[2] as u32, xs[3] as u32];
            vld1q_u32(lanes.as_ptr())
        };
        fn store_u8(v: uint32x4_t, out: &mut [u8]) = {
            let mut lanes = [0u32; 4];
            vst1q_u32(lanes.as_mut_ptr(), v);
            out[..4].copy_from_slice(&lanes.map(|x| x as u8))
        };
        fn and(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vandq_u32(a, b);
        fn or(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vorrq_u32(a, b);
        fn xor(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = veorq_u32(a, b);
        fn add_u32(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vaddq_u32(a, b);
        fn mul_u32(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vmulq_u32(a, b);
        fn shl(v: uint32x4_t, n: u32) -> uint32x4_t = vshlq_u32(v, vdupq_n_s32(n as i32));
        fn shr(v: uint32x4_t, n: u32) -> uint32x4_t = vshlq_u32(v, vdupq_n_s32(-(n as i32)));
        fn min_u32(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vminq_u32(a, b);
        fn eq_u32(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vceqq_u32(a, b);
        fn select_u32(m: uint32x4_t, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vbslq_u32(m, a, b);
        fn bits(m: uint32x4_t) -> u32 = vaddvq_u32(vandq_u32(m, vld1q_u32([1u32, 2, 4, 8].as_ptr())));

        fn load_bf16(xs: &[bf16]) -> float32x4_t = widen(vld1_u16(xs[..4].as_ptr().cast()));
        fn load_bf16_partial(xs: &[bf16]) -> float32x4_t = widen(vld1_u16(partial(xs).as_ptr().cast()));
        fn load_bf16_pair(xs: &[bf16]) -> (float32x4_t, float32x4_t) = {
            // One little-endian 32-bit lane holds elements 2i (low half) and 2i + 1 (high half).
            let both = vreinterpretq_u32_u16(vld1q_u16(xs[..8].as_ptr().cast()));
            (
                vreinterpretq_f32_u32(vshlq_n_u32::<16>(both)),
                vreinterpretq_f32_u32(vandq_u32(both, vdupq_n_u32(0xffff_0000))),
            )
        };
        fn store_bf16_bits(v: uint32x4_t, out: &mut [bf16]) = vst1_u16(out[..4].as_mut_ptr().cast(), vmovn_u32(v));
        fn store_bf16_bits_partial(v: uint32x4_t, out: &mut [bf16]) = {
            let mut lanes = [bf16::ZERO; 4];
            vst1_u16(lanes.as_mut_ptr().cast(), vmovn_u32(v));
            put(lanes, out)
        };
    }

    #[inline(always)]
    fn prefetch<T>(self, row: &[T]) {
        let start: *const u8 = row.as_ptr().cast();
        for offset in (0..size_of_val(row)).step_by(64) {
            // SAFETY: the address lies inside `row`; a prefetch hint reads nothing that a program can see.
            unsafe {
                std::arch::asm!("prfm pldl1keep, [{line}]", line = in(reg) start.add(offset), options(nostack, preserves_flags, readonly));
            }
        }
    }
}
