//! A layer whose rows are neurons or labels: `z[s, a] = <W[active[a]], x[s]> + b[active[a]]`, all rows or a set that the
//! samples share, as products with gathered rows.

use rayon::prelude::*;

use super::Workspace;
use super::pack::{LEFT, SAMPLES, Side, blocks, groups, pack_rows, pack_samples};
use crate::config::Storage;
use crate::error::Result;
use crate::flops::Phase;
use crate::index::{Rows, WeightsRef};
use crate::kernels::gemm::{Operand, Output, Precision, gemm};
use crate::kernels::{Level, MatMut, MatRef, UniqueRowIds, Weight};
pub use crate::optim::LinearGradient;
use crate::optim::product::{Gradient, union};
use crate::optim::{Init, Parameter, RowSet, Scope, Step};
use crate::scratch::lend;

/// Weights (rows, D) and biases (rows).
#[derive(Debug)]
pub struct Linear {
    /// (rows, D).
    pub weights: Parameter,
    /// (rows, 1).
    pub biases: Parameter,
    /// Factors are rounded to bf16 where weights are stored so.
    precision: Precision,
}

crate::module!(Linear { weights, biases });

impl Linear {
    /// `rows` neurons or labels for inputs of `cols` numbers. Weights start as normal numbers of variance `1 / cols`.
    ///
    /// # Errors
    ///
    /// See [`Scope::parameter`].
    ///
    /// ```
    /// use hotrow::{config::{Optim, Storage}, kernels::Level, layer::Linear, optim::Scope};
    /// let scope = Scope::fresh(&Optim::default(), 7, Level::detect());
    /// let layer = Linear::new(&scope.child("output"), 10, 4, Storage::F32)?;
    /// assert_eq!((layer.rows(), layer.cols()), (10, 4));
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn new(scope: &Scope, rows: usize, cols: usize, storage: Storage) -> Result<Self> {
        let init = Init::Normal((1.0 / cols.max(1) as f32).sqrt());
        Ok(Self {
            weights: scope.parameter("weight", rows, cols, storage, init)?.with_products(),
            biases: scope.parameter("bias", rows, 1, Storage::F32, Init::Zeros)?.with_row_gradients()?,
            precision: if storage == Storage::F32 { Precision::F32 } else { Precision::Bf16 },
        })
    }

