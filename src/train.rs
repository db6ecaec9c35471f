//! Training: one step after the other, and everything around them.

mod estimate;
mod evaluate;
mod inspect;
pub mod lm;
pub mod network;
mod predict;
mod run;
mod sampling;
mod state;
mod step;
pub mod xmc;

pub use estimate::{Estimate, estimate};
pub use evaluate::evaluate;
pub use inspect::Health;
pub use predict::Predictor;
pub use run::Options;
pub use sampling::{Sampling, active_rows};
pub use step::{PACKED_FROM, StepReport, Trainer};
