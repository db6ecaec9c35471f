//! A [`Linear`] layer in which each sample has a set of rows of its own (SLIDE): sampled products, walked by row so that a
//! row, once loaded, serves every sample that wants it.

use std::ops::Range;

use rayon::prelude::*;

use super::Workspace;
use super::linear::Linear;
use super::pack::SAMPLES;
use crate::flops::Phase;
use crate::index::WeightsRef;
use crate::kernels::rows::{row_gradients, rows_axpy, sddmm};
use crate::kernels::{Level, MatMut, MatRef, RowIds, UniqueRowIds, Weight};
use crate::optim::{RowSet, Step};
pub use crate::order::Sets;

/// Rows of one piece of work.
const ROWS: usize = 256;

impl Linear {
    /// `z` (entries, by sample): `<W[row], x[sample]> + b[row]` for `x` (B, D).
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    #[track_caller]
    pub fn forward_per_sample(&self, work: &mut Workspace, x: MatRef<f32>, sets: &Sets, z: &mut [f32]) {
        assert_eq!(x.rows(), sets.by_sample().len(), "x and the sets differ in samples");
        assert_eq!(z.len(), sets.entries(), "z is not one for each entry");
        self.count_entries(work, sets);
        work.timed(Phase::Gemm, |work| match self.weights.weights() {
            WeightsRef::F32(w) => self.forward_entries(work.level, w, x, sets, z),
            WeightsRef::Bf16(w) => self.forward_entries(work.level, w, x, sets, z),
        });
    }

    fn forward_entries<W: Weight + Sync>(
        &self,
        level: Level,
        w: MatRef<W>,
        x: MatRef<f32>,
        sets: &Sets,
        z: &mut [f32],
    ) {
        let mut by_row = vec![0.0; z.len()];
        let mut rest = by_row.as_mut_slice();
        let blocks: Vec<(Range<usize>, &mut [f32])> = blocks(sets.rows().len())
            .map(|block| {
                let len = (sets.offsets()[block.end] - sets.offsets()[block.start]) as usize;
                let (piece, tail) = std::mem::take(&mut rest).split_at_mut(len);
                rest = tail;
                (block, piece)
            })
            .collect();
        let biases = self.biases.f32();
        blocks.into_par_iter().for_each(|(block, out)| {
            let mut offsets = Vec::new();
            let (_, batch) = sets.part(block.clone(), &mut offsets);
            sddmm(level, out, batch, w, x);
            for (&row, range) in sets.rows()[block].iter().zip(offsets.windows(2)) {
                out[range[0] as usize..range[1] as usize].iter_mut().for_each(|z| *z += biases[row as usize]);
            }
        });
        for (value, &entry) in by_row.iter().zip(sets.order()) {
            z[entry as usize] = *value;
        }
    }

    /// `dx` (B, D) `+= sum over the entries of a sample of dz * W[row]`, `dz` (entries, by sample).
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    #[track_caller]
    pub fn backward_per_sample_add(&self, work: &mut Workspace, dz: &[f32], sets: &Sets, dx: MatMut<f32>) {
        assert_eq!(dx.rows(), sets.by_sample().len(), "dx and the sets differ in samples");
        assert_eq!(dz.len(), sets.entries(), "dz is not one for each entry");
        self.count_entries(work, sets);
        work.timed(Phase::Gemm, |work| match self.weights.weights() {
            WeightsRef::F32(w) => backward_entries(work.level, w, dz, sets, dx),
            WeightsRef::Bf16(w) => backward_entries(work.level, w, dz, sets, dx),
        });
    }

    /// As [`Linear::step_along`], for entries.
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    #[track_caller]
    pub fn update_per_sample(&mut self, work: &mut Workspace, x: MatRef<f32>, dz: &[f32], sets: &Sets, step: &Step) {
        assert_eq!(dz.len(), sets.entries(), "dz is not one for each entry");
        let flops = |pairs: usize| 2 * pairs as u64 * self.cols() as u64;
        let bytes = sets.rows().len() as u64 * (self.weights.bytes_per_row() + self.biases.bytes_per_row());
        work.costs.count(Phase::Update, flops(sets.entries()), flops(x.rows() * self.rows()), bytes);
        work.timed(Phase::Update, |work| {
            let level = work.level;
            let by_row: Vec<f32> = sets.order().iter().map(|&entry| dz[entry as usize]).collect();
            let active = RowSet::Some(UniqueRowIds::new(sets.rows(), self.rows()).expect("active rows are rows"));
            self.weights
                .update_rows(active, level, step, |block, out| weight_gradient(level, x, &by_row, sets, block, out));
            self.biases.update_rows(active, level, step, |block, out| bias_gradient(&by_row, sets, block, out));
        });
    }

    /// The squared Euclidean length of the gradient that [`update_per_sample`](Self::update_per_sample) would apply.
    pub fn squared_gradient_per_sample(&self, work: &mut Workspace, x: MatRef<f32>, dz: &[f32], sets: &Sets) -> f64 {
        let level = work.level;
        let by_row: Vec<f32> = sets.order().iter().map(|&entry| dz[entry as usize]).collect();
        let active = RowSet::Some(UniqueRowIds::new(sets.rows(), self.rows()).expect("active rows are rows"));
        let weights = |block, out: MatMut<f32>| weight_gradient(level, x, &by_row, sets, block, out);
        self.weights.squared_rows(active, level, weights)
            + self.biases.squared_rows(active, level, |block, out| bias_gradient(&by_row, sets, block, out))
    }

    fn count_entries(&self, work: &mut Workspace, sets: &Sets) {
        let flops = |pairs: usize| 2 * pairs as u64 * self.cols() as u64;
        let bytes = sets.rows().len() as u64 * self.cols() as u64 * 4;
        work.costs.count(Phase::Gemm, flops(sets.entries()), flops(sets.by_sample().len() * self.rows()), bytes);
    }
}

fn backward_entries<W: Weight + Sync>(level: Level, w: MatRef<W>, dz: &[f32], sets: &Sets, dx: MatMut<f32>) {
    let chunks: Vec<MatMut<f32>> = dx.into_chunks(SAMPLES).collect();
    chunks.into_par_iter().enumerate().for_each(|(c, mut chunk)| {
        for r in 0..chunk.rows() {
            let sample = c * SAMPLES + r;
            let entries = sets.by_sample().offsets()[sample]..sets.by_sample().offsets()[sample + 1];
            let rows = RowIds::new(sets.by_sample().row(sample), w.rows()).expect("active rows are rows");
            rows_axpy(level, chunk.row_mut(r), rows, &dz[entries], w);
        }
    });
}

fn weight_gradient(level: Level, x: MatRef<f32>, by_row: &[f32], sets: &Sets, block: Range<usize>, out: MatMut<f32>) {
    let mut offsets = Vec::new();
    let (entries, batch) = sets.part(block, &mut offsets);
    row_gradients(level, out, batch, &by_row[entries], x);
}

fn bias_gradient(by_row: &[f32], sets: &Sets, block: Range<usize>, mut out: MatMut<f32>) {
    for (r, range) in sets.offsets()[block.start..=block.end].windows(2).enumerate() {
        out.row_mut(r)[0] = by_row[range[0] as usize..range[1] as usize].iter().sum();
    }
}

fn blocks(rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows).step_by(ROWS).map(move |from| from..rows.min(from + ROWS))
}

#[cfg(test)]
mod tests;
