//! A linear classifier of few weights for each label.

use std::ops::Range;

use rayon::prelude::*;

use super::descent::{Known, LinearOptions, Row, Solver, squares};
use super::long_rows::LongRows;
use super::prune::{among_largest, retained, typical};
use super::saved::{self, Saved};
use super::scores::{Scores, Vector};
use crate::data::Batch;
use crate::ragged::Ragged;
use crate::tensor::{Elements, Tensor};

/// Each label has a linear classifier of its own, against the samples that it is taken for. Weights are kept by feature, as rows of
/// labels: a sample has few features, so that reads less than the weights of the labels that are asked for.
///
/// A label's weights minimise `|w|^2 / 2 + C sum max(0, 1 - y (<w, x> + b))^2` over its samples (y = 1) and its negatives (y = -1), with the
/// bias as a weight of a feature that is always 1, by dual coordinate descent with shrinking (Hsieh et al., ICML 2008). Labels do not
/// depend on each other. So the number of threads changes nothing.
///
/// ```
/// use hotrow::parts::{LinearOptions, SparseLinear};
/// use hotrow::{data::Batch, ragged::Ragged};
/// let mut samples = Batch::new(2);
/// for (feature, label) in [(0, 0), (1, 1), (0, 0)] {
///     samples.features.push(&[feature], &[1.0])?;
///     samples.labels.push([label]);
/// }
/// let (positives, negatives) = (Ragged::from_iter([vec![0, 2], vec![1]]), Ragged::from_iter([vec![1], vec![0, 2]]));
/// let mut linear = SparseLinear::new(2);
/// linear.train(&samples, &positives, &negatives, 0..2, &LinearOptions::default(), None);
/// assert!(linear.margin(0, (&[0], &[1.0])) > 0.0);
/// assert!(linear.margin(1, (&[0], &[1.0])) < 0.0);
/// # Ok::<(), hotrow::kernels::IndexError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SparseLinear {
    /// The labels that have a weight for each feature, increasing.
    rows: Ragged<u32>,
    weights: Vec<f32>,
    /// Of each label.
    biases: Vec<f32>,
    long: LongRows,
}

impl SparseLinear {
    /// No label yet, for vectors of `features` numbers.
    pub fn new(features: usize) -> Self {
        let rows = Ragged::from_parts(vec![0; features + 1], Vec::new()).expect("empty rows");
        Self { long: LongRows::new(&rows, 0), rows, weights: Vec::new(), biases: Vec::new() }
    }

    /// Trains the `labels`, which are the next that it lacks: label `l` on the samples `positives[l]` and `negatives[l]`, without those that
    /// are marked as `left_out`. A label without positives gets a margin of -1. Gives the number of weights that were read or moved.
    ///
    /// # Panics
    ///
    /// If `labels` do not begin where it ends, or a sample is none.
    #[track_caller]
    pub fn train(
        &mut self,
        samples: &Batch,
        positives: &Ragged<u32>,
        negatives: &Ragged<u32>,
        labels: Range<usize>,
        options: &LinearOptions,
        left_out: Option<&[bool]>,
    ) -> u64 {
        assert_eq!(labels.start, self.biases.len(), "labels are trained in order");
        let all: Vec<usize> = labels.collect();
        let known = Known { typical: typical(&samples.features), squares: squares(&samples.features), left_out };
        let trained: Vec<Row> = all
            .par_iter()
            .map_init(
                || Solver::new(samples, options, &known),
                |solver, &label| solver.solve(label, positives.row(label), negatives.row(label)),
            )
            .collect();
        self.append(&trained);
        trained.iter().map(|row| row.pairs).sum()
    }

    /// Leaves out all weights but `most`: those that move a margin most, with `typical` the mean size of the values of each feature.
    pub(super) fn prune(&mut self, most: usize, typical: &[f32]) {
        let of_row = |(feature, range): (usize, &[usize])| {
            self.weights[range[0]..range[1]].iter().map(move |weight| weight.abs() * typical[feature])
        };
        let worth: Vec<f32> = self.rows.offsets().windows(2).enumerate().flat_map(of_row).collect();
        (self.rows, self.weights) = retained(&self.rows, &self.weights, &among_largest(&worth, most));
        self.long = LongRows::new(&self.rows, self.biases.len());
    }

    /// Adds labels behind those that there are.
    fn append(&mut self, labels: &[Row]) {
        let (before, mut offsets) = (self.rows.offsets(), vec![0; self.rows.offsets().len()]);
        labels.iter().flat_map(|row| &row.ids).for_each(|&feature| offsets[feature as usize + 1] += 1);
        for feature in 0..self.rows.len() {
            offsets[feature + 1] += offsets[feature] + before[feature + 1] - before[feature];
        }
        let total = *offsets.last().expect("it has a first one");
        let (mut ids, mut weights, mut next) = (vec![0; total], vec![0.0; total], offsets.clone());
        for feature in 0..self.rows.len() {
            let (from, count) = (before[feature], before[feature + 1] - before[feature]);
            let to = next[feature]..next[feature] + count;
            ids[to.clone()].copy_from_slice(self.rows.row(feature));
            weights[to].copy_from_slice(&self.weights[from..from + count]);
            next[feature] += count;
        }
        for (label, row) in (self.biases.len() as u32..).zip(labels) {
            for (&feature, &weight) in row.ids.iter().zip(&row.weights) {
                let place = &mut next[feature as usize];
                (ids[*place], weights[*place]) = (label, weight);
                *place += 1;
            }
        }
        self.rows = Ragged::from_parts(offsets, ids).expect("places of a counting sort");
        self.weights = weights;
        self.biases.extend(labels.iter().map(|row| row.bias));
        self.long = LongRows::new(&self.rows, self.biases.len());
    }

