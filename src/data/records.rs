//! Samples as runs of 32-bit words, alike in memory and in the cache: the number of labels `L`, the number of features
//! `F`, the number of labels that the training set lacks, the labels (L), the indices (F), the bits of the values (F).
//! A sample lies in one place, so reading it at random touches one or two pages instead of one of each array.

use super::summary::{Largest, Summary};

/// Words before the labels.
pub(crate) const PREFIX: usize = 3;

/// One sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Record<'a> {
    pub labels: &'a [u32],
    /// The number of further distinct labels, which the training set lacks.
    pub unseen: u32,
    pub indices: &'a [u32],
    pub values: &'a [f32],
}

impl<'a> Record<'a> {
    /// The sample in `words`; `None` if its counts disagree with their length.
    pub fn new(words: &'a [u32]) -> Option<Self> {
        let (counts, rest) = words.split_at_checked(PREFIX)?;
        let (labels, features) = (counts[0] as usize, counts[1] as usize);
        if rest.len() as u64 != labels as u64 + 2 * features as u64 {
            return None;
        }
        let (labels, rest) = rest.split_at(labels);
        let (indices, values) = rest.split_at(features);
        Some(Self { labels, unseen: counts[2], indices, values: bytemuck::cast_slice(values) })
    }

    /// Whether ids increase strictly below their limits and values are finite.
    pub fn is_sound(&self, features: u64, labels: u64) -> bool {
        let below = |ids: &[u32], limit| ids.last().is_none_or(|&id| u64::from(id) < limit);
        let increase = |ids: &[u32]| ids.is_sorted_by(|a, b| a < b);
        increase(self.labels)
            && increase(self.indices)
            && below(self.labels, labels)
            && below(self.indices, features)
            && self.values.iter().all(|value| value.is_finite())
    }
}

/// Samples one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Records {
    pub words: Vec<u32>,
    /// Where each sample ends in `words`.
    pub ends: Vec<u64>,
    pub summary: Summary,
}

impl Records {
    /// Adds a sample whose ids increase strictly, with `unseen` further labels.
    pub fn push(&mut self, labels: &[u32], unseen: u32, features: &[Entry]) {
        self.words.extend([labels.len() as u32, features.len() as u32, unseen]);
        self.words.extend_from_slice(labels);
        self.words.extend(features.iter().map(|entry| entry.index));
        self.words.extend(features.iter().map(|entry| entry.value.to_bits()));
        self.ends.push(self.words.len() as u64);
        let summary = &mut self.summary;
        summary.samples += 1;
        summary.empty += u64::from(features.is_empty());
        summary.label_entries += labels.len() as u64;
        summary.feature_entries += features.len() as u64;
        summary.labels = summary.labels.max(labels.last().map_or(0, |&label| u64::from(label) + 1));
        summary.features = summary.features.max(features.last().map_or(0, |entry| u64::from(entry.index) + 1));
    }

    /// Records line `line` as the line of the samples from `first` on, if they have the largest ids.
    pub fn place(&mut self, first: usize, line: u64) {
        for at in first..self.len() {
            let sample = self.get(at);
            let last = |ids: &[u32]| ids.last().map(|&id| Largest { id: id.into(), line });
            let (largest_label, largest_feature) = (last(sample.labels), last(sample.indices));
            self.summary.add(&Summary { largest_label, largest_feature, ..Summary::default() });
        }
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Sample `at`.
    pub fn get(&self, at: usize) -> Record<'_> {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]) as usize;
        Record::new(&self.words[start..self.ends[at] as usize]).expect("written by push")
    }
}

/// A feature of a sample that is being read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Entry {
    pub index: u32,
    pub value: f32,
    /// Its position in the line, from 1.
    pub column: u32,
}

/// Working memory that lines share.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub labels: Vec<u32>,
    /// Labels that the training set lacks, if they are numbers.
    pub unknown: Vec<u64>,
    pub features: Vec<Entry>,
    pub text: String,
    pub words: Vec<std::ops::Range<usize>>,
    pub buckets: Vec<u32>,
}
