//! What this machine has: the only place that asks the CPU and the operating system.
//!
//! An instruction set counts if the CPU has it and the system saves its registers. On x86-64 the crate `cpufeatures` asks for
//! those that it knows. CPUID and XCR0 tell the others. The crate knows no vectors of aarch64, so std asks there.

type InstructionSet = (&'static str, fn() -> bool);

/// The instruction sets that vectors and tiles may need, by Rust's names, and whether this machine has them.
///
/// ```
/// for (name, present) in hotrow_kernels::simd::instruction_sets() {
///     println!("{name}: {present}");
/// }
/// ```
pub fn instruction_sets() -> impl Iterator<Item = (&'static str, bool)> {
    ALL.iter().map(|(name, present)| (*name, present()))
}

/// Whether this machine has all of these.
///
/// # Panics
///
/// If one is not in the list.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) fn has(names: &[&str]) -> bool {
    names.iter().all(|name| ALL.iter().find(|(known, _)| known == name).expect("a name of the list").1())
}

#[cfg(target_arch = "aarch64")]
const ALL: &[InstructionSet] = &[("neon", || std::arch::is_aarch64_feature_detected!("neon"))];

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ALL: &[InstructionSet] = &[];

#[cfg(target_arch = "x86_64")]
pub(super) use x86::*;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__cpuid_count, _xgetbv, CpuidResult};

    use super::InstructionSet;

    macro_rules! known {
        ($name:tt) => {{
            cpufeatures::new!(found, $name);
            ($name, found::get)
        }};
    }

    pub const ALL: &[InstructionSet] = &[
        known!("avx"),
        known!("avx2"),
        known!("fma"),
        known!("avx512f"),
        known!("avx512bw"),
        known!("avx512dq"),
        known!("avx512vl"),
        ("f16c", || bit(cpuid(1, 0).ecx, 29) && saves(YMM)),
        ("avxvnni", || bit(cpuid(7, 1).eax, 4) && saves(YMM)),
        ("avx512vnni", || bit(cpuid(7, 0).ecx, 11) && saves(ZMM)),
        ("avx512bf16", || bit(cpuid(7, 1).eax, 5) && saves(ZMM)),
        ("avx512fp16", || bit(cpuid(7, 0).edx, 23) && saves(ZMM)),
        ("amx-tile", || bit(cpuid(7, 0).edx, 24) && saves(TILES)),
        ("amx-bf16", || bit(cpuid(7, 0).edx, 22) && saves(TILES)),
    ];

    /// Bits of XCR0: SSE and AVX; with them masks and both upper parts of AVX-512; tiles and their shape.
    const YMM: u64 = 0b110;
    const ZMM: u64 = YMM | 0b111 << 5;
    const TILES: u64 = 0b11 << 17;

    fn bit(register: u32, bit: u32) -> bool {
        register >> bit & 1 == 1
    }

    /// A sub-leaf of CPUID; zeros if the CPU does not have it, where the instruction may answer with another one.
    fn cpuid(leaf: u32, sub_leaf: u32) -> CpuidResult {
        // `__cpuid_count` became a safe function after the oldest compiler that this crate is written for.
        #[allow(unused_unsafe)]
        // SAFETY: every x86-64 CPU has the instruction.
        let ask = |leaf, sub_leaf| unsafe { __cpuid_count(leaf, sub_leaf) };
        if leaf <= ask(0, 0).eax && (sub_leaf == 0 || sub_leaf <= ask(leaf, 0).eax) {
            ask(leaf, sub_leaf)
        } else {
            CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 }
        }
    }

    /// Whether the operating system saves these registers when it switches programs.
    fn saves(registers: u64) -> bool {
        #[target_feature(enable = "xsave")]
        fn xcr0() -> u64 {
            // SAFETY: register 0 exists wherever `xgetbv` does.
            unsafe { _xgetbv(0) }
        }
        let may_ask = bit(cpuid(1, 0).ecx, 27);
        // SAFETY: the bit, OSXSAVE, says that `xgetbv` may be executed.
        may_ask && unsafe { xcr0() } & registers == registers
    }

    /// Whether the CPU has tiles for bf16, whatever the system does with them.
    pub fn cpu_has_tiles() -> bool {
        let features = cpuid(7, 0).edx;
        bit(features, 24) && bit(features, 22)
    }

    /// Asks for permission to use tiles, which Linux gives once per process. A second request changes nothing.
    #[cfg(target_os = "linux")]
    pub fn tiles_permitted() -> bool {
        const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
        const XFEATURE_XTILEDATA: libc::c_long = 18;
        // SAFETY: this request reads no memory of ours; it only widens what the process may use.
        unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
    }

    #[cfg(not(target_os = "linux"))]
    pub fn tiles_permitted() -> bool {
        false
    }

    pub fn made_by_amd() -> bool {
        let maker = cpuid(0, 0);
        [maker.ebx, maker.edx, maker.ecx].map(u32::to_le_bytes).concat() == b"AuthenticAMD"
    }

    #[cfg(test)]
    mod tests {
        use super::{super::instruction_sets, *};

        #[test]
        fn detection_agrees_with_the_standard_library() {
            macro_rules! by_std {
                ($($name:tt)*) => { [$(($name, is_x86_feature_detected!($name))),*] };
            }
            let by_std = by_std!("avx" "avx2" "fma" "avx512f" "avx512bw" "avx512dq" "avx512vl" "f16c" "avxvnni"
                "avx512vnni" "avx512bf16" "avx512fp16");
            // Stable Rust does not detect AMX.
            let ours: Vec<_> = instruction_sets().filter(|(name, _)| !name.starts_with("amx")).collect();
            assert_eq!(ours, by_std);
        }

        /// Linux lists what the CPU has and the system saves. An emulator shows programs the list of its host.
        #[test]
        fn detection_agrees_with_linux() {
            let Ok(text) = std::fs::read_to_string("/proc/cpuinfo") else { return };
            let field = |name| text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(": "));
            if field("model name").map(str::trim) != Some(model_name().trim()) {
                return println!("/proc/cpuinfo describes another CPU");
            }
            let flags: Vec<_> = field("flags").unwrap().split(' ').collect();
            for (name, present) in instruction_sets() {
                let flag = match name {
                    "avxvnni" => "avx_vnni",
                    "avx512vnni" => "avx512_vnni",
                    "avx512bf16" => "avx512_bf16",
                    "avx512fp16" => "avx512_fp16",
                    "amx-tile" => "amx_tile",
                    "amx-bf16" => "amx_bf16",
                    same => same,
                };
                assert_eq!(present, flags.contains(&flag), "{name}");
            }
        }

        /// As the CPU gives it.
        fn model_name() -> String {
            #[allow(unused_unsafe)]
            // SAFETY: every x86-64 CPU has the instruction.
            let leaves = (0x8000_0002..=0x8000_0004).map(|leaf| unsafe { __cpuid_count(leaf, 0) });
            let bytes: Vec<u8> = leaves.flat_map(|r| [r.eax, r.ebx, r.ecx, r.edx]).flat_map(u32::to_le_bytes).collect();
            String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned()
        }
    }
}
