//! 8-bit moments: what a step stores, and how far from f32 it leads.

use super::*;
use crate::optim::dynamic::tests::half_bin;

/// One row with 8-bit moments.
#[derive(Clone, Debug, PartialEq)]
struct Run8 {
    w: Vec<f32>,
    m: Vec<u8>,
    v: Vec<u8>,
    m_scales: Vec<f32>,
    v_scales: Vec<f32>,
}

impl Run8 {
    fn new(cols: usize, seed: u64) -> Self {
        let (blocks, codes) = (cols.div_ceil(BLOCK), vec![0; cols]);
        let scales = vec![0.0; blocks];
        Self { w: numbers(cols, seed), m: codes.clone(), v: codes, m_scales: scales.clone(), v_scales: scales }
    }

    fn step(&mut self, level: Level, grad: &[f32], params: &Adam, step: u32) {
        let (cols, blocks) = (grad.len(), self.m_scales.len());
        let moments = Moments::Blockwise {
            m: MatMut::new(&mut self.m, 1, cols),
            v: MatMut::new(&mut self.v, 1, cols),
            m_scales: MatMut::new(&mut self.m_scales, 1, blocks),
            v_scales: MatMut::new(&mut self.v_scales, 1, blocks),
        };
        let weights = Weights::F32(MatMut::new(&mut self.w, 1, cols));
        adam_dense(level, weights, moments, RowGrads::all(MatRef::new(grad, 1, cols)), params, step);
    }

    /// The same weights with the moments that the codes stand for.
    fn widened(&self) -> Run {
        let value = |map: &[f32; 256], codes: &[u8], scales: &[f32]| {
            let units = scales.iter().flat_map(|&scale| std::iter::repeat_n(scale, BLOCK));
            codes.iter().zip(units).map(|(&code, unit)| unit * map[code as usize]).collect()
        };
        let m = value(signed_map(), &self.m, &self.m_scales);
        let v = value(unsigned_map(), &self.v, &self.v_scales);
        Run { rows: 1, cols: self.w.len(), w: self.w.clone(), m, v, steps: vec![0] }
    }
}

/// A step with 8-bit moments is a step with f32 moments, started from what the codes stand for, whose new moments are then stored
/// in half a bin of their block's largest.
#[test]
fn a_step_is_the_f32_step_whose_moments_are_then_rounded_by_half_a_bin() {
    for cols in lengths().chain([255, 256, 257, 511, 600]) {
        at_every_level(|level| {
            let mut run = Run8::new(cols, 1);
            for step in 1..=4 {
                let grad: Vec<f32> = numbers(cols, 9 + step as u64).iter().map(|g| g * g * g).collect();
                let mut exact = run.widened();
                exact.step(level, Meaning::Dense, &[0], &grad, &Adam::default(), step);
                run.step(level, &grad, &Adam::default(), step);
                assert_eq!(run.w, exact.w, "{cols} columns, step {step}");
                let stored = run.widened();
                for block in 0..run.m_scales.len() {
                    let of_block = block * BLOCK..cols.min((block + 1) * BLOCK);
                    let largest = |xs: &[f32]| xs[of_block.clone()].iter().fold(0.0f32, |a, x| a.max(x.abs()));
                    assert_eq!(run.m_scales[block], largest(&exact.m));
                    assert_eq!(run.v_scales[block], largest(&exact.v));
                    for i in of_block {
                        let (m_unit, v_unit) = (run.m_scales[block] as f64, run.v_scales[block] as f64);
                        let (m, v) = (exact.m[i] as f64, exact.v[i] as f64);
                        let what = format!("element {i} of {cols}, step {step}");
                        assert_within(stored.m[i], m, m_unit * half_bin(m.abs() / m_unit, 1.0), &what);
                        assert_within(stored.v[i], v, v_unit * half_bin(v / v_unit, 2.0), &what);
                        assert!(v == 0.0 || stored.v[i] > 0.0, "a v above zero became zero: {what}");
                    }
                }
            }
        });
    }
}

