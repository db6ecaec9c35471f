//! The sizes of planted data sets.

use crate::error::{Error, Result};

/// The names that [`Options::preset`] knows.
pub const PRESETS: [&str; 3] = ["amazon-670k", "delicious-200k", "small"];

/// The size of a planted data set. Equal options make equal samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Number of features; at least 100.
    pub features: usize,
    /// Number of labels; at least 100, and at least twenty times `labels_per_sample`.
    pub labels: usize,
    /// Samples to train on.
    pub train: usize,
    /// Samples to validate on.
    pub valid: usize,
    /// Mean number of features of a sample; at least 1, and at most an eighth of all.
    pub features_per_sample: f64,
    /// Mean number of labels of a sample; at least 1.
    pub labels_per_sample: f64,
    /// The seed of every draw.
    pub seed: u64,
}

impl Options {
    /// The sizes of a public data set, or `small` for trying things out.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the name is not one of [`PRESETS`].
    ///
    /// ```
    /// use hotrow::data::planted::Options;
    /// assert_eq!(Options::preset("amazon-670k").unwrap().labels, 670_091);
    /// let error = Options::preset("amazon").unwrap_err();
    /// assert_eq!(error.to_string(), "preset: amazon is none of amazon-670k, delicious-200k, small");
    /// ```
    pub fn preset(name: &str) -> Result<Self> {
        let make = |features, labels, train, valid, features_per_sample, labels_per_sample| Self {
            features,
            labels,
            train,
            valid,
            features_per_sample,
            labels_per_sample,
            seed: 1,
        };
        match name {
            "amazon-670k" => Ok(make(135_909, 670_091, 490_449, 153_025, 75.0, 5.45)),
            "delicious-200k" => Ok(make(782_585, 205_443, 196_606, 100_095, 301.0, 75.5)),
            "small" => Ok(make(2_000, 1_000, 5_000, 1_000, 30.0, 4.0)),
            _ => Err(Error::config("preset", format!("{name} is none of {}", PRESETS.join(", ")))),
        }
    }

    /// The same set at `share` of its size: fewer features, labels and samples, but as many of them a sample.
    ///
    /// ```
    /// use hotrow::data::planted::Options;
    /// let tenth = Options::preset("amazon-670k").unwrap().scaled(0.1);
    /// assert_eq!((tenth.labels, tenth.labels_per_sample), (67_009, 5.45));
    /// ```
    #[must_use]
    pub fn scaled(self, share: f64) -> Self {
        let scale = |n: usize| (n as f64 * share).round() as usize;
        Self {
            features: scale(self.features),
            labels: scale(self.labels),
            train: scale(self.train),
            valid: scale(self.valid),
            ..self
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let Self { features, labels, train, valid, features_per_sample, labels_per_sample, .. } = *self;
        let refuse = |key: &str, value: &dyn std::fmt::Display, limit: &str| {
            Err(Error::config(key, format!("{value} is not {limit}")))
        };
        if !(100..=u32::MAX as usize).contains(&features) {
            return refuse("features", &features, "between 100 and 2^32 - 1");
        }
        if !(100..=u32::MAX as usize).contains(&labels) {
            return refuse("labels", &labels, "between 100 and 2^32 - 1");
        }
        if !(1.0..=features as f64 / 8.0).contains(&features_per_sample) {
            return refuse("features-per-sample", &features_per_sample, "between 1 and an eighth of the features");
        }
        if !(1.0..=labels as f64 / 20.0).contains(&labels_per_sample) {
            return refuse("labels-per-sample", &labels_per_sample, "between 1 and a twentieth of the labels");
        }
        match (train, valid) {
            (0, _) => refuse("train", &train, "1 or more"),
            (_, 0) => refuse("valid", &valid, "1 or more"),
            _ => Ok(()),
        }
    }
}
