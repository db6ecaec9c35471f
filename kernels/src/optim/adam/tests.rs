use super::*;
use crate::optim::{BLOCK, signed_map, unsigned_map};
use crate::testing::*;
use crate::{MatMut, MatRef, UniqueRowIds};

mod blockwise;
mod catch_up;

const EPS: f64 = f32::EPSILON as f64;

/// One matrix with f32 moments, and what the three meanings count.
#[derive(Clone, Debug, PartialEq)]
struct Run {
    rows: usize,
    cols: usize,
    w: Vec<f32>,
    m: Vec<f32>,
    v: Vec<f32>,
    steps: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Meaning {
    Lazy,
    CatchUp,
    Dense,
}

impl Run {
    /// Weights in [-1, 1), no moments.
    fn new(rows: usize, cols: usize, seed: u64) -> Self {
        let zeros = vec![0.0; rows * cols];
        Self { rows, cols, w: numbers(rows * cols, seed), m: zeros.clone(), v: zeros, steps: vec![0; rows] }
    }

    fn step(&mut self, level: Level, meaning: Meaning, rows: &[u32], grads: &[f32], params: &Adam, step: u32) {
        let (count, cols) = (self.rows, self.cols);
        let grads = MatRef::new(grads, rows.len(), cols);
        let grads = RowGrads::new(UniqueRowIds::new(rows, count).unwrap(), grads);
        let weights = Weights::F32(MatMut::new(&mut self.w, count, cols));
        let moments =
            Moments::F32 { m: MatMut::new(&mut self.m, count, cols), v: MatMut::new(&mut self.v, count, cols) };
        match meaning {
            Meaning::Lazy => adam_lazy(level, weights, moments, &mut self.steps, grads, params),
            Meaning::CatchUp => adam_catch_up(level, weights, moments, &mut self.steps, grads, params, step),
            Meaning::Dense => adam_dense(level, weights, moments, grads, params, step),
        }
    }

