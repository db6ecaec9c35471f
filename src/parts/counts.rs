//! How often features and labels came together.

use std::cmp::Reverse;

use rayon::prelude::*;

use super::Scores;
use super::prune::{among_largest, retained};
use super::saved::{self, Saved};
use crate::data::Batch;
use crate::index::{gain, most_frequent};
use crate::ragged::Ragged;
use crate::tensor::{Elements, Tensor};

/// How a [`CountMemory`] is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CountOptions {
    /// Labels that a feature remembers, at most: those that it came with most often.
    pub row: usize,
    /// Samples that every feature is taken to have had, without any label.
    pub smoothing: f32,
}

impl Default for CountOptions {
    fn default() -> Self {
        Self { row: 300, smoothing: 2.0 }
    }
}

/// Rows of features that hold labels: `score(l) = sum_f x_f ln(1 + c_fl) c_fl / (s + c_f)`, with `c_fl` the number of training samples that
/// have feature f and label l, `c_f` of those that have f, and the smoothing s. Nothing is learned.
///
/// A training sample is among its own counts. [`add_to`](Self::add_to) leaves it out if it is told its labels; whatever is fitted to
/// scores of training samples wants that, or it trusts counts too much.
///
/// ```
/// use hotrow::{data::Batch, kernels::Level, parts::{CountMemory, CountOptions, Scores, postings}};
/// let mut samples = Batch::new(3);
/// for (features, labels) in [([0, 1], [4]), ([0, 2], [4]), ([1, 2], [5])] {
///     samples.features.push(&features, &[1.0, 1.0])?;
///     samples.labels.push(labels);
/// }
/// let memory = CountMemory::new(&samples, &postings(&samples.features), 6, &CountOptions::default());
/// let mut scores = Scores::new(6);
/// memory.add_to((&[0], &[1.0]), None, &mut scores);
/// assert_eq!(scores.best(Level::detect(), 5), [(4, 3_f32.ln() * 2.0 / 4.0)]);
/// # Ok::<(), hotrow::kernels::IndexError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct CountMemory {
    labels: usize,
    options: CountOptions,
    /// Samples that have each feature.
    frequencies: Vec<u32>,
    /// Of each feature, its labels, increasing.
    rows: Ragged<u32>,
    /// How often each of them came.
    counts: Vec<u32>,
    /// `c ln(1 + c)`.
    gains: Vec<f32>,
}

/// Features that one thread counts at a time.
const FEATURES: usize = 256;

impl CountMemory {
    /// Counts `samples`, whose labels are below `labels`. `postings` has the samples of each feature, as
    /// [`postings`](super::postings()) gives them. The number of threads changes nothing.
    pub fn new(samples: &Batch, postings: &Ragged<u32>, labels: usize, options: &CountOptions) -> Self {
        let features: Vec<usize> = (0..postings.len()).collect();
        let counted: Vec<Vec<Vec<(u32, u32)>>> = features
            .par_chunks(FEATURES)
            .map_init(Vec::new, |came, features| {
                features
                    .iter()
                    .map(|&feature| most_frequent(&samples.labels, postings.row(feature), options.row, came))
                    .collect()
            })
            .collect();
        let (mut rows, mut counts) = (Ragged::new(), Vec::new());
        for row in counted.iter().flatten() {
            rows.push(row.iter().map(|entry| entry.0));
            counts.extend(row.iter().map(|entry| entry.1));
        }
        let frequencies = postings.iter().map(|samples| samples.len() as u32).collect();
        Self::from_counts(labels, *options, frequencies, rows, counts)
    }

    fn from_counts(
        labels: usize,
        options: CountOptions,
        frequencies: Vec<u32>,
        rows: Ragged<u32>,
        counts: Vec<u32>,
    ) -> Self {
        let gains = counts.iter().map(|&count| gain(count)).collect();
        Self { labels, options, frequencies, rows, counts, gains }
    }

    /// Adds the scores of a sample with the features `x` (ids and values). With `left_out` it is a training sample with these labels, and
    /// the scores are those of a memory that has not seen it.
    ///
    /// # Panics
    ///
    /// If a feature is none, or `scores` are of fewer labels.
    #[track_caller]
    pub fn add_to(&self, x: (&[u32], &[f32]), left_out: Option<&[u32]>, scores: &mut Scores) {
        let own = u32::from(left_out.is_some());
        let factor = |f: usize| 1.0 / (self.options.smoothing + self.frequencies[f].saturating_sub(own) as f32);
        for (&f, &value) in x.0.iter().zip(x.1) {
            let range = self.rows.offsets()[f as usize]..self.rows.offsets()[f as usize + 1];
            scores.add(value * factor(f as usize), self.rows.row(f as usize), &self.gains[range]);
        }
        for &label in left_out.unwrap_or_default() {
            let of_feature = |(&f, &value): (&u32, &f32)| match self.count_without_one(f as usize, label) {
                0 => 0.0,
                count => value * factor(f as usize) * gain(count),
            };
            scores.set(label, x.0.iter().zip(x.1).map(of_feature).sum());
        }
    }

