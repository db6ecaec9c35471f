//! `hotrow make-data xmc`: planted data sets.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use hotrow::data::planted::{Options, PRESETS, Planted};
use indicatif::ProgressBar;

use super::{Failure, Threads};

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// A learnable data set with the size and shape of a public one: train.txt and valid.txt in XC text
    Xmc(Xmc),
}

#[derive(Args)]
struct Xmc {
    /// Data set whose sizes it takes
    #[arg(long, value_name = "NAME", value_parser = PRESETS.to_vec())]
    preset: String,
    /// Folder for the files, made if needed
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replaces an existing train.txt and valid.txt
    #[arg(long)]
    force: bool,
    /// Number of features
    #[arg(long, value_name = "N")]
    features: Option<usize>,
    /// Number of labels
    #[arg(long, value_name = "N")]
    labels: Option<usize>,
    /// Training samples
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Validation samples
    #[arg(long, value_name = "N")]
    valid_samples: Option<usize>,
    /// Features a sample, on average
    #[arg(long, value_name = "X")]
    features_per_sample: Option<f64>,
    /// Labels a sample, on average
    #[arg(long, value_name = "X")]
    labels_per_sample: Option<f64>,
    /// Seed of everything random
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    #[command(flatten)]
    threads: Threads,
}

pub fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Failure> {
    let Task::Xmc(arguments) = &arguments.task;
    arguments.threads.start()?;
    let preset = Options::preset(&arguments.preset)?;
    let options = Options {
        features: arguments.features.unwrap_or(preset.features),
        labels: arguments.labels.unwrap_or(preset.labels),
        train: arguments.samples.unwrap_or(preset.train),
        valid: arguments.valid_samples.unwrap_or(preset.valid),
        features_per_sample: arguments.features_per_sample.unwrap_or(preset.features_per_sample),
        labels_per_sample: arguments.labels_per_sample.unwrap_or(preset.labels_per_sample),
        seed: arguments.seed.unwrap_or(preset.seed),
    };
    let planted = Planted::new(options)?;
    let total = (planted.options().train + planted.options().valid) as u64;
    // Draws nothing if standard error is no terminal.
    let bar = ProgressBar::new(total);
    let mut progress = |done, _| bar.set_position(done);
    let written = match arguments.force {
        true => planted.write(&arguments.out, &mut progress),
        false => planted.write_new(&arguments.out, &mut progress),
    };
    bar.finish_and_clear();
    written?;
    for name in ["train.txt", "valid.txt"] {
        writeln!(out, "{}", arguments.out.join(name).display())?;
    }
    Ok(())
}
