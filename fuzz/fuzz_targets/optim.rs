//! Optimiser steps: levels with a fused multiply-add agree to the bit (row-wise steps up to the order of one sum), idle rows keep
//! theirs, and SGD is compared with its definition.
#![no_main]

use hotrow_fuzz::{Input, Matrix, Sum, assert_same, fused_levels};
use hotrow_kernels::optim::{
    Adam, BLOCK, Moments, Momentum, RowGrads, RowwiseAdagrad, RowwiseRmsprop, Sgd, Weights, adam_catch_up, adam_dense,
    adam_lazy, momentum, rowwise_adagrad, rowwise_rmsprop, sgd,
};
use hotrow_kernels::{Level, MatMut, UniqueRowIds, bf16};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| run(&mut Input::new(data)));

/// The step to take.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Sgd,
    Momentum,
    Adagrad,
    Rmsprop,
    AdamLazy,
    AdamCatchUp,
    AdamDense,
}

const STEPS: [Step; 7] =
    [Step::Sgd, Step::Momentum, Step::Adagrad, Step::Rmsprop, Step::AdamLazy, Step::AdamCatchUp, Step::AdamDense];

/// How weights are stored.
#[derive(Clone, Copy, Debug)]
enum Storage {
    F32,
    Bf16,
    Master,
}

/// Weights and whatever any of the steps keeps.
#[derive(Clone)]
struct State {
    full: Matrix<f32>,
    half: Matrix<bf16>,
    m: Matrix<f32>,
    v: Matrix<f32>,
    codes: [Vec<u8>; 2],
    scales: [Vec<f32>; 2],
    per_row: Vec<f32>,
    steps: Vec<u32>,
}

fn run(input: &mut Input) {
    let step = STEPS[input.up_to(STEPS.len() - 1)];
    let storage = [Storage::F32, Storage::Bf16, Storage::Master][input.up_to(2)];
    let (eight_bits, wide) = (input.flag(), input.up_to(7) == 7);
    let (rows, cols) = (input.up_to(5), input.up_to(if wide { 2 * BLOCK + 9 } else { 80 }));
    let ids = input.increasing_ids(rows);
    let grads = input.matrix::<f32>(ids.len(), cols);
    let mut state = State {
        full: input.matrix(rows, cols),
        half: input.matrix(rows, cols),
        m: input.matrix(rows, cols),
        v: input.matrix(rows, cols),
        codes: [vec![0; rows * cols], vec![0; rows * cols]],
        scales: [vec![0.0; rows * cols.div_ceil(BLOCK)], vec![0.0; rows * cols.div_ceil(BLOCK)]],
        per_row: vec![0.0; rows],
        steps: vec![0; rows],
    };
    // A mean of squares is not negative.
    let mut v = state.v.view_mut();
    for row in 0..rows {
        v.row_mut(row).iter_mut().for_each(|v| *v = v.abs());
    }
    let (seed, grad_scale, weight_decay) =
        (input.bits() as u64, [1.0, 0.25][input.up_to(1)], [0.0, 0.5][input.up_to(1)]);

    let apply = |level: Level| {
        let mut after = state.clone();
        // Two steps, so that the second reads what the first has written.
        for t in 1..=2u32 {
            after.apply(level, step, storage, eight_bits, &ids, &grads, (seed, grad_scale, weight_decay), t);
        }
        after
    };
    let mut first: Option<State> = None;
    for level in fused_levels() {
        let after = apply(level);
        after.assert_idle_rows_kept(&state, step, &ids, level);
        let first = first.get_or_insert_with(|| after.clone());
        if !matches!(step, Step::Adagrad | Step::Rmsprop) {
            after.assert_same(first, format_args!("{level} {step:?} {storage:?}, 8 bits: {eight_bits}"));
        }
    }
    apply(Level::PORTABLE).assert_idle_rows_kept(&state, step, &ids, Level::PORTABLE);

    if step == Step::Sgd && matches!(storage, Storage::F32) {
        for level in Level::available() {
            let mut after = state.clone();
            after.apply(level, step, storage, eight_bits, &ids, &grads, (seed, grad_scale, weight_decay), 1);
            let (lr, decay) = (LR as f64, 1.0 - LR as f64 * weight_decay as f64);
            for (a, &id) in ids.iter().enumerate() {
                let (before, got) = (state.full.exact(id as usize), after.full.view().row(id as usize));
                for ((&w, g), &got) in before.iter().zip(grads.exact(a)).zip(got) {
                    let mut want = Sum::default();
                    want.add(w, decay);
                    want.add(-lr * grad_scale as f64, g);
                    want.rounded_once_more();
                    want.assert_is(got, format_args!("{level} sgd, row {id}"));
                }
            }
        }
    }
}