    /// `<w, x> + b` of label `label`: about 1 where it is there, about -1 where it is not.
    ///
    /// # Panics
    ///
    /// If there is no such label.
    #[track_caller]
    pub fn margin(&self, label: u32, x: Vector) -> f32 {
        let product = |(&feature, value): (&u32, &f32)| match self.rows.row(feature as usize).binary_search(&label) {
            Ok(at) => value * self.weights[self.rows.offsets()[feature as usize] + at],
            Err(_) => 0.0,
        };
        x.0.iter().zip(x.1).map(product).sum::<f32>() + self.bias(label)
    }

    /// Adds `<w, x>` of every label to its sum. Gives the number of weights.
    ///
    /// # Panics
    ///
    /// If a feature is none, or `scores` are of fewer labels.
    #[track_caller]
    pub fn add_to(&self, x: Vector, scores: &mut Scores) -> u64 {
        let mut pairs = 0;
        for (&feature, &value) in x.0.iter().zip(x.1) {
            let range = self.rows.offsets()[feature as usize]..self.rows.offsets()[feature as usize + 1];
            pairs += range.len() as u64;
            scores.add(value, self.rows.row(feature as usize), &self.weights[range]);
        }
        pairs
    }

    /// The same without the long rows, which say little: many labels have some weight for a frequent feature. [`add_long`](Self::add_long)
    /// adds what they say of a few labels.
    ///
    /// # Panics
    ///
    /// As [`add_to`](Self::add_to).
    #[track_caller]
    pub(super) fn add_short_to(&self, x: Vector, scores: &mut Scores) -> u64 {
        let entries = x.0.iter().zip(x.1).filter(|(feature, _)| !self.long.is_long(**feature));
        entries.map(|(feature, value)| self.add_to((&[*feature], &[*value]), scores)).sum()
    }

    /// Adds the products of the long rows to the number beside each of `labels`. Gives the number of weights that were looked for.
    pub(super) fn add_long(&self, x: Vector, labels: &mut [(u32, f32)]) -> u64 {
        let mut pairs = 0;
        for (&feature, value) in x.0.iter().zip(x.1).filter(|(feature, _)| self.long.is_long(**feature)) {
            let range = self.rows.offsets()[feature as usize]..self.rows.offsets()[feature as usize + 1];
            let weights = &self.weights[range];
            for (label, margin) in &mut *labels {
                let (place, has) = self.long.find(feature, *label);
                // Read in any case, as nobody can tell in advance whether it has one.
                let weight = weights[place.min(weights.len() - 1)];
                *margin += if has { value * weight } else { 0.0 };
            }
            pairs += labels.len() as u64;
        }
        pairs
    }

    /// `b` of label `label`.
    ///
    /// # Panics
    ///
    /// If there is no such label.
    #[track_caller]
    pub fn bias(&self, label: u32) -> f32 {
        self.biases[label as usize]
    }

    /// Number of labels that are trained.
    pub fn labels(&self) -> usize {
        self.biases.len()
    }

    /// Number of weights.
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Whether it has no weight.
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> u64 {
        (8 * self.weights.len() + 4 * self.labels() + 8 * self.rows.offsets().len()) as u64 + self.long.bytes()
    }

    /// What a checkpoint keeps of it, under this name.
    pub fn tensors(&self, name: &str) -> Vec<Tensor<'_>> {
        let [offsets, ids] = saved::rows(name, &self.rows);
        let weights = saved::tensor(&format!("{name}.weights"), Elements::F32(&self.weights));
        vec![offsets, ids, weights, saved::tensor(&format!("{name}.biases"), Elements::F32(&self.biases))]
    }

    /// The classifiers that gave `tensors` under this name, for vectors of `features` numbers.
    ///
    /// # Errors
    ///
    /// A message with the tensor that is missing or does not fit.
    pub fn from_tensors(tensors: &[Tensor], name: &str, features: usize) -> Result<Self, String> {
        let saved = Saved(tensors);
        let biases = saved.all_f32s(&format!("{name}.biases"))?.to_vec();
        let rows = saved.rows(name, features, biases.len())?;
        let weights = saved.f32s(&format!("{name}.weights"), rows.items().len())?.to_vec();
        Ok(Self { long: LongRows::new(&rows, biases.len()), rows, weights, biases })
    }
}
