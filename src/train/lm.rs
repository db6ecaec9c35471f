//! A whole run of a language model: token files, steps, evaluations, samples, checkpoints, log and summary.

mod begin;
mod estimate;
mod evaluate;
mod files;
mod initial;
mod inspect;
#[cfg(test)]
mod tests;
mod trainer;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use super::run::Options;
use super::run::{self, Due, Memory, Task};
use crate::checkpoint::disk::{System, replace_file};
use crate::checkpoint::{self, Contents, Loaded, Saver, TrainerState};
use crate::config::RunConfig;
use crate::config::lm::Lm;
use crate::data::Sequences;
use crate::data::tokens::TOKENIZER;
use crate::error::{Error, Result};
use crate::generate::{Generation, generate};
use crate::run::{MetricsLog, Observer, Report, RunDir, Seconds, Signals, Summary, memory_bytes};
use begin::{DIGEST, can_begin, goes_on};
pub use estimate::{Estimate, estimate, memory};
pub use evaluate::{Evaluation, evaluate, evaluate_with};
pub use files::Files;
pub use initial::initial;
pub use trainer::{Shape, StepReport, Trainer};

/// The paths of a run's files.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The token file to train on.
    pub train: &'a str,
    /// The token file to measure on.
    pub valid: Option<&'a str>,
    /// The tokenizer that made both.
    pub tokenizer: &'a str,
}

/// Starts a run in the folder `out`.
///
/// # Errors
///
/// See [`Error`]; [`Error::Stopped`] if `signals` asked the run to stop, after saving it.
pub fn start(
    out: &Path,
    inputs: Inputs,
    config: Lm,
    options: &Options,
    signals: &Signals,
    observer: &mut dyn Observer,
) -> Result<Summary> {
    config.check()?;
    let started = Instant::now();
    let Inputs { train, valid, tokenizer } = inputs;
    // A run that cannot begin leaves no folder.
    let files = Files::open(tokenizer.as_ref(), train.as_ref(), valid.map(Path::new))?;
    let config = files.resolve(config)?;
    let named = [("train", Some(train)), ("valid", valid), ("tokenizer", Some(tokenizer))];
    let run = Run::create(out, config, files, named, options, started)?;
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
    let started = Instant::now();
    let (dir, loaded) = RunDir::resume(path)?;
    let (config, environment): (Lm, _) = (dir.config(sets)?, dir.environment()?);
    dir.config::<Lm>(&[])?.check_resumed(&config)?;
    let input = |name: &str| environment.inputs.get(name).map(Path::new);
    let own = dir.path().join(TOKENIZER);
    // The run's own, unless it was killed before it had one.
    let tokenizer = if own.exists() { Some(own.as_path()) } else { input("tokenizer") };
    let (Some(train), Some(tokenizer)) = (input("train"), tokenizer) else {
        return Err(Error::config("env.json", "names no training file, or no tokenizer"));
    };
    let files = Files::open(tokenizer, train, input("valid"))?;
    let config = files.resolve(config)?;
    can_begin(&config, &files, options.level)?;
    let run = Run::open(dir, config, files, loaded.as_ref(), options, started)?;
    // Only now is it known that the run can go on so.
    run.dir.write_config(&run.trainer.config)?;
    run::go(run, signals, observer)
}

/// Measures the last checkpoint of a run (or the checkpoint `path`) on a token file.
///
/// # Errors
///
/// If the checkpoint or the file is bad, or they do not belong together.
pub fn evaluate_file(path: &Path, file: &Path, options: &Options) -> Result<Summary> {
    let started = Instant::now();
    let (mut trainer, tokenizer) = Trainer::load(&checkpoint::open(path)?, options.level)?;
    let file = files::open(file, &tokenizer)?;
    let load = started.elapsed().as_secs_f64();
    let start = Instant::now();
    let context = trainer.config.context();
    trainer.settle();
    let evaluation = evaluate(&mut trainer.network, &mut trainer.work, &file, context);
    let eval = start.elapsed().as_secs_f64();
    let rate = evaluation.tokens as f64 / eval;
    Ok(Summary {
        task: "eval lm".to_owned(),
        seconds: Seconds { total: started.elapsed().as_secs_f64(), load, eval, ..Seconds::default() },
        samples_per_second: rate / context as f64,
        tokens_per_second: Some(rate),
        metrics: evaluation.metrics(),
        active_share: 1.0,
        union_rows: trainer.network.vocabulary() as f64,
        ..summary_of(&trainer, options.threads)
    })
}

fn sequences(config: &Lm, files: &Files) -> Result<Sequences> {
    Sequences::new(files.train.clone(), config.context(), config.sequences(), config.train.seed)
}

/// What the network alone says of a summary.
fn summary_of(trainer: &Trainer, threads: usize) -> Summary {
    Summary {
        steps: trainer.steps,
        parameters: trainer.network.parameters(),
        seed: trainer.config.train.seed,
        components: trainer.components(),
        ..run::summary(&trainer.work, &trainer.network.weight_tensors(), threads)
    }
}

