//! Matrices whose memory is reused with other shapes.

use crate::kernels::{MatMut, MatRef};
use crate::matrix::Matrix;

/// A matrix of f32. Its memory stays when its shape changes, and grows if needed.
///
/// ```
/// let mut buffer = hotrow::work::Buffer::default();
/// buffer.shape(2, 3);
/// buffer.view_mut().row_mut(1).fill(1.0);
/// assert_eq!(buffer.view().row(1), &[1.0; 3]);
/// ```
#[derive(Debug)]
pub struct Buffer {
    memory: Matrix<f32>,
    rows: usize,
    cols: usize,
}

impl Default for Buffer {
    fn default() -> Self {
        Self { memory: Matrix::zeros(0, 0), rows: 0, cols: 0 }
    }
}

impl Buffer {
    /// Changes the shape to (rows, cols). Its numbers are then unspecified.
    ///
    /// # Panics
    ///
    /// If the system refuses the memory.
    #[track_caller]
    pub fn shape(&mut self, rows: usize, cols: usize) {
        let len = rows.checked_mul(cols).unwrap_or_else(|| panic!("{rows} x {cols} elements are too many"));
        if self.capacity() < len {
            self.memory = Matrix::zeros(1, len);
        }
        (self.rows, self.cols) = (rows, cols);
    }

    fn capacity(&self) -> usize {
        self.memory.cols()
    }

    /// All rows, one after the other.
    pub fn slice(&self) -> &[f32] {
        &self.memory.as_slice()[..self.rows * self.cols]
    }

    /// All rows, to be written.
    pub fn slice_mut(&mut self) -> &mut [f32] {
        let len = self.rows * self.cols;
        &mut self.memory.as_mut_slice()[..len]
    }

    /// The matrix as kernels read it.
    pub fn view(&self) -> MatRef<'_, f32> {
        MatRef::new(self.slice(), self.rows, self.cols)
    }

    /// The matrix as kernels write it.
    pub fn view_mut(&mut self) -> MatMut<'_, f32> {
        let (rows, cols) = (self.rows, self.cols);
        MatMut::new(self.slice_mut(), rows, cols)
    }
}

/// Buffers that are not in use.
#[derive(Debug, Default)]
pub(super) struct Pool(Vec<Buffer>);

impl Pool {
    /// A buffer (rows, cols) of unspecified numbers. Give it back when done.
    pub fn take(&mut self, rows: usize, cols: usize) -> Buffer {
        let len = rows.saturating_mul(cols);
        // The smallest that is large enough, or the largest, which then grows.
        let rank = |buffer: &Buffer| {
            let capacity = buffer.capacity();
            if capacity >= len { (0, capacity) } else { (1, usize::MAX - capacity) }
        };
        let best = (0..self.0.len()).min_by_key(|&i| rank(&self.0[i]));
        let mut buffer = best.map_or_else(Buffer::default, |i| self.0.swap_remove(i));
        buffer.shape(rows, cols);
        buffer
    }

    /// Takes a buffer back.
    pub fn give(&mut self, buffer: Buffer) {
        self.0.push(buffer);
    }
}

/// The first `len` numbers of `memory`, which grows if needed. The numbers are unspecified.
pub(crate) fn local(memory: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if memory.len() < len {
        memory.resize(len, 0.0);
    }
    &mut memory[..len]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_serves_again_and_the_smallest_that_fits_is_taken() {
        let mut pool = Pool::default();
        let (small, large) = (pool.take(2, 2), pool.take(10, 10));
        let (at_small, at_large) = (small.slice().as_ptr(), large.slice().as_ptr());
        pool.give(large);
        pool.give(small);
        let again = pool.take(1, 3);
        assert_eq!(again.slice().as_ptr(), at_small);
        assert_eq!(again.slice().len(), 3);
        assert_eq!(pool.take(3, 3).slice().as_ptr(), at_large);
    }
}
