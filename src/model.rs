//! Networks.

mod mlp;

pub use mlp::{Activations, Gradients, Mlp};
