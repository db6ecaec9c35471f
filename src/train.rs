//! Training: one step after the other, and everything around them.

mod evaluate;
mod inspect;
mod sampling;
mod step;

pub use evaluate::evaluate;
pub use inspect::Health;
pub use sampling::{Sampling, active_rows};
pub use step::{StepReport, Trainer};
