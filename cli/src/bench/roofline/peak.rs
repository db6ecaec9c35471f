//! Loops that only multiply and add.

use std::hint::black_box;

use super::PeakRate;
use crate::bench::timing::{Contender, measure};
use hotrow::kernels::simd::{Simd, Tiles};
use hotrow::kernels::{Level, bf16, dispatch};

/// Multiply-adds of each accumulator in a call.
const STEPS: usize = 20_000;

/// The peaks of `level`: the best of three loops for its vector units, and that of its matrix unit, if it has one.
pub(super) fn of(level: Level, repeats: usize) -> Vec<PeakRate> {
    let check = dispatch!(level, s => multiply_add::<_, 4>(s, 100));
    assert_eq!(check, (4 * level.lanes()) as f32 * 2.0, "the loop settles at 2");
    let way = |accumulators: usize, call: fn(Level)| {
        let flops = 2 * accumulators * STEPS * level.lanes();
        (flops, Contender::new(accumulators.to_string(), move || call(level)))
    };
    let ways = vec![
        way(4, |level| {
            black_box(dispatch!(level, s => multiply_add::<_, 4>(s, STEPS)));
        }),
        way(8, |level| {
            black_box(dispatch!(level, s => multiply_add::<_, 8>(s, STEPS)));
        }),
        way(12, |level| {
            black_box(dispatch!(level, s => multiply_add::<_, 12>(s, STEPS)));
        }),
    ];
    let f32 = best(level, "f32", ways, repeats);
    // Without a matrix unit, a product of bf16 is one of f32.
    let bf16 = match level.tiles() {
        Some(tiles) => best(level, "bf16", vec![blocks(tiles)], repeats),
        None => PeakRate { dtype: "bf16".to_owned(), ..f32.clone() },
    };
    vec![f32, bf16]
}

/// A ceiling is the best time, not the median.
fn best(level: Level, dtype: &str, ways: Vec<(usize, Contender)>, repeats: usize) -> PeakRate {
    let (flops, contenders): (Vec<usize>, Vec<Contender>) = ways.into_iter().unzip();
    let rates = measure(contenders, repeats).into_iter().zip(flops).map(|(timing, flops)| {
        let fastest = timing.all.iter().copied().fold(f64::INFINITY, f64::min);
        flops as f64 / fastest / 1e9
    });
    PeakRate { level: level.name().to_owned(), dtype: dtype.to_owned(), gflops: rates.fold(0.0, f64::max) }
}

/// `steps` fused multiply-adds of each of `N` independent vectors, all in registers.
#[inline(always)]
fn multiply_add<S: Simd, const N: usize>(s: S, steps: usize) -> f32 {
    // The values settle at 2 and stay normal numbers.
    let (factor, summand) = (s.splat(black_box(0.5)), s.splat(black_box(1.0)));
    let mut acc = [s.splat(black_box(1.5)); N];
    for _ in 0..steps {
        for acc in &mut acc {
            *acc = s.mul_add(*acc, factor, summand);
        }
    }
    acc.into_iter().map(|acc| s.sum(acc)).sum()
}

/// Blocks of a product whose operands stay in the first-level cache.
fn blocks(tiles: Tiles) -> (usize, Contender<'static>) {
    // Eight steps of either operand are 32 KiB together. That fits the smallest first-level cache beside AMX.
    const DEPTH: usize = 8;
    const BLOCKS: usize = 500;
    let operand = vec![bf16::from_f32(0.5); DEPTH * Tiles::STEP];
    let mut c = Box::new([0.0; Tiles::SIDE * Tiles::SIDE]);
    tiles.configured(|unit| unit.tile_block(&operand, &operand, &mut c));
    assert!(c.iter().all(|&c| c == 0.25 * (DEPTH * Tiles::DEPTH) as f32), "the unit multiplies");
    let flops = BLOCKS * DEPTH * 2 * Tiles::SIDE * Tiles::SIDE * Tiles::DEPTH;
    let call = move || tiles.configured(|unit| (0..BLOCKS).for_each(|_| unit.tile_block(&operand, &operand, &mut c)));
    (flops, Contender::new("tiles", call))
}