    fn settle(&mut self, level: Level, params: &Adam, step: u32) {
        let weights = Weights::F32(MatMut::new(&mut self.w, self.rows, self.cols));
        let m = MatMut::new(&mut self.m, self.rows, self.cols);
        let moments = Moments::F32 { m, v: MatMut::new(&mut self.v, self.rows, self.cols) };
        adam_settle(level, weights, moments, &mut self.steps, params, step);
    }
}

/// The definition in f64: weight, first and second moment after step `t`, and how far f32 may be from each. Every term passes fewer
/// than sixteen roundings of half an eps, the factors' own included; a sum is off by that share of the sizes of its terms, a
/// quotient of positive numbers by that share of itself. What lies below the normal numbers is lost.
fn reference(w: f32, m: f32, v: f32, g: f32, params: &Adam, t: u32) -> [(f64, f64); 3] {
    let [w, m, v, g] = [w, m, v, g].map(|x| x as f64);
    let [lr, beta1, beta2, eps] = [params.lr, params.beta1, params.beta2, params.eps].map(|x| x as f64);
    let g = g * params.grad_scale as f64;
    let kept = (1.0 - lr * params.weight_decay as f64) * w;
    let next_m = beta1 * m + (1.0 - beta1) * g;
    let m_size = (beta1 * m).abs() + ((1.0 - beta1) * g).abs();
    let next_v = beta2 * v + (1.0 - beta2) * g * g;
    let factor = lr / (1.0 - beta1.powi(t as i32));
    let root = (next_v / (1.0 - beta2.powi(t as i32))).sqrt() + eps;
    let lost = f32::MIN_POSITIVE as f64;
    let bound = |size: f64| 8.0 * EPS * size + lost;
    [
        (kept - factor * next_m / root, bound(kept.abs() + w.abs() + factor * m_size / root) + factor * lost / root),
        (next_m, bound(m_size)),
        (next_v, bound(next_v)),
    ]
}

fn steps_agree(meaning: Meaning, cols: usize, params: &Adam, seed: u64) {
    at_every_level(|level| {
        let mut run = Run::new(3, cols, seed);
        for step in 1..=5 {
            let (old, grads) = (run.clone(), numbers(2 * cols, seed + 10 * step as u64));
            run.step(level, meaning, &[0, 2], &grads, params, step);
            for (row, grad) in [(0, &grads[..cols]), (2, &grads[cols..])] {
                for (i, &g) in grad.iter().enumerate() {
                    let i = row * cols + i;
                    let [w, m, v] = reference(old.w[i], old.m[i], old.v[i], g, params, step);
                    let what = format!("{meaning:?}, {cols} columns, step {step}, element {i}");
                    assert_within(run.w[i], w.0, w.1, format!("weight, {what}"));
                    assert_within(run.m[i], m.0, m.1, format!("m, {what}"));
                    assert_within(run.v[i], v.0, v.1, format!("v, {what}"));
                }
            }
            if meaning != Meaning::Dense {
                assert_eq!(run.steps, [step, 0, step]);
                assert_eq!(run.w[cols..2 * cols], old.w[cols..2 * cols]);
            }
        }
    });
}

#[test]
fn steps_are_those_of_the_definition_at_every_length() {
    let all = Adam { lr: 0.1, beta1: 0.8, beta2: 0.9, eps: 1e-3, weight_decay: 0.2, grad_scale: 0.5 };
    for cols in lengths() {
        for meaning in [Meaning::Lazy, Meaning::CatchUp, Meaning::Dense] {
            steps_agree(meaning, cols, &Adam::default(), cols as u64);
            steps_agree(meaning, cols, &all, cols as u64);
        }
    }
}

proptest::proptest! {
    #[test]
    fn steps_are_those_of_the_definition_for_any_parameters(
        cols in 0usize..200, seed: u32, lr in 0.0f32..1.0, beta1 in 0.0f32..0.94, beta2 in 0.9f32..0.9999,
        weight_decay in 0.0f32..0.9, grad_scale in -4.0f32..4.0,
    ) {
        let params = Adam { lr, beta1, beta2, eps: 1e-6, weight_decay, grad_scale };
        for meaning in [Meaning::Lazy, Meaning::CatchUp, Meaning::Dense] {
            steps_agree(meaning, cols, &params, seed as u64);
        }
    }
}

/// The same operations in the same order, one element at a time: levels with fused multiply-add must have these bits.
#[test]
fn levels_with_fused_multiply_add_have_the_bits_of_the_scalar_formula() {
    let params = Adam { lr: 0.1, weight_decay: 0.2, grad_scale: 0.5, ..Adam::default() };
    for level in Level::available().filter(|&level| level != Level::PORTABLE) {
        for cols in lengths() {
            let (mut run, grads) = (Run::new(1, cols, 3), numbers(cols, 4));
            run.m = numbers(cols, 5);
            run.v = numbers(cols, 6).iter().map(|x| x * x).collect();
            let old = run.clone();
            run.step(level, Meaning::Dense, &[0], &grads, &params, 7);
            let step = Step::new(&params, 7);
            for (i, g) in grads.iter().enumerate() {
                let g = step.grad_scale * g;
                let m = step.m_added.mul_add(g, step.m_kept * old.m[i]);
                let v = (step.v_added * g).mul_add(g, step.v_kept * old.v[i]);
                let along = m / v.sqrt().mul_add(step.root, step.eps);
                let w = (-step.lr).mul_add(along, step.decay * old.w[i]);
                assert_eq!((run.w[i], run.m[i], run.v[i]), (w, m, v), "{level}, {cols} columns");
            }
        }
    }
}

#[test]
fn all_three_meanings_are_the_same_where_every_row_has_a_gradient() {
    at_every_level(|level| {
        let mut runs = [Meaning::Lazy, Meaning::CatchUp, Meaning::Dense].map(|meaning| (meaning, Run::new(3, 37, 1)));
        for step in 1..=20 {
            let grads = numbers(3 * 37, 50 + step as u64);
            for (meaning, run) in &mut runs {
                run.step(level, *meaning, &[0, 1, 2], &grads, &Adam::default(), step);
            }
        }
        let [(_, lazy), (_, catch_up), (_, dense)] = runs;
        assert_eq!(lazy, catch_up);
        assert_eq!((lazy.w, lazy.m, lazy.v), (dense.w, dense.m, dense.v));
    });
}

#[test]
fn dense_is_a_step_with_zeros_for_the_rows_without_a_gradient() {
    at_every_level(|level| {
        let (mut sparse, mut full) = (Run::new(5, 19, 1), Run::new(5, 19, 1));
        for (step, rows) in [(1, vec![0, 3]), (2, vec![]), (3, vec![4]), (4, vec![0, 1, 2, 3, 4])] {
            let grads = numbers(rows.len() * 19, 5 + step as u64);
            sparse.step(level, Meaning::Dense, &rows, &grads, &Adam::default(), step);
            let mut spread = vec![0.0; 5 * 19];
            for (grad, &row) in grads.chunks(19).zip(&rows) {
                spread[row as usize * 19..][..19].copy_from_slice(grad);
            }
            full.step(level, Meaning::Dense, &[0, 1, 2, 3, 4], &spread, &Adam::default(), step);
        }
        assert_eq!(sparse, full);
    });
}

#[test]
fn denormal_and_huge_gradients_stay_within_the_definition() {
    at_every_level(|level| {
        let grads = [1e-45, -1e-40, 1e-30, 1e-20, -1e-10, 1e10, -1e18, 0.0, -0.0];
        let mut run = Run::new(1, grads.len(), 1);
        let old = run.clone();
        run.step(level, Meaning::Dense, &[0], &grads, &Adam::default(), 1);
        for (i, &g) in grads.iter().enumerate() {
            let [w, m, v] = reference(old.w[i], 0.0, 0.0, g, &Adam::default(), 1);
            assert_within(run.m[i], m.0, m.1, format!("m of {g}"));
            assert_within(run.v[i], v.0, v.1, format!("v of {g}"));
            // A square below the normal numbers is lost, and with it up to sqrt(2^-126 / 0.001) = 3.4e-18 of the root. All roots are
            // at least eps = 1e-8, so that share is 3.4e-10, far below an eps of f32.
            assert_within(run.w[i], w.0, w.1, format!("weight with {g}"));
        }
    });
}

#[test]
#[should_panic(expected = "row 1 is at step 3, not before step 3")]
fn a_row_cannot_take_a_step_twice() {
    let mut run = Run::new(2, 1, 1);
    for _ in 0..2 {
        run.step(Level::PORTABLE, Meaning::CatchUp, &[1], &[0.5], &Adam::default(), 3);
    }
}

#[test]
#[should_panic(expected = "beta1 1 is not in 0..1")]
fn a_beta_of_one_is_a_wrong_call() {
    Run::new(1, 1, 1).step(Level::PORTABLE, Meaning::Lazy, &[], &[], &Adam { beta1: 1.0, ..Adam::default() }, 1);
}

#[test]
#[should_panic(expected = "steps count from 1")]
fn step_zero_is_a_wrong_call() {
    Run::new(1, 1, 1).step(Level::PORTABLE, Meaning::Dense, &[], &[], &Adam::default(), 0);
}
