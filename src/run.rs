//! What a run is outside of arithmetic: its folder, its log, its summary, the machine it runs on, and how it is stopped.
//!
//! ```text
//! DIR/config.toml     the resolved configuration, every default written out
//!     env.json        machine, level, threads, version, commit, command line, input files
//!     metrics.jsonl   one object an event
//!     summary.json    what the run has come to
//!     latest, checkpoint-*   see `checkpoint`
//!     lock            held by the program that is at work here
//! ```

mod component;
mod environment;
mod memory;
mod metrics;
mod observer;
mod signals;
mod summary;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use component::Component;
pub use environment::Environment;
pub use memory::{memory_bytes, peak_memory_bytes, restart_peak_memory};
pub use metrics::MetricsLog;
pub use observer::{Observer, Report};
pub use signals::{Polling, Signals};
pub use summary::{Flops, PhaseCost, Seconds, Summary};

use crate::checkpoint::{self, Loaded};
use crate::config::{self, RunConfig};
use crate::error::{Error, Result};
use crate::files::{self, Made};

const CONFIG: &str = "config.toml";
const ENVIRONMENT: &str = "env.json";
const METRICS: &str = "metrics.jsonl";
const SUMMARY: &str = "summary.json";
const LOCK: &str = "lock";

/// The folder of a run, held by this program: no other one can be at work in it until this value is dropped.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    /// Locked. The system gives it back however the program ends.
    _lock: File,
}

impl RunDir {
    /// Makes the folder of a new run, with its `config.toml` and `env.json`. The folder may exist if it is empty. Until the run has
    /// [begun](Self::begun), [`files::remove_all`] takes back what was made.
    ///
    /// ```
    /// use hotrow::{config::Config, kernels::Level, run::{Environment, RunDir}};
    /// # let folder = tempfile::tempdir().unwrap();
    /// let environment = Environment::read(Level::PORTABLE, 1, 7, vec!["hotrow".into()], Default::default());
    /// let path = folder.path().join("first");
    /// let run = RunDir::create(&path, &Config::default(), &environment)?;
    /// assert_eq!(Config::load(Some(&run.path().join("config.toml")), &[])?, Config::default());
    ///
    /// let error = RunDir::create(&path, &Config::default(), &environment).unwrap_err();
    /// assert!(error.to_string().contains("--resume"));
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if there is a run in the folder already, or something else; [`Error::Io`] if the system refuses.
    pub fn create(path: &Path, config: &impl RunConfig, environment: &Environment) -> Result<RunDir> {
        let made = Made::folder(path)?;
        refuse_used(path)?;
        let run = RunDir::lock(path, "out")?;
        // Another program may have come first.
        refuse_used(path)?;
        // These are not written by `files`, or may be left by a killed program: they go if the run does not begin. Taken back in the
        // opposite order, the lock is the last.
        [LOCK, METRICS, ENVIRONMENT].iter().for_each(|name| files::note(&path.join(name)));
        // A run is recognised by its configuration, so that comes last.
        run.write_environment(environment)?;
        run.write_config(config)?;
        made.leave_pending();
        Ok(run)
    }

    /// Takes up the run in `path` (or the run that the checkpoint `path` belongs to), at the checkpoint that `latest` names
    /// (or at `path`). `None` if it was stopped before its first checkpoint: then it starts at the beginning. What a killed
    /// program has left half done is removed.
    ///
    /// ```
    /// use hotrow::{checkpoint, config::Config, kernels::Level, run::{Environment, RunDir}};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path();
    /// let environment = Environment::read(Level::PORTABLE, 1, 7, vec!["hotrow".into()], Default::default());
    /// let run = RunDir::create(path, &Config::default(), &environment)?;
    /// let state = checkpoint::TrainerState::new(500, 1, 7);
    /// checkpoint::save(path, &checkpoint::Contents::new(state, serde_json::json!({})), 2)?;
    /// drop(run);
    /// let (run, loaded) = RunDir::resume(path)?;
    /// assert_eq!(loaded.unwrap().state().step, 500);
    /// assert_eq!(run.environment()?.command, ["hotrow"]);
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if there is no run, or another program is at work in it; [`Error::Checkpoint`] if the checkpoint is
    /// damaged; [`Error::Io`] if the system refuses.
    pub fn resume(path: &Path) -> Result<(RunDir, Option<Loaded>)> {
        let run = there_is(path)?;
        let held = RunDir::lock(run, "resume")?;
        checkpoint::clean(run)?;
        Ok((held, checkpoint_of(path)?))
    }

