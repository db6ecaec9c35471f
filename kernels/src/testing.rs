//! What the tests of every family share: levels, bounds and inputs.

use crate::{Level, Weight, bf16};

/// Lengths around every vector width: 0..=130.
pub fn lengths() -> impl Iterator<Item = usize> {
    0..=130
}

/// Runs `check` at every level of this machine, with the level's name in the message of any panic.
pub fn at_every_level(check: impl Fn(Level)) {
    for level in Level::available() {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(level)));
        if let Err(panic) = outcome {
            eprintln!("at level {level}:");
            std::panic::resume_unwind(panic);
        }
    }
}

/// How far a sum of `n` products, accumulated in f32 in any order, can be from the exact one:
/// `(n + 1) * eps * sum |a||b|` (each of the at most `n` additions and the product round once, by half an ulp; eps is a
/// whole one), plus `n` denormal steps for products that underflow.
pub fn sum_bound(n: usize, magnitude: f64) -> f64 {
    (n as f64 + 1.0) * f32::EPSILON as f64 * magnitude + n as f64 * f32::MIN_POSITIVE as f64
}

/// Asserts `|got - want| <= bound`, with NaN equal to NaN and an infinity to itself.
#[track_caller]
pub fn assert_within(got: f32, want: f64, bound: f64, what: impl std::fmt::Display) {
    if want.is_nan() {
        assert!(got.is_nan(), "{what}: {got} is not NaN");
    } else if want.is_infinite() {
        assert_eq!(got as f64, want, "{what}");
    } else {
        let error = (got as f64 - want).abs();
        assert!(error <= bound, "{what}: {got} is {error:e} from {want}, more than {bound:e}");
    }
}

/// `len` numbers in [-1, 1), a fixed function of `seed`.
pub fn numbers(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// `xs`, each rounded to the nearest bf16.
pub fn halves(xs: &[f32]) -> Vec<bf16> {
    xs.iter().map(|&x| bf16::from_f32(x)).collect()
}

/// A copy of `xs` that starts `offset` elements into its allocation, so that no vector load of it is aligned.
pub struct Misaligned<T>(Vec<T>, usize);

impl<T: Copy + Default> Misaligned<T> {
    pub fn new(xs: &[T], offset: usize) -> Self {
        let mut data = vec![T::default(); offset];
        data.extend_from_slice(xs);
        Self(data, offset)
    }
}

impl<T> std::ops::Deref for Misaligned<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0[self.1..]
    }
}

impl<T> std::ops::DerefMut for Misaligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0[self.1..]
    }
}

/// `weights` as f64.
pub fn exact<W: Weight>(weights: &[W]) -> Vec<f64> {
    weights.iter().map(|w| w.to_f32() as f64).collect()
}
