//! `hotrow eval`: the metrics of a run on a file. A network scores all labels or tokens, and parts in its place the labels that they name.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use hotrow::kernels::Level;
use hotrow::train::xmc::{self, Scored};
use hotrow::train::{Options, lm};

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
    /// Loss, perplexity and bits per byte of a whole token file
    Lm(Lm),
}

#[derive(Args)]
struct Lm {
    /// Folder of the run, or one of its checkpoints
    #[arg(long, value_name = "DIR", visible_alias = "checkpoint")]
    run: PathBuf,
    /// Token file of the same tokenizer
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Reads the file as text, as one document
    #[arg(long)]
    text: bool,
    /// Tokens in a window [default: as in training]
    #[arg(long, value_name = "N")]
    context: Option<usize>,
    /// Tokens between the beginnings of two windows. Below --context, each token is predicted from more context, which
    /// takes longer [default: the context]
    #[arg(long, value_name = "N")]
    stride: Option<usize>,
    /// Prints the summary as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    threads: Threads,
}

#[derive(Args)]
struct Xmc {
    /// Folder of the run, or one of its checkpoints
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// File of the same kind as the training file
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Folder for parsed data [default: none, unless the run has one]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Faulty lines to skip and count before one is an error [default: data.skip_bad of the run]
    #[arg(long, value_name = "N")]
    skip_bad: Option<u64>,
    /// Scores all labels with all parts, instead of candidates only
    #[arg(long)]
    exhaustive: bool,
    /// Prints the summary as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    threads: Threads,
}

pub fn run(arguments: &Arguments, level: Level, out: &mut impl Write) -> Result<(), Failure> {
    let options = |threads: &Threads, cache: Option<PathBuf>| -> Result<_, Failure> {
        Ok(Options { level, threads: threads.start()?, command: Vec::new(), cache, other_level: true })
    };
    let (summary, json) = match &arguments.task {
        Task::Xmc(Xmc { run, data, cache, skip_bad, exhaustive, json, threads }) => {
            super::check_run("--run", run)?;
            let scored = if *exhaustive { Scored::All } else { Scored::Usual };
            (xmc::evaluate_file(run, data, *skip_bad, scored, &options(threads, cache.clone())?)?, json)
        }
        Task::Lm(Lm { run, data, text, context, stride, json, threads }) => {
            super::check_run("--run", run)?;
            let measure = lm::Measure { file: data, text: *text, context: *context, stride: *stride };
            (lm::evaluate_file(run, &measure, &options(threads, None)?)?, json)
        }
    };
    super::train::print(&summary, *json, out)
}
