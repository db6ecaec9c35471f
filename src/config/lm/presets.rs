//! Whole models by name, and what their parts take.

use serde::Serialize;

use super::feed_forward::FeedForwardKind;
use super::model::{Activation, PRESETS, Precision};
use super::{FeedForwardOptions, Head, Memory, Model, Ngram, head::HeadMode};
use crate::config::{Optim, OptimizerName, Sparse};
use crate::error::{Error, Result};
use crate::kernels::Level;

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

/// The [`Component`] of what stands around tables of memories: keys of products, queries, gates.
pub(crate) const MEMORY_LAYERS: &str = "memory layers";

/// A part of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Component {
    /// What it is: `embedding and head`, `attention`, `feed-forward`, ...
    pub name: &'static str,
    /// Weights.
    pub parameters: u64,
    /// Memory in training: weights, gradients, the optimiser's state and packed copies.
    pub bytes: u64,
    /// Weights and the optimiser's state: what a checkpoint has of it.
    #[serde(skip)]
    pub saved_bytes: u64,
    /// Whether a step moves all of it.
    #[serde(skip)]
    pub dense: bool,
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
    /// use hotrow::config::lm::presets::Parts;
    /// let parts = Parts::preset("memory-2.5b")?;
    /// assert_eq!(parts.parameters(50_257), 2_513_867_270);
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

    /// Number of weights with a vocabulary of so many tokens, the same at any level.
    pub fn parameters(&self, vocabulary: usize) -> u64 {
        self.components(vocabulary, &Optim::default(), Level::PORTABLE)
            .iter()
            .map(|component| component.parameters)
            .sum()
    }

    /// The parts with a vocabulary of so many tokens and a trunk that is moved by `optim`, those that there are none of left out:
    /// at `level`, which decides how factors of products are packed. Activations come on top: see
    /// [`working_bytes`](Self::working_bytes).
    ///
    /// ```
    /// use hotrow::{config::{Optim, lm::presets::Parts}, kernels::Level};
    /// let parts = Parts::preset("gpt2-124m")?.components(50_257, &Optim::default(), Level::detect());
    /// assert_eq!(parts.iter().map(|part| part.name).collect::<Vec<_>>(), ["embedding and head", "attention", "feed-forward", "norms"]);
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn components(&self, vocabulary: usize, optim: &Optim, level: Level) -> Vec<Component> {
        let Self { model, feed_forward, ngram, memory, head } = self;
        let (width, layers) = (model.width, model.layers);
        let state = match optim.name {
            OptimizerName::Sgd => 0.0,
            OptimizerName::Momentum => 4.0,
            OptimizerName::RowwiseAdagrad | OptimizerName::RowwiseRmsprop => 4.0 / width as f64,
            _ if optim.eight_bit => 2.0,
            _ => 8.0,
        };
        // One for either direction. Without a unit that multiplies bf16 the panels hold rounded numbers as f32.
        let packed = if model.precision == Precision::Bf16 && level.tiles().is_some() { 4.0 } else { 8.0 };
        let part = |name, parameters: usize, beside: f64| {
            let bytes = |each: f64| (parameters as f64 * each) as u64;
            Component {
                name,
                parameters: parameters as u64,
                bytes: bytes(4.0 + state + beside),
                saved_bytes: bytes(4.0 + state),
                dense: true,
            }
        };
        // Of two tables one is only looked up in, and all rows of a sampled head are multiplied in evaluation only: forward.
        let copies = if model.tied { 1 } else { 2 };
        let multiplied = if head.mode == HeadMode::Sampled { 0.5 } else { 1.0 };
        // Gradients are f32.
        let product = |name, parameters| part(name, parameters, 4.0 + packed);
        let neurons = 2 * width * model.inner();
        let chosen = matches!(feed_forward.kind, FeedForwardKind::Sampled).then(|| feed_forward.sparse());
        let sampled = (head.mode == HeadMode::Sampled).then(|| head.sparse());
        let keys = memory.sparse().filter(|_| memory.is_on());
        let indexes = [
            (chosen, layers, model.inner(), width),
            (sampled, 1, vocabulary, width),
            (keys, memory.blocks(model).len(), memory.slots, memory.key_width),
        ];
        let bytes_of_index = |(index, count, rows, cols): (Option<Sparse>, usize, usize, usize)| {
            index.map_or(0, |index| count as u64 * index.index_bytes(rows, cols))
        };
        let feed_forward = match (feed_forward.kind, model.activation) {
            // Rows that are touched have gradients, and no product reads them.
            (FeedForwardKind::Sampled, _) => Component { dense: false, ..part("feed-forward", layers * neurons, 0.0) },
            // A router has a row and an offset for each block.
            (FeedForwardKind::Blocks, _) => {
                let blocks = model.inner() / feed_forward.neurons;
                product("feed-forward", layers * (neurons + blocks * (width + 1)))
            }
            (FeedForwardKind::Dense, Activation::Swiglu) => product("feed-forward", layers * neurons / 2 * 3),
            (FeedForwardKind::Dense, Activation::ReluSquared) => product("feed-forward", layers * neurons),
        };
        let gains = 2 * width + if model.qk_norm { 2 * model.head_width() } else { 0 };
        let values = memory.slots * memory.values(model);
        let own_keys = memory.sparse().map_or(0, |_| memory.blocks(model).len() * memory.slots * memory.key_width);
        let table =
            |name, parameters: u64, bytes: u64| Component { name, parameters, bytes, saved_bytes: bytes, dense: false };
        let slots = if memory.is_on() { memory.bytes(model) } else { 0 };
        let grams = if ngram.is_on() { ngram.bytes(model) } else { 0 };
        let all = [
            part("embedding and head", copies * vocabulary * width, 4.0 + multiplied * packed / copies as f64),
            product("attention", layers * 4 * width * width),
            feed_forward,
            part("norms", layers * gains + width, 4.0),
            table("n-gram tables", ngram.parameters(model), grams),
            table("memory keys and values", (values + own_keys) as u64, slots),
            product(MEMORY_LAYERS, (memory.parameters(model) as usize).saturating_sub(values + own_keys)),
            table("indexes", 0, indexes.into_iter().map(bytes_of_index).sum()),
        ];
        all.into_iter().filter(|part| part.bytes > 0).collect()
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

    /// About how many bytes a step needs beside the parts: activations of a micro-batch, and which tokens of the step touched
    /// which rows, until the update.
    pub fn working_bytes(&self, vocabulary: usize, micro_batch: usize, step: usize) -> u64 {
        let Self { model, feed_forward, ngram, memory, head } = self;
        // Streams, normalised inputs, queries, keys, values and their gradients, of which the backward pass reuses some.
        let activations = model.layers * (10 * model.width + model.inner()) + 8 * model.width + 4 * model.inner();
        let activations = activations + ngram.kept(model);
        let logits = match head.mode {
            HeadMode::Dense => dense_head_numbers(vocabulary, model.width),
            HeadMode::Sampled => head.chunk * head.computed(vocabulary),
        };
        // A row number and a factor, and those again in the order of rows.
        let touches = |entries: usize, width: usize| 40 * entries + 4 * width;
        let mut kept = 0;
        if feed_forward.kind == FeedForwardKind::Sampled {
            // Rows of both halves, each with an output gradient of its own.
            kept += 2 * model.layers * touches(feed_forward.active.min(model.inner()), model.width);
        }
        if ngram.is_on() {
            kept += touches(ngram.heads * ngram.orders.len(), model.width);
        }
        if memory.is_on() {
            kept += memory.blocks(model).len() * touches(memory.heads * memory.reads, memory.values(model));
            if memory.sparse().is_some() {
                // Keys of their own are rows like values.
                kept +=
                    memory.blocks(model).len() * touches(memory.heads * memory.reads, memory.heads * memory.key_width);
            }
        }
        (4 * (micro_batch * activations + logits) + step * kept) as u64
    }
}

