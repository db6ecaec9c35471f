//! Values of slots, shared by all layers that read them.

use crate::config::lm::Memory;
use crate::error::Result;
use crate::kernels::MatRef;
use crate::layer::RowTable;
use crate::matrix::Matrix;
use crate::module::{Demand, Module, Part, PartMut};
use crate::optim::{Init, Scope};
use crate::ragged::Ragged;
use crate::tensor::{Elements, ElementsMut, Tensor, TensorMut};

/// Values (slots, value width), from zeros, and how often each slot was read in training.
#[derive(Debug)]
pub struct ValueTable {
    /// The values.
    pub table: RowTable,
    /// (slots, 1).
    uses: Matrix<u32>,
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
    /// Values of zeros, for a stream of `width` numbers.
    ///
    /// # Errors
    ///
    /// See [`Scope::parameter`].
    ///
    /// ```
    /// use hotrow::{config::{Optim, lm::Memory}, kernels::Level, layer::ValueTable, optim::Scope};
    /// let scope = Scope::fresh(&Optim::default(), 7, Level::detect());
    /// let values = ValueTable::new(&scope.child("values"), &Memory { slots: 64, ..Memory::default() }, 8)?;
    /// assert_eq!(values.usage().share, 0.0);
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn new(scope: &Scope, config: &Memory, width: usize) -> Result<Self> {
        let (slots, cols) = (config.slots, config.values(width));
        let values = scope.parameter("weight", slots, cols, config.storage, Init::Zeros)?;
        let uses = scope.zeros(&format!("{}.uses", values.name()), slots, 1)?;
        Ok(Self { table: RowTable::new(values), uses })
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

    fn uses_name(&self) -> String {
        format!("{}.uses", self.table.parameter().name())
    }
}

impl Module for ValueTable {
    fn visit<'a>(&'a self, take: &mut dyn FnMut(Part<'a>)) {
        self.table.visit(take);
        // Parts have numbers, and a plan has none of the counts.
        if self.uses.is_planned() {
            return;
        }
        let (shape, elements) = (vec![self.uses.rows(), 1], Elements::U32(self.uses.as_slice()));
        take(Part::Counter(Tensor { name: self.uses_name(), shape, elements }));
    }

    fn visit_mut<'a>(&'a mut self, take: &mut dyn FnMut(PartMut<'a>)) {
        let (name, shape) = (self.uses_name(), vec![self.uses.rows(), 1]);
        self.table.visit_mut(take);
        take(PartMut::Counter(TensorMut { name, shape, elements: ElementsMut::U32(self.uses.as_mut_slice()) }));
    }
    fn demands(&self, take: &mut dyn FnMut(&str, Demand)) {
        let bytes = self.uses.bytes() as u64;
        take(self.table.parameter().name(), Demand { bytes, ..Demand::default() });
    }
}
