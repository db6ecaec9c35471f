//! RMSNorm with a learned gain.

use rayon::prelude::*;

use super::Workspace;
use super::dense::TOKENS;
use crate::config::Storage;
use crate::error::Result;
use crate::flops::Phase;
use crate::kernels::reduce::{rms_norm, rms_norm_backward};
use crate::kernels::{Level, MatMut, MatRef};
use crate::optim::{Init, Parameter, Scope};

/// Added to the mean of squares.
const EPSILON: f32 = 1e-5;

/// `y = x / sqrt(mean(x^2) + 1e-5) * gain` for each row (Zhang and Sennrich 2019).
#[derive(Debug)]
pub struct RmsNorm {
    /// (1, D).
    pub gain: Parameter,
}

crate::module!(RmsNorm { gain });

impl RmsNorm {
    /// For rows of `width` numbers. Gains start as ones and do not decay (see [`Scope`]).
    ///
    /// # Errors
    ///
    /// See [`Scope::parameter`].
    ///
    /// ```
    /// use hotrow::{config::Optim, layer::{RmsNorm, Workspace}, kernels::{Level, MatMut, MatRef}, optim::Scope};
    /// let norm = RmsNorm::new(&Scope::fresh(&Optim::default(), 7, Level::detect()).child("norm"), 2)?;
    /// let (mut y, mut rstd) = ([0.0; 2], [0.0]);
    /// let work = &mut Workspace::new(Level::detect());
    /// norm.forward(work, MatRef::new(&[1.0, -7.0], 1, 2), MatMut::new(&mut y, 1, 2), &mut rstd);
    /// assert!((y[0] - 0.2).abs() < 1e-6 && (y[1] + 1.4).abs() < 1e-6 && (rstd[0] - 0.2).abs() < 1e-6);
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn new(scope: &Scope, width: usize) -> Result<Self> {
        let gain = scope.parameter("gain", 1, width, Storage::F32, Init::Constant(1.0))?;
        Ok(Self { gain: gain.with_dense_gradient()? })
    }

    /// `y` (T, D) for `x` (T, D); `rstd` (T) is what the backward needs.
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    #[track_caller]
    pub fn forward(&self, work: &mut Workspace, x: MatRef<f32>, y: MatMut<f32>, rstd: &mut [f32]) {
        assert_eq!(rstd.len(), x.rows(), "rstd and the rows of x differ in number");
        assert_eq!(y.rows(), x.rows(), "y and x differ in rows");
        let level = work.level;
        work.timed(Phase::Forward, |_| {
            let chunks: Vec<_> = y.into_chunks(TOKENS).zip(rstd.chunks_mut(TOKENS)).collect();
            chunks.into_par_iter().enumerate().for_each(|(c, (y, rstd))| {
                let rows = c * TOKENS..c * TOKENS + y.rows();
                self.rows(level, x.window(rows, 0..x.cols()), y, rstd);
            });
        });
    }

    /// `dx` (T, D) `+=` the gradient of the loss at `x`, `dy` (T, D) being that at `y`. The gradient of the gain is added up.
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    #[track_caller]
    pub fn backward_add(
        &mut self,
        work: &mut Workspace,
        x: MatRef<f32>,
        rstd: &[f32],
        dy: MatRef<f32>,
        dx: MatMut<f32>,
    ) {
        assert_eq!(rstd.len(), x.rows(), "rstd and the rows of x differ in number");
        assert_eq!(dx.rows(), x.rows(), "dx and x differ in rows");
        let level = work.level;
        work.timed(Phase::Backward, |work| {
            let mut dgains = work.buffer(x.rows().div_ceil(TOKENS), x.cols());
            let chunks: Vec<_> = dx.into_chunks(TOKENS).zip(dgains.view_mut().into_chunks(1)).collect();
            chunks.into_par_iter().enumerate().for_each(|(c, (dx, mut dgain))| {
                let rows = c * TOKENS..c * TOKENS + dx.rows();
                let (x, dy) = (x.window(rows.clone(), 0..x.cols()), dy.window(rows.clone(), 0..dy.cols()));
                dgain.row_mut(0).fill(0.0);
                self.rows_backward(level, dx, dgain.row_mut(0), dy, x, &rstd[rows]);
            });
            self.accumulate(dgains.view());
            work.give_back(dgains);
        });
    }

    /// [`forward`](Self::forward) on this thread.
    pub(super) fn rows(&self, level: Level, x: MatRef<f32>, y: MatMut<f32>, rstd: &mut [f32]) {
        rms_norm(level, y, x, self.gain.f32(), EPSILON, rstd);
    }

    /// [`backward_add`](Self::backward_add) on this thread; the gradient of the gain is added to `dgain`.
    pub(super) fn rows_backward(
        &self,
        level: Level,
        dx: MatMut<f32>,
        dgain: &mut [f32],
        dy: MatRef<f32>,
        x: MatRef<f32>,
        rstd: &[f32],
    ) {
        rms_norm_backward(level, dx, dgain, dy, x, self.gain.f32(), rstd);
    }

    /// Adds parts (parts, D) of the gain's gradient, in order.
    pub(super) fn accumulate(&mut self, parts: MatRef<f32>) {
        let gradient = self.gain.gradient_mut();
        for part in 0..parts.rows() {
            gradient.iter_mut().zip(parts.row(part)).for_each(|(sum, part)| *sum += part);
        }
    }
}
