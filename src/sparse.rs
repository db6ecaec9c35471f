//! Batches of sparse vectors in CSR form. Their indices always increase strictly and stay below `dim`.

use crate::error::{Error, Result};
use crate::kernels::{IndexError, RowIds, SparseRow};

/// Sparse vectors of length `dim`.
///
/// ```
/// use hotrow::sparse::SparseBatch;
/// let mut batch = SparseBatch::new(10);
/// batch.push(&[1, 7], &[0.5, 2.0])?;
/// assert_eq!(batch.row(0).indices(), &[1, 7]);
/// assert!(batch.push(&[7, 1], &[0.5, 2.0]).is_err());
/// assert_eq!(batch.len(), 1); // a refused vector leaves the batch as it was
/// # Ok::<(), hotrow::kernels::IndexError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SparseBatch {
    dim: usize,
    offsets: Vec<usize>,
    indices: Vec<u32>,
    values: Vec<f32>,
}

impl SparseBatch {
    /// An empty batch of vectors of length `dim`.
    ///
    /// ```
    /// assert!(hotrow::sparse::SparseBatch::new(10).is_empty());
    /// ```
    pub fn new(dim: usize) -> Self {
        Self { dim, offsets: vec![0], indices: Vec::new(), values: Vec::new() }
    }

    /// The vectors of a CSR matrix, as scipy has it: vector `r` has the indices `indices[indptr[r]..indptr[r + 1]]` and
    /// the values at the same places. Indices may stand in any order and repeat, as in [`push_bag`](Self::push_bag).
    ///
    /// # Errors
    ///
    /// If `indptr` does not begin with 0, falls, or does not end with the number of indices; if `values` and `indices`
    /// differ in length; or if an index is not below `dim`. The error's position is that in `indices`.
    ///
    /// ```
    /// use hotrow::sparse::SparseBatch;
    /// let batch = SparseBatch::from_csr(10, &[0, 2, 2, 3], &[7, 1, 4], &[0.5, 2.0, 1.0])?;
    /// assert_eq!((batch.len(), batch.row(0).indices(), batch.row(1).nnz()), (3, &[1, 7][..], 0));
    /// assert!(SparseBatch::from_csr(10, &[0, 2], &[7, 1, 4], &[0.5, 2.0, 1.0]).is_err());
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn from_csr(dim: usize, indptr: &[usize], indices: &[u32], values: &[f32]) -> Result<Self> {
        let wrong = |message: String| Err(Error::config("indptr", message));
        if indptr.first() != Some(&0) {
            return wrong("does not begin with 0".to_owned());
        }
        if let Some(at) = indptr.windows(2).position(|pair| pair[0] > pair[1]) {
            return wrong(format!("falls from {} to {} at {}", indptr[at], indptr[at + 1], at + 1));
        }
        if indptr.last() != Some(&indices.len()) {
            return wrong(format!("ends with {}, where there are {} indices", indptr[indptr.len() - 1], indices.len()));
        }
        if values.len() != indices.len() {
            return Err(Error::config(
                "values",
                format!("{} are not one for each of {} indices", values.len(), indices.len()),
            ));
        }
        if let Some(at) = indices.iter().position(|&index| index as usize >= dim) {
            return Err(Error::config("indices", format!("{} at {at} is not below {dim}", indices[at])));
        }
        let mut batch = Self::new(dim);
        batch.indices.reserve(indices.len());
        batch.values.reserve(indices.len());
        for range in indptr.windows(2) {
            let (indices, values) = (&indices[range[0]..range[1]], &values[range[0]..range[1]]);
            match SparseRow::new(indices, values, dim) {
                Ok(row) => batch.push_row(row),
                Err(_) => batch.push_bag(indices, values).expect("checked before"),
            }
        }
        Ok(batch)
    }

    /// Adds a vector.
    ///
    /// # Errors
    ///
    /// If `values` and `indices` differ in length, or the indices do not increase strictly below `dim`.
    /// [`push_bag`](Self::push_bag) sorts them.
    ///
    /// ```
    /// assert!(hotrow::sparse::SparseBatch::new(3).push(&[3], &[1.0]).is_err());
    /// ```
    pub fn push(&mut self, indices: &[u32], values: &[f32]) -> Result<(), IndexError> {
        self.push_row(SparseRow::new(indices, values, self.dim)?);
        Ok(())
    }

