//! AVX-512 (f, bw, dq, vl): sixteen lanes.

use half::bf16;
use std::arch::x86_64::*;

use super::{Sealed, Simd, avx2, detect, ops};

/// AVX-512 with the f, bw, dq and vl groups: sixteen lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512(());

impl Avx512 {
    /// The token, if this CPU has the four feature groups (and FMA) and the system saves the registers.
    pub fn detect() -> Option<Self> {
        detect::has(&["avx512f", "avx512bw", "avx512dq", "avx512vl", "avx2", "fma"]).then_some(Self(()))
    }
}

impl Sealed for Avx512 {}

/// A mask of the first `n` lanes.
#[inline(always)]
fn first(n: usize) -> u16 {
    if n >= 16 { u16::MAX } else { (1u16 << n) - 1 }
}

/// # Safety
///
/// The CPU must have AVX-512 F.
#[inline(always)]
unsafe fn lanes() -> __m512i {
    // SAFETY: AVX-512 F by contract.
    unsafe { _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) }
}

/// # Safety
///
/// The CPU must have AVX-512 F.
#[inline(always)]
unsafe fn gather(table: &[f32], index: __m512i) -> __m512 {
    // SAFETY: AVX-512 F by contract. A lane is read only where `index <= last` holds as unsigned numbers, and `last` is
    // below both the length and 2^31, so the signed 32-bit offset of the instruction is the element's own.
    unsafe {
        let Some(last) = table.len().min(1 << 31).checked_sub(1) else { return _mm512_setzero_ps() };
        let inside = _mm512_cmple_epu32_mask(index, _mm512_set1_epi32(last as i32));
        _mm512_mask_i32gather_ps::<4>(_mm512_setzero_ps(), inside, index, table.as_ptr())
    }
}

