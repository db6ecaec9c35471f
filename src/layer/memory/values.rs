//! Values of slots, shared by all layers that read them.

use crate::config::Optim;
use crate::config::lm::{Memory, Model};
use crate::error::Result;
use crate::kernels::MatRef;
use crate::layer::{RowTable, Workspace};
use crate::matrix::Matrix;
use crate::optim::{Init, Parameter, StepOptions};
use crate::ragged::Ragged;
use crate::tensor::{Elements, ElementsMut, Tensor, TensorMut};

/// Values (slots, value width), from zeros, and how often each slot was read in training.
#[derive(Debug)]
pub struct ValueTable {
    /// The values.
    pub table: RowTable,
    /// (slots, 1).
    uses: Matrix<u32>,
    rule: Optim,
    lr_factor: f32,
}

/// How evenly slots are used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Reads in training.
    pub reads: u64,
    /// Share of slots that were ever read.
    pub share: f64,
    /// Kullback-Leibler divergence, in nats, of the reads from even ones: 0 for even use, `ln slots` if all read one slot.
    pub divergence: f64,
}

impl ValueTable {
    /// Values of zeros, called `name` in checkpoints.
    ///
    /// # Panics
    ///
    /// If the system refuses the memory: see [`try_new`](Self::try_new).
    ///
    /// ```
    /// use hotrow::{config::lm::{Memory, Model}, layer::ValueTable};
    /// let config = Memory { slots: 64, ..Memory::default() };
    /// let values = ValueTable::new("values", &config, &Model::default(), 7);
    /// assert_eq!(values.usage().share, 0.0);
    /// ```
    #[track_caller]
    pub fn new(name: &str, config: &Memory, model: &Model, seed: u64) -> Self {
        Self::try_new(name, config, model, seed).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`new`](Self::new).
    ///
    /// # Errors
    ///
    /// [`Error::Memory`](crate::error::Error::Memory) if the system refuses the memory.
    pub fn try_new(name: &str, config: &Memory, model: &Model, seed: u64) -> Result<Self> {
        let (slots, cols, rule) = (config.slots, config.values(model), config.rule());
        let name = format!("{name}.weight");
        let values = Parameter::try_new(&name, slots, cols, config.storage, &rule, Init::Zeros, seed)?;
        Ok(Self {
            table: RowTable::new(values),
            uses: Matrix::try_zeros(&format!("{name}.uses"), slots, 1)?,
            rule,
            lr_factor: config.lr_factor,
        })
    }

    /// Keeps the gradient for the next update and counts the reads: as [`RowTable::accumulate`].
    ///
    /// # Panics
    ///
    /// If the shapes disagree or there is no such slot.
    #[track_caller]
    pub fn accumulate(&mut self, slots: &Ragged<u32>, weights: &[f32], dread: MatRef<f32>) {
        self.table.accumulate(slots, weights, dread);
        let uses = self.uses.as_mut_slice();
        for &slot in slots.items() {
            uses[slot as usize] = uses[slot as usize].saturating_add(1);
        }
    }

    /// One step along what has been kept, by the values' own rule, with `lr_factor` times the step's learning rate.
    pub fn update(&mut self, work: &mut Workspace, step: &StepOptions) {
        let step = StepOptions { optim: &self.rule, lr: step.lr * self.lr_factor, ..*step };
        self.table.update(work, &step);
    }

    /// Brings rows that slept up to date, before weights are read as a whole.
    pub fn settle(&mut self, step: &StepOptions) {
        let step = StepOptions { optim: &self.rule, lr: step.lr * self.lr_factor, ..*step };
        self.table.parameter_mut().settle(&step);
    }

    /// How evenly slots were read in training.
    pub fn usage(&self) -> Usage {
        let uses = self.uses.as_slice();
        let reads: u64 = uses.iter().map(|&count| count as u64).sum();
        let used = uses.iter().filter(|&&count| count > 0).count();
        let share = |count: u32| count as f64 / reads as f64;
        let term = |count: u32| share(count) * (share(count) * uses.len() as f64).ln();
        Usage {
            reads,
            share: used as f64 / uses.len().max(1) as f64,
            divergence: uses.iter().filter(|&&count| count > 0).map(|&count| term(count)).sum(),
        }
    }

    /// The count of reads, which a checkpoint keeps beside weights and their state.
    pub fn uses(&self) -> Tensor<'_> {
        let name = format!("{}.uses", self.table.parameter().name());
        Tensor { name, shape: vec![self.uses.rows(), 1], elements: Elements::U32(self.uses.as_slice()) }
    }

    /// The optimiser's state, and [`uses`](Self::uses), to be written.
    pub fn state_tensors_mut(&mut self) -> Vec<TensorMut<'_>> {
        let name = format!("{}.uses", self.table.parameter().name());
        let (shape, elements) = (vec![self.uses.rows(), 1], ElementsMut::U32(self.uses.as_mut_slice()));
        let mut tensors = self.table.parameter_mut().state_tensors_mut();
        tensors.push(TensorMut { name, shape, elements });
        tensors
    }
}
