//! The search for samples that are taken for a label.

use std::time::Instant;

use rayon::prelude::*;

use super::Learner;
use crate::data::Batch;
use crate::flops::Meter;
use crate::kernels::Level;
use crate::parts::classifier::Own;
use crate::parts::descent::Random;
use crate::parts::neighbours::transposed;
use crate::ragged::Ragged;

/// Samples by which the time of a search is guessed.
const PROBED: usize = 500;

impl Learner {
    /// What the search for negatives will take, by that of a few samples.
    pub(super) fn seconds_of_search(&self, samples: &Batch, level: Level) -> f64 {
        let (count, labels) = (samples.len(), self.classifier.frequencies.len());
        if (count * labels) as u64 <= self.options.exhaustive {
            return 0.0;
        }
        let every = count.div_ceil(PROBED);
        let probed: Vec<usize> = (0..count).step_by(every).collect();
        let start = Instant::now();
        probed.par_iter().for_each_init(
            || self.classifier.lookup(level),
            |lookup, &sample| {
                let x = samples.features.entries(sample);
                self.classifier.search(x, None, (None, None), self.options.hard, lookup);
            },
        );
        start.elapsed().as_secs_f64() * every as f64
    }

    /// Of each label, the samples that do not have it and are taken for it, or are drawn; and the pairs that were read.
    pub(super) fn mistaken(&self, samples: &Batch, level: Level) -> (Ragged<u32>, u64) {
        let (count, labels) = (samples.len(), self.classifier.frequencies.len());
        if (count * labels) as u64 <= self.options.exhaustive {
            // A label without a sample is not trained.
            let all = |label: usize| match self.positives.row(label) {
                [] => Vec::new(),
                positives => others(count, positives),
            };
            return ((0..labels).map(all).collect(), 0);
        }
        let (classifier, hard) = (&self.classifier, self.options.hard);
        // Where memories have each sample, if it is not held out.
        let mut next = 0;
        let place = |&held_out: &bool| {
            let place = next;
            next += u32::from(!held_out);
            (!held_out).then_some(place)
        };
        let places: Vec<Option<u32>> = self.held_out.iter().map(place).collect();
        let meter = Meter::default();
        let named: Vec<Vec<u32>> = (0..count)
            .into_par_iter()
            .map_init(
                || classifier.lookup(level),
                |lookup, sample| {
                    let (x, labels) = (samples.features.entries(sample), samples.labels.row(sample));
                    let own = places[sample].map(|sample| Own { sample, labels });
                    let candidates = classifier.search(x, own, (None, None), hard, lookup);
                    meter.add(lookup.take_pairs());
                    let named = candidates.iter().map(|candidate| candidate.label);
                    named.filter(|label| labels.binary_search(label).is_err()).collect()
                },
            )
            .collect();
        let total = named.iter().map(Vec::len).sum();
        let hard = transposed(named.iter().map(Vec::as_slice), labels, total);
        let drawn: Vec<Vec<u32>> = (0..labels)
            .into_par_iter()
            .map(|label| {
                if self.positives.row(label).is_empty() {
                    return Vec::new();
                }
                let mut random = Random(self.options.seed ^ 0x6e65_6761 ^ (label as u64) << 20);
                let draws = (0..self.options.random).map(|_| random.below(count) as u32);
                let mut all: Vec<u32> = hard.row(label).iter().copied().chain(draws).collect();
                all.sort_unstable();
                all.dedup();
                all.retain(|sample| self.positives.row(label).binary_search(sample).is_err());
                all
            })
            .collect();
        (drawn.into_iter().collect(), meter.total())
    }
}

/// All samples below `count` that are not in `samples`.
fn others(count: usize, samples: &[u32]) -> Vec<u32> {
    (0..count as u32).filter(|sample| samples.binary_search(sample).is_err()).collect()
}
