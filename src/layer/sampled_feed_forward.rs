//! The feed-forward half of a block, of which a token computes the neurons that an index names (SLIDE, Chen et al. 2020):
//! `y = x + sum over neurons j of the token of relu(<up[j], norm(x)>)^2 down[j]`.
//!
//! Neurons are rows of both tables, and what is not named is neither read nor written. Exact top-k, which computes every score, is
//! the control. Gathered rows do two operations for each number they fetch, and tiles ten times as many in that time: this is the
//! faithful mode and not the fast one, see [`BlockFeedForward`](super::BlockFeedForward).

use super::dense::copy_rows;
use super::feed_forward::deviation;
use super::{Buffer, RmsNorm, RowTable, Workspace, rebuild};
use crate::config::Storage;
use crate::config::lm::{FeedForwardOptions, Model};
use crate::error::Result;
use crate::flops::Phase;
use crate::index::{self, Index, Rows};
use crate::kernels::reduce::Activation;
use crate::kernels::{Level, MatMut, MatRef};
use crate::matrix::Matrix;
use crate::module::{Module, Part, PartMut};
use crate::optim::{Init, Parameter, Rule, Step};
use crate::ragged::Ragged;

/// Norm, chosen neurons, and the residual.
#[derive(Debug)]
pub struct SampledFeedForward {
    name: String,
    /// Before the neurons.
    pub norm: RmsNorm,
    /// (inner, D): what a neuron looks for.
    pub up: RowTable,
    /// (inner, D): what it then says.
    pub down: RowTable,
    index: Box<dyn Index>,
    /// Neurons have none; indexes ask for some.
    biases: Matrix<f32>,
    active: usize,
    rebuild_every: u64,
}

/// What the backward pass needs of the forward pass.
#[derive(Debug, Default)]
pub struct SampledSaved {
    /// (T, D): normalised tokens.
    n: Buffer,
    rstd: Vec<f32>,
    neurons: Ragged<u32>,
    /// Of each neuron of each token, before the function.
    hidden: Vec<f32>,
}

impl SampledSaved {
    /// The neurons of each token.
    pub fn neurons(&self) -> &Ragged<u32> {
        &self.neurons
    }
}

impl SampledFeedForward {
    /// The layer of a `model`'s block, called `name` in checkpoints. Weights start as those of a
    /// [`FeedForward`](super::FeedForward) layer.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::error::Error::Config) if the index cannot be, [`Error::Memory`](crate::error::Error::Memory) if the
    /// system refuses the memory.
    ///
    /// ```
    /// use hotrow::config::{IndexName, Optim, lm::{FeedForwardOptions, Model}};
    /// use hotrow::layer::{SampledFeedForward, Workspace};
    /// use hotrow::kernels::{Level, MatMut, MatRef};
    /// let model = Model { width: 4, heads: 1, layers: 1, ..Model::default() };
    /// let options = FeedForwardOptions { active: 3, index: IndexName::Exact, ..Default::default() };
    /// let layer = SampledFeedForward::new("feed_forward", &options, &model, &Optim::default(), 7, Level::detect())?;
    /// let (mut y, mut saved, work) = ([0.0; 4], Default::default(), &mut Workspace::new(Level::detect()));
    /// layer.forward(work, MatRef::new(&[1.0; 4], 1, 4), MatMut::new(&mut y, 1, 4), &mut saved);
    /// assert_eq!(saved.neurons().row(0).len(), 3);
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn new(
        name: &str,
        options: &FeedForwardOptions,
        model: &Model,
        rule: impl Into<Rule>,
        seed: u64,
        level: Level,
    ) -> Result<Self> {
        let (width, inner, rule) = (model.width, model.inner(), rule.into());
        let table = |part: &str, deviation: f32| {
            let name = format!("{name}.{part}.weight");
            let init = Init::Normal(deviation);
            Parameter::try_new(&name, inner, width, Storage::F32, rule, init, seed).map(RowTable::new)
        };
        Ok(Self {
            name: name.to_owned(),
            norm: RmsNorm::try_new(&format!("{name}.norm"), width, rule)?,
            up: table("up", deviation(width))?,
            down: table("down", deviation(inner) / (2.0 * model.layers as f32).sqrt())?,
            index: index::new(&options.sparse(), seed, inner, width, level)
                .map_err(|error| error.of_section("feed_forward"))?,
            biases: Matrix::try_zeros("the biases of neurons", inner, 1)?,
            active: options.active.min(inner),
            rebuild_every: options.rebuild_every,
        })
    }

    /// The index, for checkpoints and statistics.
    pub fn index(&self) -> &dyn Index {
        &*self.index
    }

