//! Where the gradient of a parameter is kept until the step.

use std::ops::Range;

use rayon::prelude::*;

use crate::error::Result;
use crate::kernels::rows::row_gradients;
use crate::kernels::{Level, MatMut, MatRef, UniqueRowIds};
use crate::matrix::Matrix;
use crate::optim::RowSet;
use crate::optim::product::Products;
use crate::optim::stored::zeros;
use crate::order::Sets;
use crate::ragged::Ragged;

/// What a parameter keeps between backward and step.
#[derive(Debug)]
pub(super) enum Grad {
    /// Nothing: the layer works the gradient out while the rows move.
    Fused,
    /// A sum for each weight.
    Dense(Sums),
    /// A sum for each of a few weights.
    Few(Vec<f32>),
    /// A sum for each weight of the rows that some sample touched.
    Rows(RowSums),
    /// Which sample touched which row, with which factor.
    Touches(Box<Touches>),
    /// Gradients of outputs and inputs, of which it is the product.
    Products(Products),
}

impl Grad {
    /// Bytes that it takes in every step; what a step's touches take depends on the step.
    pub fn bytes(&self) -> usize {
        match self {
            Grad::Dense(sums) => sums.sum.bytes(),
            Grad::Few(sums) => size_of_val(&sums[..]),
            Grad::Rows(sums) => sums.sum.bytes(),
            Grad::Fused | Grad::Touches(_) | Grad::Products(_) => 0,
        }
    }
}

/// The sum of gradients, (rows, cols).
#[derive(Debug)]
pub(super) struct Sums {
    sum: Matrix<f32>,
    /// The sum is zero, whatever stands there: the first product may write over it.
    pub empty: bool,
}

impl Sums {
    pub fn try_new(name: &str, rows: usize, cols: usize, planned: bool) -> Result<Self> {
        Ok(Self { sum: zeros(&format!("the gradient of {name}"), rows, cols, planned)?, empty: true })
    }

    /// All of it, to be added to.
    pub fn added(&mut self) -> &mut [f32] {
        if std::mem::take(&mut self.empty) {
            self.sum.as_mut_slice().par_chunks_mut(1 << 16).for_each(|chunk| chunk.fill(0.0));
        }
        self.sum.as_mut_slice()
    }

    /// All of it, and whether what stands there is part of the sum.
    pub fn for_product(&mut self) -> (MatMut<'_, f32>, bool) {
        let added = !std::mem::take(&mut self.empty);
        (self.sum.view_mut(), added)
    }

    pub fn view(&self) -> MatRef<'_, f32> {
        self.sum.view()
    }

    pub fn slice(&self) -> &[f32] {
        self.sum.as_slice()
    }
}

/// Sums of the rows that were touched.
#[derive(Debug)]
pub(super) struct RowSums {
    /// (rows, cols), unspecified where nobody touched.
    sum: Matrix<f32>,
    /// Increasing.
    touched: Vec<u32>,
}

impl RowSums {
    pub fn try_new(name: &str, rows: usize, cols: usize, planned: bool) -> Result<Self> {
        Ok(Self { sum: zeros(&format!("the gradient of {name}"), rows, cols, planned)?, touched: Vec::new() })
    }

    /// All rows, to be added to, once `rows` (increasing) count as touched. Those that are new are zeros: `add(sums, new)` writes them.
    pub fn add(&mut self, rows: &[u32], add: impl FnOnce(&mut [f32], &[u32])) {
        let is_new = |row: &&u32| self.touched.binary_search(row).is_err();
        let new: Vec<u32> = rows.iter().filter(is_new).copied().collect();
        add(self.sum.as_mut_slice(), &new);
        self.touched.extend(new);
        self.touched.sort_unstable();
    }

    pub fn touched(&self) -> &[u32] {
        &self.touched
    }

    pub fn sums(&self) -> MatRef<'_, f32> {
        self.sum.view()
    }

    /// `out` (block, D): the sums of the touched rows at the positions `block`.
    pub fn copy(&self, block: Range<usize>, mut out: MatMut<f32>) {
        let rows = self.touched[block].iter().enumerate();
        rows.for_each(|(r, &row)| out.row_mut(r).copy_from_slice(self.sum.row(row as usize)));
    }

    pub fn clear(&mut self) {
        self.touched.clear();
    }
}

/// Rows of samples and their factors, and the gradient of each sample's sum, of all micro-batches of a step.
#[derive(Debug, Default)]
pub(super) struct Touches {
    ids: Ragged<u32>,
    factors: Vec<f32>,
    /// (samples, D).
    dy: Vec<f32>,
    grouped: Option<Grouped>,
}

/// The touches by row.
#[derive(Debug)]
struct Grouped {
    sets: Sets,
    factors: Vec<f32>,
}

impl Touches {
    /// Adds those of a micro-batch.
    #[track_caller]
    pub fn add(&mut self, ids: &Ragged<u32>, factors: &[f32], dy: MatRef<f32>) {
        assert!(self.factors.len() + factors.len() <= u32::MAX as usize, "more than 2^32 touches in a step");
        self.grouped = None;
        ids.iter().for_each(|ids| self.ids.push(ids.iter().copied()));
        self.factors.extend_from_slice(factors);
        (0..dy.rows()).for_each(|sample| self.dy.extend_from_slice(dy.row(sample)));
    }

    /// Groups them by row: for the calls that follow.
    pub fn group(&mut self) {
        self.grouped.get_or_insert_with(|| {
            let sets = Sets::new(self.ids.clone());
            let factors = sets.order().iter().map(|&entry| self.factors[entry as usize]).collect();
            Grouped { sets, factors }
        });
    }

    fn grouped(&self) -> &Grouped {
        self.grouped.as_ref().expect("grouped before")
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.factors.len()
    }

    /// The rows, below `limit`.
    pub fn rows(&self, limit: usize) -> RowSet<'_> {
        RowSet::Some(UniqueRowIds::new(self.grouped().sets.rows(), limit).expect("touched rows are rows"))
    }

    /// `out` (block, D): the gradients of the rows at the positions `block`.
    pub fn gradient(&self, level: Level, block: Range<usize>, out: MatMut<f32>) {
        let (Grouped { sets, factors }, mut offsets) = (self.grouped(), Vec::new());
        let dy = MatRef::new(&self.dy, self.ids.len(), out.cols());
        let (entries, batch) = sets.part(block, &mut offsets);
        row_gradients(level, out, batch, &factors[entries], dy);
    }

    pub fn clear(&mut self) {
        self.ids.clear();
        self.factors.clear();
        self.dy.clear();
        self.grouped = None;
    }
}
