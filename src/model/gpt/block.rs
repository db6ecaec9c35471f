//! What is added to the residual stream, again and again.

use std::sync::Arc;

use super::neurons::{self, Neurons, NeuronsSaved};
use crate::config::lm::Parts;
use crate::error::Result;
use crate::kernels::reduce::RopeTable;
use crate::kernels::{MatMut, MatRef};
use crate::layer::attention::{AttentionSaved, LayerCache};
use crate::layer::{Attention, Buffer, Workspace};
use crate::optim::Scope;

/// Attention, then a feed-forward layer. What tokens read from [`Memories`](super::Memories) is added before a block.
#[derive(Debug)]
pub struct Block {
    /// The first half.
    pub attention: Attention,
    /// The second half.
    pub feed_forward: Box<dyn Neurons>,
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
    /// A block of `parts`.
    ///
    /// # Errors
    ///
    /// See [`Scope::parameter`] and [`Scope::index`].
    pub fn new(scope: &Scope, parts: &Parts, rope: Arc<RopeTable>) -> Result<Self> {
        let Parts { model, feed_forward, .. } = parts;
        Ok(Self {
            attention: Attention::new(&scope.child("attention"), model.into(), model.into(), rope)?,
            feed_forward: neurons::new(&scope.child("feed_forward"), feed_forward, model)?,
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
