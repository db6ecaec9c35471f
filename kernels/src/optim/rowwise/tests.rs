use super::*;
use crate::testing::*;
use crate::{MatMut, MatRef, UniqueRowIds};

const EPS: f64 = f32::EPSILON as f64;

/// The state is a sum of positive terms, each of which passes at most `D` additions and six other roundings. Half of its relative error is
/// that of the root; a step passes six more roundings, the weight three.
fn steps_agree(cols: usize, rule: Rule, adagrad: bool, seed: u64) {
    let start = numbers(2 * cols, seed);
    at_every_level(|level| {
        let (mut w, mut state) = (Misaligned::new(&start, 1), [7.0, 0.0]);
        for step in 1..=4 {
            let grad = Misaligned::new(&numbers(cols, seed + step), 3);
            let (old, old_state) = (w.to_vec(), state[1] as f64);
            let grads = RowGrads::new(UniqueRowIds::new(&[1], 2).unwrap(), MatRef::new(&grad, 1, cols));
            let weights = Weights::F32(MatMut::new(&mut w, 2, cols));
            let Rule { kept, lr, eps, weight_decay, grad_scale, .. } = rule;
            if adagrad {
                let params = RowwiseAdagrad { lr, eps, weight_decay, grad_scale };
                rowwise_adagrad(level, weights, &mut state, grads, &params, step);
            } else {
                let params = RowwiseRmsprop { lr, alpha: kept, eps, weight_decay, grad_scale };
                rowwise_rmsprop(level, weights, &mut state, grads, &params, step);
            }
            assert_eq!(state[0], 7.0);
            if cols == 0 {
                assert_eq!(state[1], 0.0);
                continue;
            }
            let [kept, added, lr, eps] = [rule.kept, rule.added, lr, eps].map(|x| x as f64);
            let [weight_decay, scale] = [weight_decay, grad_scale].map(|x| x as f64);
            let mean = grad.iter().map(|&g| (scale * g as f64).powi(2)).sum::<f64>() / cols as f64;
            let want = kept * old_state + added * mean;
            let relative = (cols as f64 + 6.0) * EPS;
            assert_within(state[1], want, relative * want + f32::MIN_POSITIVE as f64, format!("state, cols {cols}"));
            for (i, &g) in grad.iter().enumerate() {
                let (kept, moved) =
                    ((1.0 - lr * weight_decay) * old[cols + i] as f64, lr * scale * g as f64 / (want.sqrt() + eps));
                let bound =
                    (relative / 2.0 + 3.0 * EPS) * moved.abs() + 2.0 * EPS * (kept.abs() + old[cols + i].abs() as f64);
                assert_within(w[cols + i], kept - moved, bound + f32::MIN_POSITIVE as f64, format!("cols {cols}"));
            }
        }
        assert_eq!(w[..cols], start[..cols]);
    });
}

#[test]
fn steps_are_those_of_the_definitions_at_every_length() {
    for cols in lengths() {
        let adagrad = Rule { kept: 1.0, added: 1.0, lr: 0.1, eps: 1e-3, weight_decay: 0.1, grad_scale: 0.5 };
        steps_agree(cols, adagrad, true, cols as u64);
        let alpha = 0.9;
        steps_agree(cols, Rule { kept: alpha, added: 1.0 - alpha, ..adagrad }, false, cols as u64);
    }
}

#[test]
fn a_clipping_factor_keeps_a_huge_gradient_from_overflowing() {
    at_every_level(|level| {
        let (mut w, mut sums) = ([0.0; 20], [0.0]);
        let params = RowwiseAdagrad { lr: 1.0, grad_scale: 1e-30, ..RowwiseAdagrad::default() };
        let weights = Weights::F32(MatMut::new(&mut w, 1, 20));
        rowwise_adagrad(level, weights, &mut sums, RowGrads::all(MatRef::new(&[1e30; 20], 1, 20)), &params, 1);
        assert!(w.iter().all(|w| (w + 1.0).abs() < 1e-5), "{w:?}");
    });
}

