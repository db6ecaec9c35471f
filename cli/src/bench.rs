//! Benchmarks: workloads that are run and compared under fixed rules, and measurements of kernels.
//!
//! A workload's file fixes the target and the data before anything is timed. The clock includes reading and evaluation.
//! Loading is listed apart and counts in the total. Runs of variants take turns. Saved operations and saved time are
//! two figures, and nobody multiplies them.

mod ask;
mod breakeven;
mod compare;
mod keys;
mod outcome;
mod prices;
mod probe;
mod products;
mod read;
mod roofline;
mod run;
mod sweep;
mod timing;
mod workload;

pub use ask::{Asked, Questions, ask};
pub use breakeven::{BreakEven, Crossing, DensityRow, Rule, breakeven};
pub use compare::{Comparison, Pair, Side, compare};
pub use outcome::{Cost, CurvePoint, Energy, Host, KIND, Outcome, Reached, Times};
pub use prices::Prices;
pub use probe::{bandwidth, load_average};
pub use roofline::{KernelRate, PeakRate, Roofline, roofline};
pub use run::{Finished, LEAST_RUNS, RunOptions, run};
pub use sweep::{Sweep, SweepRow, scale, sweep};
pub use timing::{Effort, Heading};
pub use workload::{DataFiles, Division, SCHEMA, Target, Task, Variant, Workload};
