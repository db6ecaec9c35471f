//! What runs of every kind have in common: their loop, how they end, and what a checkpoint remembers of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::checkpoint::{self, Contents, Loaded, Saver};
use crate::config::Optim;
use crate::error::{Error, Result};
use crate::flops::Costs;
use crate::kernels::Level;
use crate::layer::Workspace;
use crate::run::{Environment, MetricsLog, Observer, RunDir, Seconds, Signals, Summary, peak_memory_bytes};
use crate::tensor::Tensor;

/// What a run is started or taken up with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The instruction set.
    pub level: Level,
    /// Threads, for the record: the pool is the caller's.
    pub threads: usize,
    /// The command line, for the record.
    pub command: Vec<String>,
    /// Where parsed data is kept; in the run's folder if not said. Token files need no such place.
    pub cache: Option<PathBuf>,
    /// A run may continue with another instruction set than before, though not with the bits of one that was never
    /// stopped.
    pub other_level: bool,
}

impl Options {
    /// At this level, with the threads of the pool that this is called from.
    ///
    /// ```
    /// use hotrow::{kernels::Level, train::Options};
    /// assert!(Options::new(Level::PORTABLE).threads > 0);
    /// ```
    pub fn new(level: Level) -> Self {
        let threads = rayon::current_num_threads();
        Self { level, threads, command: Vec::new(), cache: None, other_level: false }
    }

    /// What `env.json` says of a run with this seed on these files.
    pub(super) fn environment<'a>(
        &self,
        seed: u64,
        inputs: impl IntoIterator<Item = (&'a str, Option<&'a Path>)>,
    ) -> Environment {
        let inputs = inputs.into_iter().filter_map(|(name, path)| Some((name.to_owned(), path?.to_owned())));
        Environment::read(self.level, self.threads, seed, self.command.clone(), inputs.collect())
    }

    /// An error if the run of `environment` was last at work with another instruction set, unless that is allowed; then it is said.
    pub(super) fn check_level(&self, environment: &Environment, observer: &mut dyn Observer) -> Result<()> {
        let (before, now) = (environment.last_level(), self.level.name());
        if before == now {
            return Ok(());
        }
        let did = if environment.later_levels.is_empty() { "began" } else { "continued last" };
        if !self.other_level {
            let message = format!(
                "the run {did} with {before} and would continue with {now}: other bits than those of a run that was never \
                 stopped; ask for {before}, or allow another level"
            );
            return Err(Error::config("level", message));
        }
        observer.note(&format!("level: the run {did} with {before} and continues with {now}"));
        Ok(())
    }
}

/// What is due after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub report: bool,
    pub evaluate: bool,
    pub save: bool,
}

/// A run at work.
pub(super) trait Task {
    /// Steps done, and steps of the whole run.
    fn steps(&self) -> (u64, u64);
    /// What is due after the step that was done last. After the last of all everything is.
    fn due(&self) -> Due;
    /// One step.
    fn advance(&mut self) -> Result<()>;
    fn report(&mut self, observer: &mut dyn Observer) -> Result<()>;
    /// Brings all weights up to date, as an evaluation wants them. A second time in the same step it changes nothing.
    fn settle(&mut self);
    /// Measures, and whether that came to its end before `stop` said so.
    fn evaluate(&mut self, observer: &mut dyn Observer, stop: &dyn Fn() -> bool) -> Result<bool>;
    /// Whether an evaluation of the step that was done last is still due; a checkpoint remembers it.
    fn owes_evaluation(&mut self) -> &mut bool;
    fn optim(&self) -> &Optim;
    /// What writes its checkpoints.
    fn saver(&self) -> Saver;
    /// What a checkpoint holds of it now.
    fn contents(&mut self) -> Contents<'_>;
    fn summary(&self) -> Summary;
    fn dir(&self) -> &RunDir;
    fn log(&mut self) -> &mut MetricsLog;
}

/// Seconds since this program could begin to train: reading, evaluating and saving count, loading (of `load` seconds) does not.
pub(super) fn clock(started: Instant, load: f64) -> f64 {
    started.elapsed().as_secs_f64() - load
}

/// Continues to the last step, or to the first after a signal.
///
/// A checkpoint that is due comes before the evaluation of the same step: whoever is killed while measuring has lost nothing. It
/// remembers that the evaluation is due, and a resumed run makes up for it.
pub(super) fn go(mut task: impl Task, signals: &Signals, observer: &mut dyn Observer) -> Result<Summary> {
    let _polled = signals.polled();
    let (warmup, (done, total)) = (task.optim().warmup_steps, task.steps());
    if warmup > total && done < total {
        let note = format!(
            "optim.warmup_steps: {warmup} steps of warm-up are more than the {total} of the run: optim.lr is never reached"
        );
        observer.note(&note);
    }
    // Dropped before the task, which holds the folder: nobody else comes in while a checkpoint is being written.
    let mut saver = task.saver();
    let interrupted = || signals.requested();
    task.dir().keep();
    if *task.owes_evaluation() {
        let done = task.evaluate(observer, &interrupted).map_err(|error| diverged(&mut task, &mut saver, error))?;
        if !done {
            return Err(stopped(&task));
        }
        *task.owes_evaluation() = false;
        saver.prove(task.steps().0);
    }
    loop {
        let (before, total) = task.steps();
        if before >= total {
            break;
        }
        // A checkpoint that could not be written is told before more work is spent.
        saver.check()?;
        task.advance().map_err(|error| diverged(&mut task, &mut saver, error))?;
        let step = task.steps().0;
        let (due, last) = (task.due(), step == total);
        let evaluate = due.evaluate || last;
        if due.report || last {
            task.report(observer)?;
        }
        if evaluate {
            task.settle();
            *task.owes_evaluation() = true;
        }
        let stop = signals.should_stop(step) && !last;
        let saved = due.save || stop || last;
        if saved {
            save(&mut task, &mut saver)?;
        }
        if evaluate {
            let done = !signals.requested()
                && task.evaluate(observer, &interrupted).map_err(|error| diverged(&mut task, &mut saver, error))?;
            if !done {
                if !saved {
                    save(&mut task, &mut saver)?;
                }
                saver.finish()?;
                return Err(stopped(&task));
            }
            *task.owes_evaluation() = false;
            saver.prove(step);
        }
        if stop {
            saver.finish()?;
            return Err(stopped(&task));
        }
    }
    saver.finish()?;
    let summary = task.summary();
    task.dir().write_summary(&summary)?;
    Ok(summary)
}

