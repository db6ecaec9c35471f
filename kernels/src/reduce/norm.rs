//! RMSNorm and LayerNorm over the rows of a matrix, forward and backward.
//!
//! The backward kernels *add* to what they write: a residual stream and a batch in parts need that.

use super::sums::{accumulate, squares};
use super::{load_at, store_at};
use crate::simd::{Simd, Weight};
use crate::{Level, MatMut, MatRef, dispatch};

/// `out = x * rstd * gain` with `rstd = 1 / sqrt(mean(x^2) + epsilon)` of each row (Zhang and Sennrich 2019, equation
/// 4). `out` and `x` (N, D), `gain` (D). The backward needs `rstd` (N).
///
/// A row whose squares overflow has `rstd` 0. A NaN or an infinity makes its row NaN or 0 and touches no other row.
///
/// # Panics
///
/// If the shapes disagree.
///
/// ```
/// use hotrow_kernels::{Level, MatMut, MatRef, reduce::rms_norm};
/// let (mut out, mut rstd) = ([0.0; 2], [0.0; 1]);
/// let x = MatRef::new(&[1.0, -7.0], 1, 2);
/// rms_norm(Level::detect(), MatMut::new(&mut out, 1, 2), x, &[1.0f32, 2.0], 0.0, &mut rstd);
/// assert!((out[0] - 0.2).abs() < 1e-6 && (out[1] + 2.8).abs() < 1e-6 && (rstd[0] - 0.2).abs() < 1e-6);
/// ```
#[track_caller]
pub fn rms_norm<W: Weight>(
    level: Level,
    mut out: MatMut<f32>,
    x: MatRef<f32>,
    gain: &[W],
    epsilon: f32,
    rstd: &mut [f32],
) {
    check("out", out.as_ref(), x, gain.len());
    assert_eq!(rstd.len(), x.rows(), "rstd and the rows of x differ in number");
    dispatch!(level, s => for (r, rstd) in rstd.iter_mut().enumerate() {
        *rstd = rms_norm_row(s, out.row_mut(r), x.row(r), gain, epsilon);
    })
}

#[inline(always)]
fn rms_norm_row<S: Simd, W: Weight>(s: S, out: &mut [f32], x: &[f32], gain: &[W], epsilon: f32) -> f32 {
    // One length for all, so that the offsets need no further check: here and below.
    let len = x.len();
    let (out, gain) = (&mut out[..len], &gain[..len]);
    let rstd = reciprocal_root(squares(s, x), len, epsilon);
    let factor = s.splat(rstd);
    for at in (0..len).step_by(S::LANES) {
        store_at(s, s.mul(s.mul(load_at(s, x, at), factor), load_at(s, gain, at)), out, at);
    }
    rstd
}

/// Gradient of [`rms_norm`]. Adds to `dx` (N, D) and `dgain` (D). `dy` and `x` (N, D), `gain` (D), `rstd` (N) as the
/// forward wrote it.
///
/// With `n = x * rstd` and `h = gain * dy`: `dgain += sum dy * n`, `dx += rstd * (h - n * mean(h * n))`.
///
/// # Panics
///
/// If the shapes disagree.
///
/// ```
/// use hotrow_kernels::{Level, MatMut, MatRef, reduce::rms_norm_backward};
/// let (mut dx, mut dgain) = ([0.0; 2], [0.0; 2]);
/// let (x, dy) = (MatRef::new(&[1.0, 1.0], 1, 2), MatRef::new(&[3.0, 1.0], 1, 2));
/// rms_norm_backward(Level::detect(), MatMut::new(&mut dx, 1, 2), &mut dgain, dy, x, &[1.0f32, 1.0], &[1.0]);
/// assert_eq!((dx, dgain), ([1.0, -1.0], [3.0, 1.0]));
/// ```
#[track_caller]
pub fn rms_norm_backward<W: Weight>(
    level: Level,
    mut dx: MatMut<f32>,
    dgain: &mut [f32],
    dy: MatRef<f32>,
    x: MatRef<f32>,
    gain: &[W],
    rstd: &[f32],
) {
    check("dx", dx.as_ref(), x, gain.len());
    check("dy", dy, x, dgain.len());
    assert_eq!(rstd.len(), x.rows(), "rstd and the rows of x differ in number");
    dispatch!(level, s => for (r, &rstd) in rstd.iter().enumerate() {
        rms_norm_row_backward(s, dx.row_mut(r), dgain, dy.row(r), x.row(r), gain, rstd);
    })
}

