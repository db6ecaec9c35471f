//! AVX2 with FMA: eight lanes.

use half::bf16;
use std::arch::x86_64::*;

use super::{Sealed, Simd, detect, ops};

/// AVX2 and FMA: eight lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2(());

impl Avx2 {
    /// The token, if this CPU has `avx2` and `fma` and the system saves the registers.
    pub fn detect() -> Option<Self> {
        detect::has(&["avx2", "fma"]).then_some(Self(()))
    }
}

impl Sealed for Avx2 {}

/// A mask of the first `n` lanes.
///
/// # Safety
///
/// The CPU must have AVX2.
#[inline(always)]
unsafe fn first(n: usize) -> __m256i {
    // SAFETY: AVX2 by contract.
    unsafe { _mm256_cmpgt_epi32(_mm256_set1_epi32(n.min(8) as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)) }
}

/// The low halves of eight 32-bit lanes as eight 16-bit numbers.
///
/// # Safety
///
/// The CPU must have AVX2.
#[inline(always)]
unsafe fn low_halves(v: __m256i) -> __m128i {
    // SAFETY: AVX2 by contract. Bytes 0,1 of each lane go to the low half of their 128-bit lane, then the two are joined.
    unsafe {
        let pick = _mm256_setr_epi8(
            0, 1, 4, 5, 8, 9, 12, 13, -1, -1, -1, -1, -1, -1, -1, -1, 0, 1, 4, 5, 8, 9, 12, 13, -1, -1, -1, -1, -1, -1,
            -1, -1,
        );
        _mm256_castsi256_si128(_mm256_permute4x64_epi64::<0b1000>(_mm256_shuffle_epi8(v, pick)))
    }
}

/// # Safety
///
/// The CPU must have AVX2.
#[inline(always)]
unsafe fn gather(table: &[f32], index: __m256i) -> __m256 {
    // SAFETY: AVX2 by contract. A lane is read only where `index <= last` holds as unsigned numbers, and `last` is below
    // both the length and 2^31, so the signed 32-bit offset of the instruction is the element's own.
    unsafe {
        let Some(last) = table.len().min(1 << 31).checked_sub(1) else { return _mm256_setzero_ps() };
        let inside = _mm256_cmpeq_epi32(_mm256_min_epu32(index, _mm256_set1_epi32(last as i32)), index);
        _mm256_mask_i32gather_ps::<4>(_mm256_setzero_ps(), table.as_ptr(), index, _mm256_castsi256_ps(inside))
    }
}

