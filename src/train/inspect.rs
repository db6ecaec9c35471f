//! How good the active sets are: a look at some samples with all rows computed.

use std::ops::Range;

use serde::Serialize;

use crate::active::{ActiveSet, Sources};
use crate::index::Statistics;
use crate::kernels::Level;
use crate::kernels::reduce::{log_sum_exp, top_k};

/// Samples that are looked at: all rows of each are computed.
pub(super) const SAMPLES: usize = 32;

/// The true best rows that are looked for in the active set.
const BEST: usize = 10;

/// The quality of the active sets at one step, as means over the samples that were looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Health {
    /// Steps done.
    #[serde(skip)]
    pub step: u64,
    /// Share of the ten rows with the largest scores that are active.
    #[serde(rename = "recall@10")]
    pub recall: f64,
    /// Share of the softmax's mass that is on active rows.
    pub captured_mass: f64,
    /// Sampled minus exact logarithm of the partition function, in nats.
    pub log_z_drift: f64,
    /// Rows that are active for any sample of the batch.
    pub union_rows: usize,
    /// Share of the active rows that are labels.
    pub share_labels: f64,
    /// Share that the index named.
    pub share_index: f64,
    /// Share that is random.
    pub share_tail: f64,
    /// Mean number of rows in a bucket of the index that holds any.
    pub occupancy_mean: f64,
    /// Rows in its largest bucket.
    pub occupancy_largest: usize,
    /// What else the index says of itself.
    pub index: Statistics,
}

impl Health {
    /// Of logits (samples, rows), all of each sample, and the set of each range of samples.
    ///
    /// # Panics
    ///
    /// If a sample has no set.
    pub(super) fn of(
        (step, index): (u64, Statistics),
        level: Level,
        (logits, rows): (&[f32], usize),
        sets: &[(Range<usize>, ActiveSet)],
    ) -> Self {
        let (occupancy_mean, occupancy_largest) = (index.mean_occupancy, index.largest_bucket);
        let mut health = Health { step, occupancy_mean, occupancy_largest, index, ..Health::default() };
        let (mut best, mut values) = (vec![0; BEST.min(rows)], vec![0.0; BEST.min(rows)]);
        for (sample, z) in logits.chunks(rows).enumerate() {
            let (_, set) = sets.iter().find(|(range, _)| range.contains(&sample)).expect("a set for each sample");
            let found = top_k(level, z, &mut best, &mut values);
            let active = best[..found].iter().filter(|&&row| set.rows().position(row).is_some()).count();
            health.recall += active as f64 / found as f64;
            let exact = log_sum_exp(level, z, None) as f64;
            let some: Vec<f32> = set.listed().iter().map(|&row| z[row as usize]).collect();
            health.captured_mass += (log_sum_exp(level, &some, None) as f64 - exact).exp();
            health.log_z_drift += log_sum_exp(level, &some, set.log_weights()) as f64 - exact;
        }
        for mean in [&mut health.recall, &mut health.captured_mass, &mut health.log_z_drift] {
            *mean /= (logits.len() / rows) as f64;
        }
        let mut union: Vec<u32> = sets.iter().flat_map(|(_, set)| set.listed().iter().copied()).collect();
        union.sort_unstable();
        union.dedup();
        health.union_rows = union.len();
        let sum = |of: fn(&Sources) -> usize| sets.iter().map(|(_, set)| of(&set.sources)).sum::<usize>();
        let (labels, hits, tail) = (sum(|s| s.labels), sum(|s| s.hits), sum(|s| s.tail));
        let total = (labels + hits + tail).max(1) as f64;
        health.share_labels = labels as f64 / total;
        health.share_index = hits as f64 / total;
        health.share_tail = tail as f64 / total;
        health
    }
}
