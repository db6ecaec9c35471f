//! Optimiser steps on rows scattered over DRAM, against reading and writing the same bytes of the same rows.

use std::cell::RefCell;
use std::rc::Rc;

use hotrow_kernels::optim::{
    self, Adam, BLOCK, Moments, Momentum, RowGrads, RowwiseAdagrad, RowwiseRmsprop, Sgd, Weights, adam_catch_up,
    adam_lazy, rowwise_adagrad, rowwise_rmsprop, sgd,
};
use hotrow_kernels::{Level, MatRef, UniqueRowIds, Weight, bf16};

use crate::measure::{Bench, Contest, Target, Work};
use crate::memory::{Table, Turns, numbers, random_unique_rows};
use crate::roofline::against_updating;

/// Rows of a call, and numbers of a row.
const TOUCHED: usize = 1024;
const DIM: usize = 512;
/// Large enough that the learning rate shows in bf16, too.
const LR: f32 = 0.25;

pub fn run(bench: &mut Bench) {
    for kernel in Kernel::ALL {
        kernel.line::<f32>(bench);
        kernel.line::<bf16>(bench);
    }
}

#[derive(Clone, Copy)]
enum Kernel {
    Sgd,
    Momentum,
    RowwiseAdagrad,
    RowwiseRmsprop,
    AdamLazy,
    AdamCatchUp,
    AdamCatchUp8Bit,
}

impl Kernel {
    const ALL: [Kernel; 7] = [
        Kernel::Sgd,
        Kernel::Momentum,
        Kernel::RowwiseAdagrad,
        Kernel::RowwiseRmsprop,
        Kernel::AdamLazy,
        Kernel::AdamCatchUp,
        Kernel::AdamCatchUp8Bit,
    ];

