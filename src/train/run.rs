//! What runs of every kind have in common: their loop, how they end, and what a checkpoint remembers of them.

use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::checkpoint::{self, Loaded};
use crate::error::{Error, Result};
use crate::kernels::Level;
use crate::run::{Environment, MetricsLog, Observer, RunDir, Signals, Summary};

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
    fn save(&mut self) -> Result<()>;
    fn summary(&self) -> Summary;
    fn dir(&self) -> &RunDir;
    fn log(&mut self) -> &mut MetricsLog;
}

/// Goes on to the last step, or to the first after a signal.
pub(super) fn go(mut task: impl Task, signals: &Signals, observer: &mut dyn Observer) -> Result<Summary> {
    loop {
        let (before, total) = task.steps();
        if before >= total {
            break;
        }
        task.advance().map_err(|error| diverged(&mut task, error))?;
        let step = task.steps().0;
        let (due, last) = (task.due(), step == total);
        if due.report || last {
            task.report(observer)?;
        }
        if due.evaluate || last {
            task.evaluate(observer)?;
        }
        let stop = signals.stop(step) && !last;
        if due.save || stop || last {
            task.save()?;
        }
        if stop {
            return Err(Error::Stopped { step, run: task.dir().path().to_owned() });
        }
    }
    let summary = task.summary();
    task.dir().write_summary(&summary)?;
    Ok(summary)
}

/// The error with the checkpoint that one can go back to.
fn diverged(task: &mut impl Task, error: Error) -> Error {
    let Error::Diverged { step, layer, .. } = error else { return error };
    // The log is for people; that it could not be written is not what they have to know first.
    let _ = task.log().write("diverged", step, &json!({ "layer": layer }));
    Error::Diverged { step, layer, last_good: checkpoint::last(task.dir().path()) }
}

/// What the reports of a resumed run need of the time before, as JSON.
pub(super) fn remember(memory: &impl Serialize) -> Value {
    serde_json::to_value(memory).expect("numbers are JSON")
}

/// What was [remembered](remember).
pub(super) fn recall<T: DeserializeOwned>(loaded: &Loaded) -> Result<T> {
    let wrong = |error: serde_json::Error| loaded.refuse("trainer_state.json", error.to_string());
    serde_json::from_value(loaded.state().other.clone()).map_err(wrong)
}
