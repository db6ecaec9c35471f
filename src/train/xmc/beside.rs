//! A network that is trained to stand beside memories and linear rows.

use std::sync::Arc;
use std::time::Instant;

use super::Trainer;
use super::estimate::check_network;
use super::start::steps;
use crate::checkpoint::Loaded;
use crate::config::Config;
use crate::data::{Batch, Loader, Samples};
use crate::error::Result;
use crate::flops::Cost;
use crate::kernels::Level;
use crate::model::Mlp;
use crate::module::Module;
use crate::optim::Scope;
use crate::parts::{Learner, NetworkPart, Stage};
use crate::tensor::Tensor;
use crate::train::state::MODEL;

/// The network, and the samples that it is trained on: those that the mixture is not fitted to.
pub(super) struct Beside {
    trainer: Trainer,
    samples: Arc<dyn Samples>,
}

/// Samples in memory.
struct Held {
    samples: Batch,
    labels: usize,
}

impl Samples for Held {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn features(&self) -> usize {
        self.samples.features.dim()
    }

    fn labels(&self) -> usize {
        self.labels
    }

    fn read(&self, sample: usize, batch: &mut Batch) {
        let (ids, values) = self.samples.features.entries(sample);
        batch.features.push(ids, values).expect("it was a vector before");
        batch.labels.push(self.samples.labels.row(sample).iter().copied());
    }
}

/// The step before which piece `piece` of `pieces` begins.
fn begin(total: u64, piece: usize, pieces: usize) -> u64 {
    (u128::from(total) * piece as u128 / pieces as u128) as u64
}

impl Beside {
    /// A network before its first step, or as it was in a checkpoint after so many of so many pieces.
    pub fn new(
        config: &Config,
        samples: Batch,
        labels: usize,
        before: Option<(&Loaded, usize, usize)>,
        level: Level,
    ) -> Result<Self> {
        let held = Held { samples, labels };
        let features = held.features();
        let config = config.resolved(held.len());
        config.check()?;
        check_network(&config, features, labels)?;
        let total = steps(&config, held.len())?;
        let trainer = match before {
            None => {
                let mut trainer = Trainer::new(config, features, labels, total, level)?;
                trainer.learn_index(&held);
                trainer
            }
            Some((loaded, piece, pieces)) => {
                let mut trainer = Trainer::to_restore(config, features, labels, total, level)?;
                trainer.restore_at(loaded, begin(total, piece, pieces))?;
                trainer
            }
        };
        Ok(Self { samples: trainer.with_hits(Arc::new(held)), trainer })
    }

    /// Does the steps of a piece. Gives the mean loss of its samples, if there are some, and what it cost.
    pub fn train(&mut self, piece: usize, pieces: usize) -> Result<(Option<f64>, Cost)> {
        let (start, before) = (Instant::now(), self.trainer.work.costs.total());
        let (total, options) = (self.trainer.total_steps, &self.trainer.config.train);
        let range = begin(total, piece, pieces)..begin(total, piece + 1, pieces);
        let (mut loss, mut samples) = (0.0, 0);
        if !range.is_empty() {
            let batches = Loader::new(self.samples.clone(), options.seed, options.batch_size, range.start, range.end)?;
            for batch in batches {
                let report = self.trainer.step(&batch)?;
                loss += report.loss * report.samples as f64;
                samples += report.samples;
            }
        }
        if piece + 1 == pieces {
            self.trainer.settle();
        }
        let after = self.trainer.work.costs.total();
        let cost = Cost {
            flops: after.flops - before.flops,
            dense_flops: after.dense_flops - before.dense_flops,
            bytes: after.bytes - before.bytes,
            seconds: start.elapsed().as_secs_f64(),
        };
        Ok(((samples > 0).then(|| loss / samples as f64), cost))
    }

    /// What a checkpoint keeps of it before it is done.
    pub fn files(&self) -> Vec<(&'static str, Vec<Tensor<'_>>)> {
        self.trainer.files()
    }

    /// The network, to be asked.
    pub fn finish(self) -> NetworkPart {
        NetworkPart::new(self.trainer.network)
    }
}

/// The network of a checkpoint that is done.
pub(super) fn finished(loaded: &Loaded, config: &Config, features: usize, labels: usize) -> Result<NetworkPart> {
    check_network(config, features, labels)?;
    let scope = Scope::saved(&config.optim, config.train.seed, Level::detect());
    let mut network = Mlp::new(&scope, &config.model, features, labels)?;
    loaded.fill(MODEL, &mut network.weight_tensors_mut())?;
    Ok(NetworkPart::new(network))
}

/// The network that is still to be trained, if one is. One that is done goes to the learner.
pub(super) fn network_of(
    learner: &mut Learner,
    config: &Config,
    samples: &Batch,
    loaded: Option<&Loaded>,
    level: Level,
) -> Result<Option<Beside>> {
    if !config.model.has_network() {
        return Ok(None);
    }
    let (features, labels) = (samples.features.dim(), learner.classifier().frequencies.len());
    let before = match (loaded, learner.next_stage()) {
        (None, _) => None,
        (Some(_), _) if !learner.has_done(Stage::is_network) => None,
        // It was given up, or the mixture has dropped it.
        (Some(loaded), _) if !loaded.files().any(|file| file == MODEL) => return Ok(None),
        (Some(loaded), Some(&Stage::Network(piece, pieces))) => Some((loaded, piece, pieces)),
        (Some(loaded), _) => {
            learner.add_network(finished(loaded, config, features, labels)?);
            return Ok(None);
        }
    };
    Beside::new(config, learner.others(samples), labels, before, level).map(Some)
}
