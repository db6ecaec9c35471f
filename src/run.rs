//! A run apart from its arithmetic: its folder, its log, its summary, its environment, and how it is stopped.
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
pub use summary::{Flops, PartUse, PhaseCost, Seconds, Summary};

use crate::checkpoint::{self, Loaded};
use crate::config::{self, RunConfig};
use crate::error::{Error, Result};
use crate::files::{self, Rollback};

const CONFIG: &str = "config.toml";
const ENVIRONMENT: &str = "env.json";
const METRICS: &str = "metrics.jsonl";
const SUMMARY: &str = "summary.json";
const LOCK: &str = "lock";

/// The folder of a run, locked by this program. No other program can use it until this value is dropped.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    /// Locked. The system releases it however the program ends.
    _lock: File,
}

impl RunDir {
    /// Makes the folder of a new run, with its `config.toml` and `env.json`. The folder may exist if it is empty. Until
    /// the run is [kept](Self::keep), [`files::remove_all`] removes what was made.
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
    /// [`Error::Config`] if the folder holds a run or anything else; [`Error::Io`] if the system refuses.
    pub fn create(path: &Path, config: &impl RunConfig, environment: &Environment) -> Result<RunDir> {
        let made = Rollback::folder(path)?;
        refuse_used(path)?;
        let run = RunDir::lock(path, "out")?;
        // Another program may have come first.
        refuse_used(path)?;
        // `files` does not write these, or a killed program may have left them. They go if the run does not start. They
        // are removed in the opposite order, so the lock goes last.
        [LOCK, METRICS, ENVIRONMENT].iter().for_each(|name| files::record(&path.join(name)));
        // The configuration identifies a run, so it comes last.
        run.write_environment(environment)?;
        run.write_config(config)?;
        made.leave_pending();
        Ok(run)
    }

    /// Resumes the run in `path`, or the run of the checkpoint `path`: at the checkpoint that `latest` names, or at
    /// `path`. The checkpoint is `None` if the run was stopped before its first one; the run then starts at the
    /// beginning. What a killed program left half done is removed.
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
    /// [`Error::Config`] if there is no run, or another program is using it; [`Error::Checkpoint`] if the checkpoint is
    /// damaged; [`Error::Io`] if the system refuses.
    pub fn resume(path: &Path) -> Result<(RunDir, Option<Loaded>)> {
        let run = existing_run(path)?;
        let held = RunDir::lock(run, "resume")?;
        checkpoint::clean(run)?;
        Ok((held, checkpoint_of(path)?))
    }

    /// The folder and the checkpoint that [`resume`](Self::resume) would use. This locks and changes nothing.
    ///
    /// # Errors
    ///
    /// As [`resume`](Self::resume), except that another program may be using the run.
    pub fn peek(path: &Path) -> Result<(&Path, Option<Loaded>)> {
        Ok((existing_run(path)?, checkpoint_of(path)?))
    }

