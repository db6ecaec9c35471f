//! What a checkpoint has of a trainer: weights, optimiser, indexes, and where they stand.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::sampling::Sampling;
use super::step::Trainer;
use crate::checkpoint::{self, Loaded, OwnedTensor, TrainerState};
use crate::config::Config;
use crate::error::Result;
use crate::kernels::Level;
use crate::run::Component;
use crate::tensor::Tensor;

const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const INDEX: &str = "index.safetensors";

/// What has to be known to make the network that a checkpoint is of: its `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// The configuration of the run.
    pub config: Config,
    /// Length of the feature vectors.
    pub features: usize,
    /// Number of labels.
    pub labels: usize,
    /// Steps of the whole run.
    pub total_steps: u64,
}

impl Trainer {
    /// Writes a checkpoint of `run` and removes the oldest beyond `train.keep`. `state` is what the caller wants back.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::error::Error::Io) if it cannot be written; then the checkpoints of before are as they were.
    pub fn save(&self, run: &Path, state: &TrainerState) -> Result<PathBuf> {
        let shape = Shape {
            config: self.config.clone(),
            features: self.network.input.weights.rows(),
            labels: self.network.output.rows(),
            total_steps: self.total_steps,
        };
        let index = self.samplings().flat_map(|(name, sampling)| {
            sampling.state().into_iter().map(move |tensor| Tensor { name: format!("{name}.{}", tensor.name), ..tensor })
        });
        let files = [
            (MODEL, self.network.weight_tensors()),
            (OPTIMIZER, self.network.state_tensors()),
            (INDEX, index.collect()),
        ];
        let shape = serde_json::to_value(shape).expect("options are JSON");
        checkpoint::save(run, &files, state, &shape, self.config.train.keep)
    }

    /// The trainer of a checkpoint, as it was when it was saved.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`](crate::error::Error::Checkpoint) if it is of another network than its own `config.json` says, or of another program.
    pub fn load(loaded: &Loaded, level: Level) -> Result<Self> {
        let shape = shape(loaded)?;
        let mut trainer = Self::new(shape.config, shape.features, shape.labels, shape.total_steps, level)?;
        trainer.restore(loaded)?;
        Ok(trainer)
    }

    /// Takes weights, optimiser state and indexes from a checkpoint of a network of the same shape.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`](crate::error::Error::Checkpoint) if it is of another shape.
    pub fn restore(&mut self, loaded: &Loaded) -> Result<()> {
        loaded.fill(MODEL, &mut self.network.weight_tensors_mut())?;
        loaded.fill(OPTIMIZER, &mut self.network.state_tensors_mut())?;
        let tensors = loaded.tensors(INDEX)?;
        let wrong = |message| loaded.refuse(INDEX, message);
        for (name, sampling) in self.samplings_mut() {
            let own = of_prefix(&tensors, &format!("{name}."));
            sampling.restore(&own).map_err(|message| wrong(format!("{name}: {message}")))?;
        }
        self.steps = loaded.state().step;
        Ok(())
    }

    /// Where the memory of the network goes.
    pub(super) fn components(&self) -> Vec<Component> {
        let index = self.samplings().map(|(_, sampling)| sampling.index.statistics().bytes as u64).sum();
        Component::list(&self.network.weight_tensors(), &self.network.state_tensors(), index)
    }

    fn samplings(&self) -> impl Iterator<Item = (String, &Sampling)> {
        let hidden = self.hidden.iter().enumerate().map(|(i, sampling)| (format!("hidden.{}", i + 1), sampling));
        let all = hidden.chain([("output".to_owned(), &self.output)]);
        all.filter_map(|(name, sampling)| Some((name, sampling.as_ref()?)))
    }

    fn samplings_mut(&mut self) -> impl Iterator<Item = (String, &mut Sampling)> {
        let hidden = self.hidden.iter_mut().enumerate().map(|(i, sampling)| (format!("hidden.{}", i + 1), sampling));
        let all = hidden.chain([("output".to_owned(), &mut self.output)]);
        all.filter_map(|(name, sampling)| Some((name, sampling.as_mut()?)))
    }
}

/// The tensors whose names begin with `prefix`, without it.
pub(super) fn of_prefix<'a>(tensors: &'a [OwnedTensor], prefix: &str) -> Vec<Tensor<'a>> {
    let own = tensors.iter().filter_map(|tensor| {
        let tensor = tensor.view();
        let name = tensor.name.strip_prefix(prefix)?.to_owned();
        Some(Tensor { name, ..tensor })
    });
    own.collect()
}

/// What a checkpoint says of the network that it is of.
///
/// # Errors
///
/// [`Error::Checkpoint`](crate::error::Error::Checkpoint) if it says nothing that this program understands.
pub fn shape(loaded: &Loaded) -> Result<Shape> {
    let wrong = |error| loaded.refuse("config.json", format!("not the options of a network: {error}"));
    serde_json::from_value(loaded.config().clone()).map_err(wrong)
}
