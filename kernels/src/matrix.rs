//! Borrowed row-major matrices with a stride.

use std::ops::Range;

/// A row-major matrix: row `r` is `data[r * stride..][..cols]`.
///
/// ```
/// use hotrow_kernels::MatRef;
/// let w = MatRef::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3);
/// assert_eq!(w.row(1), &[4.0, 5.0, 6.0]);
/// let left = MatRef::with_stride(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 2, 3);
/// assert_eq!(left.row(1), &[4.0, 5.0]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MatRef<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    stride: usize,
}

/// A row-major matrix that a kernel may write: as [`MatRef`].
///
/// ```
/// use hotrow_kernels::MatMut;
/// let mut data = [0.0; 6];
/// let mut w = MatMut::new(&mut data, 2, 3);
/// w.row_mut(1)[0] = 7.0;
/// assert_eq!(w.as_ref().row(1), &[7.0, 0.0, 0.0]);
/// ```
#[derive(Debug)]
pub struct MatMut<'a, T> {
    data: &'a mut [T],
    rows: usize,
    cols: usize,
    stride: usize,
}

/// The stride to keep: rows without columns all begin where the data does, so that none of them begins past its end.
fn kept(cols: usize, stride: usize) -> usize {
    if cols == 0 { 0 } else { stride }
}

/// # Panics
///
/// If the last row would reach past `len` elements, or `stride < cols`.
#[track_caller]
fn check(len: usize, rows: usize, cols: usize, stride: usize) {
    assert!(stride >= cols, "stride {stride} is below the {cols} columns");
    let needed = match rows {
        0 => Some(0),
        _ => (rows - 1).checked_mul(kept(cols, stride)).and_then(|n| n.checked_add(cols)),
    };
    assert!(
        needed.is_some_and(|needed| needed <= len),
        "{rows} rows of {cols} with stride {stride} do not fit into {len} elements"
    );
}

/// The elements from the first to the last of a window.
#[track_caller]
fn check_window(rows: usize, cols: usize, stride: usize, r: &Range<usize>, c: &Range<usize>) -> Range<usize> {
    assert!(r.start <= r.end && r.end <= rows, "rows {r:?} of {rows}");
    assert!(c.start <= c.end && c.end <= cols, "columns {c:?} of {cols}");
    match r.is_empty() || c.is_empty() {
        true => 0..0,
        false => r.start * stride + c.start..(r.end - 1) * stride + c.end,
    }
}

impl<'a, T> MatRef<'a, T> {
    /// `rows` rows of `cols`, one after the other.
    ///
    /// # Panics
    ///
    /// If `data` is not `rows * cols` long.
    #[track_caller]
    pub fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        assert!(
            rows.checked_mul(cols) == Some(data.len()),
            "{rows} x {cols} is not the length {} of the data",
            data.len()
        );
        Self { data, rows, cols, stride: cols }
    }

    /// `rows` rows of `cols`, each `stride` elements after the one before.
    ///
    /// # Panics
    ///
    /// If `stride < cols` or the last row reaches past the end of `data`. Rows without columns fit anywhere.
    #[track_caller]
    pub fn with_stride(data: &'a [T], rows: usize, cols: usize, stride: usize) -> Self {
        check(data.len(), rows, cols, stride);
        Self { data, rows, cols, stride: kept(cols, stride) }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Elements from one row to the next; 0 where there are no columns.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Row `r`.
    ///
    /// # Panics
    ///
    /// If `r` is not below [`MatRef::rows`].
    #[inline(always)]
    pub fn row(&self, r: usize) -> &'a [T] {
        assert!(r < self.rows, "row {r} is not below {}", self.rows);
        &self.data[r * self.stride..][..self.cols]
    }

    /// The part with the rows `rows` and the columns `cols`.
    ///
    /// # Panics
    ///
    /// If a range reaches past the end or goes backwards.
    ///
    /// ```
    /// use hotrow_kernels::MatRef;
    /// let w = MatRef::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3);
    /// assert_eq!(w.window(1..2, 1..3).row(0), &[5.0, 6.0]);
    /// ```
    #[track_caller]
    pub fn window(self, rows: Range<usize>, cols: Range<usize>) -> Self {
        let data = check_window(self.rows, self.cols, self.stride, &rows, &cols);
        let stride = kept(cols.len(), self.stride);
        Self { data: &self.data[data], rows: rows.len(), cols: cols.len(), stride }
    }
}

