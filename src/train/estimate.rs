//! What a run will take, before it is started.

use std::time::Instant;

use serde::Serialize;

use super::sampling::active_rows;
use crate::config::{Config, IndexName, OptimizerName, Storage};
use crate::kernels::gemm::{Operand, Output, PackedPanel, Precision, gemm};
use crate::kernels::{Level, MatMut, MatRef};

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

/// Estimates a run on `samples` samples of `features_per_sample` features of `features`, with `labels` labels.
///
/// ```
/// use hotrow::{config::Config, kernels::Level};
/// let estimate = hotrow::train::estimate(&Config::default(), (1000, 20.0), 500, 50_000, Level::detect(), 1);
/// assert_eq!(estimate.parameters, 500 * 128 + 128 + 50_000 * 129);
/// ```
pub fn estimate(
    config: &Config,
    (samples, features_per_sample): (usize, f64),
    features: usize,
    labels: usize,
    level: Level,
    threads: usize,
) -> Estimate {
    let (widths, sparse) = (&config.model.hidden, &config.sparse);
    let (first, last) = (widths[0], widths[widths.len() - 1]);
    let inner: usize = widths.windows(2).map(|pair| (pair[0] + 1) * pair[1]).sum();
    let parameters = (features * first + first + inner + labels * (last + 1)) as u64;
    let stored = match config.model.storage {
        Storage::F32 => 4.0,
        Storage::Bf16 => 2.0,
        Storage::Bf16Master => 6.0,
    };
    let state = match config.optim.name {
        OptimizerName::Sgd => 0.0,
        OptimizerName::Momentum => 4.0,
        OptimizerName::RowwiseAdagrad | OptimizerName::RowwiseRmsprop => 4.0 / last as f64,
        _ if config.optim.eight_bit => 2.0 + 12.0 / last as f64,
        _ => 8.0 + 4.0 / last as f64,
    };
    let batch = config.train.batch_size.min(samples.max(1));
    let active = active_rows(sparse, labels);
    let dense = sparse.index == IndexName::All || 2 * active >= labels;
    let active = if dense { labels } else { active };
    let index_bytes = if dense { 0 } else { sparse.index_bytes(labels, last) };
    let touched = (batch as f64 * features_per_sample).min(features as f64);
    let flops = 6 * (batch * active * last) as u64
        + 6 * (batch * inner) as u64
        + (4.0 * batch as f64 * features_per_sample * first as f64) as u64;
    let moved = (active * last) as f64 + touched * first as f64;
    let bytes = (moved * (2.0 * (stored + state) + 2.0 * stored)) as u64;
    let rate = product_rate(level, Precision::F32) * threads as f64;
    let state_bytes = (parameters as f64 * (stored + state)) as u64;
    Estimate {
        parameters,
        state_bytes,
        index_bytes,
        snapshot_bytes: snapshot(state_bytes + index_bytes, config.train.snapshot_bytes),
        scratch_bytes: (4 * batch * active + 8 * active.min(16_384) * last) as u64,
        steps: samples.div_ceil(config.train.batch_size) as u64 * config.train.epochs,
        union_rows: active as u64,
        active_share: active as f64 / labels.max(1) as f64,
        flops_per_step: flops,
        bytes_per_step: bytes,
        seconds_per_step: flops as f64 / rate + bytes as f64 / (5e9 * threads as f64),
    }
}

/// Bytes of the copy of a checkpoint that holds so many.
pub(super) fn snapshot(bytes: u64, limit: u64) -> u64 {
    if bytes <= limit { bytes } else { 0 }
}

/// Operations a second of a product that fits the second-level cache, on one thread.
pub(super) fn product_rate(level: Level, precision: Precision) -> f64 {
    let (rows, cols, depth) = (128, 512, 128);
    let (a, b, mut c) = (vec![0.5; rows * depth], vec![0.5; depth * cols], vec![0.0; rows * cols]);
    let (mut left, mut right) = (PackedPanel::new(), PackedPanel::new());
    left.pack_left(level, precision, Operand::new(MatRef::new(&a, rows, depth)));
    right.pack_right(level, precision, Operand::new(MatRef::new(&b, depth, cols)));
    let (mut best, flops) = (f64::INFINITY, (2 * rows * cols * depth) as f64);
    for _ in 0..20 {
        let start = Instant::now();
        gemm(level, Output::new(MatMut::new(&mut c, rows, cols)), &left, &right);
        best = best.min(start.elapsed().as_secs_f64());
    }
    flops / best
}
