//! A layer with sparse input: `h[s] = b + scale[s] * sum_f v[s, f] * E[f]`, rows of `E` being features.

use rayon::prelude::*;

use super::Workspace;
use super::pack::SAMPLES;
use crate::config::{Pooling, Storage};
use crate::error::Result;
use crate::flops::Phase;
use crate::index::WeightsRef;
use crate::kernels::rows::rows_axpy;
use crate::kernels::{Level, MatMut, MatRef, RowIds, SparseRow, Weight};
use crate::optim::{Init, Parameter, Scope};
use crate::ragged::Ragged;
use crate::sparse::SparseBatch;

/// A row for each feature (features, D), and biases (1, D).
#[derive(Debug)]
pub struct Table {
    /// (features, D).
    pub weights: Parameter,
    /// (1, D).
    pub biases: Parameter,
    pooling: Pooling,
}

crate::module!(Table { weights, biases });

impl Table {
    /// `features` rows of `cols` numbers. Weights start as normal numbers of variance `1 / cols`.
    ///
    /// # Errors
    ///
    /// See [`Scope::parameter`].
    ///
    /// ```
    /// use hotrow::{config::{Optim, Pooling, Storage}, kernels::Level, layer::Table, optim::Scope};
    /// let scope = Scope::fresh(&Optim::default(), 7, Level::detect());
    /// let table = Table::new(&scope.child("input"), 100, 8, Pooling::Sum, Storage::F32)?;
    /// assert_eq!((table.weights.rows(), table.weights.cols()), (100, 8));
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn new(scope: &Scope, features: usize, cols: usize, pooling: Pooling, storage: Storage) -> Result<Self> {
        let init = Init::Normal((1.0 / cols.max(1) as f32).sqrt());
        Ok(Self {
            weights: scope.parameter("weight", features, cols, storage, init)?.with_touches(),
            biases: scope.parameter("bias", 1, cols, Storage::F32, Init::Zeros)?.with_dense_gradient()?,
            pooling,
        })
    }

    /// `h` (B, D), written over, for a batch of B sparse vectors.
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    ///
    /// ```
    /// use hotrow::{config::{Optim, Pooling, Storage}, layer::{Table, Workspace}, sparse::SparseBatch};
    /// use hotrow::{kernels::{Level, MatMut}, optim::Scope};
    /// let table = Table::new(&Scope::fresh(&Optim::default(), 1, Level::detect()), 100, 8, Pooling::Sum, Storage::F32)?;
    /// let mut batch = SparseBatch::new(100);
    /// batch.push(&[40], &[2.0])?;
    /// let mut h = [0.0; 8];
    /// table.forward(&mut Workspace::new(Level::detect()), &batch, MatMut::new(&mut h, 1, 8));
    /// assert_eq!(h[3], 2.0 * table.weights.f32()[40 * 8 + 3]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn forward(&self, work: &mut Workspace, batch: &SparseBatch, h: MatMut<f32>) {
        assert_eq!(batch.len(), h.rows(), "the batch and h differ in samples");
        assert_eq!(batch.dim(), self.weights.rows(), "the batch and the table differ in features");
        let flops = 2 * (batch.nnz() * h.cols()) as u64;
        let width = match self.weights.weights() {
            WeightsRef::F32(_) => 4,
            WeightsRef::Bf16(_) => 2,
        };
        work.costs.count(Phase::Forward, flops, flops, (batch.nnz() * h.cols()) as u64 * width);
        work.timed(Phase::Forward, |work| match self.weights.weights() {
            WeightsRef::F32(w) => self.forward_with(work.level, w, batch, h),
            WeightsRef::Bf16(w) => self.forward_with(work.level, w, batch, h),
        });
    }

    fn forward_with<W: Weight + Sync>(&self, level: Level, w: MatRef<W>, batch: &SparseBatch, h: MatMut<f32>) {
        let chunks: Vec<MatMut<f32>> = h.into_chunks(SAMPLES).collect();
        chunks.into_par_iter().enumerate().for_each(|(c, mut chunk)| {
            let mut coefficients = Vec::new();
            for r in 0..chunk.rows() {
                let row = batch.row(c * SAMPLES + r);
                let scale = self.scale(row);
                coefficients.clear();
                coefficients.extend(row.values().iter().map(|&value| scaled(value, scale)));
                let features = RowIds::new(row.indices(), w.rows()).expect("features are below the dimension");
                let h = chunk.row_mut(r);
                h.copy_from_slice(self.biases.f32());
                rows_axpy(level, h, features, &coefficients, w);
            }
        });
    }

    /// What the values of a sample are multiplied by. The inverse of a very short length has no f32.
    fn scale(&self, row: SparseRow) -> f64 {
        match self.pooling {
            Pooling::Sum => 1.0,
            Pooling::Mean => 1.0 / row.nnz().max(1) as f64,
            Pooling::Normalized => {
                let squares: f64 = row.values().iter().map(|&value| value as f64 * value as f64).sum();
                if squares > 0.0 { 1.0 / squares.sqrt() } else { 0.0 }
            }
        }
    }

    /// Keeps the gradient of [`forward`](Self::forward) for the next step: `dh` (B, D) is that of its output. Only rows of features that
    /// the batch has move then (save in a dense Adam).
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    #[track_caller]
    pub fn backward(&mut self, work: &mut Workspace, batch: &SparseBatch, dh: MatRef<f32>) {
        assert_eq!((batch.len(), self.weights.cols()), (dh.rows(), dh.cols()), "dh is not (samples, columns)");
        work.timed(Phase::Backward, |_| {
            let (mut features, mut factors) = (Ragged::new(), Vec::with_capacity(batch.nnz()));
            for sample in 0..batch.len() {
                let row = batch.row(sample);
                let scale = self.scale(row);
                features.push(row.indices().iter().copied());
                factors.extend(row.values().iter().map(|&value| scaled(value, scale)));
            }
            self.weights.touch(&features, &factors, dh);
            let biases = self.biases.gradient_mut();
            for sample in 0..dh.rows() {
                biases.iter_mut().zip(dh.row(sample)).for_each(|(sum, dh)| *sum += dh);
            }
        });
    }
}

fn scaled(value: f32, scale: f64) -> f32 {
    (f64::from(value) * scale) as f32
}

#[cfg(test)]
mod tests;
