//! Configurations: [`Config`] of classification and [`lm::Lm`] of language models. Each has TOML sections, every key has a default, and
//! `--set section.key=value` sets one.

use serde::{Deserialize, Serialize};

mod auto;
mod check;
mod index;
pub mod lm;
mod load;
mod resume;
pub use index::{IndexName, IndexOptions};
pub use load::RunConfig;
pub(crate) use load::{load, read, to_toml};
#[cfg(test)]
mod tests;

/// Everything that decides what a run computes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The network.
    pub model: Model,
    /// Which rows are computed.
    pub sparse: Sparse,
    /// How weights move.
    pub optim: Optim,
    /// How long, in which order, and what is saved.
    pub train: Train,
    /// How files become samples.
    pub data: Data,
}

impl Default for Config {
    /// The learning rate, as the size of a batch and the number of passes, follows from the training set: see
    /// [`Config::resolved`]. It falls to 0 in a straight line: the loss of training falls as fast at a constant rate, but that of
    /// other samples does not.
    fn default() -> Self {
        Self {
            model: Model::default(),
            sparse: Sparse::default(),
            optim: Optim { lr: 0.0, schedule: Schedule::Linear, ..Optim::default() },
            train: Train::default(),
            data: Data::default(),
        }
    }
}

macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$variant_doc])* $variant),* }
    };
}

mod data;
mod parts;
mod weighing;
pub(crate) use data::{AUTO, NAMES};
pub use data::{Data, Labels, Unlabelled, Words};
pub use parts::PartName;
pub use weighing::Weighing;

names! {
    /// What one sample's loss is.
    Loss {
        /// Softmax over all labels; a sample's labels share the target probability evenly.
        Softmax,
        /// One independent yes or no for each label.
        Bce,
    }
}
names! {
    /// How weights of tables and of the output layer are stored. Dense layers are f32.
    Storage {
        /// 4 bytes.
        F32,
        /// 2 bytes, updated with seeded stochastic rounding.
        Bf16,
        /// 2 bytes to compute with, and 4 that the optimiser updates.
        Bf16Master,
    }
}
names! {
    /// What factors of products are rounded to while a network is trained; sums are f32. An evaluation multiplies in f32, but that
    /// of a language model rounds as its training does.
    Precision {
        /// Nothing: all 24 bits.
        F32,
        /// 8 bits. Faster on CPUs that multiply bf16 (AMX; AVX-512 of Zen 4 and later).
        Bf16,
    }
}
names! {
    /// How the table rows of a sample's features become one vector.
    Pooling {
        /// Each row times its value, added.
        Sum,
        /// The same, divided by the number of features.
        Mean,
        /// The same, divided by the Euclidean length of the values.
        Normalized,
    }
}
names! {
    /// Who shares a set of active rows.
    Mode {
        /// All samples of a micro-batch.
        Shared,
        /// Nobody (SLIDE).
        PerSample,
    }
}
names! {
    /// The rule that moves weights.
    OptimizerName {
        /// Plain gradient descent.
        Sgd,
        /// With momentum.
        Momentum,
        /// One accumulator a row.
        RowwiseAdagrad,
        /// One moving average a row.
        RowwiseRmsprop,
        /// Adam in which a row that was not touched for a while makes up for it.
        Adam,
        /// Adam that counts each row's own steps.
        AdamLazy,
        /// Adam that moves every row in every step.
        AdamDense,
    }
}
names! {
    /// How the learning rate goes on after the warm-up.
    Schedule {
        /// It stays.
        Constant,
        /// Falls to `final_lr` in a straight line.
        Linear,
        /// Falls to `final_lr` along half a cosine.
        Cosine,
    }
}
names! {
    /// What a data file holds.
    Format {
        /// Told by the file's name and first lines.
        Auto,
        /// The extreme-classification repository's text, with a header.
        Xc,
        /// svmlight with several labels, without a header.
        Svmlight,
        /// Two CSR arrays of scipy or PECOS, features and labels.
        Npz,
        /// Tab-separated columns, one of them text.
        Tsv,
        /// A JSON object a line, one field of it text.
        Jsonl,
    }
}

/// `[model]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// What the classifier consists of: `network`, or `auto`, or a list of `counts`, `neighbours`, `linear`, `texts` and `network`.
    #[serde(deserialize_with = "parts::one_or_more")]
    pub parts: Vec<PartName>,
    /// Widths of the hidden layers; the first is what table rows have.
    pub hidden: Vec<usize>,
    /// The loss.
    pub loss: Loss,
    /// How the input is pooled.
    pub pooling: Pooling,
    /// Storage of the input table and the output layer.
    pub storage: Storage,
    /// Precision of the products with hidden and output layers. Layers stored as bf16 multiply as bf16 in either case.
    pub precision: Precision,
    /// Hidden layers (counted from 1, not the first) that compute only the share `sparse.hidden_active` of their neurons.
    pub sampled_hidden: Vec<usize>,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            parts: vec![PartName::Network],
            hidden: vec![128],
            loss: Loss::Softmax,
            pooling: Pooling::Normalized,
            storage: Storage::F32,
            precision: Precision::F32,
            sampled_hidden: Vec::new(),
        }
    }
}

