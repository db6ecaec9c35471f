//! Byte-level BPE: what its tokens are, and what they stand for, to the byte.

#[cfg(feature = "text")]
use tokenizers::Tokenizer as Inner;
use xxhash_rust::xxh3::xxh3_128;

use super::bytes::{bytes_of, characters};
#[cfg(feature = "text")]
use super::cuts::Cuts;
#[cfg(not(feature = "text"))]
use super::names::{Names as Inner, set_up};

/// The file that tokenizers are kept in, beside token files and in checkpoints.
pub const TOKENIZER: &str = "tokenizer.json";

/// What stands in front of each document, in tokenizers that hotrow makes; then what others call it. Turns of a conversation end
/// with other tokens (`<|im_end|>`, `<|eot_id|>`), which are never guessed.
pub(super) const NAMES: [&str; 5] = ["<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eos|>"];

/// Which token stands in front of each document, and ends what is generated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EndOfText {
    /// What a `tokenizer_config.json`, `special_tokens_map.json` or `generation_config.json` beside the tokenizer names
    /// (`eos_token`, `eos_token_id`); else a special token with a usual name, such as `<|endoftext|>`.
    #[default]
    Detect,
    /// The token with this name.
    Token(String),
    /// None: documents run together.
    Absent,
}

/// A byte-level BPE tokenizer, trained or loaded, in the format of the crate (and the Python package) `tokenizers`.
///
/// Every text has tokens, and the tokens give back its bytes. Special tokens are never found in text: a text that reads
/// `<|endoftext|>` is that text.
///
/// Without the feature `text` a `tokenizer.json` can be loaded, and gives back the bytes of tokens; text is encoded to tokens, and
/// tokenizers are learnt, with it only.
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
    /// What each token stands for; nothing for special tokens and for numbers that are no token.
    bytes: Vec<Vec<u8>>,
    end_of_text: Option<u32>,
    #[cfg(feature = "text")]
    pub(super) cuts: Cuts,
    #[cfg(feature = "text")]
    pub(super) normalizes: bool,
}

impl Tokenizer {
    /// The tokenizer with this `tokenizer.json`, or what is wrong with it.
    pub(crate) fn from_json(json: Vec<u8>) -> Result<Self, String> {
        let (inner, hash) = parse(&json)?;
        Self::of(inner, json, hash)
    }

    /// The tokenizer `inner`, if it is of the kind that is used here.
    pub(super) fn of(mut inner: Inner, json: Vec<u8>, hash: u128) -> Result<Self, String> {
        if !set_up(&mut inner) {
            return Err("is no BPE tokenizer, the only kind that hotrow uses".into());
        }
        let vocabulary = inner.get_vocab(true);
        let size = vocabulary.values().max().map_or(0, |&last| last as usize + 1);
        // Some numbers may be unused, but a table of nothing else is a mistake or an attack.
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

    /// The token with a name.
    pub(super) fn token(&self, name: &str) -> Option<u32> {
        self.inner.token_to_id(name)
    }

    /// The name of a token.
    pub fn name_of(&self, token: u32) -> Option<String> {
        self.inner.id_to_token(token)
    }

    /// The names of its special tokens, in the order of their numbers.
    pub(super) fn special_names(&self) -> Vec<String> {
        let mut added: Vec<_> =
            self.inner.get_added_tokens_decoder().into_iter().filter(|(_, of)| of.special).collect();
        added.sort_by_key(|&(id, _)| id);
        added.into_iter().map(|(_, token)| token.content).collect()
    }

    /// The same tokenizer with another token between documents, or none.
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

    /// What a token stands for: nothing, if it is a special one or none.
    pub fn bytes_of(&self, token: u32) -> &[u8] {
        self.bytes.get(token as usize).map_or(&[], Vec::as_slice)
    }

    /// What tokens stand for.
    pub fn bytes(&self, tokens: &[u32]) -> Vec<u8> {
        tokens.iter().flat_map(|&token| self.bytes_of(token)).copied().collect()
    }

    /// Every token is below it.
    pub fn vocabulary(&self) -> usize {
        self.bytes.len()
    }

    /// The token between documents, if there is one.
    pub fn end_of_text(&self) -> Option<u32> {
        self.end_of_text
    }

    /// Hash of the contents of its `tokenizer.json`: what token files and checkpoints know it by.
    pub fn hash(&self) -> u128 {
        self.hash
    }

    /// Its `tokenizer.json`, as it was loaded or made.
    pub fn json(&self) -> &[u8] {
        &self.json
    }
}

/// What a `tokenizer.json` describes, and its hash.
pub(super) fn parse(json: &[u8]) -> Result<(Inner, u128), String> {
    let value: serde_json::Value = serde_json::from_slice(json).map_err(|error| format!("is no JSON: {error}"))?;
    // Layout and the order of keys are no part of a tokenizer.
    let hash = xxh3_128(&serde_json::to_vec(&value).expect("JSON is JSON"));
    let inner = Inner::from_bytes(json).map_err(|error| format!("is no tokenizer: {error}"))?;
    Ok((inner, hash))
}

/// Makes it encode whole texts and find no special tokens in them; whether it is one of the kind that is used here.
#[cfg(feature = "text")]
fn set_up(inner: &mut tokenizers::Tokenizer) -> bool {
    inner.with_truncation(None).expect("nothing cannot be wrong").with_padding(None);
    inner.set_encode_special_tokens(true);
    matches!(inner.get_model(), tokenizers::ModelWrapper::BPE(_))
}
