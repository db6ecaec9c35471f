//! Byte-level BPE tokenizers: their tokens, and the bytes that tokens stand for.

#[cfg(feature = "text")]
use tokenizers::Tokenizer as Inner;
use xxhash_rust::xxh3::xxh3_128;

use super::bytes::{bytes_of, characters};
#[cfg(feature = "text")]
use super::cuts::Cuts;
#[cfg(not(feature = "text"))]
use super::names::{Names as Inner, set_up};

/// The name of a tokenizer's file, beside token files and in checkpoints.
pub const TOKENIZER: &str = "tokenizer.json";

/// The end-of-text token of tokenizers that hotrow makes, then its usual names elsewhere. Turns of a conversation end
/// with other tokens (`<|im_end|>`, `<|eot_id|>`), which are never guessed.
pub(super) const NAMES: [&str; 5] = ["<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eos|>"];

/// The token before each document. It also ends generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EndOfText {
    /// The token that a `tokenizer_config.json`, `special_tokens_map.json` or `generation_config.json` beside the
    /// tokenizer names (`eos_token`, `eos_token_id`), else a special token with a usual name, such as `<|endoftext|>`.
    #[default]
    Detect,
    /// The token with this name.
    Token(String),
    /// No token: documents run together.
    Absent,
}

/// A byte-level BPE tokenizer, trained or loaded, in the format of the crate and the Python package `tokenizers`.
///
/// Every text has tokens, and they give back its bytes. Text never yields special tokens: `<|endoftext|>` in a text is
/// text.
///
/// Without the feature `text`, a tokenizer can be loaded and decodes tokens. Encoding text and learning tokenizers need
/// the feature.
///
/// ```
/// use hotrow::data::tokens::Tokenizer;
/// let tokenizer = Tokenizer::train_on("low lower lowest ".repeat(20).as_str(), 270)?;
/// let tokens = tokenizer.encode("lowest é")?;
/// assert!(tokens.len() < "lowest é".len());
/// assert_eq!(tokenizer.bytes(&tokens), "lowest é".as_bytes());
/// # Ok::<(), hotrow::error::Error>(())
/// ```
#[derive(Debug)]
pub struct Tokenizer {
    pub(super) inner: Inner,
    json: Vec<u8>,
    hash: u128,
    /// The bytes of each token; empty for special tokens and unused numbers.
    bytes: Vec<Vec<u8>>,
    end_of_text: Option<u32>,
    #[cfg(feature = "text")]
    pub(super) cuts: Cuts,
    #[cfg(feature = "text")]
    pub(super) normalizes: bool,
}

impl Tokenizer {
    /// The tokenizer of this `tokenizer.json`, or what is wrong with it.
    pub(crate) fn from_json(json: Vec<u8>) -> Result<Self, String> {
        let (inner, hash) = parse(&json)?;
        Self::of(inner, json, hash)
    }

    /// The tokenizer `inner`, if it is of a kind that hotrow uses.
    pub(super) fn of(mut inner: Inner, json: Vec<u8>, hash: u128) -> Result<Self, String> {
        if !set_up(&mut inner) {
            return Err("is no BPE tokenizer, the only kind that hotrow uses".into());
        }
        let vocabulary = inner.get_vocab(true);
        let size = vocabulary.values().max().map_or(0, |&last| last as usize + 1);
        // Some numbers may be unused. A table of little else is a mistake or an attack.
        if size == 0 || size / 16 > vocabulary.len() {
            return Err(format!("has {} tokens, numbered up to {size}", vocabulary.len()));
        }
        let (added, characters) = (inner.get_added_tokens_decoder(), characters());
        let mut bytes = vec![Vec::new(); size];
        for (token, &id) in &vocabulary {
            bytes[id as usize] = match added.get(&id) {
                Some(added) if added.special => Vec::new(),
                Some(added) => added.content.clone().into_bytes(),
                None => bytes_of(token, &characters).ok_or_else(|| {
                    format!("is not byte-level: its token {token:?} has characters that are no bytes")
                })?,
            };
        }
        let alone = |&c: &char| vocabulary.contains_key(&c.to_string());
        if let Some(byte) = characters.iter().position(|c| !alone(c)) {
            return Err(format!("is not byte-level: it has no token for the byte {byte:#04x}"));
        }
        let special = |id: &u32| added.get(id).is_some_and(|token| token.special);
        let end_of_text = NAMES.iter().find_map(|&name| inner.token_to_id(name).filter(special));
        Ok(Self {
            json,
            hash,
            bytes,
            end_of_text,
            #[cfg(feature = "text")]
            cuts: Cuts::of(&inner),
            #[cfg(feature = "text")]
            normalizes: false,
            inner,
        })
    }

