//! Training samples that are like a sample.

use super::descent::Random;
use super::long_rows::touch;
use super::saved::{self, Saved};
use super::scores::{Scores, Vector, product, shortest_first};
use super::terms::Candidate;
use crate::kernels::Level;
use crate::ragged::Ragged;
pub(super) use crate::ragged::transposed;
use crate::sparse::SparseBatch;
use crate::tensor::{Elements, Tensor};
use crate::work::Workspace;

/// How a [`NeighbourMemory`] is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighbourOptions {
    /// Samples that are found for each.
    pub nearest: usize,
    /// Samples of features that are looked at, rare features first. More find better neighbours.
    pub looked_at: usize,
    /// Of these, the samples whose whole product is computed.
    pub compared: usize,
}

impl Default for NeighbourOptions {
    fn default() -> Self {
        Self { nearest: 50, looked_at: 1500, compared: 100 }
    }
}

/// The training samples by feature, and the labels of each: a label scores by how near the samples are that have it.
///
/// A look-up goes through the samples of the rarest features first, adds up what they share with the query, and computes the whole inner
/// product with the best of them. Samples of length 1 make that the cosine.
///
/// ```
/// use hotrow::parts::{Lookup, NeighbourMemory, NeighbourOptions};
/// use hotrow::{kernels::Level, ragged::Ragged, sparse::SparseBatch};
/// let mut samples = SparseBatch::new(3);
/// samples.push(&[0, 1], &[0.6, 0.8])?;
/// samples.push(&[1, 2], &[0.8, 0.6])?;
/// let memory = NeighbourMemory::new(samples, Ragged::from_iter([[4], [5]]), NeighbourOptions::default());
/// let mut lookup = Lookup::new(3, 6, 2, Level::detect());
/// assert_eq!(memory.nearest((&[0], &[1.0]), None, &mut lookup), [(0, 0.6)]);
/// # Ok::<(), hotrow::kernels::IndexError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct NeighbourMemory {
    samples: SparseBatch,
    labels: Ragged<u32>,
    /// The samples of each feature.
    postings: Ragged<u32>,
    options: NeighbourOptions,
}

/// The samples of each feature, increasing.
///
/// ```
/// let mut samples = hotrow::sparse::SparseBatch::new(3);
/// samples.push(&[0, 2], &[1.0, 1.0])?;
/// samples.push(&[2], &[1.0])?;
/// assert_eq!(hotrow::parts::postings(&samples).row(2), [0, 1]);
/// # Ok::<(), hotrow::kernels::IndexError>(())
/// ```
pub fn postings(samples: &SparseBatch) -> Ragged<u32> {
    transposed((0..samples.len()).map(|sample| samples.entries(sample).0), samples.dim(), samples.nnz())
}

/// What one thread needs to ask memories: sums, and the query as a dense vector.
#[derive(Debug)]
pub struct Lookup {
    /// Of labels, by counts.
    pub labels: Scores,
    /// Of labels, by linear rows.
    pub(super) margins: Scores,
    /// Of labels, by their texts.
    pub(super) texts: Scores,
    samples: Scores,
    dense: Vec<f32>,
    /// Of the network.
    pub(super) work: Workspace,
    /// Pairs of an id and a number that were read for what was asked.
    pub(super) pairs: u64,
}

impl Lookup {
    /// For so many features, labels and training samples.
    pub fn new(features: usize, labels: usize, samples: usize, level: Level) -> Self {
        Self {
            labels: Scores::new(labels),
            margins: Scores::new(labels),
            texts: Scores::new(labels),
            samples: Scores::new(samples),
            dense: vec![0.0; features],
            work: Workspace::new(level),
            pairs: 0,
        }
    }

    /// Runs `ask` with `x` as the dense query.
    pub(super) fn with_query<T>(&mut self, x: Vector, ask: impl FnOnce(&mut Self) -> T) -> T {
        x.0.iter().zip(x.1).for_each(|(&feature, &value)| self.dense[feature as usize] = value);
        let answer = ask(self);
        x.0.iter().for_each(|&feature| self.dense[feature as usize] = 0.0);
        answer
    }

    /// The product of the query and a sparse vector.
    pub(super) fn product(&mut self, ids: &[u32], values: &[f32]) -> f32 {
        self.pairs += ids.len() as u64;
        product(&self.dense, (ids, values))
    }

    /// The pairs that were read since this was asked last.
    pub(super) fn take_pairs(&mut self) -> usize {
        std::mem::take(&mut self.pairs) as usize
    }

    /// All sums of labels become 0.
    pub(super) fn forget(&mut self) {
        self.labels.clear();
        self.margins.clear();
        self.texts.clear();
    }

    /// The instruction set.
    pub(super) fn level(&self) -> Level {
        self.work.level
    }
}

impl NeighbourMemory {
    /// Remembers `samples` with their `labels`.
    ///
    /// # Panics
    ///
    /// If the two differ in length.
    #[track_caller]
    pub fn new(samples: SparseBatch, labels: Ragged<u32>, options: NeighbourOptions) -> Self {
        assert_eq!(samples.len(), labels.len(), "samples and their labels differ in length");
        let postings = postings(&samples);
        Self { samples, labels, postings, options }
    }

    /// The training samples nearest to `x` (feature ids and values), with their inner products, nearest first; without the sample
    /// `left_out`.
    ///
    /// # Panics
    ///
    /// If a feature is none, or `lookup` is for fewer features or samples.
    #[track_caller]
    pub fn nearest(&self, x: Vector, left_out: Option<u32>, lookup: &mut Lookup) -> Vec<(u32, f32)> {
        lookup.with_query(x, |lookup| self.nearest_to_query(x, left_out, lookup))
    }

