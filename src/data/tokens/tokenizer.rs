//! Byte-level BPE: text to tokens and back, to the byte.

use std::path::{Path, PathBuf};

use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, ModelWrapper};
use xxhash_rust::xxh3::xxh3_128;

use super::bytes::{bytes_of, characters};
use crate::error::{Error, Result};
use crate::files;

/// The file that tokenizers are kept in, beside token files and in checkpoints.
pub const TOKENIZER: &str = "tokenizer.json";

/// What stands in front of each document, in tokenizers that hotrow makes; then what others call it.
pub(super) const END_OF_TEXT: [&str; 5] = ["<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eos|>"];

/// A byte-level BPE tokenizer, trained or loaded, in the format of the crate (and the Python package) `tokenizers`.
///
/// Every text has tokens, and the tokens give back its bytes. Special tokens are never found in text: a text that reads
/// `<|endoftext|>` is that text.
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
    inner: tokenizers::Tokenizer,
    json: Vec<u8>,
    hash: u128,
    /// What each token stands for; nothing for special tokens and for numbers that are no token.
    bytes: Vec<Vec<u8>>,
    end_of_text: Option<u32>,
}

impl Tokenizer {
    /// Loads a `tokenizer.json`, or `vocab.bpe` or `merges.txt` with the `encoder.json` or `vocab.json` beside it (GPT-2's files). A
    /// folder stands for such files in it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if a file cannot be read, [`Error::Data`] if it is no tokenizer, or not a byte-level one.
    pub fn load(path: &Path) -> Result<Self> {
        let path = if path.is_dir() { found(path, &[TOKENIZER, "vocab.bpe", "merges.txt"])? } else { path.to_owned() };
        if path.extension().is_none_or(|extension| extension == "json") {
            let json = files::read(&path)?;
            let (inner, hash) = parse(&json).map_err(|reason| no_tokenizer(&path, reason))?;
            return Self::of(inner, json, hash).map_err(|message| Error::data(path, 0, 0, message));
        }
        // The other crate's own errors do not name the file.
        files::open(&path)?;
        let vocabulary = found(path.parent().unwrap_or(Path::new("")), &["encoder.json", "vocab.json"])
            .map_err(|reason| no_tokenizer(&path, reason))?;
        let wrong = |error: tokenizers::Error| {
            Error::data(
                &path,
                0,
                0,
                format!("not the merges of a BPE tokenizer with {}: {error}", vocabulary.display()),
            )
        };
        let model = BPE::from_file(&vocabulary.to_string_lossy(), &path.to_string_lossy()).build().map_err(wrong)?;
        Self::byte_level(model).map_err(|message| Error::data(&path, 0, 0, message))
    }

    /// The tokenizer with this `tokenizer.json`, or what is wrong with it.
    pub(crate) fn from_json(json: Vec<u8>) -> Result<Self, String> {
        let (inner, hash) = parse(&json)?;
        Self::of(inner, json, hash)
    }

    /// The tokenizer `inner`, if it is of the kind that is used here.
    fn of(mut inner: tokenizers::Tokenizer, json: Vec<u8>, hash: u128) -> Result<Self, String> {
        if !matches!(inner.get_model(), ModelWrapper::BPE(_)) {
            return Err("is no BPE tokenizer, the only kind that hotrow uses".into());
        }
        inner.with_truncation(None).expect("nothing cannot be wrong").with_padding(None);
        inner.set_encode_special_tokens(true);
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
        let end_of_text = END_OF_TEXT.iter().find_map(|&name| inner.token_to_id(name));
        Ok(Self { inner, json, hash, bytes, end_of_text })
    }

    /// The tokenizer that divides text as GPT-2's does and has the merges of `model`.
    pub(super) fn byte_level(model: BPE) -> Result<Self, String> {
        let mut inner = tokenizers::Tokenizer::new(model);
        let level = ByteLevel::new(false, true, true);
        inner.with_pre_tokenizer(Some(level)).with_decoder(Some(level)).with_post_processor(Some(level));
        let special = AddedToken::from(END_OF_TEXT[0], true);
        let json = inner.add_special_tokens([special]).and_then(|_| inner.to_string(true));
        Self::from_json(json.map_err(|error| format!("cannot be made: {error}"))?.into_bytes())
    }

    /// The tokens of `text`.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] if they would not give back the text, because the tokenizer changes it first.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let mut tokens = Vec::new();
        self.encode_to(text, &mut tokens).map_err(|message| Error::data(TOKENIZER, 0, 0, message))?;
        Ok(tokens)
    }

    /// As [`encode`](Self::encode), added to `tokens`.
    pub(super) fn encode_to(&self, text: &str, tokens: &mut Vec<u32>) -> Result<(), String> {
        for piece in super::pieces::pieces(text) {
            let encoding = self.inner.encode_fast(piece, false).map_err(|error| format!("text: {error}"))?;
            let mut rest = piece.as_bytes();
            let whole = encoding.get_ids().iter().all(|&id| {
                let after = rest.strip_prefix(self.bytes_of(id));
                rest = after.unwrap_or(rest);
                after.is_some()
            });
            if !whole || !rest.is_empty() {
                let shown: String = String::from_utf8_lossy(rest).chars().take(20).collect();
                return Err(format!("the tokenizer does not give back the text at {shown:?}: it changes text"));
            }
            tokens.extend_from_slice(encoding.get_ids());
        }
        Ok(())
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
fn parse(json: &[u8]) -> Result<(tokenizers::Tokenizer, u128), String> {
    let value: serde_json::Value = serde_json::from_slice(json).map_err(|error| format!("is no JSON: {error}"))?;
    // Layout and the order of keys are no part of a tokenizer.
    let hash = xxh3_128(&serde_json::to_vec(&value).expect("JSON is JSON"));
    let inner = tokenizers::Tokenizer::from_bytes(json).map_err(|error| format!("is no tokenizer: {error}"))?;
    Ok((inner, hash))
}

/// The error for a file that is nothing of what can be loaded. What a parser has missed in it helps nobody who has named another
/// file than he wanted to.
fn no_tokenizer(path: &Path, reason: impl std::fmt::Display) -> Error {
    let kinds =
        "is no tokenizer.json, and no vocab.bpe (or merges.txt) of GPT-2's beside its encoder.json (or vocab.json)";
    Error::data(path, 0, 0, format!("{kinds}: {reason}"))
}

/// The first of `names` that is in `folder`.
fn found(folder: &Path, names: &[&str]) -> Result<PathBuf> {
    // The folder of a file named without one.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let path = names.iter().map(|name| folder.join(name)).find(|path| path.is_file());
    path.ok_or_else(|| Error::data(folder, 0, 0, format!("has none of {}", names.join(", "))))
}
