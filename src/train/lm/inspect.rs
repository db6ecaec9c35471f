//! How good the samples of a head are: a look at some tokens with the whole vocabulary computed.

use super::Trainer;
use crate::data::Sequences;
use crate::model::Head;
use crate::train::inspect::{Health, SAMPLES};

impl Trainer {
    /// Looks at the first sample of the head that the next step on `sequences` would draw; nothing of the run changes by it. `None`
    /// where every token of the vocabulary is computed.
    pub fn inspect(&mut self, sequences: &mut Sequences) -> Option<Health> {
        let Head::Sampled { sampled, .. } = &self.network.head else { return None };
        let (index, chunk) = (sampled.index().statistics(), sampled.config().chunk);
        let costs = self.work.costs;
        sequences.read(self.steps, &mut self.batch.tokens, &mut self.batch.targets);
        let context = self.config.context();
        let count = (chunk.div_ceil(context) * context).min(self.config.micro_batch() * context);
        let (tokens, targets) = (&self.batch.tokens[..count], &self.batch.targets[..count]);
        let looked = self.network.look(&mut self.work, tokens, targets, context, SAMPLES);
        // What it has cost is no cost of training.
        self.work.costs = costs;
        let (set, logits) = looked?;
        let all = (&logits[..], self.network.vocabulary());
        Some(Health::of((self.steps, index), self.work.level, all, &[(0..SAMPLES, set)]))
    }
}
