//! A [`Linear`] layer in which each sample has a set of rows of its own (SLIDE): sampled products, walked by row so that a
//! row, once loaded, serves every sample that wants it.

use std::ops::Range;

use rayon::prelude::*;

use super::Workspace;
use super::linear::Linear;
use super::pack::SAMPLES;
use crate::flops::Phase;
use crate::index::WeightsRef;
use crate::kernels::rows::{RowBatch, row_gradients, rows_axpy, sddmm};
use crate::kernels::{Level, MatMut, MatRef, RowIds, UniqueRowIds, Weight};
use crate::optim::{RowSet, StepOptions};
use crate::order::ByRow;
use crate::ragged::Ragged;

/// Rows of one piece of work.
const ROWS: usize = 256;

/// The sets of a batch, by sample and by row.
#[derive(Debug)]
pub struct Sets {
    /// The rows of each sample.
    by_sample: Ragged<u32>,
    /// Distinct rows, increasing.
    rows: Vec<u32>,
    /// Where the samples of each row begin.
    offsets: Vec<u32>,
    samples: Vec<u32>,
    /// Where each entry by row stands by sample.
    entry: Vec<u32>,
}

impl Sets {
    /// Groups the rows of each sample by row.
    ///
    /// ```
    /// use hotrow::{layer::per_sample::Sets, ragged::Ragged};
    /// let sets = Sets::new(Ragged::from_iter([vec![7, 2], vec![2]]));
    /// assert_eq!((sets.rows(), sets.entries()), (&[2, 7][..], 3));
    /// ```
    pub fn new(by_sample: Ragged<u32>) -> Self {
        let ByRow { rows, offsets, entries: entry } = ByRow::new(by_sample.items().iter().copied());
        let mut sample_of = vec![0; entry.len()];
        for (sample, range) in by_sample.offsets().windows(2).enumerate() {
            sample_of[range[0]..range[1]].fill(sample as u32);
        }
        let samples = entry.iter().map(|&entry| sample_of[entry as usize]).collect();
        Self { by_sample, rows, offsets, samples, entry }
    }

    /// The rows of each sample.
    pub fn by_sample(&self) -> &Ragged<u32> {
        &self.by_sample
    }

    /// The rows that any sample has, increasing.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Pairs of a sample and a row.
    pub fn entries(&self) -> usize {
        self.entry.len()
    }

    /// The share of the pairs of any of the samples and any of the rows that are entries.
    ///
    /// ```
    /// use hotrow::{layer::per_sample::Sets, ragged::Ragged};
    /// assert_eq!(Sets::new(Ragged::from_iter([vec![7, 2], vec![2]])).fill(), 0.75);
    /// ```
    pub fn fill(&self) -> f64 {
        self.entries() as f64 / (self.rows.len() * self.by_sample.len()).max(1) as f64
    }

    /// The entries of `all` (samples, distinct rows), by sample.
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    #[track_caller]
    pub fn gather(&self, all: MatRef<f32>, entries: &mut [f32]) {
        self.check(all.rows(), all.cols(), entries.len());
        self.places(|sample, column, entry| entries[entry] = all.row(sample)[column]);
    }

    /// `all` (samples, distinct rows) becomes `entries` (by sample) and zeros where there is no entry.
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    #[track_caller]
    pub fn scatter(&self, entries: &[f32], mut all: MatMut<f32>) {
        self.check(all.rows(), all.cols(), entries.len());
        (0..all.rows()).for_each(|sample| all.row_mut(sample).fill(0.0));
        self.places(|sample, column, entry| all.row_mut(sample)[column] = entries[entry]);
    }

    #[track_caller]
    fn check(&self, samples: usize, rows: usize, entries: usize) {
        assert_eq!((samples, rows), (self.by_sample.len(), self.rows.len()), "not (samples, distinct rows)");
        assert_eq!(entries, self.entries(), "not one number for each entry");
    }

    /// Calls `visit(sample, position of the row, place by sample)` for each entry.
    fn places(&self, mut visit: impl FnMut(usize, usize, usize)) {
        for (column, range) in self.offsets.windows(2).enumerate() {
            for at in range[0] as usize..range[1] as usize {
                visit(self.samples[at] as usize, column, self.entry[at] as usize);
            }
        }
    }

    /// Where each entry by row stands by sample.
    pub(super) fn order(&self) -> &[u32] {
        &self.entry
    }

    /// The part of the rows at the positions `block`: its entries, and the batch over them.
    pub(super) fn part<'a>(&'a self, block: Range<usize>, offsets: &'a mut Vec<u32>) -> (Range<usize>, RowBatch<'a>) {
        let (from, to) = (self.offsets[block.start], self.offsets[block.end]);
        offsets.clear();
        offsets.extend(self.offsets[block.start..=block.end].iter().map(|offset| offset - from));
        let entries = from as usize..to as usize;
        let rows = &self.rows[block];
        let limit = rows.last().map_or(0, |&row| row as usize + 1);
        let rows = RowIds::new(rows, limit).expect("the last is the largest");
        let samples = RowIds::new(&self.samples[entries.clone()], self.by_sample.len()).expect("samples of the batch");
        (entries, RowBatch::new(rows, offsets, samples).expect("offsets of the block"))
    }
}

