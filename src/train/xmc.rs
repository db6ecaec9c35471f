//! A whole run of extreme classification: data, steps, evaluations, checkpoints, log and summary.

pub(super) mod estimate;
mod evaluate;
mod initial;
mod inspect;
mod known;
mod label_counts;
mod predict;
mod sampling;
mod start;
mod step;
mod trainer;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub use super::run::Options;
use super::run::{self, Due, RunTotals, Task};
use crate::checkpoint::{Contents, Loaded, Saver, TrainerState};
use crate::config::{Config, Optim};
use crate::data::{self, Batch, Dataset, Datasets, Loader, Samples, Vocabulary};
use crate::error::{Error, Result};
use crate::flops::Phase;
use crate::metrics::Inverse;
use crate::module::Module;
use crate::run::{MetricsLog, Observer, Report, RunDir, Seconds, Signals, Summary, memory_bytes};
pub use estimate::{Estimate, estimate};
pub use evaluate::evaluate;
use evaluate::evaluate_until;
pub use initial::initial;
use known::{Digests, check_resumed};
pub use known::{Inputs, MovedInputs};
use label_counts::{LABEL_COUNTS, LabelCounts};
pub use predict::Predictor;
pub use sampling::{Sampling, active_rows};
pub use start::{evaluate_file, plan_resumed, resume, start};
pub use step::{PACKED_FROM, StepReport};
use trainer::shape;
pub use trainer::{Shape, Trainer};

/// The cuts of the ranking metrics.
pub const KS: [usize; 3] = [1, 3, 5];

/// The file of a checkpoint, and of the run folder, that says how later files are read.
pub const VOCABULARY: &str = "vocabulary.json";

/// An error if no sample of the set has a label: every metric would be 0.
fn measurable(data: &Dataset) -> Result<()> {
    match data.labelled() {
        0 => Err(Error::data(data.path(), 0, 0, "no sample has a label, so there is nothing to measure")),
        _ => Ok(()),
    }
}

/// Steps of a whole run with this configuration on `samples` samples.
///
/// # Errors
///
/// [`Error::Config`] if they are more than can be counted.
pub fn steps(config: &Config, samples: usize) -> Result<u64> {
    let per_epoch = data::steps_per_epoch(samples, config.train.batch_size);
    run::total_steps("train.epochs", per_epoch, config.train.epochs)
}

/// What was left out of a set, for a summary.
fn left_out(name: &str, data: &Dataset) -> (String, BTreeMap<String, u64>) {
    let counts = data.summary().left_out().into_iter().map(|(what, count)| (what.to_owned(), count));
    (name.to_owned(), counts.collect())
}

/// What the network alone says of a summary.
fn summary_of(trainer: &Trainer, threads: usize) -> Summary {
    Summary {
        steps: trainer.steps,
        epochs: trainer.config.train.epochs,
        parameters: trainer.network.parameter_count(),
        seed: trainer.config.train.seed,
        components: trainer.components(),
        ..run::summary(&trainer.work, &trainer.network.weight_tensors(), threads)
    }
}

