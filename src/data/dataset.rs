//! The samples of a file, for training and evaluation.

use super::cache::Cache;
use super::weighting::Weighting;
use super::{Batch, Samples, Summary, Vocabulary};
use std::path::Path;
use std::sync::Arc;

/// The samples of a file, in a memory-mapped cache. Clones share it.
///
/// ```
/// use hotrow::{config::Data, data::{self, Samples}};
/// let folder = tempfile::tempdir()?;
/// let train = folder.path().join("train.svm");
/// std::fs::write(&train, "0,2 1:0.5 4:1\n 0:2\n")?;
/// let train = data::open(train.to_str().unwrap(), None, &Data::default(), folder.path())?.train;
/// assert_eq!((train.len(), train.features(), train.labels()), (1, 5, 3));
/// assert_eq!((train.labels_of(0), train.summary().skipped), (&[0, 2][..], 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dataset {
    samples: Arc<Cache>,
    weighting: Weighting,
    /// Those of the training set, and those that only texts name.
    labels: usize,
    path: Arc<Path>,
}

impl Dataset {
    pub(crate) fn new(samples: Arc<Cache>, vocabulary: &Vocabulary, path: &Path) -> Self {
        Self { samples, weighting: vocabulary.weighting().clone(), labels: vocabulary.labels(), path: path.into() }
    }

    /// The file that it was read from; of a pair, the features.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was read, and what was left out.
    pub fn summary(&self) -> &Summary {
        &self.samples.meta.summary
    }

    /// The number of samples with a label, even one that the training set lacks. A set without any measures nothing.
    pub fn labelled(&self) -> u64 {
        self.summary().samples - self.summary().unlabelled
    }

    /// A hash of all samples as they are in the file, before TF-IDF and scaling. Equal data have equal digests, however
    /// they were packed. A resumed run compares it.
    pub fn digest(&self) -> u64 {
        self.samples.digest()
    }

    /// The labels of sample `sample`, strictly increasing.
    ///
    /// # Panics
    ///
    /// If `sample` is not below the number of samples.
    #[track_caller]
    pub fn labels_of(&self, sample: usize) -> &[u32] {
        self.samples.get(sample).labels
    }
}

impl Samples for Dataset {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn features(&self) -> usize {
        self.samples.features()
    }

    fn labels(&self) -> usize {
        self.labels
    }

    #[track_caller]
    fn read(&self, sample: usize, batch: &mut Batch) {
        self.weighting.push(self.samples.get(sample), batch);
    }
}
