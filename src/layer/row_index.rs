//! The index of a layer's rows with what goes with it: its name in checkpoints, biases, and when it is rebuilt.

use super::{Workspace, rebuild};
use crate::config::IndexOptions;
use crate::error::Result;
use crate::flops::Phase;
use crate::index::{Index, Rebuilds, Rows, WeightsRef};
use crate::kernels::MatRef;
use crate::matrix::Matrix;
use crate::module::{Module, Part, PartMut};
use crate::optim::{Scope, Step};
use crate::ragged::Ragged;

/// The index of rows without biases, which are rebuilt every so many steps.
#[derive(Debug)]
pub struct RowIndex {
    name: String,
    index: Box<dyn Index>,
    /// Zeros: indexes ask for biases.
    biases: Matrix<f32>,
    rebuilds: Rebuilds,
}

impl RowIndex {
    /// For `rows` rows of `cols` numbers, under the name of the scope. It knows no row yet.
    ///
    /// # Errors
    ///
    /// See [`Scope::index`] and [`Scope::zeros`].
    pub(super) fn new(
        scope: &Scope,
        options: &IndexOptions,
        rows: usize,
        cols: usize,
        rebuild_every: u64,
    ) -> Result<Self> {
        let (name, index) = (scope.name().to_owned(), scope.index(options, rows, cols)?);
        let rebuilds = Rebuilds::new(rebuild_every, rebuild_every);
        Ok(Self { name, index, biases: scope.zeros("biases for an index", rows, 1)?, rebuilds })
    }

    /// The index.
    pub fn get(&self) -> &dyn Index {
        &*self.index
    }

    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.biases.rows()
    }

    /// Builds it from the rows as they are now.
    pub(super) fn rebuild(&mut self, work: &mut Workspace, weights: WeightsRef) {
        let rows = Rows { weights, biases: self.biases.as_slice(), level: work.level };
        rebuild(work, &mut *self.index, &rows);
    }

    /// For each of `queries` (Q, D) up to `k` rows, best first. `step` is for indexes that draw at random.
    pub(super) fn select(
        &self,
        work: &mut Workspace,
        weights: WeightsRef,
        queries: MatRef<f32>,
        k: usize,
        step: u64,
    ) -> Ragged<u32> {
        let rows = Rows { weights, biases: self.biases.as_slice(), level: work.level };
        let before = self.index.flops();
        let selected = work.timed(Phase::Select, |_| self.index.select(&rows, queries, k, step));
        work.costs.count(Phase::Select, self.index.flops() - before, 0, 0);
        selected
    }

    /// After a step: rebuilds it from the rows as they are now, if that is due.
    pub(super) fn follow(&mut self, work: &mut Workspace, weights: WeightsRef, step: &Step) {
        if self.index.follows_weights() && self.rebuilds.is_due(step.number.into()) {
            self.rebuild(work, weights);
        }
    }
}

impl Module for RowIndex {
    fn visit<'a>(&'a self, take: &mut dyn FnMut(Part<'a>)) {
        take(Part::Index(self.name.clone(), &*self.index));
    }

    fn visit_mut<'a>(&'a mut self, take: &mut dyn FnMut(PartMut<'a>)) {
        take(PartMut::Index(self.name.clone(), &mut *self.index));
    }
}
