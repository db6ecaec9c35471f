//! `hotrow bench`: runs of workloads, comparisons of their results, measurements of kernels.

mod ask;
mod measure;
mod run;

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use hotrow::kernels::Level;
use hotrow::run::Signals;
use hotrow_cli::bench::{self, Outcome};

use super::Failure;

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Train the variants of workload files with several seeds, in turns, and write a result file for each run
    Run(run::Arguments),
    /// Compare results: quality, time to the target, and FLOPs
    Compare(Compare),
    /// Time products of an output layer over density, row length, batch and labels
    Sweep(measure::Arguments),
    /// Time kernels of every family at each level, against what the machine allows
    Roofline(measure::Arguments),
    /// Find the density below which sparse products cost less than dense ones, and compare training's own rule with it
    Breakeven(measure::Arguments),
    /// Time training steps over labels, active rows and threads
    Scale(measure::Arguments),
    /// Time a trained classifier that is asked for one sample after the other, and count what it misses of the best labels
    Ask(ask::Arguments),
}

#[derive(Args)]
struct Compare {
    /// A result file, a folder of them, or the common beginning of the files of all seeds
    /// (results/xmc-demo-hotrow-cpu-dense)
    a: PathBuf,
    /// The results to compare with
    b: PathBuf,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments, level: Level, signals: &Signals, out: &mut impl Write) -> Result<(), Failure> {
    match &arguments.task {
        Task::Run(arguments) => run::run(arguments, level, signals, out),
        Task::Compare(arguments) => compare(arguments, out),
        Task::Sweep(arguments) => measure::sweep(arguments, level, out),
        Task::Roofline(arguments) => measure::roofline(arguments, level, out),
        Task::Breakeven(arguments) => measure::breakeven(arguments, level, out),
        Task::Scale(arguments) => measure::scale(arguments, level, out),
        Task::Ask(arguments) => ask::run(arguments, level, out),
    }
}

fn compare(arguments: &Compare, out: &mut impl Write) -> Result<(), Failure> {
    let comparison = bench::compare(&Outcome::read_all(&arguments.a)?, &Outcome::read_all(&arguments.b)?)?;
    match arguments.json {
        true => writeln!(out, "{:#}", serde_json::to_value(&comparison).expect("names and numbers are JSON"))?,
        false => write!(out, "{comparison}")?,
    }
    Ok(())
}
