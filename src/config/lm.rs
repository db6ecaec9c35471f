//! The configuration of a language model.

pub mod model;

pub use model::Model;
