//! Optimiser steps that read and write the rows with a gradient, and only those, once.
//!
//! | kernel | state | update of a row |
//! |---|---|---|
//! | [`sgd`] | none | `w -= lr g` |
//! | [`momentum`] | (rows, D) | heavy-ball or Nesterov momentum |
//! | [`rowwise_adagrad`] | (rows) | `w -= lr g / (sqrt(sum of mean g^2) + eps)` |
//! | [`rowwise_rmsprop`] | (rows) | the same with a moving average |
//! | [`adam_lazy`] | [`Moments`], steps of each row | Adam that counts the steps of each row |
//! | [`adam_catch_up`] | [`Moments`], last step of each row | Adam that makes up for the steps a row slept through |
//! | [`adam_settle`] | the same | brings every row up to date, before weights are read as a whole |
//! | [`adam_dense`] | [`Moments`] | Adam in which every row moves in every step |
//!
//! Each works on [`Weights`] and on [`RowGrads`]. Weights are f32, bf16 with stochastic rounding, or bf16 with an f32
//! master copy. Gradients belong to a list of rows, or to all rows in order (a dense layer). Adam's moments are f32 or
//! 8-bit.
//!
//! What holds for all of them:
//! - Gradients are multiplied by `grad_scale` as they are read: the factor of gradient clipping, or 1 / the loss scale.
//! - Weight decay is decoupled (Loshchilov and Hutter 2019): `w *= 1 - lr * weight_decay` before the step of a row.
//! - Rows without a gradient keep their bits, unless a kernel says otherwise.
//! - Nothing is skipped in silence. A NaN or infinite gradient reaches the weight and the state of its element. In 8-bit moments both
//!   reach the whole block. In the row-wise optimisers a NaN reaches the whole row. An infinite gradient leaves an infinite state there,
//!   and the row no longer moves.
//! - A row depends on its own numbers, the parameters, the step and the seed, never on the other rows of the call. So rows may be
//!   split over threads in any way.
//! - All but the row-wise optimisers give the same bits on every level that has fused multiply-add.

mod adam;
mod dynamic;
mod moments;
mod rows;
mod rowwise;
mod sgd;
mod sleep;

pub use adam::{Adam, adam_catch_up, adam_dense, adam_lazy, adam_settle};
pub use dynamic::{signed_map, unsigned_map};
pub use moments::{BLOCK, Moments};
pub use rows::{RowGrads, Weights};
pub use rowwise::{RowwiseAdagrad, RowwiseRmsprop, rowwise_adagrad, rowwise_rmsprop};
pub use sgd::{Momentum, Sgd, momentum, sgd};
