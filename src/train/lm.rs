//! Language models: token files in, a network that continues text out.

mod begin;
mod estimate;
mod evaluate;
mod files;
mod inspect;
mod start;
pub(super) mod task;
#[cfg(test)]
mod tests;
mod trainer;

pub use begin::check_steps;
pub use estimate::{Component, Estimate, estimate, plan_bytes};
pub use evaluate::{Evaluation, evaluate, try_evaluate, try_evaluate_with};
pub use files::Files;
pub use start::{Measure, evaluate_file};
pub use trainer::{Shape, StepReport, TokenBatch, Trainer};
