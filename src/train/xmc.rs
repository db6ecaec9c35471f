//! Extreme classification: sparse features or text in, some of very many labels out.

mod ask_parts;
mod beside;
pub(super) mod estimate;
mod evaluate;
mod initial;
mod inspect;
mod kind;
mod known;
mod label_counts;
mod mixed;
mod named;
mod parts_estimate;
mod predict;
mod sampling;
mod start;
mod step;
pub(super) mod task;
mod trainer;

use std::collections::BTreeMap;

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::run::Summary;
pub use estimate::{Estimate, estimate};
pub use evaluate::evaluate;
pub use kind::Kind;
pub use mixed::Mixed;
pub use parts_estimate::PartsEstimate;
pub use predict::{Predictor, Scored};
pub use sampling::{Sampling, active_rows};
pub use start::{evaluate_file, steps};
pub use step::{PACKED_FROM, StepReport};
pub use trainer::{Shape, Trainer};

/// The cuts of the ranking metrics.
pub const KS: [usize; 3] = [1, 3, 5];

/// The file of a checkpoint, and of the run folder, that says how later files are read.
pub const VOCABULARY: &str = "vocabulary.json";

/// An error if no sample of the set has a label: every metric would be 0.
fn measurable(data: &Dataset) -> Result<()> {
    match data.labelled() {
        0 => Err(Error::data(data.path(), 0, 0, "no sample has a label, so there is nothing to measure")),
        _ => Ok(()),
    }
}

/// What was left out of a set, for a summary.
fn left_out(name: &str, data: &Dataset) -> (String, BTreeMap<String, u64>) {
    let counts = data.summary().left_out().into_iter().map(|(what, count)| (what.to_owned(), count));
    (name.to_owned(), counts.collect())
}

/// What the network alone says of a summary.
fn summary_of(trainer: &Trainer, summary: Summary) -> Summary {
    Summary { epochs: trainer.config.train.epochs, components: trainer.components(), ..summary }
}
