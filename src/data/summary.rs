//! What a data file held.

use serde::{Deserialize, Serialize};

/// Counts of what was read from a data file, and of what was left out.
///
/// ```
/// let summary = hotrow::data::Summary { samples: 4, label_entries: 10, ..Default::default() };
/// assert_eq!(summary.label_entries as f64 / summary.samples as f64, 2.5); // labels a sample
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Samples that are kept.
    pub samples: u64,
    /// Length of the feature vectors: from the header, or one more than the largest feature seen.
    pub features: u64,
    /// Number of labels, in the same way.
    pub labels: u64,
    /// Feature values of all samples.
    pub feature_entries: u64,
    /// Labels of all samples.
    pub label_entries: u64,
    /// Samples left out because they have no label.
    pub skipped: u64,
    /// Samples without a label that are kept (in files to evaluate or predict).
    pub unlabelled: u64,
    /// Samples without a feature; they are kept.
    pub empty: u64,
    /// Labels named twice by a sample; one of them is kept.
    pub duplicate_labels: u64,
    /// Labels that the training set has no place for, left out.
    pub unknown_labels: u64,
    /// Features that the training set has no place for, left out.
    pub unknown_features: u64,
}

impl Summary {
    pub(crate) fn add(&mut self, other: &Summary) {
        self.samples += other.samples;
        self.features = self.features.max(other.features);
        self.labels = self.labels.max(other.labels);
        self.feature_entries += other.feature_entries;
        self.label_entries += other.label_entries;
        self.skipped += other.skipped;
        self.unlabelled += other.unlabelled;
        self.empty += other.empty;
        self.duplicate_labels += other.duplicate_labels;
        self.unknown_labels += other.unknown_labels;
        self.unknown_features += other.unknown_features;
    }
}
