//! Training: one step after the other, and everything around them.

mod sampling;
mod step;

pub use sampling::{Sampling, active_rows};
pub use step::{StepReport, Trainer};
