//! Adam and AdamW on rows. The functions differ in what a step means for a row without a gradient.

use super::moments::{BlockwiseMoments, F32Moments, MomentStore};
use super::rows::{Store, StoredRow, each_row, load, with_store};
use super::sleep::{Sleep, Slept};
use super::{Moments, RowGrads, Weights};
use crate::Level;
use crate::simd::Simd;

mod step;
use step::{CatchUpSteps, Step};

/// Parameters of Adam (Kingma and Ba 2015), AdamW with `weight_decay` (Loshchilov and Hutter 2019).
///
/// Step `t` of a weight `w` with the scaled gradient `g` is, in this order,
///
/// ```text
/// w = (1 - lr * weight_decay) w
/// m = beta1 m + (1 - beta1) g          v = beta2 v + (1 - beta2) g^2
/// w = w - lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
/// ```
///
/// Needed: `0 <= beta1 < 1`, `0 < beta2 < 1`, `eps > 0` and `lr * weight_decay < 1`; steps count from 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Learning rate.
    pub lr: f32,
    /// What is kept of the mean gradient from step to step.
    pub beta1: f32,
    /// What is kept of the mean square from step to step.
    pub beta2: f32,
    /// Added to the root.
    pub eps: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// What gradients are multiplied by.
    pub grad_scale: f32,
}

impl Default for Adam {
    /// `lr` 0.001, betas 0.9 and 0.999, `eps` 1e-8, no decay, gradients as they are.
    fn default() -> Self {
        Self { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, grad_scale: 1.0 }
    }
}

/// Adam that counts the steps of each row. Time stands still for a row without a gradient. `row_steps[r]` counts the
/// steps of row `r`, this one included, and is its `t`. `weights` and `moments` (rows, D), `row_steps` (rows, zeros at
/// the start), `grads` (A, D).
///
/// Rows without a gradient keep weights, moments and decay as they are. With [`RowGrads::all`] this is [`adam_dense`].
/// bf16 weights are rounded with the bits of the row's own step.
///
/// # Panics
///
/// If the shapes disagree or a parameter is out of its range: see [`Adam`].
///
/// ```
/// use hotrow_kernels::{Level, MatMut, MatRef, UniqueRowIds, optim::{Adam, Moments, RowGrads, Weights, adam_lazy}};
/// let (mut w, mut m, mut v, mut row_steps) = ([1.0; 4], [0.0; 4], [0.0; 4], [0; 2]);
/// let grads = RowGrads::new(UniqueRowIds::new(&[1], 2)?, MatRef::new(&[0.5, -20.0], 1, 2));
/// let moments = Moments::F32 { m: MatMut::new(&mut m, 2, 2), v: MatMut::new(&mut v, 2, 2) };
/// let weights = Weights::F32(MatMut::new(&mut w, 2, 2));
/// adam_lazy(Level::detect(), weights, moments, &mut row_steps, grads, &Adam { lr: 0.25, ..Adam::default() });
/// assert_eq!(row_steps, [0, 1]);
/// assert_eq!(w[..2], [1.0, 1.0]);
/// assert!((w[2] - 0.75).abs() < 1e-6 && (w[3] - 1.25).abs() < 1e-6); // a first step is `lr` long
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[track_caller]
pub fn adam_lazy(
    level: Level,
    weights: Weights,
    moments: Moments,
    row_steps: &mut [u32],
    grads: RowGrads,
    params: &Adam,
) {
    check(&weights, &moments, params);
    grads.check(&weights);
    assert_eq!(row_steps.len(), weights.rows(), "row_steps is not one for each row of weights");
    with_stores!(level, weights, moments, s, stores => {
        each_row(grads, stores.bytes_per_row(grads.cols()), #[inline(always)] |row, grad, next| {
            stores.prefetch(s, next);
            row_steps[row] = row_steps[row].saturating_add(1);
            let step = Step::new(params, row_steps[row]);
            stores.update(s, row, Some(grad), step, row_steps[row]);
        })
    })
}

