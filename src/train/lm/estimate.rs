//! What a run will take, before it is started.

use serde::Serialize;

use crate::config::IndexName;
use crate::config::lm::Lm;
use crate::config::lm::feed_forward::FeedForwardKind;
use crate::config::lm::head::HeadMode;
use crate::config::lm::memory::KeysName;
use crate::config::lm::model::{Activation, Precision};
use crate::config::lm::presets::{Component, MEMORY_LAYERS};
use crate::kernels::Level;
use crate::kernels::gemm::Precision as Rounding;
use crate::train::xmc::estimate::{product_rate, snapshot};

/// Share of the time of a step that products take; the rest are attention, norms, losses and packing. With this number a run
/// of `tiny` was predicted to take 66 seconds of CPU time (300 steps, two threads, Zen 4) and took 74; the times of
/// other presets were not compared.
const PRODUCTS: f64 = 0.55;

/// What a run is expected to take.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Numbers that are trained.
    pub parameters: u64,
    /// Where the memory goes.
    pub components: Vec<Component>,
    /// All of it.
    pub memory_bytes: u64,
    /// Steps of the run.
    pub steps: u64,
    /// Tokens of a step.
    pub step_tokens: u64,
    /// Rows of the head that a token computes.
    pub union_rows: u64,
    /// Floating-point operations of a step.
    pub flops_per_step: u64,
    /// Time of a step: operations at the rate of a product measured just now, and bytes of weights and optimiser at 5 GB/s a
    /// thread.
    pub seconds_per_step: f64,
}

/// What a process takes without a network, and its tokenizer for each token that this knows: runs of networks of width 16 took
/// 15, 19 and 46 MiB beside network and token file with 512, 8 192 and 50 257 tokens.
const PROGRAM: u64 = 16 << 20;
const TOKENIZER: u64 = 640;

/// Where the memory of a run at `level` goes whose network knows `vocabulary` tokens: its parts, the copy for a checkpoint,
/// activations, program and tokenizer. Token files come on top as far as there is room: they are mapped, and pages that were read
/// count as resident until the system wants them back.
///
/// ```
/// use hotrow::{config::lm::Lm, kernels::Level, train::lm::plan_bytes};
/// let lm = Lm::preset("memory-7b")?;
/// let bytes: u64 = plan_bytes(&lm, 50_257, Level::detect()).iter().map(|part| part.bytes).sum();
/// assert!(bytes > 14 << 30 && bytes < 20 << 30);
/// # Ok::<(), hotrow::error::Error>(())
/// ```
pub fn plan_bytes(config: &Lm, vocabulary: usize, level: Level) -> Vec<Component> {
    let parts = config.parts();
    let mut components = parts.components(vocabulary, &config.optim, level);
    let saved = components.iter().map(|part| part.saved_bytes).sum::<u64>();
    let (context, sequences) = (config.context(), config.sequences());
    let working = parts.working_bytes(vocabulary, config.micro_batch() * context, sequences * context);
    let copied = snapshot(saved, config.train.snapshot_bytes);
    let program = PROGRAM + TOKENIZER * vocabulary as u64;
    for (name, bytes) in
        [("copy for a checkpoint", copied), ("activations", working), ("program and tokenizer", program)]
    {
        components.push(Component { name, parameters: 0, bytes, saved_bytes: 0, dense: false });
    }
    components
}

/// Operations of a token in indexes that compare with every row; others take few beside the products.
fn compared(config: &Lm, vocabulary: usize) -> usize {
    let Lm { model, feed_forward, memory, head, .. } = config;
    let mut numbers = 0;
    if head.mode == HeadMode::Sampled && head.index == IndexName::Exact {
        numbers += vocabulary * model.width;
    }
    if feed_forward.kind == FeedForwardKind::Sampled && feed_forward.index == IndexName::Exact {
        numbers += model.layers * model.inner() * model.width;
    }
    if memory.is_on() && memory.keys == KeysName::Exact {
        numbers += memory.blocks(model).len() * memory.heads * memory.slots * memory.key_width;
    }
    2 * numbers
}

/// Estimates a run of `steps` steps of a network that knows `vocabulary` tokens.
///
/// ```
/// use hotrow::{config::{Optim, lm::Lm}, kernels::Level, model::Gpt, module::Module, train::lm::estimate};
/// let lm = Lm::preset("tiny")?;
/// let network = Gpt::new(&lm.model, &Optim::default(), 300, 1);
/// assert_eq!(estimate(&lm, 300, 10, Level::detect(), 1).parameters, network.parameter_count());
/// # Ok::<(), hotrow::error::Error>(())
/// ```
pub fn estimate(config: &Lm, vocabulary: usize, steps: u64, level: Level, threads: usize) -> Estimate {
    let Lm { model, feed_forward, head, .. } = config;
    let (width, layers) = (model.width, model.layers);
    let components = plan_bytes(config, vocabulary, level);
    // A table that is only looked up in is no product, a sampled head multiplies with few rows, and so do chosen neurons.
    let rows = head.computed(vocabulary);
    let neurons = match (feed_forward.kind, model.activation) {
        (FeedForwardKind::Sampled, _) => 2 * feed_forward.active.min(model.inner()),
        (FeedForwardKind::Blocks, _) => 2 * feed_forward.chosen * feed_forward.neurons,
        (FeedForwardKind::Dense, Activation::Swiglu) => 3 * model.inner(),
        (FeedForwardKind::Dense, Activation::ReluSquared) => 2 * model.inner(),
    };
    let around_tables =
        components.iter().filter(|part| part.name == MEMORY_LAYERS).map(|part| part.parameters as usize);
    let multiplied = width * (rows + layers * (4 * width + neurons)) + around_tables.sum::<usize>();
    let (context, sequences) = (config.context(), config.sequences());
    let tokens = sequences * context;
    let window = if model.window == 0 { context } else { model.window.min(context) };
    // Two products forward and five backward, which computes the scores anew, for each pair that sees each other.
    let pairs = context * window - window * (window - 1) / 2;
    let attention = sequences * layers * 14 * width * pairs;
    let flops = (tokens * (6 * multiplied + compared(config, vocabulary)) + attention) as u64;
    // Weights and their state are read and written, gradients written and read. Of tables a step moves a few rows.
    let moved: u64 =
        components.iter().filter(|part| part.dense).map(|part| 2 * part.saved_bytes + 8 * part.parameters).sum();
    let rounding = match model.precision {
        Precision::F32 => Rounding::F32,
        Precision::Bf16 => Rounding::Bf16,
    };
    let rate = product_rate(level, rounding) * threads as f64 * PRODUCTS;
    Estimate {
        parameters: components.iter().map(|component| component.parameters).sum(),
        memory_bytes: components.iter().map(|component| component.bytes).sum(),
        components,
        steps,
        step_tokens: tokens as u64,
        union_rows: rows as u64,
        flops_per_step: flops,
        seconds_per_step: flops as f64 / rate + moved as f64 / (5e9 * threads as f64),
    }
}
