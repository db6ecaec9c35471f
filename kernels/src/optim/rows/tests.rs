//! What holds for every optimiser, whatever it computes.

use super::*;
use crate::optim::*;
use crate::testing::*;
use crate::{Level, bf16, convert::bf16_from_f32_stochastic};

const ROWS: usize = 5;
const STEP: u32 = 3;

/// The state of every optimiser, for `ROWS` rows: each takes of it what it needs.
#[derive(Clone, Debug, PartialEq)]
struct State {
    m: Vec<f32>,
    v: Vec<f32>,
    m_codes: Vec<u8>,
    v_codes: Vec<u8>,
    m_scales: Vec<f32>,
    v_scales: Vec<f32>,
    per_row: Vec<f32>,
    steps: Vec<u32>,
}

impl State {
    fn new(cols: usize) -> Self {
        let blocks = ROWS * cols.div_ceil(BLOCK);
        Self {
            m: numbers(ROWS * cols, 1),
            v: numbers(ROWS * cols, 2).iter().map(|x| x * x).collect(),
            m_codes: numbers(ROWS * cols, 3).iter().map(|x| (x * 127.0 + 127.0) as u8).collect(),
            v_codes: numbers(ROWS * cols, 4).iter().map(|x| (x * 127.0 + 127.0) as u8).collect(),
            m_scales: vec![0.5; blocks],
            v_scales: vec![0.25; blocks],
            per_row: vec![0.125; ROWS],
            steps: vec![STEP - 2; ROWS],
        }
    }

    fn f32_moments(&mut self, cols: usize) -> Moments<'_> {
        Moments::F32 { m: MatMut::new(&mut self.m, ROWS, cols), v: MatMut::new(&mut self.v, ROWS, cols) }
    }

    fn step(&mut self, optimiser: &str, level: Level, weights: Weights, grads: RowGrads) {
        let (cols, blocks) = (weights.cols(), weights.cols().div_ceil(BLOCK));
        let adam = Adam { weight_decay: 0.1, grad_scale: 0.5, ..Adam::default() };
        match optimiser {
            "sgd" => sgd(level, weights, grads, &Sgd { weight_decay: 0.1, ..Sgd::default() }, STEP as u64),
            "momentum" => {
                let velocity = MatMut::new(&mut self.m, ROWS, cols);
                momentum(level, weights, velocity, grads, &Momentum::default(), STEP as u64)
            }
            "adagrad" => {
                rowwise_adagrad(level, weights, &mut self.per_row, grads, &RowwiseAdagrad::default(), STEP as u64)
            }
            "rmsprop" => {
                rowwise_rmsprop(level, weights, &mut self.per_row, grads, &RowwiseRmsprop::default(), STEP as u64)
            }
            "adam lazy" => {
                let mut steps = self.steps.iter().map(|step| step + 1).collect::<Vec<_>>();
                adam_lazy(level, weights, self.f32_moments(cols), &mut steps, grads, &adam);
                self.steps = steps.iter().map(|step| step - 1).collect();
            }
            "adam catch-up" => {
                let mut steps = self.steps.clone();
                adam_catch_up(level, weights, self.f32_moments(cols), &mut steps, grads, &adam, STEP);
                self.steps = steps;
            }
            "adam 8-bit" => {
                let moments = Moments::Blockwise {
                    m: MatMut::new(&mut self.m_codes, ROWS, cols),
                    v: MatMut::new(&mut self.v_codes, ROWS, cols),
                    m_scales: MatMut::new(&mut self.m_scales, ROWS, blocks),
                    v_scales: MatMut::new(&mut self.v_scales, ROWS, blocks),
                };
                adam_catch_up(level, weights, moments, &mut self.steps, grads, &adam, STEP)
            }
            _ => unreachable!("{optimiser}"),
        }
    }
}

const OPTIMISERS: [&str; 7] = ["sgd", "momentum", "adagrad", "rmsprop", "adam lazy", "adam catch-up", "adam 8-bit"];

fn each_case(check: impl Fn(Level, &str, usize)) {
    at_every_level(|level| {
        for optimiser in OPTIMISERS {
            for cols in lengths().chain([255, 256, 257, 600]) {
                check(level, optimiser, cols);
            }
        }
    });
}

