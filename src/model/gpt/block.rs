//! What is added to the residual stream, again and again.

use std::sync::Arc;

use super::neurons::{Neurons, NeuronsSaved};
use crate::config::Optim;
use crate::config::lm::Model;
use crate::error::Result;
use crate::kernels::reduce::RopeTable;
use crate::kernels::{MatMut, MatRef};
use crate::layer::attention::{AttentionSaved, LayerCache};
use crate::layer::{Attention, Buffer, RmsNorm, Workspace};
use crate::optim::{Parameter, StepOptions};

/// Attention, then a feed-forward layer. What tokens read from [`Memories`](super::Memories) is added before a block.
#[derive(Debug)]
pub struct Block {
    /// The first half.
    pub attention: Attention,
    /// The second half.
    pub feed_forward: Neurons,
}

/// What the backward pass of a block needs of the forward pass.
#[derive(Debug, Default)]
pub struct BlockSaved {
    attention: AttentionSaved,
    /// (T, D): the stream between the two.
    between: Buffer,
    feed_forward: NeuronsSaved,
}

impl Block {
    /// Block `layer` of a `model`, counted from 0.
    ///
    /// # Panics
    ///
    /// If the system refuses the memory: see [`try_new`](Self::try_new).
    #[track_caller]
    pub fn new(layer: usize, model: &Model, rope: Arc<RopeTable>, optim: &Optim, seed: u64) -> Self {
        Self::try_new(layer, model, rope, optim, seed).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`new`](Self::new).
    ///
    /// # Errors
    ///
    /// [`Error::Memory`](crate::error::Error::Memory) if the system refuses the memory.
    pub fn try_new(layer: usize, model: &Model, rope: Arc<RopeTable>, optim: &Optim, seed: u64) -> Result<Self> {
        Ok(Self {
            attention: Attention::try_new(&format!("blocks.{layer}.attention"), model, rope, optim, seed)?,
            feed_forward: Neurons::dense(&feed_forward_name(layer), model, optim, seed)?,
        })
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
    pub fn squared_gradient(&mut self, work: &mut Workspace) -> f64 {
        let norms: f64 = self.norms().map(|norm| norm.squared_gradient(work.level)).sum();
        let Attention { qkv, out, .. } = &self.attention;
        norms + qkv.squared_gradient(work) + out.squared_gradient(work) + self.feed_forward.squared_gradient(work)
    }

    /// One step along the sum of the gradients, which is then empty.
    pub fn update(&mut self, work: &mut Workspace, step: &StepOptions) {
        let Attention { norm, qk_norm, qkv, out, .. } = &mut self.attention;
        [norm].into_iter().chain(qk_norm.iter_mut().flatten()).for_each(|norm| norm.update(step));
        [qkv, out].into_iter().for_each(|product| product.update(work, step));
        self.feed_forward.update(work, step);
    }

    /// Those of attention.
    fn norms(&self) -> impl Iterator<Item = &RmsNorm> {
        [&self.attention.norm].into_iter().chain(self.attention.qk_norm.iter().flatten())
    }

    pub(super) fn list<'a>(&'a self, list: &mut Vec<&'a Parameter>) {
        list.extend(self.norms().map(|norm| &norm.gain));
        list.extend([&self.attention.qkv, &self.attention.out].map(|product| product.parameter()));
        self.feed_forward.list(list);
    }

    pub(super) fn list_mut<'a>(&'a mut self, list: &mut Vec<&'a mut Parameter>) {
        let Attention { norm, qk_norm, qkv, out, .. } = &mut self.attention;
        list.extend([norm].into_iter().chain(qk_norm.iter_mut().flatten()).map(|norm| &mut norm.gain));
        list.extend([qkv, out].map(|product| product.parameter_mut()));
        self.feed_forward.list_mut(list);
    }
}

/// What the feed-forward half of a block is called in checkpoints.
pub(super) fn feed_forward_name(layer: usize) -> String {
    format!("blocks.{layer}.feed_forward")
}
