//! A matrix of weights with its state.

use std::cell::Cell;
use std::ops::Range;

use half::bf16;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use super::split::Splitter;
use super::state::{self, State, StatePiece};
use super::{RowSet, StepOptions, sleeps};
use crate::config::{Optim, OptimizerName, Storage};
use crate::index::WeightsRef;
use crate::kernels::optim::{RowGrads, Weights};
use crate::kernels::reduce::squared_norm;
use crate::kernels::{Level, MatMut, MatRef, UniqueRowIds};
use crate::matrix::Matrix;
use crate::rng::rng;
use crate::scratch::lend;
use crate::tensor::{Elements, ElementsMut, Tensor, TensorMut};

/// Rows that one thread updates at a time: 256 rows of 128 numbers and their gradients fit the second-level cache.
const BLOCK_ROWS: usize = 256;

thread_local! {
    /// Gradients of a block, and its rows counted from its first.
    static SCRATCH: Cell<(Vec<f32>, Vec<u32>)> = const { Cell::new((Vec::new(), Vec::new())) };
}

/// What weights start as.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Zeros.
    Zeros,
    /// This number.
    Constant(f32),
    /// Independent normal numbers of this standard deviation.
    Normal(f32),
}

#[derive(Debug)]
enum Stored {
    F32(Matrix<f32>),
    Bf16(Matrix<bf16>),
    Bf16Master { weights: Matrix<bf16>, master: Matrix<f32> },
}

/// A matrix of weights (rows, D) with the state of the rule that moves them.
#[derive(Debug)]
pub struct Parameter {
    name: String,
    stored: Stored,
    state: State,
}

impl Parameter {
    /// `name` is that of its tensors and decides, with `seed`, which random numbers it starts as.
    ///
    /// ```
    /// use hotrow::config::{Optim, Storage};
    /// use hotrow::optim::{Init, Parameter};
    /// let w = Parameter::new("output.weight", 10, 4, Storage::F32, &Optim::default(), Init::Normal(0.1), 7);
    /// assert_eq!((w.rows(), w.cols()), (10, 4));
    /// ```
    pub fn new(name: &str, rows: usize, cols: usize, storage: Storage, optim: &Optim, init: Init, seed: u64) -> Self {
        let mut master = match storage {
            Storage::Bf16 => None,
            _ => Some(Matrix::<f32>::zeros(rows, cols)),
        };
        let mut halves = match storage {
            Storage::F32 => None,
            _ => Some(Matrix::<bf16>::zeros(rows, cols)),
        };
        if let Init::Normal(deviation) = init {
            let numbers = |row: usize| {
                let normal = StandardNormal.sample_iter(rng(seed, name, row as u64));
                normal.take(cols).map(move |x: f32| deviation * x)
            };
            if let Some(matrix) = &mut master {
                matrix.as_mut_slice().par_chunks_mut(cols.max(1)).enumerate().for_each(|(row, out)| {
                    out.iter_mut().zip(numbers(row)).for_each(|(out, x)| *out = x);
                });
            }
            if let Some(matrix) = &mut halves {
                matrix.as_mut_slice().par_chunks_mut(cols.max(1)).enumerate().for_each(|(row, out)| {
                    out.iter_mut().zip(numbers(row)).for_each(|(out, x)| *out = bf16::from_f32(x));
                });
            }
        }
        if let Init::Constant(value) = init {
            master.iter_mut().for_each(|matrix| matrix.as_mut_slice().fill(value));
            halves.iter_mut().for_each(|matrix| matrix.as_mut_slice().fill(bf16::from_f32(value)));
        }
        let stored = match (master, halves) {
            (Some(weights), None) => Stored::F32(weights),
            (None, Some(weights)) => Stored::Bf16(weights),
            (Some(master), Some(weights)) => Stored::Bf16Master { weights, master },
            (None, None) => unreachable!("each storage has one of the two"),
        };
        Self { name: name.to_owned(), stored, state: State::new(optim, rows, cols) }
    }

    /// The name of the weights; those of the state begin with it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        match &self.stored {
            Stored::F32(w) => w.rows(),
            Stored::Bf16(w) | Stored::Bf16Master { weights: w, .. } => w.rows(),
        }
    }

    /// Length of a row.
    pub fn cols(&self) -> usize {
        match &self.stored {
            Stored::F32(w) => w.cols(),
            Stored::Bf16(w) | Stored::Bf16Master { weights: w, .. } => w.cols(),
        }
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
    /// several threads. Blocks are cut by number of rows, so the threads change nothing.
    ///
    /// # Panics
    ///
    /// If `active` is of another number of rows.
    #[track_caller]
    pub fn update(&mut self, active: RowSet, step: &StepOptions, gradient: impl Fn(Range<usize>, MatMut<f32>) + Sync) {
        self.check(active);
        let (rows, cols) = (self.rows(), self.cols());
        if active.is_empty() && step.optim.name != OptimizerName::AdamDense {
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

    /// As [`update`](Self::update) of all rows, whose gradient (rows, D) stands in memory already.
    ///
    /// # Panics
    ///
    /// If `gradient` has another shape than the weights.
    #[track_caller]
    pub fn update_all(&mut self, gradient: MatRef<f32>, step: &StepOptions) {
        let (rows, cols) = (self.rows(), self.cols());
        assert_eq!((gradient.rows(), gradient.cols()), (rows, cols), "the gradient of {} has another shape", self.name);
        let ends: Vec<usize> = blocks_of(rows).map(|block| block.end).collect();
        self.split(&ends, step.seed).into_par_iter().for_each(|(first, weights, state)| {
            let grads = gradient.window(first..first + weights.rows(), 0..cols);
            state::apply(weights, state, RowGrads::all(grads), step);
        });
    }

    /// The squared Euclidean length of the gradient that [`update`](Self::update) would apply.
    pub fn squared_gradient(
        &self,
        active: RowSet,
        level: Level,
        gradient: impl Fn(Range<usize>, MatMut<f32>) + Sync,
    ) -> f64 {
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

    /// Brings rows that slept up to date, where the rule lets rows sleep; before weights are read as a whole.
    pub fn settle(&mut self, step: &StepOptions) {
        if !sleeps(step.optim.name) {
            return;
        }
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
        let (rows, limit) = match active {
            RowSet::All(rows) => (self.rows(), rows),
            RowSet::Some(ids) => (self.rows(), ids.limit()),
        };
        assert!(limit == rows, "rows of {limit} for {} of {rows} rows", self.name);
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