/// The step on f32 weights `w`, of which it returns the new ones, and the state after it.
fn stepped(level: Level, optimiser: &str, w: &[f32], cols: usize, rows: &[u32], grads: &[f32]) -> (Vec<f32>, State) {
    let (mut w, mut state) = (w.to_vec(), State::new(cols));
    let grads = RowGrads::new(UniqueRowIds::new(rows, ROWS).unwrap(), MatRef::new(grads, rows.len(), cols));
    state.step(optimiser, level, Weights::F32(MatMut::new(&mut w, ROWS, cols)), grads);
    (w, state)
}

#[test]
fn bf16_weights_are_the_f32_result_rounded_with_the_bits_of_seed_step_and_row() {
    each_case(|level, optimiser, cols| {
        let (start, grads) = (halves(&numbers(ROWS * cols, 5)), numbers(2 * cols, 6));
        let wide: Vec<f32> = start.iter().map(|w| w.to_f32()).collect();
        let (want, state) = stepped(level, optimiser, &wide, cols, &[1, 4], &grads);
        let mut w = Misaligned::new(&start, 1);
        let mut other = State::new(cols);
        let rows = RowGrads::new(UniqueRowIds::new(&[1, 4], ROWS).unwrap(), MatRef::new(&grads, 2, cols));
        let weights = Weights::Bf16 { weights: MatMut::new(&mut w, ROWS, cols), seed: 8 };
        other.step(optimiser, level, weights, rows);
        assert_eq!(state, other, "{optimiser} {cols}");
        for row in 0..ROWS {
            let mut rounded = vec![bf16::ZERO; cols];
            let key = crate::convert::RandomKey { seed: 8, step: STEP as u64, row: row as u64 };
            bf16_from_f32_stochastic(level, &mut rounded, &want[row * cols..][..cols], key);
            assert_eq!(w[row * cols..][..cols], rounded, "{optimiser} {cols} row {row}");
        }
    });
}

#[test]
fn a_master_copy_has_the_f32_result_and_the_weights_are_the_nearest_to_it() {
    each_case(|level, optimiser, cols| {
        let (start, grads) = (numbers(ROWS * cols, 5), numbers(2 * cols, 6));
        let (want, _) = stepped(level, optimiser, &start, cols, &[1, 4], &grads);
        let (mut w, mut master) = (Misaligned::new(&halves(&start), 1), Misaligned::new(&start, 3));
        let rows = RowGrads::new(UniqueRowIds::new(&[1, 4], ROWS).unwrap(), MatRef::new(&grads, 2, cols));
        let (weights, master_rows) = (MatMut::new(&mut w, ROWS, cols), MatMut::new(&mut master, ROWS, cols));
        let weights = Weights::Bf16WithMaster { weights, master: master_rows };
        State::new(cols).step(optimiser, level, weights, rows);
        assert_eq!(*master, want[..], "{optimiser} {cols}");
        assert_eq!(*w, halves(&want)[..], "{optimiser} {cols}");
    });
}

#[test]
fn rows_without_a_gradient_keep_their_bits_and_so_does_what_lies_between_strided_rows() {
    each_case(|level, optimiser, cols| {
        let (start, grads) = (numbers(ROWS * (cols + 3), 5), numbers(2 * cols, 6));
        let (mut w, mut state) = (start.clone(), State::new(cols));
        let rows = RowGrads::new(UniqueRowIds::new(&[1, 4], ROWS).unwrap(), MatRef::new(&grads, 2, cols));
        let weights = Weights::F32(MatMut::with_stride(&mut w, ROWS, cols, cols + 3));
        state.step(optimiser, level, weights, rows);
        let before = State::new(cols);
        for (row, (w, start)) in w.chunks(cols + 3).zip(start.chunks(cols + 3)).enumerate() {
            assert_eq!(w[cols..], start[cols..], "{optimiser} {cols} row {row}");
            if ![1, 4].contains(&row) {
                assert_eq!(w, start, "{optimiser} {cols} row {row}");
                let of_row = row * cols..(row + 1) * cols;
                assert_eq!(state.m[of_row.clone()], before.m[of_row.clone()]);
                assert_eq!(state.m_codes[of_row.clone()], before.m_codes[of_row.clone()]);
                assert_eq!(state.v[of_row.clone()], before.v[of_row]);
                assert_eq!((state.per_row[row], state.steps[row]), (before.per_row[row], before.steps[row]));
            }
        }
    });
}

