//! A table of which each sample reads a few rows: `y[s] += sum_e c[e] * W[row of e]`, and the gradients of that. What a memory
//! is made of: the sparse side owns the rows.
//!
//! Samples are taken in pieces of a fixed size. Those of a piece that want the same row read it once, in the order of rows, and
//! the next rows are fetched meanwhile. The gradient is not built: which sample touched which row is kept, for all
//! micro-batches of a step, until the thread that owns a row sums it up and moves the row.

use std::ops::Range;

use rayon::prelude::*;

use super::Workspace;
use crate::flops::Phase;
use crate::index::WeightsRef;
use crate::kernels::rows::{sddmm, spmm};
use crate::kernels::{Level, MatMut, MatRef, Weight};
use crate::optim::Parameter;
use crate::order::Sets;
use crate::ragged::Ragged;
use crate::tensor::Elements;

/// Samples of one piece of work: some thousand rows to sort and fetch, and 256 outputs that stay in the second-level cache.
const SAMPLES: usize = 256;

/// Rows (rows, D), and who touched them since the last update. A [`Table`](super::Table) has pooling and a bias, and wants features
/// sorted; here ids come as they are, and outputs are added to.
#[derive(Debug)]
pub struct RowTable {
    weights: Parameter,
}

crate::module!(RowTable { weights });

impl RowTable {
    /// The rows of a parameter.
    ///
    /// ```
    /// use hotrow::config::{Optim, Storage};
    /// use hotrow::{layer::RowTable, optim::{Init, Parameter}};
    /// let rows = Parameter::new("values", 100, 8, Storage::F32, &Optim::default(), Init::Zeros, 7);
    /// assert_eq!(RowTable::new(rows).used_rows(), 0);
    /// ```
    pub fn new(weights: Parameter) -> Self {
        Self { weights: weights.with_touches() }
    }

    /// The rows with the optimiser's state.
    pub fn parameter(&self) -> &Parameter {
        &self.weights
    }

    /// The rows with the optimiser's state, to be written.
    pub fn parameter_mut(&mut self) -> &mut Parameter {
        &mut self.weights
    }

    /// `y` (S, D) `+=` for each sample the sum of its rows `ids` (S), each times its factor in `c` (entries of `ids`).
    ///
    /// # Panics
    ///
    /// If the shapes disagree or there is no such row.
    ///
    /// ```
    /// use hotrow::config::{Optim, Storage};
    /// use hotrow::kernels::{Level, MatMut};
    /// use hotrow::{layer::{RowTable, Workspace}, optim::{Init, Parameter}, ragged::Ragged};
    /// let rows = Parameter::new("values", 9, 1, Storage::F32, &Optim::default(), Init::Normal(1.0), 7);
    /// let (table, mut y) = (RowTable::new(rows), [1.0]);
    /// let ids = Ragged::from_iter([[3, 5]]);
    /// table.forward_add(&mut Workspace::new(Level::detect()), &ids, &[2.0, -1.0], MatMut::new(&mut y, 1, 1));
    /// let w = table.parameter().f32();
    /// assert!((y[0] - (1.0 + 2.0 * w[3] - w[5])).abs() < 1e-5);
    /// ```
    #[track_caller]
    pub fn forward_add(&self, work: &mut Workspace, ids: &Ragged<u32>, c: &[f32], y: MatMut<f32>) {
        assert_eq!(ids.len(), y.rows(), "y has not one row for each sample");
        assert_eq!(ids.items().len(), c.len(), "c has not one factor for each entry");
        self.count(work, Phase::Forward, ids);
        let level = work.level;
        work.timed(Phase::Forward, |_| match self.weights.weights() {
            WeightsRef::F32(w) => forward(level, w, ids, c, y),
            WeightsRef::Bf16(w) => forward(level, w, ids, c, y),
        });
    }

    /// `out` (entries of `ids`) `= <W[row], x[sample]>` for `x` (S, D): scores, or the gradient of factors.
    ///
    /// # Panics
    ///
    /// If the shapes disagree or there is no such row.
    #[track_caller]
    pub fn dots(&self, work: &mut Workspace, phase: Phase, ids: &Ragged<u32>, x: MatRef<f32>, out: &mut [f32]) {
        assert_eq!(ids.len(), x.rows(), "x has not one row for each sample");
        assert_eq!(ids.items().len(), out.len(), "out has not one place for each entry");
        self.count(work, phase, ids);
        let level = work.level;
        work.timed(phase, |_| match self.weights.weights() {
            WeightsRef::F32(w) => dots(level, w, ids, x, out),
            WeightsRef::Bf16(w) => dots(level, w, ids, x, out),
        });
    }

