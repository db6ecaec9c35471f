//! How often each label comes in the training set.

use std::path::Path;

use crate::checkpoint::disk::{System, replace_file};
use crate::data::{Dataset, Samples};
use crate::error::{Error, Result};
use crate::metrics::{Inverse, Propensity, count_labels};

/// What propensities are made of, for sets that are measured later.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Seen {
    samples: u64,
    counts: Vec<u64>,
}

impl Seen {
    const FILE: &str = "label_counts.json";

    pub fn count(train: &Dataset) -> Self {
        let labels = (0..train.len()).flat_map(|sample| train.labels_of(sample));
        Self { samples: train.len() as u64, counts: count_labels(train.labels(), labels) }
    }

    pub fn save(&self, run: &Path) -> Result<()> {
        replace_file(&System, run, Self::FILE, &serde_json::to_vec(self).expect("numbers are JSON"))
    }

    pub fn load(run: &Path) -> Result<Self> {
        let path = run.join(Self::FILE);
        let bytes = std::fs::read(&path).map_err(Error::io(&path))?;
        serde_json::from_slice(&bytes).map_err(|error| Error::data(&path, error.line() as u64, 0, error.to_string()))
    }

    /// Inverse propensities of the labels.
    pub fn inverse(&self) -> Inverse {
        Propensity::default().inverse(self.samples, &self.counts)
    }
}
