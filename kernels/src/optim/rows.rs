//! What every optimiser step works on: rows of weights in their storage, and the gradients of some of them.

use crate::convert::{Noise, RandomKey, stochastic_bf16_bits};
use crate::simd::{Simd, Weight};
use crate::{MatMut, MatRef, UniqueRowIds, bf16};

/// The weights of a layer (rows, D), as they are stored.
///
/// ```
/// use hotrow_kernels::{MatMut, bf16, optim::Weights};
/// let mut data = [bf16::ZERO; 6];
/// let weights = Weights::Bf16 { weights: MatMut::new(&mut data, 2, 3), seed: 1 };
/// assert_eq!((weights.rows(), weights.cols()), (2, 3));
/// ```
#[derive(Debug)]
pub enum Weights<'a> {
    /// f32.
    F32(MatMut<'a, f32>),
    /// bf16, rounded stochastically. The random bits depend on `seed`, the step, the row and the column only:
    /// [`bf16_from_f32_stochastic`](crate::convert::bf16_from_f32_stochastic) with a key of the first three.
    Bf16 {
        /// The stored weights.
        weights: MatMut<'a, bf16>,
        /// The seed of the run.
        seed: u64,
    },
    /// f32 weights that are updated, and the nearest bf16 to each of them for the forward and backward pass. The former
    /// content of `weights` is not read.
    Bf16WithMaster {
        /// Written: the nearest bf16 to `master`.
        weights: MatMut<'a, bf16>,
        /// The weights proper.
        master: MatMut<'a, f32>,
    },
}

impl Weights<'_> {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Weights::F32(w) => w.rows(),
            Weights::Bf16 { weights, .. } | Weights::Bf16WithMaster { weights, .. } => weights.rows(),
        }
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        match self {
            Weights::F32(w) => w.cols(),
            Weights::Bf16 { weights, .. } | Weights::Bf16WithMaster { weights, .. } => weights.cols(),
        }
    }

    #[track_caller]
    pub(super) fn check(&self) {
        if let Weights::Bf16WithMaster { weights, master } = self {
            let shape = (weights.rows(), weights.cols());
            assert_eq!(shape, (master.rows(), master.cols()), "weights and master differ in shape");
        }
    }
}

/// The gradients of some rows of a matrix: row `a` of `grads` belongs to row `rows[a]`.
///
/// ```
/// use hotrow_kernels::{MatRef, UniqueRowIds, optim::RowGrads};
/// let grads = [0.5, 0.5, -1.0, 2.0];
/// let touched = RowGrads::new(UniqueRowIds::new(&[3, 8], 10)?, MatRef::new(&grads, 2, 2));
/// let all = RowGrads::all(MatRef::new(&grads, 2, 2));
/// assert_eq!((touched.len(), all.len()), (2, 2));
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RowGrads<'a> {
    rows: Touched<'a>,
    grads: MatRef<'a, f32>,
}

#[derive(Clone, Copy, Debug)]
enum Touched<'a> {
    All,
    Listed(UniqueRowIds<'a>),
}

impl<'a> RowGrads<'a> {
    /// The gradients `grads` (A, D) of the rows `rows` (A).
    ///
    /// # Panics
    ///
    /// If there are not as many gradients as rows.
    #[track_caller]
    pub fn new(rows: UniqueRowIds<'a>, grads: MatRef<'a, f32>) -> Self {
        assert_eq!(rows.len(), grads.rows(), "rows and grads differ in number");
        Self { rows: Touched::Listed(rows), grads }
    }

    /// The gradients `grads` (rows, D) of all rows in order: a dense layer.
    pub fn all(grads: MatRef<'a, f32>) -> Self {
        Self { rows: Touched::All, grads }
    }

    /// How many rows have a gradient.
    pub fn len(&self) -> usize {
        self.grads.rows()
    }

    /// Numbers in the gradient of a row.
    pub(super) fn cols(&self) -> usize {
        self.grads.cols()
    }

    /// Whether no row has one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row of the matrix that gradient `a` belongs to.
    #[inline(always)]
    pub(super) fn row(&self, a: usize) -> usize {
        match self.rows {
            Touched::All => a,
            Touched::Listed(rows) => rows.as_slice()[a] as usize,
        }
    }

