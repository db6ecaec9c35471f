//! Layers: plain structs with a forward and a backward pass. Each takes an [`optim::Scope`](crate::optim::Scope), which makes its
//! parameters, and small options of its own.
//!
//! | layer | input | output | rows are |
//! |---|---|---|---|
//! | [`Table`] | sparse features | (B, D) | features |
//! | [`Linear`] | (B, D) | (B, active): all rows, or a set that the samples share | neurons or labels |
//! | [`per_sample`] | (B, D) | a set of rows of its own for each sample | the same |
//! | [`Dense`] | (T, in) | (T, out), without bias; its gradient is added up over micro-batches | neurons |
//! | [`Embedding`] | tokens | (T, D) | tokens |
//! | [`RmsNorm`] | (T, D) | (T, D) | |
//! | [`Attention`] | (T, D) | (T, D), norm and residual included | |
//! | [`FeedForward`] | (T, D) | (T, D), norm and residual included | |
//! | [`RowTable`] | rows and factors | (S, D); its gradient is kept as touches | whatever is looked up |
//! | [`SampledFeedForward`], [`BlockFeedForward`] | (T, D) | the same, of neurons or blocks that a token chooses | neurons |
//! | [`NgramMemory`] | tokens | added to (T, D) | hashed n-grams |
//! | [`MemoryLayer`] | (T, D) | (T, D), norm and residual included | keys, and the values of a [`ValueTable`] |
//! | [`SampledHead`] | (T, D) and targets | estimates of losses, and their gradients | tokens |
//! | [`DenseHead`] | (T, D) and targets | losses and gradients, never the logits | tokens |
//!
//! # How layers are called
//!
//! - A method writes over its output. One whose name ends in `_add` adds to it.
//! - A backward pass keeps the gradient of the weights with their [`Parameter`](crate::optim::Parameter) until the step, which empties it.
//! - A step is the same for every layer: [`Module::update`](crate::module::Module::update) walks its parameters.
//! - What a forward pass leaves for the backward pass is a `Saved` value of the caller, so that many readers share one layer.
//!
//! | layer | output of the forward | gradient of the input | gradient of the weights |
//! |---|---|---|---|
//! | [`Table`] | written over | none: features have none | kept as touches by its backward |
//! | [`Linear`] | written over | [`backward_add`](Linear::backward_add) | kept as products by [`Linear::accumulate`], or handed to [`Linear::step_along`] |
//! | [`per_sample`] | written over | [`backward_per_sample_add`](Linear::backward_per_sample_add) | computed in the update |
//! | [`Dense`] | written over | written over | added up by [`Dense::accumulate`] |
//! | [`Embedding`] | written over | none | added up by its backward |
//! | [`RmsNorm`] | written over | [`backward_add`](RmsNorm::backward_add) | added up by its backward |
//! | [`Attention`], [`FeedForward`], [`SampledFeedForward`], [`BlockFeedForward`], [`MemoryLayer`] | written over | written over | added up by the backward |
//! | [`RowTable`] | [`forward_add`](RowTable::forward_add) | none; [`RowTable::dots`], written over, is that of the factors | kept as touches by [`RowTable::accumulate`] |
//! | [`NgramMemory`] | [`forward_add`](NgramMemory::forward_add), to the stream | [`backward_add`](NgramMemory::backward_add): only gates have one | kept by its backward and [`accumulate`](NgramMemory::accumulate) |
//! | [`DenseHead`], [`SampledHead`] | losses, written over | written over | added to those of their [`Dense`] |
//!
//! # Threads
//!
//! Forward, backward and update of every layer start parallel work in the rayon pool that they are called from
//! ([`rayon::ThreadPool::install`] chooses one), and return when it is done. Work is cut into pieces of fixed sizes and sums are taken in
//! a fixed order: the number of threads changes no bit. Closures that are handed to [`Parameter::update`](crate::optim::Parameter::update)
//! run on the threads of that pool and may start parallel work of their own. What takes `&self` may run on several threads at once, each
//! with a [`Workspace`] of its own: so a network serves many readers.

pub mod attention;
mod block_feed_forward;
mod dense;
mod embedding;
mod feed_forward;
#[cfg(test)]
mod form_tests;
#[cfg(test)]
mod gradient_tests;
mod head;
mod linear;
pub mod memory;
pub mod ngram;
mod norm;
mod pack;
pub mod per_sample;
mod row_index;
mod row_table;
mod sampled;
mod sampled_feed_forward;
mod sampled_head;
mod stream;
mod table;
mod top_k;

pub use attention::{Attention, AttentionOptions};
pub use block_feed_forward::{BlockFeedForward, BlockFeedForwardOptions, BlockFeedForwardSaved};
pub use dense::Dense;
pub use embedding::{Embedding, TokenRows};
pub(crate) use embedding::{TOKEN_DEVIATION, look_up};
pub use feed_forward::{FeedForward, FeedForwardSaved};
pub use head::DenseHead;
pub use linear::{Linear, LinearGradient};
pub use memory::{MemoryLayer, ValueTable};
pub use ngram::NgramMemory;
pub use norm::RmsNorm;
pub use row_index::RowIndex;
pub use row_table::RowTable;
pub use sampled::{Sampled, SampledOptions};
pub use sampled_feed_forward::{SampledFeedForward, SampledFeedForwardOptions, SampledSaved};
pub use sampled_head::SampledHead;
pub use stream::Stream;
pub use table::Table;
pub use top_k::TopK;

pub use crate::work::{Buffer, Workspace};

use crate::flops::Phase;
use crate::index::{Index, Rows};
use crate::kernels::UniqueRowIds;

/// Builds `index` from `rows`, all of which have moved, as a dense optimiser moves all of them.
fn rebuild(work: &mut Workspace, index: &mut dyn Index, rows: &Rows) {
    let before = index.flops();
    work.timed(Phase::Hash, |_| {
        // The index may leave rows where they were if they are not said to have moved.
        let all: Vec<u32> = (0..rows.len() as u32).collect();
        index.mark_moved(rows, UniqueRowIds::new(&all, rows.len()).expect("increasing"));
        index.rebuild(rows);
    });
    work.costs.count(Phase::Hash, index.flops() - before, 0, 0);
}
