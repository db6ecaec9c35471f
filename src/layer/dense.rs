//! A dense layer without bias: `y = x W^T`, f32 weights that are packed once a step and serve all of its micro-batches.

mod packed;

use std::ops::Range;
use std::sync::OnceLock;

use half::bf16;
use rayon::prelude::*;

pub(super) use self::packed::Factor;
use self::packed::{LEFT, Packed};
use super::Workspace;
use crate::config::Storage;
use crate::config::lm::model::Precision as Rounding;
use crate::error::Result;
use crate::flops::Phase;
use crate::kernels::convert::bf16_from_f32;
use crate::kernels::gemm::{Operand, Output, PackedPanel, Precision, gemm};
use crate::kernels::rows::rows_dot;
use crate::kernels::{Level, MatMut, MatRef, RowIds};
use crate::matrix::Matrix;
use crate::module::{Demand, Module, Part, PartMut};
use crate::optim::{Init, Parameter, Scope};
use crate::scratch::lend;

/// Tokens of one piece of work: as many rows as the product keeps in the second-level cache.
pub(super) const TOKENS: usize = 128;

/// Rows of weights that are packed as one panel: a pass of the product over the contraction, and whole strips across.
pub(super) const PANEL_ROWS: usize = 768;

/// Tokens that one product of the weights' gradient sums over: longer passes reach the same speed (90 % of the peak), but
/// the packed input leaves the caches.
const SUMMED: usize = 512;

/// Rows that one thread multiplies by one token: 64 KiB at width 512, several pieces for each thread even of the narrowest
/// layers.
const VECTOR_ROWS: usize = 64;

/// Weights (out, in) and packed copies.
#[derive(Debug)]
pub struct Dense {
    weights: Parameter,
    precision: Precision,
    /// Rows of a packed panel.
    panel_rows: usize,
    forward: Packed,
    backward: Packed,
    /// For products with one token, which read the weights and do little else.
    halves: OnceLock<Matrix<bf16>>,
    /// Rows that a token of a training step multiplies, and bytes of packed copies of a weight: for plans.
    multiplied: usize,
    packed_bytes: usize,
}

impl Dense {
    /// `outputs` neurons for `inputs` numbers. Weights start as normal numbers of standard deviation `deviation`.
    ///
    /// # Errors
    ///
    /// See [`Scope::parameter`].
    ///
    /// ```
    /// use hotrow::config::{Optim, lm::model::Precision};
    /// use hotrow::layer::{Dense, Workspace};
    /// use hotrow::kernels::{Level, MatMut, MatRef};
    /// use hotrow::optim::Scope;
    /// let scope = Scope::fresh(&Optim::default(), 7, Level::detect());
    /// let layer = Dense::new(&scope.child("up"), 3, 2, 0.02, Precision::F32)?;
    /// let mut y = [0.0; 3];
    /// let work = &mut Workspace::new(Level::detect());
    /// layer.forward(work, MatRef::new(&[1.0, 0.0], 1, 2), MatMut::new(&mut y, 1, 3));
    /// assert_eq!(y[2], layer.weights().row(2)[0]);
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn new(scope: &Scope, outputs: usize, inputs: usize, deviation: f32, precision: Rounding) -> Result<Self> {
        let weights = scope.parameter("weight", outputs, inputs, Storage::F32, Init::Normal(deviation))?;
        let packed = precision == Rounding::Bf16 && scope.level().tiles().is_some();
        Ok(Self {
            weights: weights.with_dense_gradient()?,
            precision: match precision {
                Rounding::F32 => Precision::F32,
                Rounding::Bf16 => Precision::Bf16,
            },
            panel_rows: PANEL_ROWS,
            forward: Packed::default(),
            backward: Packed::default(),
            halves: OnceLock::new(),
            multiplied: outputs,
            // Without a unit that multiplies bf16 panels hold rounded numbers as f32. There are some for either direction.
            packed_bytes: 2 * if packed { 2 } else { 4 },
        })
    }

    /// For plans: of the rows of weights a token multiplies `rows` in training, and all of them only forward, in an evaluation.
    pub(crate) fn multiplied_in_part(self, rows: usize) -> Self {
        Self { multiplied: rows, packed_bytes: self.packed_bytes / 2, ..self }
    }

    /// Packed in panels of `rows` weights each, which can be multiplied one by one.
    pub(super) fn in_panels_of(mut self, rows: usize) -> Self {
        self.panel_rows = rows;
        self
    }