/// A run at work.
struct Run {
    dir: RunDir,
    files: Files,
    sequences: Sequences,
    trainer: Trainer,
    log: MetricsLog,
    started: Instant,
    threads: usize,
    memory: Memory<Sums>,
}

/// What reports are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sums {
    loss: f64,
    tokens: u64,
    gradient_norm: f64,
    steps: u64,
    seconds: f64,
    /// Pairs of a token and a row of the head that were computed, and the tokens since they are counted.
    #[serde(default)]
    pairs: u64,
    #[serde(default)]
    counted: u64,
}

impl Sums {
    /// Rows of the head that a token computes, on average.
    fn union_rows(&self) -> f64 {
        self.pairs as f64 / self.counted.max(1) as f64
    }
}

impl Run {
    /// A run in a new folder, which is not there if the run cannot begin.
    fn create<'a>(
        out: &Path,
        config: Lm,
        files: Files,
        inputs: [(&'a str, Option<&'a str>); 3],
        options: &Options,
        started: Instant,
    ) -> Result<Self> {
        can_begin(&config, &files, options.level)?;
        let dir = RunDir::create(out, &config, &options.environment(config.train.seed, inputs))?;
        Self::open(dir, config, files, None, options, started).inspect_err(|_| RunDir::discard(out))
    }

    fn open(
        dir: RunDir,
        config: Lm,
        files: Files,
        loaded: Option<&Loaded>,
        options: &Options,
        started: Instant,
    ) -> Result<Self> {
        replace_file(&System, dir.path(), TOKENIZER, files.tokenizer.json())?;
        let sequences = sequences(&config, &files)?;
        let (hot, steps) = (files.hot(&config), config.steps(sequences.windows()));
        let mut trainer = Trainer::new(config, hot, steps, options.level)?;
        let mut memory = Memory::default();
        if let Some(loaded) = loaded {
            goes_on(loaded, &trainer.config, &files, steps)?;
            trainer.restore(loaded)?;
            memory = Memory::recall(loaded)?;
            trainer.work.costs = memory.costs;
        }
        let log = dir.metrics(trainer.steps)?;
        memory.seconds.load = started.elapsed().as_secs_f64();
        Ok(Self { dir, files, sequences, trainer, log, started, threads: options.threads, memory })
    }

    /// What the network goes on with at this step, if that is wanted and possible. The same network has the same sample.
    fn sample(&self) -> Result<Option<String>> {
        let (train, trainer) = (&self.trainer.config.train, &self.trainer);
        let mut text = train.sample.clone();
        let empty = text.is_empty() && self.files.tokenizer.end_of_text().is_none();
        if train.sample_tokens == 0 || empty {
            return Ok(None);
        }
        let options = Generation { seed: train.seed, max_tokens: train.sample_tokens, ..Generation::default() };
        let work = &mut crate::layer::Workspace::new(trainer.work.level);
        let mut write = |more: &str| {
            text += more;
            Ok(())
        };
        match generate(&trainer.network, work, &self.files.tokenizer, &train.sample, &options, &mut write) {
            // The prompt was looked at before the run began: what is left is that there are no scores.
            Err(Error::Data { .. }) => Err(self.diverged("the scores of a sample")),
            done => done.map(|_| Some(text)),
        }
    }

    /// The step that was done last has broken the network, seen in `what`.
    fn diverged(&self, what: &str) -> Error {
        Error::Diverged { step: self.trainer.steps, layer: what.to_owned(), last_good: None }
    }
}

impl Task for Run {
    fn steps(&self) -> (u64, u64) {
        (self.trainer.steps, self.trainer.total_steps)
    }

    fn due(&self) -> Due {
        let (train, step) = (&self.trainer.config.train, self.trainer.steps);
        let every = |steps: u64| steps > 0 && step.is_multiple_of(steps);
        Due { report: every(train.log_every), evaluate: every(train.eval_every), save: every(train.save_every) }
    }

    fn dir(&self) -> &RunDir {
        &self.dir
    }

    fn log(&mut self) -> &mut MetricsLog {
        &mut self.log
    }

    fn advance(&mut self) -> Result<()> {
        self.look()?;
        let start = Instant::now();
        let report = self.trainer.step(&mut self.sequences)?;
        let seconds = start.elapsed().as_secs_f64();
        self.memory.seconds.train += seconds;
        for sums in [&mut self.memory.total, &mut self.memory.recent] {
            sums.loss += report.loss * report.tokens as f64;
            sums.tokens += report.tokens as u64;
            sums.gradient_norm += report.gradient_norm;
            sums.steps += 1;
            sums.seconds += seconds;
            sums.pairs += report.pairs;
            sums.counted += report.tokens as u64;
        }
        Ok(())
    }

