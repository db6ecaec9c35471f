//! The numbers of a parameter, in the storage they have.

use half::bf16;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use crate::config::Storage;
use crate::error::Result;
use crate::kernels::MatRef;
use crate::matrix::Matrix;
use crate::rng::rng;

/// What weights start as.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Zeros.
    Zeros,
    /// This number.
    Constant(f32),
    /// Independent normal numbers of this standard deviation.
    Normal(f32),
}

/// A matrix of zeros, or its shape only.
pub(super) fn zeros<T: bytemuck::Pod>(what: &str, rows: usize, cols: usize, planned: bool) -> Result<Matrix<T>> {
    if planned { Matrix::planned(what, rows, cols) } else { Matrix::try_zeros(what, rows, cols) }
}

#[derive(Debug)]
pub(super) enum Stored {
    F32(Matrix<f32>),
    Bf16(Matrix<bf16>),
    Bf16Master { weights: Matrix<bf16>, master: Matrix<f32> },
}

impl Stored {
    /// Zeros, or no numbers at all.
    pub fn try_zeros(name: &str, (rows, cols): (usize, usize), storage: Storage, planned: bool) -> Result<Self> {
        Ok(match storage {
            Storage::F32 => Stored::F32(zeros(name, rows, cols, planned)?),
            Storage::Bf16 => Stored::Bf16(zeros(name, rows, cols, planned)?),
            Storage::Bf16Master => {
                let weights = zeros(name, rows, cols, planned)?;
                Stored::Bf16Master { weights, master: zeros(&format!("{name}.master"), rows, cols, planned)? }
            }
        })
    }

    /// Bytes of all numbers.
    pub fn bytes(&self) -> usize {
        match self {
            Stored::F32(w) => w.bytes(),
            Stored::Bf16(w) => w.bytes(),
            Stored::Bf16Master { weights, master } => weights.bytes() + master.bytes(),
        }
    }

    /// Whether it has no numbers.
    pub fn is_planned(&self) -> bool {
        match self {
            Stored::F32(w) => w.is_planned(),
            Stored::Bf16(w) | Stored::Bf16Master { weights: w, .. } => w.is_planned(),
        }
    }

    pub fn rows(&self) -> usize {
        match self {
            Stored::F32(w) => w.rows(),
            Stored::Bf16(w) | Stored::Bf16Master { weights: w, .. } => w.rows(),
        }
    }

    pub fn cols(&self) -> usize {
        match self {
            Stored::F32(w) => w.cols(),
            Stored::Bf16(w) | Stored::Bf16Master { weights: w, .. } => w.cols(),
        }
    }

    /// Zeros become what weights start as; random numbers are a function of `seed`, `name` and the row.
    pub fn begin(&mut self, init: Init, name: &str, seed: u64) {
        match init {
            Init::Zeros => {}
            Init::Constant(value) => self.fill(|_| std::iter::repeat(value)),
            Init::Normal(deviation) => self.fill(|row| {
                let normal = StandardNormal.sample_iter(rng(seed, name, row as u64));
                normal.map(move |x: f32| deviation * x)
            }),
        }
    }

    /// Copies `numbers` of the same shape, rounded to nearest where they are stored as bf16.
    pub fn copy_from(&mut self, numbers: MatRef<f32>) {
        self.fill(|row| numbers.row(row).iter().copied());
    }

    /// Row `r` becomes the first of `numbers(r)`.
    fn fill<I: Iterator<Item = f32>>(&mut self, numbers: impl Fn(usize) -> I + Sync) {
        fn each<T: bytemuck::Pod + Send, I: Iterator<Item = f32>>(
            matrix: &mut Matrix<T>,
            numbers: impl Fn(usize) -> I + Sync,
            stored: impl Fn(f32) -> T + Sync,
        ) {
            let cols = matrix.cols().max(1);
            matrix.as_mut_slice().par_chunks_mut(cols).enumerate().for_each(|(row, out)| {
                out.iter_mut().zip(numbers(row)).for_each(|(out, x)| *out = stored(x));
            });
        }
        match self {
            Stored::F32(w) => each(w, numbers, |x| x),
            Stored::Bf16(w) => each(w, numbers, bf16::from_f32),
            Stored::Bf16Master { weights, master } => {
                each(weights, &numbers, bf16::from_f32);
                each(master, &numbers, |x| x);
            }
        }
    }
}
