//! `hotrow train`: start a run, take one up, or say what it would be.

mod lm;

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use hotrow::config::Config;
use hotrow::data::{self, Samples};
use hotrow::kernels::Level;
use hotrow::run::{Progress, Signals, Summary, run_of};
use hotrow::train::{estimate, xmc};

use super::{Failure, Threads};

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Extreme classification: sparse features or text in, some of very many labels out
    Xmc(Box<Xmc>),
    /// Language models: token files in, a network that goes on with text out
    Lm(Box<lm::Arguments>),
}

#[derive(Args)]
struct Xmc {
    /// Training file: XC text, svmlight, tsv or jsonl (each also .gz or .zst), or features.npz,labels.npz
    #[arg(long, value_name = "FILE", required_unless_present_any = ["resume", "print_config"])]
    train: Option<String>,
    /// Validation file, of the same kind
    #[arg(long, value_name = "FILE")]
    valid: Option<String>,
    /// Folder of the run: made, must not hold anything yet
    #[arg(long, value_name = "DIR", required_unless_present_any = ["resume", "print_config", "dry_run"])]
    out: Option<PathBuf>,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets one key of the configuration, such as optim.lr=0.002 (repeatable; wins over the file)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Takes up the run in this folder at its last checkpoint, or at this checkpoint
    #[arg(long, value_name = "DIR", conflicts_with_all = ["train", "valid", "out", "config"])]
    resume: Option<PathBuf>,
    /// Keeps parsed data in this folder, to be used by other runs too [default: the run's folder]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Prints the whole configuration, defaults included, and ends
    #[arg(long)]
    print_config: bool,
    /// Reads the data, says what the run would take in memory and time, and ends
    #[arg(long)]
    dry_run: bool,
    /// Saves the untrained network (checkpoint-000000), the samples and their order for other programs, and ends
    #[arg(long, conflicts_with_all = ["resume", "dry_run", "print_config"])]
    init_only: bool,
    /// Stops after this step, counted from 1, as the first Ctrl-C would
    #[arg(long, value_name = "STEP")]
    stop_after: Option<u64>,
    /// Prints the summary as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    threads: Threads,
}

pub fn run(arguments: &Arguments, level: Level, out: &mut impl Write) -> Result<(), Failure> {
    let arguments = match &arguments.task {
        Task::Xmc(arguments) => arguments,
        Task::Lm(arguments) => return lm::run(arguments, level, out),
    };
    if arguments.print_config {
        let config = match &arguments.resume {
            Some(run) => Config::load(Some(&run_of(run).join("config.toml")), &arguments.sets)?,
            None => Config::load(arguments.config.as_deref(), &arguments.sets)?,
        };
        config.check()?;
        return Ok(out.write_all(config.to_toml().as_bytes())?);
    }
    let threads = arguments.threads.start()?;
    if arguments.dry_run {
        return dry_run(arguments, level, threads, out);
    }
    if let (true, Some(train), Some(folder)) = (arguments.init_only, &arguments.train, &arguments.out) {
        let config = Config::load(arguments.config.as_deref(), &arguments.sets)?;
        let files = (train.as_str(), arguments.valid.as_deref());
        let checkpoint = xmc::initial(folder, files, config, &options(arguments, level, threads))?;
        return Ok(writeln!(out, "{}", checkpoint.display())?);
    }
    let summary = train(arguments, level, threads)?;
    print(&summary, arguments.json, out)
}

fn options(arguments: &Xmc, level: Level, threads: usize) -> xmc::Options {
    let command = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    xmc::Options { level, threads, command, cache: arguments.cache.clone() }
}

/// Signals of this process, and a stop after a step.
fn signals(stop_after: Option<u64>) -> Result<Signals, Failure> {
    let signals = Signals::install().map_err(|error| Failure::Usage(format!("signals: {error}")))?;
    Ok(stop_after.into_iter().fold(signals, Signals::stop_after))
}

