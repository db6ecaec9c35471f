//! Products of bf16 pairs in AVX-512 registers (`vdpbf16ps`): the work of a matrix unit on CPUs that have the instruction
//! at full rate and no tiles, used by the GEMM family only, through [`Tiles`](super::Tiles).

use std::arch::x86_64::*;
use std::sync::OnceLock;

use half::bf16;

use super::{Ahead, Avx512, Tiles, detect};

/// Rows of a block whose sums are kept in registers: 8 x 2 vectors hide the latency of 6 cycles, and leave room for
/// two vectors of the right factor.
const ROWS: usize = 8;

/// [`Avx512`] with `vdpbf16ps`, where that is faster than widening and multiplying in f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bf16Pairs(Avx512);

impl Bf16Pairs {
    /// The token, if the CPU has the instruction and gains from it.
    ///
    /// Register-only loops ran it at 231 GFLOP/s beside 116 for f32 on Zen 4, and at 79 beside 158 on Sapphire Rapids: the
    /// maker of the CPU decides. Tests use it wherever it exists.
    pub fn detect(avx512: Avx512) -> Option<Self> {
        static PAYS: OnceLock<bool> = OnceLock::new();
        let pays = || detect::has(&["avx512bf16"]) && (cfg!(test) || detect::made_by_amd());
        PAYS.get_or_init(pays).then_some(Self(avx512))
    }

    /// `c += A B` in the layout of [`Tiles`], asking for what lies `ahead` with each quarter of a step.
    ///
    /// # Safety
    ///
    /// `a` and `b` must be of one length, a multiple of [`Tiles::STEP`].
    #[inline]
    pub(super) unsafe fn block(self, a: &[bf16], b: &[bf16], c: &mut [f32; 1024], ahead: &Ahead) {
        // SAFETY: `self` exists, so the CPU has both feature groups; the lengths are as the contract says.
        unsafe { block(a, b, c, ahead) }
    }
}

/// # Safety
///
/// The CPU must have AVX-512 F and BF16; `a` and `b` must be of one length, a multiple of [`Tiles::STEP`].
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn block(a: &[bf16], b: &[bf16], c: &mut [f32; 1024], ahead: &Ahead) {
    let (mut asked, parts) = (0, a.len() / Tiles::STEP * (Tiles::SIDE / ROWS));
    for (top, c) in (0..Tiles::SIDE).step_by(ROWS).zip(c.as_chunks_mut::<{ ROWS * Tiles::SIDE }>().0) {
        let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
        for i in 0..ROWS {
            for j in 0..2 {
                // SAFETY: `c` holds ROWS rows of two vectors.
                sums[i][j] = unsafe { _mm512_loadu_ps(c.as_ptr().add(i * Tiles::SIDE + 16 * j)) };
            }
        }
        // Where row `top` stands in a step: 16 rows of 32 numbers a tile.
        let first = top * Tiles::DEPTH;
        for (a, b) in a.chunks_exact(Tiles::STEP).zip(b.chunks_exact(Tiles::STEP)) {
            let a = &a[first..first + ROWS * Tiles::DEPTH];
            ahead.ask(asked, parts);
            asked += 1;
            for pair in 0..Tiles::DEPTH / 2 {
                // SAFETY: a step of `b` is two tiles of 16 vectors of 32 numbers.
                let right = unsafe { [0, 1].map(|tile| load(b.as_ptr().add(tile * 512 + pair * 32))) };
                for i in 0..ROWS {
                    // SAFETY: row `i` of `a` is 16 pairs.
                    let left = unsafe { broadcast(a.as_ptr().add(i * Tiles::DEPTH + 2 * pair)) };
                    for j in 0..2 {
                        sums[i][j] = _mm512_dpbf16_ps(sums[i][j], left, right[j]);
                    }
                }
            }
        }
        for i in 0..ROWS {
            for j in 0..2 {
                // SAFETY: as when they were loaded.
                unsafe { _mm512_storeu_ps(c.as_mut_ptr().add(i * Tiles::SIDE + 16 * j), sums[i][j]) };
            }
        }
    }
}

/// # Safety
///
/// The CPU must have AVX-512 F; `from` must point to 32 numbers.
#[inline(always)]
unsafe fn load(from: *const bf16) -> __m512bh {
    // SAFETY: by contract; the two types differ in name only.
    unsafe { std::mem::transmute(_mm512_loadu_si512(from.cast())) }
}

/// # Safety
///
/// The CPU must have AVX-512 F; `from` must point to 2 numbers.
#[inline(always)]
unsafe fn broadcast(from: *const bf16) -> __m512bh {
    // SAFETY: by contract; the two types differ in name only.
    unsafe { std::mem::transmute(_mm512_set1_epi32(from.cast::<i32>().read_unaligned())) }
}
