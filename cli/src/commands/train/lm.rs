//! `hotrow train lm`.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use hotrow::config::lm::{Lm, MEMORY_PRESETS, PRESETS};
use hotrow::data::Sequences;
use hotrow::data::tokens::Tokenizer;
use hotrow::error::Error;
use hotrow::kernels::Level;
use hotrow::machine::Limits;
use hotrow::run::{Signals, run_of};
use hotrow::train::lm::{self, Files, estimate};
use hotrow::train::{Inputs, MovedInputs, Options, initial, plan_resumed, resume, start};
use hotrow_cli::Progress;

use super::{Failure, Threads};

/// The vocabulary of a plan without a tokenizer: GPT-2's.
const VOCABULARY: usize = 50_257;

#[derive(Args)]
pub struct Arguments {
    /// Training file of tokens (see `hotrow tokenize`). With --resume: the file's new place
    #[arg(long, value_name = "FILE", required_unless_present_any = ["resume", "print_config", "dry_run"])]
    train: Option<PathBuf>,
    /// Validation file of tokens
    #[arg(long, value_name = "FILE")]
    valid: Option<PathBuf>,
    /// The tokenizer.json of both files [default: the one beside the training file]
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// Folder for the run: made if needed, and empty
    #[arg(long, value_name = "DIR", required_unless_present_any = ["resume", "print_config", "dry_run"])]
    out: Option<PathBuf>,
    /// Size of the network, with options that suit it
    #[arg(long, value_name = "NAME", value_parser = [&PRESETS[..], &MEMORY_PRESETS].concat())]
    preset: Option<String>,
    /// Configuration file (TOML; wins over the preset)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets one key of the configuration, such as train.steps=1000 (repeatable; wins over the file)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Resumes the run in this folder from its last checkpoint, or from this checkpoint
    #[arg(long, value_name = "DIR", conflicts_with_all = ["tokenizer", "out", "preset", "config"])]
    resume: Option<PathBuf>,
    /// Lets a resumed run use another instruction set, which changes bits of its results
    #[arg(long, requires = "resume")]
    other_level: bool,
    /// Prints the whole configuration, with defaults, and ends
    #[arg(long)]
    print_config: bool,
    /// Prints what the run would take in memory and time, and whether this machine can hold it, and ends; needs no data
    #[arg(long)]
    dry_run: bool,
    /// Saves the untrained network (checkpoint-000000) and the order of the sequences for other programs, and ends
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
    if arguments.print_config {
        return Ok(out.write_all(load(arguments)?.to_toml().as_bytes())?);
    }
    let threads = arguments.threads.start()?;
    let (command, other_level) = (super::super::command_line(), arguments.other_level);
    let options = Options { level, threads, command, cache: None, other_level };
    if arguments.dry_run {
        return dry_run(arguments, &options, out);
    }
    let mut progress = Progress::stderr();
    let (train, valid) = (arguments.train.clone(), arguments.valid.clone());
    let result = match (&arguments.resume, train, &arguments.out) {
        (Some(run), train, _) => {
            let (moved, signals) = (MovedInputs { train, valid }, super::stopping(signals, arguments.stop_after));
            resume::<Lm>(run, &moved, &arguments.sets, &options, &signals, &mut progress)
        }
        (None, Some(train), Some(folder)) => {
            let (config, tokenizer) = (load(arguments)?, tokenizer(arguments, &train)?);
            let inputs = Inputs { train, valid, tokenizer: Some(tokenizer) };
            if arguments.init_only {
                let checkpoint = initial(folder, &inputs, config, &options, &mut progress)?;
                return Ok(writeln!(out, "{}", checkpoint.display())?);
            }
            let signals = super::stopping(signals, arguments.stop_after);
            start(folder, &inputs, config, &options, &signals, &mut progress)
        }
        _ => return Err(Failure::Usage("--train and --out are needed".to_owned())),
    };
    progress.finish();
    super::print(&result?, arguments.json, out)
}

/// The configuration of a new run, or of a resumed one.
fn load(arguments: &Arguments) -> Result<Lm, Failure> {
    let file = arguments.resume.as_ref().map(|run| run_of(run).join("config.toml"));
    let file = file.as_deref().or(arguments.config.as_deref());
    Ok(Lm::load(arguments.preset.as_deref(), file, &arguments.sets)?)
}

/// The tokenizer that was named, or the one beside the training file.
fn tokenizer(arguments: &Arguments, train: &Path) -> Result<PathBuf, Failure> {
    if let Some(named) = &arguments.tokenizer {
        return Ok(named.clone());
    }
    // The file that was named, before the tokenizer that was not.
    std::fs::metadata(train).map_err(Error::io(train))?;
    let beside = train.with_file_name("tokenizer.json");
    if beside.exists() {
        return Ok(beside);
    }
    Err(Failure::Usage(format!(
        "--tokenizer: {} has no tokenizer.json beside it: name the one that it was made with",
        train.display()
    )))
}

