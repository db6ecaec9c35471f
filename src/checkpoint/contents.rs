//! The contents of a checkpoint, and the files they become.

use std::borrow::Cow;

use super::manifest::MANIFEST;
use super::{CONFIG, STATE, TrainerState, header};
use crate::tensor::Tensor;

/// Everything in a checkpoint: borrowed tensors, other files, and the position of the run.
#[derive(Clone, Debug)]
pub struct Contents<'a> {
    /// Files of tensors: the name, such as `model.safetensors`, and its tensors.
    pub tensors: Vec<(&'a str, Vec<Tensor<'a>>)>,
    /// Other files: a name, and the bytes that [`Loaded::bytes`](super::Loaded::bytes) returns.
    pub others: Vec<(&'a str, &'a [u8])>,
    /// The position of the run. Its step names the checkpoint.
    pub state: TrainerState,
    /// Any options. [`Loaded::config`](super::Loaded::config) returns them.
    pub config: serde_json::Value,
}

impl<'a> Contents<'a> {
    /// Contents without files.
    ///
    /// ```
    /// use hotrow::checkpoint::{Contents, TrainerState};
    /// let contents = Contents::new(TrainerState::new(500, 1, 7), serde_json::json!({"hidden": [2]}));
    /// assert!(contents.tensors.is_empty() && contents.others.is_empty());
    /// ```
    pub fn new(state: TrainerState, config: serde_json::Value) -> Self {
        Self { tensors: Vec::new(), others: Vec::new(), state, config }
    }

    /// The contents as files, in borrowed pieces.
    ///
    /// # Panics
    ///
    /// As [`save`](super::save).
    #[track_caller]
    pub(super) fn files(&self) -> Files<'_> {
        let mut files = Vec::new();
        for (name, tensors) in &self.tensors {
            let (header, ordered) = header::plan(tensors);
            let bytes = ordered.into_iter().map(|tensor| Cow::Borrowed(tensor.elements.bytes()));
            files.push(((*name).to_owned(), [Cow::Owned(header)].into_iter().chain(bytes).collect()));
        }
        files.extend(self.others.iter().map(|&(name, bytes)| (name.to_owned(), vec![Cow::Borrowed(bytes)])));
        let options = serde_json::to_vec_pretty(&self.config).expect("JSON is JSON");
        let standing = serde_json::to_vec_pretty(&self.state).expect("names and numbers are JSON");
        files.extend([(CONFIG, options), (STATE, standing)].map(|(name, json)| (name.to_owned(), vec![json.into()])));

        let mut names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).chain([MANIFEST]).collect();
        names.sort_unstable();
        assert!(names.is_sorted_by(|a, b| a < b), "two files have the same name");
        Files { step: self.state.step, files }
    }
}

/// The files of a checkpoint without its manifest: names, and bytes in pieces.
pub(super) struct Files<'a> {
    pub step: u64,
    pub files: Vec<(String, Vec<Cow<'a, [u8]>>)>,
}

impl Files<'_> {
    pub fn bytes(&self) -> u64 {
        self.files.iter().flat_map(|(_, pieces)| pieces).map(|piece| piece.len() as u64).sum()
    }

    /// A copy of what is borrowed. It no longer changes with the tensors.
    pub fn into_owned(self) -> Files<'static> {
        let own = |pieces: Vec<Cow<[u8]>>| pieces.into_iter().map(|piece| Cow::Owned(piece.into_owned())).collect();
        Files { step: self.step, files: self.files.into_iter().map(|(name, pieces)| (name, own(pieces))).collect() }
    }
}
