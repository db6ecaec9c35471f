//! What every reader decides in the same way: limits of ids, and samples without labels.

use super::lines::Fault;
use super::records::{Records, Scratch};
use crate::config::Unlabelled;

/// What ids are below.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub features: u64,
    pub labels: u64,
    /// Whether an id that is not below is left out (the training set, which had no header, did not have it) or refused.
    pub drop: bool,
}

impl Limits {
    /// Of a training set without a header: the index is 32 bits wide, and the number of rows must fit as well.
    pub const NONE: Self = Self { features: u32::MAX as u64, labels: u32::MAX as u64, drop: false };

    pub fn label(&self, label: u64, column: usize) -> Result<Option<u32>, Fault> {
        self.id("label", label, self.labels, column)
    }

    pub fn feature(&self, feature: u64, column: usize) -> Result<Option<u32>, Fault> {
        self.id("feature", feature, self.features, column)
    }

    fn id(&self, what: &str, id: u64, limit: u64, column: usize) -> Result<Option<u32>, Fault> {
        if id < limit {
            Ok(Some(id as u32))
        } else if self.drop {
            Ok(None)
        } else {
            Err(Fault::at(column, format!("{what} {id} is not below {limit}")))
        }
    }
}

/// What becomes of a sample without a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Skip,
    Refuse,
    Keep,
}

impl From<Unlabelled> for Policy {
    fn from(unlabelled: Unlabelled) -> Self {
        match unlabelled {
            Unlabelled::Skip => Self::Skip,
            Unlabelled::Refuse => Self::Refuse,
        }
    }
}

/// Adds the sample in `scratch`: features sorted and unique, labels in any order.
pub(crate) fn keep(policy: Policy, scratch: &mut Scratch, out: &mut Records) -> Result<(), Fault> {
    let labels = &mut scratch.labels;
    if !labels.is_sorted_by(|a, b| a < b) {
        let before = labels.len();
        labels.sort_unstable();
        labels.dedup();
        out.summary.duplicate_labels += (before - labels.len()) as u64;
    }
    if labels.is_empty() {
        match policy {
            Policy::Skip => {
                out.summary.skipped += 1;
                return Ok(());
            }
            Policy::Refuse => return Err(Fault::at(1, "the sample has no label")),
            Policy::Keep => out.summary.unlabelled += 1,
        }
    }
    out.push(labels, &scratch.features);
    Ok(())
}
