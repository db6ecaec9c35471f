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

use crate::config::lm::head::HeadMode;
use crate::config::lm::{Model, Parts};
use crate::error::{Error, Result};
use crate::kernels::MatMut;
use crate::layer::attention::rotations;
use crate::layer::{Buffer, Dense, DenseHead, Embedding, RmsNorm, TOKEN_DEVIATION, TokenRows, Workspace, look_up};
use crate::module::{Demand, Module};
use crate::optim::{Scope, Step};

use memories::MemoriesSaved;

pub use block::{Block, BlockSaved};
pub use generate::KvCache;
pub use head::Head;
pub use memories::Memories;
pub use neurons::{Neurons, NeuronsSaved};

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

crate::module!(Gpt { embedding, blocks, norm, output, memories, head } then update_head takes demand);

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
    /// A network of `parts` that knows `vocabulary` tokens. `hot` are the tokens that are in every sample of a sampled head, such as the
    /// most frequent ones (see [`Head::hot`](crate::config::lm::Head::hot())). Tables have the rules of their sections, unless a group
    /// of the scope says otherwise.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the parts cannot be or there is no token; see [`Scope::parameter`] and [`Scope::index`].
    ///
    /// # Panics
    ///
    /// If a hot token is not below the vocabulary.
    ///
    /// ```
    /// use hotrow::config::{Optim, lm::{Memory, Model, Ngram, Parts}};
    /// use hotrow::{kernels::Level, model::Gpt, module::Module, optim::Scope};
    /// let parts = Parts {
    ///     model: Model { width: 8, heads: 2, layers: 2, context: 4, ..Model::default() },
    ///     ngram: Ngram { rows: 50, ..Ngram::default() },
    ///     memory: Memory { slots: 64, key_width: 4, ..Memory::default() },
    ///     ..Parts::default()
    /// };
    /// let optim = Optim::default();
    /// let gpt = Gpt::new(&Scope::fresh(&optim, 1, Level::detect()), &parts, 10, vec![])?;
    /// let plan = Gpt::new(&Scope::plan(&optim, 1, Level::detect()), &parts, 10, vec![])?;
    /// assert_eq!((gpt.vocabulary(), gpt.parameter_count()), (10, plan.parameter_count()));
    /// let odd = Model { width: 7, heads: 2, ..Model::default() };
    /// let error = Gpt::new(&Scope::plan(&optim, 1, Level::detect()), &odd.into(), 10, vec![]).unwrap_err();
    /// assert!(error.to_string().starts_with("model."));
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    #[track_caller]
    pub fn new(scope: &Scope, parts: &Parts, vocabulary: usize, hot: Vec<u32>) -> Result<Self> {
        parts.check()?;
        if vocabulary == 0 {
            return Err(Error::config("vocabulary", "0: a network of no tokens"));
        }
        let (Parts { model, head, .. }, scope) = (parts, &Memories::groups(scope, parts));
        let (width, rope) = (model.width, rotations(model));
        let embedding = || Embedding::new(&scope.child("embedding"), vocabulary, width);
        let embedding = (!model.tied).then(embedding).transpose()?;
        let block = |layer: usize| Block::new(&scope.child(&format!("blocks.{layer}")), parts, rope.clone());
        let name = scope.child(if model.tied { "embedding" } else { "head" });
        let mut output = Dense::new(&name, vocabulary, width, TOKEN_DEVIATION, model.precision)?;
        if head.mode == HeadMode::Sampled {
            output = output.multiplied_in_part(head.computed(vocabulary));
        }
        Ok(Self {
            embedding,
            blocks: (0..model.layers).map(block).collect::<Result<_>>()?,
            norm: RmsNorm::new(&scope.child("norm"), width)?,
            memories: Memories::new(scope, parts)?,
            head: Head::new(scope, head, hot, &output)?,
            output,
            model: model.clone(),
            saved: Saved::default(),
        })
    }

    /// What stands between the layers: streams, normalised inputs and their gradients, and the logits of a dense head.
    fn demand(&self) -> (&str, Demand) {
        let numbers = 8 * self.model.width + 4 * self.model.inner();
        let scratch_bytes = match self.head {
            Head::Dense(_) => DenseHead::bytes(self.vocabulary(), self.model.width),
            Head::Sampled { .. } => 0,
        };
        ("head", Demand { activation_bytes: 4 * numbers as u64, scratch_bytes, ..Demand::default() })
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
    /// use hotrow::{kernels::Level, layer::Workspace, model::Gpt, module::Module, optim::{Scope, Step}};
    /// let optim = Optim { name: OptimizerName::AdamDense, ..Optim::default() };
    /// let model = Model { width: 8, heads: 2, layers: 1, context: 4, ..Model::default() };
    /// let mut gpt = Gpt::new(&Scope::fresh(&optim, 1, Level::detect()), &model.into(), 10, vec![])?;
    /// let work = &mut Workspace::new(Level::detect());
    /// let mut losses = (1..=20).map(|number| {
    ///     let loss = gpt.accumulate(work, &[1, 2, 3, 4], &[2, 3, 4, 5], 4);
    ///     gpt.update(work, &Step { number, lr: 0.01, grad_scale: 0.25, seed: 1 });
    ///     loss
    /// });
    /// assert!(losses.next().unwrap() > 2.0 * losses.last().unwrap());
    /// # Ok::<(), hotrow::error::Error>(())
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
        self.norm.backward_add(work, end, rstd, dbelow.view(), dx.view_mut());
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
        self.head.follow(work, &self.output, step);
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
