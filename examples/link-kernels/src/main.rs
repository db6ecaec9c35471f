//! Uses hotrow-kernels from another project: on slices, on `ndarray` and on candle tensors. Each answer is checked
//! against the same product computed by the other library.
//!
//! `cargo run --release --manifest-path examples/link-kernels/Cargo.toml`

mod candle;
mod nd;
mod slices;

use hotrow_kernels::Level;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    // Once, by whoever owns the data; every kernel takes it. `HOTROW_LEVEL` is read by the hotrow program only.
    let best = Level::detect();
    println!("best level: {best}");
    for level in Level::available() {
        slices::run(level)?;
        nd::run(level)?;
        candle::run(level)?;
        println!("{level}: slices, ndarray and candle agree");
    }
    Ok(())
}

/// How far two sums of `n` products, each accumulated in f32 in any order, can be apart: each is within
/// `(n + 1) * eps * magnitude` of the exact sum, where `magnitude` is the sum of the absolute products.
fn bound(n: usize, magnitude: f32) -> f32 {
    2.0 * (n as f32 + 1.0) * f32::EPSILON * magnitude
}

/// `len` numbers in [-1, 1), a fixed function of `seed`.
fn numbers(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let step = |_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(step).collect()
}
