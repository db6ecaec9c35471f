//! Log-sum-exp, softmax and its cross-entropy over the logits of an active set.
//!
//! `log_weights[a]` is *added* to logit `a` before anything else. A row that was drawn with probability `pi` takes
//! `-ln pi`, so that the sum of exponentials estimates that of all rows (sampled softmax: Bengio and Senecal 2008).

use crate::simd::Simd;
use crate::{Level, MatMut, RowIds, dispatch};

use super::math::{exp, ln_scalar};
use super::sums::{fold, max_of};
use super::{load_padded, map};

/// What [`softmax_cross_entropy`] returns.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CrossEntropy {
    /// `sum_t target_weights[t] * (log_z - z[targets[t]])`, in nats.
    pub loss: f32,
    /// The logarithm of the sum of exponentials that the softmax divided by.
    pub log_z: f32,
}

/// `ln sum_a exp(logits[a] + log_weights[a])`: `logits` and `log_weights` (A).
///
/// It is -infinity for an empty set or one of -infinities only, infinity if a term is infinite, and NaN if one is NaN.
/// Otherwise it is within `(A + 3 m + 6) * eps` and 3 eps of itself, where `m` is the largest `|logit| + |log_weight|`.
///
/// # Panics
///
/// If the lengths differ.
///
/// ```
/// use hotrow_kernels::{Level, reduce::log_sum_exp};
/// let level = Level::detect();
/// assert!((log_sum_exp(level, &[1000.0, 1000.0], None) - (1000.0 + 2f32.ln())).abs() < 1e-3);
/// // One row drawn with probability 1/8 stands for eight.
/// assert!((log_sum_exp(level, &[0.0], Some(&[8f32.ln()])) - 8f32.ln()).abs() < 1e-6);
/// assert_eq!(log_sum_exp(level, &[], None), f32::NEG_INFINITY);
/// ```
#[track_caller]
pub fn log_sum_exp(level: Level, logits: &[f32], log_weights: Option<&[f32]>) -> f32 {
    check(logits, log_weights);
    dispatch!(level, s => {
        let max = max_of(s, logits, log_weights);
        let shift = s.splat(max);
        let acc = fold(
            s,
            logits,
            log_weights,
            s.splat(0.0),
            #[inline(always)]
            |acc, z| s.add(acc, exp(s, s.sub(z, shift))),
        );
        log_z(s, max, s.sum(s.add(s.add(acc[0], acc[1]), s.add(acc[2], acc[3]))))
    })
}

/// `z = softmax(logits + log_weights)` in place of `logits` (A); returns the log-sum-exp that it divided by.
///
/// Probabilities are within `(A + 3 m + 6) * eps` of themselves, where `m` is the largest `|logit| + |log_weight|`.
/// A -infinity among numbers has probability 0. NaN, an infinite logit, or a set of -infinities only makes every
/// probability NaN.
///
/// # Panics
///
/// If the lengths differ.
///
/// ```
/// use hotrow_kernels::{Level, reduce::softmax};
/// let mut z = [0.0, f32::NEG_INFINITY, 0.0, 0.0];
/// let log_z = softmax(Level::detect(), &mut z, None);
/// assert!((log_z - 3f32.ln()).abs() < 1e-6 && (z[0] - 1.0 / 3.0).abs() < 1e-6);
/// assert_eq!(z[1], 0.0);
/// ```
#[track_caller]
pub fn softmax(level: Level, logits: &mut [f32], log_weights: Option<&[f32]>) -> f32 {
    check(logits, log_weights);
    dispatch!(level, s => {
        let max = add_and_max(s, logits, log_weights);
        let sum = exponentials(s, logits, max);
        scale(s, logits, 1.0 / sum);
        log_z(s, max, sum)
    })
}

/// Loss and gradient of a softmax over an active set. `logits` and `log_weights` (A), `targets` (T) positions in the
/// set, `target_weights` (T), each `1 / T` where not given.
///
/// With `z = logits + log_weights`, the loss is `sum_t target_weights[t] * (log_z - z[targets[t]])`. `logits` becomes
/// its gradient `sum(target_weights) * softmax(z) - sum_t target_weights[t] * e(targets[t])`. Duplicates among the
/// targets add up. Without targets both loss and gradient are 0. NaN and infinities are treated as in [`softmax`].
///
/// # Panics
///
/// If lengths differ, or `targets` was checked for a set larger than this one.
///
/// ```
/// use hotrow_kernels::{Level, RowIds, reduce::softmax_cross_entropy};
/// let mut logits = [0.0, 0.0];
/// let targets = RowIds::new(&[1], logits.len())?;
/// let out = softmax_cross_entropy(Level::detect(), &mut logits, None, targets, None);
/// assert!((out.loss - 2f32.ln()).abs() < 1e-6);
/// assert_eq!(logits, [0.5, -0.5]);
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[track_caller]
pub fn softmax_cross_entropy(
    level: Level,
    logits: &mut [f32],
    log_weights: Option<&[f32]>,
    targets: RowIds,
    target_weights: Option<&[f32]>,
) -> CrossEntropy {
    check(logits, log_weights);
    check_targets(logits.len(), targets);
    if let Some(weights) = target_weights {
        assert_eq!(weights.len(), targets.len(), "target_weights and targets differ in length");
    }
    dispatch!(level, s => cross_entropy(s, logits, log_weights, targets.as_slice(), target_weights))
}