    fn report(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let (step, epochs) = (self.trainer.steps, self.sequences.epochs(self.trainer.steps));
        let recent = std::mem::take(&mut self.memory.recent);
        let active_share = recent.union_rows() / self.trainer.network.vocabulary() as f64;
        let Sums { loss, tokens, gradient_norm, steps, seconds, .. } = recent;
        let lr = crate::optim::learning_rate(&self.trainer.config.optim, step, self.trainer.total_steps);
        let report = Report {
            step,
            steps: self.trainer.total_steps,
            epoch: epochs.ceil() as u64,
            loss: loss / tokens as f64,
            lr: f64::from(lr),
            rate: tokens as f64 / seconds,
            unit: "tokens",
            active_share: (active_share < 1.0).then_some(active_share),
            memory_bytes: memory_bytes(),
        };
        observer.step(&report);
        let event = json!({
            "epoch": epochs,
            "seconds": self.memory.seconds.train,
            "clock": run::clock(self.started, self.memory.seconds.load),
            "tokens": self.memory.total.tokens,
            "flops": self.trainer.work.costs.total().flops,
            "loss": report.loss,
            "lr": lr,
            "active_share": active_share,
            "gradient_norm": gradient_norm / steps as f64,
            "tokens_per_second": report.rate,
            "memory_bytes": report.memory_bytes,
        });
        self.log.write("train", step, &event)
    }

    fn evaluate(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let start = Instant::now();
        self.trainer.settle();
        let step = self.trainer.steps;
        let trainer = &mut self.trainer;
        let mut event: BTreeMap<&str, Value> = BTreeMap::new();
        let mut note = format!("step {step}");
        if let Some(valid) = &self.files.valid {
            let (costs, context) = (trainer.work.costs, trainer.config.context());
            let evaluation = evaluate(&mut trainer.network, &mut trainer.work, valid, context);
            trainer.work.costs = costs;
            if !evaluation.nats.is_finite() {
                return Err(self.diverged("the validation loss"));
            }
            self.memory.metrics = evaluation.metrics();
            let (loss, perplexity) = (evaluation.loss(), evaluation.perplexity());
            note +=
                &format!(": loss {loss:.4}, perplexity {perplexity:.2}, {:.4} bits a byte", evaluation.bits_per_byte());
        }
        let usage = self.trainer.network.memories.usage();
        self.memory.metrics.extend(usage.into_iter().map(|(key, value)| (key.to_owned(), value)));
        if let Some(sample) = self.sample()? {
            note += &format!("; sample: {sample:?}");
            event.insert("sample", json!(sample));
        }
        event.extend(self.memory.metrics.iter().map(|(key, &value)| (&**key, json!(value))));
        if event.is_empty() {
            return Ok(());
        }
        self.memory.seconds.eval += start.elapsed().as_secs_f64();
        if note.contains([':', ';']) {
            observer.note(&note);
        }
        event.insert("seconds", json!(self.memory.seconds.train));
        event.insert("clock", json!(run::clock(self.started, self.memory.seconds.load)));
        event.insert("tokens", json!(self.memory.total.tokens));
        event.insert("flops", json!(self.trainer.work.costs.total().flops));
        self.log.write("eval", step, &event)
    }

    fn saver(&self) -> Saver {
        let train = &self.trainer.config.train;
        Saver::new(self.dir.path(), train.keep, train.snapshot_bytes)
    }

    fn contents(&mut self) -> Contents<'_> {
        let (steps, seed) = (self.trainer.steps, self.trainer.config.train.seed);
        let mut state = TrainerState::new(steps, self.sequences.epochs(steps) as u64, seed);
        state.counters.insert("tokens".to_owned(), self.memory.total.tokens);
        state.counters.insert(DIGEST.to_owned(), self.files.train.digest());
        self.memory.costs = self.trainer.work.costs;
        state.other = self.memory.to_json();
        self.trainer.contents(&self.files.tokenizer, state)
    }

    fn summary(&self) -> Summary {
        let Memory { total, seconds, metrics, .. } = &self.memory;
        let (Sums { loss, tokens, .. }, union_rows) = (total, total.union_rows());
        let mut metrics = metrics.clone();
        metrics.insert("train_loss".to_owned(), loss / *tokens as f64);
        let rate = *tokens as f64 / seconds.train;
        Summary {
            task: "train lm".to_owned(),
            epochs: self.sequences.epochs(self.trainer.steps).ceil() as u64,
            seconds: Seconds { total: self.started.elapsed().as_secs_f64(), ..*seconds },
            samples_per_second: rate / self.trainer.config.context() as f64,
            tokens_per_second: Some(rate),
            metrics,
            active_share: union_rows / self.trainer.network.vocabulary() as f64,
            union_rows,
            ..summary_of(&self.trainer, self.threads)
        }
    }
}