    /// The token with this name.
    pub(super) fn token(&self, name: &str) -> Option<u32> {
        self.inner.token_to_id(name)
    }

    /// The name of a token.
    pub fn name_of(&self, token: u32) -> Option<String> {
        self.inner.id_to_token(token)
    }

    /// The names of the special tokens, in the order of their numbers.
    pub(super) fn special_names(&self) -> Vec<String> {
        let mut added: Vec<_> =
            self.inner.get_added_tokens_decoder().into_iter().filter(|(_, of)| of.special).collect();
        added.sort_by_key(|&(id, _)| id);
        added.into_iter().map(|(_, token)| token.content).collect()
    }

    /// The same tokenizer with another end-of-text token, or none.
    ///
    /// # Panics
    ///
    /// If the token is not below the vocabulary.
    #[track_caller]
    pub fn with_end_of_text(mut self, token: Option<u32>) -> Self {
        let (size, beyond) = (self.vocabulary(), token.filter(|&token| token as usize >= self.vocabulary()));
        assert!(beyond.is_none(), "end of text {beyond:?}, where there are {size} tokens");
        self.end_of_text = token;
        self
    }

    /// The bytes of a token; empty if it is special or does not exist.
    pub fn bytes_of(&self, token: u32) -> &[u8] {
        self.bytes.get(token as usize).map_or(&[], Vec::as_slice)
    }

    /// The bytes of several tokens.
    pub fn bytes(&self, tokens: &[u32]) -> Vec<u8> {
        tokens.iter().flat_map(|&token| self.bytes_of(token)).copied().collect()
    }

    /// The size of the vocabulary. Every token is below it.
    pub fn vocabulary(&self) -> usize {
        self.bytes.len()
    }

    /// The token before each document, if there is one.
    pub fn end_of_text(&self) -> Option<u32> {
        self.end_of_text
    }

    /// The hash of its `tokenizer.json`. It identifies the tokenizer in token files and checkpoints.
    pub fn hash(&self) -> u128 {
        self.hash
    }

    /// Its `tokenizer.json`, as loaded or made.
    pub fn json(&self) -> &[u8] {
        &self.json
    }
}

/// The tokenizer that a `tokenizer.json` describes, and its hash.
pub(super) fn parse(json: &[u8]) -> Result<(Inner, u128), String> {
    let value: serde_json::Value = serde_json::from_slice(json).map_err(|error| format!("is no JSON: {error}"))?;
    // Layout and the order of keys do not change the tokenizer.
    let hash = xxh3_128(&serde_json::to_vec(&value).expect("JSON is JSON"));
    // `FromStr` is compiled in `tokenizers`; `from_bytes` would be compiled here.
    let text = std::str::from_utf8(json).expect("JSON is UTF-8");
    let inner = text.parse::<Inner>().map_err(|error| format!("is no tokenizer: {error}"))?;
    Ok((inner, hash))
}

/// Makes it encode whole texts without special tokens. Returns whether it is a BPE tokenizer, the kind that hotrow
/// uses.
#[cfg(feature = "text")]
fn set_up(inner: &mut tokenizers::Tokenizer) -> bool {
    inner.with_truncation(None).expect("nothing cannot be wrong").with_padding(None);
    inner.set_encode_special_tokens(true);
    matches!(inner.get_model(), tokenizers::ModelWrapper::BPE(_))
}
