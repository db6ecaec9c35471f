//! The measuring house: workloads that are run and compared under fixed rules, and measurements of kernels.
//!
//! What is to be reached and the data are fixed by a workload's file before anything is timed. The clock includes reading and
//! evaluation; loading stands apart and in the total. Runs of variants take turns. FLOPs that were saved and time that was
//! saved are two figures, which nobody multiplies.

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

pub use breakeven::{BreakEven, Crossing, DensityRow, Rule, breakeven};
pub use compare::{Comparison, Pair, Side, compare};
pub use outcome::{Cost, CurvePoint, Energy, KIND, Outcome, Place, Reached, Times};
pub use prices::Prices;
pub use probe::{bandwidth, load_average};
pub use roofline::{KernelRate, PeakRate, Roofline, roofline};
pub use run::{Finished, LEAST_RUNS, RunOptions, run};
pub use sweep::{Sweep, SweepRow, scale, sweep};
pub use timing::{Effort, Heading};
pub use workload::{DataFiles, Division, SCHEMA, Target, Task, Variant, Workload};
