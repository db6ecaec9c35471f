//! Data: sparse samples and text, from files to batches.
//!
//! [`open`] reads a training set, and a validation set, into memory-mapped caches. [`Vocabulary`] holds what later
//! files need to be read the same way. [`Stream`] reads samples to predict as they come. [`Loader`] assembles batches
//! ahead of training.
//!
//! | format | a sample is | dimensions |
//! |---|---|---|
//! | `xc` | a line `label,label feature:value feature:value`, after the header `samples features labels` | the header's |
//! | `xc`, two files | a line `feature:value ..` of one and `label:1 ..` of the other, each after its header `samples columns` | the headers' |
//! | `svmlight` | the same line; `#` begins a comment, empty lines are skipped | largest id + 1 |
//! | `npz` | a row of each of two CSR arrays, features and labels (`scipy.sparse.save_npz`) | the arrays' |
//! | `tsv` | a line of columns, one with text, one with labels (`4,17` or names) | buckets of the hash, largest label + 1 |
//! | `jsonl` | an object a line, one field with text, one with labels (a list, a number, or `"4,17"`) | the same |
//!
//! Ids count from 0. Files of lines may be packed (gzip, zstd) and have any line ends. Features may stand in any order;
//! values of a repeated feature are added. Labels of text files are ids or names ([`crate::config::Labels`]). The
//! training set numbers names by frequency.
//!
//! Training leaves out samples without a label, or refuses them (`data.unlabelled`). Later files keep them. Labels that
//! the training set lacks are counted for each sample of a later file, because they are true and missed.
//! [`Summary::left_out`] counts everything that was left out.
//!
//! Labels may have texts of their own ([`LabelTexts`]), which may name labels that no training sample has.

mod bytes;
mod cache;
mod capacity;
mod dataset;
mod fill;
mod ids;
mod input;
mod label_texts;
mod line_reader;
mod lines;
mod loader;
pub(crate) mod map;
#[cfg(not(feature = "arrays"))]
mod no_arrays;
#[cfg(feature = "arrays")]
mod npz;
mod open;
mod records;
mod samples;
mod sequences;
mod sink;
mod source;
mod stream;
mod summary;
mod text;
mod text_lines;
mod unpack;
mod vocabulary;
mod weighting;
mod words;

#[cfg(not(feature = "arrays"))]
use no_arrays as npz;

pub use bytes::{read_bytes, read_cache};
pub use dataset::Dataset;
pub use label_texts::{LabelTexts, read_label_texts};
pub use loader::{Loader, order, place, steps_per_epoch};
pub(crate) use open::open_from;
pub use open::{Datasets, open, open_unkept};
pub use sequences::Sequences;
pub use stream::Stream;
pub use summary::{Largest, Summary};
pub use vocabulary::Vocabulary;

pub mod planted;
pub mod tokens;

use crate::ragged::Ragged;
use crate::sparse::SparseBatch;

/// Samples that are trained or evaluated together.
///
/// ```
/// use hotrow::data::Batch;
/// let mut batch = Batch::new(100);
/// batch.features.push(&[3, 40], &[1.0, 0.5])?;
/// batch.labels.push([7]);
/// assert_eq!(batch.len(), 1);
/// # Ok::<(), hotrow::kernels::IndexError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// One sparse vector a sample.
    pub features: SparseBatch,
    /// The labels of each sample, strictly increasing.
    pub labels: Ragged<u32>,
    /// The number of true labels of each sample that the training set lacks. Samples beyond the end of the list have
    /// none.
    pub unseen: Vec<u32>,
    /// Labels that an index of the data has named for each sample ahead of time; no rows where none has.
    pub hits: Ragged<u32>,
}

impl Batch {
    /// An empty batch with feature vectors of length `features`.
    ///
    /// ```
    /// assert!(hotrow::data::Batch::new(100).is_empty());
    /// ```
    pub fn new(features: usize) -> Self {
        Self { features: SparseBatch::new(features), labels: Ragged::new(), unseen: Vec::new(), hits: Ragged::new() }
    }

    /// All of `samples`.
    ///
    /// ```
    /// use hotrow::data::{Batch, Samples};
    /// struct Two;
    /// impl Samples for Two {
    ///     fn len(&self) -> usize { 2 }
    ///     fn features(&self) -> usize { 4 }
    ///     fn labels(&self) -> usize { 3 }
    ///     fn read(&self, sample: usize, batch: &mut Batch) {
    ///         batch.features.push(&[sample as u32], &[1.0]).unwrap();
    ///         batch.labels.push([2]);
    ///     }
    /// }
    /// assert_eq!(Batch::whole(&Two).labels.row(1), [2]);
    /// ```
    pub fn whole(samples: &dyn Samples) -> Self {
        let mut batch = Self::new(samples.features());
        (0..samples.len()).for_each(|sample| samples.read(sample, &mut batch));
        batch
    }

    /// Number of samples.
    ///
    /// ```
    /// assert_eq!(hotrow::data::Batch::new(100).len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no samples.
    ///
    /// ```
    /// assert!(hotrow::data::Batch::new(100).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes all samples and keeps the memory.
    ///
    /// ```
    /// hotrow::data::Batch::new(100).clear();
    /// ```
    pub fn clear(&mut self) {
        self.features.clear();
        self.labels.clear();
        self.hits.clear();
        self.unseen.clear();
    }

    /// The number of true labels of sample `sample` that the training set lacks, so none of them can be predicted.
    ///
    /// ```
    /// assert_eq!(hotrow::data::Batch::new(100).unseen_of(0), 0);
    /// ```
    pub fn unseen_of(&self, sample: usize) -> u32 {
        self.unseen.get(sample).copied().unwrap_or(0)
    }

    /// Sets that number for the sample added last.
    pub(crate) fn set_unseen(&mut self, unseen: u32) {
        if unseen > 0 {
            self.unseen.resize(self.len() - 1, 0);
            self.unseen.push(unseen);
        }
    }
}

/// Samples that can be read in any order, from several threads.
pub trait Samples: Send + Sync {
    /// Number of samples.
    fn len(&self) -> usize;
    /// Length of the feature vectors.
    fn features(&self) -> usize;
    /// The number of labels. Each label is below it.
    fn labels(&self) -> usize;
    /// Adds sample `sample` to `batch`.
    fn read(&self, sample: usize, batch: &mut Batch);
    /// Whether there are no samples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