    /// The folder and the checkpoint that [`resume`](Self::resume) would take up. Nothing is held or changed.
    ///
    /// # Errors
    ///
    /// As [`resume`](Self::resume), but that another program may be at work in it.
    pub fn look(path: &Path) -> Result<(&Path, Option<Loaded>)> {
        Ok((there_is(path)?, checkpoint_of(path)?))
    }

    /// Removes what was made of a run that was [created](RunDir::create) here and then could not begin, for its data could not
    /// be read; and its folder, if that was made here and nobody has put anything into it since.
    pub(crate) fn discard(path: &Path) {
        // Held, so that nobody begins or takes up a run in it meanwhile. If somebody else has done so, it is theirs. A program that
        // this process starts holds what this one had locked for a moment.
        for _ in 0..50 {
            if let Ok(_held) = RunDir::lock(path, "out") {
                return files::take_back(path);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The run does its first step: its folder is worth keeping from now on, whatever happens.
    pub fn begun(&self) {
        files::begun(&self.path);
    }

    fn lock(path: &Path, flag: &str) -> Result<RunDir> {
        let name = path.join(LOCK);
        let options = File::options().create(true).truncate(false).write(true).open(&name);
        let file = options.map_err(Error::io(&name))?;
        match file.try_lock() {
            // Whoever had it may have removed it with all of a run that could not begin: then this is the lock of nothing.
            Ok(()) if files::is_at(&file, &name) => Ok(RunDir { path: path.to_owned(), _lock: file }),
            Ok(()) => RunDir::lock(path, flag),
            Err(TryLockError::WouldBlock) => {
                Err(Error::config(flag, format!("another program is at work in {}", path.display())))
            }
            Err(TryLockError::Error(error)) => Err(Error::io(name)(error)),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The configuration that the run was started with, changed by `sets` (see [`Config::load`](config::Config::load)).
    ///
    /// # Errors
    ///
    /// As [`Config::load`](config::Config::load).
    pub fn config<C: RunConfig>(&self, sets: &[String]) -> Result<C> {
        config_of(&self.path, sets)
    }

    /// Writes `config.toml`, all at once: for a run that goes on with other options.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses.
    pub fn write_config(&self, config: &impl RunConfig) -> Result<()> {
        files::write(&self.path.join(CONFIG), config::to_toml(config).as_bytes())
    }

    /// Writes `env.json`, all at once.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses.
    pub fn write_environment(&self, environment: &Environment) -> Result<()> {
        let json = serde_json::to_vec_pretty(environment).expect("names and numbers are JSON");
        files::write(&self.path.join(ENVIRONMENT), &json)
    }

    /// The environment that the run was started in.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if `env.json` cannot be read, [`Error::Data`] if it is none.
    pub fn environment(&self) -> Result<Environment> {
        environment_of(&self.path)
    }

    /// Opens the log of a run that stands at `step`: what was logged later is cut off, because it will happen again.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses.
    pub fn metrics(&self, step: u64) -> Result<MetricsLog> {
        MetricsLog::open(&self.path.join(METRICS), step)
    }

    /// Writes `summary.json`, all at once.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses.
    pub fn write_summary(&self, summary: &Summary) -> Result<()> {
        files::write(&self.path.join(SUMMARY), summary.to_json().as_bytes())
    }
}

/// The folder of the run `path`, which is there.
fn there_is(path: &Path) -> Result<&Path> {
    let run = run_of(path);
    match run.join(CONFIG).is_file() {
        true => Ok(run),
        false => Err(Error::config("resume", format!("there is no run in {} (no {CONFIG})", run.display()))),
    }
}

/// The checkpoint that the run `path` goes on from, if it has any.
fn checkpoint_of(path: &Path) -> Result<Option<Loaded>> {
    let any = run_of(path) != path || checkpoint::contains(path);
    any.then(|| checkpoint::open(path)).transpose()
}

/// Whether `path` is a run or a checkpoint: good or not, finished or not.
///
/// ```
/// assert!(!hotrow::run::is_run("no/such/run".as_ref()));
/// ```
pub fn is_run(path: &Path) -> bool {
    path.join(CONFIG).is_file() || checkpoint::contains(path) || checkpoint::is_one(path)
}

/// The configuration that the run in the folder `run` was started with, changed by `sets` (see
/// [`Config::load`](config::Config::load)).
///
/// # Errors
///
/// As [`Config::load`](config::Config::load).
pub fn config_of<C: RunConfig>(run: &Path, sets: &[String]) -> Result<C> {
    config::load(C::default(), Some(&run.join(CONFIG)), sets)
}

/// The environment that the run `path` (or that of the checkpoint `path`) was started in.
///
/// # Errors
///
/// [`Error::Io`] if `env.json` cannot be read, [`Error::Data`] if it is none.
pub fn environment_of(path: &Path) -> Result<Environment> {
    let path = run_of(path).join(ENVIRONMENT);
    let bytes = files::read(&path)?;
    let wrong =
        |error: serde_json::Error| Error::data(&path, error.line() as u64, error.column() as u64, error.to_string());
    serde_json::from_slice(&bytes).map_err(wrong)
}

/// The run that a folder is or, for a checkpoint, belongs to.
///
/// ```
/// use std::path::Path;
/// assert_eq!(hotrow::run::run_of(Path::new("runs/a/checkpoint-000500")), Path::new("runs/a"));
/// assert_eq!(hotrow::run::run_of(Path::new("runs/a")), Path::new("runs/a"));
/// ```
pub fn run_of(path: &Path) -> &Path {
    let checkpoint = checkpoint::has_name(path) && !path.join(CONFIG).exists();
    match path.parent() {
        Some(run) if checkpoint && run.as_os_str().is_empty() => Path::new("."),
        Some(run) if checkpoint => run,
        _ => path,
    }
}

/// An error if anything but a lock is in the folder.
fn refuse_used(path: &Path) -> Result<()> {
    let refuse = |message: &str| Err(Error::config("out", format!("{} {message}", path.display())));
    if path.join(CONFIG).exists() {
        return refuse(&format!("holds a run: go on with --resume {}, or choose another folder", path.display()));
    }
    let names = fs::read_dir(path).map_err(Error::io(path))?.flatten().map(|entry| entry.file_name());
    match names.into_iter().find(|name| !name.to_str().is_some_and(|name| is_left_over(path, name))) {
        Some(name) => refuse(&format!("holds {} and is no run: choose another folder", name.to_string_lossy())),
        None => Ok(()),
    }
}

/// Whether a file is what a program leaves that was killed between its first steps in the folder. A lock is empty; an environment
/// was written under a lock and has all that one says. Anything else of these names is somebody's own.
fn is_left_over(folder: &Path, name: &str) -> bool {
    let is_lock = || folder.join(LOCK).symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.len() == 0);
    let is_environment = || {
        let bytes = files::read(&folder.join(ENVIRONMENT)).unwrap_or_default();
        serde_json::from_slice::<Environment>(&bytes).is_ok()
    };
    match name {
        LOCK => is_lock(),
        ENVIRONMENT => is_lock() && is_environment(),
        _ => matches!(files::left_by_killed(name), Some(ENVIRONMENT | CONFIG)),
    }
}

#[cfg(test)]
mod tests;
