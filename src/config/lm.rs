//! The configuration of a language model.

pub mod feed_forward;
pub mod head;
pub mod memory;
pub mod model;
pub mod ngram;
pub mod presets;
mod rows;

pub use feed_forward::FeedForwardOptions;
pub use head::Head;
pub use memory::Memory;
pub use model::Model;
pub use ngram::Ngram;
pub use presets::Parts;
