//! Runs of tasks that read files: how they are begun and resumed.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::plan::Plan;
use super::run::{Run, Task};
use crate::checkpoint::Loaded;
use crate::config::RunConfig;
use crate::data::tokens::TOKENIZER;
use crate::error::{Error, Result};
use crate::kernels::Level;
use crate::run::{Environment, Observer, RunDir, Signals, Summary, config_of, environment_of};

/// What a run is begun or resumed with.
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

/// The files of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// The training set: a file of samples, two arrays with a comma between them, or a token file.
    pub train: PathBuf,
    /// The validation set.
    pub valid: Option<PathBuf>,
    /// The tokenizer that made both, of a language model.
    pub tokenizer: Option<PathBuf>,
}

impl Inputs {
    /// As `env.json` names them.
    fn named(&self) -> [(&'static str, Option<&Path>); 3] {
        [("train", Some(&self.train)), ("valid", self.valid.as_deref()), ("tokenizer", self.tokenizer.as_deref())]
    }
}

/// Files of a run that stand elsewhere now, or under other names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MovedInputs {
    /// The training set.
    pub train: Option<PathBuf>,
    /// The validation set.
    pub valid: Option<PathBuf>,
}

/// Options of a run that reads files: [`Config`](crate::config::Config) and [`Lm`](crate::config::lm::Lm).
pub trait FromFiles: RunConfig {
    /// What is read of the files of a run.
    type Data;
    /// What the run does.
    #[doc(hidden)]
    type Task: Task;

    #[doc(hidden)]
    fn seed(&self) -> u64;
    /// Reads the files, completes the options, and compares both with those of the checkpoint; the steps of the whole run. Nothing in
    /// the folder `run` changes, but that of a new run may keep parsed data.
    #[doc(hidden)]
    fn read(
        self,
        run: &Path,
        inputs: &Inputs,
        loaded: Option<&Loaded>,
        options: &Options,
    ) -> Result<(Self, Self::Data, u64)>;
    /// When what is due.
    #[doc(hidden)]
    fn plan(&self, data: &Self::Data, steps: u64) -> Plan;
    /// The task, at the step of the checkpoint.
    #[doc(hidden)]
    fn task(
        self,
        data: Self::Data,
        steps: u64,
        loaded: Option<&Loaded>,
        level: Level,
        observer: &mut dyn Observer,
    ) -> Result<Self::Task>;
    /// Writes what the steps will read, for other programs.
    #[doc(hidden)]
    fn write_order(task: &mut Self::Task, folder: &Path) -> Result<()>;
}

/// Begins a run in the folder `out`.
///
/// # Errors
///
/// See [`Error`]; [`Error::Stopped`] if `signals` asked the run to stop, after saving it. A run that could not begin leaves no
/// folder.
pub fn start<C: FromFiles>(
    out: &Path,
    inputs: &Inputs,
    config: C,
    options: &Options,
    signals: &Signals,
    observer: &mut dyn Observer,
) -> Result<Summary> {
    check_stop(signals, 0)?;
    create(out, inputs, config, options, observer)?.go(signals, observer)
}

