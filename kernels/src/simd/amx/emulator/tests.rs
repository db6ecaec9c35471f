use super::*;
use crate::bf16;
use crate::simd::Amx;
use crate::testing::numbers;
use instruction::Address;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

fn at(base: usize, index: usize, scale: u64, displacement: i32) -> Address {
    Address { base: Some(base), index: Some(index), scale, displacement }
}

fn only(base: usize, displacement: i32) -> Address {
    Address { base: Some(base), index: None, scale: 1, displacement }
}

/// The bytes are those of the GNU assembler for the instruction beside them.
#[test]
fn every_form_of_operand_decodes_to_its_whole_length() {
    use Instruction::*;
    let cases: &[(&[u8], Instruction)] = &[
        (b"\xc4\xe2\x78\x49\x00", Configure(only(0, 0))),      // ldtilecfg [rax]
        (b"\xc4\xc2\x78\x49\x04\x24", Configure(only(12, 0))), // ldtilecfg [r12]
        (b"\xc4\xe2\x78\x49\x44\x24\x08", Configure(only(4, 8))), // ldtilecfg [rsp+8]
        (b"\xc4\xc2\x78\x49\x45\x00", Configure(only(13, 0))), // ldtilecfg [r13]
        (b"\xc4\xe2\x78\x49\xc0", Release),                    // tilerelease
        (b"\xc4\xe2\x7b\x49\xd8", Zero(3)),                    // tilezero tmm3
        (b"\xc4\xe2\x7b\x4b\x04\x37", Load(0, at(7, 6, 1, 0))), // tileloadd tmm0, [rdi+rsi]
        (b"\xc4\x82\x7b\x4b\x7c\x48\x40", Load(7, at(8, 9, 2, 64))), // tileloadd tmm7, [r8+r9*2+64]
        (b"\xc4\x82\x7b\x4b\x64\xfd\x00", Load(4, at(13, 15, 8, 0))), // tileloadd tmm4, [r13+r15*8]
        (b"\xc4\xa2\x7b\x4b\xac\x20\xc0\xf7\xff\xff", Load(5, at(0, 12, 1, -2112))), // tileloadd tmm5, [rax+r12-2112]
        (b"\xc4\xe2\x7b\x4b\x8c\x0d\x40\x08\x00\x00", Load(1, at(5, 1, 1, 2112))), // tileloadd tmm1, [rbp+rcx+2112]
        (b"\xc4\xe2\x79\x4b\x14\x93", Load(2, at(3, 2, 4, 0))), // tileloaddt1 tmm2, [rbx+rdx*4]
        (b"\xc4\xe2\x7b\x4b\x34\x24", Load(6, only(4, 0))),    // tileloadd tmm6, [rsp]
        (b"\xc4\xe2\x7a\x4b\x9c\x0a\x00\x08\x00\x00", Store(at(2, 1, 1, 2048), 3)), // tilestored [rdx+rcx+2048], tmm3
        (b"\xc4\xc2\x7a\x4b\x04\x06", Store(at(14, 0, 1, 0), 0)), // tilestored [r14+rax], tmm0
        (b"\xc4\xe2\x4a\x5c\xc4", Product { sum: 0, left: 4, right: 6 }), // tdpbf16ps tmm0, tmm4, tmm6
        (b"\xc4\xe2\x6a\x5c\xf9", Product { sum: 7, left: 1, right: 2 }), // tdpbf16ps tmm7, tmm1, tmm2
    ];
    for &(bytes, want) in cases {
        // Indexing shows that no byte behind the end is asked for.
        assert_eq!(Instruction::decode(|i| bytes[i]), Some((want, bytes.len())), "{bytes:02x?}");
    }
    let no_base = b"\xc4\xe2\x7b\x4b\x34\xb5\xe8\x03\x00\x00"; // tileloadd tmm6, [rsi*4+1000]
    let address = Address { base: None, index: Some(6), scale: 4, displacement: 1000 };
    assert_eq!(Instruction::decode(|i| no_base[i]), Some((Load(6, address), 10)));
}

#[test]
fn other_instructions_are_not_ours() {
    let cases: &[&[u8]] = &[
        b"\x0f\x0b",                     // ud2
        b"\xc4\xe2\x79\x49\x00",         // sttilecfg [rax]
        b"\xc4\xe2\x6b\x5e\xc1",         // tdpbssd tmm0, tmm1, tmm2
        b"\xc4\xe2\x6d\xb8\x08",         // vfmadd231ps ymm1, ymm2, [rax]
        b"\xc4\xe2\x78\x49\x05\0\0\0\0", // ldtilecfg [rip]
        b"\xc4\xe2\x78\x49\xc1",         // no instruction
        b"\xc4\xe2\x70\x49\xc0",         // tilerelease with a third register
        b"\xc4\x62\x7b\x49\xd8",         // tilezero tmm11
        b"\xc4\xc2\x4a\x5c\xc4",         // tdpbf16ps tmm0, tmm12, tmm6
        b"\xc4\xe2\x0a\x5c\xc4",         // tdpbf16ps tmm0, tmm4, tmm14
        b"\xc4\xe2\xca\x5c\xc4",         // W1
        b"\xc4\xe2\x4e\x5c\xc4",         // 256 bits
        b"\xc4\xe1\x4a\x5c\xc4",         // another opcode map
    ];
    for &bytes in cases {
        assert_eq!(Instruction::decode(|i| bytes[i]), None, "{bytes:02x?}");
    }
}