#[inline(always)]
fn rms_norm_row_backward<S: Simd, W: Weight>(
    s: S,
    dx: &mut [f32],
    dgain: &mut [f32],
    dy: &[f32],
    x: &[f32],
    gain: &[W],
    rstd: f32,
) {
    let len = x.len();
    let (dx, dgain, dy, gain) = (&mut dx[..len], &mut dgain[..len], &dy[..len], &gain[..len]);
    let (factor, mut acc) = (s.splat(rstd), s.splat(0.0));
    for at in (0..len).step_by(S::LANES) {
        let (dy, n) = (load_at(s, dy, at), s.mul(load_at(s, x, at), factor));
        store_at(s, s.mul_add(dy, n, load_at(s, dgain, at)), dgain, at);
        acc = s.mul_add(s.mul(dy, load_at(s, gain, at)), n, acc);
    }
    let mean = s.splat(s.sum(acc) / x.len() as f32);
    for at in (0..len).step_by(S::LANES) {
        let n = s.mul(load_at(s, x, at), factor);
        let h = s.mul(load_at(s, dy, at), load_at(s, gain, at));
        store_at(s, s.mul_add(factor, s.sub(h, s.mul(n, mean)), load_at(s, dx, at)), dx, at);
    }
}

/// The moments of a row that [`layer_norm`] writes and its backward reads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// The mean of the row.
    pub mean: f32,
    /// `1 / sqrt(variance + epsilon)`
    pub rstd: f32,
}

/// The parameters of [`layer_norm`], each (D).
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a, W> {
    /// What the normalised row is multiplied by.
    pub gain: &'a [W],
    /// What is then added.
    pub bias: &'a [W],
}

/// Gradients of [`Affine`], added to.
#[derive(Debug)]
pub struct AffineGrad<'a> {
    /// Of the gain (D).
    pub dgain: &'a mut [f32],
    /// Of the bias (D).
    pub dbias: &'a mut [f32],
}

/// `out = (x - mean) * rstd * gain + bias` with `rstd = 1 / sqrt(variance + epsilon)` of each row (Ba et al. 2016,
/// equation 4). `out` and `x` (N, D), `affine` (D). The backward needs `moments` (N).
///
/// A second pass takes the variance around the mean, so a large mean does not cancel it. A NaN or an infinity makes its
/// row NaN and touches no other row.
///
/// # Panics
///
/// If the shapes disagree.
///
/// ```
/// use hotrow_kernels::{Level, MatMut, MatRef, reduce::{Affine, Moments, layer_norm}};
/// let (mut out, mut moments) = ([0.0; 2], [Moments::default(); 1]);
/// let x = MatRef::new(&[3.0, 7.0], 1, 2);
/// let affine = Affine { gain: &[1.0f32, 1.0], bias: &[0.0, 10.0] };
/// layer_norm(Level::detect(), MatMut::new(&mut out, 1, 2), x, affine, 0.0, &mut moments);
/// assert_eq!((out, moments[0]), ([-1.0, 11.0], Moments { mean: 5.0, rstd: 0.5 }));
/// ```
#[track_caller]
pub fn layer_norm<W: Weight>(
    level: Level,
    mut out: MatMut<f32>,
    x: MatRef<f32>,
    affine: Affine<W>,
    epsilon: f32,
    moments: &mut [Moments],
) {
    check("out", out.as_ref(), x, affine.gain.len());
    assert_eq!(affine.bias.len(), x.cols(), "bias and the rows of x differ in length");
    assert_eq!(moments.len(), x.rows(), "moments and the rows of x differ in number");
    dispatch!(level, s => for (r, moments) in moments.iter_mut().enumerate() {
        *moments = layer_norm_row(s, out.row_mut(r), x.row(r), affine, epsilon);
    })
}

#[inline(always)]
fn layer_norm_row<S: Simd, W: Weight>(s: S, out: &mut [f32], x: &[f32], affine: Affine<W>, epsilon: f32) -> Moments {
    let len = x.len();
    let (out, gain, bias) = (&mut out[..len], &affine.gain[..len], &affine.bias[..len]);
    let sum = accumulate(
        s,
        x,
        #[inline(always)]
        |x, acc| s.add(acc, x),
    );
    let mean = sum / x.len().max(1) as f32;
    let center = s.splat(mean);
    // The deviations stand in `out` until they are scaled.
    for at in (0..len).step_by(S::LANES) {
        store_at(s, s.sub(load_at(s, x, at), center), out, at);
    }
    let rstd = reciprocal_root(squares(s, out), x.len(), epsilon);
    let factor = s.splat(rstd);
    for at in (0..len).step_by(S::LANES) {
        let n = s.mul(load_at(s, out, at), factor);
        store_at(s, s.mul_add(n, load_at(s, gain, at), load_at(s, bias, at)), out, at);
    }
    Moments { mean, rstd }
}

