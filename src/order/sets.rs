//! The rows that each sample of a batch has chosen, grouped by row.

use std::ops::Range;

use super::ByRow;
use crate::kernels::rows::RowBatch;
use crate::kernels::{MatMut, MatRef, RowIds};
use crate::ragged::Ragged;

/// The chosen rows of a batch, by sample and by row.
#[derive(Debug)]
pub struct Sets {
    /// The rows of each sample.
    by_sample: Ragged<u32>,
    /// Distinct rows, increasing.
    rows: Vec<u32>,
    /// Where the samples of each row begin.
    offsets: Vec<u32>,
    samples: Vec<u32>,
    /// For each entry in row order, its position in sample order.
    entry: Vec<u32>,
}

impl Sets {
    /// Groups the rows of each sample by row.
    ///
    /// ```
    /// use hotrow::{order::Sets, ragged::Ragged};
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

    /// The rows that any sample has chosen, increasing.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// The number of pairs of a sample and a row it has chosen.
    pub fn entries(&self) -> usize {
        self.entry.len()
    }

    /// The entries' share of all pairs of a sample and a row in [`rows`](Self::rows).
    ///
    /// ```
    /// use hotrow::{order::Sets, ragged::Ragged};
    /// assert_eq!(Sets::new(Ragged::from_iter([vec![7, 2], vec![2]])).fill(), 0.75);
    /// ```
    pub fn fill(&self) -> f64 {
        self.entries() as f64 / (self.rows.len() * self.by_sample.len()).max(1) as f64
    }

    /// Copies the entries of `all` (samples, distinct rows) to `entries`, in sample order.
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    #[track_caller]
    pub fn gather(&self, all: MatRef<f32>, entries: &mut [f32]) {
        self.check(all.rows(), all.cols(), entries.len());
        self.places(|sample, column, entry| entries[entry] = all.row(sample)[column]);
    }

    /// Copies `entries` (in sample order) to `all` (samples, distinct rows), with zeros elsewhere.
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

    /// Calls `visit(sample, position of the row, position in sample order)` for each entry.
    fn places(&self, mut visit: impl FnMut(usize, usize, usize)) {
        for (column, range) in self.offsets.windows(2).enumerate() {
            for at in range[0] as usize..range[1] as usize {
                visit(self.samples[at] as usize, column, self.entry[at] as usize);
            }
        }
    }

    /// Where the entries of each row begin, in row order.
    pub(crate) fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    /// For each entry in row order, its position in sample order.
    pub(crate) fn order(&self) -> &[u32] {
        &self.entry
    }

    /// The part of the rows at positions `block`: the range of its entries, and the batch over them.
    pub(crate) fn part<'a>(&'a self, block: Range<usize>, offsets: &'a mut Vec<u32>) -> (Range<usize>, RowBatch<'a>) {
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
