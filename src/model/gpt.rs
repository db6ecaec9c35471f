//! A GPT: blocks of attention and feed-forward layers on a residual stream, all of them normalised at their input.
//!
//! ```text
//! tokens -> table -> [+ attention] [+ feed-forward]  x layers -> norm -> head -> loss
//! ```

mod block;
mod generate;
mod head;
mod measure;
mod memories;
mod neurons;
#[cfg(test)]
mod tests;

use crate::config::lm::feed_forward::FeedForwardKind;
use crate::config::lm::{Model, Parts};
use crate::error::{Error, Result};
use crate::kernels::{Level, MatMut};
use crate::layer::attention::rotations;
use crate::layer::{Buffer, Dense, DenseHead, Embedding, RmsNorm, TOKEN_DEVIATION, TokenRows, Workspace, look_up};
use crate::module::Module;
use crate::optim::{Rule, Step};

use block::feed_forward_name;
use memories::MemoriesSaved;

pub use block::{Block, BlockSaved};
pub use generate::KvCache;
pub use head::Head;
pub use memories::Memories;
pub use neurons::Neurons;

/// The network.
#[derive(Debug)]
pub struct Gpt {
    model: Model,
    /// Absent if the head's weights are the table.
    pub embedding: Option<Embedding>,
    /// From the table to the head.
    pub blocks: Vec<Block>,
    /// Before the head.
    pub norm: RmsNorm,
    /// (vocabulary, D): the weights of the head.
    pub output: Dense,
    /// What is done with them.
    pub head: Head,
    /// Tables that are read before blocks.
    pub memories: Memories,
    saved: Saved,
}

crate::module!(Gpt { embedding, blocks, norm, output, memories, head } then update_head);

/// What the forward pass leaves for the backward pass; used again by the next batch.
#[derive(Debug, Default)]
struct Saved {
    /// (T, D): the residual stream before each block, and after the last.
    streams: Vec<Buffer>,
    saved: Vec<BlockSaved>,
    /// (T, D): the last of the streams, normalised.
    last: Buffer,
    rstd: Vec<f32>,
    tokens: TokenRows,
    memories: MemoriesSaved,
}

impl Gpt {
    /// A `model` of `vocabulary` tokens with the random weights of `seed`; `optim` decides what state parameters carry.
    ///
    /// # Panics
    ///
    /// If the model cannot be or the system refuses the memory: see [`try_new`](Self::try_new).
    ///
    /// ```
    /// use hotrow::{config::{Optim, lm::Model}, model::Gpt};
    /// let gpt = Gpt::new(&Model::preset("tiny")?, &Optim::default(), 256, 1);
    /// assert_eq!((gpt.vocabulary(), gpt.context()), (256, 128));
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    #[track_caller]
    pub fn new(model: &Model, rule: impl Into<Rule>, vocabulary: usize, seed: u64) -> Self {
        Self::try_new(model, rule, vocabulary, seed).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`new`](Self::new).
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the model fails its [`check`](Model::check) or there is no token, [`Error::Memory`] if the system refuses
    /// the memory.
    ///
    /// ```
    /// use hotrow::{config::{Optim, lm::Model}, model::Gpt};
    /// let odd = Model { width: 7, heads: 2, ..Model::default() };
    /// assert!(Gpt::try_new(&odd, &Optim::default(), 256, 1).unwrap_err().to_string().starts_with("model."));
    /// ```
    pub fn try_new(model: &Model, rule: impl Into<Rule>, vocabulary: usize, seed: u64) -> Result<Self> {
        model.check()?;
        if vocabulary == 0 {
            return Err(Error::config("vocabulary", "0: a network of no tokens"));
        }
        let (width, rope, rule) = (model.width, rotations(model), rule.into());
        let output = if model.tied { "embedding" } else { "head" };
        let embedding = (!model.tied).then(|| Embedding::try_new("embedding", vocabulary, width, rule, seed));
        let blocks = (0..model.layers).map(|layer| Block::try_new(layer, model, rope.clone(), rule, seed));
        Ok(Self {
            embedding: embedding.transpose()?,
            blocks: blocks.collect::<Result<_>>()?,
            norm: RmsNorm::try_new("norm", width, rule)?,
            output: Dense::try_new(output, vocabulary, width, TOKEN_DEVIATION, model.precision, rule, seed)?,
            head: Head::Dense(DenseHead::default()),
            memories: Memories::default(),
            model: model.clone(),
            saved: Saved::default(),
        })
    }

