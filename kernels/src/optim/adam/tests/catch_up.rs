//! Catching up against the dense meaning.

use super::*;

/// What `k` sleep steps do to a weight in f64, step by step and without any simplification, and the bound on what `adam_settle` may
/// be away from it and from `adam_dense`.
///
/// Rounding: each of the `k` dense steps rounds the weight twice and its own movement fewer than sixteen times, and its moment has passed `j`
/// roundings before; so `k` whole eps of the largest weight on the way, and `k + 16` of all movement. Simplification: sleep step `j` is too
/// long by at most the share `(r_1 / r_j - 1) eps / (r_1 sqrt(v) + eps)` (too short where that is negative).
fn slept(w: f32, m: f32, v: f32, params: &Adam, last: u32, k: u32) -> (f64, f64) {
    let [lr, beta1, beta2, eps] = [params.lr, params.beta1, params.beta2, params.eps].map(|x| x as f64);
    let decay = (1.0 - params.lr * params.weight_decay) as f64;
    let (m, v) = (m as f64, v as f64);
    let root = |j: u32| (beta2.powi(j as i32) / (1.0 - beta2.powi((last + j) as i32))).sqrt();
    let (mut w, mut largest, mut moved, mut simplified) = (w as f64, w.abs() as f64, 0.0, 0.0);
    for j in 1..=k {
        let step = lr * m * beta1.powi(j as i32) / (1.0 - beta1.powi((last + j) as i32)) / (v.sqrt() * root(j) + eps);
        w = decay * w - step;
        largest = largest.max(w.abs());
        moved += step.abs();
        simplified += step.abs() * (root(1) / root(j) - 1.0).abs() * eps / (root(1) * v.sqrt() + eps);
    }
    let k = k as f64;
    (w, simplified + (k + 2.0) * EPS * largest + (k + 16.0) * EPS * moved + f32::MIN_POSITIVE as f64)
}

#[test]
fn a_row_that_slept_is_where_dense_steps_without_gradient_put_it() {
    let cols = 37;
    at_every_level(|level| {
        for params in [
            Adam::default(),
            Adam { lr: 0.1, weight_decay: 0.1, ..Adam::default() },
            Adam { lr: 0.1, beta1: 0.5, beta2: 0.99, eps: 1e-2, ..Adam::default() },
            Adam { beta1: 0.0, ..Adam::default() },
        ] {
            for awake in [1, 2, 30] {
                let mut run = Run::new(1, cols, 9);
                for step in 1..=awake {
                    run.step(level, Meaning::CatchUp, &[0], &numbers(cols, step as u64), &params, step);
                }
                for k in [1, 2, 7, 8, 9, 16, 40, 300] {
                    let (mut dense, mut settled) = (run.clone(), run.clone());
                    for step in awake + 1..=awake + k {
                        dense.step(level, Meaning::Dense, &[], &[], &params, step);
                    }
                    settled.settle(level, &params, awake + k);
                    assert_eq!(settled.steps, [awake + k]);
                    for i in 0..cols {
                        let what = format!("element {i} after {k} steps, {awake} awake, {params:?}");
                        let (want, bound) = slept(run.w[i], run.m[i], run.v[i], &params, awake, k);
                        assert_within(settled.w[i], want, bound, &what);
                        assert_within(settled.w[i], dense.w[i] as f64, bound, &what);
                        // Dense rounds each moment once a step, settling twice in all.
                        let moment = |x: f32| (k + 2) as f64 * EPS * x.abs() as f64 + f32::MIN_POSITIVE as f64;
                        assert_within(settled.m[i], dense.m[i] as f64, moment(dense.m[i]), &what);
                        assert_within(settled.v[i], dense.v[i] as f64, moment(dense.v[i]), &what);
                    }
                }
            }
        }
    });
}

/// The simplification shows only where `eps` is not small against the root: with the default parameters and gradients around one the
/// whole of catching up stays within 2^-20 of the distance that the row moved, and the doubled rounding of it.
#[test]
fn with_gradients_around_one_nothing_is_lost_by_the_simplification() {
    let params = Adam { lr: 0.1, ..Adam::default() };
    for last in [1, 10, 1000] {
        for k in [1, 10, 100, 1000] {
            let (want, _) = slept(0.0, 0.1, 0.01, &params, last, k);
            let got = Sleep::new(&params).slept(last, k);
            let got = -(got.movement as f64) * 0.1 / (0.1 + got.eps as f64);
            assert!((got - want).abs() <= 2f64.powi(-20) * want.abs(), "{got} is not {want}, last {last}, k {k}");
        }
    }
}

#[test]
fn sleeping_then_a_gradient_is_settling_then_a_gradient() {
    let cols = 21;
    at_every_level(|level| {
        for k in [0u32, 1, 5, 100] {
            let params = Adam { weight_decay: 0.1, ..Adam::default() };
            let mut run = Run::new(2, cols, 9);
            run.step(level, Meaning::CatchUp, &[1], &numbers(cols, 1), &params, 1);
            let mut settled = run.clone();
            settled.settle(level, &params, 1 + k);
            for run in [&mut run, &mut settled] {
                run.step(level, Meaning::CatchUp, &[1], &numbers(cols, 2), &params, 2 + k);
            }
            for i in cols..2 * cols {
                // The moments are rounded once more when they are stored in between: a share of two eps of each.
                let near = |a: f32, b: f32| (a - b).abs() <= 2.0 * f32::EPSILON * a.abs().max(1e-3);
                assert!(near(run.m[i], settled.m[i]) && near(run.v[i], settled.v[i]), "k {k}");
                assert!((run.w[i] - settled.w[i]).abs() <= 4.0 * f32::EPSILON, "k {k}");
            }
            assert_eq!(run.steps[1], settled.steps[1]);
        }
    });
}

#[test]
fn a_row_that_never_had_a_gradient_only_decays() {
    at_every_level(|level| {
        let params = Adam { lr: 0.5, weight_decay: 1.0, ..Adam::default() };
        let mut run = Run::new(1, 9, 4);
        let start = run.w.clone();
        run.settle(level, &params, 5);
        assert_eq!(run.w, start.iter().map(|w| w / 32.0).collect::<Vec<_>>());
    });
}

#[test]
fn the_sum_over_sleep_steps_ends_below_the_precision_of_f32() {
    let params = Adam::default();
    let (sleep, last) = (Sleep::new(&params), 3);
    // All terms, added one by one, against those that are kept.
    let terms = 10_000;
    let (want, _) = slept(0.0, 1.0, 1.0, &Adam { eps: 1e-30, ..params }, last, terms);
    let got = sleep.slept(last, terms).movement as f64;
    assert!((got + want).abs() <= EPS * got, "{got} is not {want}");
}

#[test]
#[should_panic(expected = "row 0 is at step 7, past step 6")]
fn settling_before_the_last_step_is_a_wrong_call() {
    let mut run = Run::new(1, 1, 4);
    run.steps[0] = 7;
    run.settle(Level::PORTABLE, &Adam::default(), 6);
}