impl Simd for Avx512 {
    const LANES: usize = 16;
    const REGISTERS: usize = 32;
    type F32 = __m512;
    type U32 = __m512i;
    type Mask = __mmask16;

    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        fn with_avx512<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        // SAFETY: `self` exists, so the CPU has all of these features.
        unsafe { with_avx512(f) }
    }

    ops! {
        fn splat(x: f32) -> __m512 = _mm512_set1_ps(x);
        fn load(xs: &[f32]) -> __m512 = _mm512_loadu_ps(xs[..16].as_ptr());
        fn load_partial(xs: &[f32]) -> __m512 = _mm512_maskz_loadu_ps(first(xs.len()), xs.as_ptr());
        fn store(v: __m512, out: &mut [f32]) = _mm512_storeu_ps(out[..16].as_mut_ptr(), v);
        fn store_partial(v: __m512, out: &mut [f32]) = _mm512_mask_storeu_ps(out.as_mut_ptr(), first(out.len()), v);
        fn add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        fn sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        fn mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        fn div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
        fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        fn max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
        fn min(a: __m512, b: __m512) -> __m512 = _mm512_min_ps(a, b);
        fn sqrt(a: __m512) -> __m512 = _mm512_sqrt_ps(a);
        fn sum(a: __m512) -> f32 = _mm512_reduce_add_ps(a);
        fn gt(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b);
        fn select(m: __mmask16, a: __m512, b: __m512) -> __m512 = _mm512_mask_blend_ps(m, b, a);
        fn xor_lanes(v: __m512, by: usize) -> __m512 =
            _mm512_permutexvar_ps(_mm512_xor_si512(lanes(), _mm512_set1_epi32(by as i32)), v);
        fn deinterleave(a: __m512, b: __m512) -> (__m512, __m512) = {
            let even = _mm512_slli_epi32::<1>(lanes());
            let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
            (_mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b))
        };
        fn interleave(even: __m512, odd: __m512) -> (__m512, __m512) = {
            // Index 16 + i of the two-source permutation names lane i of the second source.
            let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
            (_mm512_permutex2var_ps(even, low, odd), _mm512_permutex2var_ps(even, high, odd))
        };
        fn gather(table: &[f32], index: __m512i) -> __m512 = gather(table, index);

        fn lookup(table: &[f32; 8], index: __m512i) -> __m512 = {
            // The upper half of the widened table is not defined: no index may reach it.
            let index = _mm512_and_si512(index, _mm512_set1_epi32(7));
            _mm512_permutexvar_ps(index, _mm512_castps256_ps512(_mm256_loadu_ps(table.as_ptr())))
        };
        fn to_bits(v: __m512) -> __m512i = _mm512_castps_si512(v);
        fn from_bits(v: __m512i) -> __m512 = _mm512_castsi512_ps(v);
        fn from_i32(v: __m512i) -> __m512 = _mm512_cvtepi32_ps(v);
        fn round_to_i32(v: __m512) -> __m512i = _mm512_cvtps_epi32(v);

        fn splat_u32(x: u32) -> __m512i = _mm512_set1_epi32(x as i32);
        fn iota() -> __m512i = lanes();
        fn load_u32(xs: &[u32]) -> __m512i = _mm512_loadu_si512(xs[..16].as_ptr().cast());
        fn store_u32(v: __m512i, out: &mut [u32]) = _mm512_storeu_si512(out[..16].as_mut_ptr().cast(), v);
        fn load_u8(xs: &[u8]) -> __m512i = _mm512_cvtepu8_epi32(_mm_loadu_si128(xs[..16].as_ptr().cast()));
        fn store_u8(v: __m512i, out: &mut [u8]) =
            _mm_storeu_si128(out[..16].as_mut_ptr().cast(), _mm512_cvtepi32_epi8(v));
        fn and(a: __m512i, b: __m512i) -> __m512i = _mm512_and_si512(a, b);
        fn or(a: __m512i, b: __m512i) -> __m512i = _mm512_or_si512(a, b);
        fn xor(a: __m512i, b: __m512i) -> __m512i = _mm512_xor_si512(a, b);
        fn add_u32(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi32(a, b);
        fn mul_u32(a: __m512i, b: __m512i) -> __m512i = _mm512_mullo_epi32(a, b);
        fn shl(v: __m512i, n: u32) -> __m512i = _mm512_sll_epi32(v, _mm_cvtsi32_si128(n as i32));
        fn shr(v: __m512i, n: u32) -> __m512i = _mm512_srl_epi32(v, _mm_cvtsi32_si128(n as i32));
        fn min_u32(a: __m512i, b: __m512i) -> __m512i = _mm512_min_epu32(a, b);
        fn eq_u32(a: __m512i, b: __m512i) -> __mmask16 = _mm512_cmpeq_epi32_mask(a, b);
        fn select_u32(m: __mmask16, a: __m512i, b: __m512i) -> __m512i = _mm512_mask_blend_epi32(m, b, a);
        fn bits(m: __mmask16) -> u32 = m as u32;

        fn load_bf16(xs: &[bf16]) -> __m512 = {
            let halves = _mm512_cvtepu16_epi32(_mm256_loadu_si256(xs[..16].as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(halves))
        };
        fn load_bf16_partial(xs: &[bf16]) -> __m512 = {
            let halves = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first(xs.len()), xs.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(halves))
        };
        fn load_bf16_pair(xs: &[bf16]) -> (__m512, __m512) = {
            // One little-endian 32-bit lane holds elements 2i (low half) and 2i + 1 (high half).
            let both = _mm512_loadu_si512(xs[..32].as_ptr().cast());
            let odd = _mm512_and_si512(both, _mm512_set1_epi32(0xffff_0000_u32 as i32));
            (_mm512_castsi512_ps(_mm512_slli_epi32::<16>(both)), _mm512_castsi512_ps(odd))
        };
        fn store_bf16_bits(v: __m512i, out: &mut [bf16]) =
            _mm256_storeu_si256(out[..16].as_mut_ptr().cast(), _mm512_cvtepi32_epi16(v));
        fn store_bf16_bits_partial(v: __m512i, out: &mut [bf16]) =
            _mm256_mask_storeu_epi16(out.as_mut_ptr().cast(), first(out.len()), _mm512_cvtepi32_epi16(v));
    }

    #[inline(always)]
    fn prefetch<T>(self, row: &[T]) {
        avx2::prefetch(row);
    }
}
