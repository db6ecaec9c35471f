//! Products of packed matrices: gathered rows with a batch and the two backward products, dense ones, and the batched
//! products of attention.
//!
//! | function | meaning | shapes |
//! |---|---|---|
//! | [`gathered_forward`] | `C = W[active, :] X^T` | `w` (U, D), `x` (B, D), `c` (U, B) |
//! | [`gathered_backward_input`] | `dX = dC^T W[active, :]` | `dc` (U, B), `w` (U, D), `dx` (B, D) |
//! | [`gathered_backward_weights`] | `dW[active, :] = dC X` | `dc` (U, B), `x` (B, D), `dw` (U, D) |
//! | [`batched_gemm`] | many products of one shape, also causal: attention, forward and backward | (M, K) (K, N) |
//! | [`gemm`] | the product of two panels that the caller packed | (M, K) (K, N) |
//!
//! Each function has two steps. **Packing** copies a factor into the order in which the product reads it
//! ([`PackedPanel`]). A factor ([`Operand`]) is any rows of a strided matrix, transposed or not, f32 or bf16.
//! **Multiplying** reads packed panels only, so gathered, strided, transposed and dense factors cost the same from
//! there on. The three gathered products pack a block of rows just before they multiply it.
//!
//! # How it is fast
//!
//! The micro-kernel keeps a block of sums in registers: 8 rows x 3 vectors where there are 32 registers, 4 x 3 where
//! there are 16. For each contraction index it loads 3 vectors of the right factor and broadcasts each number of the
//! left. That makes 24 fused multiply-adds for 11 loads. The loops around it were chosen by measurement (one core of
//! Zen 4, 256 x 4096 x 512, f32, share of the FMA peak of the same run):
//!
//! - Passes over the contraction are as long as 768: 128 deep reached 80 %, 256 deep 85 %, 512 and more 90 %. Writing
//!   and re-reading the output costs more than streaming the right strip (3 vectors x depth) from the second-level
//!   cache.
//! - 128 rows of the left factor at a time; 4096, the whole of it, cost 12 % because they leave the second-level cache.
//! - Packing rows for the left side is a transposition, by three interleaving steps in registers, while the rows of
//!   the next group are prefetched. Rows at random from DRAM arrived at 6 GB/s; packing them took a tenth of the time
//!   of the product with 256 samples. Asking for the next block of rows during the product did not pay.
//! - Packing included, [`gathered_forward`] and [`gathered_backward_weights`] reached 92 % of the peak of the same rounds;
//!   [`gathered_backward_input`], which packs both factors anew for every 512 rows, 76 %.
//!
//! # Precision
//!
//! Sums are f32. [`Precision::Bf16`] rounds factors to bf16 on every level. A level with a matrix unit
//! ([`Level::tiles`](crate::Level::tiles)) multiplies there: on AMX tiles, or with `vdpbf16ps` in AVX-512 registers
//! where that is faster than f32. Such a unit takes denormal factors as zero. On AMD's Zen 4 the block of sums reached
//! nine tenths of the instruction's rate, twice that of f32. Other levels hold the rounded numbers as f32 and run the
//! f32 product. There bf16 halves the bytes that packing reads, and levels differ by the order of additions only.

mod batched;
mod gathered;
mod micro;
mod operand;
mod output;
mod pack;
mod pack_tiles;
mod panel;
mod product;
mod strips;
mod tiles;
mod window;

pub use batched::{Batch, BatchMut, BatchShape, batched_gemm};
pub use gathered::{GemmScratch, gathered_backward_input, gathered_backward_weights, gathered_forward};
pub use operand::Operand;
pub use output::Output;
pub use panel::PackedPanel;
pub use product::gemm;
pub use strips::{Precision, Side};
pub use window::Causal;

#[cfg(test)]
mod tests;
