//! Runs that are started, resumed, or measured.

use std::path::Path;
use std::time::Instant;

use super::{Inputs, KS, MovedInputs, Opened, Options, Predictor, Run, evaluate, left_out, measurable, summary_of};
use crate::config::Config;
use crate::data::{Datasets, Samples};
use crate::error::{Error, Result};
use crate::run::{Observer, RunDir, Seconds, Signals, Summary, config_of, environment_of};
use crate::train::run;

/// Starts a run in the folder `out`.
///
/// # Errors
///
/// See [`Error`]; [`Error::Stopped`] if `signals` asked the run to stop, after saving it. A run that could not begin leaves no
/// folder.
pub fn start(
    out: &Path,
    inputs: &Inputs,
    config: Config,
    options: &Options,
    signals: &Signals,
    observer: &mut dyn Observer,
) -> Result<Summary> {
    let run = Run::create(out, inputs, config, options, signals, observer)?;
    run::go(run, signals, observer)
}

/// Resumes the run in the folder `path`, from its last checkpoint (or from `path`, if that is one), with the configuration
/// of the run changed by `sets`. Files that have moved since are those of `moved`: they have to hold the same samples.
///
/// # Errors
///
/// As [`start`]; [`Error::Data`] if a file holds other samples than those that the checkpoint was trained with. Until it is
/// known that the run can continue, nothing in its folder is changed.
pub fn resume(
    path: &Path,
    moved: &MovedInputs,
    sets: &[String],
    options: &Options,
    signals: &Signals,
    observer: &mut dyn Observer,
) -> Result<Summary> {
    let (dir, loaded) = RunDir::resume(path)?;
    let (config, inputs) = resumed(dir.path(), moved, sets, options, observer)?;
    let run = Run::open(dir, config, &inputs, loaded.as_ref(), options, signals, observer)?;
    // Only now is it known that the run can continue so.
    run.dir.write_config(&run.trainer.config)?;
    let mut environment = run.dir.environment()?;
    if environment.go_on(options.level, moved.named()) {
        run.dir.write_environment(&environment)?;
    }
    run::go(run, signals, observer)
}

/// What [`resume`] would go on with: the configuration, filled in, and the data, which are compared with those of the checkpoint.
/// Nothing is written but parsed data to a file without a name.
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
) -> Result<(Config, Datasets)> {
    let (run, loaded) = RunDir::look(path)?;
    let (config, inputs) = resumed(run, moved, sets, options, observer)?;
    let Opened { config, data, .. } = Opened::read(run, config, &inputs, loaded.as_ref(), options)?;
    Ok((config, data))
}

/// The configuration of a run, changed by `sets`, and its files.
fn resumed(
    run: &Path,
    moved: &MovedInputs,
    sets: &[String],
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<(Config, Inputs)> {
    let config: Config = config_of(run, sets)?;
    config_of::<Config>(run, &[])?.check_resumed(&config)?;
    let environment = environment_of(run)?;
    options.check_level(&environment, observer)?;
    let known = |name: &str| environment.inputs.get(name).cloned();
    let train = moved.train.clone().or_else(|| known("train"));
    let train = train.ok_or_else(|| Error::config("env.json", "names no training file"))?;
    Ok((config, Inputs { train, valid: moved.valid.clone().or_else(|| known("valid")) }))
}

/// Measures the last checkpoint of a run (or the checkpoint `path`) on a file, of which up to `skip_bad` faulty lines are left out
/// (without it as many as of the training set).
///
/// # Errors
///
/// If the checkpoint or the file is bad, or no sample of the file has a label.
pub fn evaluate_file(path: &Path, file: &Path, skip_bad: Option<u64>, options: &Options) -> Result<Summary> {
    let started = Instant::now();
    let mut predictor = Predictor::open(path, options.level)?;
    let run = predictor.run().to_owned();
    let vocabulary = predictor.vocabulary().clone();
    let known = vocabulary.options().skip_bad;
    let vocabulary = vocabulary.with_skip_bad(skip_bad.unwrap_or(known));
    let data = match &options.cache {
        Some(cache) => vocabulary.open(file, cache)?,
        None => vocabulary.open_unkept(file, &run.join("cache"))?,
    };
    measurable(&data)?;
    let load = started.elapsed().as_secs_f64();
    let start = Instant::now();
    let inverse = predictor.seen()?.inverse(&predictor.trainer_mut().config.train);
    let trainer = predictor.trainer_mut();
    let ranking = evaluate(&trainer.network, &mut trainer.work, &data, &KS, Some(inverse));
    let eval = start.elapsed().as_secs_f64();
    let mut summary = summary_of(trainer, options.threads);
    summary.task = "eval xmc".to_owned();
    summary.seconds = Seconds { total: started.elapsed().as_secs_f64(), load, eval, ..Seconds::default() };
    summary.samples_per_second = data.len() as f64 / eval;
    summary.metrics = ranking.metrics();
    summary.left_out = [left_out("data", &data)].into();
    (summary.active_share, summary.union_rows) = (1.0, data.labels() as f64);
    Ok(summary)
}
