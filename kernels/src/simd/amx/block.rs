//! The tile instructions: configuration and one 32 x 32 block.

use half::bf16;
use std::arch::asm;

use super::Amx;

/// The operand of `ldtilecfg`.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    column_bytes: [u16; 16],
    rows: [u8; 16],
}

/// Palette 1 has eight tiles; all are used at their full 16 rows of 64 bytes.
static FULL: Configuration = Configuration {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    column_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

impl Amx {
    /// Gives this thread eight tiles of 16 rows x 64 bytes.
    #[inline]
    pub(in super::super) fn configure(self) {
        // SAFETY: `self` exists, so the CPU has tiles and the system permits them. The operand is 64 readable bytes that
        // describe a configuration of palette 1. Nothing but this crate's assembly uses tiles, so none is in use.
        unsafe {
            asm!(
                "ldtilecfg [{configuration}]",
                configuration = in(reg) &raw const FULL,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, preserves_flags, readonly),
            );
        }
    }

    /// Returns the tiles to their initial state, so that the system need not save them.
    #[inline]
    pub(in super::super) fn release(self) {
        // SAFETY: `self` exists, so the CPU has tiles. No tile holds a value beyond the assembly block that loaded it.
        unsafe {
            asm!(
                "tilerelease",
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nomem, nostack, preserves_flags),
            );
        }
    }

    /// `c += A B` in the layout of [`Tiles`](crate::simd::Tiles).
    ///
    /// Four accumulators: each tile of `a` and of `b`, once loaded, serves two products, so that a step costs four loads
    /// of 8 cycles beside four products of 16. A load stands right before the first product that needs it, and every
    /// product is independent of the one before.
    ///
    /// # Safety
    ///
    /// This thread is between [`Amx::configure`] and [`Amx::release`], and `a` and `b` have the same length, a multiple of
    /// 1024.
    #[inline]
    pub(in super::super) unsafe fn block(self, a: &[bf16], b: &[bf16], c: &mut [f32; 1024]) {
        let steps = a.len() / 1024;
        if steps == 0 {
            return;
        }
        // SAFETY: `self` exists, so the CPU has tiles and bf16 products; the configuration is there by contract. A step
        // reads 2 x 16 rows of 64 bytes = 1024 numbers from `a` and from `b` each, and both hold `steps` of them. A tile of
        // `c` is 16 rows of 64 bytes, 128 bytes apart, the last at byte offset 2048 + 64 + 15 * 128 = 4032 of 4096.
        unsafe {
            asm!(
                "tileloadd tmm0, [{c} + {c_stride}]",
                "tileloadd tmm1, [{c} + {c_stride} + 64]",
                "tileloadd tmm2, [{c} + {c_stride} + 2048]",
                "tileloadd tmm3, [{c} + {c_stride} + 2112]",
                "2:",
                "tileloadd tmm6, [{b} + {stride}]",
                "tileloadd tmm4, [{a} + {stride}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {stride} + 1024]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{a} + {stride} + 1024]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a}, 2048",
                "add {b}, 2048",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{c} + {c_stride}], tmm0",
                "tilestored [{c} + {c_stride} + 64], tmm1",
                "tilestored [{c} + {c_stride} + 2048], tmm2",
                "tilestored [{c} + {c_stride} + 2112], tmm3",
                a = inout(reg) a.as_ptr() => _,
                b = inout(reg) b.as_ptr() => _,
                c = in(reg) c.as_mut_ptr(),
                steps = inout(reg) steps => _,
                stride = in(reg) 64usize,
                c_stride = in(reg) 128usize,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }
}
