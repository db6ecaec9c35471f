//! The product of two packed panels.

use std::ops::Range;

use super::panel::{Layout, PackedPanel, Side};
use super::{micro, tiles};
use crate::{Level, MatMut, UniqueRowIds, dispatch};

/// Where a product goes: all rows of a matrix or a list of them, written over or added to, with a factor.
///
/// ```
/// use hotrow_kernels::{MatMut, gemm::Output};
/// let mut dw = [0.0; 6];
/// let out = Output::new(MatMut::new(&mut dw, 2, 3)).added().scaled(0.5);
/// assert_eq!((out.rows(), out.cols()), (2, 3));
/// ```
#[derive(Debug)]
pub struct Output<'a> {
    matrix: MatMut<'a, f32>,
    ids: Option<UniqueRowIds<'a>>,
    scale: f32,
    add: bool,
    /// Which rows (of `ids`, if there are any) the product has.
    first: usize,
    rows: usize,
}

impl<'a> Output<'a> {
    /// Row `i` of the product is written over row `i` of `matrix`.
    ///
    /// ```
    /// use hotrow_kernels::{MatMut, gemm::Output};
    /// assert_eq!(Output::new(MatMut::new(&mut [0.0; 6], 2, 3)).rows(), 2);
    /// ```
    pub fn new(matrix: MatMut<'a, f32>) -> Self {
        let rows = matrix.rows();
        Self { matrix, ids: None, scale: 1.0, add: false, first: 0, rows }
    }

    /// Row `i` of the product is written over row `ids[i]` of `matrix`; the other rows stay as they are.
    ///
    /// # Panics
    ///
    /// If `ids` were checked for more rows than `matrix` has.
    ///
    /// ```
    /// use hotrow_kernels::{MatMut, UniqueRowIds, gemm::Output};
    /// let ids = UniqueRowIds::new(&[1], 2)?;
    /// assert_eq!(Output::scattered(MatMut::new(&mut [0.0; 6], 2, 3), ids).rows(), 1);
    /// # Ok::<(), hotrow_kernels::IndexError>(())
    /// ```
    #[track_caller]
    pub fn scattered(matrix: MatMut<'a, f32>, ids: UniqueRowIds<'a>) -> Self {
        assert!(
            ids.limit() <= matrix.rows(),
            "ids are row numbers below {} for a matrix of {} rows",
            ids.limit(),
            matrix.rows()
        );
        Self { matrix, ids: Some(ids), scale: 1.0, add: false, first: 0, rows: ids.len() }
    }

    /// The product is added to what stands there.
    ///
    /// ```
    /// use hotrow_kernels::{MatMut, gemm::Output};
    /// assert_eq!(Output::new(MatMut::new(&mut [0.0; 6], 2, 3)).added().cols(), 3);
    /// ```
    pub fn added(self) -> Self {
        Self { add: true, ..self }
    }

    /// The product is multiplied by `scale` first.
    ///
    /// ```
    /// use hotrow_kernels::{MatMut, gemm::Output};
    /// assert_eq!(Output::new(MatMut::new(&mut [0.0; 6], 2, 3)).scaled(0.125).cols(), 3);
    /// ```
    pub fn scaled(self, scale: f32) -> Self {
        Self { scale, ..self }
    }

    /// Rows of the product.
    ///
    /// ```
    /// use hotrow_kernels::{MatMut, gemm::Output};
    /// assert_eq!(Output::new(MatMut::new(&mut [0.0; 6], 2, 3)).rows(), 2);
    /// ```
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the product.
    ///
    /// ```
    /// use hotrow_kernels::{MatMut, gemm::Output};
    /// assert_eq!(Output::new(MatMut::new(&mut [0.0; 6], 2, 3)).cols(), 3);
    /// ```
    pub fn cols(&self) -> usize {
        self.matrix.cols()
    }

    /// What the product is multiplied by.
    pub(super) fn scale(&self) -> f32 {
        self.scale
    }

    /// Whether the product is added.
    pub(super) fn adds(&self) -> bool {
        self.add
    }

    /// What stands where row `i` of the product goes.
    #[inline(always)]
    pub(super) fn row(&self, i: usize) -> &[f32] {
        self.matrix.as_ref().row(self.place(i))
    }

    /// Where row `i` of the product goes.
    #[inline(always)]
    pub(super) fn row_mut(&mut self, i: usize) -> &mut [f32] {
        self.matrix.row_mut(self.place(i))
    }

    #[inline(always)]
    fn place(&self, i: usize) -> usize {
        let i = self.first + i;
        self.ids.map_or(i, |ids| ids.as_slice()[i] as usize)
    }

    /// Where the rows `from..to` of the product go, added if `add` or if all of it is.
    pub(super) fn part(&mut self, from: usize, to: usize, add: bool) -> Output<'_> {
        debug_assert!(from <= to && to <= self.rows);
        Output {
            matrix: self.matrix.reborrow(),
            ids: self.ids,
            scale: self.scale,
            add: self.add || add,
            first: self.first + from,
            rows: to - from,
        }
    }
}

