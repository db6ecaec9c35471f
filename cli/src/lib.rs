//! The parts of the program `hotrow` beside its commands: benchmarks ([`mod@bench`]), drawings of figures ([`report`])
//! and the progress bar ([`Progress`]). Training itself is in the crate `hotrow`.
#![forbid(unsafe_code)]

pub mod bench;
mod progress;
pub mod report;

pub use progress::Progress;