    fn name(self) -> &'static str {
        match self {
            Kernel::Sgd => "sgd",
            Kernel::Momentum => "momentum",
            Kernel::RowwiseAdagrad => "rowwise_adagrad",
            Kernel::RowwiseRmsprop => "rowwise_rmsprop",
            Kernel::AdamLazy => "adam_lazy",
            Kernel::AdamCatchUp => "adam_catch_up",
            Kernel::AdamCatchUp8Bit => "adam_catch_up_8bit",
        }
    }

    /// Bytes that a row has in each table beside the weights.
    fn state(self) -> Vec<usize> {
        let scales = 4 * DIM.div_ceil(BLOCK);
        match self {
            Kernel::Sgd => vec![],
            Kernel::Momentum => vec![4 * DIM],
            Kernel::RowwiseAdagrad | Kernel::RowwiseRmsprop => vec![4],
            Kernel::AdamLazy | Kernel::AdamCatchUp => vec![4 * DIM, 4 * DIM, 4],
            Kernel::AdamCatchUp8Bit => vec![DIM, DIM, scales, scales, 4],
        }
    }

    fn line<W: Weight>(self, bench: &mut Bench) {
        let (level, quick) = (Level::detect(), bench.quick);
        let name = format!("{}/{level}/dram/a{TOUCHED}_d{DIM}/{}", self.name(), W::NAME);
        bench.line(&name, Some(Target::Share(0.85)), move || {
            self.check::<W>(level);
            // One GiB of f32 weights; with their state that is two GiB or more for all that read as much as they write.
            // Odd, so that the same row of two tables does not stand at the same place of two pages.
            let rows = if quick { 2 * TOUCHED } else { (1 << 19) - 1 };
            let tables = Rc::new(RefCell::new(self.tables::<W>(rows)));
            let turns = Turns::new(random_unique_rows(if quick { 1 } else { 64 }, TOUCHED, rows));
            let grads = numbers(TOUCHED * DIM, 4);
            let bytes = TOUCHED * (2 * (DIM * size_of::<W>() + self.state().iter().sum::<usize>()) + 4 * DIM);
            let (own, own_turns, own_grads, mut step) = (tables.clone(), turns.clone(), grads.clone(), 0);
            let contest = Contest::of(Work::bytes(bytes), move || {
                step += 1;
                self.step::<W>(level, &mut own.borrow_mut(), own_turns.next(), &own_grads, step);
            });
            against_updating(contest, level, tables, turns, grads, DIM)
        });
    }

    /// Weights as in the read benches, state of zeros.
    fn tables<W: Weight>(self, rows: usize) -> Vec<Table> {
        let weights = Table::of_weights(rows, DIM * size_of::<W>());
        std::iter::once(weights).chain(self.state().into_iter().map(|bytes| Table::of_zeros(rows, bytes))).collect()
    }

    fn step<W: Weight>(self, level: Level, tables: &mut [Table], rows: UniqueRowIds, grads: &[f32], step: u32) {
        let grads = RowGrads::new(rows, MatRef::new(grads, rows.len(), DIM));
        let (weights, state) = tables.split_first_mut().expect("the weights");
        let weights = match W::IS_F32 {
            true => Weights::F32(weights.matrix()),
            false => Weights::Bf16 { weights: weights.matrix(), seed: 1 },
        };
        let adam = Adam { lr: LR, ..Adam::default() };
        match (self, state) {
            (Kernel::Sgd, []) => sgd(level, weights, grads, &Sgd { lr: LR, ..Sgd::default() }, step.into()),
            (Kernel::Momentum, [u]) => {
                let params = Momentum { lr: LR, ..Momentum::default() };
                optim::momentum(level, weights, u.matrix(), grads, &params, step.into());
            }
            (Kernel::RowwiseAdagrad, [sums]) => {
                let params = RowwiseAdagrad { lr: LR, ..RowwiseAdagrad::default() };
                rowwise_adagrad(level, weights, sums.numbers(), grads, &params, step.into());
            }
            (Kernel::RowwiseRmsprop, [means]) => {
                let params = RowwiseRmsprop { lr: LR, ..RowwiseRmsprop::default() };
                rowwise_rmsprop(level, weights, means.numbers(), grads, &params, step.into());
            }
            (Kernel::AdamLazy, [m, v, steps]) => {
                let moments = Moments::F32 { m: m.matrix(), v: v.matrix() };
                adam_lazy(level, weights, moments, steps.numbers(), grads, &adam);
            }
            (Kernel::AdamCatchUp, [m, v, steps]) => {
                let moments = Moments::F32 { m: m.matrix(), v: v.matrix() };
                adam_catch_up(level, weights, moments, steps.numbers(), grads, &adam, step);
            }
            (Kernel::AdamCatchUp8Bit, [m, v, m_scales, v_scales, steps]) => {
                let (m, v, m_scales, v_scales) = (m.matrix(), v.matrix(), m_scales.matrix(), v_scales.matrix());
                let moments = Moments::Blockwise { m, v, m_scales, v_scales };
                adam_catch_up(level, weights, moments, steps.numbers(), grads, &adam, step);
            }
            _ => unreachable!("`tables` makes what `step` takes"),
        }
    }

    /// The first step from a state of zeros has a closed form in each of them.
    fn check<W: Weight>(self, level: Level) {
        let ids = [3, 7, 40];
        let rows = UniqueRowIds::new(&ids, 50).expect("in order");
        let (mut tables, grads) = (self.tables::<W>(50), numbers(3 * DIM, 4));
        let before: Vec<W> = tables[0].numbers::<W>().to_vec();
        self.step::<W>(level, &mut tables, rows, &grads, 1);
        let after = tables[0].numbers::<W>();
        for row in 0..50 {
            let position = ids.iter().position(|&id| id as usize == row);
            let grad = |i: usize| position.map_or(0.0, |a| grads[a * DIM + i] as f64);
            let mean = (0..DIM).map(|i| grad(i) * grad(i)).sum::<f64>() / DIM as f64;
            for i in 0..DIM {
                let g = grad(i);
                let direction = match self {
                    Kernel::Sgd | Kernel::Momentum => g,
                    _ if position.is_none() => 0.0,
                    Kernel::RowwiseAdagrad => g / (mean.sqrt() + RowwiseAdagrad::default().eps as f64),
                    Kernel::RowwiseRmsprop => {
                        let RowwiseRmsprop { alpha, eps, .. } = RowwiseRmsprop::default();
                        g / (((1.0 - alpha as f64) * mean).sqrt() + eps as f64)
                    }
                    _ => g / (g.abs() + Adam::default().eps as f64),
                };
                let (old, got) = (before[row * DIM + i].to_f32() as f64, after[row * DIM + i].to_f32() as f64);
                let want = old - LR as f64 * direction;
                // Each of fewer than 16 operations on a number rounds by half an ulp, the mean of squares, all of one sign,
                // by DIM more; a stored bf16 is off by less than 2^-7 of its size.
                let bound = (16.0 + DIM as f64) * f32::EPSILON as f64 * (old.abs() + (LR as f64 * direction).abs())
                    + if W::IS_F32 { 0.0 } else { want.abs() / 128.0 };
                assert!((got - want).abs() <= bound, "{}: row {row}, column {i}: {got} is not {want}", self.name());
            }
        }
    }
}
