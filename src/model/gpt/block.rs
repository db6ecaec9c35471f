//! What is added to the residual stream, again and again.

use std::sync::Arc;

use crate::config::Optim;
use crate::config::lm::Model;
use crate::kernels::reduce::RopeTable;
use crate::kernels::{MatMut, MatRef};
use crate::layer::attention::{AttentionSaved, LayerCache};
use crate::layer::{Attention, Buffer, FeedForward, FeedForwardSaved, RmsNorm, Workspace};
use crate::optim::{Parameter, StepOptions};

/// Attention, then a feed-forward layer. Layers that read memory are a third field here: each takes the residual stream (T, D),
/// adds to it and keeps what its backward needs in [`BlockSaved`].
#[derive(Debug)]
pub struct Block {
    /// The first half.
    pub attention: Attention,
    /// The second half.
    pub feed_forward: FeedForward,
}

/// What the backward pass of a block needs of the forward pass.
#[derive(Debug, Default)]
pub struct BlockSaved {
    attention: AttentionSaved,
    /// (T, D): the stream between the two.
    between: Buffer,
    feed_forward: FeedForwardSaved,
}

impl Block {
    /// Block `layer` of a `model`, counted from 0.
    pub fn new(layer: usize, model: &Model, rope: Arc<RopeTable>, optim: &Optim, seed: u64) -> Self {
        Self {
            attention: Attention::new(&format!("blocks.{layer}.attention"), model, rope, optim, seed),
            feed_forward: FeedForward::new(&format!("blocks.{layer}.feed_forward"), model, optim, seed),
        }
    }

    /// `y` (T, D) for `x` (T, D): sequences of `length` tokens.
    pub fn forward(&self, work: &mut Workspace, x: MatRef<f32>, length: usize, y: MatMut<f32>, saved: &mut BlockSaved) {
        saved.between.shape(x.rows(), x.cols());
        self.attention.forward(work, x, length, saved.between.view_mut(), &mut saved.attention);
        self.feed_forward.forward(work, saved.between.view(), y, &mut saved.feed_forward);
    }

    /// `dx` (T, D), written over, for `dy` (T, D); gradients of weights are added up.
    pub fn backward(
        &mut self,
        work: &mut Workspace,
        x: MatRef<f32>,
        length: usize,
        saved: &BlockSaved,
        dy: MatRef<f32>,
        dx: MatMut<f32>,
    ) {
        let mut between = work.buffer(x.rows(), x.cols());
        self.feed_forward.backward(work, saved.between.view(), &saved.feed_forward, dy, between.view_mut());
        self.attention.backward(work, x, length, &saved.attention, between.view(), dx);
        work.give_back(between);
    }

    /// `y` (T, D) for new tokens `x` (T, D) that follow those in `cache`.
    pub fn extend(&self, work: &mut Workspace, cache: &mut LayerCache, x: MatRef<f32>, y: MatMut<f32>) {
        let mut between = work.buffer(x.rows(), x.cols());
        self.attention.extend(work, cache, x, between.view_mut());
        self.feed_forward.extend(work, between.view(), y);
        work.give_back(between);
    }

    /// The squared Euclidean length of the sum of the gradients.
    pub fn squared_gradient(&self, work: &mut Workspace) -> f64 {
        let norms: f64 = self.norms().map(|norm| norm.squared_gradient(work.level)).sum();
        let Self { attention, feed_forward } = self;
        let products = [&attention.qkv, &attention.out, &feed_forward.up, &feed_forward.down];
        norms + products.into_iter().map(|product| product.squared_gradient(work)).sum::<f64>()
    }

    /// One step along the sum of the gradients, which is then empty.
    pub fn update(&mut self, work: &mut Workspace, step: &StepOptions) {
        let Self { attention, feed_forward } = self;
        let norms = [&mut attention.norm, &mut feed_forward.norm].into_iter();
        norms.chain(attention.qk_norm.iter_mut().flatten()).for_each(|norm| norm.update(step));
        let products = [&mut attention.qkv, &mut attention.out, &mut feed_forward.up, &mut feed_forward.down];
        products.into_iter().for_each(|product| product.update(work, step));
    }

    fn norms(&self) -> impl Iterator<Item = &RmsNorm> {
        let both = [&self.attention.norm, &self.feed_forward.norm].into_iter();
        both.chain(self.attention.qk_norm.iter().flatten())
    }

    pub(super) fn list<'a>(&'a self, list: &mut Vec<&'a Parameter>) {
        let Self { attention, feed_forward } = self;
        list.extend(self.norms().map(|norm| &norm.gain));
        let products = [&attention.qkv, &attention.out, &feed_forward.up, &feed_forward.down];
        list.extend(products.map(|product| product.parameter()));
    }

    pub(super) fn list_mut<'a>(&'a mut self, list: &mut Vec<&'a mut Parameter>) {
        let Self { attention, feed_forward } = self;
        let norms = [&mut attention.norm, &mut feed_forward.norm].into_iter();
        list.extend(norms.chain(attention.qk_norm.iter_mut().flatten()).map(|norm| &mut norm.gain));
        let products = [&mut attention.qkv, &mut attention.out, &mut feed_forward.up, &mut feed_forward.down];
        list.extend(products.map(|product| product.parameter_mut()));
    }
}
