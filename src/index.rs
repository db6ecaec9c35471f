//! Indexes name the rows of a matrix with large scores for a query.
//!
//! An index guesses which rows have the largest scores `<w, q> + b`. Training is right with any guess, because labels
//! are always active and a random tail stands for the rest. A better guess needs fewer rows.

mod blocks;
mod buckets;
mod centre;
mod collisions;
pub mod conformance;
mod exact;
mod family;
mod hashed;
mod inserted;
mod inverted;
mod plain;
mod rebuilds;
mod saved;
mod scan;
mod tables;

use std::fmt::Debug;
use std::sync::RwLock;

use half::bf16;
use serde::Serialize;

use crate::config::{IndexName, IndexOptions};
use crate::error::Result as Answer;
use crate::kernels::{Level, MatRef, UniqueRowIds};
use crate::ragged::Ragged;
use crate::sparse::SparseBatch;
use crate::tensor::Tensor;

pub use blocks::Blocks;
pub use buckets::Buckets;
pub use exact::ExactTopK;
pub use family::HashName;
pub use hashed::{HashOptions, Hashed};
pub use inverted::Inverted;
pub(crate) use inverted::{gain, most_frequent};
use plain::Planned;
pub use plain::{All, Random};
pub use rebuilds::Rebuilds;

/// Weights in either storage type.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum WeightsRef<'a> {
    F32(MatRef<'a, f32>),
    Bf16(MatRef<'a, bf16>),
}

/// The matrix that an index is over: row `r` scores `<weights[r], q> + biases[r]`.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// Shape (rows, D).
    pub weights: WeightsRef<'a>,
    /// One a row.
    pub biases: &'a [f32],
    /// The instruction set to compute with.
    pub level: Level,
}

impl Rows<'_> {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.biases.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.biases.is_empty()
    }

    /// The length of a row.
    pub fn dim(&self) -> usize {
        match self.weights {
            WeightsRef::F32(w) => w.cols(),
            WeightsRef::Bf16(w) => w.cols(),
        }
    }
}

/// Figures on the state of an index.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Statistics {
    /// The number of hash tables, or of lists of blocks.
    pub tables: usize,
    /// The number of buckets that hold a row, over all tables.
    pub used_buckets: usize,
    /// The mean number of rows in a used bucket.
    pub mean_occupancy: f64,
    /// The number of rows in the fullest bucket.
    pub largest_bucket: usize,
    /// How many buckets hold 1, 2 to 3, 4 to 7, ... rows; empty if not counted.
    pub occupancy: Vec<u64>,
    /// The memory that the index takes, in bytes.
    pub bytes: usize,
    /// Rebuilds since the index was made.
    pub rebuilds: u64,
}

impl Statistics {
    /// The figures of buckets with these numbers of rows, in any order. Empty buckets are not counted.
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

/// Names the rows with large scores for a query.
///
/// Every implementation promises the following; [`conformance`] checks it, and `examples/custom_index.rs` is a sample:
/// - `select` returns at most `k` different rows below `rows.len()` for each query, the best guess first. The answer
///   depends on the state of the index and the arguments alone: not on the number of threads, nor on the other queries
///   of the call.
/// - After `rebuild(rows)` some query finds each row. How many of the best rows a query misses is the quality of the
///   index, and not promised.
/// - `restore` of what `state` gave makes an index that selects the same rows.
pub trait Index: Send + Sync + Debug {
    /// The name in configurations: `simhash`, `blocks`, ...
    fn name(&self) -> &'static str;

    /// Whether the network is to compute all rows, so that nothing is selected.
    fn computes_all(&self) -> bool {
        false
    }

    /// Whether it names rows at all. If not, labels and chance choose the active rows.
    fn names_rows(&self) -> bool {
        true
    }

    /// Whether its answers depend on earlier rebuilds and moved rows. An index that reads the rows themselves, or ignores
    /// them, needs neither.
    fn follows_weights(&self) -> bool {
        true
    }

    /// Whether it names rows by the sparse inputs of samples, which it has [learnt](Self::learn), and not by queries. Then
    /// [`select_by_inputs`](Self::select_by_inputs) is asked in place of `select`.
    fn follows_data(&self) -> bool {
        false
    }

    /// Takes the training samples and their labels, which are rows: once, at the start of a run. A resumed run restores what
    /// `state` gave.
    fn learn(&mut self, _samples: &SparseBatch, _labels: &Ragged<u32>) {}

    /// Names up to `k` rows for each of these samples, best first, if it [follows the data](Self::follows_data). All that holds for
    /// `select` holds here.
    fn select_by_inputs(&self, inputs: &SparseBatch, _k: usize) -> Ragged<u32> {
        (0..inputs.len()).map(|_| []).collect()
    }

    /// Names up to `k` rows for each query, best first; `queries` is (Q, D). `step` is the step of the run, for indexes
    /// that draw at random.
    fn select(&self, rows: &Rows, queries: MatRef<f32>, k: usize, step: u64) -> Ragged<u32>;

