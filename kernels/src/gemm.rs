//! Products of packed panels.
mod gathered;
mod micro;
mod pack;
mod panel;
mod product;
mod tiles;

pub use gathered::{GemmScratch, gathered_backward_input, gathered_backward_weights, gathered_forward};
pub use panel::{Operand, PackedPanel, Precision, Side};
pub use product::{Causal, Output, gemm};

#[cfg(test)]
mod tests;
