//! The feed-forward half of a block, of whichever kind.

use crate::config::Optim;
use crate::config::lm::feed_forward::FeedForwardKind;
use crate::config::lm::{FeedForwardOptions, Model};
use crate::error::Result;
use crate::index::Index;
use crate::kernels::{Level, MatMut, MatRef};
use crate::layer::{
    BlockFeedForward, BlockFeedForwardSaved, FeedForward, FeedForwardSaved, SampledFeedForward, SampledSaved, Workspace,
};
use crate::optim::{Parameter, StepOptions};

/// Who computes what of a feed-forward layer.
#[derive(Debug)]
pub enum Neurons {
    /// Every token all neurons.
    Dense(Box<FeedForward>),
    /// Every token those that an index names; the index is built anew after so many steps.
    Sampled(Box<SampledFeedForward>, u64),
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
    pub(super) fn dense(name: &str, model: &Model, optim: &Optim, seed: u64) -> Result<Self> {
        Ok(Neurons::Dense(Box::new(FeedForward::try_new(name, model, optim, seed)?)))
    }

    /// The kind that `options` name, called `name` in checkpoints. An index is built.
    pub(super) fn new(
        name: &str,
        options: &FeedForwardOptions,
        model: &Model,
        optim: &Optim,
        seed: u64,
        level: Level,
    ) -> Result<Self> {
        Ok(match options.kind {
            FeedForwardKind::Dense => Neurons::dense(name, model, optim, seed)?,
            FeedForwardKind::Sampled => {
                let mut layer = SampledFeedForward::new(name, options, model, optim, seed, level)?;
                layer.rebuild(&mut Workspace::new(level));
                Neurons::Sampled(Box::new(layer), options.rebuild_every)
            }
            FeedForwardKind::Blocks => {
                Neurons::Blocks(Box::new(BlockFeedForward::try_new(name, options, model, optim, seed)?))
            }
        })
    }

    pub(super) fn forward(&self, work: &mut Workspace, x: MatRef<f32>, y: MatMut<f32>, saved: &mut NeuronsSaved) {
        match self {
            Neurons::Dense(layer) => layer.forward(work, x, y, &mut saved.dense),
            Neurons::Sampled(layer, _) => layer.forward(work, x, y, &mut saved.sampled),
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
            Neurons::Sampled(layer, _) => layer.backward(work, x, &saved.sampled, dy, dx),
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

    pub(super) fn squared_gradient(&mut self, work: &mut Workspace) -> f64 {
        match self {
            Neurons::Dense(layer) => {
                let FeedForward { norm, up, down, .. } = &mut **layer;
                norm.squared_gradient(work.level) + up.squared_gradient(work) + down.squared_gradient(work)
            }
            Neurons::Sampled(layer, _) => layer.squared_gradient(work),
            Neurons::Blocks(layer) => layer.squared_gradient(work),
        }
    }

    pub(super) fn update(&mut self, work: &mut Workspace, step: &StepOptions) {
        match self {
            Neurons::Dense(layer) => {
                let FeedForward { norm, up, down, .. } = &mut **layer;
                norm.update(step);
                [up, down].into_iter().for_each(|product| product.update(work, step));
            }
            Neurons::Sampled(layer, rebuild_every) => {
                layer.update(work, step);
                if u64::from(step.number).is_multiple_of(*rebuild_every) {
                    layer.rebuild(work);
                }
            }
            Neurons::Blocks(layer) => layer.update(work, step),
        }
    }

    pub(super) fn list<'a>(&'a self, list: &mut Vec<&'a Parameter>) {
        match self {
            Neurons::Dense(layer) => {
                let FeedForward { norm, up, down, .. } = &**layer;
                list.extend([&norm.gain, up.parameter(), down.parameter()]);
            }
            Neurons::Sampled(layer, _) => list.extend(layer.list()),
            Neurons::Blocks(layer) => list.extend(layer.list()),
        }
    }

    pub(super) fn list_mut<'a>(&'a mut self, list: &mut Vec<&'a mut Parameter>) {
        match self {
            Neurons::Dense(layer) => {
                let FeedForward { norm, up, down, .. } = &mut **layer;
                list.extend([&mut norm.gain, up.parameter_mut(), down.parameter_mut()]);
            }
            Neurons::Sampled(layer, _) => list.extend(layer.list_mut()),
            Neurons::Blocks(layer) => list.extend(layer.list_mut()),
        }
    }

    pub(super) fn index(&self) -> Option<&dyn Index> {
        match self {
            Neurons::Sampled(layer, _) => Some(layer.index()),
            _ => None,
        }
    }

    pub(super) fn index_mut(&mut self) -> Option<&mut dyn Index> {
        match self {
            Neurons::Sampled(layer, _) => Some(layer.index_mut()),
            _ => None,
        }
    }
}
