//! One-vs-all logistic loss over the logits of an active set.

use super::math::{ln_1p_of_unit, sigmoid};
use crate::simd::Simd;
use crate::{Level, UniqueRowIds, dispatch};

/// Loss and gradient of independent yes-or-no decisions. `logits` and `weights` (A); a weight is 1 where not given.
/// `targets` are the positions whose answer is yes.
///
/// The loss is `sum_a weights[a] * (ln(1 + exp(z[a])) - y[a] z[a])` in nats, where `y` is 1 at `targets` and 0
/// elsewhere. `logits` becomes its gradient `weights * (sigmoid(z) - y)`. A row that was drawn with probability `pi`
/// takes weight `1 / pi`. An infinite logit on the wrong side makes the loss infinite. NaN makes it NaN.
///
/// # Panics
///
/// If lengths differ, or `targets` was checked for a set larger than this one.
///
/// ```
/// use hotrow_kernels::{Level, UniqueRowIds, reduce::sigmoid_cross_entropy};
/// let mut logits = [0.0, 0.0];
/// let targets = UniqueRowIds::new(&[1], logits.len())?;
/// let loss = sigmoid_cross_entropy(Level::detect(), &mut logits, None, targets);
/// assert!((loss - 2.0 * 2f32.ln()).abs() < 1e-6);
/// assert_eq!(logits, [0.5, -0.5]);
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[track_caller]
pub fn sigmoid_cross_entropy(level: Level, logits: &mut [f32], weights: Option<&[f32]>, targets: UniqueRowIds) -> f32 {
    let active = logits.len();
    assert!(targets.limit() <= active, "targets below {} for an active set of {active}", targets.limit());
    if let Some(weights) = weights {
        assert_eq!(weights.len(), active, "weights and logits differ in length");
    }
    // A yes with logit z costs what a no with -z costs, and its gradient is the negative one: no cancellation, no branch.
    flip(logits, targets);
    let loss = dispatch!(level, s => match weights {
        None => negatives(s, logits, #[inline(always)] |_| s.splat(1.0)),
        Some(weights) => negatives(s, logits, #[inline(always)] |at| s.load_partial(&weights[at..])),
    });
    flip(logits, targets);
    loss
}

/// Negates the numbers at `targets`.
fn flip(x: &mut [f32], targets: UniqueRowIds) {
    for &target in targets.as_slice() {
        x[target as usize] = -x[target as usize];
    }
}

/// `sum weight * ln(1 + exp(z))`; `z = weight * sigmoid(z)`.
#[inline(always)]
fn negatives<S: Simd>(s: S, z: &mut [f32], weight: impl Fn(usize) -> S::F32) -> f32 {
    let mut acc = s.splat(0.0);
    for (block, z) in z.chunks_mut(S::LANES).enumerate() {
        let weight = weight(block * S::LANES);
        // A lane past the end is -infinity, which costs nothing.
        let x = super::load_padded(s, z, f32::NEG_INFINITY);
        let p = sigmoid(s, x);
        // ln(1 + exp(x)) = max(x, 0) + ln(1 + exp(-|x|))
        let cost = s.add(s.max(s.splat(0.0), x), ln_1p_of_unit(s, p.exp));
        acc = s.add(acc, s.mul(weight, cost));
        s.store_partial(s.mul(weight, p.value), z);
    }
    s.sum(acc)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    const EPS: f64 = f32::EPSILON as f64;

    fn cost(z: f64, yes: bool) -> f64 {
        let z = if yes { -z } else { z };
        z.max(0.0) + (-z.abs()).exp().ln_1p()
    }

    fn slope(z: f64, yes: bool) -> f64 {
        if yes { -1.0 / (1.0 + z.exp()) } else { 1.0 / (1.0 + (-z).exp()) }
    }

    fn agrees(z: &[f32], weights: &[f32], targets: &[u32]) {
        let n = z.len();
        let (z, weights) = (Misaligned::new(z, 1), Misaligned::new(weights, 3));
        let yes = |a: usize| targets.contains(&(a as u32));
        let costs: Vec<f64> = (0..n).map(|a| weights[a] as f64 * cost(z[a] as f64, yes(a))).collect();
        at_every_level(|level| {
            let mut d = Misaligned::new(&z, 1);
            let loss = sigmoid_cross_entropy(level, &mut d, Some(&weights), UniqueRowIds::new(targets, n).unwrap());
            // Each cost is within 5 eps (3 ulp of the logarithm, a sum and a product); n are added up.
            let magnitude: f64 = costs.iter().map(|c| c.abs()).sum();
            let bound = sum_bound(n + 5, magnitude);
            assert_within(loss, costs.iter().sum(), bound, format_args!("loss of {n}"));
            for a in 0..n {
                let want = weights[a] as f64 * slope(z[a] as f64, yes(a));
                // 3 ulp of the logistic function (denormal steps of 1.5e-45 where it is small), half for the product.
                let denormal = 1.5e-45 * (3.0 * weights[a] as f64 + 1.0);
                assert_within(d[a], want, 4.0 * EPS * want.abs() + denormal, format_args!("gradient {a} of {n}"));
            }
        });
    }

    #[test]
    fn loss_and_gradient_agree_with_the_definition_at_every_length() {
        for n in lengths() {
            let weights: Vec<f32> = numbers(n, 4).iter().map(|w| w.abs() * 3.0).collect();
            for scale in [1.0, 30.0, 150.0] {
                let z: Vec<f32> = numbers(n, n as u64).iter().map(|z| z * scale).collect();
                let targets: Vec<u32> = (0..n as u32).step_by(7).collect();
                agrees(&z, &weights, &targets);
                agrees(&z, &weights, &[]);
            }
        }
    }

    #[test]
    fn the_reference_slope_is_that_of_the_reference_cost() {
        for i in -40..=40 {
            let z = i as f64 / 4.0 + 0.01;
            for yes in [false, true] {
                let difference = (cost(z + 1e-5, yes) - cost(z - 1e-5, yes)) / 2e-5;
                // Central differences: step^2 times a third derivative below 1, and 1e-15 / step for rounding.
                assert!((difference - slope(z, yes)).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn no_weights_means_ones_and_infinities_do_what_is_stated() {
        at_every_level(|level| {
            let (z, targets) = (numbers(37, 2), UniqueRowIds::new(&[0, 36], 37).unwrap());
            let (mut plain, mut ones) = (z.clone(), z.clone());
            let loss = sigmoid_cross_entropy(level, &mut plain, None, targets);
            assert_eq!(loss, sigmoid_cross_entropy(level, &mut ones, Some(&[1.0; 37]), targets));
            assert_eq!(plain, ones);
            let inf = f32::INFINITY;
            let of = |z: [f32; 2]| {
                let mut d = z;
                (sigmoid_cross_entropy(level, &mut d, None, UniqueRowIds::new(&[1], 2).unwrap()), d)
            };
            assert_eq!(of([-inf, inf]), (0.0, [0.0, -0.0]));
            assert_eq!(of([inf, inf]), (inf, [1.0, -0.0]));
            assert_eq!(of([-inf, -inf]), (inf, [0.0, -1.0]));
            let (loss, d) = of([f32::NAN, 0.0]);
            assert!(loss.is_nan() && d[0].is_nan());
            assert_eq!(d[1], -0.5);
        });
    }

    #[test]
    #[should_panic(expected = "targets below 5 for an active set of 4")]
    fn targets_of_a_larger_set_are_refused() {
        let targets = UniqueRowIds::new(&[], 5).unwrap();
        sigmoid_cross_entropy(Level::PORTABLE, &mut [0.0; 4], None, targets);
    }

    proptest::proptest! {
        #[test]
        fn any_numbers(z in proptest::collection::vec((-200.0f32..200.0, 0.0f32..50.0, proptest::bool::ANY), 0..300)) {
            let targets: Vec<u32> = (0..z.len() as u32).filter(|&a| z[a as usize].2).collect();
            let (z, weights): (Vec<f32>, Vec<f32>) = z.into_iter().map(|(z, w, _)| (z, w)).unzip();
            agrees(&z, &weights, &targets);
        }
    }
}
