//! Where parsed samples go: a cache, or memory.

use super::cache::Writer;
use super::records::Records;
use super::{Summary, Vocabulary};
use crate::error::Result;

/// Takes samples in order.
pub(crate) trait Sink {
    /// Adds samples.
    fn append(&mut self, records: &Records) -> Result<()>;
    /// The counts of what was added.
    fn summary(&mut self) -> &mut Summary;
}

impl Sink for Writer {
    fn append(&mut self, records: &Records) -> Result<()> {
        Writer::append(self, records)
    }

    fn summary(&mut self) -> &mut Summary {
        Writer::summary(self)
    }
}

impl Sink for Records {
    fn append(&mut self, records: &Records) -> Result<()> {
        let start = self.words.len() as u64;
        self.words.extend_from_slice(&records.words);
        self.ends.extend(records.ends.iter().map(|end| start + end));
        self.summary.add(&records.summary);
        Ok(())
    }

    fn summary(&mut self) -> &mut Summary {
        &mut self.summary
    }
}

/// Sets the dimensions: those of the training set, else those `known` beforehand, else those of the samples.
pub(crate) fn dimensions(vocabulary: Option<&Vocabulary>, sink: &mut impl Sink, known: Option<(u64, u64)>) {
    let summary = sink.summary();
    let (features, labels) = match (vocabulary, known) {
        (Some(vocabulary), _) => (vocabulary.features() as u64, vocabulary.labels() as u64),
        (None, Some(known)) => known,
        (None, None) => (0, 0),
    };
    summary.features = summary.features.max(features);
    summary.labels = summary.labels.max(labels);
}
