//! Rows of features that hold labels: an index that follows the training data and not the weights.

mod tally;

use std::cell::Cell;
use std::cmp::Reverse;

use rayon::prelude::*;

use super::saved::Saved;
use super::{Index, Rows, Statistics};
use crate::flops::Meter;
use crate::kernels::MatRef;
use crate::ragged::{Ragged, transposed};
use crate::scratch::lend;
use crate::sparse::SparseBatch;
use crate::tensor::{Elements, Tensor};
use tally::Tally;

/// Samples that every feature is taken to have had, without any label.
const SMOOTHING: f32 = 2.0;

/// Features of a sample whose rows are read, at most: those that can add most to a score. Titles have fewer; of long texts the rest
/// are words that say little.
const FEATURES: usize = 16;

/// Features that one thread counts, and samples that it answers, at a time.
const PIECE: usize = 64;

/// Each feature holds the labels that it came with most often, and a sample's hits are the labels with the largest sums over its
/// features, `sum_f x_f c_fl ln(1 + c_fl) / (2 + c_f)`: `c_fl` training samples have feature f and label l, `c_f` have f.
///
/// It is built once of the training samples ([`learn`](Index::learn)), so it costs nothing while weights move, and its hits are the
/// same in every epoch. It names nothing for queries alone.
///
/// ```
/// use hotrow::{index::{Index, Inverted}, ragged::Ragged, sparse::SparseBatch};
/// let mut samples = SparseBatch::new(3);
/// samples.push(&[0, 1], &[1.0, 1.0])?;
/// samples.push(&[1, 2], &[1.0, 1.0])?;
/// let mut index = Inverted::new(8, 6);
/// index.learn(&samples, &Ragged::from_iter([[4], [5]]));
/// assert_eq!(index.select_by_inputs(&samples, 2).iter().collect::<Vec<_>>(), [[4, 5], [5, 4]]);
/// # Ok::<(), hotrow::kernels::IndexError>(())
/// ```
#[derive(Debug)]
pub struct Inverted {
    /// Labels that a feature holds, at most.
    most: usize,
    /// Labels there are.
    rows: usize,
    /// Of each feature, its labels, increasing.
    lists: Ragged<u32>,
    /// What each of them adds to a score for a value of 1.
    weights: Vec<f32>,
    /// The largest weight of each feature.
    largest: Vec<f32>,
    meter: Meter,
}

thread_local! {
    static TALLY: Cell<Tally> = Cell::default();
}

impl Inverted {
    /// An index over `rows` labels, of which a feature holds up to `most`. It has learnt nothing yet.
    pub fn new(most: usize, rows: usize) -> Self {
        let (lists, weights, largest, meter) = (Ragged::new(), Vec::new(), Vec::new(), Meter::default());
        Self { most, rows, lists, weights, largest, meter }
    }

    fn with(&mut self, lists: Ragged<u32>, weights: Vec<f32>) {
        let largest = |range: &[usize]| weights[range[0]..range[1]].iter().copied().fold(0.0, f32::max);
        self.largest = lists.offsets().windows(2).map(largest).collect();
        (self.lists, self.weights) = (lists, weights);
    }

    /// The `k` best labels of one sample.
    fn best(&self, (features, values): (&[u32], &[f32]), k: usize, tally: &mut Tally) -> Vec<u32> {
        let bound =
            |(&f, &value): (&u32, &f32)| (value * self.largest.get(f as usize).copied().unwrap_or(0.0), f, value);
        let mut read: Vec<(f32, u32, f32)> = features.iter().zip(values).map(bound).filter(|x| x.0 > 0.0).collect();
        if read.len() > FEATURES {
            read.select_nth_unstable_by(FEATURES, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            read.truncate(FEATURES);
        }
        // Sums are taken in one order, whatever order the selection leaves.
        read.sort_unstable_by_key(|&(_, feature, _)| feature);
        let entries = read.iter().map(|&(_, f, _)| self.lists.row(f as usize).len()).sum();
        self.meter.add(2 * entries);
        tally.begin(entries);
        for (_, f, value) in read {
            let range = self.lists.offsets()[f as usize]..self.lists.offsets()[f as usize + 1];
            let (labels, weights) = (self.lists.row(f as usize), &self.weights[range]);
            labels.iter().zip(weights).for_each(|(&label, &weight)| tally.add(label, value * weight));
        }
        tally.best(k)
    }
}

impl Index for Inverted {
    fn name(&self) -> &'static str {
        "inverted"
    }

    fn follows_weights(&self) -> bool {
        false
    }

