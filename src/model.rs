//! Networks: [`Mlp`] classifies sparse samples into very many labels, [`Gpt`] is a language model.
//!
//! A network is a struct of layers with one forward and one backward pass. An [`optim::Scope`](crate::optim::Scope) makes its parameters,
//! and [`module`](mod@crate::module) walks them.

mod gpt;
mod mlp;

pub use gpt::{Block, BlockSaved, Gpt, Head, KvCache, Memories, Neurons, NeuronsSaved};
pub use mlp::{Activations, Gradients, Mlp};
