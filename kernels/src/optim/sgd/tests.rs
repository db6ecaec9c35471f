use super::*;
use crate::testing::*;
use crate::{MatRef, UniqueRowIds};

const EPS: f64 = f32::EPSILON as f64;

/// The definition in f64: the new weight and velocity, and the sums of the sizes of their terms.
fn reference(w: f32, u: f32, g: f32, params: &Momentum) -> ([f64; 2], [f64; 2]) {
    let [w, u, g] = [w, u, g].map(|x| x as f64);
    let [lr, beta, scale, decay] =
        [params.lr, params.momentum, params.grad_scale, params.weight_decay].map(|x| x as f64);
    let next = beta * u + scale * g;
    let size = (beta * u).abs() + (scale * g).abs();
    let (along, along_size) = match params.nesterov {
        true => (scale * g + beta * next, (scale * g).abs() + beta.abs() * size),
        false => (next, size),
    };
    let kept = (1.0 - lr * decay) * w;
    ([kept - lr * along, next], [kept.abs() + w.abs() + (lr * along_size).abs(), size])
}

/// On its way into the result, each term passes fewer than eight roundings of half an eps (the factors of decay and step size
/// round too), counted four whole ones; products may be denormal.
fn steps_agree(cols: usize, params: &Momentum, seed: u64) {
    let start = numbers(2 * cols, seed);
    at_every_level(|level| {
        let (mut w, mut u) = (Misaligned::new(&start, 1), Misaligned::new(&vec![0.0; 2 * cols], 3));
        let mut plain = start.clone();
        for step in 1..=4 {
            let grad = numbers(cols, seed + step);
            let grads = RowGrads::new(UniqueRowIds::new(&[1], 2).unwrap(), MatRef::new(&grad, 1, cols));
            let (old_w, old_u, old_plain) = (w.to_vec(), u.to_vec(), plain.clone());
            let velocity = MatMut::new(&mut u, 2, cols);
            momentum(level, Weights::F32(MatMut::new(&mut w, 2, cols)), velocity, grads, params, step);
            let simple = Sgd { lr: params.lr, weight_decay: params.weight_decay, grad_scale: params.grad_scale };
            sgd(level, Weights::F32(MatMut::new(&mut plain, 2, cols)), grads, &simple, step);
            for (i, &g) in grad.iter().enumerate() {
                let what = format!("cols {cols}, step {step}, element {i}");
                let bound = |size: f64| 4.0 * EPS * size + f32::MIN_POSITIVE as f64;
                let i = cols + i;
                let (want, sizes) = reference(old_w[i], old_u[i], g, params);
                assert_within(w[i], want[0], bound(sizes[0]), &what);
                assert_within(u[i], want[1], bound(sizes[1]), &what);
                let at_rest = Momentum { momentum: 0.0, ..*params };
                let (want, sizes) = reference(old_plain[i], 0.0, g, &at_rest);
                assert_within(plain[i], want[0], bound(sizes[0]), &what);
            }
        }
    });
}

#[test]
fn steps_are_those_of_the_definition_at_every_length() {
    for cols in lengths() {
        steps_agree(cols, &Momentum::default(), cols as u64);
        let params = Momentum { lr: 0.3, momentum: 0.7, nesterov: true, weight_decay: 0.2, grad_scale: 0.01 };
        steps_agree(cols, &params, cols as u64);
    }
}

/// Three steps of PyTorch's formula by hand: `lr` 1/2, momentum 1/2, gradient 1. Velocities 1, 3/2, 7/4; powers of two, so exact.
#[test]
fn three_steps_by_hand() {
    at_every_level(|level| {
        for (nesterov, want) in [(false, [0.5, -0.25, -1.125]), (true, [0.25, -0.625, -1.5625])] {
            let (mut w, mut u) = ([1.0], [0.0]);
            for (step, want) in want.into_iter().enumerate() {
                let params = Momentum { lr: 0.5, momentum: 0.5, nesterov, ..Momentum::default() };
                let grads = RowGrads::all(MatRef::new(&[1.0], 1, 1));
                let weights = Weights::F32(MatMut::new(&mut w, 1, 1));
                momentum(level, weights, MatMut::new(&mut u, 1, 1), grads, &params, step as u64);
                assert_eq!(w, [want]);
            }
        }
    });
}

proptest::proptest! {
    #[test]
    fn steps_are_those_of_the_definition_for_any_parameters(
        cols in 0usize..200, seed: u32, lr in 0.0f32..2.0, beta in 0.0f32..1.0, nesterov: bool, decay in 0.0f32..0.5, scale in -4.0f32..4.0,
    ) {
        let params = Momentum { lr, momentum: beta, nesterov, weight_decay: decay, grad_scale: scale };
        steps_agree(cols, &params, seed as u64);
    }
}

#[test]
#[should_panic(expected = "weights and velocity differ in shape")]
fn a_velocity_of_another_shape_is_a_wrong_call() {
    let grads = RowGrads::all(MatRef::new(&[0.0], 1, 1));
    let velocity = MatMut::new(&mut [], 0, 1);
    momentum(Level::PORTABLE, Weights::F32(MatMut::new(&mut [0.0], 1, 1)), velocity, grads, &Momentum::default(), 1);
}