    /// Keeps, for the next update, the gradient of [`forward_add`](Self::forward_add): `dy` (S, D) is that of its output.
    ///
    /// # Panics
    ///
    /// If the shapes disagree, there is no such row, or a step has more than 2^32 touches.
    #[track_caller]
    pub fn accumulate(&mut self, ids: &Ragged<u32>, c: &[f32], dy: MatRef<f32>) {
        self.weights.touch(ids, c, dy);
    }

    /// Rows with a number that is not zero: those ever used, of a table that started as zeros.
    pub fn used_rows(&self) -> usize {
        let cols = self.weights.cols().max(1);
        let tensors = self.weights.weight_tensors();
        let weights = &tensors[0].elements;
        let chunk = cols << 12;
        match weights {
            Elements::F32(w) => w.par_chunks(chunk).map(|w| used(w, cols, |x| *x != 0.0)).sum(),
            Elements::Bf16(w) => w.par_chunks(chunk).map(|w| used(w, cols, |x| x.to_bits() << 1 != 0)).sum(),
            _ => unreachable!("weights are f32 or bf16"),
        }
    }

    fn count(&self, work: &mut Workspace, phase: Phase, ids: &Ragged<u32>) {
        let numbers = (ids.items().len() * self.weights.cols()) as u64;
        let size = match self.weights.weights() {
            WeightsRef::F32(_) => 4,
            WeightsRef::Bf16(_) => 2,
        };
        work.costs.count(phase, 2 * numbers, 2 * numbers, numbers * size);
    }
}

/// The entries of the samples of a piece, and their rows.
fn piece(ids: &Ragged<u32>, samples: Range<usize>) -> (Range<usize>, Sets) {
    let offsets = &ids.offsets()[samples.start..=samples.end];
    let entries = offsets[0]..offsets[samples.len()];
    let offsets = offsets.iter().map(|offset| offset - entries.start).collect();
    let part = Ragged::from_parts(offsets, ids.items()[entries.clone()].to_vec());
    (entries, Sets::new(part.expect("a part of right offsets")))
}

fn forward<W: Weight + Sync>(level: Level, w: MatRef<W>, ids: &Ragged<u32>, c: &[f32], y: MatMut<f32>) {
    let chunks: Vec<MatMut<f32>> = y.into_chunks(SAMPLES).collect();
    chunks.into_par_iter().enumerate().for_each(|(p, y)| {
        let (entries, sets) = piece(ids, p * SAMPLES..p * SAMPLES + y.rows());
        let c = &c[entries];
        let factors: Vec<f32> = sets.order().iter().map(|&entry| c[entry as usize]).collect();
        let mut offsets = Vec::new();
        let (_, batch) = sets.part(0..sets.rows().len(), &mut offsets);
        spmm(level, y, batch, &factors, w);
    });
}

fn dots<W: Weight + Sync>(level: Level, w: MatRef<W>, ids: &Ragged<u32>, x: MatRef<f32>, out: &mut [f32]) {
    let mut rest = out;
    let mut pieces = Vec::new();
    for from in (0..ids.len()).step_by(SAMPLES) {
        let samples = from..ids.len().min(from + SAMPLES);
        let (head, tail) = rest.split_at_mut(ids.offsets()[samples.end] - ids.offsets()[from]);
        pieces.push((samples, head));
        rest = tail;
    }
    pieces.into_par_iter().for_each(|(samples, out)| {
        let (_, sets) = piece(ids, samples.clone());
        let (mut offsets, mut by_row) = (Vec::new(), vec![0.0; out.len()]);
        let (_, batch) = sets.part(0..sets.rows().len(), &mut offsets);
        sddmm(level, &mut by_row, batch, w, x.window(samples, 0..x.cols()));
        sets.order().iter().zip(by_row).for_each(|(&entry, dot)| out[entry as usize] = dot);
    });
}

fn used<T>(w: &[T], cols: usize, is_set: impl Fn(&T) -> bool) -> usize {
    w.chunks(cols).filter(|row| row.iter().any(&is_set)).count()
}

#[cfg(test)]
mod tests;