    /// Adds a vector from a bag, as in logs of clicks or words: indices may stand in any order and repeat. Values of a
    /// repeated index are added in the order of the bag.
    ///
    /// # Errors
    ///
    /// If `values` and `indices` differ in length, or an index is not below `dim`. The error's position is that in the
    /// bag.
    ///
    /// ```
    /// let mut batch = hotrow::sparse::SparseBatch::new(10);
    /// batch.push_bag(&[7, 1, 7], &[0.5, 2.0, 1.0])?;
    /// assert_eq!((batch.row(0).indices(), batch.row(0).values()), (&[1, 7][..], &[2.0, 1.5][..]));
    /// # Ok::<(), hotrow::kernels::IndexError>(())
    /// ```
    pub fn push_bag(&mut self, indices: &[u32], values: &[f32]) -> Result<(), IndexError> {
        if indices.len() != values.len() {
            let (left_len, right_len) = (indices.len(), values.len());
            return Err(IndexError::LengthMismatch { left: "indices", left_len, right: "values", right_len });
        }
        RowIds::new(indices, self.dim)?;
        let begin = self.indices.len();
        let mut bag: Vec<(u32, f32)> = indices.iter().copied().zip(values.iter().copied()).collect();
        // Stable, so sums are taken in the order of the bag.
        bag.sort_by_key(|&(index, _)| index);
        for (index, value) in bag {
            if self.indices.len() > begin && self.indices.last() == Some(&index) {
                *self.values.last_mut().expect("as many as indices") += value;
            } else {
                self.indices.push(index);
                self.values.push(value);
            }
        }
        self.offsets.push(self.indices.len());
        Ok(())
    }

    /// Adds a vector that has been checked.
    ///
    /// # Panics
    ///
    /// If its dimension is another.
    ///
    /// ```
    /// use hotrow::{kernels::SparseRow, sparse::SparseBatch};
    /// let mut batch = SparseBatch::new(3);
    /// batch.push_row(SparseRow::new(&[2], &[1.0], 3)?);
    /// assert_eq!(batch.nnz(), 1);
    /// # Ok::<(), hotrow::kernels::IndexError>(())
    /// ```
    #[track_caller]
    pub fn push_row(&mut self, row: SparseRow) {
        assert_eq!(row.dim(), self.dim, "the row and the batch differ in dimension");
        self.indices.extend_from_slice(row.indices());
        self.values.extend_from_slice(row.values());
        self.offsets.push(self.indices.len());
    }

    /// Removes all vectors and keeps the memory.
    ///
    /// ```
    /// let mut batch = hotrow::sparse::SparseBatch::new(3);
    /// batch.push(&[0], &[1.0]).unwrap();
    /// batch.clear();
    /// assert!(batch.is_empty());
    /// ```
    pub fn clear(&mut self) {
        self.offsets.truncate(1);
        self.indices.clear();
        self.values.clear();
    }

