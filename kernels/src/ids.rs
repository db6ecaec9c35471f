//! Index lists. Constructors check them once, so kernels rely on them.

use crate::IndexError;

/// Row numbers in any order, duplicates allowed, each below `limit`.
///
/// ```
/// use hotrow_kernels::RowIds;
/// let rows = RowIds::new(&[3, 0, 3], 4)?;
/// assert_eq!(rows.as_slice(), &[3, 0, 3]);
/// assert!(RowIds::new(&[4], 4).is_err());
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RowIds<'a> {
    ids: &'a [u32],
    limit: usize,
}

impl<'a> RowIds<'a> {
    /// Checks that each of `ids` is below `limit`, the number of rows of the matrix they are for.
    ///
    /// # Errors
    ///
    /// [`IndexError::OutOfRange`] names the first that is not.
    pub fn new(ids: &'a [u32], limit: usize) -> Result<Self, IndexError> {
        match ids.iter().position(|&id| id as usize >= limit) {
            Some(position) => Err(IndexError::OutOfRange { position, index: ids[position], limit }),
            None => Ok(Self { ids, limit }),
        }
    }

    /// The row numbers.
    pub fn as_slice(self) -> &'a [u32] {
        self.ids
    }

    /// How many there are.
    pub fn len(self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.ids.is_empty()
    }

    /// What each of them is below.
    pub fn limit(self) -> usize {
        self.limit
    }
}

/// Strictly increasing row numbers, each below `limit`. Kernels that write rows ask for them, because each row then has
/// one writer.
///
/// ```
/// use hotrow_kernels::{RowIds, UniqueRowIds};
/// let rows = UniqueRowIds::new(&[0, 3], 4)?;
/// let any_order: RowIds = rows.into();
/// assert_eq!(any_order.len(), 2);
/// assert!(UniqueRowIds::new(&[0, 0], 4).is_err());
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct UniqueRowIds<'a>(RowIds<'a>);

impl<'a> UniqueRowIds<'a> {
    /// Checks that `ids` increase strictly and stay below `limit`.
    ///
    /// # Errors
    ///
    /// [`IndexError::NotIncreasing`] or [`IndexError::OutOfRange`], with the first position at fault.
    pub fn new(ids: &'a [u32], limit: usize) -> Result<Self, IndexError> {
        if let Some(before) = ids.windows(2).position(|pair| pair[0] >= pair[1]) {
            let (previous, index) = (ids[before], ids[before + 1]);
            return Err(IndexError::NotIncreasing { position: before + 1, index, previous });
        }
        RowIds::new(ids, limit).map(Self)
    }

    /// The row numbers.
    pub fn as_slice(self) -> &'a [u32] {
        self.0.ids
    }

    /// How many there are.
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// What each of them is below.
    pub fn limit(self) -> usize {
        self.0.limit
    }
}

impl<'a> From<UniqueRowIds<'a>> for RowIds<'a> {
    fn from(ids: UniqueRowIds<'a>) -> RowIds<'a> {
        ids.0
    }
}

/// A sparse vector of `dim` numbers: strictly increasing indices and their values.
///
/// ```
/// use hotrow_kernels::SparseRow;
/// let x = SparseRow::new(&[1, 4], &[0.5, -2.0], 6)?;
/// assert_eq!((x.dim(), x.nnz()), (6, 2));
/// assert!(SparseRow::new(&[4, 1], &[0.5, -2.0], 6).is_err());
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SparseRow<'a> {
    indices: UniqueRowIds<'a>,
    values: &'a [f32],
}

impl<'a> SparseRow<'a> {
    /// Checks `indices` as [`UniqueRowIds::new`] does, and that there are as many values.
    ///
    /// # Errors
    ///
    /// [`IndexError::LengthMismatch`], [`IndexError::NotIncreasing`] or [`IndexError::OutOfRange`].
    pub fn new(indices: &'a [u32], values: &'a [f32], dim: usize) -> Result<Self, IndexError> {
        if indices.len() != values.len() {
            return Err(IndexError::LengthMismatch {
                left: "indices",
                left_len: indices.len(),
                right: "values",
                right_len: values.len(),
            });
        }
        Ok(Self { indices: UniqueRowIds::new(indices, dim)?, values })
    }

    /// Where the values stand, strictly increasing.
    pub fn indices(self) -> &'a [u32] {
        self.indices.as_slice()
    }

    /// The stored values (zeros and any other float are allowed).
    pub fn values(self) -> &'a [f32] {
        self.values
    }

    /// The length of the vector.
    pub fn dim(self) -> usize {
        self.indices.limit()
    }

    /// How many values are stored.
    pub fn nnz(self) -> usize {
        self.values.len()
    }
}
