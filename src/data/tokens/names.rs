//! The tokens of a `tokenizer.json` by name and number, read without the crate `tokenizers`: what builds without the feature `text`
//! know of a tokenizer. They encode no text.
// Beside that crate it is there for the test that both read the same.
#![cfg_attr(feature = "text", allow(dead_code))]

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

#[cfg(not(feature = "text"))]
use {
    super::tokenizer::{TOKENIZER, Tokenizer},
    crate::error::{Error, Result},
    std::path::Path,
};

/// A token beside those of the model.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(super) struct Added {
    id: u32,
    pub content: String,
    pub special: bool,
}

/// The names of tokens, by the rules of `tokenizers::Tokenizer` and with the names of its methods.
#[derive(Debug)]
pub(super) struct Names {
    model: HashMap<String, u32>,
    added: BTreeMap<u32, Added>,
    names: HashMap<u32, String>,
    is_bpe: bool,
}

#[derive(Deserialize)]
struct File {
    model: Model,
    #[serde(default)]
    added_tokens: Vec<Added>,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: String,
    /// Of another kind than a map, or missing, in models that are no BPE.
    #[serde(default)]
    vocab: serde_json::Value,
}

impl Names {
    pub fn from_bytes(json: &[u8]) -> Result<Self, String> {
        let file: File = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let is_bpe = file.model.kind == "BPE";
        let model: HashMap<String, u32> = match is_bpe {
            true => serde_json::from_value(file.model.vocab).map_err(|error| format!("vocab: {error}"))?,
            false => HashMap::new(),
        };
        let mut names: HashMap<u32, String> = model.iter().map(|(name, &id)| (id, name.clone())).collect();
        let (mut added, mut next) = (BTreeMap::new(), model.len());
        for token in file.added_tokens.into_iter().filter(|_| is_bpe) {
            // A number of the model's, or the next one behind them all. Files with others exist; what becomes of these is not
            // guessed here.
            let id = model.get(&token.content).copied();
            next += usize::from(id.is_none());
            let expected = id.map_or(next - 1, |id| id as usize);
            let known = added.contains_key(&token.id) || (id.is_none() && names.contains_key(&token.id));
            if token.content.is_empty() || token.id as usize != expected || known {
                return Err(format!(
                    "its added token {:?} has the number {}, not {expected}, which takes a build with the feature `text`",
                    token.content, token.id
                ));
            }
            names.insert(token.id, token.content.clone());
            added.insert(token.id, token);
        }
        Ok(Self { model, added, names, is_bpe })
    }

    pub fn get_vocab(&self, _with_added: bool) -> HashMap<String, u32> {
        let added = self.added.values().map(|token| (token.content.clone(), token.id));
        self.model.iter().map(|(name, &id)| (name.clone(), id)).chain(added).collect()
    }

    pub fn get_added_tokens_decoder(&self) -> BTreeMap<u32, Added> {
        self.added.clone()
    }

    pub fn token_to_id(&self, name: &str) -> Option<u32> {
        let added = || self.added.values().find(|token| token.content == name).map(|token| token.id);
        self.model.get(name).copied().or_else(added)
    }

    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.names.get(&id).cloned()
    }
}

/// Whether it is one of the kind that is used here.
pub(super) fn set_up(names: &mut Names) -> bool {
    names.is_bpe
}

#[cfg(not(feature = "text"))]
const LEFT_OUT: &str = "text takes a tokenizer that encodes it, and this build is without the feature `text`";

#[cfg(not(feature = "text"))]
impl Tokenizer {
    pub(super) fn from_merges(path: &Path) -> Result<Self> {
        Err(Error::data(path, 0, 0, "merges are read by builds with the feature `text` only; here by a tokenizer.json"))
    }

    /// The tokens of `text`: none of an empty one.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for any other, as this build is without the feature `text`.
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
