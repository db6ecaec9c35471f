//! A whole run of a language model: token files, steps, evaluations, samples, checkpoints, log and summary.

mod begin;
mod estimate;
mod evaluate;
mod files;
mod initial;
mod inspect;
mod start;
#[cfg(test)]
mod tests;
mod trainer;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use super::run::Options;
use super::run::{self, Due, RunTotals, Task};
use crate::checkpoint::{Contents, Loaded, Saver, TrainerState};
use crate::config::lm::Lm;
use crate::config::{Optim, RunConfig};
use crate::data::Sequences;
use crate::data::tokens::TOKENIZER;
use crate::error::{Error, Result};
use crate::generate::{Generation, generate};
use crate::module::Module;
use crate::run::{MetricsLog, Observer, Report, RunDir, Seconds, Summary, memory_bytes};
pub use begin::check_steps;
use begin::{TRAIN_DIGEST, VALID_DIGEST, check_can_start, check_resumed};
pub use estimate::{Component, Estimate, estimate, plan_bytes};
use evaluate::evaluate_until;
pub use evaluate::{Evaluation, evaluate, evaluate_with, try_evaluate, try_evaluate_with};
pub use files::Files;
pub use initial::initial;
pub use start::{Inputs, Measure, MovedInputs, evaluate_file, plan_resumed, resume, start};
pub use trainer::{Shape, StepReport, Trainer};

fn sequences(config: &Lm, files: &Files) -> Result<Sequences> {
    Sequences::new(files.train.clone(), config.context(), config.sequences(), config.train.seed)
}

/// What the network alone says of a summary.
fn summary_of(trainer: &Trainer, threads: usize) -> Summary {
    Summary {
        steps: trainer.steps,
        parameters: trainer.network.parameter_count(),
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
    totals: RunTotals<Sums>,
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
    fn create(out: &Path, inputs: &Inputs, config: Lm, options: &Options) -> Result<Self> {
        config.check()?;
        let started = Instant::now();
        let files = Files::open(&inputs.tokenizer, &inputs.train, inputs.valid.as_deref())?;
        let config = files.resolve(config)?;
        check_can_start(&config, &files, options.level)?;
        let dir = RunDir::create(out, &config, &options.environment(config.train.seed, inputs.named()))?;
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
        let sequences = sequences(&config, &files)?;
        let (hot, steps) = (files.hot(&config), config.steps(sequences.windows()));
        let mut trainer = Trainer::new(config, hot, steps, options.level)?;
        let mut totals = RunTotals::default();
        if let Some(loaded) = loaded {
            check_resumed(loaded, &trainer.config, &files, steps)?;
            trainer.restore(loaded)?;
            totals = RunTotals::recall(loaded)?;
            trainer.work.costs = totals.costs;
        }
        crate::files::write(&dir.path().join(TOKENIZER), files.tokenizer.json())?;
        let log = dir.metrics(trainer.steps)?;
        totals.recall_evaluation(&log, trainer.steps)?;
        totals.seconds.load = started.elapsed().as_secs_f64();
        Ok(Self { dir, files, sequences, trainer, log, started, threads: options.threads, totals })
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
        self.totals.seconds.train += seconds;
        for sums in [&mut self.totals.total, &mut self.totals.recent] {
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
        let recent = std::mem::take(&mut self.totals.recent);
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
            "seconds": self.totals.seconds.train,
            "clock": run::clock(self.started, self.totals.seconds.load),
            "tokens": self.totals.total.tokens,
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

    fn settle(&mut self) {
        self.trainer.settle();
    }

    fn owes_evaluation(&mut self) -> &mut bool {
        &mut self.totals.owes_evaluation
    }

    fn evaluate(&mut self, observer: &mut dyn Observer, stop: &dyn Fn() -> bool) -> Result<bool> {
        let start = Instant::now();
        let step = self.trainer.steps;
        let trainer = &mut self.trainer;
        let mut event: BTreeMap<&str, Value> = BTreeMap::new();
        let mut note = format!("step {step}");
        if let Some(valid) = &self.files.valid {
            let (costs, context) = (trainer.work.costs, trainer.config.context());
            let evaluation = evaluate_until(&mut trainer.network, &mut trainer.work, valid, (context, context), stop);
            trainer.work.costs = costs;
            let Some(evaluation) = evaluation? else { return Ok(false) };
            if !evaluation.nats.is_finite() {
                return Err(self.diverged("the validation loss"));
            }
            self.totals.metrics = evaluation.metrics();
            let (loss, perplexity) = (evaluation.loss(), evaluation.perplexity());
            note +=
                &format!(": loss {loss:.4}, perplexity {perplexity:.2}, {:.4} bits a byte", evaluation.bits_per_byte());
        }
        let usage = self.trainer.network.memories.usage();
        self.totals.metrics.extend(usage.into_iter().map(|(key, value)| (key.to_owned(), value)));
        if let Some(sample) = self.sample()? {
            note += &format!("; sample: {sample:?}");
            event.insert("sample", json!(sample));
        }
        event.extend(self.totals.metrics.iter().map(|(key, &value)| (&**key, json!(value))));
        if event.is_empty() {
            return Ok(true);
        }
        self.totals.seconds.eval += start.elapsed().as_secs_f64();
        if note.contains([':', ';']) {
            observer.note(&note);
        }
        event.insert("seconds", json!(self.totals.seconds.train));
        event.insert("clock", json!(run::clock(self.started, self.totals.seconds.load)));
        event.insert("tokens", json!(self.totals.total.tokens));
        event.insert("flops", json!(self.trainer.work.costs.total().flops));
        self.log.write("eval", step, &event)?;
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
        let (steps, seed) = (self.trainer.steps, self.trainer.config.train.seed);
        let mut state = TrainerState::new(steps, self.sequences.epochs(steps) as u64, seed);
        state.counters.insert("tokens".to_owned(), self.totals.total.tokens);
        state.counters.insert(TRAIN_DIGEST.to_owned(), self.files.train.digest());
        state.counters.extend(self.files.valid.as_ref().map(|valid| (VALID_DIGEST.to_owned(), valid.digest())));
        self.totals.costs = self.trainer.work.costs;
        state.other = self.totals.to_json();
        self.trainer.contents(&self.files.tokenizer, state)
    }

    fn summary(&self) -> Summary {
        let RunTotals { total, seconds, metrics, .. } = &self.totals;
        let (Sums { loss, tokens, .. }, union_rows) = (total, total.union_rows());
        let mut metrics = metrics.clone();
        metrics.insert("train_loss".to_owned(), loss / *tokens as f64);
        let rate = *tokens as f64 / seconds.train;
        Summary {
            task: "train lm".to_owned(),
            epochs: self.sequences.epochs(self.trainer.steps).ceil() as u64,
            passes: Some(self.sequences.epochs(self.trainer.steps)),
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