/// `out = scale * left right` or `out += scale * left right`: `left` (M, K), `right` (K, N), `out` (M, N).
///
/// Each entry is summed in f32 in an order that only the shape and the level decide, so it differs from the exact one
/// by at most `(K + 1) * eps * sum |a||b|`, where bf16 panels hold rounded factors. NaN and infinities propagate as
/// in the definition, except that zeros of padding never meet them. With K = 0 the product is zero, and written.
///
/// # Panics
///
/// If a panel was packed at another level or for the other side, if the two differ in precision, or if the shapes
/// disagree.
///
/// ```
/// use hotrow_kernels::gemm::{Operand, Output, PackedPanel, Precision, gemm};
/// use hotrow_kernels::{Level, MatMut, MatRef, RowIds, UniqueRowIds};
/// let level = Level::detect();
/// let w = MatRef::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3, 2);
/// let x = MatRef::new(&[1.0, -1.0, 0.5, 2.0], 2, 2);
/// let (mut left, mut right) = (PackedPanel::new(), PackedPanel::new());
/// left.pack_left(level, Precision::F32, Operand::gathered(w, RowIds::new(&[2, 0], 3)?));
/// right.pack_right(level, Precision::F32, Operand::new(x).transposed());
/// let mut out = [0.0; 4];
/// gemm(level, Output::new(MatMut::new(&mut out, 2, 2)), &left, &right);
/// assert_eq!(out, [-1.0, 14.5, -1.0, 4.5]);
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[track_caller]
pub fn gemm(level: Level, mut out: Output, left: &PackedPanel, right: &PackedPanel) {
    assert_eq!(left.depth(), right.depth(), "the left and the right panel differ in depth (K)");
    product(level, &mut out, left, right, Window::FULL);
}

/// Which part of a product causal attention needs. Query `i` sees the keys `0..=i + offset`, where `offset` is the
/// number of keys before the first query (those of a cache; zero in training).
///
/// ```
/// use hotrow_kernels::gemm::Causal;
/// assert_eq!(Causal::default(), Causal::Full);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Causal {
    /// All of it.
    #[default]
    Full,
    /// Output rows are queries, output columns keys (`Q K^T`, `dO V^T`): entries above the diagonal are neither
    /// computed nor written.
    Output {
        /// Keys before the first query.
        offset: usize,
    },
    /// Output rows are queries, the contraction runs over keys (`P V`, `dS K`): entries of the left factor above the
    /// diagonal count as zero, whatever stands there (a NaN of the *right* factor times such a zero may still be
    /// met).
    Until {
        /// Keys before the first query.
        offset: usize,
    },
    /// Output rows are keys, the contraction runs over queries (`P^T dO`, `dS^T Q`): entries of the left factor that
    /// belong to a query before the key count as zero, whatever stands there.
    From {
        /// Keys before the first query.
        offset: usize,
    },
}

/// The block of a causal product that one pair of panels makes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub causal: Causal,
    /// Output row, in the whole product, of the left panel's first.
    pub row: usize,
    /// Contraction index, in the whole product, of the left panel's first.
    pub from: usize,
}

impl Window {
    /// The whole of a product without a diagonal.
    pub const FULL: Self = Self { causal: Causal::Full, row: 0, from: 0 };

    /// The contraction indices, of a left panel of `depth`, that its rows `first..=last` sum over.
    pub fn terms(self, first: usize, last: usize, depth: usize) -> Range<usize> {
        let (first, last) = (self.row + first, self.row + last);
        let inside = |k: usize| k.saturating_sub(self.from).min(depth);
        match self.causal {
            Causal::Full | Causal::Output { .. } => 0..depth,
            Causal::Until { offset } => 0..inside(last.saturating_add(offset).saturating_add(1)),
            Causal::From { offset } => inside(first.saturating_sub(offset))..depth,
        }
    }

    /// How many of `cols` entries row `row` of the output has.
    pub fn columns(self, row: usize, cols: usize) -> usize {
        match self.causal {
            Causal::Output { offset } => cols.min((self.row + row).saturating_add(offset).saturating_add(1)),
            _ => cols,
        }
    }
}

/// Checks and runs a product; the only place where it is instantiated for the levels. The right panel may be deeper
/// than the window that the left one is.
#[track_caller]
pub(super) fn product(level: Level, out: &mut Output, left: &PackedPanel, right: &PackedPanel, window: Window) {
    for (panel, side, name) in [(left, Side::Left, "left"), (right, Side::Right, "right")] {
        assert!(panel.side() == side, "the {name} panel was packed for the other side");
        let packed = panel.level();
        assert!(packed == level, "the {name} panel was packed at level {packed}, the product runs at {level}");
    }
    assert_eq!(left.precision(), right.precision(), "the left and the right panel differ in precision");
    assert_eq!(out.rows(), left.outer(), "the output and the left panel differ in rows (M)");
    assert_eq!(out.cols(), right.outer(), "the output and the right panel differ in columns (N)");
    match left.layout {
        Layout::Vectors => dispatch!(level, s => micro::multiply(s, out, left, right, window)),
        Layout::Tiles => {
            let unit = level.tiles().expect("panels in tile layout are packed at levels with tiles only");
            unit.configured(|unit| dispatch!(level, s => tiles::multiply(s, unit, out, left, right, window)));
        }
    }
}
