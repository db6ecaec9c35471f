//! Builds a [`Classifier`] stage by stage.

use std::ops::Range;

use rayon::prelude::*;

use super::classifier::{Classifier, Own};
use super::linear::Random;
use super::mixture::{Example, Mixture, Present};
use super::neighbours::transposed;
use super::{CountMemory, CountOptions, LinearOptions, NeighbourMemory, NeighbourOptions, SparseLinear};
use crate::data::Batch;
use crate::kernels::Level;
use crate::ragged::Ragged;

/// How a [`Classifier`] is built.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearnOptions {
    /// Parts that may be used. The mixture leaves out those that do not help.
    pub parts: Present,
    /// Of the counts.
    pub counts: CountOptions,
    /// Of the neighbours.
    pub neighbours: NeighbourOptions,
    /// Of the linear rows.
    pub linear: LinearOptions,
    /// Candidates that counts name, and as many that neighbours name.
    pub searched: usize,
    /// A sample is a negative of the labels that counts score best for it and that it does not have: so many of counts, and of neighbours.
    pub hard: usize,
    /// Samples drawn at random that are negatives of each label.
    pub random: usize,
    /// Up to so many pairs of a sample and a label, all samples are negatives of all labels that they do not have.
    pub exhaustive: u64,
    /// Samples that the mixture is fitted to, at most; never more than a tenth.
    pub held_out: usize,
    /// What all that is random follows from.
    pub seed: u64,
}

impl Default for LearnOptions {
    fn default() -> Self {
        Self {
            parts: Present { counts: true, neighbours: true, linear: true },
            counts: CountOptions::default(),
            neighbours: NeighbourOptions::default(),
            linear: LinearOptions::default(),
            searched: 100,
            hard: 25,
            random: 30,
            exhaustive: 20_000_000,
            held_out: 5000,
            seed: 1,
        }
    }
}

/// What is done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Counts and neighbours are built.
    Memories,
    /// Each training sample names the labels that it is mistaken for.
    Negatives,
    /// These labels are trained on the samples that are not held out.
    Trial(Range<usize>),
    /// The mixture is fitted to the samples that are.
    Mixture,
    /// These labels are trained on all samples.
    Linear(Range<usize>),
}

impl Stage {
    /// Its name in logs.
    pub fn name(&self) -> &'static str {
        match self {
            Stage::Memories => "memories",
            Stage::Negatives => "negatives",
            Stage::Trial(_) => "trial",
            Stage::Mixture => "mixture",
            Stage::Linear(_) => "linear",
        }
    }
}

/// Pieces that the labels are trained in, so that a run can be watched, and stopped between two.
const PIECES: usize = 8;

/// Builds a classifier from training samples.
///
/// 1. Counts and neighbours remember all samples.
/// 2. They say, of each sample without itself, which labels it is mistaken for: hard negatives.
/// 3. Linear rows are trained on all samples but some that are held out.
/// 4. The mixture is fitted to those: no part has seen them, because memories leave them out. A part that does not help is dropped.
/// 5. Linear rows are trained on all samples.
///
/// The number of threads changes nothing.
///
/// ```
/// use hotrow::parts::{LearnOptions, Learner};
/// use hotrow::{data::Batch, kernels::Level};
/// let mut samples = Batch::new(20);
/// for i in 0..200 {
///     samples.features.push(&[i % 10, 10 + i % 7], &[0.8, 0.6])?;
///     samples.labels.push([i % 10]);
/// }
/// let (level, mut learner) = (Level::detect(), Learner::new(&samples, 10, LearnOptions::default()));
/// while learner.step(&samples, level).is_some() {}
/// let classifier = learner.into_classifier();
/// let best = classifier.best((&[3, 12], &[0.8, 0.6]), 1, &mut classifier.lookup(level));
/// assert_eq!(best[0].0, 3);
/// # Ok::<(), hotrow::kernels::IndexError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Learner {
    options: LearnOptions,
    stages: Vec<Stage>,
    done: usize,
    /// Samples with each label, and samples that are taken for it.
    positives: Ragged<u32>,
    negatives: Ragged<u32>,
    held_out: Vec<bool>,
    trial: SparseLinear,
    classifier: Classifier,
}

