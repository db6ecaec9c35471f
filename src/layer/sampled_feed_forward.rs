//! The feed-forward half of a block, of which a token computes the neurons that an index names (SLIDE, Chen et al. 2020):
//! `y = x + sum over neurons j of the token of relu(<up[j], norm(x)>)^2 down[j]`.
//!
//! Neurons are rows of both tables, and what is not named is neither read nor written. Exact top-k, which computes every score, is
//! the control. Gathered rows do two operations for each number they fetch, and tiles ten times as many in that time: this is the
//! faithful mode and not the fast one, see [`BlockFeedForward`](super::BlockFeedForward).

use super::dense::copy_rows;
use super::stream::touch_bytes;
use super::{Buffer, RmsNorm, RowIndex, RowTable, Stream, Workspace};
use crate::config::{IndexName, IndexOptions, Storage};
use crate::error::Result;
use crate::flops::Phase;
use crate::kernels::reduce::Activation;
use crate::kernels::{MatMut, MatRef};
use crate::module::Demand;
use crate::optim::{Init, Scope, Step};
use crate::ragged::Ragged;

/// Norm, chosen neurons, and the residual.
#[derive(Debug)]
pub struct SampledFeedForward {
    /// Before the neurons.
    pub norm: RmsNorm,
    /// (inner, D): up projections.
    pub up: RowTable,
    /// (inner, D): down projections.
    pub down: RowTable,
    index: RowIndex,
    active: usize,
}

crate::module!(SampledFeedForward { norm, up, down, index } then follow takes demand);

/// How neurons are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampledFeedForwardOptions {
    /// Neurons that a token computes.
    pub active: usize,
    /// What names them.
    pub index: IndexOptions,
    /// Steps between rebuilds of the index.
    pub rebuild_every: u64,
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
    /// The layer of a block, with `inner` neurons. Weights start as those of a [`FeedForward`](super::FeedForward) layer, and the index
    /// is built from them.
    ///
    /// # Errors
    ///
    /// See [`Scope::parameter`] and [`Scope::index`].
    ///
    /// ```
    /// use hotrow::config::{IndexName, IndexOptions, Optim, lm::model::Precision};
    /// use hotrow::layer::{SampledFeedForward, SampledFeedForwardOptions, Stream, Workspace};
    /// use hotrow::{kernels::{Level, MatMut, MatRef}, optim::Scope};
    /// let index = IndexOptions { index: IndexName::Exact, ..Default::default() };
    /// let options = SampledFeedForwardOptions { active: 3, index, rebuild_every: 50 };
    /// let scope = Scope::fresh(&Optim::default(), 7, Level::detect());
    /// let stream = Stream { width: 4, depth: 1, precision: Precision::F32 };
    /// let layer = SampledFeedForward::new(&scope.child("feed_forward"), stream, 16, &options)?;
    /// let (mut y, mut saved, work) = ([0.0; 4], Default::default(), &mut Workspace::new(Level::detect()));
    /// layer.forward(work, MatRef::new(&[1.0; 4], 1, 4), MatMut::new(&mut y, 1, 4), &mut saved);
    /// assert_eq!(saved.neurons().row(0).len(), 3);
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn new(scope: &Scope, stream: Stream, inner: usize, options: &SampledFeedForwardOptions) -> Result<Self> {
        let width = stream.width;
        let table = |part: &str, deviation: f32| {
            let rows = scope.child(part).parameter("weight", inner, width, Storage::F32, Init::Normal(deviation));
            rows.map(RowTable::new)
        };
        let mut layer = Self {
            norm: RmsNorm::new(&scope.child("norm"), width)?,
            up: table("up", Stream::deviation(width))?,
            down: table("down", stream.out_deviation(inner))?,
            index: RowIndex::new(scope, &options.index, inner, width, options.rebuild_every)?,
            active: options.active.min(inner),
        };
        if scope.builds_indexes() {
            layer.rebuild(&mut Workspace::new(scope.level()));
        }
        Ok(layer)
    }

    /// The index.
    pub fn index(&self) -> &RowIndex {
        &self.index
    }

    /// Builds the index from the neurons as they are now.
    pub fn rebuild(&mut self, work: &mut Workspace) {
        self.index.rebuild(work, self.up.parameter().weights());
    }

    fn follow(&mut self, work: &mut Workspace, step: &Step) {
        self.index.follow(work, self.up.parameter().weights(), step);
    }

    /// Rows of both halves are touched, each with an output gradient of its own. An exact index compares with every row.
    fn demand(&self) -> (&str, Demand) {
        let (inner, width) = (self.index.len(), self.up.parameter().cols());
        let compared = if self.index.get().name() == IndexName::Exact.as_str() { 2 * inner * width } else { 0 };
        let demand = Demand {
            activation_bytes: 4 * (2 * width + inner) as u64,
            kept_bytes: 2 * touch_bytes(self.active, width),
            flops: (12 * self.active * width + compared) as u64,
            ..Demand::default()
        };
        (self.down.parameter().name(), demand)
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
        saved.neurons = self.index.select(work, self.up.parameter().weights(), saved.n.view(), self.active, 0);
        saved.hidden.resize(saved.neurons.items().len(), 0.0);
        self.up.dots(work, Phase::Forward, &saved.neurons, saved.n.view(), &mut saved.hidden);
        let mut a = saved.hidden.clone();
        Activation::ReluSquared.forward(work.level, &mut a);
        copy_rows(x, &mut y);
        self.down.forward_add(work, &saved.neurons, &a, y);
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
        self.up.forward_add(work, &saved.neurons, &dhidden, dn.view_mut());
        self.up.accumulate(&saved.neurons, &dhidden, saved.n.view());
        copy_rows(dy, &mut dx);
        self.norm.backward_add(work, x, &saved.rstd, dn.view(), dx);
        work.give_back(dn);
        // Back to the input, and the gradients of the weights, whose own operations are counted when they are applied.
        self.count_skipped(work, Phase::Backward, x.rows(), a.len(), 4);
    }

    /// What `products` with all neurons would have executed beyond those of the `entries` that were chosen.
    fn count_skipped(&self, work: &mut Workspace, phase: Phase, tokens: usize, entries: usize, products: u64) {
        let skipped = (tokens * self.index.len() - entries) as u64;
        work.costs.count(phase, 0, 2 * products * skipped * self.norm.gain.cols() as u64, 0);
    }
}

#[cfg(test)]
mod tests;
