//! What a run will take, before it is started.

use serde::Serialize;

use crate::config::OptimizerName;
use crate::config::lm::head::HeadMode;
use crate::config::lm::model::{Activation, Precision};
use crate::config::lm::{Lm, presets};
use crate::kernels::Level;
use crate::kernels::gemm::Precision as Rounding;
use crate::train::estimate::{product_rate, snapshot};

/// Share of the time of a step that products take; the rest are attention, norms, losses and packing. With this number a run
/// of `tiny` was predicted to take 66 seconds of CPU time (300 steps, two threads, Zen 4) and took 74, and 167 MiB where it took
/// 161, the copy for a checkpoint included; other presets were not measured.
const PRODUCTS: f64 = 0.55;

/// Tokens whose logits exist at the same time.
const LOGITS: usize = 512;

/// A part of what a run keeps in memory.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Component {
    /// `embedding`, `attention`, `feed_forward`, ...
    pub name: &'static str,
    /// Numbers that are trained.
    pub parameters: u64,
    /// Bytes, those of gradients, optimiser and packed copies included.
    pub bytes: u64,
}

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
    /// Floating-point operations of a step.
    pub flops_per_step: u64,
    /// Time of a step: operations at the rate of a product measured just now, and bytes of weights and optimiser at 5 GB/s a
    /// thread.
    pub seconds_per_step: f64,
}

/// Estimates a run of `steps` steps of a network that knows `vocabulary` tokens.
///
/// ```
/// use hotrow::{config::{Optim, lm::Lm}, kernels::Level, model::Gpt, train::lm::estimate};
/// let lm = Lm::preset("tiny")?;
/// let network = Gpt::new(&lm.model, &Optim::default(), 300, 1);
/// assert_eq!(estimate(&lm, 300, 10, Level::detect(), 1).parameters, network.parameters());
/// # Ok::<(), hotrow::error::Error>(())
/// ```
pub fn estimate(config: &Lm, vocabulary: usize, steps: u64, level: Level, threads: usize) -> Estimate {
    let (model, optim) = (&config.model, &config.optim);
    let (width, inner, layers) = (model.width, model.inner(), model.layers);
    let gated = model.activation == Activation::Swiglu;
    let copies = if model.tied { 1 } else { 2 };
    let matrices = [
        ("embedding and head", copies * vocabulary * width),
        ("attention", layers * 4 * width * width),
        ("feed-forward", layers * (if gated { 3 } else { 2 }) * width * inner),
    ];
    let heads = if model.qk_norm { 2 * model.head_width() } else { 0 };
    let norms = layers * (2 * width + heads) + width;
    let state = match optim.name {
        OptimizerName::Sgd => 0.0,
        OptimizerName::Momentum => 4.0,
        OptimizerName::RowwiseAdagrad | OptimizerName::RowwiseRmsprop => 4.0 / width as f64,
        _ if optim.eight_bit => 2.0,
        _ => 8.0,
    };
    // Weights and gradients are f32; each matrix has a packed copy for the forward and one for the backward product.
    let (rounding, packed) = match model.precision {
        Precision::F32 => (Rounding::F32, 8.0),
        Precision::Bf16 => (Rounding::Bf16, 4.0),
    };
    let dense = matrices.into_iter().map(|matrix| (matrix, packed)).chain([(("norms", norms), 0.0)]);
    let mut components: Vec<Component> = dense
        .map(|((name, parameters), packed)| Component {
            name,
            parameters: parameters as u64,
            bytes: (parameters as f64 * (8.0 + state + packed)) as u64,
        })
        .collect();
    let parts = config.parts();
    let beside = |part: &presets::Component| !["token table", "trunk"].contains(&part.name);
    let tables = parts.components(vocabulary).into_iter().filter(beside);
    components.extend(tables.map(|part| Component { name: part.name, parameters: part.parameters, bytes: part.bytes }));
    // Of what is dense, without gradients and packed copies.
    let dense = matrices.iter().map(|(_, parameters)| parameters).sum::<usize>() + norms;
    let saved = components.iter().skip(matrices.len() + 1).map(|table| table.bytes).sum::<u64>();
    let saved = saved + (dense as f64 * (4.0 + state)) as u64;
    let copied = snapshot(saved, config.train.snapshot_bytes);
    components.push(Component { name: "copy for a checkpoint", parameters: 0, bytes: copied });
    let trained: u64 = components.iter().map(|component| component.parameters).sum();
    let micro = config.micro_batch() * config.context();
    // For each block: its input, what the norms, products and attention put out, and the inside of the feed-forward layer.
    let per_token = layers * (8 * width + if gated { 3 } else { 2 } * inner) + 6 * width;
    let activations = 4 * (micro * per_token + micro.min(LOGITS) * vocabulary);
    components.push(Component { name: "activations", parameters: 0, bytes: activations as u64 });

    // A table that is only looked up in is no product, and a sampled head multiplies with few rows.
    let rows = match config.head.mode {
        HeadMode::Dense => vocabulary,
        HeadMode::Sampled => config.head.rows(vocabulary),
    };
    let multiplied = dense - norms - copies * vocabulary * width + rows * width;
    let tokens = config.sequences() * config.context();
    let window = if model.window == 0 { config.context() } else { model.window.min(config.context()) };
    // Two products forward and five backward, which computes the scores anew, over half of the window on average.
    let attention = layers * 14 * width * window / 2;
    let flops = tokens as u64 * (6 * multiplied + attention) as u64;
    let moved = dense as f64 * (16.0 + 2.0 * state);
    let rate = product_rate(level, rounding) * threads as f64 * PRODUCTS;
    Estimate {
        parameters: trained,
        memory_bytes: components.iter().map(|component| component.bytes).sum(),
        components,
        steps,
        step_tokens: tokens as u64,
        flops_per_step: flops,
        seconds_per_step: flops as f64 / rate + moved / (5e9 * threads as f64),
    }
}