    /// Removes what [`create`](RunDir::create) made of a run that could not start, for example because its data could
    /// not be read. The folder goes too, if it was new and nobody has put anything into it since.
    pub(crate) fn discard(path: &Path) {
        // The lock keeps others from starting or resuming a run here meanwhile. If somebody already has, the run is
        // theirs. A program that this process starts shares the lock for a moment.
        for _ in 0..50 {
            if let Ok(_held) = RunDir::lock(path, "out") {
                return files::roll_back(path);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Keeps the folder from now on: the run takes its first step.
    pub fn keep(&self) {
        files::keep(&self.path);
    }

    fn lock(path: &Path, flag: &str) -> Result<RunDir> {
        let name = path.join(LOCK);
        let options = File::options().create(true).truncate(false).write(true).open(&name);
        let file = options.map_err(Error::io(&name))?;
        match file.try_lock() {
            // Whoever had the lock may have removed it with a run that could not start. Then this is the lock of
            // nothing.
            Ok(()) if files::is_at(&file, &name) => Ok(RunDir { path: path.to_owned(), _lock: file }),
            Ok(()) => RunDir::lock(path, flag),
            Err(TryLockError::WouldBlock) => {
                Err(Error::config(flag, format!("another program is using {}", path.display())))
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

    /// Writes `config.toml`, all at once: for a run that continues with other options.
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

    /// The environment in which the run was started.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if `env.json` cannot be read; [`Error::Data`] if it is no environment.
    pub fn environment(&self) -> Result<Environment> {
        environment_of(&self.path)
    }

    /// Opens the log of a run at `step`. Later events are cut off, because they will happen again.
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

/// The folder of the existing run `path`.
fn existing_run(path: &Path) -> Result<&Path> {
    let run = run_of(path);
    match run.join(CONFIG).is_file() {
        true => Ok(run),
        false => Err(Error::config("resume", format!("there is no run in {} (no {CONFIG})", run.display()))),
    }
}

/// The checkpoint that the run `path` resumes from, if it has any.
fn checkpoint_of(path: &Path) -> Result<Option<Loaded>> {
    let any = run_of(path) != path || checkpoint::contains(path);
    any.then(|| checkpoint::open(path)).transpose()
}

/// Whether `path` is a run or a checkpoint, sound or not, finished or not.
///
/// ```
/// assert!(!hotrow::run::is_run("no/such/run".as_ref()));
/// ```
pub fn is_run(path: &Path) -> bool {
    path.join(CONFIG).is_file() || checkpoint::contains(path) || checkpoint::is_checkpoint(path)
}

/// The configuration with which the run in the folder `run` was started, changed by `sets` (see
/// [`Config::load`](config::Config::load)).
///
/// # Errors
///
/// As [`Config::load`](config::Config::load).
pub fn config_of<C: RunConfig>(run: &Path, sets: &[String]) -> Result<C> {
    config::load(C::default(), Some(&run.join(CONFIG)), sets)
}

/// The environment in which the run `path`, or that of the checkpoint `path`, was started.
///
/// # Errors
///
/// [`Error::Io`] if `env.json` cannot be read; [`Error::Data`] if it is no environment.
pub fn environment_of(path: &Path) -> Result<Environment> {
    let path = run_of(path).join(ENVIRONMENT);
    let bytes = files::read(&path)?;
    let wrong =
        |error: serde_json::Error| Error::data(&path, error.line() as u64, error.column() as u64, error.to_string());
    serde_json::from_slice(&bytes).map_err(wrong)
}

/// The folder of a run: `path` itself or, for a checkpoint, the run it belongs to.
///
/// ```
/// use std::path::Path;
/// assert_eq!(hotrow::run::run_of(Path::new("runs/a/checkpoint-000500")), Path::new("runs/a"));
/// assert_eq!(hotrow::run::run_of(Path::new("runs/a")), Path::new("runs/a"));
/// ```
pub fn run_of(path: &Path) -> &Path {
    let checkpoint = checkpoint::has_checkpoint_name(path) && !path.join(CONFIG).exists();
    match path.parent() {
        Some(run) if checkpoint && run.as_os_str().is_empty() => Path::new("."),
        Some(run) if checkpoint => run,
        _ => path,
    }
}

/// Refuses a folder that holds anything but leftovers.
fn refuse_used(path: &Path) -> Result<()> {
    let refuse = |message: &str| Err(Error::config("out", format!("{} {message}", path.display())));
    if path.join(CONFIG).exists() {
        return refuse(&format!("holds a run: resume it with --resume {}, or choose another folder", path.display()));
    }
    let names = fs::read_dir(path).map_err(Error::io(path))?.flatten().map(|entry| entry.file_name());
    match names.into_iter().find(|name| !name.to_str().is_some_and(|name| is_left_over(path, name))) {
        Some(name) => refuse(&format!("holds {} and is no run: choose another folder", name.to_string_lossy())),
        None => Ok(()),
    }
}

/// Whether a program that was killed at the start of a run left the file. A lock is empty. An environment stands beside
/// a lock and is complete. Any other file of these names belongs to somebody.
fn is_left_over(folder: &Path, name: &str) -> bool {
    let is_lock = || folder.join(LOCK).symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.len() == 0);
    let is_environment = || {
        let bytes = files::read(&folder.join(ENVIRONMENT)).unwrap_or_default();
        serde_json::from_slice::<Environment>(&bytes).is_ok()
    };
    match name {
        LOCK => is_lock(),
        ENVIRONMENT => is_lock() && is_environment(),
        _ => matches!(files::original_name(name), Some(ENVIRONMENT | CONFIG)),
    }
}

#[cfg(test)]
mod tests;
