//! The weights of one label, by dual coordinate descent.

use super::scores::product;
use crate::data::Batch;
use crate::sparse::SparseBatch;

/// How a [`SparseLinear`](super::SparseLinear) is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinearOptions {
    /// What an error costs, beside half the squared length of the weights: C.
    pub cost: f32,
    /// Passes over the samples of a label, at most.
    pub passes: usize,
    /// A label is done once no sample violates its condition by more than this share of the largest violation of the first pass.
    pub tolerance: f32,
    /// A weight is left out if it moves a margin by this at most, times the mean size of the values of its feature.
    pub cut: f32,
    /// What the order of samples follows from.
    pub seed: u64,
}

impl Default for LinearOptions {
    fn default() -> Self {
        Self { cost: 0.5, passes: 10, tolerance: 0.1, cut: 0.01, seed: 1 }
    }
}

/// What is left of a label's weights.
pub(super) struct Row {
    pub ids: Vec<u32>,
    pub weights: Vec<f32>,
    pub bias: f32,
    /// Weights that were read or moved.
    pub pairs: u64,
}

/// What is known of samples and features before any label is trained.
pub(super) struct Known<'a> {
    /// Of each feature, the mean size of its values.
    pub typical: Vec<f32>,
    /// Of each sample, its squared length and that of the bias.
    pub squares: Vec<f32>,
    /// Samples that no label is trained on.
    pub left_out: Option<&'a [bool]>,
}

/// The squared lengths of vectors with a further 1.
pub(super) fn squares(samples: &SparseBatch) -> Vec<f32> {
    let square = |sample| 1.0 + samples.entries(sample).1.iter().map(|x| x * x).sum::<f32>();
    (0..samples.len()).map(square).collect()
}

/// One label after the other, by one thread.
pub(super) struct Solver<'a> {
    samples: &'a Batch,
    options: &'a LinearOptions,
    known: &'a Known<'a>,
    /// Of all features, 0 between labels.
    weights: Vec<f32>,
    /// Features with a weight that was not 0 at some time, maybe twice.
    touched: Vec<u32>,
    /// Of one label: its samples, their multipliers, and the order in which they are visited.
    ids: Vec<u32>,
    duals: Vec<f32>,
    order: Vec<u32>,
    /// Weights that were read or moved.
    pairs: u64,
}

impl<'a> Solver<'a> {
    pub fn new(samples: &'a Batch, options: &'a LinearOptions, known: &'a Known<'a>) -> Self {
        let weights = vec![0.0; samples.features.dim()];
        let (touched, ids, duals, order) = Default::default();
        Self { samples, options, known, weights, touched, ids, duals, order, pairs: 0 }
    }

    pub fn solve(&mut self, label: usize, positives: &[u32], negatives: &[u32]) -> Row {
        let left_out = self.known.left_out;
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
                let sample = self.ids[at] as usize;
                let (ids, values) = self.samples.features.entries(sample);
                let sign = if at < positives { 1.0 } else { -1.0 };
                self.pairs += ids.len() as u64;
                let dual = self.duals[at];
                let gradient = sign * (product(&self.weights, (ids, values)) + bias) - 1.0 + diagonal * dual;
                if dual == 0.0 && gradient > far {
                    active -= 1;
                    self.order.swap(place, active);
                    continue;
                }
                place += 1;
                let violation = if dual == 0.0 { gradient.min(0.0) } else { gradient };
                worst = worst.max(violation.abs());
                let next = (dual - gradient / (self.known.squares[sample] + diagonal)).max(0.0);
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
        let counts = |&(id, weight): &(u32, f32)| weight.abs() * self.known.typical[id as usize] > cut;
        let kept = self.touched.iter().map(|&id| (id, self.weights[id as usize])).filter(counts);
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
