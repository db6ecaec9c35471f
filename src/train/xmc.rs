//! A whole run of extreme classification: data, steps, evaluations, checkpoints, log and summary.

mod initial;
mod seen;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub use super::predict::Predictor;
pub use super::run::Options;
use super::run::{self, Due, Memory, Task};
use super::state::shape;
use super::step::PACKED_FROM;
use super::{Trainer, evaluate};
use crate::checkpoint::{Contents, Loaded, Saver, TrainerState};
use crate::config::Config;
use crate::data::{self, Batch, Datasets, Loader, Samples, Vocabulary};
use crate::error::{Error, Result};
use crate::flops::Phase;
use crate::metrics::Inverse;
use crate::run::{Environment, MetricsLog, Observer, Report, RunDir, Seconds, Signals, Summary, memory_bytes};
pub use initial::initial;
use seen::Seen;

/// The cuts of the ranking metrics.
pub const KS: [usize; 3] = [1, 3, 5];

/// The file of the run folder that says how later files are read.
pub const VOCABULARY: &str = "vocabulary.json";

/// Starts a run in the folder `out` on the files `train` and `valid`.
///
/// # Errors
///
/// See [`Error`]; [`Error::Stopped`] if `signals` asked the run to stop, after saving it.
pub fn start(
    out: &Path,
    (train, valid): (&str, Option<&str>),
    config: Config,
    options: &Options,
    signals: &Signals,
    observer: &mut dyn Observer,
) -> Result<Summary> {
    config.check()?;
    let environment = options.environment(config.train.seed, [("train", Some(train)), ("valid", valid)]);
    let dir = RunDir::create(out, &config, &environment)?;
    let run = Run::open(dir, config, &environment, None, options).inspect_err(|_| RunDir::discard(out))?;
    run::go(run, signals, observer)
}

/// Takes up the run in the folder `path`, from its last checkpoint (or from `path`, if that is one), with the configuration
/// of the run changed by `sets`.
///
/// # Errors
///
/// As [`start`].
pub fn resume(
    path: &Path,
    sets: &[String],
    options: &Options,
    signals: &Signals,
    observer: &mut dyn Observer,
) -> Result<Summary> {
    let (run, loaded) = RunDir::resume(path)?;
    let (config, environment): (Config, _) = (run.config(sets)?, run.environment()?);
    run.config::<Config>(&[])?.check_resumed(&config)?;
    let run = Run::open(run, config, &environment, loaded.as_ref(), options)?;
    // Only now is it known that the run can go on so.
    run.dir.write_config(&run.trainer.config)?;
    run::go(run, signals, observer)
}

/// Measures the last checkpoint of a run (or the checkpoint `path`) on a file.
///
/// # Errors
///
/// If the checkpoint or the file is bad.
pub fn evaluate_file(path: &Path, file: &str, options: &Options) -> Result<Summary> {
    let started = Instant::now();
    let mut predictor = Predictor::open(path, options.level)?;
    let run = predictor.run().to_owned();
    let cache = options.cache.clone().unwrap_or_else(|| run.join("cache"));
    let data = predictor.vocabulary().open(file, &cache)?;
    let load = started.elapsed().as_secs_f64();
    let start = Instant::now();
    let trainer = predictor.trainer_mut();
    let inverse = Seen::load(&run)?.inverse();
    let ranking = evaluate(&trainer.network, &mut trainer.work, &data, &KS, Some(inverse));
    let eval = start.elapsed().as_secs_f64();
    let mut summary = summary_of(trainer, options.threads);
    summary.task = "eval xmc".to_owned();
    summary.seconds = Seconds { total: started.elapsed().as_secs_f64(), load, eval, ..Seconds::default() };
    summary.samples_per_second = data.len() as f64 / eval;
    summary.metrics = ranking.metrics();
    (summary.active_share, summary.union_rows) = (1.0, data.labels() as f64);
    Ok(summary)
}

