//! Training: one step after the other, and everything around them.

mod inspect;
pub mod lm;
pub mod network;
mod run;
mod state;
pub mod xmc;

pub use inspect::Health;
pub use run::Options;
