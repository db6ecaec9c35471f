//! Runs that are started, resumed, or measured.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::begin::{check_can_start, check_resumed, steps};
use super::{Files, Options, Run, Trainer, files, summary_of, try_evaluate_with};
use crate::config::RunConfig;
use crate::config::lm::Lm;
use crate::data::tokens::{TOKENIZER, TokenFile};
use crate::error::{Error, Result};
use crate::run::{Observer, RunDir, Seconds, Signals, Summary, config_of, environment_of};
use crate::train::run;

/// The files of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// The token file to train on.
    pub train: PathBuf,
    /// The token file to measure on.
    pub valid: Option<PathBuf>,
    /// The tokenizer that made both.
    pub tokenizer: PathBuf,
}

impl Inputs {
    /// As `env.json` names them.
    pub(super) fn named(&self) -> [(&'static str, Option<&Path>); 3] {
        [("train", Some(&self.train)), ("valid", self.valid.as_deref()), ("tokenizer", Some(&self.tokenizer))]
    }
}

/// Files of a run that stand elsewhere now, or under other names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MovedInputs {
    /// The token file to train on.
    pub train: Option<PathBuf>,
    /// The token file to measure on.
    pub valid: Option<PathBuf>,
}

impl MovedInputs {
    /// As `env.json` names them.
    fn named(&self) -> [(&'static str, Option<&Path>); 2] {
        [("train", self.train.as_deref()), ("valid", self.valid.as_deref())]
    }
}

/// Starts a run in the folder `out`.
///
/// # Errors
///
/// See [`Error`]; [`Error::Stopped`] if `signals` asked the run to stop, after saving it.
pub fn start(
    out: &Path,
    inputs: &Inputs,
    config: Lm,
    options: &Options,
    signals: &Signals,
    observer: &mut dyn Observer,
) -> Result<Summary> {
    run::check_stop(signals, 0)?;
    let run = Run::create(out, inputs, config, options)?;
    run::go(run, signals, observer)
}

/// Resumes the run in the folder `path`, from its last checkpoint (or from `path`, if that is one), with the configuration
/// of the run changed by `sets`. Files that have moved since are those of `moved`: they have to hold the same tokens.
///
/// # Errors
///
/// As [`start`]; [`Error::Data`] if a file holds other tokens than those that the checkpoint was trained with. Until it is known
/// that the run can continue, nothing in its folder is changed.
pub fn resume(
    path: &Path,
    moved: &MovedInputs,
    sets: &[String],
    options: &Options,
    signals: &Signals,
    observer: &mut dyn Observer,
) -> Result<Summary> {
    let started = Instant::now();
    let (dir, loaded) = RunDir::resume(path)?;
    run::check_stop(signals, loaded.as_ref().map_or(0, |loaded| loaded.state().step))?;
    let (config, files) = resumed(dir.path(), moved, sets, options, observer)?;
    check_can_start(&config, &files, options.level)?;
    let run = Run::open(dir, config, files, loaded.as_ref(), options, started)?;
    // Only now is it known that the run can continue so.
    run.dir.write_config(&run.trainer.config)?;
    let mut environment = run.dir.environment()?;
    if environment.record_resume(options.level, moved.named()) {
        run.dir.write_environment(&environment)?;
    }
    run::go(run, signals, observer)
}

/// What [`resume`] would go on with: the configuration, filled in, and the files, which are compared with those of the checkpoint.
/// Nothing is written.
///
/// # Errors
///
/// As [`resume`].
pub fn plan_resumed(
    path: &Path,
    moved: &MovedInputs,
    sets: &[String],
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<(Lm, Files)> {
    let (run, loaded) = RunDir::peek(path)?;
    let (config, files) = resumed(run, moved, sets, options, observer)?;
    let steps = steps(&config, &files)?;
    loaded.iter().try_for_each(|loaded| check_resumed(loaded, &config, &files, steps))?;
    Ok((config, files))
}

/// The configuration of a run, changed by `sets`, and its files.
fn resumed(
    run: &Path,
    moved: &MovedInputs,
    sets: &[String],
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<(Lm, Files)> {
    let config: Lm = config_of(run, sets)?;
    config_of::<Lm>(run, &[])?.check_resumed(&config)?;
    let environment = environment_of(run)?;
    options.check_level(&environment, observer)?;
    let known = |name: &str| environment.inputs.get(name).cloned();
    let own = run.join(TOKENIZER);
    // The run's own, unless it was killed before it had one.
    let tokenizer = if own.exists() { Some(own.clone()) } else { known("tokenizer") };
    let (Some(train), Some(tokenizer)) = (moved.train.clone().or_else(|| known("train")), tokenizer) else {
        return Err(Error::config("env.json", "names no training file, or no tokenizer"));
    };
    let valid = moved.valid.clone().or_else(|| known("valid"));
    let files = Files::open(&tokenizer, &train, valid.as_deref())?;
    Ok((files.resolve(config)?, files))
}

/// What an evaluation reads, and in which windows.
#[derive(Clone, Copy, Debug)]
pub struct Measure<'a> {
    /// A token file, or a text file of one document.
    pub file: &'a Path,
    /// Whether it is a text file.
    pub text: bool,
    /// Tokens of a window; those of training if not said.
    pub context: Option<usize>,
    /// Tokens from the beginning of one window to that of the next; a window's length if not said.
    pub stride: Option<usize>,
}

/// Measures the last checkpoint of a run (or the checkpoint `path`) on a file.
///
/// # Errors
///
/// If the checkpoint or the file is bad, or they do not belong together; [`Error::Config`] if there are no such windows.
pub fn evaluate_file(path: &Path, measure: &Measure, options: &Options) -> Result<Summary> {
    let started = Instant::now();
    let (mut trainer, tokenizer) = Trainer::open(path, options.level)?;
    let file = if measure.text {
        let text = String::from_utf8(crate::files::read(measure.file)?);
        let text = text.map_err(|error| Error::data(measure.file, 0, 0, format!("is no text: {error}")))?;
        TokenFile::of_text(&text, &tokenizer)?
    } else {
        files::open(measure.file, &tokenizer)?
    };
    let load = started.elapsed().as_secs_f64();
    let start = Instant::now();
    let context = measure.context.unwrap_or(trainer.config.context());
    let stride = measure.stride.unwrap_or(context);
    trainer.settle();
    let evaluation = try_evaluate_with(&mut trainer.network, &mut trainer.work, &file, context, stride)?;
    let eval = start.elapsed().as_secs_f64();
    let rate = evaluation.tokens as f64 / eval;
    Ok(Summary {
        task: "eval lm".to_owned(),
        seconds: Seconds { total: started.elapsed().as_secs_f64(), load, eval, ..Seconds::default() },
        samples_per_second: rate / context as f64,
        tokens_per_second: Some(rate),
        metrics: evaluation.metrics(),
        active_share: 1.0,
        union_rows: trainer.network.vocabulary() as f64,
        ..summary_of(&trainer, options.threads)
    })
}
