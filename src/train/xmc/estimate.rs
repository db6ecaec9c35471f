//! What a run will take, before it is started.

use serde::Serialize;

use super::sampling::active_rows;
use crate::config::{Config, IndexName, Sparse, Storage};
use crate::data::{Dataset, Samples};
use crate::error::{Error, Result};
use crate::kernels::Level;
use crate::kernels::gemm::Precision;
use crate::machine::Limits;
use crate::model::Mlp;
use crate::module::Module;
use crate::optim::Scope;
use crate::train::rate::{product_rate, snapshot};

/// What a run is expected to take.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Numbers that are trained.
    pub parameters: u64,
    /// Weights and optimiser state.
    pub state_bytes: u64,
    /// The index of the output layer.
    pub index_bytes: u64,
    /// Logits and packed rows of one step.
    pub scratch_bytes: u64,
    /// The copy of weights, state and index that a checkpoint is written from while training goes on; 0 if that would be above
    /// `train.snapshot_bytes`.
    pub snapshot_bytes: u64,
    /// The program, and how often each label came.
    pub program_bytes: u64,
    /// Steps of the run.
    pub steps: u64,
    /// Rows of the output layer that a step computes.
    pub union_rows: u64,
    /// The same as a share of all.
    pub active_share: f64,
    /// Floating-point operations of a step.
    pub flops_per_step: u64,
    /// Bytes of weights and state that a step moves.
    pub bytes_per_step: u64,
    /// Time of a step: operations at the rate of a product measured just now, and bytes at 5 GB/s a thread.
    pub seconds_per_step: f64,
}

