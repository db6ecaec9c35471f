//! `hotrow bench run`.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use hotrow::kernels::Level;
use hotrow::run::{Observer, Signals};
use hotrow_cli::Progress;
use hotrow_cli::bench::{self, Finished, Outcome, Prices, RunOptions, Workload};

use super::super::{Failure, Threads};

/// The price list that is read if none is named and it exists.
const PRICES: &str = "benches/prices.toml";

#[derive(Args)]
pub struct Arguments {
    /// Workload files
    #[arg(value_name = "WORKLOAD.toml", required = true)]
    workloads: Vec<PathBuf>,
    /// Folder for the results, made if needed. Existing results are not measured again
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Only these variants
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    variants: Vec<String>,
    /// These seeds instead of the workload's
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    seeds: Vec<u64>,
    /// Only the first N seeds
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Allows fewer than three seeds; results are marked
    #[arg(long)]
    few: bool,
    /// Price list of machines [default: benches/prices.toml if it exists]
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    threads: Threads,
}

/// Writes notes to standard error with `--json`, and to standard output otherwise.
struct Notes<'a, W: Write> {
    out: &'a mut W,
    progress: Option<Progress>,
    error: Option<std::io::Error>,
}

impl<W: Write> Observer for Notes<'_, W> {
    fn note(&mut self, text: &str) {
        match &mut self.progress {
            Some(progress) => progress.note(text),
            None => {
                let written = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
                self.error = self.error.take().or(written.err());
            }
        }
    }
}

pub fn run(arguments: &Arguments, level: Level, signals: &Signals, out: &mut impl Write) -> Result<(), Failure> {
    let threads = arguments.threads.start()?;
    let workloads = arguments.workloads.iter().map(|path| Workload::read(path)).collect::<Result<Vec<_>, _>>()?;
    let prices = match &arguments.prices {
        Some(path) => Prices::read(path)?,
        None if Path::new(PRICES).is_file() => Prices::read(PRICES.as_ref())?,
        None => Prices::default(),
    };
    let options = RunOptions {
        program: std::env::current_exe()?,
        level: level.name().to_owned(),
        threads,
        out: arguments.out.clone(),
        variants: arguments.variants.clone(),
        seeds: arguments.seeds.clone(),
        rounds: arguments.rounds,
        few: arguments.few,
        prices,
        command: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
    };
    let progress = arguments.json.then(Progress::stderr);
    let mut notes = Notes { out, progress, error: None };
    let finished = bench::run(&workloads, &options, signals, &mut notes)?;
    if let Some(error) = notes.error {
        return Err(Failure::Output(error));
    }
    match arguments.json {
        true => print_json(&workloads, &finished, out)?,
        false => print(&finished, &arguments.out, out)?,
    }
    match finished.stopped {
        true => Err(Failure::Stopped("stopped; the same command continues after the existing results".to_owned())),
        false => Ok(()),
    }
}

fn print_json(workloads: &[Workload], finished: &Finished, out: &mut impl Write) -> Result<(), Failure> {
    let hashes: std::collections::BTreeMap<_, _> = workloads.iter().map(|w| (&w.name, &w.hash)).collect();
    let object = serde_json::json!({
        "schema": 1,
        "kind": "hotrow-bench-run",
        "workloads": hashes,
        "skipped": finished.skipped,
        "stopped": finished.stopped,
        "results": finished.outcomes,
    });
    Ok(writeln!(out, "{object:#}")?)
}

fn print(finished: &Finished, folder: &Path, out: &mut impl Write) -> Result<(), Failure> {
    writeln!(
        out,
        "{:<16} {:<12} {:>5}  {:>10}  {:>10}  {:>10}  {:>9}  {:>10}  {:>9}  status",
        "workload", "variant", "seed", "quality", "to target", "total", "load", "GFLOP", "memory"
    )?;
    for outcome in &finished.outcomes {
        let Outcome { workload, variant, seed, target, seconds, .. } = outcome;
        let quality = outcome.metrics.get(&target.metric).map_or("-".to_owned(), |value| format!("{value:.4}"));
        let reached = target.seconds.map_or("-".to_owned(), |seconds| format!("{seconds:.1} s"));
        let gflop = outcome.flops.executed as f64 / 1e9;
        let memory = outcome.peak_memory_bytes >> 20;
        writeln!(
            out,
            "{workload:<16} {variant:<12} {seed:>5}  {quality:>10}  {reached:>10}  {:>8.1} s  {:>7.2} s  {gflop:>10.0}  \
             {memory:>5} MiB  {}{}",
            seconds.total,
            seconds.load,
            outcome.status,
            if outcome.runs_few { " (few runs)" } else { "" }
        )?;
    }
    let made = finished.outcomes.len() - finished.skipped;
    Ok(writeln!(out, "{made} results written, {} there before: {}", finished.skipped, folder.display())?)
}