    /// As [`new`](Self::new), with the memories and the head that `parts` has beside the trunk. `hot` are the tokens that are in
    /// every sample of a sampled head, such as the most frequent ones (see [`Head::hot`](crate::config::lm::Head::hot())).
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the parts cannot be or there is no token, [`Error::Memory`] if the system refuses the memory.
    ///
    /// # Panics
    ///
    /// If a hot token is not below the vocabulary.
    ///
    /// ```
    /// use hotrow::config::{Optim, lm::{Memory, Model, Ngram, Parts}};
    /// use hotrow::{kernels::Level, model::Gpt, module::Module};
    /// let parts = Parts {
    ///     model: Model { width: 8, heads: 2, layers: 2, context: 4, ..Model::default() },
    ///     ngram: Ngram { rows: 50, ..Ngram::default() },
    ///     memory: Memory { slots: 64, key_width: 4, ..Memory::default() },
    ///     ..Parts::default()
    /// };
    /// let gpt = Gpt::with_parts(&parts, &Optim::default(), 10, vec![], 1, Level::detect())?;
    /// assert_eq!(gpt.parameter_count(), parts.parameters(10));
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    #[track_caller]
    pub fn with_parts(
        parts: &Parts,
        rule: impl Into<Rule>,
        vocabulary: usize,
        hot: Vec<u32>,
        seed: u64,
        level: Level,
    ) -> Result<Self> {
        parts.check()?;
        let rule = rule.into();
        let mut gpt = Self::try_new(&parts.model, rule, vocabulary, seed)?;
        if parts.feed_forward.kind != FeedForwardKind::Dense {
            for (layer, block) in gpt.blocks.iter_mut().enumerate() {
                let (name, options) = (feed_forward_name(layer), &parts.feed_forward);
                block.feed_forward = Neurons::new(&name, options, &parts.model, rule, seed, level)?;
            }
        }
        gpt.memories = Memories::new(parts, rule, seed, level)?;
        gpt.head = Head::new(&parts.head, hot, &gpt.output, seed, level)?;
        Ok(gpt)
    }

