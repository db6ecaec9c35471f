//! Stochastic gradient descent, with and without momentum.

use super::rows::{Store, StoredRow, each_row, each_vector, load, prefetch_head, store, with_store};
use super::{RowGrads, Weights};
use crate::simd::Simd;
use crate::{Level, MatMut};

/// Parameters of [`sgd`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// What gradients are multiplied by.
    pub grad_scale: f32,
}

impl Default for Sgd {
    /// `lr` 0.01, no decay, gradients as they are.
    fn default() -> Self {
        Self { lr: 0.01, weight_decay: 0.0, grad_scale: 1.0 }
    }
}

/// Parameters of [`momentum`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Momentum {
    /// Learning rate.
    pub lr: f32,
    /// What is kept of the velocity from step to step.
    pub momentum: f32,
    /// Whether to step along `g + momentum * velocity` instead of the velocity.
    pub nesterov: bool,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// What gradients are multiplied by.
    pub grad_scale: f32,
}

impl Default for Momentum {
    /// `lr` 0.01, momentum 0.9, no decay, gradients as they are.
    fn default() -> Self {
        Self { lr: 0.01, momentum: 0.9, nesterov: false, weight_decay: 0.0, grad_scale: 1.0 }
    }
}

/// `w = (1 - lr * weight_decay) w - lr * grad_scale * g` for each row with a gradient: `weights` (rows, D), `grads` (A, D).
///
/// `step` enters only into the rounding of bf16 weights.
///
/// # Panics
///
/// If the shapes disagree.
///
/// ```
/// use hotrow_kernels::{Level, MatMut, MatRef, UniqueRowIds, optim::{RowGrads, Sgd, Weights, sgd}};
/// let mut w = [1.0; 6];
/// let rows = UniqueRowIds::new(&[2], 3)?;
/// let grads = RowGrads::new(rows, MatRef::new(&[1.0, -2.0], 1, 2));
/// let params = Sgd { lr: 0.5, ..Sgd::default() };
/// sgd(Level::detect(), Weights::F32(MatMut::new(&mut w, 3, 2)), grads, &params, 1);
/// assert_eq!(w, [1.0, 1.0, 1.0, 1.0, 0.5, 2.0]);
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[track_caller]
pub fn sgd(level: Level, weights: Weights, grads: RowGrads, params: &Sgd, step: u64) {
    weights.check();
    grads.check(&weights);
    with_store!(level, weights, s, rows => sgd_rows(s, rows, grads, params, step))
}

#[inline(always)]
fn sgd_rows<S: Simd, R: Store>(s: S, rows: &mut R, grads: RowGrads, params: &Sgd, step: u64) {
    let decay = s.splat(1.0 - params.lr * params.weight_decay);
    let factor = s.splat(-(params.lr * params.grad_scale));
    each_row(
        grads,
        grads.cols() * (R::BYTES + 4),
        #[inline(always)]
        |row, grad, next| {
            if let Some(next) = next {
                rows.prefetch(s, next);
            }
            let mut w = rows.row(s, row, step);
            each_vector(
                s,
                grad.len(),
                #[inline(always)]
                |at, full| {
                    let kept = s.mul(decay, w.load(s, at, full));
                    w.store(s, s.mul_add(factor, load(s, grad, at, full), kept), at, full);
                },
            );
        },
    );
}

/// `u = momentum * u + grad_scale * g`, then `w = (1 - lr * weight_decay) w - lr * u` (Polyak 1964), for each row with
/// a gradient. With `nesterov` the last term is `lr * (grad_scale * g + momentum * u)` (Sutskever et al. 2013, in the
/// form of PyTorch). `weights` and `velocity` (rows, D), `grads` (A, D). The velocity starts at zero.
///
/// The velocity of a row without a gradient rests as its weights do. `step` enters only into the rounding of bf16 weights.
///
/// # Panics
///
/// If the shapes disagree.
///
/// ```
/// use hotrow_kernels::{Level, MatMut, MatRef, optim::{Momentum, RowGrads, Weights, momentum}};
/// let (mut w, mut u) = ([1.0, 1.0], [0.0, 2.0]);
/// let grads = RowGrads::all(MatRef::new(&[1.0, 0.0], 1, 2));
/// let params = Momentum { lr: 0.5, momentum: 0.5, ..Momentum::default() };
/// let velocity = MatMut::new(&mut u, 1, 2);
/// momentum(Level::detect(), Weights::F32(MatMut::new(&mut w, 1, 2)), velocity, grads, &params, 1);
/// assert_eq!((w, u), ([0.5, 0.5], [1.0, 1.0]));
/// ```
#[track_caller]
pub fn momentum(
    level: Level,
    weights: Weights,
    mut velocity: MatMut<f32>,
    grads: RowGrads,
    params: &Momentum,
    step: u64,
) {
    weights.check();
    grads.check(&weights);
    let shape = (weights.rows(), weights.cols());
    assert_eq!(shape, (velocity.rows(), velocity.cols()), "weights and velocity differ in shape");
    with_store!(level, weights, s, rows => momentum_rows(s, rows, &mut velocity, grads, params, step))
}

#[inline(always)]
fn momentum_rows<S: Simd, R: Store>(
    s: S,
    rows: &mut R,
    velocity: &mut MatMut<f32>,
    grads: RowGrads,
    params: &Momentum,
    step: u64,
) {
    let decay = s.splat(1.0 - params.lr * params.weight_decay);
    let (lr, scale, momentum) = (s.splat(-params.lr), s.splat(params.grad_scale), s.splat(params.momentum));
    each_row(
        grads,
        grads.cols() * (R::BYTES + 8),
        #[inline(always)]
        |row, grad, next| {
            if let Some(next) = next {
                rows.prefetch(s, next);
                prefetch_head(s, velocity.as_ref().row(next));
            }
            let mut w = rows.row(s, row, step);
            let u = velocity.row_mut(row);
            each_vector(
                s,
                grad.len(),
                #[inline(always)]
                |at, full| {
                    let g = s.mul(scale, load(s, grad, at, full));
                    let moved = s.mul_add(momentum, load(s, u, at, full), g);
                    store(s, moved, u, at, full);
                    let along = if params.nesterov { s.mul_add(momentum, moved, g) } else { moved };
                    w.store(s, s.mul_add(lr, along, s.mul(decay, w.load(s, at, full))), at, full);
                },
            );
        },
    );
}

#[cfg(test)]
mod tests;