    /// The same where `x` is the query of `lookup` already.
    pub(super) fn nearest_to_query(&self, x: Vector, left_out: Option<u32>, lookup: &mut Lookup) -> Vec<(u32, f32)> {
        let options = &self.options;
        let mut looked_at = 0_usize;
        for (samples, feature, value) in shortest_first(x, &self.postings) {
            // The rarest one always, however frequent it is.
            if looked_at > 0 && looked_at + samples > options.looked_at {
                break;
            }
            // A sample has about the value of the query where they share a feature.
            lookup.samples.add_each(value * value, self.postings.row(feature as usize));
            looked_at += samples;
        }
        lookup.pairs += looked_at as u64;
        if let Some(sample) = left_out {
            lookup.samples.set(sample, 0.0);
        }
        let found = lookup.samples.best(lookup.work.level, options.compared);
        lookup.samples.clear();
        touch(found.iter().filter_map(|&(sample, _)| {
            let (ids, values) = self.samples.entries(sample as usize);
            Some(ids.first()? ^ values.first()?.to_bits())
        }));
        let exact = |(sample, _): (u32, f32)| {
            let (ids, values) = self.samples.entries(sample as usize);
            (sample, lookup.product(ids, values))
        };
        let mut nearest: Vec<(u32, f32)> = found.into_iter().map(exact).collect();
        nearest.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        nearest.truncate(options.nearest);
        nearest
    }

    /// Forgets samples until those that are left have `most` values of features at most. Chance, which follows from `seed`, decides
    /// which are kept.
    pub fn prune(&mut self, most: usize, seed: u64) {
        let mut order: Vec<u32> = (0..self.samples.len() as u32).collect();
        Random(seed ^ 0x666f_7267).shuffle(&mut order);
        let mut values = 0;
        let fits = |sample: &&u32| {
            values += self.samples.entries(**sample as usize).0.len();
            values <= most
        };
        let mut kept: Vec<u32> = order.iter().take_while(fits).copied().collect();
        kept.sort_unstable();
        let (mut samples, mut labels) = (SparseBatch::new(self.samples.dim()), Ragged::new());
        for sample in kept.into_iter().map(|sample| sample as usize) {
            let (ids, values) = self.samples.entries(sample);
            samples.push(ids, values).expect("it was a vector before");
            labels.push(self.labels.row(sample).iter().copied());
        }
        *self = Self::new(samples, labels, self.options);
    }

    /// The samples.
    pub fn samples(&self) -> &SparseBatch {
        &self.samples
    }

    /// The labels of each sample.
    pub fn labels(&self) -> &Ragged<u32> {
        &self.labels
    }

    /// The samples of each feature.
    pub fn postings(&self) -> &Ragged<u32> {
        &self.postings
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> u64 {
        let offsets = self.samples.offsets().len() + self.labels.offsets().len() + self.postings.offsets().len();
        (12 * self.samples.nnz() + 4 * self.labels.items().len() + 8 * offsets) as u64
    }

    /// What a checkpoint keeps of it: all but the samples of each feature, which follow from it.
    pub fn tensors(&self) -> Vec<Tensor<'_>> {
        let [label_offsets, labels] = saved::rows("neighbours.labels", &self.labels);
        let offsets = Elements::U64(bytemuck::cast_slice(self.samples.offsets()));
        vec![
            label_offsets,
            labels,
            saved::tensor("neighbours.samples.offsets", offsets),
            saved::tensor("neighbours.samples.ids", Elements::U32(self.samples.indices())),
            saved::tensor("neighbours.samples.values", Elements::F32(self.samples.values())),
        ]
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
        options: NeighbourOptions,
    ) -> Result<Self, String> {
        let saved = Saved(tensors);
        let count = saved.count("neighbours.labels")?;
        let labels = saved.rows("neighbours.labels", count, labels)?;
        let rows = saved.rows("neighbours.samples", count, features)?;
        let values = saved.f32s("neighbours.samples.values", rows.items().len())?;
        let samples = SparseBatch::from_csr(features, rows.offsets(), rows.items(), values);
        Ok(Self::new(samples.map_err(|error| error.to_string())?, labels, options))
    }
}

/// The labels of the `nearest` samples, by label.
pub(super) fn labels_of(memory: &NeighbourMemory, nearest: &[(u32, f32)]) -> Vec<Candidate> {
    let of_sample = |(place, &(sample, _)): (u64, &(u32, f32))| {
        memory.labels().row(sample as usize).iter().map(move |&label| u64::from(label) << 32 | place)
    };
    // By label, nearest first.
    let mut each: Vec<u64> = (0..).zip(nearest).flat_map(of_sample).collect();
    each.sort_unstable();
    let product = |&both: &u64| nearest[both as u32 as usize].1;
    let sum = |same: &[u64]| Candidate {
        label: (same[0] >> 32) as u32,
        near: same.iter().map(product).sum(),
        near_squared: same.iter().map(|both| product(both).powi(2)).sum(),
        ..Candidate::default()
    };
    each.chunk_by(|a, b| a >> 32 == b >> 32).map(sum).collect()
}

/// Of these, the `most` with the largest sums of squares.
pub(super) fn nearest_labels(near: &[Candidate], most: usize) -> Vec<u32> {
    let mut labels: Vec<(f32, u32)> = near.iter().map(|near| (near.near_squared, near.label)).collect();
    if (1..labels.len()).contains(&most) {
        labels.select_nth_unstable_by(most - 1, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    }
    labels.truncate(most);
    labels.into_iter().map(|(_, label)| label).collect()
}
