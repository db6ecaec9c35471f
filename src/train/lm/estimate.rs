//! What a run will take, before it is started.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::config::lm::Lm;
use crate::config::lm::model::Precision;
use crate::error::Result;
use crate::kernels::Level;
use crate::kernels::gemm::Precision as Rounding;
use crate::machine::Limits;
use crate::model::Gpt;
use crate::module::{Demand, Module};
use crate::optim::{Parameter, Scope, matches};
use crate::train::rate::{product_rate, snapshot};

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

/// A part of a network and of its run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Component {
    /// What it is: `embedding and head`, `attention`, `feed-forward`, ...
    pub name: &'static str,
    /// Weights.
    pub parameters: u64,
    /// Memory in training: weights, gradients, the optimiser's state and packed copies.
    pub bytes: u64,
}

/// Components by patterns on the names of parameters: the first that fits has the parameter.
const COMPONENTS: [(&str, &str); 8] = [
    ("ngram.*", "n-gram tables"),
    ("memory.values.*", "memory keys and values"),
    ("blocks.*.memory.keys.weight", "memory keys and values"),
    ("blocks.*.memory.*", "memory layers"),
    ("*.gain", "norms"),
    ("blocks.*.attention.*", "attention"),
    ("blocks.*.feed_forward.*", "feed-forward"),
    ("*", "embedding and head"),
];

/// The order in which they are shown.
const SHOWN: [&str; 8] = [
    "embedding and head",
    "attention",
    "feed-forward",
    "norms",
    "n-gram tables",
    "memory keys and values",
    "memory layers",
    "indexes",
];

fn component(name: &str) -> &'static str {
    COMPONENTS.iter().find(|(pattern, _)| matches(pattern, name)).expect("the last fits all").1
}

/// A network without memory, and what its layers take beside their parameters.
struct Plan {
    network: Gpt,
    demand: Demand,
    /// Operations of a token, and of all pairs of its sequence, that see each other.
    flops: u64,
    pair_flops: u64,
}

impl Plan {
    fn new(config: &Lm, vocabulary: usize, level: Level) -> Result<Self> {
        let network =
            Gpt::new(&Scope::plan(&config.optim, config.train.seed, level), &config.parts(), vocabulary, vec![])?;
        let (mut all, mut pair_flops, context) = (Demand::default(), 0, config.context());
        network.demands(&mut |_, demand| {
            all.bytes += demand.bytes;
            all.scratch_bytes += demand.scratch_bytes;
            all.activation_bytes += demand.activation_bytes;
            all.kept_bytes += demand.kept_bytes;
            all.flops += demand.flops;
            let window = demand.window.min(context);
            pair_flops += demand.pair_flops * (context * window - window * window.saturating_sub(1) / 2) as u64;
        });
        Ok(Self { network, demand: all, flops: all.flops, pair_flops })
    }

    /// The network's parts: those that there are none of are left out.
    fn components(&self) -> Vec<Component> {
        let mut found: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for parameter in self.network.parameters() {
            let (count, bytes) = found.entry(component(parameter.name())).or_default();
            *count += (parameter.rows() * parameter.cols()) as u64;
            *bytes += parameter.bytes() + parameter.gradient_bytes();
        }
        self.network.demands(&mut |name, demand| found.entry(component(name)).or_default().1 += demand.bytes);
        let indexes = self.network.indexes().iter().map(|(_, index)| index.statistics().bytes as u64).sum();
        found.insert("indexes", (0, indexes));
        let component = |name| found.get(name).map(|&(parameters, bytes)| Component { name, parameters, bytes });
        SHOWN.into_iter().filter_map(component).filter(|component| component.bytes > 0).collect()
    }

    /// Bytes of a checkpoint.
    fn saved(&self) -> u64 {
        let indexes = self.network.indexes().iter().map(|(_, index)| index.statistics().bytes as u64).sum::<u64>();
        self.network.parameters().iter().map(|parameter| parameter.bytes()).sum::<u64>() + indexes
    }

