//! A language model with all that its steps need.

use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::estimate::{check_fits, plan_network};
use crate::checkpoint::{Contents, Loaded, TrainerState};
use crate::config::RunConfig;
use crate::config::lm::Lm;
use crate::config::lm::feed_forward::FeedForwardKind;
use crate::data::Sequences;
use crate::data::tokens::{TOKENIZER, Tokenizer};
use crate::error::Result;
use crate::flops::Phase;
use crate::kernels::Level;
use crate::layer::Workspace;
use crate::model::Gpt;
use crate::module::Module;
use crate::optim::Scope;
use crate::train::network::{self, Loss, Network};
use crate::train::run::View;
use crate::train::state::{self, fill_weights, open_weights, other_kind, restore_each};
use crate::train::step::{Course, step};

/// What has to be known to make the network that a checkpoint is of: its `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// What it is a checkpoint of.
    pub task: String,
    /// The configuration of the run, with the size of the vocabulary.
    pub config: Lm,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// Tokens that are in every sample of a sampled head.
    #[serde(default)]
    pub hot: Vec<u32>,
    /// Rises where the same weights come to mean something else: with 1, shares of routed blocks began to add up to their number.
    #[serde(default)]
    pub revision: u32,
    /// The token between documents, which ends a text, or none; nothing is said by versions that took it from the tokenizer.
    #[serde(default)]
    pub end_of_text: Option<Vec<u32>>,
}

const REVISION: u32 = 1;

const TASK: &str = "lm";

/// A language model in training.
#[derive(Debug)]
pub struct Trainer {
    /// What decides what is computed; its vocabulary is a number.
    pub config: Lm,
    /// The network.
    pub network: Gpt,
    /// Counts of what has been done, and memory that is used again.
    pub work: Workspace,
    /// Steps done.
    pub steps: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
    hot: Vec<u32>,
    pub(super) batch: TokenBatch,
}

/// Sequences that a step learns from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenBatch {
    /// One sequence after the other.
    pub tokens: Vec<u32>,
    /// What follows each token.
    pub targets: Vec<u32>,
    /// Tokens of a sequence.
    pub length: usize,
    /// Sequences that go through the network together.
    pub micro_batch: usize,
}

impl Network for Gpt {
    type Batch = TokenBatch;

    fn accumulate(&mut self, work: &mut Workspace, batch: &TokenBatch, _step: u64) -> Loss {
        let (length, samples) = (batch.length, batch.tokens.len());
        let parts =
            batch.tokens.chunks(batch.micro_batch * length).zip(batch.targets.chunks(batch.micro_batch * length));
        let sum = parts.map(|(tokens, targets)| Gpt::accumulate(self, work, tokens, targets, length)).sum();
        Loss { sum, samples }
    }

    /// Weights so large that a norm's sum of squares overflows make every activation zero, and the loss that of guessing.
    fn broken(&self, loss: f64, gradient_norm: f64) -> Option<&'static str> {
        let what = "the sum of squares of a norm, whose input has grown so far that no gradient is left,";
        (gradient_norm == 0.0 && loss > 0.0).then_some(what)
    }
}

/// What a step has done.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepReport {
    /// Mean over the tokens, in nats.
    pub loss: f64,
    /// Learning rate.
    pub lr: f32,
    /// Tokens of the step.
    pub tokens: usize,
    /// Euclidean length of the mean gradient, before it was clipped.
    pub gradient_norm: f64,
    /// Pairs of a token and a row of the head that were computed.
    pub pairs: u64,
}

impl Trainer {
    /// A new network, before its first step. A sampled head computes the `hot` tokens always.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::error::Error::Config) if the parts of the network cannot be.
    ///
    /// # Panics
    ///
    /// If the vocabulary is 0: whoever has the tokenizer knows it.
    #[track_caller]
    pub fn new(config: Lm, hot: Vec<u32>, total_steps: u64, level: Level) -> Result<Self> {
        Self::within(&Scope::fresh(&config.optim, config.train.seed, level), config, hot, total_steps)
    }

    /// The same for a checkpoint to fill.
    #[track_caller]
    pub(super) fn to_restore(config: Lm, hot: Vec<u32>, total_steps: u64, level: Level) -> Result<Self> {
        Self::within(&Scope::saved(&config.optim, config.train.seed, level), config, hot, total_steps)
    }

    #[track_caller]
    fn within(scope: &Scope, config: Lm, hot: Vec<u32>, total_steps: u64) -> Result<Self> {
        let (vocabulary, level) = (config.model.vocabulary, scope.level());
        assert!(vocabulary > 0, "a vocabulary of no tokens");
        let network = Gpt::new(scope, &config.parts(), vocabulary, hot.clone())?;
        let (length, micro_batch) = (config.context(), config.micro_batch());
        let batch = TokenBatch { length, micro_batch, ..TokenBatch::default() };
        Ok(Self { config, network, work: Workspace::new(level), steps: 0, total_steps, hot, batch })
    }

    /// One step on the sequences that are its own.
    ///
    /// # Errors
    ///
    /// [`Error::Diverged`](crate::error::Error::Diverged) if the loss or the gradient is not finite; the weights are those of before the step.
    pub fn step(&mut self, sequences: &mut Sequences) -> Result<StepReport> {
        let start = Instant::now();
        sequences.read(self.steps, &mut self.batch.tokens, &mut self.batch.targets);
        self.work.costs.time(Phase::Read, start.elapsed());
        let (course, before) = (course(&self.config, self.total_steps), self.network.head.pairs());
        let report = step(&mut self.network, &mut self.work, &self.batch, &course, self.steps)?;
        self.steps += 1;
        let network::StepReport { loss, samples, gradient_norm } = report;
        let all = (samples * self.network.vocabulary()) as u64;
        let pairs = self.network.head.pairs().map_or(all, |after| after - before.unwrap_or(0));
        Ok(StepReport { loss, lr: course.lr(self.steps), tokens: samples, gradient_norm, pairs })
    }