/// What the network alone says of a summary.
fn summary_of(trainer: &Trainer, threads: usize) -> Summary {
    Summary {
        steps: trainer.steps,
        epochs: trainer.config.train.epochs,
        parameters: trainer.network.parameters().iter().map(|p| (p.rows() * p.cols()) as u64).sum(),
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
    loader: Loader,
    log: MetricsLog,
    started: Instant,
    memory: Memory<Sums>,
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

impl Run {
    fn open(
        dir: RunDir,
        config: Config,
        environment: &Environment,
        loaded: Option<&Loaded>,
        options: &Options,
    ) -> Result<Self> {
        let started = Instant::now();
        let input = |name: &str| environment.inputs.get(name).map(String::as_str);
        let train = input("train").ok_or_else(|| Error::config("env.json", "names no training file"))?;
        let cache = options.cache.clone().unwrap_or_else(|| dir.path().join("cache"));
        // A run of an older version goes on with the words and labels of then, which are not all in its configuration.
        let before = loaded.map(|_| Vocabulary::load(&dir.path().join(VOCABULARY))).transpose()?;
        let read = before.as_ref().map_or(&config.data, Vocabulary::options);
        let data = data::open(train, input("valid"), read, &cache)?;
        data.vocabulary.save(&dir.path().join(VOCABULARY))?;
        let (samples, features, labels) = (data.train.len(), data.train.features(), data.train.labels());
        let seen = Seen::count(&data.train);
        seen.save(dir.path())?;
        let steps = data::steps_per_epoch(samples, config.train.batch_size) * config.train.epochs;
        let mut trainer = Trainer::new(config, features, labels, steps, options.level)?;
        let mut memory = Memory::default();
        if let Some(loaded) = loaded {
            shape(loaded)?.config.check_resumed(&trainer.config)?;
            run::check_steps("train.epochs", loaded.state().step, steps)?;
            trainer.restore(loaded)?;
            memory = Memory::recall(loaded)?;
            trainer.work.costs = memory.costs;
        }
        let log = dir.metrics(trainer.steps)?;
        memory.seconds.load = started.elapsed().as_secs_f64();
        let (inverse, threads, train) = (seen.inverse(), options.threads, &trainer.config.train);
        let source = Arc::new(data.train.clone());
        let loader = Loader::new(source, train.seed, train.batch_size, trainer.steps, trainer.total_steps);
        Ok(Self { dir, data, inverse, trainer, loader, log, started, memory, threads, fill: None })
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
        self.memory.seconds.index += start.elapsed().as_secs_f64();
        Ok(())
    }

    fn step(&mut self, batch: &Batch, waited: Duration) -> Result<()> {
        let start = Instant::now();
        let report = self.trainer.step(batch)?;
        let seconds = (waited + start.elapsed()).as_secs_f64();
        self.fill = report.fill;
        if let (Some(fill), 0) = (report.fill, self.memory.total.steps) {
            let product = if fill < PACKED_FROM { "sampled" } else { "packed" };
            self.log.write("product", self.trainer.steps, &json!({ "product": product, "fill": fill }))?;
        }
        self.memory.seconds.train += seconds;
        for sums in [&mut self.memory.total, &mut self.memory.recent] {
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
        let Sums { loss, samples, pairs, union_rows, steps, seconds } = std::mem::take(&mut self.memory.recent);
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
            "seconds": self.memory.seconds.train,
            "clock": run::clock(self.started, self.memory.seconds.load),
            "samples": self.memory.total.samples,
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

    fn evaluate(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let epoch = self.epoch();
        self.trainer.settle();
        let Some(valid) = &self.data.valid else { return Ok(()) };
        let start = Instant::now();
        let (costs, trainer) = (self.trainer.work.costs, &mut self.trainer);
        let ranking = evaluate(&trainer.network, &mut trainer.work, valid, &KS, Some(self.inverse.clone()));
        trainer.work.costs = costs;
        self.memory.seconds.eval += start.elapsed().as_secs_f64();
        self.memory.metrics = ranking.metrics();
        let percent = |k: usize| 100.0 * ranking.precision(k);
        let text = format!("epoch {epoch}: P@1 {:.2}  P@3 {:.2}  P@5 {:.2}", percent(1), percent(3), percent(5));
        observer.note(&text);
        let mut event: BTreeMap<&str, Value> =
            self.memory.metrics.iter().map(|(key, &value)| (&**key, json!(value))).collect();
        event.insert("epoch", json!(epoch));
        event.insert("seconds", json!(self.memory.seconds.train));
        event.insert("clock", json!(run::clock(self.started, self.memory.seconds.load)));
        event.insert("samples", json!(self.memory.total.samples));
        event.insert("flops", json!(self.trainer.work.costs.total().flops));
        self.log.write("eval", self.trainer.steps, &event)
    }

    fn saver(&self) -> Saver {
        let train = &self.trainer.config.train;
        Saver::new(self.dir.path(), train.keep, train.snapshot_bytes)
    }

    fn contents(&mut self) -> Contents<'_> {
        let epoch = self.trainer.steps / self.per_epoch();
        let mut state = TrainerState::new(self.trainer.steps, epoch, self.trainer.config.train.seed);
        self.memory.costs = self.trainer.work.costs;
        state.other = self.memory.to_json();
        self.trainer.contents(state)
    }

    fn summary(&self) -> Summary {
        let Memory { total: Sums { loss, samples, pairs, union_rows, steps, .. }, seconds, .. } = self.memory;
        let mut metrics = self.memory.metrics.clone();
        metrics.insert("loss".to_owned(), loss / samples as f64);
        Summary {
            task: "train xmc".to_owned(),
            seconds: Seconds { total: self.started.elapsed().as_secs_f64(), ..seconds },
            samples_per_second: samples as f64 / seconds.train,
            metrics,
            active_share: pairs as f64 / (samples as f64 * self.data.train.labels() as f64),
            union_rows: union_rows as f64 / steps as f64,
            ..summary_of(&self.trainer, self.threads)
        }
    }
}
