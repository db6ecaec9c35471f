//! Whole models by name.

use super::feed_forward::FeedForwardKind;
use super::model::PRESETS;
use super::{FeedForwardOptions, Head, Memory, Model, Ngram, head::HeadMode};
use crate::error::{Error, Result};

/// The sections that decide what a language model is made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parts {
    /// The trunk.
    pub model: Model,
    /// Which neurons a token computes.
    pub feed_forward: FeedForwardOptions,
    /// Tables of n-grams.
    pub ngram: Ngram,
    /// Keys and values.
    pub memory: Memory,
    /// How the output layer is trained.
    pub head: Head,
}

/// Names of [`Parts::preset`] beside those of [`Model::preset`]: so many weights, nearly all in tables beside a small trunk.
pub const MEMORY_PRESETS: [&str; 3] = ["memory-1b", "memory-2.5b", "memory-7b"];

impl From<Model> for Parts {
    fn from(model: Model) -> Self {
        Self { model, ..Self::default() }
    }
}

impl Parts {
    /// The model called `name`: the trunks of [`Model::preset`] by themselves, and with tables of n-grams and of memories beside
    /// them `memory-1b` and `memory-2.5b` (the trunk of `small`; 1.0 and 2.5 billion weights) and `memory-7b` (`base`; 7.5).
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with the names there are, if `name` is none of them.
    ///
    /// ```
    /// use hotrow::config::{Optim, lm::Parts};
    /// use hotrow::{kernels::Level, model::Gpt, module::Module, optim::Scope};
    /// let plan = Scope::plan(&Optim::default(), 1, Level::detect());
    /// let network = Gpt::new(&plan, &Parts::preset("memory-2.5b")?, 50_257, vec![])?;
    /// assert_eq!(network.parameter_count(), 2_513_867_270);
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn preset(name: &str) -> Result<Self> {
        let tables = |trunk: &str, rows: usize, halves: usize, layers: Vec<usize>| -> Result<Self> {
            Ok(Self {
                model: Model::preset(trunk)?,
                feed_forward: FeedForwardOptions::default(),
                ngram: Ngram { rows, ..Ngram::default() },
                memory: Memory { slots: halves * halves, value_width: 256, layers, ..Memory::default() },
                head: Head { mode: HeadMode::Sampled, ..Head::default() },
            })
        };
        match name {
            // A trunk computes all of its weights for each token, tables a few rows: beside the trunk of `base` a token of
            // memory-2.5b took 194 million operations, beside that of `small` it takes 85.
            "memory-1b" => tables("small", 1 << 20, 768, vec![3]),
            "memory-2.5b" => tables("small", 11 << 18, 1024, vec![3]),
            "memory-7b" => tables("base", 7_000_000, 1024, vec![2, 5]),
            _ if PRESETS.contains(&name) => Ok(Self { model: Model::preset(name)?, ..Self::default() }),
            _ => {
                let names = [&PRESETS[..], &MEMORY_PRESETS].concat().join(", ");
                Err(Error::config("preset", format!("{name} is none of {names}")))
            }
        }
    }

    /// Whether every value is in its range and no two contradict each other.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with the first key that cannot be, its value and the limit.
    pub fn check(&self) -> Result<()> {
        self.model.check()?;
        self.feed_forward.check(&self.model)?;
        self.ngram.check(&self.model)?;
        self.memory.check(&self.model)?;
        self.head.check()
    }

    /// Rows that a token reads of the table of which it reads most.
    pub(super) fn touched(&self) -> usize {
        let Self { model, feed_forward, ngram, memory, .. } = self;
        let neurons =
            if feed_forward.kind == FeedForwardKind::Sampled { feed_forward.active.min(model.inner()) } else { 0 };
        let grams = if ngram.is_on() { ngram.heads * ngram.orders.len() } else { 0 };
        // Layers share the values.
        let slots = if memory.is_on() { memory.blocks(model).len() * memory.heads * memory.reads } else { 0 };
        neurons.max(grams).max(slots)
    }
}