/// `[sparse]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sparse {
    /// The index of the output layer.
    pub index: IndexName,
    /// Who shares active rows.
    pub mode: Mode,
    /// Rows of an active set: of each micro-batch (shared) or of each sample (per-sample). 0 means a tenth of the labels,
    /// but 1024 to 4096.
    pub active: usize,
    /// Share of `active` that is random rows.
    pub tail: f32,
    /// Most index hits of one sample.
    pub hits: usize,
    /// Samples that share an active set; 0 means the whole batch.
    pub micro_batch: usize,
    /// Random rows count for as many as they were drawn from (log-Q correction).
    pub correction: bool,
    /// Hash tables (L).
    pub tables: usize,
    /// Codes of a bucket id (K); 0 means chosen from the number of rows.
    pub codes: usize,
    /// Extra buckets looked up in each table, where the index can.
    pub probes: usize,
    /// Rows of a block.
    pub block: usize,
    /// Steps to the second build of the index; from one to the next the pause doubles, up to `rebuild_most`.
    pub rebuild_every: u64,
    /// Most steps between rebuilds.
    pub rebuild_most: u64,
    /// The index is built once, and labels are inserted where their samples look (BOLT).
    pub frozen: bool,
    /// Share of neurons that a sampled hidden layer computes.
    pub hidden_active: f32,
    /// Steps between looks at the index's quality, 0 for never.
    pub inspect_every: u64,
}

impl Default for Sparse {
    fn default() -> Self {
        Self {
            index: IndexName::Blocks,
            mode: Mode::Shared,
            active: 0,
            tail: 0.4,
            hits: 16,
            micro_batch: 0,
            correction: true,
            tables: 32,
            codes: 0,
            probes: 0,
            block: 32,
            rebuild_every: 100,
            rebuild_most: 1000,
            frozen: false,
            hidden_active: 0.1,
            inspect_every: 500,
        }
    }
}

impl Sparse {
    /// What the index is made with.
    pub fn options(&self) -> IndexOptions {
        let &Self { index, tables, codes, probes, block, .. } = self;
        IndexOptions { index, tables, codes, probes, block }
    }
}

/// `[optim]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Optim {
    /// The rule.
    pub name: OptimizerName,
    /// Learning rate after the warm-up. In extreme classification 0 means that the training set decides
    /// ([`Config::resolved`]).
    pub lr: f32,
    /// What it falls to.
    pub final_lr: f32,
    /// How it falls.
    pub schedule: Schedule,
    /// Steps in which it rises from 0.
    pub warmup_steps: u64,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Largest Euclidean length of the gradient of all layers together; 0 for no limit.
    pub clip: f32,
    /// Momentum, or Adam's average of gradients.
    pub beta1: f32,
    /// Adam's and RMSprop's average of squares.
    pub beta2: f32,
    /// Added to the root of the squares.
    pub eps: f32,
    /// Adam's averages take 1 byte each instead of 4.
    pub eight_bit: bool,
}

impl Default for Optim {
    fn default() -> Self {
        Self {
            name: OptimizerName::RowwiseAdagrad,
            lr: 0.1,
            final_lr: 0.0,
            schedule: Schedule::Constant,
            warmup_steps: 0,
            weight_decay: 0.0,
            clip: 0.0,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            eight_bit: false,
        }
    }
}

/// Most bytes that are copied for a checkpoint: what 20 million weights and the two averages of Adam take.
const SNAPSHOT_BYTES: u64 = 256 << 20;

/// `[train]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Train {
    /// Passes over the training file; 0 means that its size decides ([`Config::resolved`]).
    pub epochs: u64,
    /// Samples of a step; 0 means the same.
    pub batch_size: usize,
    /// Steps between checkpoints, 0 for one at the end of each epoch.
    pub save_every: u64,
    /// Newest checkpoints that are kept.
    pub keep: usize,
    /// Most bytes of a checkpoint that is copied in memory and written while training goes on. A larger one is written from where
    /// the tensors are, and training waits; 0 makes all of them wait.
    pub snapshot_bytes: u64,
    /// Seconds that training may take, about, without a network; 0 for no limit. Linear rows are left out if they would take longer.
    pub budget_seconds: f64,
    /// Bytes of the parts of a model without a network, in its file, at most; 0 for no limit.
    pub budget_bytes: u64,
    /// Steps between lines of the metrics log.
    pub log_every: u64,
    /// Evaluates on the validation file after each so many epochs, 0 for the end only. Before that, rows that sleep (`adam`) are
    /// brought up to date, which enters the last bits of weights.
    pub eval_every: u64,
    /// Everything random follows from it.
    pub seed: u64,
    /// Exponent A of the propensities of PSP@k (0.6 for Amazon sets, 0.5 for Wikipedia's).
    pub propensity_a: f64,
    /// Samples B that are added to each label's count there (2.6 for Amazon sets, 0.4 for Wikipedia's).
    pub propensity_b: f64,
}

impl Default for Train {
    fn default() -> Self {
        Self {
            epochs: 0,
            batch_size: 0,
            save_every: 0,
            keep: 2,
            snapshot_bytes: SNAPSHOT_BYTES,
            budget_seconds: 0.0,
            budget_bytes: 0,
            log_every: 50,
            eval_every: 1,
            seed: 1,
            propensity_a: 0.55,
            propensity_b: 1.5,
        }
    }
}
