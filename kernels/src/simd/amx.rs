//! The AMX tile unit: AVX-512 plus 16 x 64-byte tiles and `tdpbf16ps`, used by the GEMM family only, through
//! [`Tiles`](super::Tiles).
//!
//! The intrinsics are not stable; inline assembly is. Where the CPU has no such unit, tests run the same instructions
//! in an emulator, see `emulator.rs`.

mod block;

#[cfg(all(target_os = "linux", any(test, feature = "amx-emulator")))]
mod emulator;

/// Ordinary builds have no emulator.
#[cfg(not(all(target_os = "linux", any(test, feature = "amx-emulator"))))]
mod emulator {
    pub fn install() -> bool {
        false
    }
}

use super::{Avx512, detect};

/// [`Avx512`] and AMX (`amx-tile`, `amx-bf16`), with the operating system's permission to use tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amx {
    avx512: Avx512,
    emulated: bool,
}

impl Amx {
    /// The token, or what is missing: an instruction group, or the system's permission for tile data, which Linux grants
    /// once per process through `arch_prctl` (a second request changes nothing).
    ///
    /// The real unit wins over the emulator. A unit that the system withholds is not emulated: its `ldtilecfg` runs, so
    /// that the emulator would see only half of the instructions.
    pub fn detect() -> Result<Self, &'static str> {
        let avx512 = Avx512::detect().ok_or("the avx512 level, on which it builds, is absent")?;
        let absent = if !detect::cpu_has_tiles() {
            "the CPU lacks amx-tile or amx-bf16"
        } else if !detect::has(&["amx-tile", "amx-bf16"]) {
            "the operating system does not save tile registers"
        } else if !detect::tiles_permitted() {
            return Err("the kernel refused the tile data permission (arch_prctl)");
        } else {
            return Ok(Self { avx512, emulated: false });
        };
        if emulator::install() { Ok(Self { avx512, emulated: true }) } else { Err(absent) }
    }

    /// The vector instructions that come with every AMX machine.
    pub fn avx512(self) -> Avx512 {
        self.avx512
    }

    /// Whether tile instructions are emulated, for tests only, so that timing them would mean nothing.
    pub fn is_emulated(self) -> bool {
        self.emulated
    }
}
