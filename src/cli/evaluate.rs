//! `hotrow eval xmc`: the metrics of a trained network on a file, exact over all labels.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use hotrow::kernels::Level;
use hotrow::train::xmc;

use super::{Failure, Threads};

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// P@k, nDCG@k, PSP@k and recall@k for k = 1, 3, 5
    Xmc(Xmc),
}

#[derive(Args)]
struct Xmc {
    /// Folder of the run, or one of its checkpoints
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// File of the same kind as the training file
    #[arg(long, value_name = "FILE")]
    data: String,
    /// Keeps parsed data in this folder [default: the run's folder]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Prints the summary as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    threads: Threads,
}

pub fn run(arguments: &Arguments, level: Level, out: &mut impl Write) -> Result<(), Failure> {
    let Task::Xmc(arguments) = &arguments.task;
    let threads = arguments.threads.start()?;
    let options = xmc::Options { level, threads, command: Vec::new(), cache: arguments.cache.clone() };
    let summary = xmc::evaluate_file(&arguments.run, &arguments.data, &options)?;
    super::train::print(&summary, arguments.json, out)
}
