//! What runs of every kind have in common: their loop, how they end, and what a checkpoint remembers of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::checkpoint::{self, Contents, Loaded, Saver};
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
}

impl Options {
    /// What `env.json` says of a run with this seed on these files.
    pub(super) fn environment<'a>(
        &self,
        seed: u64,
        inputs: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    ) -> Environment {
        let inputs = inputs.into_iter().filter_map(|(name, path)| Some((name.to_owned(), path?.to_owned())));
        Environment::read(self.level, self.threads, seed, self.command.clone(), inputs.collect())
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
    fn evaluate(&mut self, observer: &mut dyn Observer) -> Result<()>;
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

/// Goes on to the last step, or to the first after a signal.
pub(super) fn go(mut task: impl Task, signals: &Signals, observer: &mut dyn Observer) -> Result<Summary> {
    // Dropped before the task, which holds the folder: nobody else comes in while a checkpoint is being written.
    let mut saver = task.saver();
    task.dir().begun();
    loop {
        let (before, total) = task.steps();
        if before >= total {
            break;
        }
        task.advance().map_err(|error| diverged(&mut task, &mut saver, error))?;
        let step = task.steps().0;
        let (due, last) = (task.due(), step == total);
        if due.report || last {
            task.report(observer)?;
        }
        if due.evaluate || last {
            task.evaluate(observer).map_err(|error| diverged(&mut task, &mut saver, error))?;
        }
        let stop = signals.stop(step) && !last;
        if due.save || stop || last {
            task.log().sync()?;
            saver.save(&task.contents())?;
        }
        if stop {
            saver.finish()?;
            return Err(Error::Stopped { step, run: task.dir().path().to_owned() });
        }
    }
    saver.finish()?;
    let summary = task.summary();
    task.dir().write_summary(&summary)?;
    Ok(summary)
}

/// An error if a run that has `key` would have fewer steps than it has done.
pub(super) fn check_steps(key: &str, done: u64, steps: u64) -> Result<()> {
    let message = || format!("makes a run of {steps} steps, where {done} are done");
    if done <= steps { Ok(()) } else { Err(Error::config(key, message())) }
}

/// The error with the checkpoint that one can go back to.
fn diverged(task: &mut impl Task, saver: &mut Saver, error: Error) -> Error {
    let Error::Diverged { step, layer, .. } = error else { return error };
    // If it cannot be written, the one before is the last good one.
    let _ = saver.finish();
    // The log is for people; that it could not be written is not what they have to know first.
    let _ = task.log().write("diverged", step, &json!({ "layer": layer }));
    Error::Diverged { step, layer, last_good: checkpoint::last(task.dir().path()) }
}

/// What the reports of a resumed run need of the time before; `S` is what they are made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory<S> {
    /// Since the run began.
    pub total: S,
    /// Since the last line of the log.
    pub recent: S,
    pub seconds: Seconds,
    pub metrics: BTreeMap<String, f64>,
    pub costs: Costs,
}

impl<S: Serialize + DeserializeOwned> Memory<S> {
    /// For a checkpoint.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("numbers are JSON")
    }

    /// What a checkpoint remembers.
    pub fn recall(loaded: &Loaded) -> Result<Self> {
        let wrong = |error: serde_json::Error| loaded.refuse("trainer_state.json", error.to_string());
        serde_json::from_value(loaded.state().other.clone()).map_err(wrong)
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