    #[inline(always)]
    pub(super) fn grad(&self, a: usize) -> &'a [f32] {
        self.grads.row(a)
    }

    #[track_caller]
    pub(super) fn check(&self, weights: &Weights) {
        assert_eq!(self.grads.cols(), weights.cols(), "grads and weights differ in columns");
        match self.rows {
            Touched::All => assert_eq!(self.len(), weights.rows(), "grads and weights differ in rows"),
            Touched::Listed(rows) => {
                let (limit, rows) = (rows.limit(), weights.rows());
                assert!(limit <= rows, "touched rows below {limit} for a matrix of {rows} rows")
            }
        }
    }
}

/// One way to store weights; a step is compiled for each.
pub(super) trait Store {
    type Row<'r, S: Simd>: StoredRow<S>
    where
        Self: 'r;
    /// Bytes that a step moves for each weight, in each direction.
    const BYTES: usize;
    fn prefetch<S: Simd>(&self, s: S, row: usize);
    fn row<S: Simd>(&mut self, s: S, row: usize, step: u64) -> Self::Row<'_, S>;
}

/// A row of weights that is read and written a vector at a time; `full` says that a whole vector is left at `at`.
pub(super) trait StoredRow<S: Simd> {
    fn load(&self, s: S, at: usize, full: bool) -> S::F32;
    fn store(&mut self, s: S, v: S::F32, at: usize, full: bool);
}

/// Calls `f(at, full)` for each vector of a row of `cols` elements: `full` is true for all but a shorter last one.
#[inline(always)]
pub(super) fn each_vector<S: Simd>(_: S, cols: usize, mut f: impl FnMut(usize, bool)) {
    let mut at = 0;
    // Two vectors a turn: their bf16 weights are rounded with halves of the same random words.
    while at + 2 * S::LANES <= cols {
        f(at, true);
        f(at + S::LANES, true);
        at += 2 * S::LANES;
    }
    while at < cols {
        f(at, cols - at >= S::LANES);
        at += S::LANES;
    }
}

#[inline(always)]
pub(super) fn load<S: Simd, W: Weight>(s: S, xs: &[W], at: usize, full: bool) -> S::F32 {
    if full { W::load(s, &xs[at..at + S::LANES]) } else { W::load_partial(s, &xs[at..]) }
}

#[inline(always)]
pub(super) fn store<S: Simd, W: Weight>(s: S, v: S::F32, xs: &mut [W], at: usize, full: bool) {
    if full { W::store(s, v, &mut xs[at..at + S::LANES]) } else { W::store_partial(s, v, &mut xs[at..]) }
}

/// Calls `prefetch(row)` some rows ahead of `update(row, gradient)`, in order.
#[inline(always)]
pub(super) fn each_row(grads: RowGrads, bytes_per_row: usize, mut update: impl FnMut(usize, &[f32], Option<usize>)) {
    let ahead = (AHEAD / bytes_per_row.max(64)).clamp(1, 32);
    for a in 0..grads.len() {
        let next = a + ahead;
        let next = (next < grads.len()).then(|| grads.row(next));
        update(grads.row(a), grads.grad(a), next);
    }
}

/// Bytes of rows (weights, state and gradient together) from the one at work to the one that is asked for: on Zen 4 two rows of Adam
/// (512 columns, f32, random in DRAM) or four of SGD. Gradients are not asked for: they are read in order, which the hardware foresees.
const AHEAD: usize = 16384;

/// Asks for the start of a row of a table: its first 512 bytes, the first 1024 of bf16. That starts the hardware's own stream, and what
/// is asked for beyond it only crowds the first-level cache: whole rows make Adam a quarter slower on Zen 4 (512 columns, random
/// in DRAM). Rounding bf16 leaves the hardware less time to look ahead, and there longer heads gain a tenth.
#[inline(always)]
pub(super) fn prefetch_head<S: Simd, T>(s: S, row: &[T]) {
    let bytes = if size_of::<T>() == 2 { 1024 } else { 512 };
    s.prefetch(&row[..row.len().min(bytes / size_of::<T>())]);
}

pub(super) struct F32<'a>(pub MatMut<'a, f32>);

impl Store for F32<'_> {
    type Row<'r, S: Simd>
        = &'r mut [f32]
    where
        Self: 'r;
    const BYTES: usize = 4;
    #[inline(always)]
    fn prefetch<S: Simd>(&self, s: S, row: usize) {
        prefetch_head(s, self.0.as_ref().row(row));
    }
    #[inline(always)]
    fn row<S: Simd>(&mut self, _: S, row: usize, _: u64) -> &mut [f32] {
        self.0.row_mut(row)
    }
}

