//! Labels and features that have to be unknown where the mixture is fitted to samples that are held out.

use super::TextMemory;
use super::descent::Random;
use crate::ragged::Ragged;
use crate::sparse::SparseBatch;

/// Whether each label is left out of what candidates are, where `left` is how many samples of each label are not held out.
///
/// A label that only held-out samples have is known by them alone. Whoever finds its text in one of them is right nearly always, and no
/// later sample is like that. On the titles of the demo P@1 was 49.1 % by a mixture that had learned so, and 51.3 % by this one. Such
/// labels stand in for those with a text and no sample: as many are not hidden as there are of these.
pub(super) fn hidden(positives: &Ragged<u32>, left: &[u32], texts: &TextMemory, seed: u64) -> Vec<bool> {
    let described = texts.described(left.len());
    let has_sample = |label: usize| !positives.row(label).is_empty();
    let unseen = (0..left.len()).filter(|&label| described[label] && !has_sample(label)).count();
    let of_held_out = |&label: &u32| left[label as usize] == 0 && has_sample(label as usize);
    let mut order: Vec<u32> = (0..left.len() as u32).filter(of_held_out).collect();
    Random(seed ^ 0x6869_6464).shuffle(&mut order);
    let mut hidden = vec![false; left.len()];
    order.iter().skip(unseen).for_each(|&label| hidden[label as usize] = true);
    hidden
}

/// The samples `which` as if they were new, one after the other: without features that they alone make frequent enough.
///
/// Every feature that is kept has some samples, two at least. So a sample that is held out keeps a feature for which one other sample is
/// enough, and a new one does not. What is left keeps its length, as of [`Kept`](super::Kept).
pub(super) fn as_if_new(samples: &SparseBatch, held_out: &[bool], which: &[usize]) -> SparseBatch {
    let (mut all, mut left) = (vec![0_u32; samples.dim()], vec![0_u32; samples.dim()]);
    for (sample, &held_out) in held_out.iter().enumerate() {
        for &feature in samples.entries(sample).0 {
            all[feature as usize] += 1;
            left[feature as usize] += u32::from(!held_out);
        }
    }
    let least = all.iter().copied().filter(|&count| count > 0).min().unwrap_or(0);
    let (mut new, mut ids, mut values) = (SparseBatch::new(samples.dim()), Vec::new(), Vec::new());
    let square = |values: &[f32]| values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
    for &sample in which {
        let x = samples.entries(sample);
        let known = |entry: &(&u32, &f32)| left[*entry.0 as usize] >= least;
        ids.clear();
        values.clear();
        x.0.iter().zip(x.1).filter(known).for_each(|(&id, &value)| {
            ids.push(id);
            values.push(value);
        });
        let (before, after) = (square(x.1), square(&values));
        if values.len() < x.1.len() && after > 0.0 {
            let scale = (before / after).sqrt();
            values.iter_mut().for_each(|value| *value = (f64::from(*value) * scale) as f32);
        }
        new.push(&ids, &values).expect("some of the ids of a vector");
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(labels: usize, described: usize) -> TextMemory {
        let mut texts = SparseBatch::new(1);
        for label in 0..labels {
            let has = usize::from(label < described);
            texts.push(&[0][..has], &[1.0][..has]).unwrap();
        }
        TextMemory::new(&texts)
    }

    fn hidden_of(whole: &[u32], left: &[u32], described: usize) -> Vec<usize> {
        let positives: Ragged<u32> = whole.iter().map(|&count| (0..count).collect::<Vec<u32>>()).collect();
        let hidden = hidden(&positives, left, &texts(left.len(), described), 1);
        (0..left.len()).filter(|&label| hidden[label]).collect()
    }

    #[test]
    fn as_many_labels_come_down_to_none_as_there_are_texts_without_a_sample() {
        // Four of samples that are held out, three of others, three without a sample, of which some have a text.
        let (whole, left) = ([1, 1, 1, 1, 1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1, 0, 0, 0]);
        for (described, want) in [(7, 4), (8, 3), (9, 2), (10, 1)] {
            let hidden = hidden_of(&whole, &left, described);
            assert!(hidden.len() == want && hidden.iter().all(|&label| label < 4), "{hidden:?}");
        }
    }

    #[test]
    fn a_feature_that_held_out_samples_keep_is_none_of_theirs() {
        let mut samples = SparseBatch::new(3);
        for (ids, values) in
            [(&[0, 1][..], &[3.0, 4.0][..]), (&[0], &[1.0]), (&[0, 1], &[1.0, 1.0]), (&[2], &[1.0]), (&[2], &[1.0])]
        {
            samples.push(ids, values).unwrap();
        }
        let new = as_if_new(&samples, &[true, false, false, true, true], &[0, 3, 4]);
        // Feature 0 has two others, feature 1 one, feature 2 none.
        assert_eq!((new.len(), new.entries(0)), (3, (&[0][..], &[5.0][..])));
        assert!(new.entries(1).0.is_empty() && new.entries(2).0.is_empty());
    }
}