const LR: f32 = 0.125;

impl State {
    #[allow(clippy::too_many_arguments)]
    fn apply(
        &mut self,
        level: Level,
        step: Step,
        storage: Storage,
        eight_bits: bool,
        ids: &[u32],
        grads: &Matrix<f32>,
        (seed, grad_scale, weight_decay): (u64, f32, f32),
        t: u32,
    ) {
        let (rows, cols) = (self.full.rows(), self.full.cols());
        let touched = UniqueRowIds::new(ids, rows).expect("increasing and in range");
        let grads = RowGrads::new(touched, grads.view());
        let weights = match storage {
            Storage::F32 => Weights::F32(self.full.view_mut()),
            Storage::Bf16 => Weights::Bf16 { weights: self.half.view_mut(), seed },
            Storage::Master => Weights::Bf16WithMaster { weights: self.half.view_mut(), master: self.full.view_mut() },
        };
        let [m_codes, v_codes] = &mut self.codes;
        let [m_scales, v_scales] = &mut self.scales;
        let blocks = cols.div_ceil(BLOCK);
        let moments = match eight_bits {
            false => Moments::F32 { m: self.m.view_mut(), v: self.v.view_mut() },
            true => Moments::Blockwise {
                m: MatMut::new(m_codes, rows, cols),
                v: MatMut::new(v_codes, rows, cols),
                m_scales: MatMut::new(m_scales, rows, blocks),
                v_scales: MatMut::new(v_scales, rows, blocks),
            },
        };
        let adam = Adam { lr: LR, grad_scale, weight_decay, ..Adam::default() };
        match step {
            Step::Sgd => sgd(level, weights, grads, &Sgd { lr: LR, weight_decay, grad_scale }, t as u64),
            Step::Momentum => {
                let params = Momentum { lr: LR, nesterov: eight_bits, weight_decay, grad_scale, ..Momentum::default() };
                drop(moments);
                momentum(level, weights, self.m.view_mut(), grads, &params, t as u64)
            }
            Step::Adagrad => {
                let params = RowwiseAdagrad { lr: LR, weight_decay, grad_scale, ..RowwiseAdagrad::default() };
                rowwise_adagrad(level, weights, &mut self.per_row, grads, &params, t as u64)
            }
            Step::Rmsprop => {
                let params = RowwiseRmsprop { lr: LR, weight_decay, grad_scale, ..RowwiseRmsprop::default() };
                rowwise_rmsprop(level, weights, &mut self.per_row, grads, &params, t as u64)
            }
            Step::AdamLazy => adam_lazy(level, weights, moments, &mut self.steps, grads, &adam),
            Step::AdamCatchUp => adam_catch_up(level, weights, moments, &mut self.steps, grads, &adam, t),
            Step::AdamDense => adam_dense(level, weights, moments, grads, &adam, t),
        }
    }

    #[track_caller]
    fn assert_same(&self, other: &State, what: std::fmt::Arguments) {
        for row in 0..self.full.rows() {
            assert_same(self.full.view().row(row), other.full.view().row(row), what);
            assert_same(self.half.view().row(row), other.half.view().row(row), what);
            assert_same(self.m.view().row(row), other.m.view().row(row), what);
            assert_same(self.v.view().row(row), other.v.view().row(row), what);
        }
        assert_eq!(self.codes, other.codes, "{what}");
        for (a, b) in self.scales.iter().zip(&other.scales) {
            assert_same(a, b, what);
        }
        assert_eq!(self.steps, other.steps, "{what}");
    }

    #[track_caller]
    fn assert_idle_rows_kept(&self, before: &State, step: Step, ids: &[u32], level: Level) {
        self.full.assert_gaps_untouched();
        self.half.assert_gaps_untouched();
        self.m.assert_gaps_untouched();
        self.v.assert_gaps_untouched();
        // Dense Adam moves every row.
        for row in (0..self.full.rows()).filter(|&row| step != Step::AdamDense && !ids.contains(&(row as u32))) {
            let what = format_args!("{level} {step:?}, idle row {row}").to_string();
            assert_same(self.full.view().row(row), before.full.view().row(row), &what);
            assert_same(self.half.view().row(row), before.half.view().row(row), &what);
            assert_same(self.m.view().row(row), before.m.view().row(row), &what);
            assert_same(self.v.view().row(row), before.v.view().row(row), &what);
            assert_eq!(self.steps[row], before.steps[row], "{what}");
        }
    }
}