impl<S: Simd> StoredRow<S> for &mut [f32] {
    #[inline(always)]
    fn load(&self, s: S, at: usize, full: bool) -> S::F32 {
        load(s, self, at, full)
    }
    #[inline(always)]
    fn store(&mut self, s: S, v: S::F32, at: usize, full: bool) {
        store(s, v, self, at, full);
    }
}

pub(super) struct Bf16<'a> {
    pub weights: MatMut<'a, bf16>,
    pub seed: u64,
}

pub(super) struct RoundedRow<'r, S: Simd> {
    weights: &'r mut [bf16],
    noise: Noise<S>,
}

impl Store for Bf16<'_> {
    type Row<'r, S: Simd>
        = RoundedRow<'r, S>
    where
        Self: 'r;
    const BYTES: usize = 2;
    #[inline(always)]
    fn prefetch<S: Simd>(&self, s: S, row: usize) {
        prefetch_head(s, self.weights.as_ref().row(row));
    }
    #[inline(always)]
    fn row<S: Simd>(&mut self, s: S, row: usize, step: u64) -> RoundedRow<'_, S> {
        let noise = Noise::new(s, RandomKey { seed: self.seed, step, row: row as u64 });
        RoundedRow { weights: self.weights.row_mut(row), noise }
    }
}

impl<S: Simd> StoredRow<S> for RoundedRow<'_, S> {
    #[inline(always)]
    fn load(&self, s: S, at: usize, full: bool) -> S::F32 {
        load(s, self.weights, at, full)
    }
    #[inline(always)]
    fn store(&mut self, s: S, v: S::F32, at: usize, full: bool) {
        let bits = stochastic_bf16_bits(s, v, self.noise.sixteen(s, at));
        if full {
            s.store_bf16_bits(bits, &mut self.weights[at..at + S::LANES]);
        } else {
            s.store_bf16_bits_partial(bits, &mut self.weights[at..]);
        }
    }
}

pub(super) struct WithMaster<'a> {
    pub weights: MatMut<'a, bf16>,
    pub master: MatMut<'a, f32>,
}

pub(super) struct MasterRow<'r> {
    weights: &'r mut [bf16],
    master: &'r mut [f32],
}

impl Store for WithMaster<'_> {
    type Row<'r, S: Simd>
        = MasterRow<'r>
    where
        Self: 'r;
    const BYTES: usize = 6;
    #[inline(always)]
    fn prefetch<S: Simd>(&self, s: S, row: usize) {
        prefetch_head(s, self.weights.as_ref().row(row));
        prefetch_head(s, self.master.as_ref().row(row));
    }
    #[inline(always)]
    fn row<S: Simd>(&mut self, _: S, row: usize, _: u64) -> MasterRow<'_> {
        MasterRow { weights: self.weights.row_mut(row), master: self.master.row_mut(row) }
    }
}

impl<S: Simd> StoredRow<S> for MasterRow<'_> {
    #[inline(always)]
    fn load(&self, s: S, at: usize, full: bool) -> S::F32 {
        load(s, self.master, at, full)
    }
    #[inline(always)]
    fn store(&mut self, s: S, v: S::F32, at: usize, full: bool) {
        store(s, v, self.master, at, full);
        store(s, v, self.weights, at, full);
    }
}

/// Runs an expression with `$store` bound to the [`Store`] of [`Weights`] and `$s` to the token of a level.
macro_rules! with_store {
    ($level:expr, $weights:expr, $s:ident, $store:ident => $body:expr) => {
        match $weights {
            $crate::optim::Weights::F32(weights) => {
                let $store = &mut $crate::optim::rows::F32(weights);
                $crate::dispatch!($level, $s => $body)
            }
            $crate::optim::Weights::Bf16 { weights, seed } => {
                let $store = &mut $crate::optim::rows::Bf16 { weights, seed };
                $crate::dispatch!($level, $s => $body)
            }
            $crate::optim::Weights::Bf16WithMaster { weights, master } => {
                let $store = &mut $crate::optim::rows::WithMaster { weights, master };
                $crate::dispatch!($level, $s => $body)
            }
        }
    };
}
pub(super) use with_store;

#[cfg(test)]
mod tests;