/// Adam in which a row makes up for the steps it slept through, at its next gradient: the default for sparse layers.
/// `weights` and `moments` (rows, D), `grads` (A, D); `step` is that of the run. `last_steps` (rows) starts as zeros.
/// `last_steps[r]` is the step at which row `r` was last brought up to date. The function sets it to `step` for rows
/// with a gradient.
///
/// A row that slept `k` steps first gets what [`adam_dense`] would have done to it, with the parameters of this call.
/// Its moments decay by `beta1^k` and `beta2^k`, its weights by `(1 - lr * weight_decay)^k`. Weights also move along
/// the old first moment by the sum of the `k` steps. Only `eps` is simplified in this sum: bias correction and decay of
/// `v` relative to it are those of the first sleep step in all of them. For `k` = 0 the result is that of
/// [`adam_dense`] to the bit, for `k` = 1 up to rounding. For more, sleep step `j` is too long by the share
/// `(r_1 / r_j - 1) eps / (r_1 sqrt(v) + eps)` with `r_j = sqrt(beta2^j / (1 - beta2^(last + j)))`. This is small
/// wherever `eps` is small against `sqrt(v)`. A row that never had a gradient has moved by decay only.
///
/// Until then a row has the weights of its last step. [`adam_settle`] brings all rows up to date.
///
/// # Panics
///
/// If the shapes disagree, a parameter is out of its range, or a row with a gradient is already at `step` or later. The
/// ranges are those of [`Adam`], and `beta1^2 < beta2`, so that what a row sleeps through comes to an end.
///
/// ```
/// use hotrow_kernels::{Level, MatMut, MatRef, UniqueRowIds, optim::{Adam, Moments, RowGrads, Weights, adam_catch_up}};
/// let (mut w, mut m, mut v, mut last_steps) = ([1.0; 2], [0.0; 2], [0.0; 2], [0; 2]);
/// let params = Adam { lr: 0.25, ..Adam::default() };
/// for step in [1, 9] {
///     let grads = RowGrads::new(UniqueRowIds::new(&[1], 2)?, MatRef::new(&[0.5], 1, 1));
///     let moments = Moments::F32 { m: MatMut::new(&mut m, 2, 1), v: MatMut::new(&mut v, 2, 1) };
///     let weights = Weights::F32(MatMut::new(&mut w, 2, 1));
///     adam_catch_up(Level::detect(), weights, moments, &mut last_steps, grads, &params, step);
/// }
/// assert_eq!(last_steps, [0, 9]);
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[track_caller]
pub fn adam_catch_up(
    level: Level,
    weights: Weights,
    moments: Moments,
    last_steps: &mut [u32],
    grads: RowGrads,
    params: &Adam,
    step: u32,
) {
    check(&weights, &moments, params);
    grads.check(&weights);
    check_sleep(&weights, last_steps, params);
    for a in 0..grads.len() {
        let (row, last) = (grads.row(a), last_steps[grads.row(a)]);
        assert!(last < step, "row {row} is at step {last}, not before step {step}");
    }
    let mut steps = CatchUpSteps::new(params, step);
    with_stores!(level, weights, moments, s, stores => {
        each_row(grads, stores.bytes_per_row(grads.cols()), #[inline(always)] |row, grad, next| {
            stores.prefetch(s, next);
            let last = std::mem::replace(&mut last_steps[row], step);
            stores.update(s, row, Some(grad), steps.after(last), step);
        })
    })
}