/// Makes the run that [`start`] would, but does no step: the folder `out` gets the checkpoint of step 0, from which [`resume`] goes on,
/// and, as safetensors, what the steps will read.
///
/// - Classification: `order.safetensors` has `order` (epochs, samples), the samples in the order of training. `train.safetensors` and
///   `valid.safetensors` have samples as the network gets them, in the order of their file: `features` and `values` (entries), of which
///   sample `s` has `feature_offsets[s]..feature_offsets[s + 1]`, and `labels` with `label_offsets` in the same way. Pooling is the
///   network's and not applied.
/// - Language models: `order.safetensors` has `starts` (steps, sequences of a step), where each sequence begins, in a ring of all tokens
///   of the training file but the last.
///
/// Gives the checkpoint's folder.
///
/// # Errors
///
/// As [`start`].
pub fn initial<C: FromFiles>(
    out: &Path,
    inputs: &Inputs,
    config: C,
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<PathBuf> {
    let mut run = create(out, inputs, config, options, observer)?;
    let saved = run.save_initial()?;
    C::write_order(&mut run.task, out)?;
    Ok(saved)
}

/// Resumes the run in the folder `path`, from its last checkpoint (or from `path`, if that is one), with the configuration
/// of the run changed by `sets`. Files that have moved since are those of `moved`: they have to hold the same.
///
/// # Errors
///
/// As [`start`]; [`Error::Data`] if a file holds something else than the checkpoint was trained with. Until it is known that the run
/// can continue, nothing in its folder is changed.
pub fn resume<C: FromFiles>(
    path: &Path,
    moved: &MovedInputs,
    sets: &[String],
    options: &Options,
    signals: &Signals,
    observer: &mut dyn Observer,
) -> Result<Summary> {
    let started = Instant::now();
    let (dir, loaded) = RunDir::resume(path)?;
    check_stop(signals, loaded.as_ref().map_or(0, |loaded| loaded.state().step))?;
    let (config, inputs) = resumed::<C>(dir.path(), moved, sets, options, observer)?;
    let (run, config) = open(dir, config, &inputs, loaded.as_ref(), options, started, observer)?;
    run.continues(&config, options.level, [("train", moved.train.as_deref()), ("valid", moved.valid.as_deref())])?;
    run.go(signals, observer)
}

/// What [`resume`] would go on with: the configuration, filled in, and the data, which are compared with those of the checkpoint.
/// Nothing is written but parsed data to a file without a name.
///
/// # Errors
///
/// As [`resume`].
pub fn plan_resumed<C: FromFiles>(
    path: &Path,
    moved: &MovedInputs,
    sets: &[String],
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<(C, C::Data)> {
    let (run, loaded) = RunDir::peek(path)?;
    let (config, inputs) = resumed::<C>(run, moved, sets, options, observer)?;
    let (config, data, _) = config.read(run, &inputs, loaded.as_ref(), options)?;
    Ok((config, data))
}

/// The configuration of a run, changed by `sets`, and its files.
fn resumed<C: FromFiles>(
    run: &Path,
    moved: &MovedInputs,
    sets: &[String],
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<(C, Inputs)> {
    let config: C = config_of(run, sets)?;
    config_of::<C>(run, &[])?.check_resumed(&config)?;
    let environment = environment_of(run)?;
    options.check_level(&environment, observer)?;
    let now = |moved: Option<PathBuf>, name: &str| moved.or_else(|| environment.inputs.get(name).cloned());
    let train = now(moved.train.clone(), "train").ok_or_else(|| Error::config("env.json", "names no training file"))?;
    // The run's own, unless it was killed before it had one.
    let tokenizer = now(Some(run.join(TOKENIZER)).filter(|own| own.exists()), "tokenizer");
    Ok((config, Inputs { train, valid: now(moved.valid.clone(), "valid"), tokenizer }))
}

/// A run in a new folder, which is not there if the run cannot begin.
fn create<C: FromFiles>(
    out: &Path,
    inputs: &Inputs,
    config: C,
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<Run<C::Task>> {
    let started = Instant::now();
    config.check()?;
    let dir = RunDir::create(out, &config, &options.environment(config.seed(), inputs.named()))?;
    let run = open(dir, config, inputs, None, options, started, observer);
    let run = run.and_then(|(run, config)| run.dir.write_config(&config).map(|()| run));
    run.inspect_err(|_| RunDir::discard(out))
}

fn open<C: FromFiles>(
    dir: RunDir,
    config: C,
    inputs: &Inputs,
    loaded: Option<&Loaded>,
    options: &Options,
    started: Instant,
    observer: &mut dyn Observer,
) -> Result<(Run<C::Task>, C)> {
    let (config, data, steps) = config.read(dir.path(), inputs, loaded, options)?;
    let plan = config.plan(&data, steps);
    let task = config.clone().task(data, steps, loaded, options.level, observer)?;
    Ok((Run::new(dir, task, plan, loaded, options.threads, started)?, config))
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

/// An error if a run that has `key` would have fewer steps than it has done.
pub(super) fn check_steps(key: &str, done: u64, steps: u64) -> Result<()> {
    let message = || format!("makes a run of {steps} steps, where {done} are done");
    if done <= steps { Ok(()) } else { Err(Error::config(key, message())) }
}
