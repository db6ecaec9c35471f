//! Memories and linear rows together.

use std::cmp::Reverse;

use super::further::{FURTHER_TERMS, Further};
use super::mixture::Mixture;
use super::neighbours::{labels_of, nearest_labels};
use super::network::NetworkPart;
use super::prune::{allot, typical};
use super::saved::{self, Saved};
use super::scores::{Scores, Vector};
use super::terms::{Candidate, Present, TERMS};
use super::texts::{TEXTS, TextMemory};
use super::{CountMemory, CountOptions, Lookup, NeighbourMemory, NeighbourOptions, SparseLinear};
use crate::kernels::Level;
use crate::sparse::SparseBatch;
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
    /// A network. Its weights are a file of their own in checkpoints, so that it is neither in [`tensors`](Self::tensors) nor taken from them.
    pub network: Option<NetworkPart>,
    /// How much each part counts.
    pub mixture: Mixture,
    /// The same as one number for each part (counts, neighbours, linear rows, texts, network): see [`Mixture::shares`].
    pub shares: [f64; 5],
    /// Candidates that counts name, and as many that neighbours name; linear rows and texts name a quarter of that each, or as many where
    /// there are neither counts nor neighbours.
    pub searched: u64,
}

/// Labels that stand in where no part names any.
const FREQUENT: usize = 100;

/// The name of how many candidates are searched in checkpoints, and how many these may be.
const SEARCHED: &str = "labels.searched";
const MOST_SEARCHED: u64 = 1 << 16;

/// The name of the linear rows in checkpoints.
const LINEAR: &str = "linear";

/// The names of weights of further terms in checkpoints.
const FURTHER: [&str; 2] = ["mixture.texts", "mixture.network"];

