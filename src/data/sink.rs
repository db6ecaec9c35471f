//! Where samples go: a cache, or memory.

use super::Summary;
use super::cache::Writer;
use super::records::Records;
use crate::error::Result;

/// What takes samples in order.
pub(crate) trait Sink {
    /// Adds samples.
    fn append(&mut self, records: &Records) -> Result<()>;
    /// What has been added.
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