/// Half of the widest bins is 0.45 / 64 and 0.45 / 128 of a scale, so after each step the moments differ from those of f32 by
/// `beta e + half_bin * scale`, `e` being the difference before it. A weight moves by `factor * m / (root sqrt(v) + eps)` with the moments before
/// they are rounded again. With the difference of `m` in the numerator and the smallest possible `v` in the denominator that
/// bounds the distance of the two weights; f32 rounding is far below it, counted as 2^-16 of a step.
#[test]
fn twenty_steps_stay_within_the_sum_of_the_roundings() {
    let (cols, params) = (300, Adam { lr: 0.01, beta2: 0.99, ..Adam::default() });
    at_every_level(|level| {
        let (mut run, mut full) = (Run8::new(cols, 3), Run::new(1, cols, 3));
        let (mut m_error, mut v_error) = ([0.0; 2], [0.0; 2]);
        let mut bounds = vec![0.0; cols];
        for step in 1..=20 {
            let grad: Vec<f32> = numbers(cols, 40 + step as u64).iter().map(|g| g.signum() + g).collect();
            full.step(level, Meaning::Dense, &[0], &grad, &params, step);
            run.step(level, &grad, &params, step);
            let (factor, root) = (Step::new(&params, step).lr as f64, Step::new(&params, step).root as f64);
            for (i, bound) in bounds.iter_mut().enumerate() {
                let block = i / BLOCK;
                let (m, v) = (full.m[i].abs() as f64, full.v[i] as f64);
                let (m_off, v_off) = (params.beta1 as f64 * m_error[block], params.beta2 as f64 * v_error[block]);
                assert!(v > v_off, "the bound says nothing where v may be zero");
                let (near, far) = (root * v.sqrt(), root * (v - v_off).sqrt());
                *bound += factor * ((m + m_off) / far - m / near) + params.lr as f64 * 2f64.powi(-16);
                let distance = (run.w[i] as f64 - full.w[i] as f64).abs();
                assert!(distance <= *bound, "step {step}, element {i}: {distance} is above {bound}");
            }
            for block in 0..2 {
                m_error[block] =
                    params.beta1 as f64 * m_error[block] + 0.45 / 64.0 * run.m_scales[block] as f64 * 1.001;
                v_error[block] =
                    params.beta2 as f64 * v_error[block] + 0.45 / 128.0 * run.v_scales[block] as f64 * 1.001;
            }
        }
        // The test would say little if the bound were of the size of all movement, at most about 20 lr.
        assert!(bounds.iter().all(|&bound| bound < 20.0 * params.lr as f64), "{bounds:?}");
    });
}

#[test]
fn zeros_stay_zeros_and_denormals_are_kept() {
    at_every_level(|level| {
        let mut run = Run8::new(20, 1);
        let start = run.w.clone();
        run.step(level, &[0.0; 20], &Adam::default(), 1);
        assert_eq!((&run.w, &run.m_scales, &run.v_scales), (&start, &vec![0.0], &vec![0.0]));
        run.step(level, &[1e-38; 20], &Adam::default(), 2);
        assert!(run.w.iter().all(|w| w.is_finite()) && run.m_scales[0] >= f32::MIN_POSITIVE);
    });
}

#[test]
fn a_fault_makes_its_block_nan_and_no_other() {
    at_every_level(|level| {
        for fault in [f32::NAN, f32::INFINITY] {
            let (cols, mut run) = (2 * BLOCK + 5, Run8::new(2 * BLOCK + 5, 1));
            let mut grad = numbers(cols, 2);
            grad[BLOCK + 3] = fault;
            run.step(level, &grad, &Adam::default(), 1);
            let after = run.widened();
            for i in 0..cols {
                let faulty = i / BLOCK == 1;
                assert_eq!((after.m[i].is_nan(), after.v[i].is_nan()), (faulty, faulty), "element {i}");
                assert_eq!(run.w[i].is_finite(), i != BLOCK + 3, "element {i}");
            }
        }
    });
}