impl<'a, T> MatRef<'a, T> {
    /// The columns `from..from + len` of row `r`, with the checks that keep the read inside the data and no others: for
    /// kernels that have checked row numbers and columns at their door.
    #[inline(always)]
    pub(crate) fn part(&self, r: u32, from: usize, len: usize) -> &'a [T] {
        &self.data[r as usize * self.stride + from..][..len]
    }
}

impl<'a, T> MatMut<'a, T> {
    /// `rows` rows of `cols`, one after the other.
    ///
    /// # Panics
    ///
    /// If `data` is not `rows * cols` long.
    #[track_caller]
    pub fn new(data: &'a mut [T], rows: usize, cols: usize) -> Self {
        assert!(
            rows.checked_mul(cols) == Some(data.len()),
            "{rows} x {cols} is not the length {} of the data",
            data.len()
        );
        Self { data, rows, cols, stride: cols }
    }

    /// `rows` rows of `cols`, each `stride` elements after the one before.
    ///
    /// # Panics
    ///
    /// If `stride < cols` or the last row reaches past the end of `data`. Rows without columns fit anywhere.
    #[track_caller]
    pub fn with_stride(data: &'a mut [T], rows: usize, cols: usize, stride: usize) -> Self {
        check(data.len(), rows, cols, stride);
        Self { data, rows, cols, stride: kept(cols, stride) }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Elements from one row to the next; 0 where there are no columns.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Row `r`.
    ///
    /// # Panics
    ///
    /// If `r` is not below [`MatMut::rows`].
    #[inline(always)]
    pub fn row_mut(&mut self, r: usize) -> &mut [T] {
        assert!(r < self.rows, "row {r} is not below {}", self.rows);
        &mut self.data[r * self.stride..][..self.cols]
    }

    /// The same matrix, read-only.
    pub fn as_ref(&self) -> MatRef<'_, T> {
        MatRef { data: self.data, rows: self.rows, cols: self.cols, stride: self.stride }
    }

    /// The same matrix, borrowed for a shorter time.
    pub fn reborrow(&mut self) -> MatMut<'_, T> {
        MatMut { data: self.data, rows: self.rows, cols: self.cols, stride: self.stride }
    }

    /// The part with the rows `rows` and the columns `cols`, as [`MatRef::window`].
    ///
    /// # Panics
    ///
    /// If a range reaches past the end or goes backwards.
    ///
    /// ```
    /// use hotrow_kernels::MatMut;
    /// let mut data = [0.0; 6];
    /// MatMut::new(&mut data, 2, 3).window(1..2, 1..3).row_mut(0).fill(1.0);
    /// assert_eq!(data, [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
    /// ```
    #[track_caller]
    pub fn window(self, rows: Range<usize>, cols: Range<usize>) -> Self {
        let data = check_window(self.rows, self.cols, self.stride, &rows, &cols);
        let stride = kept(cols.len(), self.stride);
        Self { data: &mut self.data[data], rows: rows.len(), cols: cols.len(), stride }
    }

    /// Pieces of `rows` rows that may be written at the same time; the last may have fewer.
    ///
    /// # Panics
    ///
    /// If `rows` is 0.
    ///
    /// ```
    /// use hotrow_kernels::MatMut;
    /// let mut data = [0.0; 6];
    /// let pieces: Vec<_> = MatMut::new(&mut data, 3, 2).into_chunks(2).map(|piece| piece.rows()).collect();
    /// assert_eq!(pieces, [2, 1]);
    /// ```
    #[track_caller]
    pub fn into_chunks(self, rows: usize) -> impl Iterator<Item = MatMut<'a, T>> {
        assert!(rows > 0, "pieces of no rows");
        let Self { data, rows: all, cols, stride } = self;
        // The last row may lack the gap behind it. A matrix without columns has no data to cut.
        let mut rest = data;
        (0..all).step_by(rows).map(move |from| {
            let count = rows.min(all - from);
            let whole = std::mem::take(&mut rest);
            let (piece, tail) = whole.split_at_mut((count * stride).min(whole.len()));
            rest = tail;
            MatMut { data: piece, rows: count, cols, stride }
        })
    }
}