fn save(task: &mut impl Task, saver: &mut Saver) -> Result<()> {
    task.log().sync()?;
    match *task.owes_evaluation() {
        true => saver.save_unproved(&task.contents()),
        false => saver.save(&task.contents()),
    }
}

fn stopped(task: &impl Task) -> Error {
    Error::Stopped { step: task.steps().0, run: task.dir().path().to_owned() }
}

/// An error if a run that stands at step `done` cannot stop where `signals` say.
pub(super) fn check_stop(signals: &Signals, done: u64) -> Result<()> {
    match signals.last_step() {
        Some(step) if step <= done => {
            Err(Error::config("stop after", format!("step {step} is not ahead: the run stands at step {done}")))
        }
        _ => Ok(()),
    }
}

/// The steps of `epochs` passes of `per_epoch` steps; `key` is the option that they follow from.
pub(super) fn total_steps(key: &str, per_epoch: u64, epochs: u64) -> Result<u64> {
    let steps = per_epoch.checked_mul(epochs).filter(|&steps| steps <= u32::MAX.into());
    let message = || format!("{epochs} passes of {per_epoch} steps are more than {} steps", u32::MAX);
    steps.ok_or_else(|| Error::config(key, message()))
}

/// An error if a run that has `key` would have fewer steps than it has done.
pub(super) fn check_steps(key: &str, done: u64, steps: u64) -> Result<()> {
    let message = || format!("makes a run of {steps} steps, where {done} are done");
    if done <= steps { Ok(()) } else { Err(Error::config(key, message())) }
}

/// The error with the checkpoint that one can go back to.
fn diverged(task: &mut impl Task, saver: &mut Saver, error: Error) -> Error {
    let Error::Diverged { step, layer, .. } = error else { return error };
    // If it cannot be written, the one before is the last good one; and so it is if an evaluation has found the break.
    let _ = if *task.owes_evaluation() { saver.withdraw(step) } else { saver.finish() };
    // The log is for people; that it could not be written is not what they have to know first.
    let _ = task.log().write("diverged", step, &json!({ "layer": layer }));
    Error::Diverged { step, layer, last_good: checkpoint::last(task.dir().path()) }
}

/// Keys of an `eval` event that are no metrics.
const NO_METRICS: [&str; 9] = ["schema", "event", "step", "epoch", "seconds", "clock", "samples", "tokens", "flops"];

/// What the reports of a resumed run need of the time before; `S` is what they are made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct RunTotals<S> {
    /// Since the run began.
    pub total: S,
    /// Since the last line of the log.
    pub recent: S,
    pub seconds: Seconds,
    pub metrics: BTreeMap<String, f64>,
    pub costs: Costs,
    /// Whether the evaluation of this step was still to come.
    #[serde(default)]
    pub owes_evaluation: bool,
}

impl<S: Serialize + DeserializeOwned> RunTotals<S> {
    /// For a checkpoint.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("numbers are JSON")
    }

    /// What a checkpoint remembers.
    pub fn recall(loaded: &Loaded) -> Result<Self> {
        let wrong = |error: serde_json::Error| loaded.refuse("trainer_state.json", error.to_string());
        serde_json::from_value(loaded.state().other.clone()).map_err(wrong)
    }

    /// Takes the metrics of an evaluation that was logged after its checkpoint had been written.
    pub fn recall_evaluation(&mut self, log: &MetricsLog, step: u64) -> Result<()> {
        if self.owes_evaluation
            && let Some(event) = log.find("eval", step)?
        {
            let metric = |(key, value): (String, Value)| Some((key, value.as_f64()?));
            let numbers = event.into_iter().filter(|(key, _)| !NO_METRICS.contains(&key.as_str()));
            self.metrics = numbers.filter_map(metric).collect();
            self.owes_evaluation = false;
        }
        Ok(())
    }
}

/// What every summary says of a network and of what its steps have cost.
pub(super) fn summary(work: &Workspace, weights: &[Tensor], threads: usize) -> Summary {
    let mut summary = Summary {
        peak_memory_bytes: peak_memory_bytes(),
        level: work.level.name().to_owned(),
        threads,
        digest: checkpoint::digest(weights),
        ..Summary::default()
    };
    summary.set_costs(&work.costs);
    summary
}