#[test]
fn a_row_does_not_depend_on_the_others_of_the_call_and_all_rows_are_a_list() {
    each_case(|level, optimiser, cols| {
        let (start, grads) = (numbers(ROWS * cols, 5), numbers(ROWS * cols, 6));
        let rows: Vec<u32> = (0..ROWS as u32).collect();
        let together = stepped(level, optimiser, &start, cols, &rows, &grads);
        let (mut w, mut state) = (start.clone(), State::new(cols));
        for part in [&rows[..2], &rows[2..2], &rows[2..]] {
            let first = part.first().map_or(0, |&row| row as usize);
            let grads = MatRef::new(&grads[first * cols..][..part.len() * cols], part.len(), cols);
            let grads = RowGrads::new(UniqueRowIds::new(part, ROWS).unwrap(), grads);
            state.step(optimiser, level, Weights::F32(MatMut::new(&mut w, ROWS, cols)), grads);
        }
        assert_eq!(together, (w, state), "{optimiser} {cols}");
        let (mut w, mut state) = (start.clone(), State::new(cols));
        let all = RowGrads::all(MatRef::new(&grads, ROWS, cols));
        state.step(optimiser, level, Weights::F32(MatMut::new(&mut w, ROWS, cols)), all);
        assert_eq!(together, (w, state), "{optimiser} {cols}");
    });
}

#[test]
fn a_gradient_that_is_not_finite_makes_its_weight_nan_or_infinite_and_no_other_row() {
    each_case(|level, optimiser, cols| {
        for fault in [f32::NAN, f32::INFINITY] {
            let Some(at) = cols.checked_sub(1) else { return };
            let (start, mut grads) = (numbers(ROWS * cols, 5), numbers(2 * cols, 6));
            grads[at] = fault;
            let (w, _) = stepped(level, optimiser, &start, cols, &[1, 4], &grads);
            assert!(!w[cols + at].is_finite(), "{optimiser} {cols}: {}", w[cols + at]);
            assert!(w[4 * cols..].iter().all(|w| w.is_finite()), "{optimiser} {cols}");
        }
    });
}

#[test]
fn levels_with_fused_multiply_add_give_the_same_bits() {
    for optimiser in OPTIMISERS.into_iter().filter(|&name| name != "adagrad" && name != "rmsprop") {
        for cols in lengths().chain([600]) {
            let (start, grads) = (numbers(ROWS * cols, 5), numbers(2 * cols, 6));
            let run = |level| stepped(level, optimiser, &start, cols, &[1, 4], &grads);
            let mut results = Level::available().filter(|&level| level != Level::PORTABLE).map(run);
            if let Some(first) = results.next() {
                assert!(results.all(|other| other == first), "{optimiser} {cols}");
            }
        }
    }
}

