//! How often each label comes in the training set.

use std::path::Path;

use crate::config::Train;
use crate::data::{Dataset, Samples};
use crate::error::{Error, Result};
use crate::metrics::{Inverse, Propensity, count_labels};

/// The file of a checkpoint, and of the run folder, with these counts.
pub(super) const LABEL_COUNTS: &str = "label_counts.json";

/// What propensities are made of, for sets that are measured later.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct LabelCounts {
    samples: u64,
    counts: Vec<u64>,
}

impl LabelCounts {
    pub fn count(train: &Dataset) -> Self {
        let labels = (0..train.len()).flat_map(|sample| train.labels_of(sample));
        Self { samples: train.len() as u64, counts: count_labels(train.labels(), labels) }
    }

    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers are JSON")
    }

    /// What [`to_json`](Self::to_json) gave, for a network of `labels` labels; errors name `path`.
    pub fn from_json(path: &Path, bytes: &[u8], labels: usize) -> Result<Self> {
        let wrong = |error: serde_json::Error| Error::data(path, error.line() as u64, 0, error.to_string());
        let seen: Self = serde_json::from_slice(bytes).map_err(wrong)?;
        if seen.counts.len() != labels {
            let message = format!("counts {} labels, where the network has {labels}", seen.counts.len());
            return Err(Error::data(path, 0, 0, message));
        }
        Ok(seen)
    }

    /// Inverse propensities of the labels.
    pub fn inverse(&self, options: &Train) -> Inverse {
        propensity(options).inverse(self.samples, &self.counts)
    }
}

/// The model of propensities that the options ask for.
pub(super) fn propensity(options: &Train) -> Propensity {
    Propensity { a: options.propensity_a, b: options.propensity_b }
}
