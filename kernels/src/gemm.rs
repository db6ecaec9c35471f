//! Products of packed panels.
mod micro;
mod pack;
mod panel;
mod product;

pub use panel::{Operand, PackedPanel, Precision, Side};
pub use product::{Causal, Output, gemm};

#[cfg(test)]
mod tests;
