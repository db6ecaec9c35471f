//! The feed-forward half of a block, of whichever kind.

use crate::config::lm::feed_forward::FeedForwardKind;
use crate::config::lm::{FeedForwardOptions, Model};
use crate::error::Result;
use crate::kernels::{Level, MatMut, MatRef};
use crate::layer::{
    BlockFeedForward, BlockFeedForwardSaved, FeedForward, FeedForwardSaved, SampledFeedForward, SampledSaved, Workspace,
};
use crate::module::{Module, Part, PartMut};
use crate::optim::{Rule, Step};

/// Who computes what of a feed-forward layer.
#[derive(Debug)]
pub enum Neurons {
    /// Every token all neurons.
    Dense(Box<FeedForward>),
    /// Every token those that an index names.
    Sampled(Box<SampledFeedForward>),
    /// Every token those of a few blocks.
    Blocks(Box<BlockFeedForward>),
}

/// What the backward pass needs of the forward pass: that of the kind there is.
#[derive(Debug, Default)]
pub(super) struct NeuronsSaved {
    dense: FeedForwardSaved,
    sampled: SampledSaved,
    blocks: BlockFeedForwardSaved,
}

impl Neurons {
    /// Every token all neurons, called `name` in checkpoints.
    pub(super) fn dense(name: &str, model: &Model, rule: Rule, seed: u64) -> Result<Self> {
        Ok(Neurons::Dense(Box::new(FeedForward::try_new(name, model, rule, seed)?)))
    }

    /// The kind that `options` name, called `name` in checkpoints. An index is built.
    pub(super) fn new(
        name: &str,
        options: &FeedForwardOptions,
        model: &Model,
        rule: Rule,
        seed: u64,
        level: Level,
    ) -> Result<Self> {
        Ok(match options.kind {
            FeedForwardKind::Dense => Neurons::dense(name, model, rule, seed)?,
            FeedForwardKind::Sampled => {
                let mut layer = SampledFeedForward::new(name, options, model, rule, seed, level)?;
                layer.rebuild(&mut Workspace::new(level));
                Neurons::Sampled(Box::new(layer))
            }
            FeedForwardKind::Blocks => {
                Neurons::Blocks(Box::new(BlockFeedForward::try_new(name, options, model, rule, seed)?))
            }
        })
    }

    pub(super) fn forward(&self, work: &mut Workspace, x: MatRef<f32>, y: MatMut<f32>, saved: &mut NeuronsSaved) {
        match self {
            Neurons::Dense(layer) => layer.forward(work, x, y, &mut saved.dense),
            Neurons::Sampled(layer) => layer.forward(work, x, y, &mut saved.sampled),
            Neurons::Blocks(layer) => layer.forward(work, x, y, &mut saved.blocks),
        }
    }

    pub(super) fn backward(
        &mut self,
        work: &mut Workspace,
        x: MatRef<f32>,
        saved: &NeuronsSaved,
        dy: MatRef<f32>,
        dx: MatMut<f32>,
    ) {
        match self {
            Neurons::Dense(layer) => layer.backward(work, x, &saved.dense, dy, dx),
            Neurons::Sampled(layer) => layer.backward(work, x, &saved.sampled, dy, dx),
            Neurons::Blocks(layer) => layer.backward(work, x, &saved.blocks, dy, dx),
        }
    }

    /// The forward pass of a few tokens, as in generation.
    pub(super) fn extend(&self, work: &mut Workspace, x: MatRef<f32>, y: MatMut<f32>) {
        match self {
            Neurons::Dense(layer) => layer.extend(work, x, y),
            _ => self.forward(work, x, y, &mut NeuronsSaved::default()),
        }
    }

    fn module(&self) -> &dyn Module {
        match self {
            Neurons::Dense(layer) => &**layer,
            Neurons::Sampled(layer) => &**layer,
            Neurons::Blocks(layer) => &**layer,
        }
    }

    fn module_mut(&mut self) -> &mut dyn Module {
        match self {
            Neurons::Dense(layer) => &mut **layer,
            Neurons::Sampled(layer) => &mut **layer,
            Neurons::Blocks(layer) => &mut **layer,
        }
    }
}

impl Module for Neurons {
    fn visit<'a>(&'a self, take: &mut dyn FnMut(Part<'a>)) {
        self.module().visit(take);
    }

    fn visit_mut<'a>(&'a mut self, take: &mut dyn FnMut(PartMut<'a>)) {
        self.module_mut().visit_mut(take);
    }

    fn after_update(&mut self, work: &mut Workspace, step: &Step) {
        self.module_mut().after_update(work, step);
    }
}
