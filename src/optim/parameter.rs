//! A matrix of weights with its state.

mod gradient;
mod make;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::ops::Range;

use bytemuck::Pod;
use memmap2::MmapMut;
use rayon::prelude::*;

use super::grad::{Grad, RowSums, Sums};
use super::rule::Rule;
use super::split::Splitter;
use super::state::{self, State, StatePiece};
use super::stored::Stored;
use super::{RowSet, Step};
use crate::config::OptimizerName;
use crate::error::{Error, Result};
use crate::flops::Phase;
use crate::index::WeightsRef;
use crate::kernels::optim::{RowGrads, Weights};
use crate::kernels::reduce::squared_norm;
use crate::kernels::{Level, MatMut, MatRef, UniqueRowIds};
use crate::matrix::Matrix;
use crate::scratch::lend;
use crate::tensor::{Elements, ElementsMut, Tensor, TensorMut};
use crate::work::Workspace;

/// Rows that one thread updates at a time: 256 rows of 128 numbers and their gradients fit the second-level cache.
const BLOCK_ROWS: usize = 256;

thread_local! {
    /// Gradients of a block, and its rows counted from its first.
    static SCRATCH: Cell<(Vec<f32>, Vec<u32>)> = const { Cell::new((Vec::new(), Vec::new())) };
}

/// A matrix of weights (rows, D) with the rule that moves them, the state of that rule, and the gradient until the next step.
#[derive(Debug)]
pub struct Parameter {
    name: String,
    stored: Stored,
    rule: Rule,
    state: State,
    grad: Grad,
    frozen: bool,
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

    /// As [`f32`](Self::f32), to be written.
    ///
    /// # Panics
    ///
    /// If they are stored otherwise.
    #[track_caller]
    pub fn f32_mut(&mut self) -> &mut [f32] {
        match &mut self.stored {
            Stored::F32(w) => w.as_mut_slice(),
            _ => panic!("{} is not stored as f32", self.name),
        }
    }

    /// Bytes that a step reads and writes for each row it touches: gradient not counted.
    pub fn bytes_per_row(&self) -> u64 {
        2 * (self.bytes() / self.rows().max(1) as u64)
    }

    /// Bytes of weights and state: what a checkpoint has of it.
    pub fn bytes(&self) -> u64 {
        (self.stored.bytes() + self.state.bytes()) as u64
    }

    /// Bytes of the gradient, where every step needs as many.
    pub fn gradient_bytes(&self) -> u64 {
        self.grad.bytes() as u64
    }

    /// Whether a step moves all rows, not only those that it touches.
    pub fn moves_all_rows(&self) -> bool {
        self.rule.name == OptimizerName::AdamDense || matches!(self.grad, Grad::Dense(_) | Grad::Few(_))
    }

    /// The rule that moves it.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// From now on no step moves it, and its gradient is not kept; or again, with `false`.
    ///
    /// ```
    /// use hotrow::config::{Optim, Storage};
    /// use hotrow::optim::{Init, Parameter, RowSet, Step};
    /// use hotrow::{kernels::Level, layer::Workspace};
    /// let mut w = Parameter::new("w", 1, 2, Storage::F32, &Optim::default(), Init::Constant(1.0), 7).with_dense_gradient()?;
    /// let (step, work) = (Step { number: 1, lr: 1.0, grad_scale: 1.0, seed: 7 }, &mut Workspace::new(Level::detect()));
    /// w.freeze(true);
    /// w.gradient_mut().fill(1.0);
    /// w.update(work, &step);
    /// assert_eq!(w.f32(), &[1.0, 1.0]);
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn freeze(&mut self, frozen: bool) {
        self.frozen = frozen;
        self.forget();
    }

