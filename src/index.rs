//! Indexes: which rows of a matrix matter for a query.
//!
//! An index is a guess at the rows with the largest scores `<w, q> + b`. Training is right with any guess, because labels
//! are always among the active rows and a random tail stands for the rest; the better the guess, the fewer rows do.

mod blocks;
mod buckets;
mod centre;
mod collisions;
pub mod conformance;
mod exact;
mod family;
mod hashed;
mod inserted;
mod plain;
mod saved;
mod scan;
mod tables;

use std::fmt::Debug;

use half::bf16;
use serde::Serialize;

use crate::config::{IndexName, Sparse};
use crate::error::Result as Answer;
use crate::kernels::{Level, MatRef, UniqueRowIds};
use crate::ragged::Ragged;
use crate::tensor::Tensor;

pub use blocks::Blocks;
pub use buckets::Buckets;
pub use exact::ExactTopK;
pub use family::HashName;
pub use hashed::{HashOptions, Hashed};
pub use plain::{All, Random};

/// Weights in one of the two storage types.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum WeightsRef<'a> {
    F32(MatRef<'a, f32>),
    Bf16(MatRef<'a, bf16>),
}

/// The rows that an index is over: row `r` scores `<weights[r], q> + biases[r]`.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// (rows, D).
    pub weights: WeightsRef<'a>,
    /// (rows).
    pub biases: &'a [f32],
    /// What to compute with.
    pub level: Level,
}

impl Rows<'_> {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.biases.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.biases.is_empty()
    }

    /// Length of a row.
    pub fn dim(&self) -> usize {
        match self.weights {
            WeightsRef::F32(w) => w.cols(),
            WeightsRef::Bf16(w) => w.cols(),
        }
    }
}

/// How an index is doing.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Statistics {
    /// Hash tables, or lists of blocks.
    pub tables: usize,
    /// Buckets that hold a row, of all tables.
    pub used_buckets: usize,
    /// Rows in a used bucket: mean and largest.
    pub mean_occupancy: f64,
    /// As `mean_occupancy`.
    pub largest_bucket: usize,
    /// Buckets with 1, 2 to 3, 4 to 7, ... rows; empty where they are not counted.
    pub occupancy: Vec<u64>,
    /// Memory that the index takes, in bytes.
    pub bytes: usize,
    /// Since the index was made.
    pub rebuilds: u64,
}

impl Statistics {
    /// Of an index whose buckets hold so many rows each, in any order; empty ones are not counted.
    ///
    /// ```
    /// let statistics = hotrow::index::Statistics::of_buckets([5, 0, 1, 4].into_iter());
    /// assert_eq!((statistics.used_buckets, statistics.largest_bucket), (3, 5));
    /// assert_eq!(statistics.occupancy, [1, 0, 2]);
    /// ```
    pub fn of_buckets(rows: impl Iterator<Item = usize>) -> Statistics {
        let (mut statistics, mut held) = (Statistics::default(), 0);
        for rows in rows.filter(|&rows| rows > 0) {
            let power = rows.ilog2() as usize;
            if statistics.occupancy.len() <= power {
                statistics.occupancy.resize(power + 1, 0);
            }
            statistics.occupancy[power] += 1;
            statistics.used_buckets += 1;
            statistics.largest_bucket = statistics.largest_bucket.max(rows);
            held += rows;
        }
        statistics.mean_occupancy = held as f64 / statistics.used_buckets.max(1) as f64;
        statistics
    }
}

/// Names the rows that matter for a query.
///
/// What every implementation promises ([`conformance`] checks it; `examples/custom_index.rs` is an index of one's own):
/// - `select` returns for each query at most `k` different rows below `rows.len()`, the best guess first. It depends on
///   the index's state, the arguments and nothing else: not on the number of threads, not on the other queries of the call.
/// - After `rebuild(rows)` every row can be found: there are queries that find it. Which, and how many of the best rows they
///   miss, is the quality of the index and not promised.
/// - `restore` of what `state` gave makes an index that selects the same.
pub trait Index: Send + Sync + Debug {
    /// The name in configurations: `simhash`, `blocks`, ...
    fn name(&self) -> &'static str;

