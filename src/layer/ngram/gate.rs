//! How much of what was read a token takes, decided by the token and by what was read (Engram 2026, with the row itself in place
//! of a key made from it, as it is added to the stream unprojected):
//!
//! ```text
//! z[t] = sum_i g[i] n(x[t])[i] n(e[t])[i] / sqrt(D) + b        n(v) = v / sqrt(mean(v^2) + 1e-5)
//! a[t] = 2 sigmoid(z[t])                                       x[t] += scale a[t] e[t]
//! ```
//!
//! `g` and `b` start as zeros, where `a` is 1: at first the layer is the one that has a scale only.

use rayon::prelude::*;

use super::super::dense::{TOKENS, copy_rows};
use super::super::{Buffer, Workspace};
use crate::config::Storage;
use crate::error::Result;
use crate::kernels::reduce::{dot, squared_norm};
use crate::kernels::{Level, MatMut, MatRef};
use crate::optim::{Init, Parameter, Scope};
use crate::work::local;

const EPSILON: f32 = 1e-5;

/// Gates of all layers that rows of n-grams are added at.
#[derive(Debug)]
pub struct Gates {
    /// `g`: (layers, D), from zeros.
    pub weights: Parameter,
    /// `b`: (layers, 1), from zeros.
    pub biases: Parameter,
}

crate::module!(Gates { weights, biases });

/// What the backward pass of one layer needs.
#[derive(Debug, Default)]
pub(super) struct GateSaved {
    /// (T, D): the stream before.
    x: Buffer,
    /// (T, 4): `a`, the sum in `z`, and the factors that normalise `x` and `e`.
    scalars: Buffer,
}

impl Gates {
    pub(super) fn new(scope: &Scope, layers: usize, width: usize) -> Result<Self> {
        let zeros = |part: &str, cols: usize| {
            scope.parameter(part, layers, cols, Storage::F32, Init::Zeros).map(Parameter::with_few_gradients)
        };
        Ok(Self { weights: zeros("weight", width)?, biases: zeros("bias", 1)? })
    }

    /// `g` and `b` of layer `at`.
    fn of(&self, at: usize) -> (&[f32], f32) {
        let width = self.weights.cols();
        (&self.weights.f32()[at * width..(at + 1) * width], self.biases.f32()[at])
    }

    /// `x` (T, D) `+= scale * a * e`
    pub(super) fn forward(
        &self,
        level: Level,
        at: usize,
        scale: f32,
        e: MatRef<f32>,
        x: MatMut<f32>,
        saved: &mut GateSaved,
    ) {
        let (width, (g, b)) = (x.cols(), self.of(at));
        saved.x.shape(x.rows(), width);
        copy_rows(x.as_ref(), &mut saved.x.view_mut());
        saved.scalars.shape(x.rows(), 4);
        let pieces: Vec<_> = x.into_chunks(TOKENS).zip(saved.scalars.view_mut().into_chunks(TOKENS)).collect();
        pieces.into_par_iter().enumerate().for_each(|(c, (mut x, mut scalars))| {
            let mut weighted = vec![0.0; width];
            for r in 0..x.rows() {
                let (x, e) = (x.row_mut(r), e.row(c * TOKENS + r));
                weighted.iter_mut().zip(g.iter().zip(&*x)).for_each(|(w, (g, x))| *w = g * x);
                let [of_x, of_e] = [&*x, e].map(|v| (squared_norm(level, v) / width as f32 + EPSILON).sqrt().recip());
                let sum = dot(level, &weighted, e) * of_x * of_e / (width as f32).sqrt();
                let a = 2.0 / (1.0 + (-(sum + b)).exp());
                scalars.row_mut(r).copy_from_slice(&[a, sum, of_x, of_e]);
                let factor = scale * a;
                x.iter_mut().zip(e).for_each(|(x, e)| *x += factor * e);
            }
        });
    }

    /// `dx` (T, D) becomes the gradient before the layer; `de` (T, D) is added to. Returns the gradient of the scale.
    pub(super) fn backward(
        &mut self,
        work: &mut Workspace,
        (at, scale): (usize, f32),
        e: MatRef<f32>,
        saved: &GateSaved,
        dx: MatMut<f32>,
        de: MatMut<f32>,
    ) -> f32 {
        let (level, width, (g, _)) = (work.level, dx.cols(), self.of(at));
        let (x, scalars) = (saved.x.view(), saved.scalars.view());
        assert_eq!(x.rows(), dx.rows(), "the forward pass was of other tokens");
        // Gradients of `g`, `b` and the scale, of each piece.
        let mut sums = work.buffer(dx.rows().div_ceil(TOKENS), width + 2);
        let chunks = dx.into_chunks(TOKENS).zip(de.into_chunks(TOKENS)).zip(sums.view_mut().into_chunks(1));
        let chunks: Vec<_> = chunks.collect();
        chunks.into_par_iter().enumerate().for_each(|(c, ((mut dx, mut de), mut sums))| {
            let mut memory = Vec::new();
            let product = local(&mut memory, width);
            let sums = sums.row_mut(0);
            sums.fill(0.0);
            for r in 0..dx.rows() {
                let t = c * TOKENS + r;
                let (x, e, dx, de) = (x.row(t), e.row(t), dx.row_mut(r), de.row_mut(r));
                let &[a, sum, of_x, of_e] = scalars.row(t) else { unreachable!("four numbers") };
                let along = dot(level, dx, e);
                let dz = scale * along * a * (1.0 - a / 2.0);
                sums[width] += dz;
                sums[width + 1] += a * along;
                // Of the normalised vectors, by the chain rule: what lies along a vector does not turn it.
                let each = dz * of_x * of_e / (width as f32).sqrt();
                let [along_x, along_e] = [of_x, of_e].map(|of| dz * of * of * sum / width as f32);
                product.iter_mut().zip(x.iter().zip(e)).for_each(|(p, (x, e))| *p = x * e);
                sums.iter_mut().zip(&*product).for_each(|(sum, p)| *sum += each * p);
                for (i, (dx, de)) in dx.iter_mut().zip(de).enumerate() {
                    *de += scale * a * *dx + each * g[i] * x[i] - along_e * e[i];
                    *dx += each * g[i] * e[i] - along_x * x[i];
                }
            }
        });
        let (mut dscale, sums_of) = (0.0, sums.view());
        let weights = &mut self.weights.gradient_mut()[at * width..(at + 1) * width];
        let bias = &mut self.biases.gradient_mut()[at];
        for piece in 0..sums_of.rows() {
            let sums = sums_of.row(piece);
            weights.iter_mut().zip(sums).for_each(|(sum, part)| *sum += part);
            *bias += sums[width];
            dscale += sums[width + 1];
        }
        work.give_back(sums);
        dscale
    }
}
