//! What is a language model's own in a run.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::begin::{TRAIN_DIGEST, VALID_DIGEST};
use super::evaluate::evaluate_until;
use super::{Files, StepReport, Trainer};
use crate::checkpoint::{Contents, TrainerState};
use crate::data::Sequences;
use crate::error::{Error, Result};
use crate::generate::{Generation, generate};
use crate::layer::Workspace;
use crate::run::{MetricsLog, Report, Summary};
use crate::train::inspect::Health;
use crate::train::run::{Evaluated, Task, View};
use crate::train::step::diverged;
use crate::train::totals::{Counts, Sums};

/// A language model in a run.
pub struct LanguageModel {
    pub files: Files,
    pub sequences: Sequences,
    pub trainer: Trainer,
}

/// What steps are counted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    tokens: u64,
    gradient_norm: f64,
    /// Pairs of a token and a row of the head that were computed, and the tokens since they are counted.
    #[serde(default)]
    pairs: u64,
    #[serde(default)]
    counted: u64,
}

impl Counted {
    /// Rows of the head that a token computes, on average.
    fn union_rows(&self) -> f64 {
        self.pairs as f64 / self.counted.max(1) as f64
    }
}

impl Counts for Counted {
    fn samples(&self) -> u64 {
        self.tokens
    }

    fn add(&mut self, more: Self) {
        self.tokens += more.tokens;
        self.gradient_norm += more.gradient_norm;
        self.pairs += more.pairs;
        self.counted += more.counted;
    }
}

impl LanguageModel {
    /// Passes over the training file so far.
    fn epochs(&self) -> f64 {
        self.sequences.epochs(self.trainer.steps)
    }

    /// What the network goes on with at this step, if that is wanted and possible. The same network has the same sample.
    fn sample(&self) -> Result<Option<String>> {
        let (train, trainer) = (&self.trainer.config.train, &self.trainer);
        let mut text = train.sample.clone();
        let empty = text.is_empty() && self.files.tokenizer.end_of_text().is_none();
        if train.sample_tokens == 0 || empty {
            return Ok(None);
        }
        let options = Generation { seed: train.seed, max_tokens: train.sample_tokens, ..Generation::default() };
        let work = &mut crate::layer::Workspace::new(trainer.work.level);
        let mut write = |more: &str| {
            text += more;
            Ok(())
        };
        match generate(&trainer.network, work, &self.files.tokenizer, &train.sample, &options, &mut write) {
            // The prompt was looked at before the run began: what is left is that there are no scores.
            Err(Error::Data { .. }) => Err(diverged(trainer.steps, "the scores of a sample")),
            done => done.map(|_| Some(text)),
        }
    }
}

impl Task for LanguageModel {
    type Counts = Counted;
    const NAME: &'static str = "train lm";
    const UNIT: &'static str = "tokens";

    fn view(&self) -> View<'_> {
        self.trainer.view()
    }

    fn work(&mut self) -> &mut Workspace {
        &mut self.trainer.work
    }

    fn settle(&mut self) {
        self.trainer.settle();
    }

    fn inspect_every(&self) -> u64 {
        self.trainer.config.head.inspect_every
    }

    fn inspect(&mut self) -> Option<Health> {
        self.trainer.inspect(&mut self.sequences)
    }

    fn step(&mut self, _: &mut MetricsLog) -> Result<(f64, Counted)> {
        let StepReport { loss, tokens, gradient_norm, pairs, .. } = self.trainer.step(&mut self.sequences)?;
        let counts = Counted { tokens: tokens as u64, gradient_norm, pairs, counted: tokens as u64 };
        Ok((loss * tokens as f64, counts))
    }

    fn report(&self, recent: &Sums<Counted>, report: &mut Report, event: &mut Value) {
        let share = recent.counts.union_rows() / self.trainer.network.vocabulary() as f64;
        report.epoch = self.epochs().ceil() as u64;
        report.active_share = (share < 1.0).then_some(share);
        event["epoch"] = json!(self.epochs());
        event["active_share"] = json!(share);
        event["gradient_norm"] = json!(recent.counts.gradient_norm / recent.steps as f64);
    }

    fn evaluate(&mut self, stop: &dyn Fn() -> bool) -> Result<Option<Evaluated>> {
        let Trainer { network, work, steps, config, .. } = &mut self.trainer;
        let context = config.context();
        let (mut evaluated, mut found) = (Evaluated::default(), Vec::new());
        if let Some(valid) = &self.files.valid {
            let Some(evaluation) = evaluate_until(network, work, valid, (context, context), stop)? else {
                return Ok(None);
            };
            if !evaluation.nats.is_finite() {
                return Err(diverged(*steps, "the validation loss"));
            }
            evaluated.metrics = evaluation.metrics();
            let (loss, perplexity) = (evaluation.loss(), evaluation.perplexity());
            let bits = evaluation.bits_per_byte();
            found.push(format!(": loss {loss:.4}, perplexity {perplexity:.2}, {bits:.4} bits a byte"));
        }
        let usage = network.memories.usage().into_iter();
        evaluated.metrics.extend(usage.map(|(key, value)| (key.to_owned(), value)));
        if let Some(sample) = self.sample()? {
            found.push(format!("; sample: {sample:?}"));
            evaluated.more.insert("sample".to_owned(), json!(sample));
        }
        evaluated.note = (!found.is_empty()).then(|| format!("step {}{}", self.trainer.steps, found.concat()));
        Ok(Some(evaluated))
    }

    fn contents(&self, mut state: TrainerState, total: &Counted) -> Contents<'_> {
        state.epoch = self.epochs() as u64;
        state.counters.insert("tokens".to_owned(), total.tokens);
        state.counters.insert(TRAIN_DIGEST.to_owned(), self.files.train.digest());
        state.counters.extend(self.files.valid.as_ref().map(|valid| (VALID_DIGEST.to_owned(), valid.digest())));
        self.trainer.contents(&self.files.tokenizer, state)
    }

    fn summary(&self, total: &Sums<Counted>, summary: Summary) -> Summary {
        let (rate, union_rows) = (summary.samples_per_second, total.counts.union_rows());
        Summary {
            epochs: self.epochs().ceil() as u64,
            passes: Some(self.epochs()),
            samples_per_second: rate / self.trainer.config.context() as f64,
            tokens_per_second: Some(rate),
            active_share: union_rows / self.trainer.network.vocabulary() as f64,
            union_rows,
            ..summary
        }
    }
}
