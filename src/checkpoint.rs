//! Checkpoints: tensors, the trainer's state and its options, in folders that are complete or absent.
//!
//! ```text
//! run/latest                                 names the last complete checkpoint
//! run/checkpoint-000500/model.safetensors    one file for each list of tensors
//!                       config.json          what the reader has to know to make the network
//!                       trainer_state.json   step, epoch, seed, counters
//!                       manifest.json        length and digest of each of them, and of itself
//! ```
//!
//! A checkpoint is written to a temporary folder (`.tmp-...`), synced and renamed; then `latest` is replaced. So at any
//! kill `latest` names a complete checkpoint, or there never was one. Where memory allows a copy of the tensors,
//! training continues meanwhile ([`Saver`]). Digests detect accidents such as a truncated copy or a flipped bit, not
//! forgery.

mod contents;
mod digest;
pub(crate) mod disk;
mod folder;
mod header;
mod manifest;
mod mapping;
mod owned;
mod read;
mod save;
mod saver;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use contents::Contents;
pub use digest::digest;
pub(crate) use folder::has_checkpoint_name;
pub(crate) use folder::is_checkpoint;
pub use folder::{clean, contains};
pub use owned::{OwnedElements, OwnedTensor};
pub use read::{Loaded, open, open_without};
pub use save::save;
pub(crate) use save::write_tensors;
pub use saver::Saver;
/// The type of the trainer's state and its options.
pub use serde_json::Value;

/// The version of the files. A reader refuses later ones.
const SCHEMA: u32 = 1;

/// The file of [`TrainerState`].
const STATE: &str = "trainer_state.json";
/// The file of the options.
const CONFIG: &str = "config.json";

/// The position of a run, apart from its tensors, as in `trainer_state.json`.
///
/// Numbers return to the bit, even `f64`. JSON has no NaN and no infinities.
///
/// ```
/// let mut state = hotrow::checkpoint::TrainerState::new(500, 1, 7);
/// state.counters.insert("samples".into(), 128_000);
/// assert_eq!((state.step, state.epoch, state.seed), (500, 1, 7));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainerState {
    /// Version of this structure.
    pub schema: u32,
    /// Steps done.
    pub step: u64,
    /// Epochs done.
    pub epoch: u64,
    /// The seed of everything random.
    pub seed: u64,
    /// Counts, such as samples and operations.
    pub counters: BTreeMap<String, u64>,
    /// Whatever else the trainer keeps.
    pub other: serde_json::Value,
}

impl TrainerState {
    /// A state without counters and `other`.
    pub fn new(step: u64, epoch: u64, seed: u64) -> Self {
        Self { schema: SCHEMA, step, epoch, seed, counters: BTreeMap::new(), other: serde_json::Value::Null }
    }
}

/// The checkpoint that `latest` of the run names, if any. Its files are not read.
///
/// ```
/// assert_eq!(hotrow::checkpoint::last("no/such/run".as_ref()), None);
/// ```
pub fn last(run: &Path) -> Option<PathBuf> {
    folder::latest(run).ok().flatten().map(|name| run.join(name))
}
