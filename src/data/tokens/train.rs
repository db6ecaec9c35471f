//! Learning a vocabulary: words are counted in parallel and block by block, merges are found on the counts.

use ahash::AHashMap;
use compact_str::CompactString;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

use super::pieces::pieces;
use super::tokenizer::{END_OF_TEXT, Tokenizer};
use crate::error::{Error, Result};

/// Bytes that a vocabulary is learnt from at most: the trainer counts pairs in 31 bits, and no pair can come more often than
/// bytes do.
pub(super) const MOST_BYTES: u64 = i32::MAX as u64;

/// Every byte and the end of text.
pub(super) const LEAST_VOCABULARY: usize = 257;

/// How often each word comes.
#[derive(Debug, Default)]
pub(super) struct Words(AHashMap<CompactString, u64>);

impl Words {
    /// Counts the words of `text`.
    pub fn count(&mut self, text: &str) -> Result<(), String> {
        let level = ByteLevel::new(false, true, true);
        for piece in pieces(text) {
            let mut words = PreTokenizedString::from(piece);
            level.pre_tokenize(&mut words).map_err(|error| format!("text: {error}"))?;
            for (word, ..) in words.get_splits(OffsetReferential::Original, OffsetType::Byte) {
                match self.0.get_mut(word) {
                    Some(count) => *count += 1,
                    None => drop(self.0.insert(word.into(), 1)),
                }
            }
        }
        Ok(())
    }

    /// Adds what was counted elsewhere.
    pub fn add(&mut self, other: Self) {
        for (word, count) in other.0 {
            *self.0.entry(word).or_default() += count;
        }
    }

    /// A tokenizer of `vocabulary` tokens, or of fewer if there is nothing left to merge.
    pub fn learn(&self, vocabulary: usize) -> Result<Tokenizer> {
        if !(LEAST_VOCABULARY..=1 << 24).contains(&vocabulary) {
            let message = format!("{vocabulary} is not in {LEAST_VOCABULARY}..={}", 1 << 24);
            return Err(Error::config("--vocabulary", message));
        }
        let trainer = BpeTrainer::builder()
            .vocab_size(vocabulary)
            .min_frequency(2)
            .show_progress(false)
            .special_tokens(vec![AddedToken::from(END_OF_TEXT[0], true)])
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        let mut model = BPE::default();
        let wrong = |message: String| Error::config("--vocabulary", message);
        trainer.do_train(&self.0, &mut model).map_err(|error| wrong(error.to_string()))?;
        Tokenizer::byte_level(model).map_err(wrong)
    }
}

impl Tokenizer {
    /// A tokenizer of up to `vocabulary` tokens for texts like `text`: byte-level BPE (Sennrich et al. 2016) on words as GPT-2
    /// divides them. Two runs, and any number of threads, learn the same.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the vocabulary is not in 257..=2^24.
    ///
    /// See [`Tokenizer`] for an example.
    pub fn train_on(text: &str, vocabulary: usize) -> Result<Self> {
        let mut words = Words::default();
        words.count(text).map_err(|message| Error::data("input", 0, 0, message))?;
        words.learn(vocabulary)
    }
}