    /// The same layer, whose products round their factors to `precision`. Without this they are as its weights are stored.
    ///
    /// ```
    /// use hotrow::config::{Optim, Storage};
    /// use hotrow::{kernels::{Level, gemm::Precision}, layer::Linear, optim::Scope};
    /// let scope = Scope::fresh(&Optim::default(), 7, Level::detect());
    /// let layer = Linear::new(&scope.child("output"), 10, 4, Storage::F32)?.with_precision(Precision::Bf16);
    /// assert_eq!(layer.rows(), 10);
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.weights.rows()
    }

    /// Length of a row.
    pub fn cols(&self) -> usize {
        self.weights.cols()
    }

    /// The rows as an index takes them.
    pub fn view(&self, level: Level) -> Rows<'_> {
        Rows { weights: self.weights.weights(), biases: self.biases.f32(), level }
    }

    /// `z` (B, active), written over, for `x` (B, D).
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    ///
    /// ```
    /// use hotrow::{config::{Optim, Storage}, layer::{Linear, Workspace}, optim::{RowSet, Scope}};
    /// use hotrow::kernels::{Level, MatMut, MatRef, UniqueRowIds};
    /// let layer = Linear::new(&Scope::fresh(&Optim::default(), 1, Level::detect()), 10, 4, Storage::F32)?;
    /// let (x, mut some, mut all) = ([0.5; 4], [0.0; 2], [0.0; 10]);
    /// let (x, work) = (MatRef::new(&x, 1, 4), &mut Workspace::new(Level::detect()));
    /// layer.forward(work, x, RowSet::All(10), MatMut::new(&mut all, 1, 10));
    /// let active = RowSet::Some(UniqueRowIds::new(&[3, 9], 10)?);
    /// layer.forward(work, x, active, MatMut::new(&mut some, 1, 2));
    /// assert_eq!(some, [all[3], all[9]]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn forward(&self, work: &mut Workspace, x: MatRef<f32>, active: RowSet, z: MatMut<f32>) {
        self.forward_at(self.precision, work, x, active, z);
    }

    /// As [`forward`](Self::forward), with factors rounded to `precision`.
    #[track_caller]
    pub(super) fn forward_at(
        &self,
        precision: Precision,
        work: &mut Workspace,
        x: MatRef<f32>,
        active: RowSet,
        z: MatMut<f32>,
    ) {
        assert_eq!((x.rows(), active.len()), (z.rows(), z.cols()), "z is not (samples, active rows)");
        assert_eq!(x.cols(), self.cols(), "x and the rows differ in length");
        self.count(work, x.rows(), active.len());
        match self.weights.weights() {
            WeightsRef::F32(w) => self.forward_with(precision, work, w, x, active, z),
            WeightsRef::Bf16(w) => self.forward_with(precision, work, w, x, active, z),
        }
    }

    fn forward_with<W: Weight + Sync>(
        &self,
        precision: Precision,
        work: &mut Workspace,
        w: MatRef<W>,
        x: MatRef<f32>,
        active: RowSet,
        mut z: MatMut<f32>,
    ) {
        let (level, biases) = (work.level, self.biases.f32());
        let biases: Vec<f32> = (0..active.len()).map(|at| biases[active.row(at)]).collect();
        work.timed(Phase::Gather, |work| pack_samples(&mut work.lefts, level, precision, x));
        for group in groups(active.len()) {
            work.timed(Phase::Gather, |work| {
                pack_rows(&mut work.panels, level, precision, w, active, group.clone(), Side::Transposed);
            });
            work.timed(Phase::Gemm, |work| {
                let chunks: Vec<MatMut<f32>> = z.reborrow().into_chunks(SAMPLES).collect();
                chunks.into_par_iter().zip(&work.lefts).for_each(|(mut chunk, left)| {
                    for (panel, block) in work.panels.iter().zip(blocks(group.clone())) {
                        let rows = 0..chunk.rows();
                        for r in rows.clone() {
                            chunk.row_mut(r)[block.clone()].copy_from_slice(&biases[block.clone()]);
                        }
                        gemm(level, Output::new(chunk.reborrow().window(rows, block)).added(), left, panel);
                    }
                });
            });
        }
    }

    /// `dx` (B, D) `+= dz W[active]`, `dz` (B, active).
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    #[track_caller]
    pub fn backward_add(&self, work: &mut Workspace, dz: MatRef<f32>, active: RowSet, dx: MatMut<f32>) {
        assert_eq!((dx.rows(), active.len()), (dz.rows(), dz.cols()), "dz is not (samples, active rows)");
        assert_eq!(dx.cols(), self.cols(), "dx and the rows differ in length");
        self.count(work, dz.rows(), active.len());
        match self.weights.weights() {
            WeightsRef::F32(w) => self.backward_with(work, w, dz, active, dx),
            WeightsRef::Bf16(w) => self.backward_with(work, w, dz, active, dx),
        }
    }

    fn backward_with<W: Weight + Sync>(
        &self,
        work: &mut Workspace,
        w: MatRef<W>,
        dz: MatRef<f32>,
        active: RowSet,
        mut dx: MatMut<f32>,
    ) {
        let (level, precision) = (work.level, self.precision);
        for group in groups(active.len()) {
            work.timed(Phase::Gather, |work| {
                pack_rows(&mut work.panels, level, precision, w, active, group.clone(), Side::Plain);
            });
            work.timed(Phase::Gemm, |work| {
                let chunks: Vec<MatMut<f32>> = dx.reborrow().into_chunks(SAMPLES).collect();
                chunks.into_par_iter().enumerate().for_each(|(c, mut chunk)| {
                    let samples = c * SAMPLES..c * SAMPLES + chunk.rows();
                    lend(&LEFT, |left| {
                        for (panel, block) in work.panels.iter().zip(blocks(group.clone())) {
                            left.pack_left(level, precision, Operand::new(dz.window(samples.clone(), block)));
                            gemm(level, Output::new(chunk.reborrow()).added(), left, panel);
                        }
                    });
                });
            });
        }
    }

    /// Keeps the gradient of the weights for the next step: a copy of `dz` (B, active), the gradient of the output, and of the input
    /// `x` (B, D). [`step_along`](Self::step_along) needs no copy.
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    #[track_caller]
    pub fn accumulate(&mut self, dz: MatRef<f32>, active: RowSet, x: MatRef<f32>) {
        assert_eq!((x.rows(), active.len()), (dz.rows(), dz.cols()), "dz is not (samples, active rows)");
        assert_eq!(x.cols(), self.cols(), "x and the rows differ in length");
        self.weights.keep_product(LinearGradient { active, dz, x }, self.precision);
        let rows: Vec<u32> = (0..active.len()).map(|at| active.row(at) as u32).collect();
        self.biases.add_rows(&rows, |sums, new| {
            new.iter().for_each(|&row| sums[row as usize] = 0.0);
            for sample in 0..dz.rows() {
                rows.iter().zip(dz.row(sample)).for_each(|(&row, dz)| sums[row as usize] += dz);
            }
        });
    }

    /// One step along the gradients of all groups of samples, which nobody has kept. Rows of no group stay as they are (save in a dense Adam).
    /// Returns the rows of all groups, increasing: those that moved.
    ///
    /// # Panics
    ///
    /// If a group is of another number of rows.
    #[track_caller]
    pub fn step_along(&mut self, work: &mut Workspace, groups: &[LinearGradient], step: &Step) -> Vec<u32> {
        let union = union(groups);
        let pairs: usize = groups.iter().map(|group| group.dz.rows() * group.active.len()).sum();
        let samples: usize = groups.iter().map(|group| group.dz.rows()).sum();
        let flops = |pairs: usize| 2 * pairs as u64 * self.cols() as u64;
        let bytes = union.len() as u64 * (self.weights.bytes_per_row() + self.biases.bytes_per_row());
        work.costs.count(Phase::Update, flops(pairs), flops(samples * self.rows()), bytes);
        work.timed(Phase::Update, |work| {
            let active = RowSet::Some(UniqueRowIds::new(&union, self.rows()).expect("active rows are rows"));
            let level = work.level;
            let gradient = Gradient::new(work, self.precision, groups, active);
            self.weights.update_rows(active, level, step, |block, out| gradient.weights(block, out));
            self.biases.update_rows(active, level, step, |block, out| gradient.biases(block, out));
        });
        union
    }

    /// The squared Euclidean length of the gradient that [`step_along`](Self::step_along) would apply.
    pub fn squared_along(&self, work: &mut Workspace, groups: &[LinearGradient]) -> f64 {
        let union = union(groups);
        work.timed(Phase::Update, |work| {
            let (level, precision) = (work.level, self.precision);
            let active = RowSet::Some(UniqueRowIds::new(&union, self.rows()).expect("active rows are rows"));
            let gradient = Gradient::new(work, precision, groups, active);
            self.weights.squared_rows(active, level, |block, out| gradient.weights(block, out))
                + self.biases.squared_rows(active, level, |block, out| gradient.biases(block, out))
        })
    }

    /// One of the two products with the weights.
    fn count(&self, work: &mut Workspace, samples: usize, active: usize) {
        let flops = |rows: usize| 2 * (samples * self.cols()) as u64 * rows as u64;
        let width = match self.weights.weights() {
            WeightsRef::F32(_) => 4,
            WeightsRef::Bf16(_) => 2,
        };
        let bytes = (active * self.cols()) as u64 * width;
        work.costs.count(Phase::Gemm, flops(active), flops(self.rows()), bytes);
    }
}

#[cfg(test)]
mod tests;
