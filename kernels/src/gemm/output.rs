//! Where a product goes.

use crate::{MatMut, UniqueRowIds};

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
