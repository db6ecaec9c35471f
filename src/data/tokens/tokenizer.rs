//! Byte-level BPE: text to tokens and back, to the byte.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, ModelWrapper, NormalizedString, Normalizer, NormalizerWrapper};
use xxhash_rust::xxh3::xxh3_128;

use super::bytes::{bytes_of, characters};
use super::cuts::Cuts;
use super::end_of_text::{EndOfText, NAMES};
use crate::error::{Error, Result};
use crate::files;

/// The file that tokenizers are kept in, beside token files and in checkpoints.
pub const TOKENIZER: &str = "tokenizer.json";

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
    cuts: Cuts,
    normalizes: bool,
}

/// Pieces that are encoded at the same time: memory holds their tokens twice.
const TOGETHER: usize = 256;

impl Tokenizer {
    /// As [`load_with`](Self::load_with), with the end-of-text token that is named beside it.
    ///
    /// # Errors
    ///
    /// As [`load_with`](Self::load_with).
    pub fn load(path: &Path) -> Result<Self> {
        Self::load_with(path, &EndOfText::Detect)
    }

    /// Loads a `tokenizer.json`, or `vocab.bpe` or `merges.txt` with the `encoder.json` or `vocab.json` beside it (GPT-2's files). A
    /// folder stands for such files in it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if a file cannot be read, [`Error::Data`] if it is no tokenizer, or not a byte-level one, or if a file beside it
    /// names an end-of-text token that it does not have; [`Error::Config`] if `end_of_text` does.
    pub fn load_with(path: &Path, end_of_text: &EndOfText) -> Result<Self> {
        let path = if path.is_dir() { found(path, &[TOKENIZER, "vocab.bpe", "merges.txt"])? } else { path.to_owned() };
        if path.extension().is_none_or(|extension| extension == "json") {
            let json = files::read(&path)?;
            let (inner, hash) = parse(&json).map_err(|reason| no_tokenizer(&path, reason))?;
            let tokenizer = Self::of(inner, json, hash).map_err(|message| Error::data(&path, 0, 0, message))?;
            return tokenizer.choose(end_of_text, &path);
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
        let tokenizer = Self::byte_level(model).map_err(|message| Error::data(&path, 0, 0, message))?;
        tokenizer.choose(end_of_text, &path)
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
        let special = |id: &u32| added.get(id).is_some_and(|token| token.special);
        let end_of_text = NAMES.iter().find_map(|&name| inner.token_to_id(name).filter(special));
        let cuts = Cuts::of(&inner);
        Ok(Self { inner, json, hash, bytes, end_of_text, cuts, normalizes: false })
    }

    /// The tokenizer that divides text as GPT-2's does and has the merges of `model`.
    pub(super) fn byte_level(model: BPE) -> Result<Self, String> {
        let mut inner = tokenizers::Tokenizer::new(model);
        let level = ByteLevel::new(false, true, true);
        inner.with_pre_tokenizer(Some(level)).with_decoder(Some(level)).with_post_processor(Some(level));
        let special = AddedToken::from(NAMES[0], true);
        let json = inner.add_special_tokens([special]).and_then(|_| inner.to_string(true));
        Self::from_json(json.map_err(|error| format!("cannot be made: {error}"))?.into_bytes())
    }

    /// The same tokenizer, which brings text into the normal form that it wants (NFC, NFD, NFKC or NFKD) before it encodes it; the
    /// tokens give back that form. Without this, a text in another form is an error.
    pub fn normalizing(mut self) -> Self {
        self.normalizes = true;
        self
    }

    /// The tokens of `text`: those of the whole text by the Python package `tokenizers`, but that a run of more than 64 KiB
    /// without a place to divide it (of letters, say) is cut there.
    ///
    /// A tokenizer with a pattern that is not among those of GPT-2, GPT-4, GPT-4o, Llama 3 and Qwen 2 encodes texts of up to 256 KiB
    /// as a whole, and cuts longer ones where it divides them when it sees 1 KiB around the place.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] if they would not give back the text, because the tokenizer changes it first.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_by(&self.cuts, text)
    }

