//! Networks.

mod gpt;
mod mlp;

pub use gpt::{Block, BlockSaved, Gpt, Head, KvCache, Memories, Neurons, NeuronsSaved};
pub use mlp::{Activations, Gradients, Mlp};
