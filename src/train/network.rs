//! Training of any network: yours too. What the built-in tasks have, a [`Network`] gets as well: a run folder with its configuration, log
//! and summary, clipping, checks for divergence, evaluation, checkpoints that are written while training goes on, signals, and a
//! resumed run that ends in the bits of one that was never stopped.
//!
//! `examples/custom_network.rs` is a whole one.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::run::{self, Due, Options, RunTotals, Task};
use super::state::{MODEL, files, fill_state, restore_each};
use crate::checkpoint::{Contents, Loaded, Saver, TrainerState};
use crate::config::{Optim, RunConfig};
use crate::error::{Error, Result};
use crate::kernels::Level;
use crate::layer::Workspace;
use crate::module::Module;
use crate::optim::{Step, learning_rate};
use crate::run::{Component, MetricsLog, Observer, Report, RunDir, Seconds, Signals, Summary, memory_bytes};

/// A network that can be trained: its parameters are walked, and a batch gives them gradients.
pub trait Network: Module {
    /// What a step learns from.
    type Batch;

    /// Forward and backward of a batch. Gradients stay with the parameters until the step that follows. Whatever is random draws from
    /// `step` (counted from 0), so that a resumed run draws the same.
    fn accumulate(&mut self, work: &mut Workspace, batch: &Self::Batch, step: u64) -> Loss;

    /// Measures of quality by name, for the log and the summary; none if there is nothing to measure.
    fn evaluate(&mut self, _work: &mut Workspace) -> BTreeMap<String, f64> {
        BTreeMap::new()
    }
}

/// What a batch has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// Of all samples together, in nats.
    pub sum: f64,
    /// How many there were.
    pub samples: usize,
}

/// How a network is trained: `config.toml` of its run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// Learning rates, warm-up and clipping. (Rules belong to the network's parameters.)
    pub optim: Optim,
    /// How long, and what is saved.
    pub train: Schedule,
}

/// `[train]` of a [`Plan`]. A number of steps that is 0 means never, but at the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// Steps of the run.
    pub steps: u64,
    /// Steps between two lines of the log.
    pub log_every: u64,
    /// Steps between two evaluations.
    pub eval_every: u64,
    /// Steps between two checkpoints.
    pub save_every: u64,
    /// Checkpoints that stay.
    pub keep: usize,
    /// Bytes of tensors up to which a checkpoint is copied and written while training goes on.
    pub snapshot_bytes: u64,
    /// Of stochastic rounding; the network's own draws are its own.
    pub seed: u64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { steps: 1000, log_every: 50, eval_every: 0, save_every: 0, keep: 2, snapshot_bytes: 1 << 28, seed: 1 }
    }
}

impl RunConfig for Plan {
    const TASK: &'static str = "train a network of its own";

    fn check(&self) -> Result<()> {
        self.optim.check()?;
        match self.train.steps {
            0 => Err(Error::config("train.steps", "0: there is nothing to do")),
            steps if steps > u32::MAX.into() => {
                Err(Error::config("train.steps", format!("{steps} is above {}, the most", u32::MAX)))
            }
            _ if self.train.keep == 0 => Err(Error::config("train.keep", "0: the last checkpoint has to stay")),
            _ => Ok(()),
        }
    }

    fn check_resumed(&self, new: &Self) -> Result<()> {
        match self.train.seed == new.train.seed {
            true => Ok(()),
            false => Err(Error::config("train.seed", "is another than the run began with")),
        }
    }
}

/// What a step has done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Mean over the samples, in nats.
    pub loss: f64,
    /// Samples of the step.
    pub samples: usize,
    /// Euclidean length of the mean gradient, before it was clipped.
    pub gradient_norm: f64,
}

/// A network in training.
#[derive(Debug)]
pub struct Trainer<N> {
    /// The network.
    pub network: N,
    /// Counts of what has been done, and memory that is used again.
    pub work: Workspace,
    /// How it is trained.
    pub plan: Plan,
    /// Steps done.
    pub steps: u64,
}

impl<N: Network> Trainer<N> {
    /// Before the first step.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the plan cannot be.
    pub fn new(network: N, plan: Plan, level: Level) -> Result<Self> {
        plan.check()?;
        Ok(Self { network, work: Workspace::new(level), plan, steps: 0 })
    }

