//! The active rows of a [`Linear`] layer: an index that names them, and the selector that makes a set of them.

use super::{Linear, Workspace, rebuild};
use crate::active::{ActiveOptions, ActiveSet, Selector};
use crate::flops::Phase;
use crate::index::{Index, Rebuilds};
use crate::kernels::{Level, MatRef};
use crate::module::{Module, Part, PartMut};
use crate::optim::Step;
use crate::rng::rng;

/// What chooses the rows of a [`Linear`] layer that samples share: the labels, then what the index names, then a random tail. The index
/// may be your own. It is part of the walk, so checkpoints keep it.
#[derive(Debug)]
pub struct Sampled {
    name: String,
    index: Box<dyn Index>,
    selector: Selector,
    hits: usize,
    rebuilds: Rebuilds,
    seed: u64,
}

/// How rows are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampledOptions {
    /// Rows of a set.
    pub active: usize,
    /// Share of them that is drawn at random from all others.
    pub tail: f32,
    /// Rows that the index names for each sample, at most.
    pub hits: usize,
    /// When the index is rebuilt.
    pub rebuilds: Rebuilds,
    /// Of the random tail.
    pub seed: u64,
}

impl Sampled {
    /// For `layer`, called `name` in checkpoints. The index is built from the layer's rows as they are now.
    ///
    /// # Panics
    ///
    /// If the options cannot be: see [`Selector::new`].
    #[track_caller]
    pub fn new(name: &str, layer: &Linear, index: Box<dyn Index>, options: &SampledOptions, level: Level) -> Self {
        let &SampledOptions { active, tail, hits, rebuilds, seed } = options;
        let selector = Selector::new(ActiveOptions { rows: layer.rows(), active, tail, correction: true });
        let mut sampled = Self { name: name.to_owned(), index, selector, hits, rebuilds, seed };
        rebuild(&mut Workspace::new(level), &mut *sampled.index, &layer.view(level));
        sampled
    }

    /// The rows that the samples of a step share, for inputs `x` (B, D) with these `labels` (B lists). `step` is what the random tail is
    /// drawn from.
    pub fn choose(
        &mut self,
        work: &mut Workspace,
        layer: &Linear,
        x: MatRef<f32>,
        labels: &[&[u32]],
        step: u64,
    ) -> ActiveSet {
        if self.index.computes_all() {
            return ActiveSet::all(layer.rows());
        }
        work.timed(Phase::Select, |work| {
            let before = self.index.flops();
            let hits = self.index.select(&layer.view(work.level), x, self.hits, step);
            work.costs.count(Phase::Select, self.index.flops() - before, 0, 0);
            let hits: Vec<&[u32]> = hits.iter().collect();
            let mut tail = rng(self.seed, &format!("{}/tail", self.name), step);
            self.selector.shared(labels.iter().copied(), &hits, &mut tail)
        })
    }

    /// After a step: the index is rebuilt from the rows of `layer` if that is due.
    pub fn follow(&mut self, work: &mut Workspace, layer: &Linear, step: &Step) {
        if self.index.follows_weights() && self.rebuilds.is_due(step.number.into()) {
            rebuild(work, &mut *self.index, &layer.view(work.level));
        }
    }

    /// The index.
    pub fn index(&self) -> &dyn Index {
        &*self.index
    }
}

impl Module for Sampled {
    fn visit<'a>(&'a self, take: &mut dyn FnMut(Part<'a>)) {
        take(Part::Index(self.name.clone(), &*self.index));
    }

    fn visit_mut<'a>(&'a mut self, take: &mut dyn FnMut(PartMut<'a>)) {
        take(PartMut::Index(self.name.clone(), &mut *self.index));
    }
}
