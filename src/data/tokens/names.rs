//! The tokens of a `tokenizer.json` by name and number, without the crate `tokenizers`. Builds without the feature
//! `text` use it; it encodes no text.
// With the feature it serves a test that both readers agree.
#![cfg_attr(feature = "text", allow(dead_code))]

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

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
    /// Models that are no BPE have another type here, or nothing.
    #[serde(default)]
    vocab: serde_json::Value,
}

impl std::str::FromStr for Names {
    type Err = String;

    fn from_str(json: &str) -> Result<Self, String> {
        let file: File = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let is_bpe = file.model.kind == "BPE";
        let model: HashMap<String, u32> = match is_bpe {
            true => serde_json::from_value(file.model.vocab).map_err(|error| format!("vocab: {error}"))?,
            false => HashMap::new(),
        };
        let mut names: HashMap<u32, String> = model.iter().map(|(name, &id)| (id, name.clone())).collect();
        let (mut added, mut next) = (BTreeMap::new(), model.len());
        for token in file.added_tokens.into_iter().filter(|_| is_bpe) {
            // The model's own number, or the next one after all others. Other numbers exist, but what they lead to is
            // not guessed here.
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
}

impl Names {
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

/// Whether it is a BPE tokenizer, the kind that hotrow uses.
pub(super) fn set_up(names: &mut Names) -> bool {
    names.is_bpe
}