/// Brings every row up to date with `step`, as [`adam_catch_up`] does before a gradient. Call it before an evaluation,
/// before a checkpoint, and before the parameters change by much. `weights` and `moments` (rows, D). `last_steps`
/// (rows) is `step` everywhere afterwards.
///
/// # Panics
///
/// As [`adam_catch_up`], or if a row is past `step`.
///
/// ```
/// use hotrow_kernels::{Level, MatMut, optim::{Adam, Moments, Weights, adam_settle}};
/// let (mut w, mut m, mut v, mut last_steps) = ([1.0; 2], [0.0, 0.1], [0.0, 0.01], [0, 3]);
/// let params = Adam { lr: 0.25, weight_decay: 2.0, ..Adam::default() };
/// let moments = Moments::F32 { m: MatMut::new(&mut m, 2, 1), v: MatMut::new(&mut v, 2, 1) };
/// let weights = Weights::F32(MatMut::new(&mut w, 2, 1));
/// adam_settle(Level::detect(), weights, moments, &mut last_steps, &params, 4);
/// assert_eq!(last_steps, [4, 4]);
/// assert_eq!(w[0], 0.0625); // four steps of decay by a half
/// ```
#[track_caller]
pub fn adam_settle(level: Level, weights: Weights, moments: Moments, last_steps: &mut [u32], params: &Adam, step: u32) {
    check(&weights, &moments, params);
    check_sleep(&weights, last_steps, params);
    if let Some(row) = last_steps.iter().position(|&last| last > step) {
        panic!("row {row} is at step {}, past step {step}", last_steps[row]);
    }
    let sleep = Sleep::new(params);
    with_stores!(level, weights, moments, s, stores => {
        for (row, last) in last_steps.iter_mut().enumerate() {
            let slept = step - std::mem::replace(last, step);
            if slept > 0 {
                stores.settle(s, row, sleep.kept(slept), sleep.slept(step - slept, slept), step);
            }
        }
    })
}

/// Adam of the textbook. Every row moves in every step, and a row without a gradient moves as if its gradient were
/// zero. `weights` and `moments` (rows, D), `grads` (A, D); `step` is that of the run.
///
/// Reads and writes all rows in order. Never builds the dense gradient.
///
/// # Panics
///
/// If the shapes disagree, a parameter is out of its range (see [`Adam`]), or `step` is 0.
///
/// ```
/// use hotrow_kernels::{Level, MatMut, MatRef, UniqueRowIds, optim::{Adam, Moments, RowGrads, Weights, adam_dense}};
/// let (mut w, mut m, mut v) = ([1.0; 2], [0.1, 0.0], [0.01, 0.0]);
/// let grads = RowGrads::new(UniqueRowIds::new(&[1], 2)?, MatRef::new(&[0.5], 1, 1));
/// let moments = Moments::F32 { m: MatMut::new(&mut m, 2, 1), v: MatMut::new(&mut v, 2, 1) };
/// let weights = Weights::F32(MatMut::new(&mut w, 2, 1));
/// adam_dense(Level::detect(), weights, moments, grads, &Adam::default(), 2);
/// assert!(w[0] < 1.0 && w[1] < 1.0);
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[track_caller]
pub fn adam_dense(level: Level, weights: Weights, moments: Moments, grads: RowGrads, params: &Adam, step: u32) {
    check(&weights, &moments, params);
    grads.check(&weights);
    assert!(step > 0, "steps count from 1");
    let rows = weights.rows();
    let each = Step::new(params, step);
    with_stores!(level, weights, moments, s, stores => {
        let mut a = 0;
        for row in 0..rows {
            let grad = (a < grads.len() && grads.row(a) == row).then(|| grads.grad(a));
            a += grad.is_some() as usize;
            stores.update(s, row, grad, each, step);
        }
    })
}

#[track_caller]
fn check(weights: &Weights, moments: &Moments, params: &Adam) {
    let &Adam { lr, beta1, beta2, eps, weight_decay, .. } = params;
    assert!((0.0..1.0).contains(&beta1), "beta1 {beta1} is not in 0..1");
    assert!(beta2 > 0.0 && beta2 < 1.0, "beta2 {beta2} is not between 0 and 1");
    assert!(eps > 0.0, "eps {eps} is not above 0");
    assert!(lr * weight_decay < 1.0, "lr {lr} times weight_decay {weight_decay} is not below 1");
    weights.check();
    moments.check(weights.rows(), weights.cols());
}

#[track_caller]
fn check_sleep(weights: &Weights, last_steps: &[u32], params: &Adam) {
    let &Adam { beta1, beta2, .. } = params;
    assert!(beta1 * beta1 < beta2, "the square of beta1 {beta1} is not below beta2 {beta2}");
    assert_eq!(last_steps.len(), weights.rows(), "last_steps is not one for each row of weights");
}

