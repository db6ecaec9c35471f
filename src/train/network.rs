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

use super::run::{Evaluated, Run, Task, View};
use super::start::{Options, check_steps, check_stop};
use super::state;
use super::step::{Course, diverged, step};
use super::totals::{Counts, Sums};
use crate::checkpoint::{Contents, Loaded, TrainerState};
use crate::config::{Optim, RunConfig};
use crate::error::{Error, Result};
use crate::kernels::Level;
use crate::layer::Workspace;
use crate::module::Module;
use crate::run::{MetricsLog, Observer, Report, RunDir, Signals, Summary};

/// A network that can be trained: its parameters are walked, and a batch gives them gradients.
pub trait Network: Module {
    /// What a step learns from.
    type Batch;

    /// Forward and backward of a batch. Gradients stay with the parameters until the step that follows. Whatever is random draws from
    /// `step` (counted from 0), so that a resumed run draws the same.
    fn accumulate(&mut self, work: &mut Workspace, batch: &Self::Batch, step: u64) -> Loss;

    /// What the network has come to be broken by, if finite numbers show that: the mean loss of a batch and the length of its mean
    /// gradient. The step is then refused.
    fn broken(&self, _loss: f64, _gradient_norm: f64) -> Option<&'static str> {
        None
    }

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

impl Plan {
    pub(super) fn course(&self) -> Course<'_> {
        Course { optim: &self.optim, steps: self.train.steps, seed: self.train.seed }
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
        let report = step(&mut self.network, &mut self.work, batch, &self.plan.course(), self.steps)?;
        self.steps += 1;
        Ok(report)
    }

    /// Brings rows up to date that have steps to make up for, before weights are read as a whole.
    pub fn settle(&mut self) {
        self.plan.course().settle(&mut self.network, &self.work, self.steps);
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
        let (started, plan) = (Instant::now(), self.plan.clone());
        check_stop(signals, 0)?;
        let resumed = crate::run::is_run(out);
        let (dir, loaded) = match resumed {
            false => (RunDir::create(out, &plan, &options.environment(plan.train.seed, []))?, None),
            true => RunDir::resume(out)?,
        };
        if resumed {
            dir.config::<Plan>(&[])?.check_resumed(&plan)?;
            options.check_level(&dir.environment()?, observer)?;
        }
        if let Some(loaded) = &loaded {
            check_steps("train.steps", loaded.state().step, plan.train.steps)?;
            self.restore(loaded)?;
        }
        check_stop(signals, self.steps)?;
        let task = OfBatches { trainer: self, batch };
        let run = Run::new(dir, task, plan, loaded.as_ref(), options.threads, started)?;
        if resumed {
            run.continues(&run.task.trainer.plan, options.level, [])?;
        }
        run.go(signals, observer)
    }

    /// Takes weights, optimiser state, counters and indexes from a checkpoint of a network of the same shape.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] if it is of another shape.
    pub fn restore(&mut self, loaded: &Loaded) -> Result<()> {
        self.steps = state::restore(loaded, &mut self.network)?;
        Ok(())
    }
}

/// Training on batches that a function draws.
struct OfBatches<N, B> {
    trainer: Trainer<N>,
    batch: B,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Counted {
    samples: u64,
    gradient_norm: f64,
}

impl Counts for Counted {
    fn samples(&self) -> u64 {
        self.samples
    }

    fn add(&mut self, more: Self) {
        self.samples += more.samples;
        self.gradient_norm += more.gradient_norm;
    }
}

impl<N: Network, B: FnMut(u64) -> N::Batch> Task for OfBatches<N, B> {
    type Counts = Counted;
    const NAME: &'static str = "train network";

    fn view(&self) -> View<'_> {
        let Trainer { network, work, plan, steps } = &self.trainer;
        View { network, work, steps: *steps, seed: plan.train.seed }
    }

    fn work(&mut self) -> &mut Workspace {
        &mut self.trainer.work
    }

    fn settle(&mut self) {
        self.trainer.settle();
    }

    fn step(&mut self, _: &mut MetricsLog) -> Result<(f64, Counted)> {
        let batch = (self.batch)(self.trainer.steps);
        let StepReport { loss, samples, gradient_norm } = self.trainer.step(&batch)?;
        Ok((loss * samples as f64, Counted { samples: samples as u64, gradient_norm }))
    }

    fn report(&self, recent: &Sums<Counted>, _: &mut Report, event: &mut Value) {
        event["gradient_norm"] = json!(recent.counts.gradient_norm / recent.steps as f64);
    }

    fn evaluate(&mut self, _: &dyn Fn() -> bool) -> Result<Option<Evaluated>> {
        let (step, metrics) = (self.trainer.steps, self.trainer.network.evaluate(&mut self.trainer.work));
        if let Some((name, _)) = metrics.iter().find(|(_, value)| !value.is_finite()) {
            return Err(diverged(step, name));
        }
        let words: Vec<String> = metrics.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
        let note = Some(format!("step {step}: {}", words.join(", ")));
        Ok(Some(Evaluated { metrics, note, ..Evaluated::default() }))
    }

    fn contents(&self, mut state: TrainerState, total: &Counted) -> Contents<'_> {
        state.counters.insert("samples".to_owned(), total.samples);
        let config = json!({ "task": "network", "plan": self.trainer.plan });
        Contents { tensors: state::tensors(&self.trainer.network), ..Contents::new(state, config) }
    }

    fn summary(&self, _: &Sums<Counted>, summary: Summary) -> Summary {
        summary
    }
}