    /// Whether no step moves it.
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Moves the rows of `active`, and, in a dense Adam, all others too; none if it is frozen. `gradient(positions, out)` writes the
    /// gradient of the rows at `positions` of the set into `out` (positions, D); it is called once for each block of positions, from
    /// several threads, and may start parallel work of its own. Blocks are cut by number of rows, so the threads change nothing.
    ///
    /// For layers that keep no gradient, but what it is made of. All others have [`update`](Self::update).
    ///
    /// # Panics
    ///
    /// If `active` is of another number of rows, see [`try_update_rows`](Self::try_update_rows). Nothing has moved then. A gradient
    /// that panics leaves some rows moved.
    #[track_caller]
    pub fn update_rows(
        &mut self,
        active: RowSet,
        level: Level,
        step: &Step,
        gradient: impl Fn(Range<usize>, MatMut<f32>) + Sync,
    ) {
        self.check(active);
        let (rows, cols, rule) = (self.rows(), self.cols(), self.rule);
        if self.frozen || (active.is_empty() && rule.name != OptimizerName::AdamDense) {
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
                state::apply(&rule, level, weights, state, RowGrads::new(ids, grads), step);
            });
        });
    }

    /// As [`update_rows`](Self::update_rows), for rows and steps that come from elsewhere.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if `active` is of another number of rows, or the step's number is 0. Nothing has moved then.
    ///
    /// ```
    /// use hotrow::config::{Optim, Storage};
    /// use hotrow::{kernels::Level, optim::{Init, Parameter, RowSet, Step}};
    /// let mut w = Parameter::new("w", 2, 2, Storage::F32, &Optim::default(), Init::Zeros, 7);
    /// let step = Step { number: 1, lr: 1.0, grad_scale: 1.0, seed: 7 };
    /// let error = w.try_update_rows(RowSet::All(3), Level::detect(), &step, |_, _| ()).unwrap_err();
    /// assert_eq!(error.to_string(), "active: rows of 3 for w of 2 rows");
    /// ```
    pub fn try_update_rows(
        &mut self,
        active: RowSet,
        level: Level,
        step: &Step,
        gradient: impl Fn(Range<usize>, MatMut<f32>) + Sync,
    ) -> Result<()> {
        let (rows, limit) = (self.rows(), self.limit(active));
        if limit != rows {
            return Err(Error::config("active", format!("rows of {limit} for {} of {rows} rows", self.name)));
        }
        if step.number == 0 {
            return Err(Error::config("step", "0: steps count from 1"));
        }
        self.update_rows(active, level, step, gradient);
        Ok(())
    }

    /// As [`update_rows`](Self::update_rows) of all rows, whose gradient (rows, D) stands in memory already.
    ///
    /// # Panics
    ///
    /// If `gradient` has another shape than the weights.
    #[track_caller]
    pub fn update_all(&mut self, gradient: MatRef<f32>, level: Level, step: &Step) {
        let (rows, cols, rule) = (self.rows(), self.cols(), self.rule);
        assert_eq!((gradient.rows(), gradient.cols()), (rows, cols), "the gradient of {} has another shape", self.name);
        if self.frozen {
            return;
        }
        let ends: Vec<usize> = blocks_of(rows).map(|block| block.end).collect();
        self.split(&ends, step.seed).into_par_iter().for_each(|(first, weights, state)| {
            let grads = gradient.window(first..first + weights.rows(), 0..cols);
            state::apply(&rule, level, weights, state, RowGrads::all(grads), step);
        });
    }

    /// The squared Euclidean length of the gradient that [`update_rows`](Self::update_rows) would apply. `gradient` is as there.
    ///
    /// # Panics
    ///
    /// If `active` is of another number of rows.
    #[track_caller]
    pub fn squared_rows(
        &self,
        active: RowSet,
        level: Level,
        gradient: impl Fn(Range<usize>, MatMut<f32>) + Sync,
    ) -> f64 {
        self.check(active);
        if self.frozen {
            return 0.0;
        }
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

    /// Brings rows up to date that their rule lets make up for steps later; before weights are read as a whole.
    pub fn settle(&mut self, level: Level, step: &Step) {
        if self.frozen || !self.rule.defers() {
            return;
        }
        let (rows, rule) = (self.rows(), self.rule);
        let ends: Vec<usize> = (1..=rows.div_ceil(BLOCK_ROWS)).map(|block| (block * BLOCK_ROWS).min(rows)).collect();
        let pieces = self.split(&ends, step.seed);
        pieces.into_par_iter().for_each(|(_, weights, state)| state::settle(&rule, level, weights, state, step));
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

    /// Takes what `memory` has in place of its weights. It is asked with the name, the type and the bytes of the tensor.
    pub(crate) fn set_memory(&mut self, memory: impl FnOnce(&str, &str, usize) -> Option<MmapMut>) {
        fn set<T: Pod>(matrix: &mut Matrix<T>, memory: impl FnOnce(usize) -> Option<MmapMut>) {
            if let Some(memory) = memory(matrix.bytes()) {
                matrix.set_memory(memory);
            }
        }
        let name = &self.name;
        match &mut self.stored {
            Stored::F32(w) => set(w, |bytes| memory(name, "F32", bytes)),
            Stored::Bf16(w) | Stored::Bf16Master { weights: w, .. } => set(w, |bytes| memory(name, "BF16", bytes)),
        }
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
