//! Encodes text to tokens.

use std::path::Path;

use rayon::prelude::*;
use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, NormalizedString, Normalizer, NormalizerWrapper};

use super::cuts::Cuts;
use super::load::{found, no_tokenizer};
use super::tokenizer::{NAMES, TOKENIZER, Tokenizer};
use crate::error::{Error, Result};
use crate::files;

/// Pieces encoded at a time. Memory holds their tokens twice.
const TOGETHER: usize = 256;

impl Tokenizer {
    /// The tokenizer with the merges in `path` and the vocabulary beside it.
    pub(super) fn from_merges(path: &Path) -> Result<Self> {
        // The other crate's own errors do not name the file.
        files::open(path)?;
        let vocabulary = found(path.parent().unwrap_or(Path::new("")), &["encoder.json", "vocab.json"])
            .map_err(|reason| no_tokenizer(path, reason))?;
        let wrong = |error: tokenizers::Error| {
            Error::data(path, 0, 0, format!("not the merges of a BPE tokenizer with {}: {error}", vocabulary.display()))
        };
        let model = BPE::from_file(&vocabulary.to_string_lossy(), &path.to_string_lossy()).build().map_err(wrong)?;
        Self::byte_level(model).map_err(|message| Error::data(path, 0, 0, message))
    }

    /// The tokenizer that divides text as GPT-2's does, and has the merges of `model`.
    pub(super) fn byte_level(model: BPE) -> Result<Self, String> {
        let mut inner = tokenizers::Tokenizer::new(model);
        let level = ByteLevel::new(false, true, true);
        inner.with_pre_tokenizer(Some(level)).with_decoder(Some(level)).with_post_processor(Some(level));
        let special = AddedToken::from(NAMES[0], true);
        let json = inner.add_special_tokens([special]).and_then(|_| inner.to_string(true));
        Self::from_json(json.map_err(|error| format!("cannot be made: {error}"))?.into_bytes())
    }

    /// The same tokenizer, normalising text to its own normal form (NFC, NFD, NFKC or NFKD) before encoding. Tokens
    /// then give back that form. Without this, text in another form is an error.
    pub fn normalizing(mut self) -> Self {
        self.normalizes = true;
        self
    }

    /// The tokens of `text`, as the Python package `tokenizers` finds them, with one exception: a run of more than 64
    /// KiB without a place to divide it is cut.
    ///
    /// Five patterns are known: those of GPT-2, GPT-4, GPT-4o, Llama 3 and Qwen 2. A tokenizer with another pattern
    /// encodes texts of up to 256 KiB whole. It cuts longer ones where the pattern divides 1 KiB around the place.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] if the tokens would not give back the text, because the tokenizer changes it first.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_by(&self.cuts, text)
    }

    /// As [`encode`](Self::encode), in pieces of about `piece` bytes. Memory differs, the tokens do not.
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

    /// The tokens of a prompt. It is normalised if the tokenizer has a normal form, because nobody counts its bytes.
    pub(crate) fn encode_prompt(&self, text: &str) -> Result<Vec<u32>> {
        let mut tokens = Vec::new();
        let encoded = self.encode_to(&self.cuts, text, true, &mut tokens);
        encoded.map_err(|message| Error::data(TOKENIZER, 0, 0, message))?;
        Ok(tokens)
    }

    /// Adds the tokens of `text` to `tokens`. Returns the bytes they stand for, which differ from those of `text` only
    /// if normalised.
    pub(super) fn encode_text(&self, text: &str, tokens: &mut Vec<u32>) -> Result<u64, String> {
        self.encode_to(&self.cuts, text, self.normalizes, tokens)
    }

    fn encode_to(&self, cuts: &Cuts, text: &str, normalizes: bool, tokens: &mut Vec<u32>) -> Result<u64, String> {
        let (mut pieces, mut bytes) = (cuts.pieces(text).peekable(), 0);
        while pieces.peek().is_some() {
            let together: Vec<_> = pieces.by_ref().take(TOGETHER).collect();
            let encode = |piece: &&str| self.encode_piece(piece, normalizes);
            // The first error of the text, for any number of threads.
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

    /// Where the tokenizer's texts can be cut.
    pub(super) fn cuts(&self) -> &Cuts {
        &self.cuts
    }
}

/// Whether a normaliser brings text into a normal form of Unicode and does nothing else.
fn is_form(normalizer: &NormalizerWrapper) -> bool {
    use NormalizerWrapper::{NFC, NFD, NFKC, NFKD};
    matches!(normalizer, NFC(_) | NFD(_) | NFKC(_) | NFKD(_))
}