fn train(arguments: &Xmc, level: Level, threads: usize) -> Result<Summary, Failure> {
    let options = options(arguments, level, threads);
    let signals = signals(arguments.stop_after)?;
    let mut progress = Progress::stderr();
    let result = match (&arguments.resume, &arguments.train, &arguments.out) {
        (Some(run), _, _) => xmc::resume(run, &arguments.sets, &options, &signals, &mut progress),
        (None, Some(train), Some(folder)) => {
            let config = Config::load(arguments.config.as_deref(), &arguments.sets)?;
            let files = (train.as_str(), arguments.valid.as_deref());
            xmc::start(folder, files, config, &options, &signals, &mut progress)
        }
        _ => return Err(Failure::Usage("--train and --out are needed".to_owned())),
    };
    progress.finish();
    Ok(result?)
}

/// The summary as JSON or as a few lines.
pub fn print(summary: &Summary, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    match json {
        true => out.write_all(summary.to_json().as_bytes())?,
        false => write!(out, "{summary}")?,
    }
    Ok(())
}

fn dry_run(arguments: &Xmc, level: Level, threads: usize, out: &mut impl Write) -> Result<(), Failure> {
    let config = match &arguments.resume {
        Some(run) => Config::load(Some(&run_of(run).join("config.toml")), &arguments.sets)?,
        None => Config::load(arguments.config.as_deref(), &arguments.sets)?,
    };
    config.check()?;
    let Some(train) = &arguments.train else { return Err(Failure::Usage("--dry-run needs --train".to_owned())) };
    let opened = match &arguments.cache {
        Some(cache) => data::open(train, None, &config.data, cache),
        // Whatever is read is of no use to anyone else.
        None => data::open_unkept(train, None, &config.data, &std::env::temp_dir()),
    };
    let sizes = opened.map(|data| {
        let summary = data.train.summary();
        let per_sample = summary.feature_entries as f64 / data.train.len().max(1) as f64;
        ((data.train.len(), per_sample), data.train.features(), data.train.labels())
    });
    let (samples, features, labels) = sizes?;
    let estimate = estimate(&config, samples, features, labels, level, threads);
    let seconds = estimate.seconds_per_step * estimate.steps as f64;
    let parts = [estimate.state_bytes, estimate.index_bytes, estimate.scratch_bytes, estimate.snapshot_bytes];
    let memory = parts.iter().sum::<u64>();
    if arguments.json {
        let object = serde_json::json!({
            "schema": 1,
            "task": "train xmc",
            "steps": estimate.steps,
            "epochs": config.train.epochs,
            "seconds": { "train": seconds },
            "samples_per_second": config.train.batch_size as f64 / estimate.seconds_per_step,
            "flops": { "executed": estimate.flops_per_step * estimate.steps },
            "bytes": estimate.bytes_per_step * estimate.steps,
            "active_share": estimate.active_share,
            "union_rows": estimate.union_rows,
            "parameters": estimate.parameters,
            "peak_memory_bytes": memory,
            "seed": config.train.seed,
            "level": level.name(),
            "threads": threads,
        });
        return Ok(writeln!(out, "{object:#}")?);
    }
    let gib = |bytes: u64| bytes as f64 / (1_u64 << 30) as f64;
    writeln!(out, "samples     {:>14}   features {features}, labels {labels}", samples.0)?;
    writeln!(out, "parameters  {:>14}", estimate.parameters)?;
    writeln!(
        out,
        "memory      {:>10.2} GiB   weights and optimiser {:.2}, index {:.2}, step {:.2}, checkpoint {:.2}",
        gib(memory),
        gib(parts[0]),
        gib(parts[1]),
        gib(parts[2]),
        gib(parts[3])
    )?;
    writeln!(out, "active rows {:>14}   {:.3} % of the labels", estimate.union_rows, 100.0 * estimate.active_share)?;
    writeln!(
        out,
        "steps       {:>14}   {:.1} ms each, with {threads} threads",
        estimate.steps,
        1e3 * estimate.seconds_per_step
    )?;
    writeln!(out, "training    {:>10.1} min", seconds / 60.0)?;
    Ok(())
}
