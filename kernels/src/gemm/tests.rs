//! The product against its definition in f64, at every level, shape, layout and precision.

use super::*;
use crate::testing::*;
use crate::{MatRef, Weight, bf16};

mod batched;
mod gathered;
mod product;

/// A dense f64 matrix: what a factor means.
struct Exact {
    rows: usize,
    cols: usize,
    data: Vec<f64>,
}

impl Exact {
    /// The factor that `operand` describes, entry by entry, rounded as `precision` says.
    fn of<W: Weight>(operand: &Operand<W>, transposed: bool, precision: Precision) -> Self {
        let (rows, cols) = (operand.rows(), operand.cols());
        let entry = |r: usize, c: usize| {
            let (line, at) = if transposed { (c, r) } else { (r, c) };
            let value = operand.line(line)[at].to_f32();
            (if precision == Precision::Bf16 { bf16::from_f32(value).to_f32() } else { value }) as f64
        };
        let data = (0..rows * cols).map(|i| entry(i / cols, i % cols)).collect();
        Self { rows, cols, data }
    }

    fn at(&self, r: usize, c: usize) -> f64 {
        self.data[r * self.cols + c]
    }
}

impl Exact {
    /// As [`Exact::of`] for all of a matrix as it stands.
    fn whole<W: Weight>(matrix: MatRef<W>, precision: Precision) -> Self {
        Self::of(&Operand::new(matrix), false, precision)
    }

    fn transposed(&self) -> Self {
        let data = (0..self.data.len()).map(|i| self.at(i % self.rows, i / self.rows)).collect();
        Self { rows: self.cols, cols: self.rows, data }
    }

    /// `sum_ij self[i, j] other[i, j]`
    fn dot(&self, other: &Self) -> f64 {
        self.data.iter().zip(&other.data).map(|(a, b)| a * b).sum()
    }
}

/// `sum_k a[i, k] b[k, j]` and the sum of magnitudes.
fn entry(a: &Exact, b: &Exact, i: usize, j: usize) -> (f64, f64) {
    (0..a.cols).map(|k| a.at(i, k) * b.at(k, j)).fold((0.0, 0.0), |(sum, all), term| (sum + term, all + term.abs()))
}

/// `rows` x `cols` numbers with a stride beyond the columns, not aligned; what lies between rows is NaN.
struct Strided<W> {
    data: Misaligned<W>,
    rows: usize,
    cols: usize,
    stride: usize,
}

impl<W: Weight> Strided<W> {
    fn new(rows: usize, cols: usize, gap: usize, seed: u64) -> Self {
        let stride = cols + gap;
        let mut data = vec![W::from_f32(f32::NAN); rows * stride];
        for (r, row) in numbers(rows * cols, seed).chunks(cols.max(1)).enumerate() {
            for (to, &x) in data[r * stride..].iter_mut().zip(row) {
                *to = W::from_f32(x);
            }
        }
        Self { data: Misaligned::new(&data, 1), rows, cols, stride }
    }

    fn view(&self) -> MatRef<'_, W> {
        MatRef::with_stride(&self.data, self.rows, self.cols, self.stride)
    }
}
