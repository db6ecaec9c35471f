//! Gradients that are products of an output's gradient with an input, for the rows that samples share.

use std::cell::Cell;
use std::ops::Range;

use rayon::prelude::*;

use super::RowSet;
use crate::kernels::gemm::{Operand, Output, PackedPanel, Precision, gemm};
use crate::kernels::{Level, MatMut, MatRef, UniqueRowIds};
use crate::scratch::lend;
use crate::work::Workspace;

thread_local! {
    /// Gradients of the output, packed.
    static LEFT: Cell<PackedPanel> = Cell::default();
}

/// The gradient of the output for samples that share a set of rows.
#[derive(Clone, Copy, Debug)]
pub struct LinearGradient<'a> {
    /// Which rows.
    pub active: RowSet<'a>,
    /// (B, active).
    pub dz: MatRef<'a, f32>,
    /// The input: (B, D).
    pub x: MatRef<'a, f32>,
}

/// The same, kept until the step.
#[derive(Debug)]
struct Kept {
    /// All rows if there is no list.
    rows: Option<Vec<u32>>,
    samples: usize,
    /// (B, active).
    dz: Vec<f32>,
    /// (B, D).
    x: Vec<f32>,
}

impl Kept {
    fn view(&self, rows: usize, cols: usize) -> LinearGradient<'_> {
        let active = match &self.rows {
            None => RowSet::All(rows),
            Some(ids) => RowSet::Some(UniqueRowIds::new(ids, rows).expect("rows of this matrix")),
        };
        let dz = MatRef::new(&self.dz, self.samples, active.len());
        LinearGradient { active, dz, x: MatRef::new(&self.x, self.samples, cols) }
    }
}

/// What samples have added since the last step.
#[derive(Debug)]
pub(super) struct Products {
    groups: Vec<Kept>,
    /// What factors are rounded to.
    pub precision: Precision,
}

impl Default for Products {
    fn default() -> Self {
        Self { groups: Vec::new(), precision: Precision::F32 }
    }
}

impl Products {
    pub fn add(&mut self, LinearGradient { active, dz, x }: LinearGradient) {
        let copy = |m: MatRef<f32>| (0..m.rows()).flat_map(|r| m.row(r)).copied().collect();
        let rows = match active {
            RowSet::All(_) => None,
            RowSet::Some(ids) => Some(ids.as_slice().to_vec()),
        };
        self.groups.push(Kept { rows, samples: dz.rows(), dz: copy(dz), x: copy(x) });
    }

    /// As the products take them, for a matrix of (rows, cols).
    pub fn groups(&self, rows: usize, cols: usize) -> Vec<LinearGradient<'_>> {
        self.groups.iter().map(|kept| kept.view(rows, cols)).collect()
    }

    pub fn clear(&mut self) {
        self.groups.clear();
    }
}

/// The rows of all groups, once each, increasing.
pub(crate) fn union(groups: &[LinearGradient]) -> Vec<u32> {
    let mut rows: Vec<u32> = Vec::new();
    for group in groups {
        match group.active {
            RowSet::All(all) => return (0..all as u32).collect(),
            RowSet::Some(ids) => rows.extend_from_slice(ids.as_slice()),
        }
    }
    if groups.len() > 1 {
        rows.sort_unstable();
        rows.dedup();
    }
    rows
}

/// The gradients of weights and biases, a block of rows at a time.
pub(crate) struct Gradient<'a> {
    level: Level,
    precision: Precision,
    groups: &'a [LinearGradient<'a>],
    /// The input of each group as a right factor.
    inputs: &'a [PackedPanel],
    /// The rows of all groups.
    active: RowSet<'a>,
}

impl<'a> Gradient<'a> {
    pub(crate) fn new(
        work: &'a mut Workspace,
        precision: Precision,
        groups: &'a [LinearGradient<'a>],
        active: RowSet<'a>,
    ) -> Self {
        let (level, inputs) = (work.level, &mut work.rights);
        inputs.resize_with(groups.len().max(inputs.len()), PackedPanel::new);
        inputs.par_iter_mut().zip(groups).for_each(|(panel, group)| {
            panel.pack_right(level, precision, Operand::new(group.x));
        });
        Self { level, precision, groups, inputs, active }
    }

    /// `out` (block, D) `= sum over groups of dz^T x`.
    pub(crate) fn weights(&self, block: Range<usize>, mut out: MatMut<f32>) {
        (0..out.rows()).for_each(|r| out.row_mut(r).fill(0.0));
        for (group, x) in self.groups.iter().zip(self.inputs) {
            let (columns, rows) = self.part(group, &block);
            lend(&LEFT, |left| {
                let dz = group.dz.window(0..group.dz.rows(), columns);
                left.pack_left(self.level, self.precision, Operand::new(dz).transposed());
                let rows = UniqueRowIds::new(&rows, out.rows()).expect("rows of this block, increasing");
                gemm(self.level, Output::scattered(out.reborrow(), rows).added(), left, x);
            });
        }
    }

    /// `out` (block, 1) `= sum over groups and samples of dz`.
    pub(crate) fn biases(&self, block: Range<usize>, mut out: MatMut<f32>) {
        (0..out.rows()).for_each(|r| out.row_mut(r).fill(0.0));
        for group in self.groups {
            let (columns, rows) = self.part(group, &block);
            let mut sums = vec![0.0; columns.len()];
            for sample in 0..group.dz.rows() {
                sums.iter_mut().zip(&group.dz.row(sample)[columns.clone()]).for_each(|(sum, dz)| *sum += dz);
            }
            rows.iter().zip(sums).for_each(|(&row, sum)| out.row_mut(row as usize)[0] += sum);
        }
    }

    /// The columns of `group` whose rows lie in `block` of all rows, and where these stand in the block.
    fn part(&self, group: &LinearGradient, block: &Range<usize>) -> (Range<usize>, Vec<u32>) {
        if block.is_empty() {
            return (0..0, Vec::new());
        }
        let (first, last) = (self.active.row(block.start), self.active.row(block.end - 1));
        let columns = match group.active {
            RowSet::All(_) => first..last + 1,
            RowSet::Some(ids) => {
                let ids = ids.as_slice();
                ids.partition_point(|&id| (id as usize) < first)..ids.partition_point(|&id| (id as usize) <= last)
            }
        };
        let mut at = block.start;
        let within = |column: usize| {
            let row = group.active.row(column);
            while self.active.row(at) != row {
                at += 1;
            }
            (at - block.start) as u32
        };
        (columns.clone(), columns.map(within).collect())
    }
}
