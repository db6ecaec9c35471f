//! Owned row-major matrices, on huge pages if the system has them.

use bytemuck::Pod;
use memmap2::{Advice, MmapMut};

use crate::error::{Error, Result};
use crate::kernels::{MatMut, MatRef};

/// A row-major matrix that starts at a page boundary. The system fills a page when it is first written. So a table with
/// few used rows takes the memory of those rows.
///
/// ```
/// use hotrow::matrix::Matrix;
/// let mut w = Matrix::<f32>::zeros(2, 3);
/// w.row_mut(1)[0] = 5.0;
/// assert_eq!(w.as_slice(), &[0.0, 0.0, 0.0, 5.0, 0.0, 0.0]);
/// ```
#[derive(Debug)]
pub struct Matrix<T> {
    /// None in a plan, where a matrix has a shape and no numbers.
    memory: Option<MmapMut>,
    rows: usize,
    cols: usize,
    elements: std::marker::PhantomData<T>,
}

impl<T: Pod> Matrix<T> {
    /// A matrix (`rows`, `cols`) of zeros.
    ///
    /// # Panics
    ///
    /// If the system refuses the memory. [`try_zeros`](Self::try_zeros) returns an error instead.
    ///
    /// ```
    /// assert_eq!(hotrow::matrix::Matrix::<f32>::zeros(2, 3).rows(), 2);
    /// ```
    #[track_caller]
    pub fn zeros(rows: usize, cols: usize) -> Self {
        Self::try_zeros("a matrix", rows, cols).unwrap_or_else(|error| panic!("{error}"))
    }

    /// A matrix (`rows`, `cols`) of zeros. `what` names it in the error.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`] if the system refuses the memory, or no address space could hold it. A system that overcommits
    /// refuses later, by ending the program when pages are written. So compare plans with
    /// [`Limits`](crate::machine::Limits) first.
    ///
    /// ```
    /// use hotrow::matrix::Matrix;
    /// assert_eq!(Matrix::<f32>::try_zeros("scores", 2, 3)?.cols(), 3);
    /// let error = Matrix::<f32>::try_zeros("scores", usize::MAX, 2).unwrap_err();
    /// assert!(error.to_string().starts_with("scores: the system refuses "));
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn try_zeros(what: &str, rows: usize, cols: usize) -> Result<Self> {
        let planned = Self::planned(what, rows, cols)?;
        let refused = |_| Error::Memory { what: what.to_owned(), bytes: planned.bytes() as u64 };
        // The system maps no empty piece of memory.
        let memory = MmapMut::map_anon(planned.bytes().max(1)).map_err(refused)?;
        // Random rows of a large table arrive up to twice as fast from huge pages. A system without them says no.
        #[cfg(target_os = "linux")]
        let _ = memory.advise(Advice::HugePage);
        Ok(Self { memory: Some(memory), ..planned })
    }

    /// A shape without memory, for plans: only rows, columns and bytes can be asked for.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`] if no machine could have so much.
    ///
    /// ```
    /// let planned = hotrow::matrix::Matrix::<f32>::planned("scores", 1 << 40, 2)?;
    /// assert_eq!(planned.bytes(), 1 << 43);
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn planned(what: &str, rows: usize, cols: usize) -> Result<Self> {
        let bytes = rows.checked_mul(cols).and_then(|len| len.checked_mul(size_of::<T>()));
        // No slice is longer than an isize counts, whatever the system would map.
        match bytes {
            Some(bytes) if bytes <= isize::MAX as usize => {
                Ok(Self { memory: None, rows, cols, elements: std::marker::PhantomData })
            }
            _ => Err(Error::Memory { what: what.to_owned(), bytes: bytes.map_or(u64::MAX, |bytes| bytes as u64) }),
        }
    }

    /// Takes `memory` in place of its own, numbers included.
    ///
    /// # Panics
    ///
    /// If it is too short, or does not start where a `T` can.
    #[track_caller]
    pub(crate) fn set_memory(&mut self, memory: MmapMut) {
        let fits = memory.len() >= self.bytes() && memory.as_ptr().align_offset(align_of::<T>()) == 0;
        assert!(fits, "memory for {} x {} numbers: too short or not aligned", self.rows, self.cols);
        self.memory = Some(memory);
    }

    /// Whether it is a shape without memory.
    pub fn is_planned(&self) -> bool {
        self.memory.is_none()
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
    /// # Panics
    ///
    /// If it is planned, as all that reads or writes numbers does.
    ///
    /// ```
    /// assert_eq!(hotrow::matrix::Matrix::<f32>::zeros(2, 3).as_slice(), &[0.0; 6]);
    /// ```
    pub fn as_slice(&self) -> &[T] {
        let len = self.rows * self.cols;
        let memory = self.memory.as_ref().expect("a planned matrix has no numbers");
        &bytemuck::cast_slice(&memory[..len * size_of::<T>()])[..len]
    }

    /// All rows, to be written.
    ///
    /// ```
    /// hotrow::matrix::Matrix::<f32>::zeros(2, 3).as_mut_slice().fill(1.0);
    /// ```
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        let len = self.rows * self.cols;
        let memory = self.memory.as_mut().expect("a planned matrix has no numbers");
        &mut bytemuck::cast_slice_mut(&mut memory[..len * size_of::<T>()])[..len]
    }

    /// Row `r`.
    ///
    /// # Panics
    ///
    /// If `r` is not below the number of rows.
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
    /// If `r` is not below the number of rows.
    ///
    /// ```
    /// hotrow::matrix::Matrix::<f32>::zeros(2, 3).row_mut(1).fill(2.0);
    /// ```
    #[track_caller]
    pub fn row_mut(&mut self, r: usize) -> &mut [T] {
        let cols = self.cols;
        &mut self.as_mut_slice()[r * cols..][..cols]
    }

    /// The matrix as kernels read it.
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

    /// Its bytes once every page has been written.
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

    #[test]
    fn memory_that_no_machine_has_is_an_error_with_its_name_and_size() {
        for (rows, cols, want) in [(usize::MAX, 2, u64::MAX), (1 << 61, 1, 1 << 63), (1 << 60, 1, 1 << 62)] {
            match Matrix::<f32>::try_zeros("scores", rows, cols) {
                Err(Error::Memory { what, bytes }) => assert_eq!((what.as_str(), bytes), ("scores", want)),
                other => panic!("{rows} x {cols}: {other:?}"),
            }
        }
    }
}