    /// One step.
    ///
    /// # Errors
    ///
    /// [`Error::Diverged`] if the loss or the gradient is not finite; the weights are those of before the step.
    pub fn step(&mut self, batch: &N::Batch) -> Result<StepReport> {
        let Loss { sum, samples } = self.network.accumulate(&mut self.work, batch, self.steps);
        let (loss, count) = (sum / samples as f64, samples as f64);
        let gradient_norm = self.network.squared_gradient(&mut self.work).sqrt() / count;
        for (what, number) in [("the loss", loss), ("the gradient", gradient_norm)] {
            if !number.is_finite() {
                self.network.forget_gradients();
                return Err(Error::Diverged { step: self.steps + 1, layer: what.to_owned(), last_good: None });
            }
        }
        let (optim, number) = (&self.plan.optim, self.steps + 1);
        let lr = learning_rate(optim, number, self.plan.train.steps);
        let clip = f64::from(optim.clip);
        let factor = if clip > 0.0 && gradient_norm > clip { clip / gradient_norm } else { 1.0 };
        let grad_scale = (factor / count) as f32;
        self.network
            .update(&mut self.work, &Step { number: number as u32, lr, grad_scale, seed: self.plan.train.seed });
        self.steps += 1;
        Ok(StepReport { loss, samples, gradient_norm })
    }

    /// Brings rows up to date that have steps to make up for, before weights are read as a whole.
    pub fn settle(&mut self) {
        let lr = learning_rate(&self.plan.optim, self.steps.max(1), self.plan.train.steps);
        let step = Step { number: self.steps as u32, lr, grad_scale: 1.0, seed: self.plan.train.seed };
        self.network.settle(&self.work, &step);
    }

    /// Trains in the folder `out` to the end of the plan: begins a run there, or, if there is one already, resumes it from its last
    /// checkpoint. `batch(step)` draws the batch of a step, counted from 0, and of no other. Gives the trained network and the summary.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::Stopped`] if `signals` asked the run to stop, after saving it: the same call resumes it.
    pub fn run(
        mut self,
        out: &Path,
        batch: impl FnMut(u64) -> N::Batch,
        options: &Options,
        signals: &Signals,
        observer: &mut dyn Observer,
    ) -> Result<Summary> {
        let started = Instant::now();
        run::check_stop(signals, 0)?;
        let (dir, loaded) = match crate::run::is_run(out) {
            false => {
                let environment = options.environment(self.plan.train.seed, []);
                (RunDir::create(out, &self.plan, &environment)?, None)
            }
            true => {
                let (dir, loaded) = RunDir::resume(out)?;
                dir.config::<Plan>(&[])?.check_resumed(&self.plan)?;
                options.check_level(&dir.environment()?, observer)?;
                (dir, loaded)
            }
        };
        let mut totals = RunTotals::default();
        if let Some(loaded) = &loaded {
            run::check_steps("train.steps", loaded.state().step, self.plan.train.steps)?;
            self.restore(loaded)?;
            totals = RunTotals::recall(loaded)?;
            self.work.costs = totals.costs;
            dir.write_config(&self.plan)?;
        }
        run::check_stop(signals, self.steps)?;
        let log = dir.metrics(self.steps)?;
        totals.recall_evaluation(&log, self.steps)?;
        totals.seconds.load = started.elapsed().as_secs_f64();
        run::go(Run { trainer: self, batch, dir, log, totals, started, threads: options.threads }, signals, observer)
    }

    /// Takes weights, optimiser state, counters and indexes from a checkpoint of a network of the same shape.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] if it is of another shape.
    pub fn restore(&mut self, loaded: &Loaded) -> Result<()> {
        loaded.fill(MODEL, &mut self.network.weight_tensors_mut())?;
        fill_state(loaded, &mut self.network.state_tensors_mut())?;
        restore_each(loaded, self.network.indexes_mut(), |index, state| index.restore(state))?;
        self.steps = loaded.state().step;
        Ok(())
    }

    fn components(&self) -> Vec<Component> {
        let index = self.network.indexes().iter().map(|(_, index)| index.statistics().bytes as u64).sum();
        Component::list(&self.network.weight_tensors(), &self.network.state_tensors(), index)
    }
}

/// A run at work.
struct Run<N, B> {
    trainer: Trainer<N>,
    batch: B,
    dir: RunDir,
    log: MetricsLog,
    totals: RunTotals<Sums>,
    started: Instant,
    threads: usize,
}

/// What reports are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sums {
    loss: f64,
    samples: u64,
    gradient_norm: f64,
    steps: u64,
    seconds: f64,
}

impl<N: Network, B: FnMut(u64) -> N::Batch> Task for Run<N, B> {
    fn steps(&self) -> (u64, u64) {
        (self.trainer.steps, self.trainer.plan.train.steps)
    }

