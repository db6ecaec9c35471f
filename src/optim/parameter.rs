//! A matrix of weights with its state.

mod make;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::ops::Range;

use rayon::prelude::*;

use super::rule::Rule;
use super::split::Splitter;
use super::state::{self, State, StatePiece};
use super::stored::Stored;
use super::{RowSet, StepOptions, sleeps};
use crate::config::{Optim, OptimizerName};
use crate::error::{Error, Result};
use crate::index::WeightsRef;
use crate::kernels::optim::{RowGrads, Weights};
use crate::kernels::reduce::squared_norm;
use crate::kernels::{Level, MatMut, MatRef, UniqueRowIds};
use crate::scratch::lend;
use crate::tensor::{Elements, ElementsMut, Tensor, TensorMut};

/// Rows that one thread updates at a time: 256 rows of 128 numbers and their gradients fit the second-level cache.
const BLOCK_ROWS: usize = 256;

thread_local! {
    /// Gradients of a block, and its rows counted from its first.
    static SCRATCH: Cell<(Vec<f32>, Vec<u32>)> = const { Cell::new((Vec::new(), Vec::new())) };
}

/// A matrix of weights (rows, D) with the state of the rule that moves them.
#[derive(Debug)]
pub struct Parameter {
    name: String,
    stored: Stored,
    rule: Rule,
    state: State,
}

