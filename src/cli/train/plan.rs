//! `hotrow train xmc --dry-run`.

use std::io::Write;

use clap::Args;
use hotrow::config::Config;
use hotrow::data::{self, Samples};
use hotrow::kernels::Level;
use hotrow::machine::Limits;
use hotrow::run::environment_of;
use hotrow::train::estimate;

use super::{Failure, Xmc};

/// What the data would be, for a plan without any.
#[derive(Args)]
pub struct Sizes {
    /// For --dry-run without data: training samples
    #[arg(long, value_name = "N", requires = "dry_run", conflicts_with = "train")]
    samples: Option<usize>,
    /// For --dry-run without data: length of the feature vectors
    #[arg(long, value_name = "N", requires = "dry_run", conflicts_with = "train")]
    features: Option<usize>,
    /// For --dry-run without data: number of labels
    #[arg(long, value_name = "N", requires = "dry_run", conflicts_with = "train")]
    labels: Option<usize>,
    /// For --dry-run without data: features of a sample, on average
    #[arg(long, value_name = "X", requires = "dry_run", conflicts_with = "train", default_value_t = 50.0)]
    features_per_sample: f64,
}

/// How large a training set is.
struct Data {
    samples: usize,
    per_sample: f64,
    features: usize,
    labels: usize,
}

/// Says what a run would take.
pub fn print(arguments: &Xmc, level: Level, threads: usize, out: &mut impl Write) -> Result<(), Failure> {
    let config = super::config(arguments)?;
    let Data { samples, per_sample, features, labels } = data(arguments, &config)?;
    let config = config.resolved(samples);
    let estimate = estimate(&config, (samples, per_sample), features, labels, level, threads);
    let seconds = estimate.seconds_per_step * estimate.steps as f64;
    let (memory, limits) = (estimate.memory_bytes(), Limits::read());
    let fits = limits.can_hold(memory);
    if arguments.json {
        let object = serde_json::json!({
            "schema": 1,
            "task": "train xmc",
            "steps": estimate.steps,
            "epochs": config.train.epochs,
            "seconds": { "train": seconds },
            "samples_per_second": config.train.batch_size as f64 / estimate.seconds_per_step,
            "flops": { "executed": estimate.flops_per_step.saturating_mul(estimate.steps) },
            "bytes": estimate.bytes_per_step.saturating_mul(estimate.steps),
            "active_share": estimate.active_share,
            "union_rows": estimate.union_rows,
            "parameters": estimate.parameters,
            "peak_memory_bytes": memory,
            "memory_limit_bytes": limits.bytes(),
            "fits": fits,
            "seed": config.train.seed,
            "level": level.name(),
            "threads": threads,
        });
        return Ok(writeln!(out, "{object:#}")?);
    }
    let gib = |bytes: u64| bytes as f64 / (1_u64 << 30) as f64;
    let parts = estimate.memory().map(|(name, bytes)| format!("{name} {:.2}", gib(bytes)));
    writeln!(out, "samples     {samples:>14}   features {features}, labels {labels}")?;
    writeln!(out, "parameters  {:>14}", estimate.parameters)?;
    writeln!(out, "memory      {:>10.2} GiB   {}", gib(memory), parts.join(", "))?;
    writeln!(out, "{}", verdict(fits, &limits))?;
    writeln!(out, "active rows {:>14}   {:.3} % of the labels", estimate.union_rows, 100.0 * estimate.active_share)?;
    writeln!(
        out,
        "steps       {:>14}   {:.1} ms each, with {threads} threads",
        estimate.steps,
        1e3 * estimate.seconds_per_step
    )?;
    Ok(writeln!(out, "training    {:>10.1} min", seconds / 60.0)?)
}

/// The line that says whether a plan fits.
pub fn verdict(fits: bool, limits: &Limits) -> String {
    let has = limits.bytes().map(|bytes| format!("{:.2} GiB", bytes as f64 / (1_u64 << 30) as f64));
    match (fits, has) {
        (_, None) => "fits               unknown   the system does not say how much memory there is".to_owned(),
        (true, Some(has)) => format!("fits                   yes   this process may have {has}"),
        (false, Some(has)) => {
            format!("fits                    no   this process may have {has}: the run would be refused")
        }
    }
}

/// From flags, or from the files, which are read as the run would.
fn data(arguments: &Xmc, config: &Config) -> Result<Data, Failure> {
    let sizes = &arguments.sizes;
    if let (Some(samples), Some(features), Some(labels)) = (sizes.samples, sizes.features, sizes.labels) {
        return Ok(Data { samples, per_sample: sizes.features_per_sample, features, labels });
    }
    let inputs = match &arguments.resume {
        Some(run) => environment_of(run)?.inputs,
        None => Default::default(),
    };
    let (train, valid) =
        (arguments.train.as_ref().or(inputs.get("train")), arguments.valid.as_ref().or(inputs.get("valid")));
    let Some(train) = train else {
        let message = "--dry-run: give --train, or --samples, --features and --labels";
        return Err(Failure::Usage(message.to_owned()));
    };
    let train = match &arguments.cache {
        Some(cache) => data::open(train, valid, &config.data, cache)?,
        // Whatever is read is of no use to anyone else.
        None => data::open_unkept(train, valid, &config.data, &std::env::temp_dir())?,
    };
    let train = train.train;
    let per_sample = train.summary().feature_entries as f64 / train.len().max(1) as f64;
    Ok(Data { samples: train.len(), per_sample, features: train.features(), labels: train.labels() })
}