    /// Vector `r`.
    ///
    /// # Panics
    ///
    /// If `r` is not below the number of vectors.
    ///
    /// ```
    /// let mut batch = hotrow::sparse::SparseBatch::new(3);
    /// batch.push(&[2], &[1.0]).unwrap();
    /// assert_eq!(batch.row(0).values(), &[1.0]);
    /// ```
    #[track_caller]
    pub fn row(&self, r: usize) -> SparseRow<'_> {
        let range = self.offsets[r]..self.offsets[r + 1];
        SparseRow::new(&self.indices[range.clone()], &self.values[range], self.dim).expect("checked when it was added")
    }

    /// The indices and values of vector `r`, which were checked when it was added.
    ///
    /// # Panics
    ///
    /// If `r` is not below the number of vectors.
    ///
    /// ```
    /// let mut batch = hotrow::sparse::SparseBatch::new(3);
    /// batch.push(&[2], &[1.0]).unwrap();
    /// assert_eq!(batch.entries(0), (&[2][..], &[1.0][..]));
    /// ```
    #[track_caller]
    pub fn entries(&self, r: usize) -> (&[u32], &[f32]) {
        let range = self.offsets[r]..self.offsets[r + 1];
        (&self.indices[range.clone()], &self.values[range])
    }

    /// The indices of vector `r`, and its values to be changed in place.
    ///
    /// # Panics
    ///
    /// If `r` is not below the number of vectors.
    ///
    /// ```
    /// let mut batch = hotrow::sparse::SparseBatch::new(3);
    /// batch.push(&[2], &[1.0]).unwrap();
    /// batch.row_mut(0).1[0] = 0.5;
    /// assert_eq!(batch.row(0).values(), &[0.5]);
    /// ```
    #[track_caller]
    pub fn row_mut(&mut self, r: usize) -> (&[u32], &mut [f32]) {
        let range = self.offsets[r]..self.offsets[r + 1];
        (&self.indices[range.clone()], &mut self.values[range])
    }

    /// Number of vectors.
    ///
    /// ```
    /// assert_eq!(hotrow::sparse::SparseBatch::new(3).len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there are no vectors.
    ///
    /// ```
    /// assert!(hotrow::sparse::SparseBatch::new(3).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The length of each vector.
    ///
    /// ```
    /// assert_eq!(hotrow::sparse::SparseBatch::new(3).dim(), 3);
    /// ```
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The number of stored values, over all vectors.
    ///
    /// ```
    /// assert_eq!(hotrow::sparse::SparseBatch::new(3).nnz(), 0);
    /// ```
    pub fn nnz(&self) -> usize {
        self.indices.len()
    }

    /// Where each vector begins, and where the last one ends.
    ///
    /// ```
    /// assert_eq!(hotrow::sparse::SparseBatch::new(3).offsets(), &[0]);
    /// ```
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// The indices of all vectors, in order.
    ///
    /// ```
    /// assert!(hotrow::sparse::SparseBatch::new(3).indices().is_empty());
    /// ```
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// The values of all vectors, in order.
    ///
    /// ```
    /// assert!(hotrow::sparse::SparseBatch::new(3).values().is_empty());
    /// ```
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bag_is_the_sum_of_its_items_and_a_refused_one_leaves_no_trace(
            bags in proptest::collection::vec(proptest::collection::vec((0u32..12, -8i8..8), 0..20), 1..5),
        ) {
            let mut batch = SparseBatch::new(10);
            for bag in bags {
                let (indices, values): (Vec<u32>, Vec<f32>) = bag.iter().map(|&(i, x)| (i, x as f32)).unzip();
                let before = batch.clone();
                let pushed = batch.push_bag(&indices, &values);
                if let Some(position) = indices.iter().position(|&i| i >= 10) {
                    let index = indices[position];
                    prop_assert_eq!(pushed, Err(IndexError::OutOfRange { position, index, limit: 10 }));
                    prop_assert_eq!(&batch, &before);
                    continue;
                }
                prop_assert!(pushed.is_ok());
                let row = batch.row(batch.len() - 1);
                for i in 0..10 {
                    let want: f32 = bag.iter().filter(|item| item.0 == i).map(|item| item.1 as f32).sum();
                    let got = row.indices().binary_search(&i).map(|at| row.values()[at]);
                    prop_assert_eq!(got.is_ok(), indices.contains(&i));
                    prop_assert_eq!(got.unwrap_or(0.0), want);
                }
            }
        }
    }

    #[test]
    fn a_matrix_from_elsewhere_is_refused_where_it_is_wrong_and_sorted_where_it_is_not() {
        let refused = |indptr: &[usize], indices: &[u32], values: &[f32]| {
            SparseBatch::from_csr(4, indptr, indices, values).unwrap_err().to_string()
        };
        assert_eq!(refused(&[], &[], &[]), "indptr: does not begin with 0");
        assert_eq!(refused(&[1, 1], &[0], &[1.0]), "indptr: does not begin with 0");
        assert_eq!(refused(&[0, 2, 1, 2], &[0, 1], &[1.0; 2]), "indptr: falls from 2 to 1 at 2");
        assert_eq!(refused(&[0, 1], &[0, 1], &[1.0; 2]), "indptr: ends with 1, where there are 2 indices");
        assert_eq!(refused(&[0, 2], &[0, 1], &[1.0]), "values: 1 are not one for each of 2 indices");
        assert_eq!(refused(&[0, 2], &[0, 4], &[1.0; 2]), "indices: 4 at 1 is not below 4");
        let batch = SparseBatch::from_csr(4, &[0, 0, 3, 4], &[3, 1, 3, 0], &[1.0, 2.0, 4.0, 8.0]).unwrap();
        assert_eq!((batch.len(), batch.row(1).indices(), batch.row(1).values()), (3, &[1, 3][..], &[2.0, 5.0][..]));
        assert_eq!(SparseBatch::from_csr(4, &[0], &[], &[]).unwrap().len(), 0);
    }

    #[test]
    fn a_bag_with_too_few_values_is_refused_and_the_strict_form_says_what_it_wants() {
        let mut batch = SparseBatch::new(10);
        assert!(matches!(batch.push_bag(&[1, 2], &[1.0]), Err(IndexError::LengthMismatch { .. })));
        let error = batch.push(&[3, 3], &[1.0, 1.0]).unwrap_err().to_string();
        assert!(error.ends_with("indices are to be sorted, none twice"), "{error}");
        assert!(batch.is_empty());
    }
}
