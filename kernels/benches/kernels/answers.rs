//! What a right answer is.

use hotrow_kernels::Weight;

/// Asserts that `got` is the sum of `terms`, each an exact product, up to the error of any order of additions in f32:
/// `(n + 1) * eps * sum |a||b|`, since each of the at most `n` additions and the product round once.
#[track_caller]
pub fn sum_is(got: f32, terms: impl Iterator<Item = f64>) {
    let (mut n, mut want, mut magnitude) = (0, 0.0, 0.0);
    for term in terms {
        (n, want, magnitude) = (n + 1, want + term, magnitude + term.abs());
    }
    let bound = (n + 1) as f64 * f32::EPSILON as f64 * magnitude;
    assert!((got as f64 - want).abs() <= bound, "{got} is not {want}, the sum of {n} products");
}

/// `a * b` without rounding.
pub fn product<A: Weight, B: Weight>((a, b): (&A, &B)) -> f64 {
    a.to_f32() as f64 * b.to_f32() as f64
}
