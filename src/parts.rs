//! Associative memories and linear rows for classification: parts of a model that are sparse rows, each usable by itself, and a mixture of
//! them that is fitted to samples which no part has seen.
//!
//! | part | rows | a label scores by |
//! |---|---|---|
//! | [`CountMemory`] | features, that hold labels | how often it came with the features of the sample |
//! | [`NeighbourMemory`] | samples, that hold features and labels | the nearest samples that have it |
//! | [`SparseLinear`] | labels, that hold features | a linear classifier of its own, against samples that are mistaken for it |
//! | [`TextMemory`] | features, that hold labels | how much of its own text the sample has |
//! | [`NetworkPart`] | features and labels, that are vectors | the product of the sample's and the label's vector |
//!
//! [`Learner`] builds a [`Classifier`] of all of them, as `hotrow train xmc` does.

mod choose;
mod classifier;
mod clock;
mod costs;
mod counts;
mod descent;
mod fit;
mod further;
mod hidden;
mod kept;
mod learner;
mod linear;
mod long_rows;
mod mixture;
mod neighbours;
mod network;
mod prune;
mod saved;
mod scores;
mod stages;
mod terms;
#[cfg(test)]
mod tests;
mod texts;

pub use classifier::{Classifier, Own};
pub use costs::PartCosts;
pub use counts::{CountMemory, CountOptions};
pub use descent::LinearOptions;
pub use fit::Example;
pub use further::FURTHER_TERMS;
pub use kept::Kept;
pub use learner::Learner;
pub use linear::SparseLinear;
pub use mixture::Mixture;
pub use neighbours::{Lookup, NeighbourMemory, NeighbourOptions, postings};
pub use network::NetworkPart;
pub use scores::Scores;
pub use stages::{LearnOptions, Stage};
pub use terms::{Candidate, Present, TERMS};
pub use texts::TextMemory;
