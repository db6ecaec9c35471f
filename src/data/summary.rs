//! Counts of what a data file held, and of what was left out.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The largest id of a file, and where it first stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Largest {
    /// The id.
    pub id: u64,
    /// The line, or the row of an array, from 1.
    pub line: u64,
}

/// Counts of what was read from a data file, and of what was left out.
///
/// ```
/// let summary = hotrow::data::Summary { samples: 4, label_entries: 10, ..Default::default() };
/// assert_eq!(summary.label_entries as f64 / summary.samples as f64, 2.5); // labels a sample
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Samples kept.
    pub samples: u64,
    /// Length of the feature vectors: from the header, or one more than the largest feature seen.
    pub features: u64,
    /// Number of labels, found in the same way.
    pub labels: u64,
    /// Feature values, over all samples.
    pub feature_entries: u64,
    /// Labels, over all samples.
    pub label_entries: u64,
    /// Samples left out because they have no label.
    pub skipped: u64,
    /// Samples without a label that are kept (in files to evaluate or predict).
    pub unlabelled: u64,
    /// Samples without a feature. They are kept.
    pub empty: u64,
    /// Labels named twice by a sample. One of them is kept.
    pub duplicate_labels: u64,
    /// Labels that the training set lacks, each once a sample. They count as missed.
    pub unknown_labels: u64,
    /// Features that the training set lacks. They are left out.
    pub unknown_features: u64,
    /// Features named twice by a sample. Their values are added.
    pub duplicate_features: u64,
    /// Faulty lines that were skipped (`data.skip_bad`).
    pub bad_records: u64,
    /// The largest label of the samples kept.
    pub largest_label: Option<Largest>,
    /// The largest feature of the samples kept.
    pub largest_feature: Option<Largest>,
    /// Sentences about what looks like a mistake.
    pub notes: Vec<String>,
}

/// Keys and words of the counts, for [`Summary::left_out`] and [`Summary::left_out_line`].
const LEFT_OUT: [(&str, &str); 7] = [
    ("samples_without_labels", "samples without labels"),
    ("unseen_labels", "labels that training has not seen (they count as missed)"),
    ("features_dropped", "features that training has not seen"),
    ("duplicate_labels", "labels named twice"),
    ("duplicate_features", "features named twice (their values are added)"),
    ("empty_samples", "samples without features (kept)"),
    ("bad_records", "faulty lines"),
];

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
        self.duplicate_features += other.duplicate_features;
        self.bad_records += other.bad_records;
        self.notes.extend_from_slice(&other.notes);
        for (mine, theirs) in
            [(&mut self.largest_label, other.largest_label), (&mut self.largest_feature, other.largest_feature)]
        {
            // Of equal ones the first stays.
            if theirs.is_some_and(|theirs| mine.is_none_or(|mine| theirs.id > mine.id)) {
                *mine = theirs;
            }
        }
    }

    /// Moves the lines of the largest ids down by `lines`: they were counted from the start of a block.
    pub(crate) fn move_down(&mut self, lines: u64) {
        for place in [&mut self.largest_label, &mut self.largest_feature].into_iter().flatten() {
            place.line += lines;
        }
    }

    /// Why there are so many labels: the largest one with its line, or the file's header.
    ///
    /// ```
    /// use hotrow::{config::Data, data::read_bytes};
    /// let (_, summary) = read_bytes(&[b"0 1:1\n7 0:1\n"], &Data::default())?;
    /// assert_eq!(summary.why_labels(), "label 7 in line 2 is the largest");
    /// assert_eq!(summary.why_features(), "feature 1 in line 1 is the largest");
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn why_labels(&self) -> String {
        why("label", self.labels, self.largest_label)
    }

    /// Why the feature vectors are so long, in the same form.
    pub fn why_features(&self) -> String {
        why("feature", self.features, self.largest_feature)
    }

    /// The counts of what was left out or changed, by name. Counts of 0 are included.
    ///
    /// ```
    /// let summary = hotrow::data::Summary { skipped: 3, ..Default::default() };
    /// assert_eq!(summary.left_out()["samples_without_labels"], 3);
    /// assert_eq!(summary.left_out()["unseen_labels"], 0);
    /// ```
    pub fn left_out(&self) -> BTreeMap<&'static str, u64> {
        let counts = [
            self.skipped + self.unlabelled,
            self.unknown_labels,
            self.unknown_features,
            self.duplicate_labels,
            self.duplicate_features,
            self.empty,
            self.bad_records,
        ];
        LEFT_OUT.iter().map(|&(name, _)| name).zip(counts).collect()
    }

    /// The same as a line for people, with the notes; `None` if there is nothing to say.
    ///
    /// ```
    /// let summary = hotrow::data::Summary { skipped: 3, bad_records: 1, ..Default::default() };
    /// assert_eq!(summary.left_out_line().unwrap(), "left out: 3 samples without labels, 1 faulty lines");
    /// assert_eq!(hotrow::data::Summary::default().left_out_line(), None);
    /// ```
    pub fn left_out_line(&self) -> Option<String> {
        let counts = self.left_out();
        let parts: Vec<String> = LEFT_OUT
            .iter()
            .filter(|(name, _)| counts[name] > 0)
            .map(|(name, words)| format!("{} {words}", counts[name]))
            .collect();
        let counted = (!parts.is_empty()).then(|| format!("left out: {}", parts.join(", ")));
        let lines: Vec<String> = counted.into_iter().chain(self.notes.iter().cloned()).collect();
        (!lines.is_empty()).then(|| lines.join("; "))
    }
}

fn why(what: &str, count: u64, largest: Option<Largest>) -> String {
    match largest {
        Some(Largest { id, line }) if id + 1 == count => format!("{what} {id} in line {line} is the largest"),
        _ => format!("the file's header, its shape or data.hash_size asks for {count} {what}s"),
    }
}