    /// Forward and backward of `tokens`, sequences of `length` one after the other, with the token that follows each as
    /// `targets`. Gradients are added up. Returns the sum of the losses of all targets, in nats.
    ///
    /// # Panics
    ///
    /// If the numbers of tokens and targets differ, `length` is above the context or does not divide them, or one is not below
    /// the vocabulary.
    ///
    /// ```
    /// use hotrow::config::{Optim, OptimizerName, lm::Model};
    /// use hotrow::{kernels::Level, layer::Workspace, model::Gpt, module::Module, optim::Step};
    /// let optim = Optim { name: OptimizerName::AdamDense, ..Optim::default() };
    /// let model = Model { width: 8, heads: 2, layers: 1, context: 4, ..Model::default() };
    /// let (mut gpt, work) = (Gpt::new(&model, &optim, 10, 1), &mut Workspace::new(Level::detect()));
    /// let mut losses = (1..=20).map(|number| {
    ///     let loss = gpt.accumulate(work, &[1, 2, 3, 4], &[2, 3, 4, 5], 4);
    ///     gpt.update(work, &Step { number, lr: 0.01, grad_scale: 0.25, seed: 1 });
    ///     loss
    /// });
    /// assert!(losses.next().unwrap() > 2.0 * losses.last().unwrap());
    /// ```
    #[track_caller]
    pub fn accumulate(&mut self, work: &mut Workspace, tokens: &[u32], targets: &[u32], length: usize) -> f64 {
        self.check(tokens, targets, length);
        let (count, width) = (tokens.len(), self.model.width);
        if count == 0 {
            return 0.0;
        }
        self.saved.streams.resize_with(self.blocks.len() + 1, Buffer::default);
        self.saved.saved.resize_with(self.blocks.len(), BlockSaved::default);
        self.saved.streams.iter_mut().for_each(|stream| stream.shape(count, width));
        let mut first = std::mem::take(&mut self.saved.streams[0]);
        self.look_up(work, tokens, first.view_mut());
        let Saved { streams, saved, last, rstd, tokens: rows, memories } = &mut self.saved;
        streams[0] = first;
        self.memories.look_up(work, tokens, length, memories);
        for ((block, saved), at) in self.blocks.iter().zip(saved.iter_mut()).zip(0..) {
            let (below, above) = streams.split_at_mut(at + 1);
            self.memories.forward(work, at, &mut below[at], memories);
            block.forward(work, below[at].view(), length, above[0].view_mut(), saved);
        }
        let end = streams.last().expect("a stream before and after each block").view();
        last.shape(count, width);
        rstd.resize(count, 0.0);
        self.norm.forward(work, end, last.view_mut(), rstd);
        let (mut dx, mut dbelow) = (work.buffer(count, width), work.buffer(count, width));
        let loss = self.head.accumulate(work, &mut self.output, last.view(), targets, dbelow.view_mut());
        dx.slice_mut().fill(0.0);
        self.norm.backward(work, end, rstd, dbelow.view(), dx.view_mut());
        for (at, ((block, saved), x)) in self.blocks.iter_mut().zip(saved.iter()).zip(streams.iter()).enumerate().rev()
        {
            block.backward(work, x.view(), length, saved, dx.view(), dbelow.view_mut());
            std::mem::swap(&mut dx, &mut dbelow);
            self.memories.backward(work, at, &mut dx, memories);
        }
        self.memories.accumulate(work, memories);
        match &mut self.embedding {
            Some(embedding) => embedding.backward(work, tokens, dx.view()),
            None => {
                rows.sort(tokens);
                rows.add_to(dx.view(), self.output.gradient_mut(), &[]);
            }
        }
        work.give_back(dx);
        work.give_back(dbelow);
        loss
    }

    /// The Euclidean length of the sum of the gradients.
    pub fn gradient_norm(&mut self, work: &mut Workspace) -> f64 {
        self.squared_gradient(work).sqrt()
    }

    /// After all parameters have moved, the index of the output layer follows them.
    fn update_head(&mut self, work: &mut Workspace, step: &Step) {
        self.head.updated(work, &self.output, step.number.into());
    }

    /// Tokens that the model knows.
    pub fn vocabulary(&self) -> usize {
        self.output.outputs()
    }

    /// Most tokens of a sequence.
    pub fn context(&self) -> usize {
        self.model.context
    }

    /// The shape of the network.
    pub fn model(&self) -> &Model {
        &self.model
    }

    fn look_up(&self, work: &mut Workspace, tokens: &[u32], x: MatMut<f32>) {
        match &self.embedding {
            Some(embedding) => embedding.forward(work, tokens, x),
            None => look_up(work, self.output.weights(), tokens, x),
        }
    }

    #[track_caller]
    fn check(&self, tokens: &[u32], targets: &[u32], length: usize) {
        assert_eq!(tokens.len(), targets.len(), "tokens and targets differ in number");
        self.check_tokens(tokens);
        self.check_tokens(targets);
        let context = self.context();
        assert!(length > 0 && length <= context, "sequences of {length} tokens for a context of {context}");
        assert!(tokens.len().is_multiple_of(length), "{} tokens are no whole sequences of {length}", tokens.len());
    }

    #[track_caller]
    fn check_tokens(&self, tokens: &[u32]) {
        let vocabulary = self.vocabulary();
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= vocabulary) {
            panic!("token {token} is not below the vocabulary {vocabulary}");
        }
    }
}