impl Parameter {
    /// The name of the weights; those of the state begin with it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.stored.rows()
    }

    /// Length of a row.
    pub fn cols(&self) -> usize {
        self.stored.cols()
    }

    /// The weights to compute with.
    pub fn weights(&self) -> WeightsRef<'_> {
        match &self.stored {
            Stored::F32(w) => WeightsRef::F32(w.view()),
            Stored::Bf16(w) | Stored::Bf16Master { weights: w, .. } => WeightsRef::Bf16(w.view()),
        }
    }

    /// The weights as one f32 slice.
    ///
    /// # Panics
    ///
    /// If they are stored otherwise.
    #[track_caller]
    pub fn f32(&self) -> &[f32] {
        match &self.stored {
            Stored::F32(w) => w.as_slice(),
            _ => panic!("{} is not stored as f32", self.name),
        }
    }

    /// Bytes that a step reads and writes for each row it touches: gradient not counted.
    pub fn bytes_per_row(&self) -> u64 {
        let rows = self.rows().max(1);
        let all: usize =
            self.weight_tensors().iter().chain(&self.state_tensors()).map(|t| t.elements.bytes().len()).sum();
        2 * (all / rows) as u64
    }

    /// Bytes of weights and state.
    pub fn bytes(&self) -> u64 {
        self.weight_tensors().iter().chain(&self.state_tensors()).map(|t| t.elements.bytes().len() as u64).sum()
    }

    /// Moves the rows of `active`, and, in a dense Adam, all others too. `gradient(positions, out)` writes the gradient of the
    /// rows at `positions` of the set into `out` (positions, D); it is called once for each block of positions, from
    /// several threads, and may start parallel work of its own. Blocks are cut by number of rows, so the threads change nothing.
    ///
    /// # Panics
    ///
    /// If `active` is of another number of rows, or the step's rule is not the one that the state was made for: see
    /// [`try_update`](Self::try_update). Nothing has moved then. The constants of a rule that Adam cannot have, and a gradient that
    /// panics, leave some rows moved.
    #[track_caller]
    pub fn update(&mut self, active: RowSet, step: &StepOptions, gradient: impl Fn(Range<usize>, MatMut<f32>) + Sync) {
        self.check(active);
        self.check_rule(step.optim).unwrap_or_else(|error| panic!("{error}"));
        let (rows, cols) = (self.rows(), self.cols());
        if active.is_empty() && self.rule.name != OptimizerName::AdamDense {
            return;
        }
        let mut blocks: Vec<Range<usize>> = blocks_of(active.len()).collect();
        if blocks.is_empty() {
            blocks.push(0..0);
        }
        // Rows up to the last of each block; the last block has the rest.
        let mut ends: Vec<usize> =
            blocks.iter().map(|b| b.end.checked_sub(1).map_or(0, |at| active.row(at) + 1)).collect();
        *ends.last_mut().expect("there is a block") = rows;
        let pieces = self.split(&ends, step.seed);
        pieces.into_par_iter().zip(blocks).for_each(|((first, weights, state), block)| {
            lend(&SCRATCH, |(grads, ids)| {
                grads.resize(block.len() * cols, 0.0);
                gradient(block.clone(), MatMut::new(grads, block.len(), cols));
                ids.clear();
                ids.extend(block.clone().map(|at| (active.row(at) - first) as u32));
                let ids = UniqueRowIds::new(ids, weights.rows()).expect("increasing rows of this block");
                let grads = MatRef::new(grads, block.len(), cols);
                state::apply(weights, state, RowGrads::new(ids, grads), step);
            });
        });
    }

    /// As [`update`](Self::update), for steps that come from elsewhere.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if `active` is of another number of rows, the step's rule is not the one that the state was made for (its
    /// name or its 8 bits), one of its constants cannot be, or the step's number is 0. Nothing has moved then.
    ///
    /// ```
    /// use hotrow::config::{Optim, OptimizerName, Storage};
    /// use hotrow::{kernels::Level, optim::{Init, Parameter, RowSet, StepOptions}};
    /// let rule = |name| Optim { name, ..Optim::default() };
    /// let (made_for, optim) = (rule(OptimizerName::AdamLazy), rule(OptimizerName::Sgd));
    /// let mut w = Parameter::new("w", 2, 2, Storage::F32, &made_for, Init::Zeros, 7);
    /// let step = StepOptions { optim: &optim, number: 1, lr: 1.0, grad_scale: 1.0, seed: 7, level: Level::detect() };
    /// let error = w.try_update(RowSet::All(2), &step, |_, mut out| out.row_mut(0).fill(1.0)).unwrap_err();
    /// assert_eq!(error.to_string(), "optim.name: w has the state of adam-lazy, the step is one of sgd");
    /// ```
    pub fn try_update(
        &mut self,
        active: RowSet,
        step: &StepOptions,
        gradient: impl Fn(Range<usize>, MatMut<f32>) + Sync,
    ) -> Result<()> {
        let (rows, limit) = (self.rows(), self.limit(active));
        if limit != rows {
            return Err(Error::config("active", format!("rows of {limit} for {} of {rows} rows", self.name)));
        }
        self.check_rule(step.optim)?;
        step.optim.check()?;
        if step.number == 0 {
            return Err(Error::config("step", "0: steps count from 1"));
        }
        self.update(active, step, gradient);
        Ok(())
    }

    /// Whether a step of `optim` can move this parameter: its state was made for one rule.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with both rules if they differ in name or in 8 bits. Constants may differ.
    ///
    /// ```
    /// use hotrow::config::{Optim, OptimizerName, Storage};
    /// use hotrow::optim::{Init, Parameter};
    /// let adam = |eight_bit| Optim { name: OptimizerName::Adam, eight_bit, ..Optim::default() };
    /// let w = Parameter::new("w", 2, 2, Storage::F32, &adam(false), Init::Zeros, 7);
    /// assert!(w.check_rule(&adam(false)).is_ok() && w.check_rule(&adam(true)).is_err());
    /// ```
    pub fn check_rule(&self, optim: &Optim) -> Result<()> {
        let (made_for, asked) = (self.rule, Rule::of(optim));
        match made_for == asked {
            true => Ok(()),
            false => {
                let message = format!("{} has the state of {made_for}, the step is one of {asked}", self.name);
                Err(Error::config("optim.name", message))
            }
        }
    }

    /// As [`update`](Self::update) of all rows, whose gradient (rows, D) stands in memory already.
    ///
    /// # Panics
    ///
    /// If `gradient` has another shape than the weights, or the step's rule is not the one that the state was made for: see
    /// [`check_rule`](Self::check_rule).
    #[track_caller]
    pub fn update_all(&mut self, gradient: MatRef<f32>, step: &StepOptions) {
        self.check_rule(step.optim).unwrap_or_else(|error| panic!("{error}"));
        let (rows, cols) = (self.rows(), self.cols());
        assert_eq!((gradient.rows(), gradient.cols()), (rows, cols), "the gradient of {} has another shape", self.name);
        let ends: Vec<usize> = blocks_of(rows).map(|block| block.end).collect();
        self.split(&ends, step.seed).into_par_iter().for_each(|(first, weights, state)| {
            let grads = gradient.window(first..first + weights.rows(), 0..cols);
            state::apply(weights, state, RowGrads::all(grads), step);
        });
    }

    /// The squared Euclidean length of the gradient that [`update`](Self::update) would apply. `gradient` is as there.
    ///
    /// # Panics
    ///
    /// If `active` is of another number of rows.
    #[track_caller]
    pub fn squared_gradient(
        &self,
        active: RowSet,
        level: Level,
        gradient: impl Fn(Range<usize>, MatMut<f32>) + Sync,
    ) -> f64 {
        self.check(active);
        let cols = self.cols();
        let blocks: Vec<Range<usize>> = blocks_of(active.len()).collect();
        let squares: Vec<f64> = blocks
            .into_par_iter()
            .map(|block| {
                lend(&SCRATCH, |(grads, _)| {
                    grads.resize(block.len() * cols, 0.0);
                    gradient(block.clone(), MatMut::new(grads, block.len(), cols));
                    grads.chunks(cols.max(1)).map(|row| squared_norm(level, row) as f64).sum()
                })
            })
            .collect();
        squares.iter().sum()
    }

    /// Brings rows that slept up to date, where the parameter's rule lets rows sleep; before weights are read as a whole.
    ///
    /// # Panics
    ///
    /// If it does, and the step's rule is another.
    #[track_caller]
    pub fn settle(&mut self, step: &StepOptions) {
        if !sleeps(self.rule.name) {
            return;
        }
        self.check_rule(step.optim).unwrap_or_else(|error| panic!("{error}"));
        let rows = self.rows();
        let ends: Vec<usize> = (1..=rows.div_ceil(BLOCK_ROWS)).map(|block| (block * BLOCK_ROWS).min(rows)).collect();
        let pieces = self.split(&ends, step.seed);
        pieces.into_par_iter().for_each(|(_, weights, state)| state::settle(step.level, weights, state, step));
    }

    /// Pieces that end before the rows `ends`, each with its first row.
    fn split<'a>(&'a mut self, ends: &[usize], seed: u64) -> Vec<(usize, Weights<'a>, StatePiece<'a>)> {
        let starts = || std::iter::once(0).chain(ends.iter().copied());
        let lengths = || starts().zip(ends).map(|(start, end)| end - start);
        let weights: Vec<Weights> = match &mut self.stored {
            Stored::F32(w) => {
                let mut weights = Splitter::new(w);
                lengths().map(|rows| Weights::F32(weights.take(rows))).collect()
            }
            Stored::Bf16(w) => {
                let mut weights = Splitter::new(w);
                // The kernel counts rows from the piece's first: without it, pieces would share their noise.
                let seeds = starts().map(|first| seed ^ (first as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let pieces = lengths().zip(seeds);
                pieces.map(|(rows, seed)| Weights::Bf16 { weights: weights.take(rows), seed }).collect()
            }
            Stored::Bf16Master { weights, master } => {
                let (mut weights, mut master) = (Splitter::new(weights), Splitter::new(master));
                let piece = |rows| Weights::Bf16WithMaster { weights: weights.take(rows), master: master.take(rows) };
                lengths().map(piece).collect()
            }
        };
        let states = self.state.split(lengths());
        starts().zip(weights).zip(states).map(|((first, weights), state)| (first, weights, state)).collect()
    }

    #[track_caller]
    fn check(&self, active: RowSet) {
        let (rows, limit) = (self.rows(), self.limit(active));
        assert!(limit == rows, "rows of {limit} for {} of {rows} rows", self.name);
    }

    /// What the rows of a set are below.
    fn limit(&self, active: RowSet) -> usize {
        match active {
            RowSet::All(rows) => rows,
            RowSet::Some(ids) => ids.limit(),
        }
    }

    /// What `model.safetensors` has of it.
    pub fn weight_tensors(&self) -> Vec<Tensor<'_>> {
        let shape = vec![self.rows(), self.cols()];
        let elements = match &self.stored {
            Stored::F32(w) => Elements::F32(w.as_slice()),
            Stored::Bf16(w) | Stored::Bf16Master { weights: w, .. } => Elements::Bf16(w.as_slice()),
        };
        vec![Tensor { name: self.name.clone(), shape, elements }]
    }

    /// As [`weight_tensors`](Self::weight_tensors), to be written.
    pub fn weight_tensors_mut(&mut self) -> Vec<TensorMut<'_>> {
        let shape = vec![self.rows(), self.cols()];
        let name = self.name.clone();
        let elements = match &mut self.stored {
            Stored::F32(w) => ElementsMut::F32(w.as_mut_slice()),
            Stored::Bf16(w) | Stored::Bf16Master { weights: w, .. } => ElementsMut::Bf16(w.as_mut_slice()),
        };
        vec![TensorMut { name, shape, elements }]
    }

    /// What `optimizer.safetensors` has of it.
    pub fn state_tensors(&self) -> Vec<Tensor<'_>> {
        let mut tensors = self.state.tensors(&self.name);
        if let Stored::Bf16Master { master, .. } = &self.stored {
            let (name, shape) = (format!("{}.master", self.name), vec![master.rows(), master.cols()]);
            tensors.push(Tensor { name, shape, elements: Elements::F32(master.as_slice()) });
        }
        tensors
    }

    /// As [`state_tensors`](Self::state_tensors), to be written.
    pub fn state_tensors_mut(&mut self) -> Vec<TensorMut<'_>> {
        let mut tensors = self.state.tensors_mut(&self.name);
        if let Stored::Bf16Master { master, .. } = &mut self.stored {
            let (name, shape) = (format!("{}.master", self.name), vec![master.rows(), master.cols()]);
            tensors.push(TensorMut { name, shape, elements: ElementsMut::F32(master.as_mut_slice()) });
        }
        tensors
    }
}

fn blocks_of(positions: usize) -> impl Iterator<Item = Range<usize>> {
    (0..positions).step_by(BLOCK_ROWS).map(move |from| from..positions.min(from + BLOCK_ROWS))
}
