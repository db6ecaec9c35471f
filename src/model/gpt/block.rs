//! What is added to the residual stream, again and again.

use std::sync::Arc;

use super::neurons::{Neurons, NeuronsSaved};
use crate::config::lm::Model;
use crate::error::Result;
use crate::kernels::reduce::RopeTable;
use crate::kernels::{MatMut, MatRef};
use crate::layer::attention::{AttentionSaved, LayerCache};
use crate::layer::{Attention, Buffer, Workspace};
use crate::optim::Rule;

/// Attention, then a feed-forward layer. What tokens read from [`Memories`](super::Memories) is added before a block.
#[derive(Debug)]
pub struct Block {
    /// The first half.
    pub attention: Attention,
    /// The second half.
    pub feed_forward: Neurons,
}

crate::module!(Block { attention, feed_forward });

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
    pub fn new(layer: usize, model: &Model, rope: Arc<RopeTable>, rule: impl Into<Rule>, seed: u64) -> Self {
        Self::try_new(layer, model, rope, rule, seed).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`new`](Self::new).
    ///
    /// # Errors
    ///
    /// [`Error::Memory`](crate::error::Error::Memory) if the system refuses the memory.
    pub fn try_new(
        layer: usize,
        model: &Model,
        rope: Arc<RopeTable>,
        rule: impl Into<Rule>,
        seed: u64,
    ) -> Result<Self> {
        let rule = rule.into();
        Ok(Self {
            attention: Attention::try_new(&format!("blocks.{layer}.attention"), model, rope, rule, seed)?,
            feed_forward: Neurons::dense(&feed_forward_name(layer), model, rule, seed)?,
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
}

/// What the feed-forward half of a block is called in checkpoints.
pub(super) fn feed_forward_name(layer: usize) -> String {
    format!("blocks.{layer}.feed_forward")
}
