//! A factor of a product as it stands in memory.

use crate::simd::Weight;
use crate::{MatRef, RowIds};

/// A matrix as it stands in memory, read as it is or transposed, all of its rows or a list of them.
///
/// ```
/// use hotrow_kernels::{MatRef, RowIds, gemm::Operand};
/// let w = MatRef::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3, 2);
/// let active = RowIds::new(&[2, 0, 2, 1], w.rows())?;
/// let operand = Operand::gathered(w, active);
/// assert_eq!((operand.rows(), operand.cols()), (4, 2));
/// assert_eq!((operand.transposed().rows(), operand.transposed().cols()), (2, 4));
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a, W> {
    matrix: MatRef<'a, W>,
    ids: Option<RowIds<'a>>,
    transposed: bool,
    /// Which rows of memory (of `ids`, if there are any) take part.
    first: usize,
    lines: usize,
    /// Which of their elements do.
    column: usize,
    length: usize,
}

impl<'a, W: Weight> Operand<'a, W> {
    /// All of `matrix`.
    ///
    /// ```
    /// use hotrow_kernels::{MatRef, gemm::Operand};
    /// assert_eq!(Operand::new(MatRef::new(&[1.0, 2.0], 1, 2)).cols(), 2);
    /// ```
    pub fn new(matrix: MatRef<'a, W>) -> Self {
        Self::whole(matrix, None, matrix.rows())
    }

    /// The rows `ids` of `matrix`, in that order, with duplicates if there are any.
    ///
    /// # Panics
    ///
    /// If `ids` were checked for more rows than `matrix` has.
    ///
    /// ```
    /// use hotrow_kernels::{MatRef, RowIds, gemm::Operand};
    /// let w = MatRef::new(&[1.0, 2.0], 2, 1);
    /// assert_eq!(Operand::gathered(w, RowIds::new(&[1, 1, 0], 2)?).rows(), 3);
    /// # Ok::<(), hotrow_kernels::IndexError>(())
    /// ```
    #[track_caller]
    pub fn gathered(matrix: MatRef<'a, W>, ids: RowIds<'a>) -> Self {
        assert!(
            ids.limit() <= matrix.rows(),
            "ids are row numbers below {} for a matrix of {} rows",
            ids.limit(),
            matrix.rows()
        );
        Self::whole(matrix, Some(ids), ids.len())
    }

    fn whole(matrix: MatRef<'a, W>, ids: Option<RowIds<'a>>, lines: usize) -> Self {
        Self { matrix, ids, transposed: false, first: 0, lines, column: 0, length: matrix.cols() }
    }

    /// The transpose: the rows (also gathered ones) become columns. Nothing is moved; packing reads in another order.
    ///
    /// ```
    /// use hotrow_kernels::{MatRef, gemm::Operand};
    /// assert_eq!(Operand::new(MatRef::new(&[1.0, 2.0], 1, 2)).transposed().rows(), 2);
    /// ```
    pub fn transposed(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    /// Rows of the factor.
    ///
    /// ```
    /// use hotrow_kernels::{MatRef, gemm::Operand};
    /// assert_eq!(Operand::new(MatRef::new(&[1.0, 2.0], 1, 2)).rows(), 1);
    /// ```
    pub fn rows(&self) -> usize {
        if self.transposed { self.length } else { self.lines }
    }

    /// Columns of the factor.
    ///
    /// ```
    /// use hotrow_kernels::{MatRef, gemm::Operand};
    /// assert_eq!(Operand::new(MatRef::new(&[1.0, 2.0], 1, 2)).cols(), 2);
    /// ```
    pub fn cols(&self) -> usize {
        if self.transposed { self.lines } else { self.length }
    }

    /// Whether rows of memory are columns of the factor.
    pub(super) fn is_transposed(&self) -> bool {
        self.transposed
    }

    /// The rows `from..to` of the factor.
    pub(super) fn part(self, from: usize, to: usize) -> Self {
        debug_assert!(from <= to && to <= self.rows());
        if self.transposed {
            Self { column: self.column + from, length: to - from, ..self }
        } else {
            Self { first: self.first + from, lines: to - from, ..self }
        }
    }

    /// The columns `from..to` of the factor.
    pub(super) fn columns(self, from: usize, to: usize) -> Self {
        self.transposed().part(from, to).transposed()
    }

    /// The `i`-th row of memory; empty past the last, which packing reads as zeros.
    #[inline(always)]
    pub(super) fn line(&self, i: usize) -> &'a [W] {
        if i < self.lines { self.line_ahead(i) } else { &[] }
    }

    /// The same, also past the end of a part: what is worth a prefetch.
    #[inline(always)]
    pub(super) fn line_ahead(&self, i: usize) -> &'a [W] {
        // No closures: they were compiled as calls, and packing took a tenth longer.
        let i = self.first + i;
        let row = match self.ids {
            Some(ids) => match ids.as_slice().get(i) {
                Some(&id) => id as usize,
                None => return &[],
            },
            None if i < self.matrix.rows() => i,
            None => return &[],
        };
        &self.matrix.row(row)[self.column..][..self.length]
    }
}
