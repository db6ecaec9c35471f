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

use std::arch::x86_64::{__cpuid_count, _xgetbv, CpuidResult};

use super::Avx512;

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
        let absent = if !cpu_has_tiles() {
            "the CPU lacks amx-tile or amx-bf16"
        } else if !system_saves_tiles() {
            "the operating system does not save tile registers"
        } else if !permitted() {
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

/// `cpuid` became a safe function after the oldest compiler this crate is written for.
#[allow(unused_unsafe)]
fn cpuid(leaf: u32, sub_leaf: u32) -> CpuidResult {
    // SAFETY: every x86-64 CPU has the instruction.
    unsafe { __cpuid_count(leaf, sub_leaf) }
}

fn cpu_has_tiles() -> bool {
    const BF16: u32 = 1 << 22;
    const TILE: u32 = 1 << 24;
    cpuid(0, 0).eax >= 7 && cpuid(7, 0).edx & (BF16 | TILE) == BF16 | TILE
}

fn system_saves_tiles() -> bool {
    const OSXSAVE: u32 = 1 << 27;
    const TILE_STATE: u64 = 0b11 << 17;
    #[target_feature(enable = "xsave")]
    fn enabled() -> u64 {
        // SAFETY: register 0 exists wherever `xgetbv` does.
        unsafe { _xgetbv(0) }
    }
    // SAFETY: OSXSAVE says that `xgetbv` may be executed.
    cpuid(1, 0).ecx & OSXSAVE != 0 && unsafe { enabled() } & TILE_STATE == TILE_STATE
}

#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: this request reads no memory of ours; it only widens what the process may use.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}
