//! Memories and linear rows together.

use std::cmp::Reverse;

use super::mixture::Mixture;
use super::saved::{self, Saved};
use super::terms::{Candidate, Present, TERMS};
use super::text_terms::TEXT_TERMS;
use super::texts::{TEXTS, TextMemory};
use super::{CountMemory, CountOptions, Lookup, NeighbourMemory, NeighbourOptions, SparseLinear};
use crate::kernels::Level;
use crate::tensor::{Elements, Tensor};

/// A classifier whose parts name candidates and score them, each in its way; a [`Mixture`] weighs what they say.
///
/// Candidates are the labels that each part scores best.
#[derive(Clone, Debug, PartialEq)]
pub struct Classifier {
    /// Length of the feature vectors.
    pub features: usize,
    /// Training samples with each label.
    pub frequencies: Vec<u32>,
    /// How often features and labels came together.
    pub counts: Option<CountMemory>,
    /// Training samples that are like a sample.
    pub neighbours: Option<NeighbourMemory>,
    /// A linear classifier for each label.
    pub linear: Option<SparseLinear>,
    /// What labels are called or described by.
    pub texts: Option<TextMemory>,
    /// How much each part counts.
    pub mixture: Mixture,
    /// The same as one number for each part (counts, neighbours, linear rows, texts): see [`Mixture::shares`].
    pub shares: [f64; 4],
    /// Candidates that counts name, and as many that neighbours name; linear rows and texts name a quarter of that each, or as many where
    /// there are neither counts nor neighbours.
    pub searched: usize,
}

/// Labels that stand in where no part names any.
const FREQUENT: usize = 100;

/// The name of the linear rows in checkpoints.
const LINEAR: &str = "linear";

/// A training sample that the memories have seen, with its labels.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    /// Its number.
    pub sample: u32,
    /// Its labels, increasing.
    pub labels: &'a [u32],
}

impl Classifier {
    /// What one thread needs to ask it.
    pub fn lookup(&self, level: Level) -> Lookup {
        let samples = self.neighbours.as_ref().map_or(0, |memory| memory.labels().len());
        Lookup::new(self.features, self.frequencies.len(), samples, level)
    }

    /// The candidates for a sample with the features `x` (ids and values), by label. With `own` it is a training sample, and memories say
    /// what they would if they had not seen it. Margins are those of `linear`.
    ///
    /// # Panics
    ///
    /// If a feature is none, or `lookup` is another classifier's.
    #[track_caller]
    pub fn candidates(
        &self,
        x: (&[u32], &[f32]),
        own: Option<Own>,
        linear: Option<&SparseLinear>,
        lookup: &mut Lookup,
    ) -> Vec<Candidate> {
        self.search(x, own, (linear, self.texts.as_ref()), self.searched, lookup)
    }

    /// The same with up to `most` candidates of each memory, and a quarter of that of linear rows and of texts.
    pub(super) fn search(
        &self,
        x: (&[u32], &[f32]),
        own: Option<Own>,
        (linear, texts): (Option<&SparseLinear>, Option<&TextMemory>),
        most: usize,
        lookup: &mut Lookup,
    ) -> Vec<Candidate> {
        lookup.with_query(x, |lookup| {
            let mut labels = Vec::new();
            if let Some(counts) = &self.counts {
                counts.add_to(x, own.map(|own| own.labels), &mut lookup.labels);
                lookup.pairs += counts.reads(x.0);
                labels.extend(lookup.labels.best(lookup.level(), most).into_iter().map(|(label, _)| label));
            }
            let near = self.neighbours.as_ref().map(|memory| {
                let nearest = memory.nearest_to_query(x, own.map(|own| own.sample), lookup);
                labels_of(memory, &nearest, most)
            });
            let near = near.unwrap_or_default();
            labels.extend(near.iter().map(|near| near.label));
            let others = self.counts.is_some() || self.neighbours.is_some();
            let few = if others { most / 4 } else { most };
            if let Some(texts) = texts {
                lookup.pairs += texts.add_to(x, &mut lookup.texts);
                labels.extend(lookup.texts.best(lookup.level(), few).into_iter().map(|(label, _)| label));
            }
            if let Some(linear) = linear {
                lookup.pairs += linear.add_to(x, &mut lookup.margins);
                labels.extend(lookup.margins.best(lookup.level(), few).into_iter().map(|(label, _)| label));
            }
            labels.sort_unstable();
            labels.dedup();
            let candidate = |label: u32| {
                let near = near
                    .binary_search_by_key(&label, |near| near.label)
                    .map_or_else(|_| Candidate::default(), |at| near[at]);
                let margin = linear.map_or(0.0, |linear| lookup.margins.get(label) + linear.bias(label));
                Candidate { label, counted: lookup.labels.get(label), margin, text: lookup.texts.get(label), ..near }
            };
            let candidates = labels.into_iter().map(candidate).collect();
            lookup.labels.clear();
            lookup.margins.clear();
            lookup.texts.clear();
            candidates
        })
    }

