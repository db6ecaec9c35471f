//! `hotrow train xmc --dry-run`.

use std::io::Write;

use clap::Args;
use hotrow::config::Config;
use hotrow::data::{self, Datasets, Samples};
use hotrow::machine::Limits;
use hotrow::train::xmc::{self, Kind, Mixed, PartsEstimate, estimate};
use hotrow::train::{MovedInputs, Options, plan_resumed};
use hotrow_cli::Progress;

use super::{Failure, Xmc};

/// The sizes of the data, for a plan without data.
#[derive(Args)]
pub struct Sizes {
    /// For --dry-run without data: training samples
    #[arg(long, value_name = "N", requires = "dry_run", conflicts_with_all = ["train", "resume"])]
    samples: Option<usize>,
    /// For --dry-run without data: length of the feature vectors
    #[arg(long, value_name = "N", requires = "dry_run", conflicts_with_all = ["train", "resume"])]
    features: Option<usize>,
    /// For --dry-run without data: number of labels
    #[arg(long, value_name = "N", requires = "dry_run", conflicts_with_all = ["train", "resume"])]
    labels: Option<usize>,
    /// For --dry-run without data: average number of features a sample [default: 50, or all if there are fewer]
    #[arg(long, value_name = "X", requires = "dry_run", conflicts_with_all = ["train", "resume"])]
    features_per_sample: Option<f64>,
}

/// The size of a training set.
struct Data {
    samples: usize,
    per_sample: f64,
    features: usize,
    labels: usize,
    /// Features of all texts of labels.
    text_entries: u64,
}

/// Prints what a run would take.
pub fn print(arguments: &Xmc, options: &Options, out: &mut impl Write) -> Result<(), Failure> {
    match data(arguments, options)? {
        (Kind::Network(config), data) => print_network(&config, data, options, arguments.json, out),
        (Kind::Parts(Mixed(config)), data) => print_parts(&config, &data, options, arguments.json, out),
    }
}

fn print_network(
    config: &Config,
    data: Data,
    options: &Options,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let Data { samples, per_sample, features, labels, .. } = data;
    let Options { level, threads, .. } = *options;
    let config = config.resolved(samples);
    xmc::steps(&config, samples)?;
    let estimate = estimate(&config, (samples, per_sample), features, labels, level, threads);
    let seconds = estimate.seconds_per_step * estimate.steps as f64;
    let (memory, limits) = (estimate.memory_bytes(), Limits::read());
    let fits = limits.can_hold(memory);
    if json {
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
    writeln!(out, "samples     {samples:>14}   features {features}, labels {labels}")?;
    writeln!(out, "parameters  {:>14}", estimate.parameters)?;
    write_memory(memory, &estimate.memory(), out)?;
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

/// What is known before of a run of memories and linear rows: its memory.
fn print_parts(
    config: &Config,
    data: &Data,
    options: &Options,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let &Data { samples, per_sample, features, labels, text_entries } = data;
    let mut estimate = PartsEstimate::new((samples, per_sample), features, labels, options.threads);
    estimate = estimate.with_texts(text_entries);
    if config.model.has_network() {
        let (size, resolved) = ((samples, per_sample), config.resolved(samples));
        let network = xmc::estimate(&resolved, size, features, labels, options.level, options.threads);
        estimate = estimate.with_network(network.memory_bytes());
    }
    let (memory, limits) = (estimate.memory_bytes(), Limits::read());
    let fits = limits.can_hold(memory);
    if json {
        let object = serde_json::json!({
            "schema": 1,
            "task": "train xmc",
            "parts": config.model.parts,
            "peak_memory_bytes": memory,
            "memory_limit_bytes": limits.bytes(),
            "fits": fits,
            "seed": config.train.seed,
            "level": options.level.name(),
            "threads": options.threads,
        });
        return Ok(writeln!(out, "{object:#}")?);
    }
    writeln!(out, "samples     {samples:>14}   features {features}, labels {labels}")?;
    write_memory(memory, &estimate.memory(), out)?;
    Ok(writeln!(out, "{}", verdict(fits, &limits))?)
}

fn write_memory(all: u64, of_parts: &[(&str, u64)], out: &mut impl Write) -> Result<(), Failure> {
    let gib = |bytes: u64| bytes as f64 / (1_u64 << 30) as f64;
    let parts: Vec<_> = of_parts.iter().map(|(name, bytes)| format!("{name} {:.2}", gib(*bytes))).collect();
    Ok(writeln!(out, "memory      {:>10.2} GiB   {}", gib(all), parts.join(", "))?)
}

/// The line that says whether a plan fits this machine.
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

/// The configuration with its sizes: from flags, or from the files. These are read as the run would, and compared if it
/// is resumed.
fn data(arguments: &Xmc, options: &Options) -> Result<(Kind, Data), Failure> {
    let sizes = &arguments.sizes;
    if let Some(run) = &arguments.resume {
        let moved = MovedInputs { train: arguments.train.clone(), valid: arguments.valid.clone() };
        let (sets, observer) = (&super::sets(arguments), &mut Progress::stderr());
        // Whoever resumes looks at the folder first, and tells what cannot be read.
        return Ok(match super::kind(arguments) {
            Ok(Kind::Parts(_)) => {
                let (config, data) = plan_resumed::<Mixed>(run, &moved, sets, options, observer)?;
                (Kind::Parts(config), Data::of(&data))
            }
            _ => {
                let (config, data) = plan_resumed::<Config>(run, &moved, sets, options, observer)?;
                (Kind::Network(config), Data::of(&data))
            }
        });
    }
    let kind = super::kind(arguments)?;
    let config = kind.config();
    if let (Some(samples), Some(features), Some(labels)) = (sizes.samples, sizes.features, sizes.labels) {
        for (flag, size) in [("--samples", samples), ("--features", features), ("--labels", labels)] {
            if !(1..=u32::MAX as usize).contains(&size) {
                return Err(Failure::Usage(format!("{flag}: {size} is not in 1..={}", u32::MAX)));
            }
        }
        let per_sample = sizes.features_per_sample.unwrap_or(f64::min(50.0, features as f64));
        if !(0.0..=features as f64).contains(&per_sample) {
            return Err(Failure::Usage(format!("--features-per-sample: {per_sample} is not in 0..={features}")));
        }
        return Ok((kind, Data { samples, per_sample, features, labels, text_entries: 0 }));
    }
    let Some(train) = &arguments.train else {
        let message = "--dry-run: give --train, or --samples, --features and --labels";
        return Err(Failure::Usage(message.to_owned()));
    };
    let data = match &arguments.cache {
        Some(cache) => data::open(train, arguments.valid.as_ref(), &config.data, cache)?,
        // What is read is of no use to anyone else.
        None => data::open_unkept(train, arguments.valid.as_ref(), &config.data, &std::env::temp_dir())?,
    };
    if let Kind::Parts(parts) = &kind {
        parts.check_data(&data)?;
    }
    Ok((kind, Data::of(&data)))
}

impl Data {
    fn of(data: &Datasets) -> Self {
        let train = &data.train;
        let per_sample = train.summary().feature_entries as f64 / train.len().max(1) as f64;
        let text_entries = data.label_texts.as_ref().map_or(0, |texts| texts.features().nnz() as u64);
        Self { samples: train.len(), per_sample, features: train.features(), labels: train.labels(), text_entries }
    }
}
