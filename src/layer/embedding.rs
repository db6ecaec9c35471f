//! A table with a row for each token.

use rayon::prelude::*;

use super::Workspace;
use super::dense::TOKENS;
use crate::config::Storage;
use crate::error::Result;
use crate::flops::Phase;
use crate::kernels::{MatMut, MatRef};
use crate::optim::{Init, Parameter, Scope};

/// Distinct tokens that one thread sums the gradients of at a time.
const ROWS: usize = 64;

/// The places of each distinct token of a batch.
#[derive(Debug, Default)]
pub struct TokenRows {
    /// Token in the upper half, place in the lower.
    sorted: Vec<u64>,
    rows: Vec<u32>,
    /// Where the places of each row begin in `sorted`; one more than rows.
    offsets: Vec<usize>,
}

impl TokenRows {
    /// Sorts `tokens`.
    ///
    /// ```
    /// let mut rows = hotrow::layer::TokenRows::default();
    /// rows.sort(&[5, 2, 5]);
    /// assert_eq!(rows.rows(), &[2, 5]);
    /// assert_eq!(rows.places(1).collect::<Vec<_>>(), [0, 2]);
    /// ```
    pub fn sort(&mut self, tokens: &[u32]) {
        let Self { sorted, rows, offsets } = self;
        sorted.clear();
        sorted.extend(tokens.iter().enumerate().map(|(place, &token)| (token as u64) << 32 | place as u64));
        // Keys are distinct, so every sort gives the same order.
        sorted.par_sort_unstable();
        rows.clear();
        offsets.clear();
        for (at, &key) in sorted.iter().enumerate() {
            let token = (key >> 32) as u32;
            if rows.last() != Some(&token) {
                rows.push(token);
                offsets.push(at);
            }
        }
        offsets.push(sorted.len());
    }

    /// The distinct tokens, increasing.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Where the token `rows()[r]` stands, increasing.
    pub fn places(&self, r: usize) -> impl Iterator<Item = usize> {
        self.sorted[self.offsets[r]..self.offsets[r + 1]].iter().map(|&key| key as u32 as usize)
    }

    /// `gradient[token]` (tokens, D) `+=` the sum of the rows of `dx` (T, D) at the token's places. `fresh` tokens, increasing, are
    /// written over.
    pub(crate) fn add_to(&self, dx: MatRef<f32>, gradient: &mut [f32], fresh: &[u32]) {
        let cols = dx.cols();
        let (mut rest, mut first) = (gradient, 0);
        let mut pieces = Vec::with_capacity(self.rows.len().div_ceil(ROWS));
        for from in (0..self.rows.len()).step_by(ROWS) {
            let rows = from..self.rows.len().min(from + ROWS);
            let end = self.rows[rows.end - 1] as usize + 1;
            let (piece, tail) = rest.split_at_mut((end - first) * cols);
            pieces.push((first, rows, piece));
            (rest, first) = (tail, end);
        }
        pieces.into_par_iter().for_each(|(first, rows, piece)| {
            for r in rows {
                let token = self.rows[r];
                let sum = &mut piece[(token as usize - first) * cols..][..cols];
                if fresh.binary_search(&token).is_ok() {
                    sum.fill(0.0);
                }
                for place in self.places(r) {
                    sum.iter_mut().zip(dx.row(place)).for_each(|(sum, dx)| *sum += dx);
                }
            }
        });
    }
}

/// `x` (T, D): the rows of `table` (tokens, D) that `tokens` (T) name.
///
/// # Panics
///
/// If a token is no row of the table or the shapes disagree.
#[track_caller]
pub(crate) fn look_up(work: &mut Workspace, table: MatRef<f32>, tokens: &[u32], x: MatMut<f32>) {
    assert_eq!((x.rows(), x.cols()), (tokens.len(), table.cols()), "x is not (tokens, width)");
    work.timed(Phase::Forward, |_| {
        let chunks: Vec<MatMut<f32>> = x.into_chunks(TOKENS).collect();
        chunks.into_par_iter().zip(tokens.par_chunks(TOKENS)).for_each(|(mut x, tokens)| {
            tokens.iter().enumerate().for_each(|(r, &token)| x.row_mut(r).copy_from_slice(table.row(token as usize)));
        });
    });
}

/// A table of its own, of which a step touches the rows of its tokens.
#[derive(Debug)]
pub struct Embedding {
    /// (tokens, D).
    pub weights: Parameter,
    batch: TokenRows,
}

crate::module!(Embedding { weights });

/// Standard deviation that numbers of token tables begin with.
///
/// With GPT-2's 0.02 the first steps of a tied table drowned what tells tokens apart: all rows move by nearly the learning rate, and
/// those of tokens that do not come in the same direction, away from what the output layer is shown. Losses on 200 000 tokens with
/// a sampled head (steps of 1024, a tenth of them warm-up, one seed): `tiny` 6.94 with 0.02, 6.51 with 0.05, 6.54 with 0.1; `small`
/// 6.71, 6.51 and 6.67; `base` 6.66 with 0.02 and 0.05.
pub(crate) const TOKEN_DEVIATION: f32 = 0.05;

impl Embedding {
    /// For tokens below `vocabulary`. Rows start as normal numbers of standard deviation 0.05.
    ///
    /// # Errors
    ///
    /// See [`Scope::parameter`].
    ///
    /// ```
    /// use hotrow::{config::Optim, layer::{Embedding, Workspace}, kernels::{Level, MatMut}, optim::Scope};
    /// let scope = Scope::fresh(&Optim::default(), 7, Level::detect());
    /// let table = Embedding::new(&scope.child("embedding"), 10, 2)?;
    /// let mut x = [0.0; 4];
    /// table.forward(&mut Workspace::new(Level::detect()), &[3, 3], MatMut::new(&mut x, 2, 2));
    /// assert_eq!(x[..2], x[2..]);
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn new(scope: &Scope, vocabulary: usize, width: usize) -> Result<Self> {
        let weights = scope.parameter("weight", vocabulary, width, Storage::F32, Init::Normal(TOKEN_DEVIATION))?;
        Ok(Self { weights: weights.with_row_gradients()?, batch: TokenRows::default() })
    }

    /// `x` (T, D), written over, for `tokens` (T).
    ///
    /// # Panics
    ///
    /// If a token is no row of the table or the shapes disagree.
    #[track_caller]
    pub fn forward(&self, work: &mut Workspace, tokens: &[u32], x: MatMut<f32>) {
        let table = MatRef::new(self.weights.f32(), self.weights.rows(), self.weights.cols());
        look_up(work, table, tokens, x);
    }

    /// Adds the gradient `dx` (T, D) at the rows of `tokens` (T).
    ///
    /// # Panics
    ///
    /// If a token is no row of the table or the shapes disagree.
    #[track_caller]
    pub fn backward(&mut self, work: &mut Workspace, tokens: &[u32], dx: MatRef<f32>) {
        assert_eq!((dx.rows(), dx.cols()), (tokens.len(), self.weights.cols()), "dx is not (tokens, width)");
        work.timed(Phase::Backward, |_| {
            self.batch.sort(tokens);
            let Self { weights, batch } = self;
            weights.add_rows(batch.rows(), |sums, new| batch.add_to(dx, sums, new));
        });
    }
}