#[test]
fn a_row_of_zero_gradients_stays() {
    at_every_level(|level| {
        let (mut w, mut sums) = ([0.5; 20], [0.0]);
        let weights = Weights::F32(MatMut::new(&mut w, 1, 20));
        let grads = RowGrads::all(MatRef::new(&[0.0; 20], 1, 20));
        rowwise_adagrad(level, weights, &mut sums, grads, &RowwiseAdagrad::default(), 1);
        assert_eq!((w, sums), ([0.5; 20], [0.0]));
    });
}

proptest::proptest! {
    #[test]
    fn steps_are_those_of_the_definitions_for_any_parameters(
        cols in 0usize..200, seed: u32, lr in 0.0f32..2.0, alpha in 0.0f32..1.0, decay in 0.0f32..0.4, scale in -4.0f32..4.0,
    ) {
        let rule = Rule { kept: 1.0, added: 1.0, lr, eps: 1e-6, weight_decay: decay, grad_scale: scale };
        steps_agree(cols, rule, true, seed as u64);
        steps_agree(cols, Rule { kept: alpha, added: 1.0 - alpha, ..rule }, false, seed as u64);
    }
}

#[test]
#[should_panic(expected = "the state has one number for each row of weights")]
fn a_state_of_another_length_is_a_wrong_call() {
    let grads = RowGrads::all(MatRef::new(&[0.0], 1, 1));
    let mut w = [0.0];
    let weights = Weights::F32(MatMut::new(&mut w, 1, 1));
    rowwise_adagrad(Level::PORTABLE, weights, &mut [], grads, &RowwiseAdagrad::default(), 1);
}

#[test]
fn a_zero_gradient_moves_nothing_however_small_eps_is() {
    at_every_level(|level| {
        for eps in [1e-10, f32::MIN_POSITIVE, 1e-45] {
            let (mut w, mut state, zeros) = ([1.0, -2.0, 3.0], [0.0], [0.0; 3]);
            let grads = RowGrads::all(MatRef::new(&zeros, 1, 3));
            let params = RowwiseAdagrad { lr: 100.0, eps, ..RowwiseAdagrad::default() };
            rowwise_adagrad(level, Weights::F32(MatMut::new(&mut w, 1, 3)), &mut state, grads, &params, 1);
            let params = RowwiseRmsprop { lr: 100.0, eps, ..RowwiseRmsprop::default() };
            rowwise_rmsprop(level, Weights::F32(MatMut::new(&mut w, 1, 3)), &mut state, grads, &params, 1);
            assert_eq!((w, state), ([1.0, -2.0, 3.0], [0.0]), "eps {eps:e}");
        }
    });
}

#[test]
fn an_eps_that_is_not_above_zero_is_refused_as_adam_refuses_it() {
    for eps in [0.0, -0.0, -1e-8, f32::NAN] {
        for adagrad in [true, false] {
            let refused = std::panic::catch_unwind(|| {
                let (mut w, mut state) = ([1.0], [0.0]);
                let (weights, grads) =
                    (Weights::F32(MatMut::new(&mut w, 1, 1)), RowGrads::all(MatRef::new(&[0.0], 1, 1)));
                if adagrad {
                    let params = RowwiseAdagrad { eps, ..RowwiseAdagrad::default() };
                    rowwise_adagrad(Level::PORTABLE, weights, &mut state, grads, &params, 1);
                } else {
                    let params = RowwiseRmsprop { eps, ..RowwiseRmsprop::default() };
                    rowwise_rmsprop(Level::PORTABLE, weights, &mut state, grads, &params, 1);
                }
            });
            let panic = refused.expect_err("eps is refused");
            let message = panic.downcast_ref::<String>().expect("a message with the number");
            assert!(message.contains("is not above 0"), "{message}");
        }
    }
}
