//! A layer with sparse input: `h[s] = b + scale[s] * sum_f v[s, f] * E[f]`, rows of `E` being features.

use std::ops::Range;

use rayon::prelude::*;

use super::Workspace;
use super::pack::SAMPLES;
use crate::config::{Pooling, Storage};
use crate::error::Result;
use crate::flops::Phase;
use crate::index::WeightsRef;
use crate::kernels::rows::{RowBatch, row_gradients, rows_axpy};
use crate::kernels::{Level, MatMut, MatRef, RowIds, SparseRow, UniqueRowIds, Weight};
use crate::optim::{Init, Parameter, RowSet, Rule, Step};
use crate::order::ByRow;
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

/// What a batch touches: its features, each with the samples that have it.
#[derive(Debug)]
pub struct TableGradient<'a> {
    dh: MatRef<'a, f32>,
    /// Distinct features, increasing.
    features: Vec<u32>,
    /// Where the samples of each feature begin.
    offsets: Vec<u32>,
    samples: Vec<u32>,
    values: Vec<f32>,
}

impl Table {
    /// `features` rows of `cols` numbers, called `name` in checkpoints. Weights start as normal numbers of variance
    /// `1 / cols`.
    ///
    /// # Panics
    ///
    /// If the system refuses the memory: see [`try_new`](Self::try_new).
    ///
    /// ```
    /// use hotrow::{config::{Optim, Pooling, Storage}, layer::Table};
    /// let table = Table::new("input", 100, 8, Pooling::Sum, Storage::F32, &Optim::default(), 7);
    /// assert_eq!((table.weights.rows(), table.weights.cols()), (100, 8));
    /// ```
    #[track_caller]
    pub fn new(
        name: &str,
        features: usize,
        cols: usize,
        pooling: Pooling,
        storage: Storage,
        rule: impl Into<Rule>,
        seed: u64,
    ) -> Self {
        Self::try_new(name, features, cols, pooling, storage, rule, seed).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`new`](Self::new).
    ///
    /// # Errors
    ///
    /// [`Error::Memory`](crate::error::Error::Memory) if the system refuses the memory.
    pub fn try_new(
        name: &str,
        features: usize,
        cols: usize,
        pooling: Pooling,
        storage: Storage,
        rule: impl Into<Rule>,
        seed: u64,
    ) -> Result<Self> {
        let (rule, init) = (rule.into(), Init::Normal((1.0 / cols.max(1) as f32).sqrt()));
        Ok(Self {
            weights: Parameter::try_new(&format!("{name}.weight"), features, cols, storage, rule, init, seed)?,
            biases: Parameter::try_new(&format!("{name}.bias"), 1, cols, Storage::F32, rule, Init::Zeros, seed)?,
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
    /// use hotrow::kernels::{Level, MatMut};
    /// let table = Table::new("input", 100, 8, Pooling::Sum, Storage::F32, &Optim::default(), 7);
    /// let mut batch = SparseBatch::new(100);
    /// batch.push(&[40], &[2.0])?;
    /// let mut h = [0.0; 8];
    /// table.forward(&mut Workspace::new(Level::detect()), &batch, MatMut::new(&mut h, 1, 8));
    /// assert_eq!(h[3], 2.0 * table.weights.f32()[40 * 8 + 3]);
    /// # Ok::<(), hotrow::kernels::IndexError>(())
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

    /// Groups a batch by feature for [`update`](Self::update); `dh` (B, D) is the gradient of the output.
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    #[track_caller]
    pub fn gradient<'a>(&self, work: &mut Workspace, batch: &SparseBatch, dh: MatRef<'a, f32>) -> TableGradient<'a> {
        assert_eq!((batch.len(), self.weights.cols()), (dh.rows(), dh.cols()), "dh is not (samples, columns)");
        work.timed(Phase::Backward, |_| {
            let (mut sample_of, mut value_of) = (Vec::with_capacity(batch.nnz()), Vec::with_capacity(batch.nnz()));
            for sample in 0..batch.len() {
                let row = batch.row(sample);
                let scale = self.scale(row);
                sample_of.resize(sample_of.len() + row.nnz(), sample as u32);
                value_of.extend(row.values().iter().map(|&value| scaled(value, scale)));
            }
            let touches = (0..batch.len()).flat_map(|sample| batch.row(sample).indices()).copied();
            let ByRow { rows: features, offsets, entries } = ByRow::new(touches);
            let samples = entries.iter().map(|&entry| sample_of[entry as usize]).collect();
            let values = entries.iter().map(|&entry| value_of[entry as usize]).collect();
            TableGradient { dh, features, offsets, samples, values }
        })
    }

    /// One step along the gradient: only rows of features that the batch has move (save in a dense Adam).
    ///
    /// # Panics
    ///
    /// If the gradient is that of another table.
    #[track_caller]
    pub fn update(&mut self, work: &mut Workspace, gradient: &TableGradient, step: &Step) {
        let flops = 2 * (gradient.samples.len() * self.weights.cols()) as u64;
        work.costs.count(Phase::Update, flops, flops, gradient.features.len() as u64 * self.weights.bytes_per_row());
        work.timed(Phase::Update, |work| {
            let level = work.level;
            let active = UniqueRowIds::new(&gradient.features, self.weights.rows()).expect("features of this table");
            self.weights
                .update_rows(RowSet::Some(active), level, step, |block, out| gradient.weights(level, block, out));
            self.biases.update_rows(RowSet::All(1), level, step, |_, out| gradient.biases(out));
        });
    }

    /// The squared Euclidean length of the gradient.
    pub fn squared_gradient(&self, work: &mut Workspace, gradient: &TableGradient) -> f64 {
        let level = work.level;
        work.timed(Phase::Update, |_| {
            let active = UniqueRowIds::new(&gradient.features, self.weights.rows()).expect("features of this table");
            let weights = |block, out: MatMut<f32>| gradient.weights(level, block, out);
            self.weights.squared_rows(RowSet::Some(active), level, weights)
                + self.biases.squared_rows(RowSet::All(1), level, |_, out| gradient.biases(out))
        })
    }
}

fn scaled(value: f32, scale: f64) -> f32 {
    (f64::from(value) * scale) as f32
}

impl TableGradient<'_> {
    /// `out` (block, D): the gradients of the features at the positions `block`.
    fn weights(&self, level: Level, block: Range<usize>, out: MatMut<f32>) {
        let (from, to) = (self.offsets[block.start], self.offsets[block.end]);
        let offsets: Vec<u32> = self.offsets[block.start..=block.end].iter().map(|offset| offset - from).collect();
        let entries = from as usize..to as usize;
        let rows = RowIds::new(&self.features[block], usize::MAX).expect("no limit");
        let samples = RowIds::new(&self.samples[entries.clone()], self.dh.rows()).expect("samples of the batch");
        let batch = RowBatch::new(rows, &offsets, samples).expect("offsets of the block");
        row_gradients(level, out, batch, &self.values[entries], self.dh);
    }

    fn biases(&self, mut out: MatMut<f32>) {
        let out = out.row_mut(0);
        out.fill(0.0);
        for sample in 0..self.dh.rows() {
            out.iter_mut().zip(self.dh.row(sample)).for_each(|(sum, dh)| *sum += dh);
        }
    }
}

#[cfg(test)]
mod tests;