/// [`softmax_cross_entropy`] of each row of `logits` (B, A) with its own `targets` (B), which share a weight of one.
/// All rows share `log_weights` (A). `out` (B).
///
/// # Panics
///
/// If shapes differ, or targets were checked for a set larger than this one.
///
/// ```
/// use hotrow_kernels::{Level, MatMut, RowIds, reduce::{CrossEntropy, softmax_cross_entropy_batch}};
/// let mut logits = [0.0; 4];
/// let targets = [RowIds::new(&[1], 2)?, RowIds::new(&[], 2)?];
/// let mut out = [CrossEntropy::default(); 2];
/// softmax_cross_entropy_batch(Level::detect(), MatMut::new(&mut logits, 2, 2), None, &targets, &mut out);
/// assert_eq!(logits, [0.5, -0.5, 0.0, 0.0]);
/// assert_eq!(out[1].loss, 0.0);
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[track_caller]
pub fn softmax_cross_entropy_batch(
    level: Level,
    mut logits: MatMut<f32>,
    log_weights: Option<&[f32]>,
    targets: &[RowIds],
    out: &mut [CrossEntropy],
) {
    assert_eq!(targets.len(), logits.rows(), "targets and the rows of logits differ in number");
    assert_eq!(out.len(), logits.rows(), "out and the rows of logits differ in number");
    if let Some(weights) = log_weights {
        assert_eq!(weights.len(), logits.cols(), "log_weights and the rows of logits differ in length");
    }
    for &targets in targets {
        check_targets(logits.cols(), targets);
    }
    dispatch!(level, s => for (r, (targets, out)) in targets.iter().zip(out).enumerate() {
        *out = cross_entropy(s, logits.row_mut(r), log_weights, targets.as_slice(), None);
    })
}

#[track_caller]
fn check(logits: &[f32], log_weights: Option<&[f32]>) {
    if let Some(weights) = log_weights {
        assert_eq!(weights.len(), logits.len(), "log_weights and logits differ in length");
    }
}

#[track_caller]
fn check_targets(active: usize, targets: RowIds) {
    assert!(targets.limit() <= active, "targets below {} for an active set of {active}", targets.limit());
}

#[inline(always)]
fn cross_entropy<S: Simd>(
    s: S,
    z: &mut [f32],
    log_weights: Option<&[f32]>,
    targets: &[u32],
    target_weights: Option<&[f32]>,
) -> CrossEntropy {
    let max = add_and_max(s, z, log_weights);
    let uniform = 1.0 / targets.len() as f32;
    let weight = |t: usize| target_weights.map_or(uniform, |weights| weights[t]);
    // Relative to the maximum, so that large logits do not cancel in the loss.
    let (mut total, mut below_max) = (0.0, 0.0);
    for (t, &target) in targets.iter().enumerate() {
        total += weight(t);
        below_max += weight(t) * (max - z[target as usize]);
    }
    let sum = exponentials(s, z, max);
    let log_z = log_z(s, max, sum);
    if targets.is_empty() {
        z.fill(0.0);
        return CrossEntropy { loss: 0.0, log_z };
    }
    scale(s, z, total / sum);
    for (t, &target) in targets.iter().enumerate() {
        z[target as usize] -= weight(t);
    }
    CrossEntropy { loss: total * ln_scalar(s, sum) + below_max, log_z }
}

/// `z += log_weights`; the largest of `z`.
#[inline(always)]
fn add_and_max<S: Simd>(s: S, z: &mut [f32], log_weights: Option<&[f32]>) -> f32 {
    if let Some(weights) = log_weights {
        let (mut z, mut weights) = (z.chunks_exact_mut(S::LANES), weights.chunks_exact(S::LANES));
        for (z, weights) in (&mut z).zip(&mut weights) {
            s.store(s.add(s.load(z), s.load(weights)), z);
        }
        let (z, weights) = (z.into_remainder(), weights.remainder());
        s.store_partial(s.add(s.load_partial(z), s.load_partial(weights)), z);
    }
    max_of(s, z, None)
}

/// `z = exp(z - max)` and its sum.
#[inline(always)]
fn exponentials<S: Simd>(s: S, z: &mut [f32], max: f32) -> f32 {
    let (max, mut acc) = (s.splat(max), s.splat(0.0));
    let mut whole = z.chunks_exact_mut(S::LANES);
    for z in &mut whole {
        let e = exp(s, s.sub(s.load(z), max));
        acc = s.add(acc, e);
        s.store(e, z);
    }
    let tail = whole.into_remainder();
    if !tail.is_empty() {
        let e = exp(s, s.sub(load_padded(s, tail, f32::NEG_INFINITY), max));
        acc = s.add(acc, e);
        s.store_partial(e, tail);
    }
    s.sum(acc)
}

#[inline(always)]
fn scale<S: Simd>(s: S, z: &mut [f32], factor: f32) {
    let factor = s.splat(factor);
    map(
        s,
        z,
        #[inline(always)]
        |z| s.mul(z, factor),
    );
}

/// `max + ln sum`, where an infinite maximum is the answer already and leaves NaN in the sum.
#[inline(always)]
fn log_z<S: Simd>(s: S, max: f32, sum: f32) -> f32 {
    if max.is_infinite() { max } else { max + ln_scalar(s, sum) }
}

#[cfg(test)]
mod tests;
