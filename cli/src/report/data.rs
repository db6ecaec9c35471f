//! The contents of a report.

use super::measured::{BreakEven, Roofline, Sweep};

/// Everything on a page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The title.
    pub title: String,
    /// A sentence below the title.
    pub subtitle: String,
    /// The runs. Those of one workload are compared.
    pub runs: Vec<RunReport>,
    /// What the machine allows, and what kernels reach.
    pub rooflines: Vec<Roofline>,
    /// The densities below which sparse products win.
    pub breakevens: Vec<BreakEven>,
    /// How time grows with one quantity.
    pub sweeps: Vec<Sweep>,
    /// Names and values of machine, versions and seeds.
    pub environment: Vec<(String, String)>,
    /// Paragraphs that a reader must know.
    pub notes: Vec<String>,
}

/// The origin of a figure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// CPU, cores, instruction set, threads.
    pub machine: String,
    /// The commit of hotrow.
    pub commit: String,
    /// The command that repeats it.
    pub command: String,
}

/// One run. `None`, and numbers that are not finite, mean unknown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunReport {
    /// Its name in tables and legends.
    pub name: String,
    /// The name that it shares with runs of other seeds; if empty, its own name.
    pub contender: String,
    /// The workload's name. Runs of different workloads are not compared.
    pub workload: String,
    /// The workload's title.
    pub workload_title: String,
    /// Machine, commit and command.
    pub origin: Origin,
    /// `cpu` or `cuda`; empty if unknown.
    pub device: String,
    /// `closed` or `tuned`; empty for a run without a workload.
    pub division: String,
    /// `reached`, `not converged`, `diverged`; empty if there is no target.
    pub status: String,
    /// The target, and when it was reached.
    pub target: Option<Target>,
    /// The last evaluation: `p@1` and others. Names with an `@` are shares of 1, shown in per cent.
    pub metrics: Vec<(String, f64)>,
    /// Whether `metrics` cover only a part of the test set.
    pub metrics_are_estimates: bool,
    /// Seconds of training alone.
    pub seconds: Option<f64>,
    /// Seconds of everything: loading, training, evaluation.
    pub total_seconds: Option<f64>,
    /// The parts of `total_seconds` by name.
    pub parts: Vec<(String, f64)>,
    /// Samples trained on in a second.
    pub samples_per_second: Option<f64>,
    /// Tokens trained on in a second, for language models.
    pub tokens_per_second: Option<f64>,
    /// Floating-point operations executed.
    pub flops: Option<f64>,
    /// Floating-point operations that a network computing every row would have executed.
    pub dense_flops: Option<f64>,
    /// The share of the output layer's rows that a step computes.
    pub active_share: Option<f64>,
    /// Bytes of weights and optimiser state read or written.
    pub bytes: Option<f64>,
    /// The most memory that the process used, in bytes.
    pub peak_memory_bytes: Option<f64>,
    /// The number of trained parameters.
    pub parameters: Option<f64>,
    /// What the run cost.
    pub cost: Option<Cost>,
    /// The energy used, in joules, and how it was measured.
    pub energy: Option<(f64, String)>,
    /// The metric of `Point::quality`: `p@1`, `loss`, ...
    pub metric: String,
    /// The points of training.
    pub curve: Vec<Point>,
    /// The time by phase.
    pub phases: Vec<PhaseCost>,
    /// The quality of the index.
    pub index_health: Vec<Health>,
    /// The memory of each component, in bytes.
    pub components: Vec<(String, f64)>,
}

/// A target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Target {
    /// `p@1`, `loss`, ...
    pub metric: String,
    /// The value to reach: at least, or for losses at most.
    pub value: f64,
    /// Whether it was reached.
    pub reached: bool,
    /// Seconds from the start of training.
    pub seconds: Option<f64>,
    /// Steps done.
    pub step: Option<u64>,
}

/// A price.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cost {
    /// For the whole run.
    pub amount: f64,
    /// The currency, such as `USD`.
    pub currency: String,
    /// The price of the machine.
    pub price_per_hour: Option<f64>,
}

/// A point of training.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Steps done.
    pub step: u64,
    /// Samples (or tokens) trained on.
    pub samples: Option<f64>,
    /// Seconds since training began.
    pub seconds: Option<f64>,
    /// Floating-point operations since training began.
    pub flops: Option<f64>,
    /// Training loss since the point before.
    pub loss: Option<f64>,
    /// The run's metric on the validation part.
    pub quality: Option<f64>,
    /// The share of the pairs of a sample and a row of the output layer that a step computes.
    pub active_share: Option<f64>,
    /// The share of the output layer's rows that a step computes for any sample.
    pub union_share: Option<f64>,
}

/// The cost of one phase ([`hotrow::flops::Phase`]).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PhaseCost {
    /// `read`, `gemm`, ...
    pub name: String,
    /// Seconds.
    pub seconds: f64,
    /// Floating-point operations executed.
    pub flops: f64,
    /// Bytes of weights and state read or written.
    pub bytes: f64,
}

/// The quality of the index at one step, on a sample of queries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// Steps done.
    pub step: u64,
    /// The k of `recall`.
    pub recall_k: Option<u64>,
    /// The share of the k rows with the highest scores that the active set holds.
    pub recall: Option<f64>,
    /// The share of the exact softmax that the active set holds.
    pub captured_mass: Option<f64>,
    /// Rows in the union over a micro-batch.
    pub union_rows: Option<f64>,
    /// The share of the active set that the index named.
    pub share_index: Option<f64>,
    /// The share that are labels of the samples.
    pub share_labels: Option<f64>,
    /// The share that the random tail added.
    pub share_tail: Option<f64>,
    /// Sampled minus exact log Z.
    pub log_z_drift: Option<f64>,
    /// The mean number of rows in a used bucket.
    pub occupancy_mean: Option<f64>,
    /// Rows in the fullest bucket.
    pub occupancy_largest: Option<f64>,
    /// Buckets with 1, 2 to 3, 4 to 7, ... rows.
    pub occupancy: Vec<f64>,
}