    /// As [`encode`](Self::encode) in pieces of about `piece` bytes: other memory, the same tokens.
    ///
    /// ```
    /// let tokenizer = hotrow::data::tokens::Tokenizer::train_on("some words and some more", 260)?;
    /// let text = "some words, and 1000 more\n\n  of them";
    /// assert_eq!(tokenizer.encode_in_pieces(text, 5)?, tokenizer.encode(text)?);
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn encode_in_pieces(&self, text: &str, piece: usize) -> Result<Vec<u32>> {
        self.encode_by(&self.cuts.clone().with_piece(piece), text)
    }

    fn encode_by(&self, cuts: &Cuts, text: &str) -> Result<Vec<u32>> {
        let (mut tokens, wrong) = (Vec::new(), |message| Error::data(TOKENIZER, 0, 0, message));
        self.encode_to(cuts, text, self.normalizes, &mut tokens).map_err(wrong)?;
        Ok(tokens)
    }

    /// The tokens of a prompt, whose bytes nobody counts: it is normalised if the tokenizer wants that.
    pub(crate) fn encode_prompt(&self, text: &str) -> Result<Vec<u32>> {
        let mut tokens = Vec::new();
        let encoded = self.encode_to(&self.cuts, text, true, &mut tokens);
        encoded.map_err(|message| Error::data(TOKENIZER, 0, 0, message))?;
        Ok(tokens)
    }

    /// Adds the tokens of `text` to `tokens`; how many bytes they stand for, which is another number only if they are normalised.
    pub(super) fn encode_text(&self, text: &str, tokens: &mut Vec<u32>) -> Result<u64, String> {
        self.encode_to(&self.cuts, text, self.normalizes, tokens)
    }

    fn encode_to(&self, cuts: &Cuts, text: &str, normalizes: bool, tokens: &mut Vec<u32>) -> Result<u64, String> {
        let (mut pieces, mut bytes) = (cuts.pieces(text).peekable(), 0);
        while pieces.peek().is_some() {
            let together: Vec<_> = pieces.by_ref().take(TOGETHER).collect();
            let encode = |piece: &&str| self.encode_piece(piece, normalizes);
            // The first error of the text, whatever the number of threads.
            let encoded: Vec<Result<_, String>> = match together.as_slice() {
                [only] => vec![encode(only)],
                several => several.par_iter().map(encode).collect(),
            };
            for piece in encoded {
                let (ids, length) = piece?;
                tokens.extend(ids);
                bytes += length;
            }
        }
        Ok(bytes)
    }

    fn encode_piece(&self, piece: &str, normalizes: bool) -> Result<(Vec<u32>, u64), String> {
        let wrong = |error| format!("text: {error}");
        let canonical = self.inner.get_normalizer().filter(|form| is_form(form));
        let normal = match canonical.filter(|_| normalizes && !piece.is_ascii()) {
            Some(form) => {
                let mut text = NormalizedString::from(piece);
                form.normalize(&mut text).map_err(wrong)?;
                Some(text.get().to_owned())
            }
            None => None,
        };
        let piece = normal.as_deref().unwrap_or(piece);
        let encoding = self.inner.encode_fast(piece, false).map_err(wrong)?;
        let mut rest = piece.as_bytes();
        let whole = encoding.get_ids().iter().all(|&id| {
            let after = rest.strip_prefix(self.bytes_of(id));
            rest = after.unwrap_or(rest);
            after.is_some()
        });
        if !whole || !rest.is_empty() {
            let shown: String = String::from_utf8_lossy(rest).chars().take(20).collect();
            let help = match canonical.is_some() && !normalizes {
                true => " to its normal form; --normalize does that first, and counts the bytes behind it",
                false => "",
            };
            return Err(format!("the tokenizer does not give back the text at {shown:?}: it changes text{help}"));
        }
        Ok((encoding.get_ids().to_vec(), piece.len() as u64))
    }

    /// Where its texts can be cut.
    pub(super) fn cuts(&self) -> &Cuts {
        &self.cuts
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

/// Whether a normaliser brings text into one of the normal forms of Unicode, and does nothing else.
fn is_form(normalizer: &NormalizerWrapper) -> bool {
    use NormalizerWrapper::{NFC, NFD, NFKC, NFKD};
    matches!(normalizer, NFC(_) | NFD(_) | NFKC(_) | NFKD(_))
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
