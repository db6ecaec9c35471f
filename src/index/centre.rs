//! The mean of all rows. Rows are hashed without it.

use rayon::prelude::*;

use super::Rows;
use super::scan::centred;

/// Rows whose sums are f32. Sums of these sums are f64.
const CHUNK: usize = 1024;

/// How far the mean may move, as a share of the root mean square distance of rows from it. Angles between rows change
/// by less.
const DRIFT: f64 = 0.1;

/// The mean row with its bias (D + 1).
#[derive(Debug)]
pub(super) struct Centre {
    mean: Vec<f32>,
    set: bool,
}

impl Centre {
    pub fn new(len: usize) -> Self {
        Self { mean: vec![0.0; len], set: false }
    }

    /// The centre with the mean that [`Centre::mean`] gave.
    pub fn at(mean: Vec<f32>, set: bool) -> Self {
        Self { mean, set }
    }

    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// Moves to the mean of the rows `ids`, if it has no mean yet or that mean is too far away. Returns whether it
    /// moved.
    pub fn follow(&mut self, rows: &Rows, ids: &[u32]) -> bool {
        let len = self.mean.len();
        let chunks: Vec<(Vec<f32>, f64)> = ids
            .par_chunks(CHUNK)
            .map(|ids| {
                let (mut sum, mut x, mut squares) = (vec![0.0; len], vec![0.0; len], 0.0);
                for &id in ids {
                    // Less the mean in use, so that rounding does not swamp the squares.
                    centred(rows, id as usize, &self.mean, &mut x);
                    squares += crate::kernels::reduce::squared_norm(rows.level, &x) as f64;
                    sum.iter_mut().zip(&x).for_each(|(sum, x)| *sum += x);
                }
                (sum, squares)
            })
            .collect();
        let (mut moved, mut squares) = (vec![0.0_f64; len], 0.0);
        for (sum, chunk_squares) in &chunks {
            moved.iter_mut().zip(sum).for_each(|(moved, &sum)| *moved += sum as f64);
            squares += chunk_squares;
        }
        let count = ids.len().max(1) as f64;
        moved.iter_mut().for_each(|moved| *moved /= count);
        let drift: f64 = moved.iter().map(|moved| moved * moved).sum();
        let spread = squares / count - drift;
        if self.set && drift <= DRIFT * DRIFT * spread {
            return false;
        }
        self.mean.iter_mut().zip(&moved).for_each(|(mean, &moved)| *mean = (*mean as f64 + moved) as f32);
        self.set = true;
        true
    }
}
