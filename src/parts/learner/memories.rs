//! The memories of a learner, and the samples that they remember.

use std::time::Instant;

use super::Learner;
use crate::data::Batch;
use crate::parts::costs::of_pairs;
use crate::parts::terms::Present;
use crate::parts::{CountMemory, NeighbourMemory};

impl Learner {
    /// The samples that are not held out, which a network is to be trained on.
    pub fn others(&self, samples: &Batch) -> Batch {
        let mut others = Batch::new(samples.features.dim());
        for sample in (0..samples.len()).filter(|&sample| !self.held_out[sample]) {
            let (ids, values) = samples.features.entries(sample);
            others.features.push(ids, values).expect("it was a vector before");
            others.labels.push(samples.labels.row(sample).iter().copied());
        }
        others
    }

    /// Makes the memories among `parts` of `samples`.
    pub(super) fn remember(&mut self, samples: &Batch, parts: Present) {
        (self.classifier.counts, self.classifier.neighbours) = (None, None);
        if !parts.counts && !parts.neighbours {
            return;
        }
        let (options, labels) = (&self.options, self.classifier.frequencies.len());
        let start = Instant::now();
        let memory = NeighbourMemory::new(samples.features.clone(), samples.labels.clone(), options.neighbours);
        // Counts need the samples of each feature too.
        let cost = if parts.neighbours { &mut self.costs.neighbours } else { &mut self.costs.counts };
        *cost += of_pairs(0, start.elapsed());
        let start = Instant::now();
        self.classifier.counts =
            parts.counts.then(|| CountMemory::new(samples, memory.postings(), labels, &options.counts));
        self.costs.counts += of_pairs(0, start.elapsed());
        self.classifier.neighbours = parts.neighbours.then_some(memory);
    }
}
