//! `hotrow bench ask`.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use hotrow::kernels::Level;
use hotrow_cli::bench::{self, Asked, Questions};

use super::super::{Failure, Threads};
use super::measure::{Output, effort};

#[derive(Args)]
pub struct Arguments {
    /// Folder of the run, or one of its checkpoints
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// File of the same kind as the training file
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Number of labels for each sample
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    top: u16,
    /// Samples that are asked, spread over the file, at most
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
    /// Samples of them for which all labels are scored too, at most
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    exhaustive: u32,
    /// Times each sample is asked after once to warm up
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    repeats: u16,
    #[command(flatten)]
    output: Output,
}

pub fn run(arguments: &Arguments, level: Level, out: &mut impl Write) -> Result<(), Failure> {
    super::super::check_run("--run", &arguments.run)?;
    Threads { threads: Some(1) }.start()?;
    let questions = Questions {
        top: arguments.top.into(),
        samples: arguments.samples as usize,
        exhaustive: arguments.exhaustive as usize,
    };
    let effort = effort(arguments.repeats.into(), false, vec![level]);
    let asked = bench::ask(&arguments.run, &arguments.data, &questions, level, &effort)?;
    arguments.output.finish(&asked, table(&asked), out)
}

fn table(asked: &Asked) -> String {
    format!(
        "{} samples, {} labels, one thread, one sample at a time\n\
         {:>12.1} µs a sample (median)\n\
         {:>12.1} µs for 99 of 100\n\
         {:>12.1} µs to score all labels ({} samples)\n\
         {:>12.2} % of the best {} of all labels found\n",
        asked.samples,
        asked.labels,
        asked.microseconds,
        asked.microseconds_99,
        asked.exhaustive_microseconds,
        asked.exhaustive_samples,
        100.0 * asked.found,
        asked.top
    )
}