/// Parts that have a share, by whether texts and a network have.
fn parts_with_a_share([texts, network]: [bool; 2]) -> usize {
    match (texts, network) {
        (_, true) => 5,
        (true, false) => 4,
        (false, false) => 3,
    }
}

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
        self.search(x, own, (linear, self.texts.as_ref()), self.searched as usize, lookup)
    }

    /// The same with up to `most` candidates of each memory, and a quarter of that of linear rows and of texts.
    pub(super) fn search(
        &self,
        x: Vector,
        own: Option<Own>,
        parts: (Option<&SparseLinear>, Option<&TextMemory>),
        most: usize,
        lookup: &mut Lookup,
    ) -> Vec<Candidate> {
        lookup.with_query(x, |lookup| {
            let (named, near) = self.ask(x, own, parts, most, lookup);
            let candidates = self.say_of(named, x, parts.0, &near, lookup);
            lookup.forget();
            candidates
        })
    }

    /// Adds up what the parts say of all labels, but for long rows. Gives the labels that they name, and what neighbours say, both by label.
    fn ask(
        &self,
        x: Vector,
        own: Option<Own>,
        (linear, texts): (Option<&SparseLinear>, Option<&TextMemory>),
        most: usize,
        lookup: &mut Lookup,
    ) -> (Vec<u32>, Vec<Candidate>) {
        let (mut named, level) = (Vec::new(), lookup.level());
        let few = if self.has_memory() { most / 4 } else { most };
        let mut name = |scores: &Scores, most: usize| {
            named.extend(scores.best(level, most).into_iter().map(|(label, _)| label));
        };
        if let Some(counts) = &self.counts {
            counts.add_to(x, own.map(|own| own.labels), &mut lookup.labels);
            lookup.pairs += counts.reads(x.0);
            name(&lookup.labels, most);
        }
        if let Some(linear) = linear {
            lookup.pairs += match self.has_memory() {
                true => linear.add_short_to(x, &mut lookup.margins),
                false => linear.add_to(x, &mut lookup.margins),
            };
            name(&lookup.margins, few);
        }
        if let Some(texts) = texts {
            lookup.pairs += texts.add_to(x, &mut lookup.texts);
            name(&lookup.texts, few);
        }
        let near = self.neighbours.as_ref().map(|memory| {
            let nearest = memory.nearest_to_query(x, own.map(|own| own.sample), lookup);
            labels_of(memory, &nearest)
        });
        let near = near.unwrap_or_default();
        named.extend(nearest_labels(&near, most));
        named.sort_unstable();
        named.dedup();
        (named, near)
    }

    /// Whether memories name candidates too, so that the long ones of the linear rows are read for these only.
    fn has_memory(&self) -> bool {
        self.counts.is_some() || self.neighbours.is_some()
    }

    /// What the parts that were asked say of `labels` (increasing).
    fn say_of(
        &self,
        labels: Vec<u32>,
        x: Vector,
        linear: Option<&SparseLinear>,
        near: &[Candidate],
        lookup: &mut Lookup,
    ) -> Vec<Candidate> {
        let margin = |label: u32| linear.map_or(0.0, |linear| lookup.margins.get(label) + linear.bias(label));
        let mut margins: Vec<(u32, f32)> = labels.into_iter().map(|label| (label, margin(label))).collect();
        if let Some(linear) = linear.filter(|_| self.has_memory()) {
            lookup.pairs += linear.add_long(x, &mut margins);
        }
        let logits = self.network.as_ref().map(|network| {
            let labels: Vec<u32> = margins.iter().map(|entry| entry.0).collect();
            lookup.pairs += network.reads(x, labels.len());
            network.logits(x, &labels, &mut lookup.work)
        });
        let mut logits = logits.into_iter().flatten();
        let mut near = near.iter().peekable();
        let candidate = |(label, margin): (u32, f32)| {
            while near.next_if(|near| near.label < label).is_some() {}
            let near = near.next_if(|near| near.label == label).copied().unwrap_or_default();
            let logit = logits.next().unwrap_or_default();
            Candidate { label, counted: lookup.labels.get(label), margin, text: lookup.texts.get(label), logit, ..near }
        };
        margins.into_iter().map(candidate).collect()
    }

    /// The `k` best labels of a sample with their scores, best first, of those that the parts name. If fewer are, as for a sample without
    /// known features, the most frequent labels follow, up to a hundred. Their scores only say that they come last.
    ///
    /// # Panics
    ///
    /// As [`candidates`](Self::candidates).
    #[track_caller]
    pub fn best(&self, x: (&[u32], &[f32]), k: usize, lookup: &mut Lookup) -> Vec<(u32, f32)> {
        let candidates = self.candidates(x, None, self.linear.as_ref(), lookup);
        self.ranked(&candidates, candidates.len(), k)
    }

    /// The same of all labels: each has the score that it would have if the parts had named it. That takes many times as long, and tells
    /// what [`best`](Self::best) misses.
    ///
    /// # Panics
    ///
    /// As [`candidates`](Self::candidates).
    #[track_caller]
    pub fn best_of_all(&self, x: (&[u32], &[f32]), k: usize, lookup: &mut Lookup) -> Vec<(u32, f32)> {
        let (candidates, named) = lookup.with_query(x, |lookup| {
            let parts = (self.linear.as_ref(), self.texts.as_ref());
            let (named, near) = self.ask(x, None, parts, self.searched as usize, lookup);
            let others =
                (0..self.frequencies.len() as u32).filter(|label| named.binary_search(label).is_err()).collect();
            let count = named.len();
            let mut candidates = self.say_of(named, x, parts.0, &near, lookup);
            candidates.extend(self.say_of(others, x, parts.0, &near, lookup));
            lookup.forget();
            (candidates, count)
        });
        self.ranked(&candidates, named, k)
    }

    fn ranked(&self, candidates: &[Candidate], named: usize, k: usize) -> Vec<(u32, f32)> {
        let scores = self.mixture.scores_beside(candidates, named, &self.frequencies);
        let mut ranked: Vec<(u32, f32)> = candidates.iter().map(|c| c.label).zip(scores).collect();
        let better = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if (1..ranked.len()).contains(&k) {
            ranked.select_nth_unstable_by(k - 1, better);
        }
        ranked.truncate(k);
        ranked.sort_unstable_by(better);
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

    /// Whether the mixture has weights for a network.
    pub fn wants_network(&self) -> bool {
        self.mixture.further[Further::Network as usize].is_some()
    }

    /// Which parts there are.
    pub fn present(&self) -> Present {
        Present {
            counts: self.counts.is_some(),
            neighbours: self.neighbours.is_some(),
            linear: self.linear.is_some(),
            texts: self.texts.is_some(),
            network: self.network.is_some(),
        }
    }

    /// Parts that have a share; older versions knew no texts, and no network beside other parts.
    fn parts(&self) -> usize {
        parts_with_a_share(self.mixture.further.map(|weights| weights.is_some()))
    }

    /// The parts with their bytes in memory.
    pub fn bytes(&self) -> Vec<(&'static str, u64)> {
        let counts = self.counts.as_ref().map(|part| ("counts", part.bytes()));
        let neighbours = self.neighbours.as_ref().map(|part| ("neighbours", part.bytes()));
        let linear = self.linear.as_ref().map(|part| ("linear", part.bytes()));
        let texts = self.texts.as_ref().map(|part| ("texts", part.bytes()));
        let network = self.network.as_ref().map(|part| ("network", part.bytes()));
        [counts, neighbours, linear, texts, network].into_iter().flatten().collect()
    }

    /// Makes the parts smaller until a checkpoint keeps so many bytes of it, or what is left of it has no pair, weight and sample. Each part
    /// gets a share of the bytes by how much it counts; texts stay. `samples` are those of training.
    pub(super) fn prune(&mut self, bytes: u64, samples: &SparseBatch, seed: u64) {
        let of = |tensors: Vec<Tensor>| tensors.iter().map(|tensor| tensor.elements.bytes().len() as u64).sum::<u64>();
        let counts = self.counts.as_ref().map_or(0, |part| 8 * part.pairs() as u64);
        let neighbours = self.neighbours.as_ref().map_or(0, |part| of(part.tensors()));
        let linear = self.linear.as_ref().map_or(0, |part| 8 * part.len() as u64);
        let wanted = [counts, neighbours, linear];
        let fixed = of(self.tensors()) - wanted.iter().sum::<u64>();
        let [counts_share, near_share, linear_share, ..] = self.shares;
        let given = allot(bytes.saturating_sub(fixed), wanted, [counts_share, near_share, linear_share]);
        if let Some(part) = self.counts.as_mut().filter(|_| given[0] < counts) {
            part.prune((given[0] / 8) as usize);
        }
        if let Some(part) = self.neighbours.as_mut().filter(|_| given[1] < neighbours) {
            let share = given[1] as f64 / neighbours as f64;
            part.prune((share * part.samples().nnz() as f64) as usize, seed);
            // Samples with few features have more labels for each: a few more may have to go.
            while of(part.tensors()) > given[1] && part.samples().nnz() > 0 {
                part.prune(part.samples().nnz() * 49 / 50, seed);
            }
        }
        if let Some(part) = self.linear.as_mut().filter(|_| given[2] < linear) {
            part.prune((given[2] / 8) as usize, &typical(samples));
        }
    }

    /// What a checkpoint keeps of it.
    pub fn tensors(&self) -> Vec<Tensor<'_>> {
        let mut tensors = vec![
            saved::tensor("mixture.weights", Elements::U64(bytemuck::cast_slice(&self.mixture.weights))),
            saved::tensor("mixture.knots", Elements::U64(bytemuck::cast_slice(self.mixture.knots.as_flattened()))),
            saved::tensor("mixture.shares", Elements::U64(bytemuck::cast_slice(&self.shares[..self.parts()]))),
            saved::tensor("labels.frequencies", Elements::U32(&self.frequencies)),
            saved::tensor(SEARCHED, Elements::U64(std::slice::from_ref(&self.searched))),
        ];
        tensors.extend(self.counts.iter().flat_map(CountMemory::tensors));
        tensors.extend(self.neighbours.iter().flat_map(NeighbourMemory::tensors));
        tensors.extend(self.linear.iter().flat_map(|linear| linear.tensors(LINEAR)));
        tensors.extend(self.texts.iter().flat_map(TextMemory::tensors));
        for (name, weights) in FURTHER.into_iter().zip(&self.mixture.further) {
            let weights = weights.as_ref().map(|weights| Elements::U64(bytemuck::cast_slice(weights)));
            tensors.extend(weights.map(|weights| saved::tensor(name, weights)));
        }
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
    ) -> Result<Self, String> {
        let saved = Saved(tensors);
        let has = |name: &str| saved.has(&format!("{name}.offsets"));
        let counts = || CountMemory::from_tensors(tensors, features, labels, options.0);
        let neighbours = || NeighbourMemory::from_tensors(tensors, features, labels, options.1);
        let linear = || SparseLinear::from_tensors(tensors, LINEAR, features);
        let knots = saved.u64s("mixture.knots", 12)?;
        let weights = saved.u64s("mixture.weights", TERMS)?;
        let texts = has(TEXTS).then(|| TextMemory::from_tensors(tensors, features, labels)).transpose()?;
        let further = |name: &str| -> Result<Option<[f64; FURTHER_TERMS]>, String> {
            let weights = saved.has(name).then(|| saved.u64s(name, FURTHER_TERMS)).transpose()?;
            Ok(weights.map(|weights| std::array::from_fn(|t| f64::from_bits(weights[t]))))
        };
        let further = [further(FURTHER[0])?, further(FURTHER[1])?];
        if further[0].is_some() && texts.is_none() {
            return Err("mixture.texts: without texts".to_owned());
        }
        let shares = saved.u64s("mixture.shares", parts_with_a_share(further.map(|weights| weights.is_some())))?;
        // Older versions always searched as many.
        let searched = if saved.has(SEARCHED) { saved.u64s(SEARCHED, 1)?[0] } else { 100 };
        if !(1..=MOST_SEARCHED).contains(&searched) {
            return Err(format!("{SEARCHED}: {searched} is not in 1..={MOST_SEARCHED}"));
        }
        Ok(Self {
            features,
            frequencies: saved.u32s("labels.frequencies", labels)?.to_vec(),
            counts: has("counts").then(counts).transpose()?,
            neighbours: has("neighbours.samples").then(neighbours).transpose()?,
            linear: has(LINEAR).then(linear).transpose()?,
            texts,
            network: None,
            mixture: Mixture {
                weights: std::array::from_fn(|t| f64::from_bits(weights[t])),
                further,
                knots: std::array::from_fn(|of| std::array::from_fn(|at| f64::from_bits(knots[3 * of + at]))),
            },
            shares: std::array::from_fn(|part| shares.get(part).map_or(0.0, |&share| f64::from_bits(share))),
            searched,
        })
    }
}