    /// Tells the index that the weights of `touched` have changed. It may show the change after the next rebuild only:
    /// hash indexes mark the rows here, so a row is hashed once a rebuild and not once a step. An index that rebuilds
    /// from all rows, or never, can ignore this.
    fn mark_moved(&mut self, _rows: &Rows, _touched: UniqueRowIds) {}

    /// Makes `select` find the rows `ids.row(q)` for queries like `queries` (Q, D) from now on, whatever their weights.
    /// BOLT inserts labels under the samples that have them. An index that cannot do this ignores it.
    fn insert(&mut self, _queries: MatRef<f32>, _ids: &Ragged<u32>) {}

    /// Builds the index from all rows, and forgets what `insert` added. Rows that no [`mark_moved`](Self::mark_moved) named may stay where
    /// their old weights put them.
    fn rebuild(&mut self, _rows: &Rows) {}

    /// Floating-point operations so far: hashing, products with means of rows, and scoring rows. The number of threads
    /// does not change it.
    fn flops(&self) -> u64 {
        0
    }

    /// Figures on its state.
    fn statistics(&self) -> Statistics {
        Statistics::default()
    }

    /// The tensors that a checkpoint keeps. They hold the hash functions and tables, or the seed that these follow
    /// from.
    fn state(&self) -> Vec<Tensor<'_>> {
        Vec::new()
    }

    /// Takes the tensors of `state`, for an index made with the same options.
    ///
    /// # Errors
    ///
    /// A message if a tensor is missing or of another shape.
    fn restore(&mut self, _state: &[Tensor]) -> Result<(), String> {
        Ok(())
    }
}

/// Makes an index over so many rows of so many numbers, with a seed for all that is random.
pub type Maker = fn(&IndexOptions, u64, usize, usize, Level) -> Answer<Box<dyn Index>>;

/// Indexes that programs have registered.
static MAKERS: RwLock<Vec<(&str, Maker)>> = RwLock::new(Vec::new());

/// From now on configurations of this program can name an index of its own, as `sparse.index`, `head.index` or `feed_forward.index`.
///
/// # Panics
///
/// If there is an index of this name.
///
/// ```
/// use hotrow::config::{Config, IndexOptions};
/// use hotrow::index::{self, Index, Random};
/// use hotrow::{error::Result, kernels::Level};
///
/// fn make(_: &IndexOptions, _seed: u64, _rows: usize, _dim: usize, _: Level) -> Result<Box<dyn Index>> {
///     Ok(Box::new(Random))
/// }
/// index::register("mine", make);
/// let config = Config::load(None, &["sparse.index=mine".into()])?;
/// assert_eq!(config.sparse.index.as_str(), "mine");
/// # Ok::<(), hotrow::error::Error>(())
/// ```
#[track_caller]
pub fn register(name: &'static str, make: Maker) {
    assert!(IndexName::allow(name), "there is an index called {name}");
    MAKERS.write().expect("no writer panics").push((name, make));
}

/// The index that `options` name, over `rows` rows of `dim` numbers. It knows no row before the first `rebuild`.
///
/// # Errors
///
/// [`Error::Config`](crate::error::Error::Config) if there are too many codes or tables.
///
/// ```
/// use hotrow::config::{IndexName, IndexOptions};
/// let options = IndexOptions { index: IndexName::Simhash, ..IndexOptions::default() };
/// let index = hotrow::index::new(&options, 1, 1000, 64, hotrow::kernels::Level::detect())?;
/// assert_eq!(index.name(), "simhash");
/// # Ok::<(), hotrow::error::Error>(())
/// ```
pub fn new(options: &IndexOptions, seed: u64, rows: usize, dim: usize, level: Level) -> Answer<Box<dyn Index>> {
    let hashed = |hash| -> Answer<Box<dyn Index>> {
        let &IndexOptions { codes, tables, probes, .. } = options;
        let options = HashOptions { hash, codes, tables, probes, ..HashOptions::default() };
        Ok(Box::new(Hashed::new(options, seed, rows, dim, level)?))
    };
    match options.index {
        IndexName::All => Ok(Box::new(All)),
        IndexName::Random => Ok(Box::new(Random)),
        IndexName::Simhash => hashed(HashName::SimHash),
        IndexName::Dwta => hashed(HashName::Dwta),
        IndexName::Minhash => hashed(HashName::MinHash),
        IndexName::CrossPolytope => hashed(HashName::CrossPolytope),
        IndexName::Blocks => Ok(Box::new(Blocks::new(options.block, options.probes, seed, rows, dim, level)?)),
        IndexName::Exact => Ok(Box::new(ExactTopK::default())),
        IndexName::Inverted => Ok(Box::new(Inverted::new(options.block, rows))),
        IndexName::Own(name) => {
            let makers = MAKERS.read().expect("no writer panics").clone();
            let (_, make) = makers.into_iter().find(|(own, _)| *own == name).expect("its name is registered");
            make(options, seed, rows, dim, level)
        }
    }
}

/// Stands for the index that `options` name where a network is only counted.
pub(crate) fn planned(options: &IndexOptions, rows: usize, dim: usize) -> Box<dyn Index> {
    Box::new(Planned { name: options.index.as_str(), bytes: options.bytes(rows, dim) })
}
