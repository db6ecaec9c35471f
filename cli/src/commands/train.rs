//! `hotrow train`: starts a run, resumes one, or plans one.

mod lm;
mod plan;

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use hotrow::config::Config;
use hotrow::kernels::Level;
use hotrow::run::{Signals, Summary, run_of};
use hotrow::train::xmc::{Kind, Mixed};
use hotrow::train::{Inputs, MovedInputs, Options, initial, resume, start};
use hotrow_cli::Progress;

use super::{Failure, Threads};

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Extreme classification: sparse features or text in, a few of very many labels out
    Xmc(Box<Xmc>),
    /// Language models: token files in, a network that generates text out
    Lm(Box<lm::Arguments>),
}

#[derive(Args)]
struct Xmc {
    /// Training file: XC text, svmlight, tsv or jsonl (also as .gz or .zst), or features.npz,labels.npz. With --resume:
    /// the file's new place
    #[arg(long, value_name = "FILE", required_unless_present_any = ["resume", "print_config", "dry_run"])]
    train: Option<PathBuf>,
    /// Validation file, in the same format
    #[arg(long, value_name = "FILE")]
    valid: Option<PathBuf>,
    /// Folder for the run: made if needed, and empty
    #[arg(long, value_name = "DIR", required_unless_present_any = ["resume", "print_config", "dry_run"])]
    out: Option<PathBuf>,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets one key of the configuration, such as optim.lr=0.002 (repeatable; wins over the file)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Seconds that training may take, about, after the files are read: linear rows are left out if they would take longer
    #[arg(long, value_name = "S")]
    budget_seconds: Option<f64>,
    /// Bytes of the parts of the model, in its file, at most: each part keeps what counts most
    #[arg(long, value_name = "N")]
    budget_bytes: Option<u64>,
    /// Resumes the run in this folder from its last checkpoint, or from this checkpoint
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "config"])]
    resume: Option<PathBuf>,
    /// Lets a resumed run use another instruction set, which changes bits of its results
    #[arg(long, requires = "resume")]
    other_level: bool,
    /// Folder for parsed data, which other runs can share [default: the run's folder]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Prints the whole configuration, with defaults, and ends
    #[arg(long)]
    print_config: bool,
    /// Prints what the run would take in memory and time, and whether this machine can hold it, and ends
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    sizes: plan::Sizes,
    /// Saves the untrained network (checkpoint-000000), the samples and their order for other programs, and ends
    #[arg(long, conflicts_with_all = ["resume", "dry_run", "print_config"])]
    init_only: bool,
    /// Stops after this step (from 1), as the first Ctrl-C would
    #[arg(long, value_name = "STEP")]
    stop_after: Option<u64>,
    /// Prints the summary as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    threads: Threads,
}

pub fn run(arguments: &Arguments, level: Level, signals: Signals, out: &mut impl Write) -> Result<(), Failure> {
    let arguments = match &arguments.task {
        Task::Xmc(arguments) => arguments,
        Task::Lm(arguments) => return lm::run(arguments, level, signals, out),
    };
    if arguments.print_config {
        return Ok(out.write_all(kind(arguments)?.config().to_toml().as_bytes())?);
    }
    let threads = arguments.threads.start()?;
    let options = Options {
        level,
        threads,
        command: super::command_line(),
        cache: arguments.cache.clone(),
        other_level: arguments.other_level,
    };
    if arguments.dry_run {
        return plan::print(arguments, &options, out);
    }
    let mut progress = Progress::stderr();
    let (train, valid) = (arguments.train.clone(), arguments.valid.clone());
    let result = match (&arguments.resume, train, &arguments.out) {
        (Some(run), train, _) => {
            let moved = MovedInputs { train, valid };
            let signals = stopping(signals, arguments.stop_after);
            // Whoever resumes looks at the folder first, and tells what cannot be read.
            match kind(arguments) {
                Ok(Kind::Parts(_)) => resume::<Mixed>(run, &moved, &sets(arguments), &options, &signals, &mut progress),
                _ => resume::<Config>(run, &moved, &sets(arguments), &options, &signals, &mut progress),
            }
        }
        (None, Some(train), Some(folder)) => {
            let (inputs, kind) = (Inputs { train, valid, tokenizer: None }, kind(arguments)?);
            let signals = stopping(signals, arguments.stop_after);
            match kind {
                Kind::Network(config) if arguments.init_only => {
                    let checkpoint = initial(folder, &inputs, config, &options, &mut progress)?;
                    return Ok(writeln!(out, "{}", checkpoint.display())?);
                }
                Kind::Parts(_) if arguments.init_only => {
                    let message = "--init-only: is for networks alone; --set model.parts=network makes the run one";
                    return Err(Failure::Usage(message.to_owned()));
                }
                Kind::Network(config) => start(folder, &inputs, config, &options, &signals, &mut progress),
                Kind::Parts(config) => start(folder, &inputs, config, &options, &signals, &mut progress),
            }
        }
        _ => return Err(Failure::Usage("--train and --out are needed".to_owned())),
    };
    progress.finish();
    print(&result?, arguments.json, out)
}

/// The configuration of a new run, or of a resumed one.
fn kind(arguments: &Xmc) -> Result<Kind, Failure> {
    let sets = sets(arguments);
    Ok(match &arguments.resume {
        Some(run) => Kind::resumed(&run_of(run).join("config.toml"), &sets)?,
        None => Kind::load(arguments.config.as_deref(), &sets)?,
    })
}

/// All keys that are set: options of the command are short for some.
fn sets(arguments: &Xmc) -> Vec<String> {
    let seconds = arguments.budget_seconds.map(|seconds| format!("train.budget_seconds={seconds:?}"));
    let bytes = arguments.budget_bytes.map(|bytes| format!("train.budget_bytes={bytes}"));
    arguments.sets.iter().cloned().chain(seconds).chain(bytes).collect()
}

/// The signals, with a stop after a step.
fn stopping(signals: Signals, stop_after: Option<u64>) -> Signals {
    stop_after.into_iter().fold(signals, Signals::stop_after)
}

/// Prints the summary, as JSON or as a table.
pub fn print(summary: &Summary, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    match json {
        true => out.write_all(summary.to_json().as_bytes())?,
        false => write!(out, "{summary}")?,
    }
    Ok(())
}
