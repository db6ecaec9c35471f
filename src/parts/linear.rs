//! A linear classifier of few weights for each label.

use std::ops::Range;

use rayon::prelude::*;

use super::Scores;
use super::saved::{self, Saved};
use crate::data::Batch;
use crate::ragged::Ragged;
use crate::tensor::{Elements, Tensor};

/// How a [`SparseLinear`] is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinearOptions {
    /// What an error costs, beside half the squared length of the weights: C.
    pub cost: f32,
    /// Passes over the samples of a label, at most.
    pub passes: usize,
    /// A label is done once no sample violates its condition by more than this share of the largest violation of the first pass.
    pub tolerance: f32,
    /// Weights of at most this size are left out.
    pub cut: f32,
    /// What the order of samples follows from.
    pub seed: u64,
}

impl Default for LinearOptions {
    fn default() -> Self {
        Self { cost: 0.5, passes: 10, tolerance: 0.1, cut: 0.05, seed: 1 }
    }
}

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
}

/// Labels that one thread trains at a time.
const LABELS: usize = 16;

impl SparseLinear {
    /// No label yet, for vectors of `features` numbers.
    pub fn new(features: usize) -> Self {
        let rows = Ragged::from_parts(vec![0; features + 1], Vec::new()).expect("empty rows");
        Self { rows, weights: Vec::new(), biases: Vec::new() }
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
        let trained: Vec<Vec<Row>> = all
            .par_chunks(LABELS)
            .map_init(
                || Solver::new(samples, options, left_out),
                |solver, labels| {
                    let train = |&label: &usize| solver.solve(label, positives.row(label), negatives.row(label));
                    labels.iter().map(train).collect()
                },
            )
            .collect();
        let trained: Vec<Row> = trained.into_iter().flatten().collect();
        self.append(&trained);
        trained.iter().map(|row| row.pairs).sum()
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
    }

    /// `<w, x> + b` of label `label`: about 1 where it is there, about -1 where it is not.
    ///
    /// # Panics
    ///
    /// If there is no such label.
    #[track_caller]
    pub fn margin(&self, label: u32, x: (&[u32], &[f32])) -> f32 {
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
    pub fn add_to(&self, x: (&[u32], &[f32]), scores: &mut Scores) -> u64 {
        let mut pairs = 0;
        for (&feature, &value) in x.0.iter().zip(x.1) {
            let range = self.rows.offsets()[feature as usize]..self.rows.offsets()[feature as usize + 1];
            pairs += range.len() as u64;
            scores.add(value, self.rows.row(feature as usize), &self.weights[range]);
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
        (8 * self.weights.len() + 4 * self.labels() + 8 * self.rows.offsets().len()) as u64
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
        Ok(Self { rows, weights, biases })
    }
}

/// What is left of a label's weights.
struct Row {
    ids: Vec<u32>,
    weights: Vec<f32>,
    bias: f32,
    /// Weights that were read or moved.
    pairs: u64,
}

/// One label after the other, by one thread.
struct Solver<'a> {
    samples: &'a Batch,
    options: &'a LinearOptions,
    left_out: Option<&'a [bool]>,
    /// Of all features, 0 between labels.
    weights: Vec<f32>,
    /// Features with a weight that was not 0 at some time, maybe twice.
    touched: Vec<u32>,
    /// Of one label: its samples, their multipliers, and the order in which they are visited.
    ids: Vec<u32>,
    duals: Vec<f32>,
    squares: Vec<f32>,
    order: Vec<u32>,
    /// Weights that were read or moved.
    pairs: u64,
}

impl<'a> Solver<'a> {
    fn new(samples: &'a Batch, options: &'a LinearOptions, left_out: Option<&'a [bool]>) -> Self {
        let weights = vec![0.0; samples.features.dim()];
        let (touched, ids, duals, squares, order) = Default::default();
        Self { samples, options, left_out, weights, touched, ids, duals, squares, order, pairs: 0 }
    }

