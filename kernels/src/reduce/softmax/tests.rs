use super::*;
use crate::testing::*;

const EPS: f64 = f32::EPSILON as f64;

/// The definitions in f64.
mod reference {
    pub fn log_sum_exp(z: &[f64]) -> f64 {
        let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if max.is_infinite() { max } else { max + z.iter().map(|z| (z - max).exp()).sum::<f64>().ln() }
    }

    pub fn loss(z: &[f64], targets: &[u32], weights: &[f64]) -> f64 {
        let log_z = log_sum_exp(z);
        targets.iter().zip(weights).map(|(&t, w)| w * (log_z - z[t as usize])).sum()
    }

    pub fn gradient(z: &[f64], targets: &[u32], weights: &[f64]) -> Vec<f64> {
        let (log_z, total) = (log_sum_exp(z), weights.iter().sum::<f64>());
        let mut gradient: Vec<f64> = z.iter().map(|z| total * (z - log_z).exp()).collect();
        for (&t, w) in targets.iter().zip(weights) {
            gradient[t as usize] -= w;
        }
        gradient
    }
}

/// Largest magnitude of what the kernel shifts by or adds up before the exponential.
fn magnitude(logits: &[f32], weights: &[f32]) -> f64 {
    logits.iter().zip(weights).map(|(&z, &w)| (z as f64).abs() + (w as f64).abs()).fold(0.0, f64::max)
}

/// How far a probability can be from the exact one, relative to itself: adding the log-weight and subtracting the maximum
/// round by at most 1.5 eps of the magnitudes together, for the term and for the terms of the sum; each exponential by
/// 1.5 ulp; the sum of `n` positive terms by `n * eps`; reciprocal and product by eps. The factor 1.1 covers the second
/// order, and below the least normal number one denormal step is lost.
fn relative_bound(n: usize, magnitude: f64) -> f64 {
    1.1 * EPS * (n as f64 + 3.0 * magnitude + 6.0)
}

fn check_all(n: usize, scale: f32, targets: &[u32], target_weights: Option<&[f32]>, seed: u64) {
    let logits: Vec<f32> = numbers(n, seed).iter().map(|x| x * scale).collect();
    let logits = Misaligned::new(&logits, 1);
    let log_weights = Misaligned::new(&numbers(n, seed + 1), 3);
    let z: Vec<f64> = logits.iter().zip(log_weights.iter()).map(|(&z, &w)| z as f64 + w as f64).collect();
    let relative = relative_bound(n, magnitude(&logits, &log_weights));
    let log_z = reference::log_sum_exp(&z);
    let uniform = vec![1.0 / targets.len() as f32; targets.len()];
    let weights: Vec<f64> = exact(target_weights.unwrap_or(&uniform));
    let total: f64 = weights.iter().map(|w| w.abs()).sum();
    // The logarithm turns the sum's relative error into an absolute one; it and the final sum round once more.
    let log_bound = relative + 3.0 * EPS * log_z.abs();
    at_every_level(|level| {
        if n == 0 {
            assert_eq!(softmax(level, &mut [], Some(&[])), f32::NEG_INFINITY);
            assert_eq!(log_sum_exp(level, &[], Some(&[])), f32::NEG_INFINITY);
            return;
        }
        assert_within(log_sum_exp(level, &logits, Some(&log_weights)), log_z, log_bound, format_args!("lse {n}"));

        let mut p = Misaligned::new(&logits, 1);
        assert_within(softmax(level, &mut p, Some(&log_weights)), log_z, log_bound, format_args!("log Z {n}"));
        for (a, (&p, z)) in p.iter().zip(&z).enumerate() {
            let want = (z - log_z).exp();
            assert_within(p, want, relative * want + 2e-45, format_args!("softmax {a} of {n}"));
        }

        let mut d = Misaligned::new(&logits, 1);
        let ids = RowIds::new(targets, n).unwrap();
        let out = softmax_cross_entropy(level, &mut d, Some(&log_weights), ids, target_weights);
        // The weights' sum of T terms and the weighted distances to the maximum round by T + 4 eps of their magnitudes.
        let distance = 2.0 * magnitude(&logits, &log_weights) + (n as f64).ln() + 1.0;
        let target_bound = (targets.len() as f64 + 4.0) * EPS * total;
        let want = reference::loss(&z, targets, &weights);
        assert_within(out.loss, want, total * log_bound + target_bound * distance, format_args!("loss {n}"));
        assert_within(out.log_z, log_z, log_bound, format_args!("log Z {n}"));
        for (a, (&got, want)) in d.iter().zip(reference::gradient(&z, targets, &weights)).enumerate() {
            let p = total * (z[a] - log_z).exp();
            assert_within(got, want, relative * p + target_bound + 2e-45, format_args!("gradient {a} of {n}"));
        }
    });
}

#[test]
fn softmax_and_its_loss_agree_with_the_definition_at_every_length() {
    for n in lengths() {
        check_all(n, 10.0, &[], None, n as u64);
        if n > 0 {
            let last = n as u32 - 1;
            check_all(n, 10.0, &[last], None, n as u64);
            check_all(n, 80.0, &[0, last / 2, last, last], None, n as u64);
            check_all(n, 1.0, &[last, 0], Some(&[0.25, 1.5]), n as u64);
        }
    }
}