/// The configuration with its vocabulary, the number of steps (0 if unknown), and the passes over the data, if there
/// are any.
fn plan(arguments: &Arguments, options: &Options) -> Result<(Lm, u64, Option<f64>), Failure> {
    let (config, files) = match (&arguments.resume, &arguments.train) {
        (Some(run), train) => {
            let moved = MovedInputs { train: train.clone(), valid: arguments.valid.clone() };
            plan_resumed::<Lm>(run, &moved, &arguments.sets, options, &mut Progress::stderr())?
        }
        (None, Some(train)) => {
            let files = Files::open(&tokenizer(arguments, train)?, train, arguments.valid.as_deref())?;
            (files.resolve(load(arguments)?)?, files)
        }
        (None, None) => return plan_without_data(arguments),
    };
    let sequences = Sequences::new(files.train.clone(), config.context(), config.sequences(), config.train.seed)?;
    let steps = config.steps(sequences.windows());
    lm::check_steps(&config, steps)?;
    Ok((config, steps, Some(sequences.epochs(steps))))
}

/// The same without data. The steps follow from the requested tokens, the vocabulary from the tokenizer.
fn plan_without_data(arguments: &Arguments) -> Result<(Lm, u64, Option<f64>), Failure> {
    if arguments.valid.is_some() {
        return Err(Failure::Usage("--valid: a plan with data needs --train".to_owned()));
    }
    let mut config = load(arguments)?;
    let tokens = match &arguments.tokenizer {
        Some(path) => Tokenizer::load(path)?.vocabulary(),
        None => VOCABULARY,
    };
    if config.model.vocabulary == 0 {
        config.model.vocabulary = tokens;
    }
    let per_step = (config.context() * config.sequences()) as u64;
    let steps = if config.train.steps > 0 { config.train.steps } else { config.train.tokens.div_ceil(per_step) };
    lm::check_steps(&config, steps)?;
    Ok((config, steps, None))
}

fn dry_run(arguments: &Arguments, options: &Options, out: &mut impl Write) -> Result<(), Failure> {
    let (config, steps, epochs) = plan(arguments, options)?;
    let Options { level, threads, .. } = *options;
    let estimate = estimate(&config, config.model.vocabulary, steps, level, threads)?;
    let rate = estimate.step_tokens as f64 / estimate.seconds_per_step;
    let seconds = estimate.seconds_per_step * steps as f64;
    let limits = Limits::read();
    let fits = limits.can_hold(estimate.memory_bytes);
    if arguments.json {
        let object = serde_json::json!({
            "schema": 1,
            "task": "train lm",
            "steps": (steps > 0).then_some(steps),
            "epochs": epochs,
            "seconds": { "train": (steps > 0).then_some(seconds) },
            "tokens_per_second": rate,
            "flops": { "executed": (steps > 0).then_some(estimate.flops_per_step.saturating_mul(steps)), "token": estimate.flops_per_step / estimate.step_tokens },
            "active_share": estimate.union_rows as f64 / config.model.vocabulary as f64,
            "union_rows": estimate.union_rows as f64,
            "parameters": estimate.parameters,
            "components": estimate.components,
            "peak_memory_bytes": estimate.memory_bytes,
            "memory_limit_bytes": limits.bytes(),
            "fits": fits,
            "seed": config.train.seed,
            "level": level.name(),
            "threads": threads,
        });
        return Ok(writeln!(out, "{object:#}")?);
    }
    let mib = |bytes: u64| bytes as f64 / (1_u64 << 20) as f64;
    writeln!(out, "vocabulary  {:>14}", config.model.vocabulary)?;
    let known = |number: u64| if steps > 0 { number.to_string() } else { "unknown".to_owned() };
    writeln!(out, "tokens      {:>14}   {} a step", known(estimate.step_tokens * steps), estimate.step_tokens)?;
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
    writeln!(out, "{}", super::plan::verdict(fits, &limits))?;
    writeln!(
        out,
        "operations  {:>14}   a token, with its backward pass",
        estimate.flops_per_step / estimate.step_tokens
    )?;
    writeln!(
        out,
        "steps       {:>14}   {:.1} ms each, {rate:.0} tokens/s with {threads} threads",
        known(steps),
        1e3 * estimate.seconds_per_step
    )?;
    if steps == 0 {
        let message = "training        unknown   train.steps=N, train.tokens=N or --train say how long";
        return Ok(writeln!(out, "{message}")?);
    }
    Ok(writeln!(out, "training    {:>10.1} min", seconds / 60.0)?)
}