fn halves(len: usize, seed: u64) -> Vec<bf16> {
    numbers(len, seed).into_iter().map(bf16::from_f32).collect()
}

/// The operand of `ldtilecfg` for the tiles' (rows, column bytes).
fn configuration(shapes: &[(u8, u16)]) -> [u8; 64] {
    let mut operand = [0; 64];
    operand[0] = 1;
    for (i, &(rows, column_bytes)) in shapes.iter().enumerate() {
        operand[16 + 2 * i..][..2].copy_from_slice(&column_bytes.to_le_bytes());
        operand[48 + i] = rows;
    }
    operand
}

/// A file and the registers that its instructions address memory by.
struct Machine {
    file: TileFile,
    registers: [u64; 16],
}

impl Machine {
    const POINTER: usize = 3;
    const STRIDE: usize = 9;

    fn new() -> Self {
        Self { file: TileFile::UNCONFIGURED, registers: [0; 16] }
    }

    /// Runs `instruction`, whose memory operand is `memory` in rows of `stride` bytes.
    fn run<T>(&mut self, memory: *mut T, stride: usize, instruction: impl FnOnce(Address) -> Instruction) -> bool {
        self.registers[Self::POINTER] = memory as u64 - 64;
        self.registers[Self::STRIDE] = stride as u64 / 4;
        // SAFETY: the callers pass memory that holds the tile's rows, and tests that multiply check for FMA first.
        unsafe { self.file.execute(&instruction(at(Self::POINTER, Self::STRIDE, 4, 64)), &self.registers) }
    }

    fn configure(&mut self, mut operand: [u8; 64]) -> bool {
        self.run(&mut operand, 0, Instruction::Configure)
    }
}

#[test]
fn configurations_that_the_unit_refuses_are_refused() {
    let good = configuration(&[(16, 64), (3, 8)]);
    assert!(Machine::new().configure(good));
    for (position, value) in [(0, 2), (1, 1), (9, 1), (16, 65), (32, 1), (48, 17), (56, 1)] {
        let mut bad = good;
        bad[position] = value;
        assert!(!Machine::new().configure(bad), "byte {position} = {value}");
    }
}

#[test]
fn tiles_must_be_configured_and_agree_in_shape() {
    let product = |left, right| move |_| Instruction::Product { sum: 0, left, right };
    let mut row = [0u8; 64];
    let mut machine = Machine::new();
    assert!(!machine.run(&mut row, 64, |at| Instruction::Load(0, at)));
    assert!(!machine.run(&mut row, 64, |at| Instruction::Store(at, 0)));
    assert!(!machine.run(&mut row, 64, |_| Instruction::Zero(0)));
    assert!(!machine.run(&mut row, 64, product(1, 2)));
    assert!(machine.configure(configuration(&[(4, 16), (4, 8), (2, 16), (3, 16), (2, 12), (5, 8)])));
    if Amx::detect().is_ok() {
        assert!(machine.run(&mut row, 64, product(1, 2)));
    }
    assert!(!machine.run(&mut row, 64, product(1, 3)), "inner dimension");
    assert!(!machine.run(&mut row, 64, product(1, 4)), "columns");
    assert!(!machine.run(&mut row, 64, product(5, 2)), "rows");
    assert!(!machine.run(&mut row, 64, product(2, 2)), "the same tile twice");
    assert!(!machine.run(&mut row, 64, product(1, 7)), "unconfigured");
    assert!(machine.run(&mut row, 64, |_| Instruction::Release));
    assert!(!machine.run(&mut row, 64, |_| Instruction::Zero(0)));
}