/// A matrix and its moments in the storage they have.
struct Stores<'a, W, M> {
    weights: &'a mut W,
    moments: M,
}

impl<W: Store, M: MomentStore> Stores<'_, W, M> {
    #[inline(always)]
    fn bytes_per_row(&self, cols: usize) -> usize {
        cols * (W::BYTES + M::BYTES + size_of::<f32>())
    }

    #[inline(always)]
    fn prefetch<S: Simd>(&self, s: S, next: Option<usize>) {
        if let Some(row) = next {
            self.weights.prefetch(s, row);
            self.moments.prefetch(s, row);
        }
    }

    /// One step of `row`; without `grad` as if it were zero.
    #[inline(always)]
    fn update<S: Simd>(&mut self, s: S, row: usize, grad: Option<&[f32]>, step: Step, number: u32) {
        let mut weights = self.weights.row(s, row, number as u64);
        let (decay, scale) = (s.splat(step.decay), s.splat(step.grad_scale));
        let (m_kept, m_added) = (s.splat(step.m_kept), s.splat(step.m_added));
        let (v_kept, v_added) = (s.splat(step.v_kept), s.splat(step.v_added));
        let (lr, root, eps) = (s.splat(-step.lr), s.splat(step.root), s.splat(step.eps));
        self.moments.update(
            s,
            row,
            #[inline(always)]
            |at, full, m, v| {
                let mut w = weights.load(s, at, full);
                if let Some(slept) = step.slept {
                    w = asleep(s, w, m, v, slept);
                }
                let g = match grad {
                    Some(grad) => s.mul(scale, load(s, grad, at, full)),
                    None => s.splat(0.0),
                };
                let m = s.mul_add(m_added, g, s.mul(m_kept, m));
                let v = s.mul_add(s.mul(v_added, g), g, s.mul(v_kept, v));
                let along = s.div(m, s.mul_add(s.sqrt(v), root, eps));
                weights.store(s, s.mul_add(lr, along, s.mul(decay, w)), at, full);
                (m, v)
            },
        );
    }

    /// Sleep steps of `row`, with what is kept of its moments and their effect, and no other.
    #[inline(always)]
    fn settle<S: Simd>(&mut self, s: S, row: usize, kept: (f32, f32), slept: Slept, number: u32) {
        let mut weights = self.weights.row(s, row, number as u64);
        let (m_kept, v_kept) = (s.splat(kept.0), s.splat(kept.1));
        self.moments.update(
            s,
            row,
            #[inline(always)]
            |at, full, m, v| {
                let w = asleep(s, weights.load(s, at, full), m, v, slept);
                weights.store(s, w, at, full);
                (s.mul(m_kept, m), s.mul(v_kept, v))
            },
        );
    }
}

#[inline(always)]
fn asleep<S: Simd>(s: S, w: S::F32, m: S::F32, v: S::F32, slept: Slept) -> S::F32 {
    let along = s.div(m, s.add(s.sqrt(v), s.splat(slept.eps)));
    s.mul_add(s.splat(-slept.movement), along, s.mul(s.splat(slept.decay), w))
}

/// Runs an expression with `$stores` bound to the [`Stores`] of weights and moments, and `$s` to the token of a level.
macro_rules! with_stores {
    ($level:expr, $weights:expr, $moments:expr, $s:ident, $stores:ident => $body:expr) => {
        match $moments {
            Moments::F32 { m, v } => {
                let moments = F32Moments { m, v };
                with_store!($level, $weights, $s, weights => {
                    #[allow(unused_mut)]
                    let mut $stores = Stores { weights, moments };
                    $body
                })
            }
            Moments::Blockwise { m, v, m_scales, v_scales } => {
                let moments = BlockwiseMoments { m, v, m_scales, v_scales };
                with_store!($level, $weights, $s, weights => {
                    let mut $stores = Stores { weights, moments };
                    $body
                })
            }
        }
    };
}
use with_stores;

#[cfg(test)]
mod tests;