    /// How often `label` came with feature `f`, but for one sample. A full row may hold it because of that sample only; then 0.
    fn count_without_one(&self, f: usize, label: u32) -> u32 {
        let (labels, from) = (self.rows.row(f), self.rows.offsets()[f]);
        let Ok(at) = labels.binary_search(&label) else { return 0 };
        let (counts, count) = (&self.counts[from..from + labels.len()], self.counts[from + at] - 1);
        if labels.len() < self.options.row {
            return count;
        }
        // The last of the row, by count and then by label.
        let others = labels.iter().zip(counts).filter(|(other, _)| **other != label);
        let last = others.map(|(&label, &count)| (count, Reverse(label))).min();
        if last.is_some_and(|last| (count, Reverse(label)) < last) { 0 } else { count }
    }

    /// Forgets all pairs but `most`: those that add most to a score.
    ///
    /// ```
    /// # use hotrow::{data::Batch, kernels::Level, parts::{CountMemory, CountOptions, Scores, postings}};
    /// let mut samples = Batch::new(1);
    /// for label in [4, 4, 5] {
    ///     samples.features.push(&[0], &[1.0])?;
    ///     samples.labels.push([label]);
    /// }
    /// let mut memory = CountMemory::new(&samples, &postings(&samples.features), 6, &CountOptions::default());
    /// memory.prune(1);
    /// let mut scores = Scores::new(6);
    /// memory.add_to((&[0], &[1.0]), None, &mut scores);
    /// assert_eq!((scores.get(4) > 0.0, scores.get(5)), (true, 0.0));
    /// # Ok::<(), hotrow::kernels::IndexError>(())
    /// ```
    pub fn prune(&mut self, most: usize) {
        let of_row = |(f, range): (usize, &[usize])| {
            let factor = 1.0 / (self.options.smoothing + self.frequencies[f] as f32);
            self.gains[range[0]..range[1]].iter().map(move |gain| factor * gain)
        };
        let worth: Vec<f32> = self.rows.offsets().windows(2).enumerate().flat_map(of_row).collect();
        (self.rows, self.counts) = retained(&self.rows, &self.counts, &among_largest(&worth, most));
        self.gains = self.counts.iter().map(|&count| gain(count)).collect();
    }

    /// Number of features.
    pub fn features(&self) -> usize {
        self.rows.len()
    }

    /// Number of labels.
    pub fn labels(&self) -> usize {
        self.labels
    }

    /// Pairs of a feature and a label that it remembers.
    pub fn pairs(&self) -> usize {
        self.counts.len()
    }

    /// Pairs that [`add_to`](Self::add_to) reads for the features `ids`.
    pub fn reads(&self, ids: &[u32]) -> u64 {
        ids.iter().map(|&f| self.rows.row(f as usize).len() as u64).sum()
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> u64 {
        (4 * self.frequencies.len() + 8 * self.rows.offsets().len() + 12 * self.pairs()) as u64
    }

    /// What a checkpoint keeps of it.
    pub fn tensors(&self) -> Vec<Tensor<'_>> {
        let [offsets, labels] = saved::rows("counts", &self.rows);
        let frequencies = saved::tensor("counts.frequencies", Elements::U32(&self.frequencies));
        vec![offsets, labels, saved::tensor("counts.counts", Elements::U32(&self.counts)), frequencies]
    }

    /// The memory that gave `tensors`, for so many features and labels.
    ///
    /// # Errors
    ///
    /// A message with the tensor that is missing or does not fit.
    pub fn from_tensors(
        tensors: &[Tensor],
        features: usize,
        labels: usize,
        options: &CountOptions,
    ) -> Result<Self, String> {
        let saved = Saved(tensors);
        let rows = saved.rows("counts", features, labels)?;
        let counts = saved.u32s("counts.counts", rows.items().len())?.to_vec();
        let frequencies = saved.u32s("counts.frequencies", features)?.to_vec();
        if counts.contains(&0) {
            return Err("counts.counts: a count is 0".to_owned());
        }
        Ok(Self::from_counts(labels, *options, frequencies, rows, counts))
    }
}
