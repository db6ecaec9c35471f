//! `hotrow train lm`.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use hotrow::config::RunConfig;
use hotrow::config::lm::{Lm, MEMORY_PRESETS, PRESETS};
use hotrow::data::Sequences;
use hotrow::error::Error;
use hotrow::kernels::Level;
use hotrow::run::{Progress, Summary, run_of};
use hotrow::train::lm::{self, Files, Inputs, estimate};

use super::{Failure, Threads};

#[derive(Args)]
pub struct Arguments {
    /// Token file to train on (see `hotrow tokenize`)
    #[arg(long, value_name = "FILE", required_unless_present_any = ["resume", "print_config"])]
    train: Option<String>,
    /// Token file to measure on
    #[arg(long, value_name = "FILE")]
    valid: Option<String>,
    /// The tokenizer.json that made them [default: the one beside the training file]
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// Folder of the run: made, must not hold anything yet
    #[arg(long, value_name = "DIR", required_unless_present_any = ["resume", "print_config", "dry_run"])]
    out: Option<PathBuf>,
    /// Size of the network, and options that suit it
    #[arg(long, value_name = "NAME", value_parser = [&PRESETS[..], &MEMORY_PRESETS].concat())]
    preset: Option<String>,
    /// Configuration file (TOML; wins over the preset)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets one key of the configuration, such as train.steps=1000 (repeatable; wins over the file)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Takes up the run in this folder at its last checkpoint, or at this checkpoint
    #[arg(long, value_name = "DIR", conflicts_with_all = ["train", "valid", "tokenizer", "out", "preset", "config"])]
    resume: Option<PathBuf>,
    /// Prints the whole configuration, defaults included, and ends
    #[arg(long)]
    print_config: bool,
    /// Says what the run would take in memory and time, and ends
    #[arg(long, conflicts_with = "resume")]
    dry_run: bool,
    /// Saves the untrained network (checkpoint-000000) and the order of the sequences for other programs, and ends
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
    if arguments.print_config {
        let config = match &arguments.resume {
            Some(run) => Lm::load(None, Some(&run_of(run).join("config.toml")), &arguments.sets)?,
            None => load(arguments)?,
        };
        return Ok(out.write_all(config.to_toml().as_bytes())?);
    }
    let threads = arguments.threads.start()?;
    if arguments.dry_run {
        return dry_run(arguments, level, threads, out);
    }
    if let (true, Some(train), Some(folder)) = (arguments.init_only, &arguments.train, &arguments.out) {
        let (config, tokenizer) = (load(arguments)?, tokenizer(arguments, train)?);
        let tokenizer = &tokenizer.to_string_lossy();
        let inputs = Inputs { train, valid: arguments.valid.as_deref(), tokenizer };
        let checkpoint = lm::initial(folder, inputs, config, &options(level, threads))?;
        return Ok(writeln!(out, "{}", checkpoint.display())?);
    }
    let summary = train(arguments, level, threads)?;
    super::print(&summary, arguments.json, out)
}

fn load(arguments: &Arguments) -> Result<Lm, Failure> {
    Ok(Lm::load(arguments.preset.as_deref(), arguments.config.as_deref(), &arguments.sets)?)
}

/// The tokenizer that was named, or the one beside the training file.
fn tokenizer(arguments: &Arguments, train: &str) -> Result<PathBuf, Failure> {
    if let Some(named) = &arguments.tokenizer {
        return Ok(named.clone());
    }
    // Before the tokenizer, which was not named, the file that was.
    std::fs::metadata(train).map_err(Error::io(train))?;
    let beside = Path::new(train).with_file_name("tokenizer.json");
    if beside.exists() {
        return Ok(beside);
    }
    Err(Failure::Usage(format!(
        "--tokenizer: {train} has no tokenizer.json beside it: name the one that it was made with"
    )))
}

fn options(level: Level, threads: usize) -> lm::Options {
    let command = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    lm::Options { level, threads, command, cache: None }
}

fn train(arguments: &Arguments, level: Level, threads: usize) -> Result<Summary, Failure> {
    let options = options(level, threads);
    let signals = super::signals(arguments.stop_after)?;
    let mut progress = Progress::stderr();
    let result = match (&arguments.resume, &arguments.train, &arguments.out) {
        (Some(run), _, _) => lm::resume(run, &arguments.sets, &options, &signals, &mut progress),
        (None, Some(train), Some(folder)) => {
            let (config, tokenizer) = (load(arguments)?, tokenizer(arguments, train)?);
            let tokenizer = &tokenizer.to_string_lossy();
            let inputs = Inputs { train, valid: arguments.valid.as_deref(), tokenizer };
            lm::start(folder, inputs, config, &options, &signals, &mut progress)
        }
        _ => return Err(Failure::Usage("--train and --out are needed".to_owned())),
    };
    progress.finish();
    Ok(result?)
}

fn dry_run(arguments: &Arguments, level: Level, threads: usize, out: &mut impl Write) -> Result<(), Failure> {
    let config = load(arguments)?;
    config.check()?;
    let Some(train) = &arguments.train else { return Err(Failure::Usage("--dry-run needs --train".to_owned())) };
    let files = Files::open(&tokenizer(arguments, train)?, train.as_ref(), arguments.valid.as_deref().map(Path::new))?;
    let config = files.resolve(config)?;
    let sequences = Sequences::new(files.train.clone(), config.context(), config.sequences(), config.train.seed)?;
    let steps = config.steps(sequences.windows());
    let estimate = estimate(&config, config.model.vocabulary, steps, level, threads);
    let rate = estimate.step_tokens as f64 / estimate.seconds_per_step;
    let seconds = estimate.seconds_per_step * steps as f64;
    if arguments.json {
        let object = serde_json::json!({
            "schema": 1,
            "task": "train lm",
            "steps": steps,
            "epochs": sequences.epochs(steps),
            "seconds": { "train": seconds },
            "tokens_per_second": rate,
            "flops": { "executed": estimate.flops_per_step.saturating_mul(steps) },
            "active_share": estimate.union_rows as f64 / config.model.vocabulary as f64,
            "union_rows": estimate.union_rows as f64,
            "parameters": estimate.parameters,
            "components": estimate.components,
            "peak_memory_bytes": estimate.memory_bytes,
            "seed": config.train.seed,
            "level": level.name(),
            "threads": threads,
        });
        return Ok(writeln!(out, "{object:#}")?);
    }
    let mib = |bytes: u64| bytes as f64 / (1_u64 << 20) as f64;
    writeln!(out, "tokens      {:>14}   {} a step", files.train.len(), estimate.step_tokens)?;
    writeln!(out, "parameters  {:>14}", estimate.parameters)?;
    writeln!(out, "memory      {:>10.1} MiB", mib(estimate.memory_bytes))?;
    for component in &estimate.components {
        writeln!(
            out,
            "  {:<20} {:>10.1} MiB   {} parameters",
            component.name,
            mib(component.bytes),
            component.parameters
        )?;
    }
    writeln!(
        out,
        "steps       {steps:>14}   {:.1} ms each, {rate:.0} tokens/s with {threads} threads",
        1e3 * estimate.seconds_per_step
    )?;
    writeln!(out, "training    {:>10.1} min", seconds / 60.0)?;
    Ok(())
}