impl Learner {
    /// Before the first stage, for `samples` whose labels are below `labels`.
    pub fn new(samples: &Batch, labels: usize, options: LearnOptions) -> Self {
        let positives = transposed(samples.labels.iter(), labels, samples.labels.items().len());
        let frequencies = positives.iter().map(|samples| samples.len() as u32).collect();
        let pieces = |stage: fn(Range<usize>) -> Stage| {
            let cut = move |piece: usize| labels * piece / PIECES;
            (0..PIECES).map(move |piece| stage(cut(piece)..cut(piece + 1)))
        };
        let mut stages = vec![Stage::Memories];
        if options.parts.linear {
            stages.push(Stage::Negatives);
            stages.extend(pieces(Stage::Trial));
        }
        stages.push(Stage::Mixture);
        if options.parts.linear {
            stages.extend(pieces(Stage::Linear));
        }
        let features = samples.features.dim();
        let (counts, neighbours, linear) = (None, None, None);
        let classifier = Classifier {
            features,
            frequencies,
            counts,
            neighbours,
            linear,
            mixture: Mixture::default(),
            searched: options.searched,
        };
        Self {
            stages,
            done: 0,
            positives,
            negatives: Ragged::new(),
            held_out: hold_out(samples.len(), &options),
            trial: SparseLinear::new(features),
            classifier,
            options,
        }
    }

    /// Stages done, and all there are.
    pub fn progress(&self) -> (usize, usize) {
        (self.done, self.stages.len())
    }

    /// Does the next stage, and tells which it was; nothing after the last one. `samples` are always those that it was made for.
    ///
    /// # Panics
    ///
    /// If they are of another number or length.
    #[track_caller]
    pub fn step(&mut self, samples: &Batch, level: Level) -> Option<Stage> {
        assert_eq!(samples.len(), self.held_out.len(), "other samples than before");
        let stage = self.stages.get(self.done)?.clone();
        let (positives, linear) = (&self.positives, &self.options.linear);
        match &stage {
            Stage::Memories => self.remember(samples),
            Stage::Negatives => self.negatives = self.mistaken(samples, level),
            Stage::Trial(labels) => {
                let held_out = Some(self.held_out.as_slice());
                self.trial.train(samples, positives, &self.negatives, labels.clone(), linear, held_out);
            }
            Stage::Mixture => self.mix(samples, level),
            Stage::Linear(labels) => {
                if let Some(rows) = &mut self.classifier.linear {
                    rows.train(samples, positives, &self.negatives, labels.clone(), linear, None);
                }
            }
        }
        self.done += 1;
        Some(stage)
    }

    /// What has been built so far: all of it after the last stage.
    pub fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    /// The same, owned.
    pub fn into_classifier(self) -> Classifier {
        self.classifier
    }

    fn remember(&mut self, samples: &Batch) {
        let (options, labels) = (&self.options, self.classifier.frequencies.len());
        // Negatives are what memories name, so both are needed for them even if they get no weight later.
        let needed = |part: bool| part || options.parts.linear;
        let memory = NeighbourMemory::new(samples.features.clone(), samples.labels.clone(), options.neighbours);
        self.classifier.counts =
            needed(options.parts.counts).then(|| CountMemory::new(samples, memory.postings(), labels, &options.counts));
        self.classifier.neighbours = needed(options.parts.neighbours).then_some(memory);
    }

    /// Of each label, the samples that do not have it and are taken for it, or are drawn.
    fn mistaken(&self, samples: &Batch, level: Level) -> Ragged<u32> {
        let (count, labels) = (samples.len(), self.classifier.frequencies.len());
        if (count * labels) as u64 <= self.options.exhaustive {
            return (0..labels).map(|label| others(count, self.positives.row(label))).collect();
        }
        let (classifier, hard) = (&self.classifier, self.options.hard);
        let named: Vec<Vec<u32>> = (0..count)
            .into_par_iter()
            .map_init(
                || classifier.lookup(level),
                |lookup, sample| {
                    let own = Own { sample: sample as u32, labels: samples.labels.row(sample) };
                    let candidates = classifier.search(samples.features.entries(sample), Some(own), None, hard, lookup);
                    let labels = candidates.iter().map(|candidate| candidate.label);
                    labels.filter(|label| own.labels.binary_search(label).is_err()).collect()
                },
            )
            .collect();
        let total = named.iter().map(Vec::len).sum();
        let hard = transposed(named.iter().map(Vec::as_slice), labels, total);
        let drawn: Vec<Vec<u32>> = (0..labels)
            .into_par_iter()
            .map(|label| {
                let mut random = Random(self.options.seed ^ 0x6e65_6761 ^ (label as u64) << 20);
                let draws = (0..self.options.random).map(|_| random.below(count) as u32);
                let mut all: Vec<u32> = hard.row(label).iter().copied().chain(draws).collect();
                all.sort_unstable();
                all.dedup();
                all.retain(|sample| self.positives.row(label).binary_search(sample).is_err());
                all
            })
            .collect();
        drawn.into_iter().collect()
    }