    /// All that a run takes.
    fn run(&self, config: &Lm) -> Vec<Component> {
        let (context, sequences) = (config.context(), config.sequences());
        let tokens = [config.micro_batch() * context, sequences * context].map(|tokens| tokens as u64);
        let Demand { activation_bytes, kept_bytes, scratch_bytes, .. } = self.demand;
        let mut components = self.components();
        for (name, bytes) in [
            ("copy for a checkpoint", snapshot(self.saved(), config.train.snapshot_bytes)),
            ("activations", tokens[0] * activation_bytes + scratch_bytes + tokens[1] * kept_bytes),
            ("program and tokenizer", PROGRAM + TOKENIZER * self.network.vocabulary() as u64),
        ] {
            components.push(Component { name, parameters: 0, bytes });
        }
        components
    }
}

/// Where the memory of the network alone goes.
pub(super) fn plan_network(config: &Lm, vocabulary: usize, level: Level) -> Result<Vec<Component>> {
    Ok(Plan::new(config, vocabulary, level)?.components())
}

/// An error if this machine cannot hold `what`, which takes these parts.
pub(super) fn check_fits(what: &str, parts: &[Component]) -> Result<()> {
    let needed = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.bytes));
    let largest = parts.iter().max_by_key(|part| part.bytes).expect("a network has parts");
    Limits::read().check("model", what, needed, largest.name)
}

/// Where the memory of a run at `level` goes whose network knows `vocabulary` tokens: its parts, the copy for a checkpoint,
/// activations, program and tokenizer. Token files come on top as far as there is room: they are mapped, and pages that were read
/// count as resident until the system wants them back.
///
/// # Errors
///
/// [`Error::Config`](crate::error::Error::Config) if the network cannot be, [`Error::Memory`](crate::error::Error::Memory) if no
/// machine could hold it.
///
/// ```
/// use hotrow::{config::lm::Lm, kernels::Level, train::lm::plan_bytes};
/// let lm = Lm::preset("memory-7b")?;
/// let bytes: u64 = plan_bytes(&lm, 50_257, Level::detect())?.iter().map(|part| part.bytes).sum();
/// assert!(bytes > 14 << 30 && bytes < 20 << 30);
/// # Ok::<(), hotrow::error::Error>(())
/// ```
pub fn plan_bytes(config: &Lm, vocabulary: usize, level: Level) -> Result<Vec<Component>> {
    Ok(Plan::new(config, vocabulary, level)?.run(config))
}

/// Estimates a run of `steps` steps of a network that knows `vocabulary` tokens.
///
/// # Errors
///
/// As [`plan_bytes`].
///
/// ```
/// use hotrow::{config::lm::Lm, kernels::Level, model::Gpt, module::Module, optim::Scope, train::lm::estimate};
/// let lm = Lm::preset("tiny")?;
/// let network = Gpt::new(&Scope::fresh(&lm.optim, 1, Level::detect()), &lm.parts(), 300, vec![])?;
/// assert_eq!(estimate(&lm, 300, 10, Level::detect(), 1)?.parameters, network.parameter_count());
/// # Ok::<(), hotrow::error::Error>(())
/// ```
pub fn estimate(config: &Lm, vocabulary: usize, steps: u64, level: Level, threads: usize) -> Result<Estimate> {
    let plan = Plan::new(config, vocabulary, level)?;
    let components = plan.run(config);
    let (sequences, tokens) = (config.sequences() as u64, (config.sequences() * config.context()) as u64);
    let flops = tokens * plan.flops + sequences * plan.pair_flops;
    // Weights and their state are read and written, gradients written and read. Of tables a step moves a few rows.
    let moved = |parameter: &&Parameter| parameter.moves_all_rows();
    let bytes = |parameter: &Parameter| 2 * parameter.bytes() + 8 * (parameter.rows() * parameter.cols()) as u64;
    let moved: u64 = plan.network.parameters().into_iter().filter(moved).map(bytes).sum();
    let rounding = match config.model.precision {
        Precision::F32 => Rounding::F32,
        Precision::Bf16 => Rounding::Bf16,
    };
    let rate = product_rate(level, rounding) * threads as f64 * PRODUCTS;
    Ok(Estimate {
        parameters: plan.network.parameter_count(),
        memory_bytes: components.iter().map(|component| component.bytes).sum(),
        components,
        steps,
        step_tokens: tokens,
        union_rows: config.head.computed(vocabulary) as u64,
        flops_per_step: flops,
        seconds_per_step: flops as f64 / rate + moved as f64 / (5e9 * threads as f64),
    })
}
