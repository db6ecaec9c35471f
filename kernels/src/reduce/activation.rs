//! Elementwise activations, forward and backward.

use super::map;
use super::math::{normal, sigmoid};
use crate::simd::{Simd, Weight};
use crate::{Level, dispatch};

/// An elementwise function of the neurons of a layer.
///
/// NaN gives NaN; infinities give the limits. The levels with a fused multiply-add agree to the bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// `max(x, 0)`; its derivative at 0 is 0.
    Relu,
    /// `max(x, 0)^2` (So et al. 2021, Primer).
    ReluSquared,
    /// `x / (1 + exp(-x))` (Elfwing et al. 2017).
    Silu,
    /// `x Phi(x)` with the normal distribution function (Hendrycks and Gimpel 2016).
    Gelu,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`, the same paper's approximation, as GPT-2 uses it.
    GeluTanh,
}

impl Activation {
    /// Every activation.
    pub const ALL: [Activation; 5] =
        [Activation::Relu, Activation::ReluSquared, Activation::Silu, Activation::Gelu, Activation::GeluTanh];

    /// `x = f(x)` in place, any length; bf16 is rounded to nearest.
    ///
    /// ```
    /// use hotrow_kernels::{Level, reduce::Activation};
    /// let mut x = [-2.0f32, 0.0, 3.0];
    /// Activation::ReluSquared.forward(Level::detect(), &mut x);
    /// assert_eq!(x, [0.0, 0.0, 9.0]);
    /// ```
    pub fn forward<W: Weight>(self, level: Level, x: &mut [W]) {
        dispatch!(level, s => match self {
            Activation::Relu => map(s, x, #[inline(always)] |x| relu(s, x)),
            Activation::ReluSquared => map(s, x, #[inline(always)] |x| s.mul(relu(s, x), relu(s, x))),
            Activation::Silu => map(s, x, #[inline(always)] |x| s.mul(finite(s, x), sigmoid(s, x).value)),
            Activation::Gelu => map(s, x, #[inline(always)] |x| s.mul(finite(s, x), normal(s, x).0)),
            Activation::GeluTanh => {
                map(s, x, #[inline(always)] |x| s.mul(finite(s, x), sigmoid(s, gelu_argument(s, x)).value))
            }
        })
    }

    /// `d[i] *= f'(x[i])`: turns the gradient `d` of the output into that of the input `x` (before the activation).
    ///
    /// # Panics
    ///
    /// If the lengths differ.
    ///
    /// ```
    /// use hotrow_kernels::{Level, reduce::Activation};
    /// let mut d = [1.0, 1.0, 0.5];
    /// Activation::ReluSquared.backward(Level::detect(), &mut d, &[-2.0f32, 0.0, 3.0]);
    /// assert_eq!(d, [0.0, 0.0, 3.0]);
    /// ```
    #[track_caller]
    pub fn backward<W: Weight>(self, level: Level, d: &mut [f32], x: &[W]) {
        assert_eq!(d.len(), x.len(), "d and x differ in length");
        dispatch!(level, s => match self {
            Activation::Relu => multiply(s, d, x, #[inline(always)] |x| relu_slope(s, x)),
            Activation::ReluSquared => multiply(s, d, x, #[inline(always)] |x| s.add(relu(s, x), relu(s, x))),
            Activation::Silu => multiply(s, d, x, #[inline(always)] |x| silu_slope(s, x)),
            Activation::Gelu => multiply(s, d, x, #[inline(always)] |x| gelu_slope(s, x)),
            Activation::GeluTanh => multiply(s, d, x, #[inline(always)] |x| gelu_tanh_slope(s, x)),
        })
    }
}

/// `d *= slope(x)`
#[inline(always)]
fn multiply<S: Simd, W: Weight>(s: S, d: &mut [f32], x: &[W], slope: impl Fn(S::F32) -> S::F32) {
    let (mut ds, mut xs) = (d.chunks_exact_mut(S::LANES), x.chunks_exact(S::LANES));
    for (d, x) in (&mut ds).zip(&mut xs) {
        s.store(s.mul(s.load(d), slope(W::load(s, x))), d);
    }
    let (d, x) = (ds.into_remainder(), xs.remainder());
    s.store_partial(s.mul(s.load_partial(d), slope(W::load_partial(s, x))), d);
}

/// `x`, or the lowest finite float for -infinity, whose product with the factor 0 it meets is 0; NaN stays.
#[inline(always)]
fn finite<S: Simd>(s: S, x: S::F32) -> S::F32 {
    s.max(s.splat(f32::MIN), x)
}

/// `x` between `-bound` and `bound`; NaN stays.
#[inline(always)]
fn clamp<S: Simd>(s: S, x: S::F32, bound: f32) -> S::F32 {
    s.min(s.splat(bound), s.max(s.splat(-bound), x))
}

#[inline(always)]
fn relu<S: Simd>(s: S, x: S::F32) -> S::F32 {
    s.max(s.splat(0.0), x)
}

#[inline(always)]
fn relu_slope<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let slope = s.select(s.gt(x, s.splat(0.0)), s.splat(1.0), s.splat(0.0));
    s.select(crate::simd::is_nan(s, x), x, slope)
}

/// `f' = v + x v (1 - v)`, with `v` the logistic function of `x`.
#[inline(always)]
fn silu_slope<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let v = sigmoid(s, x);
    s.mul_add(clamp(s, x, f32::MAX), s.mul(v.value, v.complement), v.value)
}

/// `f' = Phi + x phi`
#[inline(always)]
fn gelu_slope<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (cdf, density) = normal(s, x);
    s.mul_add(clamp(s, x, f32::MAX), density, cdf)
}

/// `2 sqrt(2 / pi)`, because `(1 + tanh(u)) / 2` is the logistic function of `2 u`, which does not cancel.
const TWICE_SQRT_2_OVER_PI: f32 = 1.595_769;
const CUBIC: f32 = 0.044715;

/// `2 sqrt(2 / pi) (x + 0.044715 x^3)`
#[inline(always)]
fn gelu_argument<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let cubic = s.mul_add(s.mul(x, x), s.splat(CUBIC), s.splat(1.0));
    s.mul(s.mul(x, s.splat(TWICE_SQRT_2_OVER_PI)), cubic)
}

/// `f' = v + x v (1 - v) u'`, with `v` the logistic function of [`gelu_argument`] `u`.
#[inline(always)]
fn gelu_tanh_slope<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // From |x| = 20 on the logistic function is 0 or 1 in f32; clamping keeps the factors around it finite.
    let x = clamp(s, x, 20.0);
    let v = sigmoid(s, gelu_argument(s, x));
    let cubic = s.mul_add(s.mul(x, x), s.splat(3.0 * CUBIC), s.splat(1.0));
    let slope = s.mul(s.splat(TWICE_SQRT_2_OVER_PI), cubic);
    s.mul_add(s.mul(x, slope), s.mul(v.value, v.complement), v.value)
}

#[cfg(test)]
mod tests;