/// Half of `sum a (w - c)^2` with `a` in [1/2, 2]: each optimiser must come from a loss of about `1` a weight to a hundredth of it, in any
/// storage. Steps of Adam and RMSprop are about `lr` long, so they come within about `lr` of the minimum, a loss of `lr^2`; bf16
/// weights of size 2 lie 2^-6 apart, a loss of 2^-12.
#[test]
fn every_optimiser_finds_the_minimum_of_a_quadratic_in_every_storage() {
    let cols = 40;
    let goal: Vec<f32> = numbers(ROWS * cols, 7).iter().map(|x| 2.0 * x).collect();
    let curve: Vec<f32> = numbers(ROWS * cols, 8).iter().map(|x| 2f32.powf(*x)).collect();
    let loss = |w: &[f32]| -> f32 { w.iter().zip(&goal).zip(&curve).map(|((w, c), a)| a * (w - c) * (w - c)).sum() };
    let rows: Vec<u32> = (0..ROWS as u32).collect();
    for optimiser in OPTIMISERS {
        for storage in ["f32", "bf16", "master"] {
            let mut state = State::new(cols);
            state.m.fill(0.0);
            state.v.fill(0.0);
            state.m_scales.fill(0.0);
            state.v_scales.fill(0.0);
            state.per_row.fill(0.0);
            let (mut w, mut short) = (vec![0.0f32; ROWS * cols], vec![bf16::ZERO; ROWS * cols]);
            let start = loss(&w);
            for step in 1..=600 {
                let seen = if storage == "bf16" { short.iter().map(|w| w.to_f32()).collect() } else { w.clone() };
                let grads: Vec<f32> = seen.iter().zip(&goal).zip(&curve).map(|((w, c), a)| a * (w - c)).collect();
                let grads = RowGrads::new(UniqueRowIds::new(&rows, ROWS).unwrap(), MatRef::new(&grads, ROWS, cols));
                let (wide, half) = (MatMut::new(&mut w, ROWS, cols), MatMut::new(&mut short, ROWS, cols));
                let weights = match storage {
                    "f32" => Weights::F32(wide),
                    "bf16" => Weights::Bf16 { weights: half, seed: step },
                    _ => Weights::Bf16WithMaster { weights: half, master: wide },
                };
                state.train(optimiser, weights, grads, step as u32);
            }
            let end: Vec<f32> = if storage == "f32" { w } else { short.iter().map(|w| w.to_f32()).collect() };
            assert!(loss(&end) < start / 100.0, "{optimiser} {storage}: {start} only fell to {}", loss(&end));
        }
    }
}

impl State {
    /// A step with learning rates at which 600 steps are enough.
    fn train(&mut self, optimiser: &str, weights: Weights, grads: RowGrads, step: u32) {
        let (level, cols, t) = (Level::detect(), weights.cols(), step as u64);
        let adam = Adam { lr: 0.02, ..Adam::default() };
        self.steps.fill(step - 1);
        match optimiser {
            "sgd" => sgd(level, weights, grads, &Sgd { lr: 0.02, ..Sgd::default() }, t),
            "momentum" => {
                momentum(level, weights, MatMut::new(&mut self.m, ROWS, cols), grads, &Momentum::default(), t)
            }
            "adagrad" => {
                let params = RowwiseAdagrad { lr: 0.5, ..RowwiseAdagrad::default() };
                rowwise_adagrad(level, weights, &mut self.per_row, grads, &params, t)
            }
            "rmsprop" => rowwise_rmsprop(level, weights, &mut self.per_row, grads, &RowwiseRmsprop::default(), t),
            "adam lazy" => {
                let mut steps = self.steps.clone();
                adam_lazy(level, weights, self.f32_moments(cols), &mut steps, grads, &adam)
            }
            "adam catch-up" => {
                let mut steps = self.steps.clone();
                adam_catch_up(level, weights, self.f32_moments(cols), &mut steps, grads, &adam, step)
            }
            _ => {
                let blocks = cols.div_ceil(BLOCK);
                let moments = Moments::Blockwise {
                    m: MatMut::new(&mut self.m_codes, ROWS, cols),
                    v: MatMut::new(&mut self.v_codes, ROWS, cols),
                    m_scales: MatMut::new(&mut self.m_scales, ROWS, blocks),
                    v_scales: MatMut::new(&mut self.v_scales, ROWS, blocks),
                };
                adam_catch_up(level, weights, moments, &mut self.steps, grads, &adam, step)
            }
        }
    }
}

#[test]
#[should_panic(expected = "grads and weights differ in columns")]
fn gradients_of_another_width_are_a_wrong_call() {
    let grads = RowGrads::all(MatRef::new(&[0.0; 2], 1, 2));
    sgd(Level::PORTABLE, Weights::F32(MatMut::new(&mut [0.0; 3], 1, 3)), grads, &Sgd::default(), 1);
}

#[test]
#[should_panic(expected = "touched rows below 4 for a matrix of 3 rows")]
fn rows_checked_for_a_larger_matrix_are_a_wrong_call() {
    let rows = UniqueRowIds::new(&[3], 4).unwrap();
    let grads = RowGrads::new(rows, MatRef::new(&[0.0], 1, 1));
    sgd(Level::PORTABLE, Weights::F32(MatMut::new(&mut [0.0; 3], 3, 1)), grads, &Sgd::default(), 1);
}
