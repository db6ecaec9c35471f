//! Reductions, losses, norms and elementwise functions: what a layer does besides products.
//!
//! | kernel | meaning |
//! |---|---|
//! | [`max`], [`sum`], [`dot`], [`squared_norm`] | of one slice |
//! | [`log_sum_exp`], [`softmax`], [`softmax_cross_entropy`], [`softmax_cross_entropy_batch`] | over an active set, with log-weights |
//! | [`sigmoid_cross_entropy`] | the logistic loss of independent decisions over an active set |
//! | [`Activation`] | ReLU, ReLU^2, SiLU, GELU: forward and backward |
//! | [`top_k`] | the k largest of many scores, in order |
//! | [`rms_norm`], [`rms_norm_backward`], [`layer_norm`], [`layer_norm_backward`] | of the rows of a matrix |
//! | [`rope`], [`rope_backward`] | rotary position embedding of the heads of a row |
//!
//! Logits, scores, gradients and normalised rows are f32. Parameters are f32 or bf16, and so are slices that are
//! reduced, activated or turned in place. Any length is allowed. What is stated about NaN and infinities holds on every
//! level.

mod activation;
mod logistic;
mod math;
mod norm;
mod rope;
mod softmax;
mod sums;
mod topk;

pub use activation::Activation;
pub use logistic::sigmoid_cross_entropy;
pub use norm::{Affine, AffineGrad, Moments, layer_norm, layer_norm_backward, rms_norm, rms_norm_backward};
pub use rope::{RopePairs, RopeTable, rope, rope_backward};
pub use softmax::{CrossEntropy, log_sum_exp, softmax, softmax_cross_entropy, softmax_cross_entropy_batch};
pub use sums::{dot, max, squared_norm, sum};
pub(crate) use topk::rank;
pub use topk::top_k;

use crate::simd::{Simd, Weight};

/// The most lanes a level has.
const MAX_LANES: usize = 16;

/// The first `LANES` elements, those past the end of `xs` being `fill`.
#[inline(always)]
fn load_padded<S: Simd, W: Weight>(s: S, xs: &[W], fill: f32) -> S::F32 {
    if xs.len() >= S::LANES {
        return W::load(s, xs);
    }
    let present = s.gt(s.splat(xs.len() as f32), s.from_i32(s.iota()));
    s.select(present, W::load_partial(s, xs), s.splat(fill))
}

/// The elements of `xs` from `at` on, zeros past its end.
#[inline(always)]
fn load_at<S: Simd, W: Weight>(s: S, xs: &[W], at: usize) -> S::F32 {
    let xs = &xs[at..];
    if xs.len() >= S::LANES { W::load(s, xs) } else { W::load_partial(s, xs) }
}

/// Writes the lanes of `v` that lie in `out` when the first stands at `at`.
#[inline(always)]
fn store_at<S: Simd, W: Weight>(s: S, v: S::F32, out: &mut [W], at: usize) {
    let out = &mut out[at..];
    if out.len() >= S::LANES { W::store(s, v, out) } else { W::store_partial(s, v, out) }
}

/// The lanes of `v`, then zeros.
#[inline(always)]
fn lanes<S: Simd>(s: S, v: S::F32) -> [f32; MAX_LANES] {
    let mut out = [0.0; MAX_LANES];
    s.store(v, &mut out);
    out
}

/// `x = f(x)` in place.
#[inline(always)]
fn map<S: Simd, W: Weight>(s: S, xs: &mut [W], f: impl Fn(S::F32) -> S::F32) {
    let mut whole = xs.chunks_exact_mut(S::LANES);
    for x in &mut whole {
        W::store(s, f(W::load(s, x)), x);
    }
    let tail = whole.into_remainder();
    W::store_partial(s, f(W::load_partial(s, tail)), tail);
}
