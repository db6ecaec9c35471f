//! How good the samples of a head are: a look at some tokens with the whole vocabulary computed.

use std::time::Instant;

use super::{Run, Trainer};
use crate::data::Sequences;
use crate::error::Result;
use crate::model::Head;
use crate::train::inspect::{Health, SAMPLES};

impl Trainer {
    /// Looks at the first sample of the head that the next step on `sequences` would draw; nothing of the run changes by it. `None`
    /// where every token of the vocabulary is computed.
    pub fn inspect(&mut self, sequences: &mut Sequences) -> Option<Health> {
        let Head::Sampled { sampled, .. } = &self.network.head else { return None };
        let (index, chunk) = (sampled.index().statistics(), sampled.config().chunk);
        let costs = self.work.costs;
        sequences.read(self.steps, &mut self.tokens, &mut self.targets);
        let context = self.config.context();
        let count = (chunk.div_ceil(context) * context).min(self.config.micro_batch() * context);
        let (tokens, targets) = (&self.tokens[..count], &self.targets[..count]);
        let looked = self.network.look(&mut self.work, tokens, targets, context, SAMPLES);
        // What it has cost is no cost of training.
        self.work.costs = costs;
        let (set, logits) = looked?;
        let all = (&logits[..], self.network.vocabulary());
        Some(Health::of((self.steps, index), self.work.level, all, &[(0..SAMPLES, set)]))
    }
}

impl Run {
    /// Looks at the next step's samples where that is due.
    pub(super) fn look(&mut self) -> Result<()> {
        let (every, next) = (self.trainer.config.head.inspect_every, self.trainer.steps + 1);
        if every == 0 || !next.is_multiple_of(every) {
            return Ok(());
        }
        let start = Instant::now();
        if let Some(health) = self.trainer.inspect(&mut self.sequences) {
            // It is about the step that comes: a resumed run cuts its log behind the last step it keeps.
            self.log.write("index", next, &health)?;
        }
        self.totals.seconds.index += start.elapsed().as_secs_f64();
        Ok(())
    }
}