    /// The `k` best labels of a sample with their scores, best first. If fewer are candidates, as for a sample without known features, the
    /// most frequent labels follow, up to a hundred. Their scores only say that they come last.
    ///
    /// # Panics
    ///
    /// As [`candidates`](Self::candidates).
    #[track_caller]
    pub fn best(&self, x: (&[u32], &[f32]), k: usize, lookup: &mut Lookup) -> Vec<(u32, f32)> {
        let candidates = self.candidates(x, None, self.linear.as_ref(), lookup);
        let scores = self.mixture.scores(&candidates, &self.frequencies);
        let mut ranked: Vec<(u32, f32)> = candidates.iter().map(|c| c.label).zip(scores).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        ranked.truncate(k);
        let (found, last) = (ranked.len(), ranked.last().map_or(0.0, |entry| entry.1));
        if found < k {
            let others = self.frequent().into_iter().filter(|label| candidates.iter().all(|c| c.label != *label));
            ranked.extend(others.take(k - found).enumerate().map(|(place, label)| (label, last - 1.0 - place as f32)));
        }
        ranked
    }

    /// The labels that most training samples have, most frequent first.
    fn frequent(&self) -> Vec<u32> {
        let mut labels: Vec<u32> = (0..self.frequencies.len() as u32).collect();
        let rank = |&label: &u32| (Reverse(self.frequencies[label as usize]), label);
        if labels.len() > FREQUENT {
            labels.select_nth_unstable_by_key(FREQUENT, rank);
            labels.truncate(FREQUENT);
        }
        labels.sort_unstable_by_key(rank);
        labels
    }

    /// Which parts there are.
    pub fn present(&self) -> Present {
        let Self { counts, neighbours, linear, texts, .. } = self;
        let (counts, neighbours) = (counts.is_some(), neighbours.is_some());
        Present { counts, neighbours, linear: linear.is_some(), texts: texts.is_some() }
    }

    /// Parts that have a share; older versions knew no texts.
    fn parts(&self) -> usize {
        if self.texts.is_some() { 4 } else { 3 }
    }

    /// The parts with their bytes in memory.
    pub fn bytes(&self) -> Vec<(&'static str, u64)> {
        let counts = self.counts.as_ref().map(|part| ("counts", part.bytes()));
        let neighbours = self.neighbours.as_ref().map(|part| ("neighbours", part.bytes()));
        let linear = self.linear.as_ref().map(|part| ("linear", part.bytes()));
        let texts = self.texts.as_ref().map(|part| ("texts", part.bytes()));
        [counts, neighbours, linear, texts].into_iter().flatten().collect()
    }

