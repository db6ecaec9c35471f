//! What a report is made of.

use super::measured::{BreakEven, Roofline, Sweep};

/// Everything that a page shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// What was compared.
    pub title: String,
    /// One sentence more.
    pub subtitle: String,
    /// The runs; those of one workload are compared.
    pub runs: Vec<RunReport>,
    /// What the machine allows, and what kernels reach of it.
    pub rooflines: Vec<Roofline>,
    /// Below which density sparse products win.
    pub breakevens: Vec<BreakEven>,
    /// How time grows with one quantity.
    pub sweeps: Vec<Sweep>,
    /// Machine, versions, seeds: name and value.
    pub environment: Vec<(String, String)>,
    /// What a reader has to know, one paragraph each.
    pub notes: Vec<String>,
}

/// Where figures come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// CPU, cores, instruction set, threads.
    pub machine: String,
    /// Of hotrow.
    pub commit: String,
    /// That repeats it.
    pub command: String,
}

/// One run. `None` and numbers that are not finite mean: not known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunReport {
    /// Its name in tables and legends.
    pub name: String,
    /// What it has in common with runs that differ in their seed only; the name, if empty.
    pub contender: String,
    /// Runs of different workloads are not compared.
    pub workload: String,
    /// What the workload is, in words.
    pub workload_title: String,
    /// Machine, commit and command.
    pub origin: Origin,
    /// `cpu` or `cuda`; empty where nobody says.
    pub device: String,
    /// `closed` or `tuned`; empty for a run that is no contest.
    pub division: String,
    /// `reached`, `not converged`, `diverged`; empty where there is no target.
    pub status: String,
    /// What was to be reached, and when it was.
    pub target: Option<Target>,
    /// The last evaluation: `p@1` and the like; names with an `@` are shares of 1 and shown in per cent.
    pub metrics: Vec<(String, f64)>,
    /// Whether `metrics` were measured on a part of the test set.
    pub metrics_are_estimates: bool,
    /// Time of training alone.
    pub seconds: Option<f64>,
    /// Time of everything: loading, training, evaluation.
    pub total_seconds: Option<f64>,
    /// Parts of `total_seconds` by name.
    pub parts: Vec<(String, f64)>,
    /// Samples trained on in a second.
    pub samples_per_second: Option<f64>,
    /// Tokens trained on in a second, for language models.
    pub tokens_per_second: Option<f64>,
    /// Floating-point operations that were executed.
    pub flops: Option<f64>,
    /// Floating-point operations of a network that computes every row.
    pub dense_flops: Option<f64>,
    /// Rows of the output layer that a step computes, as a share of all.
    pub active_share: Option<f64>,
    /// Bytes of weights and optimiser state that were read or written.
    pub bytes: Option<f64>,
    /// The most memory that the process held, in bytes.
    pub peak_memory_bytes: Option<f64>,
    /// Numbers that are trained.
    pub parameters: Option<f64>,
    /// What the run cost.
    pub cost: Option<Cost>,
    /// What it consumed, in joules, and how that was measured.
    pub energy: Option<(f64, String)>,
    /// Which metric `Point::quality` is: `p@1`, `loss`, ...
    pub metric: String,
    /// How training went.
    pub curve: Vec<Point>,
    /// Where the time went.
    pub phases: Vec<PhaseCost>,
    /// How well the index named the rows that matter.
    pub index_health: Vec<Health>,
    /// Where the memory goes, in bytes by name.
    pub components: Vec<(String, f64)>,
}

/// A stop rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Target {
    /// `p@1`, `loss`, ...
    pub metric: String,
    /// What it has to be, at least or (of losses) at most.
    pub value: f64,
    /// Whether it was.
    pub reached: bool,
    /// Time from the start of training.
    pub seconds: Option<f64>,
    /// Steps done.
    pub step: Option<u64>,
}

/// A price.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cost {
    /// Of the whole run.
    pub amount: f64,
    /// `USD`
    pub currency: String,
    /// Of the machine.
    pub price_per_hour: Option<f64>,
}

/// One moment of training.
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
    /// Share of the pairs of a sample and a row of the output layer that a step computes.
    pub active_share: Option<f64>,
    /// Rows of the output layer that a step computes for any sample, as a share of all.
    pub union_share: Option<f64>,
}

/// What one phase has cost ([`hotrow::flops::Phase`]).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PhaseCost {
    /// `read`, `gemm`, ...
    pub name: String,
    /// Time.
    pub seconds: f64,
    /// Floating-point operations executed.
    pub flops: f64,
    /// Bytes of weights and state read or written.
    pub bytes: f64,
}

/// The index at one step, measured on a sample of queries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// Steps done.
    pub step: u64,
    /// The k of `recall`.
    pub recall_k: Option<u64>,
    /// Share of the k rows with the highest scores that the active set holds.
    pub recall: Option<f64>,
    /// Share of the exact softmax that the active set holds.
    pub captured_mass: Option<f64>,
    /// Rows in the union over a micro-batch.
    pub union_rows: Option<f64>,
    /// Share of the active set that the index named.
    pub share_index: Option<f64>,
    /// Share that are labels of the samples.
    pub share_labels: Option<f64>,
    /// Share that the random tail added.
    pub share_tail: Option<f64>,
    /// Sampled minus exact log Z.
    pub log_z_drift: Option<f64>,
    /// Rows in a used bucket, mean.
    pub occupancy_mean: Option<f64>,
    /// Rows in the fullest bucket.
    pub occupancy_largest: Option<f64>,
    /// Buckets with 1, 2 to 3, 4 to 7, ... rows.
    pub occupancy: Vec<f64>,
}