impl Estimate {
    /// Where the memory goes: names and bytes.
    pub fn memory(&self) -> [(&'static str, u64); 5] {
        [
            ("weights and optimiser", self.state_bytes),
            ("index", self.index_bytes),
            ("step", self.scratch_bytes),
            ("copy for a checkpoint", self.snapshot_bytes),
            ("program and label counts", self.program_bytes),
        ]
    }

    /// All of it.
    pub fn memory_bytes(&self) -> u64 {
        self.memory().iter().fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }
}

/// What a process takes without a network.
const PROGRAM: u64 = 24 << 20;

/// Numbers that are trained, and bytes of them with their optimiser state; the largest numbers if no machine could have so many.
fn sizes(config: &Config, features: usize, labels: usize) -> (u64, u64) {
    let scope = Scope::plan(&config.optim, config.train.seed, Level::PORTABLE);
    match Mlp::new(&scope, &config.model, features, labels) {
        Ok(network) => {
            (network.parameter_count(), network.parameters().iter().map(|parameter| parameter.bytes()).sum())
        }
        Err(_) => (u64::MAX, u64::MAX),
    }
}

/// A width below which a network is of no use: what does not fit with it has too many rows, not too wide ones.
const NARROW: usize = 16;

/// An error if this machine cannot hold a run with this configuration on this training set: [`Error::Data`] if no narrower
/// network would help, because an id or a header asks for too many rows.
pub(super) fn check(config: &Config, train: &Dataset) -> Result<()> {
    let (summary, samples, limits) = (train.summary(), train.len(), Limits::read());
    let size = (samples, summary.feature_entries as f64 / samples.max(1) as f64);
    let fits = |config: &Config| check_plan(&limits, "the run", &plan(config, size, train.features(), train.labels()));
    fits(config).map_err(|error| {
        let by_labels = train.labels() > train.features();
        let (why, largest) = match by_labels {
            true => (summary.why_labels(), summary.largest_label),
            false => (summary.why_features(), summary.largest_feature),
        };
        let mut narrow = config.clone();
        narrow.model.hidden = vec![NARROW];
        match error {
            Error::Config { key, message } if fits(&narrow).is_ok() => Error::config(key, format!("{message}; {why}")),
            error => Error::data(train.path(), largest.map_or(0, |largest| largest.line), 0, format!("{why}: {error}")),
        }
    })
}

/// The same for the network of a checkpoint alone.
pub(super) fn check_network(config: &Config, features: usize, labels: usize) -> Result<()> {
    let config = Config {
        train: crate::config::Train { batch_size: 1, snapshot_bytes: 0, ..config.train.clone() },
        ..config.clone()
    };
    check_plan(&Limits::read(), "the network", &plan(&config, (1, 1.0), features, labels))
}

fn check_plan(limits: &Limits, what: &str, plan: &Estimate) -> Result<()> {
    let memory = plan.memory();
    let largest = memory.iter().max_by_key(|(_, bytes)| bytes).expect("there are parts");
    let key = if largest.0 == "step" { "train.batch_size" } else { "model.hidden" };
    limits.check(key, what, plan.memory_bytes(), largest.0)
}

/// Estimates a run on `samples` samples of `features_per_sample` features of `features`, with `labels` labels.
///
/// ```
/// use hotrow::{config::Config, kernels::Level};
/// let estimate = hotrow::train::xmc::estimate(&Config::default(), (1000, 20.0), 500, 50_000, Level::detect(), 1);
/// assert_eq!(estimate.parameters, 500 * 128 + 128 + 50_000 * 129);
/// ```
pub fn estimate(
    config: &Config,
    samples: (usize, f64),
    features: usize,
    labels: usize,
    level: Level,
    threads: usize,
) -> Estimate {
    let plan = plan(config, samples, features, labels);
    let rate = product_rate(level, Precision::F32) * threads as f64;
    let seconds_per_step = plan.flops_per_step as f64 / rate + plan.bytes_per_step as f64 / (5e9 * threads as f64);
    Estimate { seconds_per_step, ..plan }
}

/// The same without the time that it takes.
fn plan(config: &Config, (samples, features_per_sample): (usize, f64), features: usize, labels: usize) -> Estimate {
    let config = &config.resolved(samples);
    let (widths, sparse) = (&config.model.hidden, &config.sparse);
    let (first, last) = (widths[0], widths[widths.len() - 1]);
    let inner: usize = widths.windows(2).map(|pair| (pair[0] + 1).saturating_mul(pair[1])).sum();
    let (parameters, state_bytes) = sizes(config, features, labels);
    let batch = config.train.batch_size.min(samples.max(1));
    let active = active_rows(sparse, labels);
    let dense = sparse.index == IndexName::All || 2 * active >= labels;
    let active = if dense { labels } else { active };
    let (index_bytes, learnt_bytes) = match sparse.index {
        _ if dense => (0, 0),
        IndexName::Inverted => inverted_bytes(sparse, (samples, features_per_sample), features),
        _ => (sparse.options().bytes(labels, last), 0),
    };
    let touched = (batch as f64 * features_per_sample).min(features as f64);
    let dense_products = 6.0 * batch as f64 * (active as f64 * last as f64 + inner as f64);
    let moved = active as f64 * last as f64 + touched * first as f64;
    let stored = state_bytes as f64 / parameters as f64 + if config.model.storage == Storage::F32 { 4.0 } else { 2.0 };
    Estimate {
        parameters,
        state_bytes,
        index_bytes: index_bytes.saturating_add(learnt_bytes),
        snapshot_bytes: snapshot(state_bytes.saturating_add(index_bytes), config.train.snapshot_bytes),
        scratch_bytes: (4.0 * batch as f64 * (active as f64 + 4.0 * widths.iter().sum::<usize>() as f64)
            + 8.0 * active.min(16_384) as f64 * last as f64) as u64,
        program_bytes: PROGRAM + 16 * labels as u64,
        steps: (samples.div_ceil(config.train.batch_size) as u64).saturating_mul(config.train.epochs),
        union_rows: active as u64,
        active_share: active as f64 / labels.max(1) as f64,
        flops_per_step: (dense_products + 4.0 * batch as f64 * features_per_sample * first as f64) as u64,
        bytes_per_step: (moved * 2.0 * stored) as u64,
        seconds_per_step: 0.0,
    }
}

/// Bytes of the lists of an inverted index, which a checkpoint has too, and of what a run keeps or needs beside them: hits of all samples,
/// and once, while it learns, the samples in memory and by feature.
fn inverted_bytes(sparse: &Sparse, (samples, features_per_sample): (usize, f64), features: usize) -> (u64, u64) {
    let most = (features as u64).saturating_mul(sparse.block as u64);
    let hits = (samples as u64).saturating_mul(4 * sparse.hits as u64 + 8);
    let learning = (12.0 * samples as f64 * features_per_sample) as u64;
    (most.saturating_mul(8).saturating_add(12 * features as u64), hits.saturating_add(learning))
}
