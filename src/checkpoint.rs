//! Checkpoints: tensors, the trainer's state and its options, in folders that are either complete or not there.
//!
//! ```text
//! run/latest                                 names the last complete checkpoint
//! run/checkpoint-000500/model.safetensors    one file for each list of tensors
//!                       config.json          what the reader has to know to make the network
//!                       trainer_state.json   step, epoch, seed, counters
//!                       manifest.json        length and digest of each of them, and of itself
//! ```
//!
//! A checkpoint is written to a folder with a name of its own (`.tmp-...`), synced and renamed; then `latest` is replaced.
//! Whenever the program is killed, `latest` names a complete checkpoint, or there never was one. That is done while training goes
//! on where a copy of the tensors may be made ([`Saver`]). Digests are against
//! accidents (a truncated copy, a flipped bit), not against somebody who forges files.

mod contents;
mod digest;
pub(crate) mod disk;
mod folder;
mod header;
mod manifest;
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
pub(crate) use folder::has_name;
pub(crate) use folder::is_one;
pub use folder::{clean, contains};
pub use owned::{OwnedElements, OwnedTensor};
pub use read::{Loaded, open, open_without};
pub use save::save;
pub(crate) use save::write_tensors;
pub use saver::Saver;
/// What the trainer's state and its options are given as.
pub use serde_json::Value;

/// What these files look like; a reader refuses those of a later one.
const SCHEMA: u32 = 1;

/// The file of [`TrainerState`].
const STATE: &str = "trainer_state.json";
/// The file of the options.
const CONFIG: &str = "config.json";

/// Where a run stands, apart from its tensors: written to `trainer_state.json`.
///
/// Numbers come back to the bit, `f64` included; JSON has no NaN and no infinities.
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
    /// Everything random follows from it.
    pub seed: u64,
    /// Whatever is counted: samples, operations.
    pub counters: BTreeMap<String, u64>,
    /// Whatever else the trainer wants back.
    pub other: serde_json::Value,
}

impl TrainerState {
    /// Without counters and `other`.
    pub fn new(step: u64, epoch: u64, seed: u64) -> Self {
        Self { schema: SCHEMA, step, epoch, seed, counters: BTreeMap::new(), other: serde_json::Value::Null }
    }
}

/// The checkpoint that `latest` of the run names, if it names one; its files are not looked at.
///
/// ```
/// assert_eq!(hotrow::checkpoint::last("no/such/run".as_ref()), None);
/// ```
pub fn last(run: &Path) -> Option<PathBuf> {
    folder::latest(run).ok().flatten().map(|name| run.join(name))
}