#[test]
fn the_reference_gradient_is_the_slope_of_the_reference_loss() {
    let (z, targets, weights) = (exact(&numbers(9, 3)), [4, 0, 4], [0.5, 1.0, 0.25]);
    let gradient = reference::gradient(&z, &targets, &weights);
    for a in 0..z.len() {
        let at = |step: f64| {
            let mut z = z.clone();
            z[a] += step;
            reference::loss(&z, &targets, &weights)
        };
        // Central differences: step^2 times a third derivative below 1, and rounding 1e-16 * |loss| / step.
        let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
        assert!((slope - gradient[a]).abs() < 1e-9, "{a}: {slope} is not {}", gradient[a]);
    }
}

#[test]
fn no_log_weights_means_zeros_and_a_shift_of_all_logits_changes_the_log_sum_only() {
    for n in [1, 7, 16, 33, 130] {
        // Multiples of 1/64 below 16: the shift by 8 is exact, so the same differences are taken and the bits are equal.
        let logits: Vec<f32> = numbers(n, 5).iter().map(|x| (x * 512.0).round() / 64.0).collect();
        let shifted: Vec<f32> = logits.iter().map(|z| z + 8.0).collect();
        at_every_level(|level| {
            let (mut plain, mut zeros, mut moved) = (logits.clone(), logits.clone(), shifted.clone());
            let log_z = softmax(level, &mut plain, None);
            assert_eq!(log_z, softmax(level, &mut zeros, Some(&vec![0.0; n])));
            assert_eq!(log_z, log_sum_exp(level, &logits, None));
            let moved_log_z = softmax(level, &mut moved, None);
            assert_eq!((&plain, &plain), (&zeros, &moved));
            // One rounding of a sum below 32 each.
            assert_within(moved_log_z, log_z as f64 + 8.0, 32.0 * EPS, "shifted");
        });
    }
}

#[test]
fn a_batch_is_its_rows() {
    let (rows, n, stride) = (3, 37, 40);
    let logits = numbers(rows * stride, 8);
    let log_weights = numbers(n, 9);
    let lists: [&[u32]; 3] = [&[3], &[], &[36, 0, 3]];
    let targets = lists.map(|list| RowIds::new(list, n).unwrap());
    at_every_level(|level| {
        let mut batch = logits.clone();
        let mut out = [CrossEntropy::default(); 3];
        let matrix = MatMut::with_stride(&mut batch, rows, n, stride);
        softmax_cross_entropy_batch(level, matrix, Some(&log_weights), &targets, &mut out);
        for r in 0..rows {
            let mut row = logits[r * stride..][..stride].to_vec();
            let want = softmax_cross_entropy(level, &mut row[..n], Some(&log_weights), targets[r], None);
            assert_eq!(out[r], want);
            assert_eq!(&batch[r * stride..][..stride], &row, "row {r}, the gap included");
        }
    });
}

#[test]
fn special_logits_do_what_is_stated() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    for n in [1, 5, 16, 40, 67] {
        at_every_level(|level| {
            let run = |z: &[f32]| {
                let mut p = z.to_vec();
                let log_z = softmax(level, &mut p, None);
                let lse = log_sum_exp(level, z, None);
                assert!(log_z == lse || log_z.is_nan() && lse.is_nan(), "{log_z} is not {lse}");
                (log_z, p)
            };
            let (log_z, p) = run(&vec![-inf; n]);
            assert!(log_z == -inf && p.iter().all(|p| p.is_nan()));
            for at in [0, n - 1] {
                let mut z = numbers(n, 2);
                z[at] = inf;
                assert_eq!(run(&z).0, inf);
                z[at] = nan;
                let (log_z, p) = run(&z);
                assert!(log_z.is_nan() && p.iter().all(|p| p.is_nan()));
                // NaN beside infinities of either sign is still NaN.
                for other in [inf, -inf] {
                    let mut z = vec![other; n + 1];
                    z[at] = nan;
                    assert!(run(&z).0.is_nan());
                }
                let mut z = vec![-inf; n];
                z[at] = -1e30;
                let (log_z, p) = run(&z);
                assert_eq!((log_z, p[at], p.iter().sum::<f32>()), (-1e30, 1.0, 1.0));
            }
            let mut z = vec![0.0; n + 1];
            z[n] = -inf;
            let out = softmax_cross_entropy(level, &mut z, None, RowIds::new(&[n as u32], n + 1).unwrap(), None);
            assert_eq!((out.loss, z[n]), (inf, -1.0), "a target of probability 0");
        });
    }
}

#[test]
#[should_panic(expected = "targets below 5 for an active set of 4")]
fn targets_of_a_larger_set_are_refused() {
    softmax_cross_entropy(Level::PORTABLE, &mut [0.0; 4], None, RowIds::new(&[], 5).unwrap(), None);
}

#[test]
#[should_panic(expected = "log_weights and logits differ in length")]
fn log_weights_of_another_length_are_refused() {
    softmax(Level::PORTABLE, &mut [0.0; 4], Some(&[0.0; 3]));
}

proptest::proptest! {
    #[test]
    fn any_targets_and_scales(n in 1usize..300, picks: Vec<u16>, scale in 0.0f32..300.0, seed: u32) {
        let targets: Vec<u32> = picks.iter().map(|&t| t as u32 % n as u32).collect();
        check_all(n, scale, &targets, None, seed as u64);
    }
}