    /// Brings rows that slept through steps up to date, before weights are read as a whole: for an evaluation, or to generate.
    pub fn settle(&mut self) {
        course(&self.config, self.total_steps).settle(&mut self.network, &self.work, self.steps);
    }

    pub(super) fn view(&self) -> View<'_> {
        View { network: &self.network, work: &self.work, steps: self.steps, seed: self.config.train.seed }
    }

    /// What a checkpoint holds of it, and the tokenizer. `state` is what the caller wants back.
    pub fn contents<'a>(&'a self, tokenizer: &'a Tokenizer, state: TrainerState) -> Contents<'a> {
        let (task, config, hot) = (TASK.to_owned(), self.config.clone(), self.hot.clone());
        let end_of_text = Some(Vec::from_iter(tokenizer.end_of_text()));
        let shape = Shape { task, config, total_steps: self.total_steps, hot, revision: REVISION, end_of_text };
        let tensors = state::tensors(&self.network);
        let others = vec![(TOKENIZER, tokenizer.json())];
        let shape = serde_json::to_value(shape).expect("options are JSON");
        Contents { tensors, others, ..Contents::new(state, shape) }
    }

    /// The trainer of a checkpoint, as it was when it was saved, and its tokenizer.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`](crate::error::Error::Checkpoint) if it is of another network than its own `config.json` says, or of no language model;
    /// [`Error::Config`](crate::error::Error::Config) if this machine has no memory for it.
    pub fn load(loaded: &Loaded, level: Level) -> Result<(Self, Tokenizer)> {
        let (mut trainer, tokenizer) = Self::of_shape(loaded, level)?;
        trainer.restore(loaded)?;
        Ok((trainer, tokenizer))
    }

    /// The last checkpoint of a run, or the checkpoint `path`, to be asked and not to go on: the state of the optimiser is left where it
    /// is, and need not be there.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn open(path: &Path, level: Level) -> Result<(Self, Tokenizer)> {
        let loaded = open_weights(path)?;
        let (mut trainer, tokenizer) = Self::of_shape(&loaded, level)?;
        fill_weights(&loaded, &mut trainer.network)?;
        restore_each(&loaded, trainer.network.indexes_mut(), |index, state| index.restore(state))?;
        trainer.steps = loaded.state().step;
        Ok((trainer, tokenizer))
    }

    /// A trainer as the checkpoint's `config.json` says, without its weights, and its tokenizer.
    fn of_shape(loaded: &Loaded, level: Level) -> Result<(Self, Tokenizer)> {
        let shape = shape(loaded)?;
        let tokenizer = Tokenizer::from_json(loaded.bytes(TOKENIZER)?);
        let tokenizer = tokenizer.map_err(|message| loaded.refuse(TOKENIZER, message))?;
        let vocabulary = shape.config.model.vocabulary;
        if tokenizer.vocabulary() > vocabulary {
            let message = format!("has {} tokens, more than the network's {vocabulary}", tokenizer.vocabulary());
            return Err(loaded.refuse(TOKENIZER, message));
        }
        let tokenizer = match &shape.end_of_text {
            Some(tokens) => {
                if let Some(token) = tokens.iter().find(|&&token| token as usize >= tokenizer.vocabulary()) {
                    let message = format!("end_of_text: {token} is no token of the tokenizer");
                    return Err(loaded.refuse("config.json", message));
                }
                tokenizer.with_end_of_text(tokens.first().copied())
            }
            None => tokenizer.with_usual_end_of_text(),
        };
        if let Some(hot) = shape.hot.iter().find(|&&token| token as usize >= vocabulary) {
            return Err(loaded.refuse("config.json", format!("hot: {hot} is not below the vocabulary ({vocabulary})")));
        }
        check_fits("the network", &plan_network(&shape.config, vocabulary, level)?)?;
        Ok((Self::to_restore(shape.config, shape.hot, shape.total_steps, level)?, tokenizer))
    }

    /// Takes weights, optimiser state and indexes from a checkpoint of a network of the same shape.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`](crate::error::Error::Checkpoint) if it is of another shape, or of no language model.
    pub fn restore(&mut self, loaded: &Loaded) -> Result<()> {
        shape(loaded)?;
        self.steps = state::restore(loaded, &mut self.network)?;
        Ok(())
    }
}

/// What the steps of a run of `steps` steps follow from.
fn course(config: &Lm, steps: u64) -> Course<'_> {
    Course { optim: &config.optim, steps, seed: config.train.seed }
}

/// What a checkpoint says of the network that it is of.
pub(super) fn shape(loaded: &Loaded) -> Result<Shape> {
    let is_xmc = loaded.config().get("task").is_none() && loaded.config().get("labels").is_some();
    other_kind(loaded, is_xmc, "xmc", "lm")?;
    let wrong = |error| loaded.refuse("config.json", format!("not the options of a language model: {error}"));
    let shape: Shape = serde_json::from_value(loaded.config().clone()).map_err(wrong)?;
    if shape.task != TASK || shape.config.model.vocabulary == 0 {
        return Err(loaded.refuse("config.json", "not the options of a language model".to_owned()));
    }
    shape.config.check().map_err(|error| loaded.refuse("config.json", format!("options that cannot be: {error}")))?;
    if shape.revision == 0 && shape.config.feed_forward.kind == FeedForwardKind::Blocks {
        let message =
            "is of a version in which routed blocks of neurons weighed less, where its weights meant another network";
        return Err(loaded.refuse("config.json", message.to_owned()));
    }
    Ok(shape)
}