/// A run at work.
struct Run {
    dir: RunDir,
    data: Datasets,
    /// Inverse propensities of the labels.
    inverse: Inverse,
    trainer: Trainer,
    /// Vocabulary and label counts as files, for each checkpoint.
    files: [(&'static str, Vec<u8>); 2],
    digests: Digests,
    loader: Loader,
    log: MetricsLog,
    started: Instant,
    totals: RunTotals<Sums>,
    threads: usize,
    fill: Option<f64>,
}

/// What reports are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
struct Sums {
    loss: f64,
    samples: u64,
    pairs: u64,
    union_rows: u64,
    steps: u64,
    seconds: f64,
}

/// What a run goes on with, once its data are known, and known to be its own.
struct Opened {
    config: Config,
    data: Datasets,
    steps: u64,
}

impl Opened {
    /// Reads the data of the run in the folder `run`. Until they have been compared with those of a checkpoint, nothing of them is
    /// kept.
    fn read(run: &Path, config: Config, inputs: &Inputs, loaded: Option<&Loaded>, options: &Options) -> Result<Self> {
        let cache = options.cache.clone().unwrap_or_else(|| run.join("cache"));
        // A run of an older version continues with the words and labels of then, which are not all in its configuration.
        let before = loaded.map(|loaded| known::read(loaded, VOCABULARY)).transpose()?;
        let before = before.map(|(path, bytes)| Vocabulary::from_json(&path, &bytes)).transpose()?;
        let read = before.as_ref().map_or(&config.data, Vocabulary::options);
        let data = match loaded {
            Some(_) => data::open_from(&inputs.train, inputs.valid.as_ref(), read, &cache, run)?,
            None => data::open(&inputs.train, inputs.valid.as_ref(), read, &cache)?,
        };
        data.valid.as_ref().map_or(Ok(()), measurable)?;
        let samples = data.train.len();
        let config = config.resolved(samples);
        config.check()?;
        let steps = steps(&config, samples)?;
        if let Some(loaded) = loaded {
            let shape = shape(loaded)?;
            shape.config.check_resumed(&config)?;
            run::check_steps("train.epochs", loaded.state().step, steps)?;
            check_resumed(loaded, &shape, run, inputs, &data)?;
        }
        Ok(Self { config, data, steps })
    }
}

impl Run {
    /// A run in a new folder, which is not there if the run cannot begin.
    fn create(
        out: &Path,
        inputs: &Inputs,
        config: Config,
        options: &Options,
        signals: &Signals,
        observer: &mut dyn Observer,
    ) -> Result<Self> {
        config.check()?;
        let environment = options.environment(config.train.seed, inputs.named());
        let dir = RunDir::create(out, &config, &environment)?;
        let run = Self::open(dir, config, inputs, None, options, signals, observer);
        let run = run.and_then(|run| run.dir.write_config(&run.trainer.config).map(|()| run));
        run.inspect_err(|_| RunDir::discard(out))
    }

    fn open(
        dir: RunDir,
        config: Config,
        inputs: &Inputs,
        loaded: Option<&Loaded>,
        options: &Options,
        signals: &Signals,
        observer: &mut dyn Observer,
    ) -> Result<Self> {
        let started = Instant::now();
        let Opened { config, data, steps } = Opened::read(dir.path(), config, inputs, loaded, options)?;
        for set in [Some(&data.train), data.valid.as_ref()].into_iter().flatten() {
            if let Some(line) = set.summary().left_out_line() {
                observer.note(&format!("{}: {line}", set.path().display()));
            }
        }
        run::check_stop(signals, loaded.map_or(0, |loaded| loaded.state().step))?;
        estimate::check(&config, &data.train)?;
        let seen = LabelCounts::count(&data.train);
        let (features, labels) = (data.train.features(), data.train.labels());
        let mut trainer = Trainer::new(config, features, labels, steps, options.level)?;
        let mut totals = RunTotals::default();
        if let Some(loaded) = loaded {
            trainer.restore(loaded)?;
            totals = RunTotals::recall(loaded)?;
            trainer.work.costs = totals.costs;
        }
        let log = dir.metrics(trainer.steps)?;
        totals.recall_evaluation(&log, trainer.steps)?;
        let files = [(VOCABULARY, data.vocabulary.to_json()), (LABEL_COUNTS, seen.to_json())];
        if loaded.is_none() {
            files.iter().try_for_each(|(name, bytes)| crate::files::write(&dir.path().join(name), bytes))?;
        }
        totals.seconds.load = started.elapsed().as_secs_f64();
        let (inverse, threads, train) = (seen.inverse(&trainer.config.train), options.threads, &trainer.config.train);
        let source = Arc::new(data.train.clone());
        let loader = Loader::new(source, train.seed, train.batch_size, trainer.steps, trainer.total_steps)?;
        let digests = Digests::of(&data);
        let fill = None;
        Ok(Self { dir, data, inverse, trainer, files, digests, loader, log, started, totals, threads, fill })
    }

    fn per_epoch(&self) -> u64 {
        data::steps_per_epoch(self.data.train.len(), self.trainer.config.train.batch_size)
    }

    /// The epoch of the step that was done last, from 1.
    fn epoch(&self) -> u64 {
        self.trainer.steps.div_ceil(self.per_epoch())
    }

    /// Looks at the active sets where that is due.
    fn inspect(&mut self, batch: &Batch) -> Result<()> {
        let every = self.trainer.config.sparse.inspect_every;
        if every == 0 || !(self.trainer.steps + 1).is_multiple_of(every) {
            return Ok(());
        }
        let start = Instant::now();
        if let Some(health) = self.trainer.inspect(batch) {
            // It is about the step that comes: a resumed run cuts its log behind the last step it keeps.
            self.log.write("index", self.trainer.steps + 1, &health)?;
        }
        self.totals.seconds.index += start.elapsed().as_secs_f64();
        Ok(())
    }

    fn step(&mut self, batch: &Batch, waited: Duration) -> Result<()> {
        let start = Instant::now();
        let report = self.trainer.step(batch)?;
        let seconds = (waited + start.elapsed()).as_secs_f64();
        self.fill = report.fill;
        if let (Some(fill), 0) = (report.fill, self.totals.total.steps) {
            let product = if fill < PACKED_FROM { "sampled" } else { "packed" };
            self.log.write("product", self.trainer.steps, &json!({ "product": product, "fill": fill }))?;
        }
        self.totals.seconds.train += seconds;
        for sums in [&mut self.totals.total, &mut self.totals.recent] {
            sums.loss += report.loss * report.samples as f64;
            sums.samples += report.samples as u64;
            sums.pairs += report.pairs;
            sums.union_rows += report.union_rows as u64;
            sums.steps += 1;
            sums.seconds += seconds;
        }
        Ok(())
    }
}

impl Task for Run {
    fn steps(&self) -> (u64, u64) {
        (self.trainer.steps, self.trainer.total_steps)
    }

    fn due(&self) -> Due {
        let (train, step, epoch) = (&self.trainer.config.train, self.trainer.steps, self.epoch());
        let ends = step.is_multiple_of(self.per_epoch());
        Due {
            report: step.is_multiple_of(train.log_every.max(1)),
            evaluate: ends && train.eval_every > 0 && epoch.is_multiple_of(train.eval_every),
            save: if train.save_every == 0 { ends } else { step.is_multiple_of(train.save_every) },
        }
    }

    fn dir(&self) -> &RunDir {
        &self.dir
    }

    fn log(&mut self) -> &mut MetricsLog {
        &mut self.log
    }

    fn advance(&mut self) -> Result<()> {
        let asked = Instant::now();
        let batch = self.loader.next().expect("a batch for each step");
        let waited = asked.elapsed();
        self.trainer.work.costs.time(Phase::Read, waited);
        self.inspect(&batch)?;
        self.step(&batch, waited)?;
        self.loader.recycle(batch);
        Ok(())
    }

    fn report(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let epoch = self.epoch();
        let (step, labels) = (self.trainer.steps, self.data.train.labels());
        let Sums { loss, samples, pairs, union_rows, steps, seconds } = std::mem::take(&mut self.totals.recent);
        let lr = crate::optim::learning_rate(&self.trainer.config.optim, step, self.trainer.total_steps);
        let report = Report {
            step,
            steps: self.trainer.total_steps,
            epoch,
            loss: loss / samples as f64,
            lr: lr as f64,
            rate: samples as f64 / seconds,
            unit: "samples",
            active_share: Some(pairs as f64 / (samples as f64 * labels as f64)),
            memory_bytes: memory_bytes(),
        };
        observer.step(&report);
        let event = json!({
            "epoch": epoch,
            "seconds": self.totals.seconds.train,
            "clock": run::clock(self.started, self.totals.seconds.load),
            "samples": self.totals.total.samples,
            "flops": self.trainer.work.costs.total().flops,
            "loss": report.loss,
            "lr": lr,
            "samples_per_second": report.rate,
            "active_share": report.active_share,
            "union_rows": union_rows as f64 / steps as f64, "union_share": union_rows as f64 / (steps as f64 * labels as f64),
            "fill": self.fill,
            "memory_bytes": report.memory_bytes,
        });
        self.log.write("train", step, &event)
    }

    fn settle(&mut self) {
        self.trainer.settle();
    }

    fn owes_evaluation(&mut self) -> &mut bool {
        &mut self.totals.owes_evaluation
    }

    fn evaluate(&mut self, observer: &mut dyn Observer, stop: &dyn Fn() -> bool) -> Result<bool> {
        let epoch = self.epoch();
        let Some(valid) = &self.data.valid else { return Ok(true) };
        let start = Instant::now();
        let (costs, trainer) = (self.trainer.work.costs, &mut self.trainer);
        let inverse = Some(self.inverse.clone());
        let ranking = evaluate_until(&trainer.network, &mut trainer.work, valid, &KS, inverse, stop);
        trainer.work.costs = costs;
        let Some(ranking) = ranking else { return Ok(false) };
        self.totals.seconds.eval += start.elapsed().as_secs_f64();
        self.totals.metrics = ranking.metrics();
        let percent = |k: usize| 100.0 * ranking.precision(k);
        let text = format!("epoch {epoch}: P@1 {:.2}  P@3 {:.2}  P@5 {:.2}", percent(1), percent(3), percent(5));
        observer.note(&text);
        let mut event: BTreeMap<&str, Value> =
            self.totals.metrics.iter().map(|(key, &value)| (&**key, json!(value))).collect();
        event.insert("epoch", json!(epoch));
        event.insert("seconds", json!(self.totals.seconds.train));
        event.insert("clock", json!(run::clock(self.started, self.totals.seconds.load)));
        event.insert("samples", json!(self.totals.total.samples));
        event.insert("flops", json!(self.trainer.work.costs.total().flops));
        self.log.write("eval", self.trainer.steps, &event)?;
        Ok(true)
    }

    fn optim(&self) -> &Optim {
        &self.trainer.config.optim
    }

    fn saver(&self) -> Saver {
        let train = &self.trainer.config.train;
        Saver::new(self.dir.path(), train.keep, train.snapshot_bytes)
    }

    fn contents(&mut self) -> Contents<'_> {
        let epoch = self.trainer.steps / self.per_epoch();
        let mut state = TrainerState::new(self.trainer.steps, epoch, self.trainer.config.train.seed);
        self.digests.insert(&mut state.counters);
        self.totals.costs = self.trainer.work.costs;
        state.other = self.totals.to_json();
        let others = self.files.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
        Contents { others, ..self.trainer.contents(state) }
    }

    fn summary(&self) -> Summary {
        let RunTotals { total: Sums { loss, samples, pairs, union_rows, steps, .. }, seconds, .. } = self.totals;
        let mut metrics = self.totals.metrics.clone();
        metrics.insert("loss".to_owned(), loss / samples as f64);
        Summary {
            task: "train xmc".to_owned(),
            seconds: Seconds { total: self.started.elapsed().as_secs_f64(), ..seconds },
            samples_per_second: samples as f64 / seconds.train,
            metrics,
            active_share: pairs as f64 / (samples as f64 * self.data.train.labels() as f64),
            union_rows: union_rows as f64 / steps as f64,
            left_out: [("train", Some(&self.data.train)), ("valid", self.data.valid.as_ref())]
                .into_iter()
                .filter_map(|(name, set)| Some(left_out(name, set?)))
                .collect(),
            ..summary_of(&self.trainer, self.threads)
        }
    }
}
