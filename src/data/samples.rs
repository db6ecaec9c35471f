//! Rules of all readers: limits of ids, and samples without labels.

use super::lines::Fault;
use super::records::{Records, Scratch};
use crate::config::Unlabelled;

/// Limits that ids are below.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The file's own header has no room for ids from here on. They are refused.
    pub features: u64,
    pub labels: u64,
    /// The training set has no room for ids from here on. They are left out.
    pub known_features: u64,
    pub known_labels: u64,
}

impl Limits {
    /// Those of a training set without a header: an index has 32 bits, and so has the number of rows.
    pub const NONE: Self =
        Self { features: u32::MAX as u64, labels: u32::MAX as u64, known_features: u64::MAX, known_labels: u64::MAX };

    /// Those of a later file.
    pub fn known(features: u64, labels: u64) -> Self {
        Self { features: u64::MAX, labels: u64::MAX, known_features: features, known_labels: labels }
    }

    pub fn label(&self, label: u64, column: usize) -> Result<Option<u32>, Fault> {
        Self::id("label", label, (self.labels, self.known_labels), column)
    }

    pub fn feature(&self, feature: u64, column: usize) -> Result<Option<u32>, Fault> {
        Self::id("feature", feature, (self.features, self.known_features), column)
    }

    fn id(what: &str, id: u64, (limit, known): (u64, u64), column: usize) -> Result<Option<u32>, Fault> {
        if id >= limit {
            return Err(Fault::at(column, format!("{what} {id} is not below {limit}")));
        }
        Ok((id < known).then_some(id as u32))
    }
}

/// What to do with a sample without a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Skip,
    Refuse,
    Keep,
    /// Ignore labels.
    Ignore,
}

impl From<Unlabelled> for Policy {
    fn from(unlabelled: Unlabelled) -> Self {
        match unlabelled {
            Unlabelled::Skip => Self::Skip,
            Unlabelled::Refuse => Self::Refuse,
        }
    }
}

/// Removes duplicates; returns how many items are left, and adds the number of duplicates to `twice`.
pub(crate) fn distinct<T: Ord>(items: &mut Vec<T>, twice: &mut u64) -> u32 {
    let before = items.len();
    items.sort_unstable();
    items.dedup();
    *twice += (before - items.len()) as u64;
    items.len() as u32
}

/// Adds the sample in `scratch` with `unseen` further labels. Features are sorted and unique; labels may stand in any
/// order.
pub(crate) fn keep(policy: Policy, scratch: &mut Scratch, unseen: u32, out: &mut Records) -> Result<(), Fault> {
    let labels = &mut scratch.labels;
    if !labels.is_sorted_by(|a, b| a < b) {
        distinct(labels, &mut out.summary.duplicate_labels);
    }
    if labels.is_empty() && unseen == 0 {
        match policy {
            Policy::Skip => {
                out.summary.skipped += 1;
                return Ok(());
            }
            Policy::Refuse => return Err(Fault::at(1, "the sample has no label")),
            Policy::Keep => out.summary.unlabelled += 1,
            Policy::Ignore => {}
        }
    }
    out.summary.unknown_labels += u64::from(unseen);
    out.push(labels, unseen, &scratch.features);
    Ok(())
}
