//! The features that are worth remembering.

use super::saved::{self, Saved};
use crate::sparse::SparseBatch;
use crate::tensor::{Elements, Tensor};

/// Features that at least so many training samples have, under new numbers without gaps. Of hashed text that is a tenth of all: most
/// words and pairs of words come once, and most buckets are empty.
///
/// What is left of a vector keeps its length: a rare word does not make the others count less.
///
/// ```
/// use hotrow::{parts::Kept, sparse::SparseBatch};
/// let mut samples = SparseBatch::new(10);
/// samples.push(&[2, 7], &[0.6, 0.8])?;
/// samples.push(&[7, 9], &[0.8, 0.6])?;
/// let kept = Kept::new(&samples, 2);
/// let samples = kept.apply(&samples);
/// assert_eq!((samples.dim(), samples.entries(0)), (1, (&[0][..], &[1.0][..])));
/// # Ok::<(), hotrow::kernels::IndexError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The old numbers, increasing.
    ids: Vec<u32>,
    /// One more than the new number of each old one, 0 for those that are not kept.
    places: Vec<u32>,
}

impl Kept {
    /// The features that at least `least` of `samples` have.
    pub fn new(samples: &SparseBatch, least: usize) -> Self {
        let mut frequencies = vec![0_u32; samples.dim()];
        samples.indices().iter().for_each(|&feature| frequencies[feature as usize] += 1);
        let kept = (0..samples.dim() as u32).filter(|&feature| frequencies[feature as usize] as usize >= least);
        Self::of(kept.collect(), samples.dim())
    }

    fn of(ids: Vec<u32>, features: usize) -> Self {
        let mut places = vec![0; features];
        (1..).zip(&ids).for_each(|(place, &id)| places[id as usize] = place);
        Self { ids, places }
    }

    /// Number of features that are kept.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Number of features there were.
    pub fn features(&self) -> usize {
        self.places.len()
    }

    /// What is left of `samples`.
    ///
    /// # Panics
    ///
    /// If they are of another length.
    #[track_caller]
    pub fn apply(&self, samples: &SparseBatch) -> SparseBatch {
        self.select(samples, true)
    }

    /// The same as it is, so vectors become shorter.
    ///
    /// # Panics
    ///
    /// As [`apply`](Self::apply).
    #[track_caller]
    pub fn part_of(&self, samples: &SparseBatch) -> SparseBatch {
        self.select(samples, false)
    }

    #[track_caller]
    fn select(&self, samples: &SparseBatch, keep_length: bool) -> SparseBatch {
        assert_eq!(samples.dim(), self.features(), "the vectors are of another length");
        let (mut left, mut ids, mut values) = (SparseBatch::new(self.len()), Vec::new(), Vec::new());
        for sample in 0..samples.len() {
            let (all_ids, all_values) = samples.entries(sample);
            ids.clear();
            values.clear();
            for (&id, &value) in all_ids.iter().zip(all_values) {
                if let Some(place) = self.places[id as usize].checked_sub(1) {
                    ids.push(place);
                    values.push(value);
                }
            }
            let square = |values: &[f32]| values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
            let (before, after) = (square(all_values), square(&values));
            if keep_length && values.len() < all_values.len() && after > 0.0 {
                let scale = (before / after).sqrt();
                values.iter_mut().for_each(|value| *value = (f64::from(*value) * scale) as f32);
            }
            left.push(&ids, &values).expect("new numbers increase as the old ones do");
        }
        left
    }

    /// What a checkpoint keeps of it.
    pub fn tensor(&self) -> Tensor<'_> {
        saved::tensor("features.kept", Elements::U32(&self.ids))
    }

    /// What gave the tensor among `tensors`, of so many features.
    ///
    /// # Errors
    ///
    /// A message if it is missing or does not fit.
    pub fn from_tensors(tensors: &[Tensor], features: usize) -> Result<Self, String> {
        let ids = Saved(tensors).all_u32s("features.kept")?;
        match ids.is_sorted_by(|a, b| a < b) && ids.last().is_none_or(|&id| (id as usize) < features) {
            true => Ok(Self::of(ids.to_vec(), features)),
            false => Err(format!("features.kept: does not increase below {features}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_features_go_lengths_stay_and_tensors_give_it_back() {
        let mut samples = SparseBatch::new(6);
        for (ids, values) in
            [(&[0, 2, 5][..], &[1.0, -2.0, 3.0][..]), (&[2, 5], &[1.0, 1.0]), (&[4], &[7.0]), (&[], &[])]
        {
            samples.push(ids, values).unwrap();
        }
        let kept = Kept::new(&samples, 2);
        assert_eq!((kept.len(), kept.features()), (2, 6));
        let left = kept.apply(&samples);
        let scale = (14.0_f64 / 13.0).sqrt();
        assert_eq!(left.entries(0), (&[0, 1][..], &[(-2.0 * scale) as f32, (3.0 * scale) as f32][..]));
        assert_eq!(left.entries(1), samples_of(&[0, 1], &[1.0, 1.0]));
        assert_eq!((left.entries(2).0.len(), left.entries(3).0.len()), (0, 0));
        assert_eq!(kept.part_of(&samples).entries(0), samples_of(&[0, 1], &[-2.0, 3.0]));
        assert_eq!(Kept::from_tensors(&[kept.tensor()], 6).unwrap(), kept);
        assert!(Kept::from_tensors(&[kept.tensor()], 5).unwrap_err().contains("below 5"));
        assert!(Kept::from_tensors(&[], 6).unwrap_err().contains("features.kept is missing"));
    }

    fn samples_of<'a>(ids: &'a [u32], values: &'a [f32]) -> (&'a [u32], &'a [f32]) {
        (ids, values)
    }
}
