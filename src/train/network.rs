//! Training of any network: yours too. What the built-in tasks have, a [`Network`] gets as well: a run folder with its configuration, log
//! and summary, clipping, checks for divergence, evaluation, checkpoints that are written while training goes on, signals, and a
//! resumed run that ends in the bits of one that was never stopped.
//!
//! `examples/custom_network.rs` is a whole one.

use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::run::{Evaluated, Run, Task, View};
use super::start::{Options, check_steps, check_stop};
use super::state;
use super::step::{diverged, step};
use super::totals::{Counts, Sums};
use crate::checkpoint::{Contents, Loaded, TrainerState};
use crate::config::RunConfig;
use crate::error::Result;
use crate::kernels::Level;
use crate::layer::Workspace;
use crate::run::{MetricsLog, Observer, Report, RunDir, Signals, Summary};

pub use super::plan::{Plan, Schedule};
pub use super::step::{Loss, Network, StepReport};

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
    /// [`Error::Config`](crate::error::Error::Config) if the plan cannot be.
    pub fn new(network: N, plan: Plan, level: Level) -> Result<Self> {
        plan.check()?;
        Ok(Self { network, work: Workspace::new(level), plan, steps: 0 })
    }

    /// One step.
    ///
    /// # Errors
    ///
    /// [`Error::Diverged`](crate::error::Error::Diverged) if the loss or the gradient is not finite; the weights are those of before the step.
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
    /// See [`Error`](crate::error::Error); [`Error::Stopped`](crate::error::Error::Stopped) if `signals` asked the run to stop, after saving it: the same call resumes it.
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
    /// [`Error::Checkpoint`](crate::error::Error::Checkpoint) if it is of another shape.
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
