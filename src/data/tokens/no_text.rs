//! Stands in for `encode` in builds without the feature `text`: it refuses text.

use std::path::Path;

use super::tokenizer::{TOKENIZER, Tokenizer};
use crate::error::{Error, Result};

const LEFT_OUT: &str = "text takes a tokenizer that encodes it, and this build is without the feature `text`";

impl Tokenizer {
    pub(super) fn from_merges(path: &Path) -> Result<Self> {
        Err(Error::data(path, 0, 0, "merges are read by builds with the feature `text` only; here by a tokenizer.json"))
    }

    /// The tokens of `text`: none for an empty one.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for any other text, as this build lacks the feature `text`.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        match text {
            "" => Ok(Vec::new()),
            _ => Err(Error::data(TOKENIZER, 0, 0, LEFT_OUT)),
        }
    }

    pub(crate) fn encode_prompt(&self, text: &str) -> Result<Vec<u32>> {
        self.encode(text)
    }

    pub(super) fn encode_text(&self, text: &str, _tokens: &mut Vec<u32>) -> Result<u64, String> {
        match text {
            "" => Ok(0),
            _ => Err(LEFT_OUT.into()),
        }
    }
}
