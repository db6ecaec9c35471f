//! Adagrad and RMSprop with one scalar of state a row.

use super::rows::{Store, StoredRow, each_row, each_vector, load, with_store};
use super::{RowGrads, Weights};
use crate::Level;
use crate::simd::Simd;

/// Parameters of [`rowwise_adagrad`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowwiseAdagrad {
    /// Learning rate.
    pub lr: f32,
    /// Added to the root: above 0, so that a row which never had a gradient does not divide by zero.
    pub eps: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// What gradients are multiplied by.
    pub grad_scale: f32,
}

impl Default for RowwiseAdagrad {
    /// `lr` 0.01, `eps` 1e-10, no decay, gradients as they are.
    fn default() -> Self {
        Self { lr: 0.01, eps: 1e-10, weight_decay: 0.0, grad_scale: 1.0 }
    }
}

/// Parameters of [`rowwise_rmsprop`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowwiseRmsprop {
    /// Learning rate.
    pub lr: f32,
    /// What is kept of the mean square from step to step.
    pub alpha: f32,
    /// Added to the root: above 0, so that a row which never had a gradient does not divide by zero.
    pub eps: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// What gradients are multiplied by.
    pub grad_scale: f32,
}

impl Default for RowwiseRmsprop {
    /// `lr` 0.01, `alpha` 0.99, `eps` 1e-8, no decay, gradients as they are.
    fn default() -> Self {
        Self { lr: 0.01, alpha: 0.99, eps: 1e-8, weight_decay: 0.0, grad_scale: 1.0 }
    }
}

/// `sums[r] += mean(g^2)`, then `w = (1 - lr * weight_decay) w - lr * g / (sqrt(sums[r]) + eps)` with `g` the scaled gradient of
/// row `r`: `weights` (rows, D), `sums` (rows), `grads` (A, D).
///
/// Adagrad (Duchi et al. 2011) with one sum a row, as recommendation models have it (Naumov et al. 2019, DLRM). The
/// state takes 1 / D of the weights. `step` enters only into the rounding of bf16 weights.
///
/// # Panics
///
/// If the shapes disagree or `eps` is not above 0.
///
/// ```
/// use hotrow_kernels::{Level, MatMut, MatRef, UniqueRowIds};
/// use hotrow_kernels::optim::{RowGrads, RowwiseAdagrad, Weights, rowwise_adagrad};
/// let (mut w, mut sums) = ([1.0; 4], [0.0, 9.0]);
/// let grads = RowGrads::new(UniqueRowIds::new(&[1], 2)?, MatRef::new(&[4.0, -4.0], 1, 2));
/// let params = RowwiseAdagrad { lr: 0.5, ..RowwiseAdagrad::default() };
/// rowwise_adagrad(Level::detect(), Weights::F32(MatMut::new(&mut w, 2, 2)), &mut sums, grads, &params, 1);
/// assert_eq!((w, sums), ([1.0, 1.0, 0.6, 1.4], [0.0, 25.0]));
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[track_caller]
pub fn rowwise_adagrad(
    level: Level,
    weights: Weights,
    sums: &mut [f32],
    grads: RowGrads,
    params: &RowwiseAdagrad,
    step: u64,
) {
    let &RowwiseAdagrad { lr, eps, weight_decay, grad_scale } = params;
    let rule = Rule { kept: 1.0, added: 1.0, lr, eps, weight_decay, grad_scale };
    run(level, weights, sums, grads, rule, step);
}