impl Linear {
    /// `z` (entries, by sample): `<W[row], x[sample]> + b[row]` for `x` (B, D).
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    #[track_caller]
    pub fn forward_per_sample(&self, work: &mut Workspace, x: MatRef<f32>, sets: &Sets, z: &mut [f32]) {
        assert_eq!(x.rows(), sets.by_sample.len(), "x and the sets differ in samples");
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
        let blocks: Vec<(Range<usize>, &mut [f32])> = blocks(sets.rows.len())
            .map(|block| {
                let len = (sets.offsets[block.end] - sets.offsets[block.start]) as usize;
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
            for (&row, range) in sets.rows[block].iter().zip(offsets.windows(2)) {
                out[range[0] as usize..range[1] as usize].iter_mut().for_each(|z| *z += biases[row as usize]);
            }
        });
        for (value, &entry) in by_row.iter().zip(&sets.entry) {
            z[entry as usize] = *value;
        }
    }

    /// `dx` (B, D) `+= sum over the entries of a sample of dz * W[row]`, `dz` (entries, by sample).
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    #[track_caller]
    pub fn backward_per_sample(&self, work: &mut Workspace, dz: &[f32], sets: &Sets, dx: MatMut<f32>) {
        assert_eq!(dx.rows(), sets.by_sample.len(), "dx and the sets differ in samples");
        assert_eq!(dz.len(), sets.entries(), "dz is not one for each entry");
        self.count_entries(work, sets);
        work.timed(Phase::Gemm, |work| match self.weights.weights() {
            WeightsRef::F32(w) => backward_entries(work.level, w, dz, sets, dx),
            WeightsRef::Bf16(w) => backward_entries(work.level, w, dz, sets, dx),
        });
    }

    /// As [`Linear::update`], for entries.
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    #[track_caller]
    pub fn update_per_sample(
        &mut self,
        work: &mut Workspace,
        x: MatRef<f32>,
        dz: &[f32],
        sets: &Sets,
        step: &StepOptions,
    ) {
        assert_eq!(dz.len(), sets.entries(), "dz is not one for each entry");
        let flops = |pairs: usize| 2 * pairs as u64 * self.cols() as u64;
        let bytes = sets.rows.len() as u64 * (self.weights.bytes_per_row() + self.biases.bytes_per_row());
        work.costs.count(Phase::Update, flops(sets.entries()), flops(x.rows() * self.rows()), bytes);
        work.timed(Phase::Update, |work| {
            let level = work.level;
            let by_row: Vec<f32> = sets.entry.iter().map(|&entry| dz[entry as usize]).collect();
            let active = RowSet::Some(UniqueRowIds::new(&sets.rows, self.rows()).expect("active rows are rows"));
            self.weights.update(active, step, |block, out| weight_gradient(level, x, &by_row, sets, block, out));
            self.biases.update(active, step, |block, out| bias_gradient(&by_row, sets, block, out));
        });
    }

    /// The squared Euclidean length of the gradient that [`update_per_sample`](Self::update_per_sample) would apply.
    pub fn squared_gradient_per_sample(&self, work: &mut Workspace, x: MatRef<f32>, dz: &[f32], sets: &Sets) -> f64 {
        let level = work.level;
        let by_row: Vec<f32> = sets.entry.iter().map(|&entry| dz[entry as usize]).collect();
        let active = RowSet::Some(UniqueRowIds::new(&sets.rows, self.rows()).expect("active rows are rows"));
        let weights = |block, out: MatMut<f32>| weight_gradient(level, x, &by_row, sets, block, out);
        self.weights.squared_gradient(active, level, weights)
            + self.biases.squared_gradient(active, level, |block, out| bias_gradient(&by_row, sets, block, out))
    }

    fn count_entries(&self, work: &mut Workspace, sets: &Sets) {
        let flops = |pairs: usize| 2 * pairs as u64 * self.cols() as u64;
        let bytes = sets.rows.len() as u64 * self.cols() as u64 * 4;
        work.costs.count(Phase::Gemm, flops(sets.entries()), flops(sets.by_sample.len() * self.rows()), bytes);
    }
}

fn backward_entries<W: Weight + Sync>(level: Level, w: MatRef<W>, dz: &[f32], sets: &Sets, dx: MatMut<f32>) {
    let chunks: Vec<MatMut<f32>> = dx.into_chunks(SAMPLES).collect();
    chunks.into_par_iter().enumerate().for_each(|(c, mut chunk)| {
        for r in 0..chunk.rows() {
            let sample = c * SAMPLES + r;
            let entries = sets.by_sample.offsets()[sample]..sets.by_sample.offsets()[sample + 1];
            let rows = RowIds::new(sets.by_sample.row(sample), w.rows()).expect("active rows are rows");
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
    for (r, range) in sets.offsets[block.start..=block.end].windows(2).enumerate() {
        out.row_mut(r)[0] = by_row[range[0] as usize..range[1] as usize].iter().sum();
    }
}

fn blocks(rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows).step_by(ROWS).map(move |from| from..rows.min(from + ROWS))
}

#[cfg(test)]
mod tests;
