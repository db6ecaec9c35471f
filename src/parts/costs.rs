//! What parts have cost, and how much each of them counts.

use std::ops::AddAssign;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::flops::Cost;

/// What building each part has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PartCosts {
    /// Of counts.
    pub counts: Cost,
    /// Of neighbours.
    pub neighbours: Cost,
    /// Of linear rows, with the search for their negatives.
    pub linear: Cost,
    /// Of the texts of labels.
    pub texts: Cost,
    /// Of a network.
    pub network: Cost,
    /// Of the mixture: what the parts say of the samples that are held out, and the fit.
    pub mixture: Cost,
}

impl PartCosts {
    /// All of them.
    pub fn total(&self) -> Cost {
        let mut total = self.counts;
        [self.neighbours, self.linear, self.texts, self.network, self.mixture]
            .into_iter()
            .for_each(|cost| total += cost);
        total
    }
}

impl AddAssign for PartCosts {
    fn add_assign(&mut self, other: Self) {
        self.counts += other.counts;
        self.neighbours += other.neighbours;
        self.linear += other.linear;
        self.texts += other.texts;
        self.network += other.network;
        self.mixture += other.mixture;
    }
}

/// The cost of so many pairs of an id and a number that were read, each for a multiply-add.
pub(super) fn of_pairs(pairs: u64, time: Duration) -> Cost {
    Cost { flops: 2 * pairs, dense_flops: 0, bytes: 8 * pairs, seconds: time.as_secs_f64() }
}