/// `means[r] = alpha * means[r] + (1 - alpha) * mean(g^2)`, then `w = (1 - lr * weight_decay) w - lr * g / (sqrt(means[r]) + eps)`
/// with `g` the scaled gradient of row `r`: `weights` (rows, D), `means` (rows), `grads` (A, D).
///
/// RMSprop (Tieleman and Hinton 2012) with one average a row. The average of a row without a gradient rests, so it is
/// over the row's own steps. `step` enters only into the rounding of bf16 weights.
///
/// # Panics
///
/// If the shapes disagree or `eps` is not above 0.
///
/// ```
/// use hotrow_kernels::{Level, MatMut, MatRef, optim::{RowGrads, RowwiseRmsprop, Weights, rowwise_rmsprop}};
/// let (mut w, mut means) = ([1.0; 2], [0.0]);
/// let grads = RowGrads::all(MatRef::new(&[4.0, -4.0], 1, 2));
/// let params = RowwiseRmsprop { lr: 0.5, alpha: 0.75, ..RowwiseRmsprop::default() };
/// rowwise_rmsprop(Level::detect(), Weights::F32(MatMut::new(&mut w, 1, 2)), &mut means, grads, &params, 1);
/// assert_eq!((w, means), ([0.0, 2.0], [4.0]));
/// ```
#[track_caller]
pub fn rowwise_rmsprop(
    level: Level,
    weights: Weights,
    means: &mut [f32],
    grads: RowGrads,
    params: &RowwiseRmsprop,
    step: u64,
) {
    let &RowwiseRmsprop { lr, alpha, eps, weight_decay, grad_scale } = params;
    let rule = Rule { kept: alpha, added: 1.0 - alpha, lr, eps, weight_decay, grad_scale };
    run(level, weights, means, grads, rule, step);
}

/// Both optimisers: `state = kept * state + added * mean(g^2)`.
#[derive(Clone, Copy)]
struct Rule {
    kept: f32,
    added: f32,
    lr: f32,
    eps: f32,
    weight_decay: f32,
    grad_scale: f32,
}

#[track_caller]
fn run(level: Level, weights: Weights, state: &mut [f32], grads: RowGrads, rule: Rule, step: u64) {
    weights.check();
    grads.check(&weights);
    assert!(rule.eps > 0.0, "eps {} is not above 0", rule.eps);
    assert_eq!(state.len(), weights.rows(), "the state has one number for each row of weights");
    if weights.cols() > 0 {
        with_store!(level, weights, s, rows => rule.rows(s, rows, state, grads, step))
    }
}

impl Rule {
    #[inline(always)]
    fn rows<S: Simd, R: Store>(self, s: S, rows: &mut R, state: &mut [f32], grads: RowGrads, step: u64) {
        let decay = s.splat(1.0 - self.lr * self.weight_decay);
        each_row(
            grads,
            grads.cols() * (R::BYTES + 4),
            #[inline(always)]
            |row, grad, next| {
                if let Some(next) = next {
                    rows.prefetch(s, next);
                    s.prefetch(&state[next..next + 1]);
                }
                let squares = sum_of_squares(s, grad, self.grad_scale);
                let now = self.kept * state[row] + self.added * (squares / grad.len() as f32);
                state[row] = now;

                let factor = -self.lr / (now.sqrt() + self.eps);
                // A tiny eps may overflow the quotient, and infinity times a gradient of zero is NaN: such a row rests.
                let factor = if factor.is_infinite() { f32::MAX.copysign(factor) } else { factor };
                let (factor, scale) = (s.splat(factor), s.splat(self.grad_scale));
                let mut w = rows.row(s, row, step);
                each_vector(
                    s,
                    grad.len(),
                    #[inline(always)]
                    |at, full| {
                        let g = s.mul(scale, load(s, grad, at, full));
                        w.store(s, s.mul_add(factor, g, s.mul(decay, w.load(s, at, full))), at, full);
                    },
                );
            },
        );
    }
}

/// `sum (scale * g)^2`: scaled before it is squared, so that a clipping factor keeps a huge gradient from overflowing.
#[inline(always)]
fn sum_of_squares<S: Simd>(s: S, grad: &[f32], scale: f32) -> f32 {
    let scale = s.splat(scale);
    let mut acc = [s.splat(0.0); 4];
    let mut blocks = grad.chunks_exact(4 * S::LANES);
    for block in &mut blocks {
        for (i, acc) in acc.iter_mut().enumerate() {
            let g = s.mul(scale, s.load(&block[i * S::LANES..]));
            *acc = s.mul_add(g, g, *acc);
        }
    }
    for g in blocks.remainder().chunks(S::LANES) {
        let g = s.mul(scale, s.load_partial(g));
        acc[0] = s.mul_add(g, g, acc[0]);
    }
    s.sum(s.add(s.add(acc[0], acc[1]), s.add(acc[2], acc[3])))
}

#[cfg(test)]
mod tests;