/// Loads, multiplies and stores tiles of `rows` x `pairs` and `pairs` x `columns`; all other bytes must stay.
#[test]
fn small_tiles_touch_nothing_outside_of_their_shape() {
    if Amx::detect().is_err() {
        return;
    }
    for (rows, pairs, columns) in [(1, 1, 1), (5, 3, 7), (16, 16, 16), (16, 1, 15)] {
        let (mut a, mut b) = (halves(512, 1), halves(512, 2));
        let start = numbers(256, 3);
        let mut c = start.clone();
        let mut machine = Machine::new();
        let bytes = |n: usize| 4 * n as u16;
        let shapes = [(rows as u8, bytes(columns)), (rows as u8, bytes(pairs)), (pairs as u8, bytes(columns))];
        assert!(machine.configure(configuration(&shapes)));
        assert!(machine.run(c.as_mut_ptr(), 64, |at| Instruction::Load(0, at)));
        assert!(machine.run(a.as_mut_ptr(), 64, |at| Instruction::Load(1, at)));
        assert!(machine.run(b.as_mut_ptr(), 64, |at| Instruction::Load(2, at)));
        assert!(machine.run(&mut (), 0, |_| Instruction::Product { sum: 0, left: 1, right: 2 }));
        assert!(machine.run(c.as_mut_ptr(), 64, |at| Instruction::Store(at, 0)));
        for (i, (&got, &start)) in c.iter().zip(&start).enumerate() {
            let (row, column) = (i / 16, i % 16);
            if row >= rows || column >= columns {
                assert_eq!(got, start, "row {row}, column {column} is outside");
                continue;
            }
            // The definition: one accumulator each for even and odd, joined, then added.
            let half = |parity: usize| {
                (0..pairs).fold(0f32, |sum, p| {
                    a[row * 32 + 2 * p + parity].to_f32().mul_add(b[p * 32 + 2 * column + parity].to_f32(), sum)
                })
            };
            assert_eq!(got, start + (half(0) + half(1)), "row {row}, column {column}");
        }
    }
}

/// By the manual each fused step flushes: products just below the smallest normal number never add up to one.
#[test]
fn every_step_of_a_product_flushes_denormals() {
    if Amx::detect().is_err() {
        return;
    }
    let mut machine = Machine::new();
    let mut halves = vec![bf16::from_f32(1e-19); 512];
    let mut sums = [f32::NAN; 256];
    assert!(machine.configure(configuration(&[(16, 64); 8])));
    assert!(machine.run(halves.as_mut_ptr(), 64, |at| Instruction::Load(1, at)));
    assert!(machine.run(halves.as_mut_ptr(), 64, |at| Instruction::Load(2, at)));
    assert!(machine.run(&mut (), 0, |_| Instruction::Zero(0)));
    assert!(machine.run(&mut (), 0, |_| Instruction::Product { sum: 0, left: 1, right: 2 }));
    assert!(machine.run(sums.as_mut_ptr(), 64, |at| Instruction::Store(at, 0)));
    assert_eq!(sums, [0.0; 256]);
}

/// On a machine with the unit this compares the emulator with it, elsewhere the trap with a direct call.
#[test]
fn the_emulator_equals_what_the_level_runs_bit_for_bit() {
    let Ok(amx) = Amx::detect() else { return };
    let (a, b) = (halves(3072, 1), halves(3072, 2));
    let start: [f32; 1024] = numbers(1024, 3).try_into().unwrap();
    let mut got = start;
    crate::simd::Tiles::of(amx).configured(|unit| unit.tile_block(&a, &b, &mut got));

    let mut machine = Machine::new();
    assert!(machine.configure(configuration(&[(16, 64); 8])));
    let mut want = start;
    for (row, column) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let corner = want[row * 512 + column * 16..].as_mut_ptr();
        assert!(machine.run(corner, 128, |at| Instruction::Load(0, at)));
        for step in 0..3 {
            let tile = |xs: &[bf16], tile: usize| xs[step * 1024 + tile * 512..].as_ptr().cast_mut();
            assert!(machine.run(tile(&a, row), 64, |at| Instruction::Load(1, at)));
            assert!(machine.run(tile(&b, column), 64, |at| Instruction::Load(2, at)));
            assert!(machine.run(corner, 0, |_| Instruction::Product { sum: 0, left: 1, right: 2 }));
        }
        assert!(machine.run(corner, 128, |at| Instruction::Store(at, 0)));
    }
    assert_eq!(got.map(f32::to_bits), want.map(f32::to_bits));
}

/// Runs the test of that name again, alone, in a process whose environment says so, and returns the signal it died by.
fn signal_of_child(test: &str) -> Option<i32> {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("simd::amx::emulator::tests::{test}")])
        .env(CHILD, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    status.signal()
}

const CHILD: &str = "HOTROW_ILLEGAL_INSTRUCTION_TEST";

#[test]
fn an_illegal_instruction_still_kills_the_process() {
    if std::env::var_os(CHILD).is_none() {
        assert_eq!(signal_of_child("an_illegal_instruction_still_kills_the_process"), Some(libc::SIGILL));
        return;
    }
    assert!(install());
    // SAFETY: the process ends here, by SIGILL.
    unsafe { std::arch::asm!("ud2", options(noreturn)) }
}

#[test]
fn a_tile_instruction_outside_of_a_scope_kills_the_process() {
    let Ok(amx) = Amx::detect() else { return };
    if std::env::var_os(CHILD).is_none() {
        assert_eq!(signal_of_child("a_tile_instruction_outside_of_a_scope_kills_the_process"), Some(libc::SIGILL));
        return;
    }
    amx.configure();
    amx.release();
    let step = [bf16::ZERO; 1024];
    // SAFETY: not configured, on purpose: the process ends here, by SIGILL.
    unsafe { amx.block(&step, &step, &mut [0.0; 1024]) }
}