    /// For plans: a token multiplies `rows` of the rows, forward and backward.
    pub(super) fn of_which_a_token_has(mut self, rows: usize) -> Self {
        self.multiplied = rows;
        self
    }

    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.weights.rows()
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.weights.cols()
    }

    /// What factors of products are rounded to.
    pub(super) fn precision(&self) -> Precision {
        self.precision
    }

    /// The weights: (out, in).
    pub fn weights(&self) -> MatRef<'_, f32> {
        MatRef::new(self.weights.f32(), self.outputs(), self.inputs())
    }

    /// The weights with the optimiser's state.
    pub fn parameter(&self) -> &Parameter {
        &self.weights
    }

    /// The weights with the optimiser's state, to be written.
    pub fn parameter_mut(&mut self) -> &mut Parameter {
        self.forward.clear();
        self.backward.clear();
        self.halves.take();
        &mut self.weights
    }

    /// `y` (T, out) `= x W^T`, written over, for `x` (T, in). A single token is not rounded to bf16, only the weights are.
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    #[track_caller]
    pub fn forward(&self, work: &mut Workspace, x: MatRef<f32>, mut y: MatMut<f32>) {
        assert_eq!((x.rows(), self.outputs()), (y.rows(), y.cols()), "y is not (tokens, outputs)");
        assert_eq!(x.cols(), self.inputs(), "x and the weights differ in inputs");
        self.count(work, Phase::Forward, x.rows());
        let level = work.level;
        work.timed(Phase::Forward, |_| {
            if x.rows() == 1 {
                return self.vector(level, x.row(0), y.row_mut(0));
            }
            let factor = self.transposed(level);
            let chunks: Vec<MatMut<f32>> = y.into_chunks(TOKENS).collect();
            chunks.into_par_iter().enumerate().for_each(|(c, y)| {
                factor.multiply(x.window(c * TOKENS..c * TOKENS + y.rows(), 0..x.cols()), y, false);
            });
        });
    }

    /// `dx` (T, in) `= dy W`, written over, for `dy` (T, out).
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    #[track_caller]
    pub fn backward(&self, work: &mut Workspace, dy: MatRef<f32>, dx: MatMut<f32>) {
        assert_eq!((dy.rows(), self.inputs()), (dx.rows(), dx.cols()), "dx is not (tokens, inputs)");
        assert_eq!(dy.cols(), self.outputs(), "dy and the weights differ in outputs");
        self.count(work, Phase::Backward, dy.rows());
        let level = work.level;
        work.timed(Phase::Backward, |_| {
            let factor = self.plain(level);
            let chunks: Vec<MatMut<f32>> = dx.into_chunks(TOKENS).collect();
            chunks.into_par_iter().enumerate().for_each(|(c, dx)| {
                factor.multiply(dy.window(c * TOKENS..c * TOKENS + dx.rows(), 0..dy.cols()), dx, false);
            });
        });
    }

    /// Adds the gradient of the weights, `dy^T x`, of `x` (T, in) and `dy` (T, out).
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    #[track_caller]
    pub fn accumulate(&mut self, work: &mut Workspace, x: MatRef<f32>, dy: MatRef<f32>) {
        assert_eq!((x.rows(), self.outputs()), (dy.rows(), dy.cols()), "dy is not (tokens, outputs)");
        assert_eq!(x.cols(), self.inputs(), "x and the weights differ in inputs");
        if self.weights.is_frozen() {
            return;
        }
        self.count(work, Phase::Backward, x.rows());
        let (level, precision) = (work.level, self.precision);
        work.timed(Phase::Backward, |work| {
            let pieces: Vec<Range<usize>> =
                (0..x.rows()).step_by(SUMMED).map(|from| from..x.rows().min(from + SUMMED)).collect();
            work.rights.resize_with(pieces.len().max(work.rights.len()), PackedPanel::new);
            work.rights.par_iter_mut().zip(&pieces).for_each(|(panel, piece)| {
                panel.pack_right(level, precision, Operand::new(x.window(piece.clone(), 0..x.cols())));
            });
            // Narrow layers in more pieces, so that threads end together.
            let rows = if dy.cols() >= 1024 { 128 } else { 64 };
            if pieces.is_empty() {
                return;
            }
            let (gradient, add) = self.weights.gradient_for_product();
            let chunks: Vec<MatMut<f32>> = gradient.into_chunks(rows).collect();
            chunks.into_par_iter().enumerate().for_each(|(c, mut out)| {
                lend(&LEFT, |left| {
                    for (p, (panel, piece)) in work.rights.iter().zip(&pieces).enumerate() {
                        let columns = c * rows..c * rows + out.rows();
                        let dy = Operand::new(dy.window(piece.clone(), columns)).transposed();
                        left.pack_left(level, precision, dy);
                        let out = Output::new(out.reborrow());
                        gemm(level, if add || p > 0 { out.added() } else { out }, left, panel);
                    }
                });
            });
        });
    }

    /// The sum of the gradients: (out, in).
    pub fn gradient(&mut self) -> MatRef<'_, f32> {
        self.weights.gradient()
    }

    /// The same, row after row, to be added to.
    pub(crate) fn gradient_mut(&mut self) -> &mut [f32] {
        self.weights.gradient_mut()
    }

    /// For a product that sums all of the gradient by itself.
    pub(super) fn parts(&mut self, level: Level) -> Parts<'_> {
        self.plain(level);
        let (gradient, added) = self.weights.gradient_for_product();
        Parts { gradient, added, panels: self.backward.ready() }
    }

    /// The weights as the right factor of `x W^T`.
    pub(super) fn transposed(&self, level: Level) -> Factor<'_> {
        let panels = self.forward.panels(self.weights(), self.panel_rows, |panel, rows| {
            panel.pack_right(level, self.precision, Operand::new(rows).transposed());
        });
        Factor { level, precision: self.precision, panels, transposed: true }
    }

    /// The weights as the right factor of `dy W`.
    pub(super) fn plain(&self, level: Level) -> Factor<'_> {
        let panels = self.backward.panels(self.weights(), self.panel_rows, |panel, rows| {
            panel.pack_right(level, self.precision, Operand::new(rows));
        });
        Factor { level, precision: self.precision, panels, transposed: false }
    }

    /// `y = W x` for one token.
    pub(super) fn vector(&self, level: Level, x: &[f32], y: &mut [f32]) {
        let (ids, cols) = (std::array::from_fn::<u32, VECTOR_ROWS, _>(|row| row as u32), self.inputs());
        y.par_chunks_mut(VECTOR_ROWS).enumerate().for_each(|(c, y)| {
            let rows = c * VECTOR_ROWS..c * VECTOR_ROWS + y.len();
            let ids = RowIds::new(&ids[..y.len()], y.len()).expect("as many rows");
            match self.precision {
                Precision::F32 => rows_dot(level, y, ids, self.weights().window(rows, 0..cols), x),
                Precision::Bf16 => rows_dot(level, y, ids, self.halves(level).view().window(rows, 0..cols), x),
            }
        });
    }

    fn halves(&self, level: Level) -> &Matrix<bf16> {
        self.halves.get_or_init(|| {
            let mut halves = Matrix::zeros(self.outputs(), self.inputs());
            bf16_from_f32(level, halves.as_mut_slice(), self.weights.f32());
            halves
        })
    }

    /// A product of `tokens` with the weights.
    pub(super) fn count(&self, work: &mut Workspace, phase: Phase, tokens: usize) {
        let weights = (self.outputs() * self.inputs()) as u64;
        let flops = 2 * tokens as u64 * weights;
        work.costs.count(phase, flops, flops, weights * if self.precision == Precision::F32 { 4 } else { 2 });
    }
}