    /// What a checkpoint keeps of it.
    pub fn tensors(&self) -> Vec<Tensor<'_>> {
        let mut tensors = vec![
            saved::tensor("mixture.weights", Elements::U64(bytemuck::cast_slice(&self.mixture.weights))),
            saved::tensor("mixture.knots", Elements::U64(bytemuck::cast_slice(self.mixture.knots.as_flattened()))),
            saved::tensor("mixture.shares", Elements::U64(bytemuck::cast_slice(&self.shares[..self.parts()]))),
            saved::tensor("labels.frequencies", Elements::U32(&self.frequencies)),
        ];
        tensors.extend(self.counts.iter().flat_map(CountMemory::tensors));
        tensors.extend(self.neighbours.iter().flat_map(NeighbourMemory::tensors));
        tensors.extend(self.linear.iter().flat_map(|linear| linear.tensors(LINEAR)));
        tensors.extend(self.texts.iter().flat_map(TextMemory::tensors));
        let weights = self.mixture.texts.as_ref().map(|weights| Elements::U64(bytemuck::cast_slice(weights)));
        tensors.extend(weights.map(|weights| saved::tensor("mixture.texts", weights)));
        tensors
    }

    /// The classifier that gave `tensors`, for so many features and labels.
    ///
    /// # Errors
    ///
    /// A message with the tensor that is missing or does not fit.
    pub fn from_tensors(
        tensors: &[Tensor],
        (features, labels): (usize, usize),
        options: (&CountOptions, NeighbourOptions),
        searched: usize,
    ) -> Result<Self, String> {
        let saved = Saved(tensors);
        let has = |name: &str| saved.has(&format!("{name}.offsets"));
        let counts = || CountMemory::from_tensors(tensors, features, labels, options.0);
        let neighbours = || NeighbourMemory::from_tensors(tensors, features, labels, options.1);
        let linear = || SparseLinear::from_tensors(tensors, LINEAR, features);
        let knots = saved.u64s("mixture.knots", 12)?;
        let weights = saved.u64s("mixture.weights", TERMS)?;
        let texts = has(TEXTS).then(|| TextMemory::from_tensors(tensors, features, labels)).transpose()?;
        let shares = saved.u64s("mixture.shares", if texts.is_some() { 4 } else { 3 })?;
        let of_texts = saved.has("mixture.texts").then(|| saved.u64s("mixture.texts", TEXT_TERMS)).transpose()?;
        if of_texts.is_some() && texts.is_none() {
            return Err("mixture.texts: without texts".to_owned());
        }
        Ok(Self {
            features,
            frequencies: saved.u32s("labels.frequencies", labels)?.to_vec(),
            counts: has("counts").then(counts).transpose()?,
            neighbours: has("neighbours.samples").then(neighbours).transpose()?,
            linear: has(LINEAR).then(linear).transpose()?,
            texts,
            mixture: Mixture {
                weights: std::array::from_fn(|t| f64::from_bits(weights[t])),
                texts: of_texts.map(|weights| std::array::from_fn(|t| f64::from_bits(weights[t]))),
                knots: std::array::from_fn(|of| std::array::from_fn(|at| f64::from_bits(knots[3 * of + at]))),
            },
            shares: std::array::from_fn(|part| shares.get(part).map_or(0.0, |&share| f64::from_bits(share))),
            searched,
        })
    }
}

/// The labels of the `nearest` samples, by label: the `most` with the largest sums of squares.
fn labels_of(memory: &NeighbourMemory, nearest: &[(u32, f32)], most: usize) -> Vec<Candidate> {
    let of_sample = |&(sample, product): &(u32, f32)| {
        let labels = memory.labels().row(sample as usize).iter();
        labels.map(move |&label| (label, product))
    };
    let mut each: Vec<(u32, f32)> = nearest.iter().flat_map(of_sample).collect();
    // Stable: products of a label are added nearest first.
    each.sort_by_key(|&(label, _)| label);
    let sum = |same: &[(u32, f32)]| Candidate {
        label: same[0].0,
        near: same.iter().map(|entry| entry.1).sum(),
        near_squared: same.iter().map(|entry| entry.1 * entry.1).sum(),
        ..Candidate::default()
    };
    let mut labels: Vec<Candidate> = each.chunk_by(|a, b| a.0 == b.0).map(sum).collect();
    if labels.len() > most {
        labels.sort_by(|a, b| b.near_squared.total_cmp(&a.near_squared).then(a.label.cmp(&b.label)));
        labels.truncate(most);
        labels.sort_unstable_by_key(|candidate| candidate.label);
    }
    labels
}