/// Numbers that a dense head in training holds of a piece of 512 tokens: the logits, and sums of the gradient of its input, one for
/// each 1 536 rows. A test of [`DenseHead`](crate::layer::DenseHead) compares.
pub(crate) fn dense_head_numbers(vocabulary: usize, width: usize) -> usize {
    512 * (vocabulary + vocabulary.div_ceil(1536) * width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Optim;
    use crate::model::Gpt;
    use crate::module::Module;

    const VOCABULARY: usize = 50_257;

    #[test]
    fn presets_are_valid_and_have_the_weights_they_are_named_for() {
        for name in PRESETS.into_iter().chain(MEMORY_PRESETS) {
            Parts::preset(name).unwrap().check().unwrap();
        }
        let parameters = MEMORY_PRESETS.map(|name| Parts::preset(name).unwrap().parameters(VOCABULARY));
        // Orders x rows x width and a scale for each block, slots x values, the trunk with its token table, layers that read.
        let want = |width: u64, blocks: u64, rows: u64, halves: u64, reading: u64| {
            let trunk = blocks * (12 * width * width + 2 * width + 2 * 64) + width + VOCABULARY as u64 * width;
            let layer = width + width * 512 + 128 + 2 * width * 256 + 4 * halves * 128;
            2 * rows * width + blocks + halves * halves * 256 + trunk + reading * layer
        };
        let small = |rows, halves| want(384, 6, rows, halves, 1);
        assert_eq!(parameters, [small(1 << 20, 768), small(11 << 18, 1024), want(512, 8, 7_000_000, 1024, 2)]);
        for (parameters, billions) in parameters.into_iter().zip([1.0, 2.5, 7.5]) {
            assert!((parameters as f64 / 1e9 - billions).abs() < 0.04, "{parameters}");
        }
        assert!(Parts::preset("huge").unwrap_err().to_string().contains("memory-7b"));
    }

    #[test]
    fn tables_fit_the_memory_that_they_must_train_in() {
        let gib = |name| {
            let parts = Parts::preset(name).unwrap();
            let optim = crate::config::lm::Lm::default().optim;
            let bytes: u64 = parts.components(VOCABULARY, &optim, Level::PORTABLE).iter().map(|part| part.bytes).sum();
            (bytes + parts.working_bytes(VOCABULARY, 2048, 8192)) as f64 / (1_u64 << 30) as f64
        };
        assert!(gib("memory-2.5b") < 7.5, "{}", gib("memory-2.5b"));
        assert!(gib("memory-7b") < 19.0, "{}", gib("memory-7b"));
    }

    #[test]
    fn packed_copies_are_counted_as_they_are_made() {
        // Weight, gradient and Adam's two averages are 16 bytes; a packed number is 2 bytes where a unit multiplies bf16, else 4.
        for level in Level::available() {
            let number = if level.tiles().is_some() { 2.0 } else { 4.0 };
            // Directions that the token tables are packed in, by tables that there are: tied or not, a dense or a sampled head.
            for (tied, mode, directions) in [
                (true, HeadMode::Dense, 2.0),
                (true, HeadMode::Sampled, 1.0),
                (false, HeadMode::Dense, 1.0),
                (false, HeadMode::Sampled, 0.5),
            ] {
                let model = Model { tied, precision: Precision::Bf16, ..Model::default() };
                let parts = Parts { model, head: Head { mode, ..Head::default() }, ..Parts::default() };
                let components = parts.components(1000, &crate::config::lm::Lm::default().optim, level);
                let bytes = |name| {
                    let part = components.iter().find(|part| part.name == name).unwrap();
                    part.bytes as f64 / part.parameters as f64
                };
                assert_eq!(bytes("embedding and head"), 16.0 + directions * number, "{level} {tied} {mode:?}");
                assert_eq!(bytes("attention"), 16.0 + 2.0 * number, "{level}");
            }
        }
    }

    #[test]
    fn the_trunk_has_as_many_weights_as_are_counted() {
        for (tied, activation) in [(true, Activation::ReluSquared), (false, Activation::Swiglu)] {
            let model = Model { width: 24, heads: 2, layers: 2, tied, activation, ..Model::default() };
            let counted = Gpt::new(&model, &Optim::default(), 31, 1).parameter_count();
            assert_eq!(Parts { model, ..Parts::default() }.parameters(31), counted);
        }
        for kind in [FeedForwardKind::Sampled, FeedForwardKind::Blocks] {
            let model = Model { width: 24, heads: 2, layers: 2, ..Model::default() };
            let feed_forward = FeedForwardOptions { kind, active: 96, neurons: 16, chosen: 2, ..Default::default() };
            let parts = Parts { model, feed_forward, ..Parts::default() };
            let gpt = Gpt::with_parts(&parts, &Optim::default(), 31, vec![], 1, Level::detect()).unwrap();
            assert_eq!(parts.parameters(31), gpt.parameter_count());
        }
    }
}