impl Simd for Avx2 {
    const LANES: usize = 8;
    const REGISTERS: usize = 16;
    type F32 = __m256;
    type U32 = __m256i;
    type Mask = __m256;

    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx2,fma")]
        fn with_avx2<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        // SAFETY: `self` exists, so the CPU has both features.
        unsafe { with_avx2(f) }
    }

    ops! {
        fn splat(x: f32) -> __m256 = _mm256_set1_ps(x);
        fn load(xs: &[f32]) -> __m256 = _mm256_loadu_ps(xs[..8].as_ptr());
        // No lane of an empty slice is read, but emulators fault on its dangling address all the same.
        fn load_partial(xs: &[f32]) -> __m256 =
            if xs.is_empty() { _mm256_setzero_ps() } else { _mm256_maskload_ps(xs.as_ptr(), first(xs.len())) };
        fn store(v: __m256, out: &mut [f32]) = _mm256_storeu_ps(out[..8].as_mut_ptr(), v);
        fn store_partial(v: __m256, out: &mut [f32]) =
            if !out.is_empty() { _mm256_maskstore_ps(out.as_mut_ptr(), first(out.len()), v) };
        fn add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
        fn sub(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
        fn mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
        fn div(a: __m256, b: __m256) -> __m256 = _mm256_div_ps(a, b);
        fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
        fn max(a: __m256, b: __m256) -> __m256 = _mm256_max_ps(a, b);
        fn min(a: __m256, b: __m256) -> __m256 = _mm256_min_ps(a, b);
        fn sqrt(a: __m256) -> __m256 = _mm256_sqrt_ps(a);
        fn sum(a: __m256) -> f32 = {
            let quad = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let pair = _mm_add_ps(quad, _mm_movehl_ps(quad, quad));
            _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)))
        };
        fn gt(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_GT_OQ>(a, b);
        fn select(m: __m256, a: __m256, b: __m256) -> __m256 = _mm256_blendv_ps(b, a, m);
        fn xor_lanes(v: __m256, lanes: usize) -> __m256 = {
            let partner = _mm256_xor_si256(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(lanes as i32));
            _mm256_permutevar8x32_ps(v, partner)
        };
        fn deinterleave(a: __m256, b: __m256) -> (__m256, __m256) = {
            let even = _mm256_shuffle_ps::<0b10_00_10_00>(a, b);
            let odd = _mm256_shuffle_ps::<0b11_01_11_01>(a, b);
            let join = |v| _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(_mm256_castps_pd(v)));
            (join(even), join(odd))
        };
        fn interleave(even: __m256, odd: __m256) -> (__m256, __m256) = {
            let (low, high) = (_mm256_unpacklo_ps(even, odd), _mm256_unpackhi_ps(even, odd));
            (_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high))
        };
        fn gather(table: &[f32], index: __m256i) -> __m256 = gather(table, index);

        fn lookup(table: &[f32; 8], index: __m256i) -> __m256 =
            _mm256_permutevar8x32_ps(_mm256_loadu_ps(table.as_ptr()), index);
        fn to_bits(v: __m256) -> __m256i = _mm256_castps_si256(v);
        fn from_bits(v: __m256i) -> __m256 = _mm256_castsi256_ps(v);
        fn from_i32(v: __m256i) -> __m256 = _mm256_cvtepi32_ps(v);
        fn round_to_i32(v: __m256) -> __m256i = _mm256_cvtps_epi32(v);

        fn splat_u32(x: u32) -> __m256i = _mm256_set1_epi32(x as i32);
        fn iota() -> __m256i = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        fn load_u32(xs: &[u32]) -> __m256i = _mm256_loadu_si256(xs[..8].as_ptr().cast());
        fn store_u32(v: __m256i, out: &mut [u32]) = _mm256_storeu_si256(out[..8].as_mut_ptr().cast(), v);
        fn load_u8(xs: &[u8]) -> __m256i = _mm256_cvtepu8_epi32(_mm_loadl_epi64(xs[..8].as_ptr().cast()));
        fn store_u8(v: __m256i, out: &mut [u8]) = {
            let bytes = _mm256_and_si256(v, _mm256_set1_epi32(0xff));
            let words = _mm_packus_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256::<1>(bytes));
            _mm_storel_epi64(out[..8].as_mut_ptr().cast(), _mm_packus_epi16(words, words))
        };
        fn and(a: __m256i, b: __m256i) -> __m256i = _mm256_and_si256(a, b);
        fn or(a: __m256i, b: __m256i) -> __m256i = _mm256_or_si256(a, b);
        fn xor(a: __m256i, b: __m256i) -> __m256i = _mm256_xor_si256(a, b);
        fn add_u32(a: __m256i, b: __m256i) -> __m256i = _mm256_add_epi32(a, b);
        fn mul_u32(a: __m256i, b: __m256i) -> __m256i = _mm256_mullo_epi32(a, b);
        fn shl(v: __m256i, n: u32) -> __m256i = _mm256_sll_epi32(v, _mm_cvtsi32_si128(n as i32));
        fn shr(v: __m256i, n: u32) -> __m256i = _mm256_srl_epi32(v, _mm_cvtsi32_si128(n as i32));
        fn min_u32(a: __m256i, b: __m256i) -> __m256i = _mm256_min_epu32(a, b);
        fn eq_u32(a: __m256i, b: __m256i) -> __m256 = _mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b));
        fn select_u32(m: __m256, a: __m256i, b: __m256i) -> __m256i = _mm256_blendv_epi8(b, a, _mm256_castps_si256(m));
        fn bits(m: __m256) -> u32 = _mm256_movemask_ps(m) as u32;

        fn load_bf16(xs: &[bf16]) -> __m256 = {
            let halves = _mm256_cvtepu16_epi32(_mm_loadu_si128(xs[..8].as_ptr().cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(halves))
        };
        fn load_bf16_partial(xs: &[bf16]) -> __m256 = {
            let mut padded = [bf16::ZERO; 8];
            padded.iter_mut().zip(xs).for_each(|(to, &from)| *to = from);
            Avx2(()).load_bf16(&padded)
        };
        fn load_bf16_pair(xs: &[bf16]) -> (__m256, __m256) = {
            // One little-endian 32-bit lane holds elements 2i (low half) and 2i + 1 (high half).
            let both = _mm256_loadu_si256(xs[..16].as_ptr().cast());
            let odd = _mm256_and_si256(both, _mm256_set1_epi32(0xffff_0000_u32 as i32));
            (_mm256_castsi256_ps(_mm256_slli_epi32::<16>(both)), _mm256_castsi256_ps(odd))
        };
        fn store_bf16_bits(v: __m256i, out: &mut [bf16]) = _mm_storeu_si128(out[..8].as_mut_ptr().cast(), low_halves(v));
        fn store_bf16_bits_partial(v: __m256i, out: &mut [bf16]) = {
            let mut padded = [bf16::ZERO; 8];
            Avx2(()).store_bf16_bits(v, &mut padded);
            out.iter_mut().zip(padded).for_each(|(to, from)| *to = from);
        };
    }

    #[inline(always)]
    fn prefetch<T>(self, row: &[T]) {
        prefetch(row);
    }
}

/// Prefetches every line of `row`. SSE is part of the x86-64 baseline.
#[inline(always)]
pub(super) fn prefetch<T>(row: &[T]) {
    let start: *const i8 = row.as_ptr().cast();
    for offset in (0..size_of_val(row)).step_by(64) {
        // SAFETY: the address lies inside `row`, and a prefetch reads nothing that a program can see.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(start.add(offset)) };
    }
}
