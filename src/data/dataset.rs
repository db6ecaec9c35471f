//! A file's samples.

use super::cache::Cache;
use super::weighting::Weighting;
use super::{Batch, Samples, Summary, Vocabulary};
use std::sync::Arc;

/// The samples of a file, in a memory-mapped cache; a clone shares it.
#[derive(Clone, Debug)]
pub struct Dataset {
    samples: Arc<Cache>,
    weighting: Weighting,
}

impl Dataset {
    pub(crate) fn new(samples: Arc<Cache>, vocabulary: &Vocabulary) -> Self {
        Self { samples, weighting: vocabulary.weighting().clone() }
    }

    /// What was read, and what was left out.
    pub fn summary(&self) -> &Summary {
        &self.samples.meta.summary
    }

    /// The labels of sample `sample`, strictly increasing.
    ///
    /// # Panics
    ///
    /// If there is no such sample.
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
        self.samples.labels()
    }

    #[track_caller]
    fn read(&self, sample: usize, batch: &mut Batch) {
        self.weighting.push(self.samples.get(sample), batch);
    }
}
