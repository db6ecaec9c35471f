//! What memory a run of memories and linear rows will take, before it is started.

use serde::Serialize;

use crate::data::{Dataset, Samples};
use crate::error::{Error, Result};
use crate::machine::Limits;

/// What memory parts are expected to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PartsEstimate {
    /// Samples twice, once by feature, and their counts.
    pub sample_bytes: u64,
    /// Lists of each feature, label and sample.
    pub list_bytes: u64,
    /// Dense sums of each thread.
    pub sum_bytes: u64,
    /// Texts of labels, by label and by feature.
    pub text_bytes: u64,
    /// A network beside the parts, with all that its training takes.
    pub network_bytes: u64,
}

impl PartsEstimate {
    /// Of so many samples of `features_per_sample` features of `features`, with `labels` labels.
    ///
    /// ```
    /// use hotrow::train::xmc::PartsEstimate;
    /// let estimate = PartsEstimate::new((60_000, 13.0), 1 << 20, 36_000, 2);
    /// assert!(estimate.memory_bytes() < 200 << 20);
    /// ```
    pub fn new((samples, features_per_sample): (usize, f64), features: usize, labels: usize, threads: usize) -> Self {
        let entries = (samples as f64 * features_per_sample).round() as u64;
        let [samples, features, labels, threads] = [samples, features, labels, threads].map(|size| size as u64);
        Self {
            sample_bytes: entries.saturating_mul(36),
            list_bytes: 24 * features + 64 * labels + 512 * samples,
            sum_bytes: (4 * (2 * features + labels + samples)).saturating_mul(threads),
            text_bytes: 0,
            network_bytes: 0,
        }
    }

    /// With texts of so many features altogether.
    #[must_use]
    pub fn with_texts(self, entries: u64) -> Self {
        Self { text_bytes: entries.saturating_mul(16), ..self }
    }

    /// With a network that takes so much.
    #[must_use]
    pub fn with_network(self, bytes: u64) -> Self {
        Self { network_bytes: bytes, ..self }
    }

    /// Where the memory goes: names and bytes.
    pub fn memory(&self) -> Vec<(&'static str, u64)> {
        let always = [("samples", self.sample_bytes), ("lists", self.list_bytes), ("sums", self.sum_bytes)];
        let further = [("texts", self.text_bytes), ("network", self.network_bytes)];
        always.into_iter().chain(further.into_iter().filter(|part| part.1 > 0)).collect()
    }

    /// All of it.
    pub fn memory_bytes(&self) -> u64 {
        self.memory().iter().fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }
}

/// An error if this machine cannot hold the parts of this training set.
pub(super) fn check_memory(train: &Dataset) -> Result<()> {
    let summary = train.summary();
    let size = (train.len(), summary.feature_entries as f64 / train.len().max(1) as f64);
    let estimate = PartsEstimate::new(size, train.features(), train.labels(), rayon::current_num_threads());
    let bytes = estimate.memory_bytes();
    let (features, labels) = (train.features(), train.labels());
    let (why, largest) = match labels > features {
        true => (summary.why_labels(), summary.largest_label),
        false => (summary.why_features(), summary.largest_feature),
    };
    Limits::read().check("data", "the run", bytes, "samples by feature").map_err(|error| {
        Error::data(train.path(), largest.map_or(0, |largest| largest.line), 0, format!("{why}: {error}"))
    })
}