    fn follows_data(&self) -> bool {
        true
    }

    fn select(&self, _: &Rows, queries: MatRef<f32>, _: usize, _: u64) -> Ragged<u32> {
        (0..queries.rows()).map(|_| []).collect()
    }

    fn learn(&mut self, samples: &SparseBatch, labels: &Ragged<u32>) {
        let of_samples = (0..samples.len()).map(|sample| samples.entries(sample).0);
        let postings = transposed(of_samples, samples.dim(), samples.nnz());
        let features: Vec<usize> = (0..samples.dim()).collect();
        let counted: Vec<Vec<(u32, u32)>> = features
            .par_chunks(PIECE)
            .map_init(Vec::new, |came, piece| {
                piece.iter().map(|&f| most_frequent(labels, postings.row(f), self.most, came)).collect::<Vec<_>>()
            })
            .flatten_iter()
            .collect();
        let lists = counted.iter().map(|row| row.iter().map(|entry| entry.0)).collect();
        let weights = counted.iter().zip(postings.iter()).flat_map(|(row, samples)| {
            let factor = 1.0 / (SMOOTHING + samples.len() as f32);
            row.iter().map(move |entry| gain(entry.1) * factor)
        });
        let weights = weights.collect();
        self.with(lists, weights);
    }

    fn select_by_inputs(&self, inputs: &SparseBatch, k: usize) -> Ragged<u32> {
        let samples: Vec<usize> = (0..inputs.len()).collect();
        let best = |&sample: &usize| lend(&TALLY, |tally| self.best(inputs.entries(sample), k, tally));
        let found: Vec<Vec<u32>> = samples.par_iter().with_min_len(PIECE).map(best).collect();
        found.into_iter().collect()
    }

    fn flops(&self) -> u64 {
        self.meter.total()
    }

    fn statistics(&self) -> Statistics {
        let bytes = 4 * (2 * self.weights.len() + self.largest.len()) + 8 * self.lists.offsets().len();
        Statistics { tables: 1, bytes, ..Statistics::of_buckets(self.lists.iter().map(<[u32]>::len)) }
    }

    fn state(&self) -> Vec<Tensor<'_>> {
        let tensor = |name: &str, length: usize, elements| Tensor {
            name: format!("index.{name}"),
            shape: vec![length],
            elements,
        };
        let offsets = self.lists.offsets();
        vec![
            tensor("offsets", offsets.len(), Elements::U64(bytemuck::cast_slice(offsets))),
            tensor("labels", self.weights.len(), Elements::U32(self.lists.items())),
            tensor("weights", self.weights.len(), Elements::F32(&self.weights)),
        ]
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<(), String> {
        let saved = Saved(state);
        let offsets = saved.u64s("index.offsets", None)?.iter().map(|&offset| offset as usize).collect();
        let labels = saved.u32s("index.labels", None)?.to_vec();
        let weights = saved.f32s("index.weights", labels.len())?.to_vec();
        let lists = Ragged::from_parts(offsets, labels).ok_or("index.offsets: no places in index.labels")?;
        let held = |list: &[u32]| list.len() <= self.most && list.is_sorted_by(|a, b| a < b);
        let below = lists.items().iter().all(|&label| (label as usize) < self.rows);
        if !below || !lists.iter().all(held) {
            let Inverted { most, rows, .. } = self;
            return Err(format!("index.labels: a list is not up to {most} labels that increase below {rows}"));
        }
        self.with(lists, weights);
        Ok(())
    }
}

/// `c ln(1 + c)`: what a feature and a label are worth that came together in `count` samples.
pub(crate) fn gain(count: u32) -> f32 {
    let count = f64::from(count);
    (count * count.ln_1p()) as f32
}

/// The labels that the samples `of_feature` have, with their counts: the `most` most frequent ones, increasing; `came` is scratch.
pub(crate) fn most_frequent(
    labels: &Ragged<u32>,
    of_feature: &[u32],
    most: usize,
    came: &mut Vec<u32>,
) -> Vec<(u32, u32)> {
    came.clear();
    of_feature.iter().for_each(|&sample| came.extend(labels.row(sample as usize)));
    came.sort_unstable();
    let mut row: Vec<(u32, u32)> = came.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u32)).collect();
    if row.len() > most {
        if most > 0 {
            row.select_nth_unstable_by_key(most - 1, |&(label, count)| (Reverse(count), label));
        }
        row.truncate(most);
        row.sort_unstable();
    }
    row
}

#[cfg(test)]
mod tests;
