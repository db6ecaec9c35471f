//! How a run begins on its files, and measuring on a file.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::known::{self, Digests, check_resumed};
use super::label_counts::{LABEL_COUNTS, LabelCounts};
use super::task::Xmc;
use super::trainer::shape;
use super::{Predictor, Scored, Trainer, VOCABULARY};
use super::{estimate, initial, left_out, measurable};
use crate::checkpoint::Loaded;
use crate::config::{Config, Data};
use crate::data::{self, Batch, Datasets, Loader, Samples, Vocabulary};
use crate::error::{Error, Result};
use crate::kernels::Level;
use crate::run::{Observer, Seconds, Summary};
use crate::train::network::{Plan, Schedule};
use crate::train::start::{FromFiles, Inputs, Options, check_steps};

impl FromFiles for Config {
    type Data = Datasets;
    type Task = Xmc;

    fn seed(&self) -> u64 {
        self.train.seed
    }

    fn read(
        self,
        run: &Path,
        inputs: &Inputs,
        loaded: Option<&Loaded>,
        options: &Options,
    ) -> Result<(Self, Datasets, u64)> {
        if !self.model.is_network() {
            return Err(Error::config("model.parts", "has no network, which is what is to be trained"));
        }
        let data = read_sets(&self, run, inputs, loaded, options)?;
        let samples = data.train.len();
        let config = self.resolved(samples);
        config.check()?;
        let steps = steps(&config, samples)?;
        if let Some(loaded) = loaded {
            let shape = shape(loaded)?;
            shape.config.check_resumed(&config)?;
            check_steps("train.epochs", loaded.state().step, steps)?;
            check_resumed(loaded, &shape, run, inputs, &data)?;
        }
        Ok((config, data, steps))
    }

    fn plan(&self, data: &Datasets, steps: u64) -> Plan {
        let (train, per_epoch) = (&self.train, per_epoch(self, data.train.len()));
        let train = Schedule {
            steps,
            log_every: train.log_every.max(1),
            eval_every: train.eval_every.saturating_mul(per_epoch),
            save_every: if train.save_every == 0 { per_epoch } else { train.save_every },
            keep: train.keep,
            snapshot_bytes: train.snapshot_bytes,
            seed: train.seed,
        };
        Plan { optim: self.optim.clone(), train }
    }

    fn task(
        self,
        data: Datasets,
        steps: u64,
        loaded: Option<&Loaded>,
        level: Level,
        observer: &mut dyn Observer,
    ) -> Result<Xmc> {
        note_left_out(&data, observer);
        estimate::check(&self, &data.train)?;
        let counts = LabelCounts::count(&data.train);
        let (features, labels) = (data.train.features(), data.train.labels());
        let trainer = match loaded {
            None => {
                let mut trainer = Trainer::new(self, features, labels, steps, level)?;
                trainer.learn_index(&data.train);
                trainer
            }
            Some(loaded) => {
                let mut trainer = Trainer::to_restore(self, features, labels, steps, level)?;
                trainer.restore(loaded)?;
                trainer
            }
        };
        let (source, train) = (trainer.with_hits(Arc::new(data.train.clone())), &trainer.config.train);
        Ok(Xmc {
            inverse: counts.inverse(train),
            files: [(VOCABULARY, data.vocabulary.to_json()), (LABEL_COUNTS, counts.to_json())],
            digests: Digests::of(&data),
            loader: Loader::new(source, train.seed, train.batch_size, trainer.steps, steps)?,
            batch: Batch::new(features),
            per_epoch: per_epoch(&trainer.config, data.train.len()),
            fill: None,
            data,
            trainer,
        })
    }

    fn write_order(task: &mut Xmc, folder: &Path) -> Result<()> {
        initial::write_order(task, folder)
    }
}

/// The sets of a run, by the options of `config` or those that a resumed run began with.
pub(super) fn read_sets(
    config: &Config,
    run: &Path,
    inputs: &Inputs,
    loaded: Option<&Loaded>,
    options: &Options,
) -> Result<Datasets> {
    let cache = options.cache.clone().unwrap_or_else(|| run.join("cache"));
    // A run of an older version continues with the words and labels of then, which are not all in its configuration.
    let before = loaded.map(|loaded| known::read(loaded, VOCABULARY)).transpose()?;
    let before = before.map(|(path, bytes)| Vocabulary::from_json(&path, &bytes)).transpose()?;
    let read = before.as_ref().map_or(&config.data, Vocabulary::options);
    // Networks have no use for texts of labels, and a file of them may have moved.
    let label_texts = if config.model.is_network() { String::new() } else { config.data.label_texts.clone() };
    let read = Data { label_texts, ..read.clone() };
    let data = match loaded {
        Some(_) => data::open_from(&inputs.train, inputs.valid.as_ref(), &read, &cache, run)?,
        None => data::open(&inputs.train, inputs.valid.as_ref(), &read, &cache)?,
    };
    data.valid.as_ref().map_or(Ok(()), measurable)?;
    Ok(data)
}

/// Says what was left out of the sets of a run.
pub(super) fn note_left_out(data: &Datasets, observer: &mut dyn Observer) {
    for set in [Some(&data.train), data.valid.as_ref()].into_iter().flatten() {
        if let Some(line) = set.summary().left_out_line() {
            observer.note(&format!("{}: {line}", set.path().display()));
        }
    }
}

/// Steps of a whole run with this configuration on `samples` samples.
///
/// # Errors
///
/// [`Error::Config`] if they are more than can be counted.
pub fn steps(config: &Config, samples: usize) -> Result<u64> {
    let (per_epoch, epochs) = (per_epoch(config, samples), config.train.epochs);
    let steps = per_epoch.checked_mul(epochs).filter(|&steps| steps <= u32::MAX.into());
    let message = || format!("{epochs} passes of {per_epoch} steps are more than {} steps", u32::MAX);
    steps.ok_or_else(|| Error::config("train.epochs", message()))
}

/// Steps of an epoch on `samples` samples.
fn per_epoch(config: &Config, samples: usize) -> u64 {
    data::steps_per_epoch(samples, config.train.batch_size)
}

/// Measures the last checkpoint of a run (or the checkpoint `path`) on a file, of which up to `skip_bad` faulty lines are left out
/// (without it as many as of the training set). `scored` says which labels are ranked.
///
/// # Errors
///
/// If the checkpoint or the file is bad, or no sample of the file has a label.
pub fn evaluate_file(
    path: &Path,
    file: &Path,
    skip_bad: Option<u64>,
    scored: Scored,
    options: &Options,
) -> Result<Summary> {
    let started = Instant::now();
    let mut predictor = Predictor::open(path, options.level)?;
    let run = predictor.run().to_owned();
    let vocabulary = predictor.vocabulary().clone();
    let known = vocabulary.options().skip_bad;
    let vocabulary = vocabulary.with_skip_bad(skip_bad.unwrap_or(known));
    let data = match &options.cache {
        Some(cache) => vocabulary.open(file, cache)?,
        None => vocabulary.open_unkept(file, &run.join("cache"))?,
    };
    measurable(&data)?;
    let load = started.elapsed().as_secs_f64();
    let start = Instant::now();
    let (ranking, mut summary) = predictor.measure(&data, scored, options.threads)?;
    let eval = start.elapsed().as_secs_f64();
    summary.task = "eval xmc".to_owned();
    summary.seconds = Seconds { total: started.elapsed().as_secs_f64(), load, eval, ..Seconds::default() };
    summary.samples_per_second = data.len() as f64 / eval;
    summary.metrics = ranking.metrics();
    summary.left_out = [left_out("data", &data)].into();
    Ok(summary)
}