/// Gradient of [`layer_norm`]. Adds to `dx` (N, D) and `grad` (D). `dy` and `x` (N, D), `gain` (D), `moments` (N) as
/// the forward wrote them.
///
/// With `n = (x - mean) * rstd` and `h = gain * dy`: `dgain += sum dy * n`, `dbias += sum dy`,
/// `dx += rstd * (h - mean(h) - n * mean(h * n))`.
///
/// # Panics
///
/// If the shapes disagree.
///
/// ```
/// use hotrow_kernels::{Level, MatMut, MatRef, reduce::{AffineGrad, Moments, layer_norm_backward}};
/// let (mut dx, mut dgain, mut dbias) = ([0.0; 3], [0.0; 3], [0.0; 3]);
/// let (x, dy) = (MatRef::new(&[-1.0, 0.0, 1.0], 1, 3), MatRef::new(&[0.0, 3.0, 0.0], 1, 3));
/// let grad = AffineGrad { dgain: &mut dgain, dbias: &mut dbias };
/// let moments = [Moments { mean: 0.0, rstd: 1.0 }];
/// layer_norm_backward(Level::detect(), MatMut::new(&mut dx, 1, 3), grad, dy, x, &[1.0f32; 3], &moments);
/// assert_eq!((dx, dgain, dbias), ([-1.0, 2.0, -1.0], [0.0; 3], [0.0, 3.0, 0.0]));
/// ```
#[track_caller]
pub fn layer_norm_backward<W: Weight>(
    level: Level,
    mut dx: MatMut<f32>,
    mut grad: AffineGrad,
    dy: MatRef<f32>,
    x: MatRef<f32>,
    gain: &[W],
    moments: &[Moments],
) {
    check("dx", dx.as_ref(), x, gain.len());
    check("dy", dy, x, grad.dgain.len());
    assert_eq!(grad.dbias.len(), x.cols(), "dbias and the rows of x differ in length");
    assert_eq!(moments.len(), x.rows(), "moments and the rows of x differ in number");
    dispatch!(level, s => for (r, &moments) in moments.iter().enumerate() {
        layer_norm_row_backward(s, dx.row_mut(r), &mut grad, dy.row(r), x.row(r), gain, moments);
    })
}

#[inline(always)]
fn layer_norm_row_backward<S: Simd, W: Weight>(
    s: S,
    dx: &mut [f32],
    grad: &mut AffineGrad,
    dy: &[f32],
    x: &[f32],
    gain: &[W],
    moments: Moments,
) {
    let len = x.len();
    let (dx, dy, gain) = (&mut dx[..len], &dy[..len], &gain[..len]);
    let (dgain, dbias) = (&mut grad.dgain[..len], &mut grad.dbias[..len]);
    let (center, factor) = (s.splat(moments.mean), s.splat(moments.rstd));
    let (mut sum, mut dot) = (s.splat(0.0), s.splat(0.0));
    for at in (0..len).step_by(S::LANES) {
        let dy = load_at(s, dy, at);
        // Past the end `dy` is 0, so what is normalised there counts for nothing.
        let n = s.mul(s.sub(load_at(s, x, at), center), factor);
        store_at(s, s.mul_add(dy, n, load_at(s, dgain, at)), dgain, at);
        store_at(s, s.add(dy, load_at(s, dbias, at)), dbias, at);
        let h = s.mul(dy, load_at(s, gain, at));
        (sum, dot) = (s.add(sum, h), s.mul_add(h, n, dot));
    }
    let dim = x.len() as f32;
    let (mean, slope) = (s.splat(s.sum(sum) / dim), s.splat(s.sum(dot) / dim));
    for at in (0..len).step_by(S::LANES) {
        let n = s.mul(s.sub(load_at(s, x, at), center), factor);
        let h = s.mul(load_at(s, dy, at), load_at(s, gain, at));
        let inner = s.sub(s.sub(h, mean), s.mul(n, slope));
        store_at(s, s.mul_add(factor, inner, load_at(s, dx, at)), dx, at);
    }
}

/// `1 / sqrt(squares / dim + epsilon)`
#[inline(always)]
fn reciprocal_root(squares: f32, dim: usize, epsilon: f32) -> f32 {
    1.0 / (squares / dim.max(1) as f32 + epsilon).sqrt()
}

#[track_caller]
fn check(name: &str, matrix: MatRef<f32>, x: MatRef<f32>, parameters: usize) {
    let (shape, x_shape) = ((matrix.rows(), matrix.cols()), (x.rows(), x.cols()));
    assert_eq!(shape, x_shape, "{name} and x differ in shape");
    assert_eq!(parameters, x.cols(), "a parameter or its gradient and the rows of x differ in length");
}

#[cfg(test)]
mod tests;