    /// Whether all rows are to be computed, so that nothing has to be selected.
    fn computes_all(&self) -> bool {
        false
    }

    /// Whether it names rows at all. One that does not leaves the choice to labels and chance.
    fn names_rows(&self) -> bool {
        true
    }

    /// Whether what it selects depends on what rebuilds and updates have told it. One that looks at the rows themselves, or at nothing,
    /// needs neither.
    fn follows_weights(&self) -> bool {
        true
    }

    /// For each query (Q, D) up to `k` rows, best first. `step` is the step of the run, for indexes that draw at random.
    fn select(&self, rows: &Rows, queries: MatRef<f32>, k: usize, step: u64) -> Ragged<u32>;

    /// The weights of `touched` have changed. What that changes may be seen only after the next rebuild, which may leave all
    /// other rows where they are: hash indexes only mark the touched rows here, so that a row is hashed once for each rebuild
    /// and not once for each step that touches it.
    /// Indexes that rebuild from all rows, or never, need not know.
    fn update(&mut self, _rows: &Rows, _touched: UniqueRowIds) {}

    /// Makes `select` find row `ids.row(q)[..]` for queries like `queries` (Q, D) from now on, whatever the rows' weights
    /// are: labels inserted under the samples that have them (BOLT). Indexes that cannot do so ignore it.
    fn insert(&mut self, _queries: MatRef<f32>, _ids: &Ragged<u32>) {}

    /// Builds the index from all rows; what `insert` added is forgotten. Rows that `update` was not told about may stay where
    /// their old weights put them.
    fn rebuild(&mut self, _rows: &Rows) {}

    /// Floating-point operations done so far, in hashing, in products with what stands for many rows and in scoring rows. The
    /// number of threads does not change it.
    fn flops(&self) -> u64 {
        0
    }

    /// How it is doing.
    fn statistics(&self) -> Statistics {
        Statistics::default()
    }

    /// What a checkpoint has to keep, hash functions and tables included (or the seed that they follow from).
    fn state(&self) -> Vec<Tensor<'_>> {
        Vec::new()
    }

    /// Takes what `state` gave, for an index made with the same options.
    ///
    /// # Errors
    ///
    /// A message if a tensor is missing or of another shape.
    fn restore(&mut self, _state: &[Tensor]) -> Result<(), String> {
        Ok(())
    }
}

/// The index that a configuration names, over `rows` rows of `dim` numbers. It knows no row before the first `rebuild`.
///
/// # Errors
///
/// [`Error::Config`](crate::error::Error::Config) if there cannot be so many codes or tables.
///
/// ```
/// use hotrow::config::{IndexName, Sparse};
/// let config = Sparse { index: IndexName::Simhash, ..Sparse::default() };
/// let index = hotrow::index::new(&config, 1, 1000, 64, hotrow::kernels::Level::detect())?;
/// assert_eq!(index.name(), "simhash");
/// # Ok::<(), hotrow::error::Error>(())
/// ```
pub fn new(config: &Sparse, seed: u64, rows: usize, dim: usize, level: Level) -> Answer<Box<dyn Index>> {
    let hashed = |hash| -> Answer<Box<dyn Index>> {
        let &Sparse { codes, tables, probes, .. } = config;
        let options = HashOptions { hash, codes, tables, probes, ..HashOptions::default() };
        Ok(Box::new(Hashed::new(options, seed, rows, dim, level)?))
    };
    match config.index {
        IndexName::All => Ok(Box::new(All)),
        IndexName::Random => Ok(Box::new(Random)),
        IndexName::Simhash => hashed(HashName::SimHash),
        IndexName::Dwta => hashed(HashName::Dwta),
        IndexName::Minhash => hashed(HashName::MinHash),
        IndexName::CrossPolytope => hashed(HashName::CrossPolytope),
        IndexName::Blocks => Ok(Box::new(Blocks::new(config.block, config.probes, seed, rows, dim, level)?)),
        IndexName::Exact => Ok(Box::new(ExactTopK::default())),
    }
}
