//! In which steps a classifier is built, and with which options.

use std::ops::Range;

use super::descent::Random;
use super::terms::Present;
use super::{CountOptions, LinearOptions, NeighbourOptions};
use crate::ragged::Ragged;

/// How a [`Classifier`](super::Classifier) is built.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearnOptions {
    /// Parts that may be used. The mixture leaves out those that do not help. Texts are used if there are some:
    /// see [`Learner::with_texts`](super::Learner::with_texts). A network is used if somebody trains one: see [`Stage::Network`].
    pub parts: Present,
    /// Of the counts.
    pub counts: CountOptions,
    /// Of the neighbours.
    pub neighbours: NeighbourOptions,
    /// Of the linear rows.
    pub linear: LinearOptions,
    /// Candidates that counts name, and as many that neighbours name; linear rows and texts name a quarter of that each. 0 means five times
    /// the labels that a sample has on average, but 40 to 100.
    ///
    /// With few candidates the mixture has less to tell apart, but more labels are missed. With 40 in place of 100, P@1 was 0.8 higher on
    /// citeulike-t, 0.5 on bibtex and the demo, and 0.2 on gutenberg-subjects; but it was 1.0 lower on delicious, whose samples have 19 labels
    /// each.
    pub searched: usize,
    /// A sample is a negative of the labels that counts score best for it and that it does not have: so many of counts, and of neighbours.
    pub hard: usize,
    /// Samples drawn at random that are negatives of each label.
    pub random: usize,
    /// Up to so many pairs of a sample and a label, all samples are negatives of all labels that they do not have.
    pub exhaustive: u64,
    /// Samples that the mixture is fitted to, at most; never more than a tenth.
    pub held_out: usize,
    /// Seconds that all stages together may take, about: linear rows are left out if they would take longer. Infinite for no limit.
    pub seconds: f64,
    /// Bytes that a checkpoint may keep of the classifier, at most; `u64::MAX` for no limit.
    pub bytes: u64,
    /// What all that is random follows from.
    pub seed: u64,
}

impl Default for LearnOptions {
    fn default() -> Self {
        Self {
            parts: Present { network: false, ..Present::ALL },
            counts: CountOptions::default(),
            neighbours: NeighbourOptions::default(),
            linear: LinearOptions::default(),
            searched: 0,
            hard: 25,
            random: 30,
            exhaustive: 20_000_000,
            held_out: 5000,
            seconds: f64::INFINITY,
            bytes: u64::MAX,
            seed: 1,
        }
    }
}

/// What is done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Counts and neighbours are built of the samples that are not held out.
    Memories,
    /// Each training sample names the labels that it is mistaken for.
    Negatives,
    /// These labels are trained on the samples that are not held out.
    Trial(Range<usize>),
    /// This part of so many parts of the training of a network, on the samples that are not held out. Whoever does the stages trains it,
    /// and gives it to the learner once it is done: see [`Learner::add_network`](super::Learner::add_network).
    Network(usize, usize),
    /// The mixture is fitted to the samples that are, and memories are built of all samples.
    Mixture,
    /// These labels are trained on all samples.
    Linear(Range<usize>),
    /// The parts are made smaller until they fit.
    Pruning,
}

impl Stage {
    /// Whether it is the training of a network.
    pub fn is_network(&self) -> bool {
        matches!(self, Stage::Network(..))
    }

    /// Its name in logs.
    pub fn name(&self) -> &'static str {
        match self {
            Stage::Memories => "memories",
            Stage::Negatives => "negatives",
            Stage::Trial(_) => "trial",
            Stage::Network(..) => "network",
            Stage::Mixture => "mixture",
            Stage::Linear(_) => "linear",
            Stage::Pruning => "pruning",
        }
    }
}

/// Pieces that the labels are trained in, so that a run can be watched, and stopped between two.
const PIECES: usize = 8;

/// Pieces of the training of a network, which takes longer.
const STEPS: usize = 40;

impl LearnOptions {
    /// Candidates of counts, for samples with these labels.
    pub(super) fn searched(&self, labels: &Ragged<u32>) -> usize {
        match self.searched {
            0 => (5 * labels.items().len()).div_ceil(labels.len().max(1)).clamp(40, 100),
            searched => searched,
        }
    }

    /// All stages for so many labels.
    pub fn stages(&self, labels: usize) -> Vec<Stage> {
        let pieces = |stage: fn(Range<usize>) -> Stage| {
            let cut = move |piece: usize| labels * piece / PIECES;
            (0..PIECES).map(move |piece| stage(cut(piece)..cut(piece + 1)))
        };
        let mut stages = vec![Stage::Memories];
        if self.parts.linear {
            stages.push(Stage::Negatives);
            stages.extend(pieces(Stage::Trial));
        }
        if self.parts.network {
            stages.extend((0..STEPS).map(|part| Stage::Network(part, STEPS)));
        }
        stages.push(Stage::Mixture);
        if self.parts.linear {
            stages.extend(pieces(Stage::Linear));
        }
        if self.bytes < u64::MAX {
            stages.push(Stage::Pruning);
        }
        stages
    }

    /// Which of so many samples are held out: a tenth of them, or fewer.
    pub(super) fn hold_out(&self, samples: usize) -> Vec<bool> {
        let count = (samples / 10).min(self.held_out);
        let (mut held_out, mut random, mut left) = (vec![false; samples], Random(self.seed ^ 0x686f_6c64), count);
        // Selection sampling (Knuth, volume 2, algorithm 3.4.2S).
        for (sample, held_out) in held_out.iter_mut().enumerate() {
            *held_out = random.below(samples - sample) < left;
            left -= usize::from(*held_out);
        }
        held_out
    }
}