    fn due(&self) -> Due {
        let (train, step) = (&self.trainer.plan.train, self.trainer.steps);
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
        let start = Instant::now();
        let batch = (self.batch)(self.trainer.steps);
        let report = self.trainer.step(&batch)?;
        let seconds = start.elapsed().as_secs_f64();
        self.totals.seconds.train += seconds;
        for sums in [&mut self.totals.total, &mut self.totals.recent] {
            sums.loss += report.loss * report.samples as f64;
            sums.samples += report.samples as u64;
            sums.gradient_norm += report.gradient_norm;
            sums.steps += 1;
            sums.seconds += seconds;
        }
        Ok(())
    }

    fn report(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let (step, steps) = self.steps();
        let recent = std::mem::take(&mut self.totals.recent);
        let report = Report {
            step,
            steps,
            epoch: 0,
            loss: recent.loss / recent.samples as f64,
            lr: f64::from(learning_rate(&self.trainer.plan.optim, step, steps)),
            rate: recent.samples as f64 / recent.seconds,
            unit: "samples",
            active_share: None,
            memory_bytes: memory_bytes(),
        };
        observer.step(&report);
        let event = json!({
            "seconds": self.totals.seconds.train,
            "clock": run::clock(self.started, self.totals.seconds.load),
            "samples": self.totals.total.samples,
            "flops": self.trainer.work.costs.total().flops,
            "loss": report.loss,
            "lr": report.lr,
            "gradient_norm": recent.gradient_norm / recent.steps as f64,
            "samples_per_second": report.rate,
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

    fn evaluate(&mut self, observer: &mut dyn Observer, _stop: &dyn Fn() -> bool) -> Result<bool> {
        let (start, step, costs) = (Instant::now(), self.trainer.steps, self.trainer.work.costs);
        let metrics = self.trainer.network.evaluate(&mut self.trainer.work);
        self.trainer.work.costs = costs;
        if let Some((name, _)) = metrics.iter().find(|(_, value)| !value.is_finite()) {
            return Err(Error::Diverged { step, layer: name.clone(), last_good: None });
        }
        if metrics.is_empty() {
            return Ok(true);
        }
        self.totals.seconds.eval += start.elapsed().as_secs_f64();
        let words: Vec<String> = metrics.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
        observer.note(&format!("step {step}: {}", words.join(", ")));
        let mut event: BTreeMap<&str, Value> = metrics.iter().map(|(name, &value)| (&**name, json!(value))).collect();
        event.insert("seconds", json!(self.totals.seconds.train));
        event.insert("clock", json!(run::clock(self.started, self.totals.seconds.load)));
        event.insert("samples", json!(self.totals.total.samples));
        self.log.write("eval", step, &event)?;
        self.totals.metrics = metrics;
        Ok(true)
    }

    fn optim(&self) -> &Optim {
        &self.trainer.plan.optim
    }

    fn saver(&self) -> Saver {
        let train = &self.trainer.plan.train;
        Saver::new(self.dir.path(), train.keep, train.snapshot_bytes)
    }

    fn contents(&mut self) -> Contents<'_> {
        let mut state = TrainerState::new(self.trainer.steps, 0, self.trainer.plan.train.seed);
        state.counters.insert("samples".to_owned(), self.totals.total.samples);
        self.totals.costs = self.trainer.work.costs;
        state.other = self.totals.to_json();
        let network = &self.trainer.network;
        let indexes = network.indexes().into_iter().map(|(name, index)| (name, index.state()));
        let tensors = files(network.weight_tensors(), network.state_tensors(), indexes);
        let config = json!({ "task": "network", "plan": self.trainer.plan });
        Contents { tensors, ..Contents::new(state, config) }
    }

    fn summary(&self) -> Summary {
        let RunTotals { total, seconds, metrics, .. } = &self.totals;
        let mut metrics = metrics.clone();
        metrics.insert("train_loss".to_owned(), total.loss / total.samples as f64);
        let network = &self.trainer.network;
        Summary {
            task: "train network".to_owned(),
            steps: self.trainer.steps,
            parameters: network.parameter_count(),
            seed: self.trainer.plan.train.seed,
            components: self.trainer.components(),
            seconds: Seconds { total: self.started.elapsed().as_secs_f64(), ..*seconds },
            samples_per_second: total.samples as f64 / seconds.train,
            metrics,
            ..run::summary(&self.trainer.work, &network.weight_tensors(), self.threads)
        }
    }
}