    /// The index, to be restored.
    pub fn index_mut(&mut self) -> &mut dyn Index {
        &mut *self.index
    }

    /// Builds the index from the neurons as they are now: before the first step, and now and then.
    pub fn rebuild(&mut self, work: &mut Workspace) {
        let rows = Rows { weights: self.up.parameter().weights(), biases: self.biases.as_slice(), level: work.level };
        rebuild(work, &mut *self.index, &rows);
    }

    /// `y` (T, D) for `x` (T, D).
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    #[track_caller]
    pub fn forward(&self, work: &mut Workspace, x: MatRef<f32>, mut y: MatMut<f32>, saved: &mut SampledSaved) {
        assert_eq!((y.rows(), y.cols()), (x.rows(), x.cols()), "y and x differ in shape");
        saved.n.shape(x.rows(), x.cols());
        saved.rstd.resize(x.rows(), 0.0);
        self.norm.forward(work, x, saved.n.view_mut(), &mut saved.rstd);
        let rows = Rows { weights: self.up.parameter().weights(), biases: self.biases.as_slice(), level: work.level };
        let before = self.index.flops();
        saved.neurons = work.timed(Phase::Select, |_| self.index.select(&rows, saved.n.view(), self.active, 0));
        work.costs.count(Phase::Select, self.index.flops() - before, 0, 0);
        saved.hidden.resize(saved.neurons.items().len(), 0.0);
        self.up.dots(work, Phase::Forward, &saved.neurons, saved.n.view(), &mut saved.hidden);
        let mut a = saved.hidden.clone();
        Activation::ReluSquared.forward(work.level, &mut a);
        copy_rows(x, &mut y);
        self.down.forward(work, &saved.neurons, &a, y);
        self.count_skipped(work, Phase::Forward, x.rows(), a.len(), 2);
    }

    /// `dx` (T, D), written over, for `dy` (T, D), the gradient at the output; `x` is the input that `saved` is of. The gradient of
    /// neurons is kept as touches.
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    #[track_caller]
    pub fn backward(
        &mut self,
        work: &mut Workspace,
        x: MatRef<f32>,
        saved: &SampledSaved,
        dy: MatRef<f32>,
        mut dx: MatMut<f32>,
    ) {
        assert_eq!((dy.rows(), dy.cols()), (x.rows(), x.cols()), "dy and x differ in shape");
        assert_eq!((dx.rows(), dx.cols()), (x.rows(), x.cols()), "dx and x differ in shape");
        let mut a = saved.hidden.clone();
        Activation::ReluSquared.forward(work.level, &mut a);
        let mut dhidden = vec![0.0; a.len()];
        self.down.dots(work, Phase::Backward, &saved.neurons, dy, &mut dhidden);
        self.down.accumulate(&saved.neurons, &a, dy);
        Activation::ReluSquared.backward(work.level, &mut dhidden, &saved.hidden);
        let mut dn = work.buffer(x.rows(), x.cols());
        dn.slice_mut().fill(0.0);
        self.up.forward(work, &saved.neurons, &dhidden, dn.view_mut());
        self.up.accumulate(&saved.neurons, &dhidden, saved.n.view());
        copy_rows(dy, &mut dx);
        self.norm.backward(work, x, &saved.rstd, dn.view(), dx);
        work.give_back(dn);
        // Back to the input, and the gradients of the weights, whose own operations are counted when they are applied.
        self.count_skipped(work, Phase::Backward, x.rows(), a.len(), 4);
    }

    /// What `products` with all neurons would have executed beyond those of the `entries` that were chosen.
    fn count_skipped(&self, work: &mut Workspace, phase: Phase, tokens: usize, entries: usize, products: u64) {
        let skipped = (tokens * self.biases.rows() - entries) as u64;
        work.costs.count(phase, 0, 2 * products * skipped * self.norm.gain.cols() as u64, 0);
    }
}

impl Module for SampledFeedForward {
    fn visit<'a>(&'a self, take: &mut dyn FnMut(Part<'a>)) {
        self.norm.visit(take);
        self.up.visit(take);
        self.down.visit(take);
        take(Part::Index(self.name.clone(), &*self.index));
    }

    fn visit_mut<'a>(&'a mut self, take: &mut dyn FnMut(PartMut<'a>)) {
        self.norm.visit_mut(take);
        self.up.visit_mut(take);
        self.down.visit_mut(take);
        take(PartMut::Index(self.name.clone(), &mut *self.index));
    }

    fn after_update(&mut self, work: &mut Workspace, step: &Step) {
        if u64::from(step.number).is_multiple_of(self.rebuild_every) {
            self.rebuild(work);
        }
    }
}

#[cfg(test)]
mod tests;