    fn solve(&mut self, label: usize, positives: &[u32], negatives: &[u32]) -> Row {
        let left_out = self.left_out;
        let stays = |sample: &&u32| !left_out.is_some_and(|left_out| left_out[**sample as usize]);
        self.ids.clear();
        self.ids.extend(positives.iter().filter(stays));
        let positives = self.ids.len();
        if positives == 0 {
            return Row { ids: Vec::new(), weights: Vec::new(), bias: -1.0, pairs: 0 };
        }
        self.ids.extend(negatives.iter().filter(stays));
        self.duals.clear();
        self.duals.resize(self.ids.len(), 0.0);
        let features = &self.samples.features;
        let square = |&id: &u32| 1.0 + features.entries(id as usize).1.iter().map(|x| x * x).sum::<f32>();
        self.squares.clear();
        self.squares.extend(self.ids.iter().map(square));
        self.order.clear();
        self.order.extend(0..self.ids.len() as u32);
        let bias =
            self.descend(positives, Random(self.options.seed ^ (label as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        self.take_row(bias)
    }

    /// Passes over the samples until the conditions of the optimum hold well enough; gives the bias. Samples far from the margin are
    /// passed over until all others are well.
    fn descend(&mut self, positives: usize, mut random: Random) -> f32 {
        let &LinearOptions { cost, passes, tolerance, .. } = self.options;
        let (diagonal, mut bias) = (0.5 / cost, 0.0_f32);
        let (mut active, mut far, mut first) = (self.order.len(), f32::INFINITY, f32::INFINITY);
        for pass in 0..passes {
            random.shuffle(&mut self.order[..active]);
            let (mut worst, mut place) = (0.0_f32, 0);
            while place < active {
                let at = self.order[place] as usize;
                let (ids, values) = self.samples.features.entries(self.ids[at] as usize);
                let sign = if at < positives { 1.0 } else { -1.0 };
                let product: f32 = ids.iter().zip(values).map(|(&id, x)| self.weights[id as usize] * x).sum();
                self.pairs += ids.len() as u64;
                let dual = self.duals[at];
                let gradient = sign * (product + bias) - 1.0 + diagonal * dual;
                if dual == 0.0 && gradient > far {
                    active -= 1;
                    self.order.swap(place, active);
                    continue;
                }
                place += 1;
                let violation = if dual == 0.0 { gradient.min(0.0) } else { gradient };
                worst = worst.max(violation.abs());
                let next = (dual - gradient / (self.squares[at] + diagonal)).max(0.0);
                let step = sign * (next - dual);
                if step != 0.0 {
                    self.duals[at] = next;
                    bias += step;
                    self.pairs += ids.len() as u64;
                    for (&id, x) in ids.iter().zip(values) {
                        let weight = &mut self.weights[id as usize];
                        if *weight == 0.0 {
                            self.touched.push(id);
                        }
                        *weight += step * x;
                    }
                }
            }
            if pass == 0 {
                first = worst.min(1.0);
            }
            far = worst;
            if worst <= tolerance * first {
                if active == self.order.len() {
                    break;
                }
                (active, far) = (self.order.len(), f32::INFINITY);
            }
        }
        bias
    }

    /// The weights that are not cut; all become 0 again.
    fn take_row(&mut self, bias: f32) -> Row {
        self.touched.sort_unstable();
        self.touched.dedup();
        let cut = self.options.cut;
        let kept = self.touched.iter().map(|&id| (id, self.weights[id as usize])).filter(|entry| entry.1.abs() > cut);
        let (ids, weights) = kept.unzip();
        self.touched.drain(..).for_each(|id| self.weights[id as usize] = 0.0);
        Row { ids, weights, bias, pairs: std::mem::take(&mut self.pairs) }
    }
}

/// Random numbers for orders (SplitMix64).
#[derive(Clone, Copy, Debug)]
pub(super) struct Random(pub u64);

impl Random {
    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(z ^ (z >> 31)) * limit as u128) >> 64) as usize
    }

    /// Fisher and Yates.
    pub fn shuffle(&mut self, items: &mut [u32]) {
        (1..items.len()).rev().for_each(|i| items.swap(i, self.below(i + 1)));
    }
}
