//! What the program `hotrow` has beside its commands: the measuring house ([`mod@bench`]), the drawings of its figures ([`report`]) and
//! the bar that shows where a run is ([`Progress`]). All that trains is in the crate `hotrow`.
#![forbid(unsafe_code)]

pub mod bench;
mod progress;
pub mod report;

pub use progress::Progress;
