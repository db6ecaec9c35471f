//! Owned row-major matrices in memory that the system is asked to back with huge pages.

use bytemuck::Pod;
use memmap2::{Advice, MmapMut};

use crate::kernels::{MatMut, MatRef};

/// A row-major matrix that starts at a page. Its memory comes from the system as zeros, and only pages that are written
/// are ever filled: a table of which few rows are used costs what these rows cost.
///
/// ```
/// use hotrow::matrix::Matrix;
/// let mut w = Matrix::<f32>::zeros(2, 3);
/// w.row_mut(1)[0] = 5.0;
/// assert_eq!(w.as_slice(), &[0.0, 0.0, 0.0, 5.0, 0.0, 0.0]);
/// ```
#[derive(Debug)]
pub struct Matrix<T> {
    memory: MmapMut,
    rows: usize,
    cols: usize,
    elements: std::marker::PhantomData<T>,
}

impl<T: Pod> Matrix<T> {
    /// `rows` x `cols` zeros.
    ///
    /// # Panics
    ///
    /// If the system has not so much memory.
    ///
    /// ```
    /// assert_eq!(hotrow::matrix::Matrix::<f32>::zeros(2, 3).rows(), 2);
    /// ```
    #[track_caller]
    pub fn zeros(rows: usize, cols: usize) -> Self {
        let bytes = rows.checked_mul(cols).and_then(|len| len.checked_mul(size_of::<T>()));
        let bytes = bytes.unwrap_or_else(|| panic!("{rows} x {cols} elements are more than memory can have"));
        // The system maps no empty piece of memory.
        let memory = MmapMut::map_anon(bytes.max(1)).unwrap_or_else(|error| panic!("{bytes} bytes of memory: {error}"));
        // Random rows of a large table arrive up to twice as fast from huge pages. A system without them says no.
        #[cfg(target_os = "linux")]
        let _ = memory.advise(Advice::HugePage);
        Self { memory, rows, cols, elements: std::marker::PhantomData }
    }

    /// Number of rows.
    ///
    /// ```
    /// assert_eq!(hotrow::matrix::Matrix::<f32>::zeros(2, 3).rows(), 2);
    /// ```
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    ///
    /// ```
    /// assert_eq!(hotrow::matrix::Matrix::<f32>::zeros(2, 3).cols(), 3);
    /// ```
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// All rows, one after the other.
    ///
    /// ```
    /// assert_eq!(hotrow::matrix::Matrix::<f32>::zeros(2, 3).as_slice(), &[0.0; 6]);
    /// ```
    pub fn as_slice(&self) -> &[T] {
        let len = self.rows * self.cols;
        &bytemuck::cast_slice(&self.memory[..len * size_of::<T>()])[..len]
    }

    /// All rows, to be written.
    ///
    /// ```
    /// hotrow::matrix::Matrix::<f32>::zeros(2, 3).as_mut_slice().fill(1.0);
    /// ```
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        let len = self.rows * self.cols;
        &mut bytemuck::cast_slice_mut(&mut self.memory[..len * size_of::<T>()])[..len]
    }

    /// Row `r`.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    ///
    /// ```
    /// assert_eq!(hotrow::matrix::Matrix::<f32>::zeros(2, 3).row(1), &[0.0; 3]);
    /// ```
    #[track_caller]
    pub fn row(&self, r: usize) -> &[T] {
        &self.as_slice()[r * self.cols..][..self.cols]
    }

    /// Row `r`, to be written.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    ///
    /// ```
    /// hotrow::matrix::Matrix::<f32>::zeros(2, 3).row_mut(1).fill(2.0);
    /// ```
    #[track_caller]
    pub fn row_mut(&mut self, r: usize) -> &mut [T] {
        let cols = self.cols;
        &mut self.as_mut_slice()[r * cols..][..cols]
    }

    /// The matrix as kernels take it.
    ///
    /// ```
    /// assert_eq!(hotrow::matrix::Matrix::<f32>::zeros(2, 3).view().cols(), 3);
    /// ```
    pub fn view(&self) -> MatRef<'_, T> {
        MatRef::new(self.as_slice(), self.rows, self.cols)
    }

    /// The matrix as kernels write it.
    ///
    /// ```
    /// hotrow::matrix::Matrix::<f32>::zeros(2, 3).view_mut().row_mut(0)[2] = 1.0;
    /// ```
    pub fn view_mut(&mut self) -> MatMut<'_, T> {
        let (rows, cols) = (self.rows, self.cols);
        MatMut::new(self.as_mut_slice(), rows, cols)
    }

    /// Bytes that it takes when every page has been written.
    ///
    /// ```
    /// assert_eq!(hotrow::matrix::Matrix::<f32>::zeros(2, 3).bytes(), 24);
    /// ```
    pub fn bytes(&self) -> usize {
        self.rows * self.cols * size_of::<T>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_matrices_exist_and_memory_starts_at_a_cache_line() {
        for (rows, cols) in [(0, 0), (0, 5), (5, 0)] {
            assert!(Matrix::<f32>::zeros(rows, cols).as_slice().is_empty());
        }
        assert_eq!(Matrix::<half::bf16>::zeros(3, 1).as_slice().as_ptr().align_offset(64), 0);
    }
}
