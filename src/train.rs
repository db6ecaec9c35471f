//! Training: steps, and what surrounds them: log, evaluation, checkpoints, resume.
//!
//! [`xmc`] and [`lm`] are the tasks of the program. Their runs read files: [`start()`] begins one, [`resume`] goes on with it.
//! [`network`] trains any other network, on batches that you make.

mod inspect;
pub mod lm;
pub mod network;
mod plan;
mod rate;
mod run;
mod start;
mod state;
mod step;
mod totals;
pub mod xmc;

pub use inspect::Health;
pub use start::{FromFiles, Inputs, MovedInputs, Options, initial, plan_resumed, resume, start};
