//! Cutting a matrix into pieces of rows that different threads may write.

use bytemuck::Pod;

use crate::kernels::MatMut;
use crate::matrix::Matrix;

/// What is left of a matrix whose first rows have been given away.
pub(super) struct Splitter<'a, T> {
    rest: &'a mut [T],
    cols: usize,
}

impl<'a, T: Pod> Splitter<'a, T> {
    pub fn new(matrix: &'a mut Matrix<T>) -> Self {
        Self { cols: matrix.cols(), rest: matrix.as_mut_slice() }
    }

    /// The next `rows` rows.
    pub fn take(&mut self, rows: usize) -> MatMut<'a, T> {
        let (piece, rest) = std::mem::take(&mut self.rest).split_at_mut(rows * self.cols);
        self.rest = rest;
        MatMut::new(piece, rows, self.cols)
    }

    /// The next `rows` elements of a matrix of one column.
    pub fn take_slice(&mut self, rows: usize) -> &'a mut [T] {
        let (piece, rest) = std::mem::take(&mut self.rest).split_at_mut(rows * self.cols);
        self.rest = rest;
        piece
    }
}