/// See [`Dense::parts`].
pub(super) struct Parts<'a> {
    /// (out, in)
    pub gradient: MatMut<'a, f32>,
    /// What stands in the gradient is added to, not written over.
    pub added: bool,
    /// The weights as right factors of `dy W`, [`PANEL_ROWS`] rows each.
    pub panels: &'a [PackedPanel],
}

/// Copies the rows of `from` into those of `to`.
pub(super) fn copy_rows(from: MatRef<f32>, to: &mut MatMut<f32>) {
    (0..from.rows()).for_each(|r| to.row_mut(r).copy_from_slice(from.row(r)));
}

/// Whoever may write the weights makes the packed copies out of date.
impl Module for Dense {
    fn visit<'a>(&'a self, take: &mut dyn FnMut(Part<'a>)) {
        take(Part::Parameter(&self.weights));
    }

    fn visit_mut<'a>(&'a mut self, take: &mut dyn FnMut(PartMut<'a>)) {
        take(PartMut::Parameter(self.parameter_mut()));
    }

    fn demands(&self, take: &mut dyn FnMut(&str, Demand)) {
        let [outputs, inputs, multiplied] = [self.outputs(), self.inputs(), self.multiplied].map(|n| n as u64);
        let bytes = self.packed_bytes as u64 * outputs * inputs;
        // A product forward and two backward.
        take(self.weights.name(), Demand { bytes, flops: 6 * multiplied * inputs, ..Demand::default() });
    }
}
