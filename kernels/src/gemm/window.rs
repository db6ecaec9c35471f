//! Which part of a product is computed.

use std::ops::Range;

/// Which part of a product causal attention needs. Query `i` sees the keys `0..=i + offset`, where `offset` is the
/// number of keys before the first query (those of a cache; zero in training).
///
/// ```
/// use hotrow_kernels::gemm::Causal;
/// assert_eq!(Causal::default(), Causal::Full);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Causal {
    /// All of it.
    #[default]
    Full,
    /// Output rows are queries, output columns keys (`Q K^T`, `dO V^T`): entries above the diagonal are neither
    /// computed nor written.
    Output {
        /// Keys before the first query.
        offset: usize,
    },
    /// Output rows are queries, the contraction runs over keys (`P V`, `dS K`): entries of the left factor above the
    /// diagonal count as zero, whatever stands there (a NaN of the *right* factor times such a zero may still be
    /// met).
    Until {
        /// Keys before the first query.
        offset: usize,
    },
    /// Output rows are keys, the contraction runs over queries (`P^T dO`, `dS^T Q`): entries of the left factor that
    /// belong to a query before the key count as zero, whatever stands there.
    From {
        /// Keys before the first query.
        offset: usize,
    },
}

/// The block of a causal product that one pair of panels makes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub causal: Causal,
    /// Output row, in the whole product, of the left panel's first.
    pub row: usize,
    /// Contraction index, in the whole product, of the left panel's first.
    pub from: usize,
}

impl Window {
    /// The whole of a product without a diagonal.
    pub const FULL: Self = Self { causal: Causal::Full, row: 0, from: 0 };

    /// The contraction indices, of a left panel of `depth`, that its rows `first..=last` sum over.
    pub fn terms(self, first: usize, last: usize, depth: usize) -> Range<usize> {
        let (first, last) = (self.row + first, self.row + last);
        let inside = |k: usize| k.saturating_sub(self.from).min(depth);
        match self.causal {
            Causal::Full | Causal::Output { .. } => 0..depth,
            Causal::Until { offset } => 0..inside(last.saturating_add(offset).saturating_add(1)),
            Causal::From { offset } => inside(first.saturating_sub(offset))..depth,
        }
    }

    /// How many of `cols` entries row `row` of the output has.
    pub fn columns(self, row: usize, cols: usize) -> usize {
        match self.causal {
            Causal::Output { offset } => cols.min((self.row + row).saturating_add(offset).saturating_add(1)),
            _ => cols,
        }
    }
}
