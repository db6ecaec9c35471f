//! Texts of labels, as vectors of the same features as samples.

use super::Scores;
use super::saved::{self, Saved};
use crate::ragged::Ragged;
use crate::sparse::SparseBatch;
use crate::tensor::{Elements, Tensor};

/// The labels of each feature of their texts: a label scores by how much of its text the sample has. So a label without a single training
/// sample has a score.
///
/// Texts of length 1 make that the cosine, for samples of length 1. What is known of a text may be shorter, if it has features that no
/// sample has: then a sample cannot have all of it.
///
/// ```
/// use hotrow::{parts::{Scores, TextMemory}, sparse::SparseBatch};
/// let mut texts = SparseBatch::new(3);
/// texts.push(&[0], &[1.0])?;
/// texts.push(&[0, 2], &[0.6, 0.8])?;
/// let (memory, mut scores) = (TextMemory::new(&texts), Scores::new(2));
/// memory.add_to((&[2], &[1.0]), &mut scores);
/// assert_eq!((scores.get(0), scores.get(1)), (0.0, 0.8));
/// # Ok::<(), hotrow::kernels::IndexError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TextMemory {
    /// The labels whose text has each feature, increasing.
    rows: Ragged<u32>,
    values: Vec<f32>,
}

/// The name of the texts in checkpoints.
pub(super) const TEXTS: &str = "texts";

impl TextMemory {
    /// Remembers the text of each label; a label without one has an empty vector.
    pub fn new(texts: &SparseBatch) -> Self {
        let rows = super::postings(texts);
        let (mut values, mut next) = (vec![0.0; texts.nnz()], rows.offsets().to_vec());
        for (&feature, &value) in texts.indices().iter().zip(texts.values()) {
            // Labels come in order, so each is the next of its row.
            values[next[feature as usize]] = value;
            next[feature as usize] += 1;
        }
        Self { rows, values }
    }

    /// Adds the product of `x` (ids and values) and its text to the score of each label. Gives the number of values that were read.
    ///
    /// # Panics
    ///
    /// If a feature is none, or `scores` are of fewer labels.
    #[track_caller]
    pub fn add_to(&self, x: (&[u32], &[f32]), scores: &mut Scores) -> u64 {
        let mut pairs = 0;
        for (&feature, &value) in x.0.iter().zip(x.1) {
            let range = self.rows.offsets()[feature as usize]..self.rows.offsets()[feature as usize + 1];
            pairs += range.len() as u64;
            scores.add(value, self.rows.row(feature as usize), &self.values[range]);
        }
        pairs
    }

    /// Which of so many labels have a text with a feature.
    pub(super) fn described(&self, labels: usize) -> Vec<bool> {
        let mut described = vec![false; labels];
        self.rows.items().iter().for_each(|&label| described[label as usize] = true);
        described
    }

    /// Whether a label has a text and no sample.
    pub(super) fn describes_unseen(&self, positives: &Ragged<u32>) -> bool {
        self.rows.items().iter().any(|&label| positives.row(label as usize).is_empty())
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether no text has a feature.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> u64 {
        (8 * self.values.len() + 8 * self.rows.offsets().len()) as u64
    }

    /// What a checkpoint keeps of it.
    pub fn tensors(&self) -> Vec<Tensor<'_>> {
        let [offsets, ids] = saved::rows(TEXTS, &self.rows);
        vec![offsets, ids, saved::tensor("texts.values", Elements::F32(&self.values))]
    }

    /// The memory that gave `tensors`, for so many features and labels.
    ///
    /// # Errors
    ///
    /// A message with the tensor that is missing or does not fit.
    pub fn from_tensors(tensors: &[Tensor], features: usize, labels: usize) -> Result<Self, String> {
        let saved = Saved(tensors);
        let rows = saved.rows(TEXTS, features, labels)?;
        let values = saved.f32s("texts.values", rows.items().len())?.to_vec();
        Ok(Self { rows, values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::rows::sparse_dot;
    use crate::parts::descent::Random;

    fn vectors(count: usize, seed: u64) -> SparseBatch {
        let (mut random, mut batch) = (Random(seed), SparseBatch::new(20));
        for _ in 0..count {
            let mut ids: Vec<u32> = (0..random.below(6)).map(|_| random.below(20) as u32).collect();
            ids.sort_unstable();
            ids.dedup();
            let values: Vec<f32> = ids.iter().map(|_| 1.0 + random.below(8) as f32).collect();
            batch.push(&ids, &values).unwrap();
        }
        batch
    }

    #[test]
    fn scores_are_products_with_the_texts() {
        let (texts, samples) = (vectors(40, 1), vectors(30, 2));
        let memory = TextMemory::new(&texts);
        for sample in 0..samples.len() {
            let mut scores = Scores::new(texts.len());
            let read = memory.add_to(samples.entries(sample), &mut scores);
            // Whole numbers far below 2^24: sums are exact in any order.
            let want = |label: usize| sparse_dot(texts.row(label), samples.row(sample));
            (0..texts.len()).for_each(|label| assert_eq!(scores.get(label as u32), want(label), "{sample} {label}"));
            let shared = |label: usize| {
                let ids = samples.entries(sample).0;
                texts.entries(label).0.iter().filter(|id| ids.contains(id)).count() as u64
            };
            assert_eq!(read, (0..texts.len()).map(shared).sum::<u64>());
        }
    }

    #[test]
    fn tensors_give_it_back_and_others_are_refused() {
        let memory = TextMemory::new(&vectors(40, 3));
        let tensors = memory.tensors();
        assert_eq!(TextMemory::from_tensors(&tensors, 20, 40).unwrap(), memory);
        assert!(TextMemory::from_tensors(&tensors, 20, 30).unwrap_err().contains("below 30"));
        assert!(TextMemory::from_tensors(&tensors, 21, 40).unwrap_err().contains("texts.offsets"));
        assert!(TextMemory::from_tensors(&tensors[..2], 20, 40).unwrap_err().contains("texts.values is missing"));
    }
}