    /// Fits the mixture to the samples that are held out, and drops parts that do not help.
    fn mix(&mut self, samples: &Batch, level: Level) {
        let held_out: Vec<usize> = (0..samples.len()).filter(|&sample| self.held_out[sample]).collect();
        let (classifier, parts) = (&self.classifier, self.options.parts);
        let trial = parts.linear.then_some(&self.trial);
        let examples: Vec<Option<Example>> = held_out
            .par_iter()
            .map_init(
                || classifier.lookup(level),
                |lookup, &sample| {
                    let own = Own { sample: sample as u32, labels: samples.labels.row(sample) };
                    let x = samples.features.entries(sample);
                    let candidates = classifier.candidates(x, Some(own), trial, lookup);
                    Example::new(&candidates, own.labels, &classifier.frequencies)
                },
            )
            .collect();
        let examples: Vec<Example> = examples.into_iter().flatten().collect();
        let used = chosen(&examples, parts);
        self.classifier.mixture = Mixture::fit(&examples, used).0;
        self.trial = SparseLinear::new(self.classifier.features);
        if !used.linear {
            self.negatives = Ragged::new();
        }
        self.classifier.linear = used.linear.then(|| SparseLinear::new(self.classifier.features));
        // A memory without weight still names candidates, unless there is another one that does.
        if !used.counts && (used.neighbours || !parts.counts) {
            self.classifier.counts = None;
        }
        if !used.neighbours && (used.counts || !parts.neighbours) {
            self.classifier.neighbours = None;
        }
    }
}

/// The parts without which examples are predicted worse that the mixture was not fitted to.
fn chosen(examples: &[Example], parts: Present) -> Present {
    let half = |odd: usize| -> Vec<Example> { examples.iter().skip(odd).step_by(2).cloned().collect() };
    let halves = [half(0), half(1)];
    let loss = |parts: Present| -> f64 {
        let of = |fitted: &[Example], seen: &[Example]| Mixture::fit(fitted, parts).0.loss(seen);
        of(&halves[0], &halves[1]) + of(&halves[1], &halves[0])
    };
    if halves[1].is_empty() {
        return parts;
    }
    let (mut used, mut least) = (parts, loss(parts));
    for without in
        [Present { neighbours: false, ..parts }, Present { counts: false, ..parts }, Present { linear: false, ..parts }]
    {
        let fewer = Present {
            counts: used.counts && without.counts,
            neighbours: used.neighbours && without.neighbours,
            linear: used.linear && without.linear,
        };
        let some = fewer.counts || fewer.neighbours || fewer.linear;
        if some && fewer != used {
            let loss = loss(fewer);
            if loss <= least {
                (used, least) = (fewer, loss);
            }
        }
    }
    used
}

/// A tenth of the samples, or fewer if the options say so.
fn hold_out(samples: usize, options: &LearnOptions) -> Vec<bool> {
    let count = (samples / 10).min(options.held_out);
    let (mut held_out, mut random, mut left) = (vec![false; samples], Random(options.seed ^ 0x686f_6c64), count);
    // Selection sampling (Knuth, volume 2, algorithm 3.4.2S).
    for (sample, held_out) in held_out.iter_mut().enumerate() {
        *held_out = random.below(samples - sample) < left;
        left -= usize::from(*held_out);
    }
    held_out
}

/// All samples below `count` that are not in `samples`.
fn others(count: usize, samples: &[u32]) -> Vec<u32> {
    (0..count as u32).filter(|sample| samples.binary_search(sample).is_err()).collect()
}
