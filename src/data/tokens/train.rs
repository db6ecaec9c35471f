//! Learns a vocabulary: counts words in parallel, block by block, and finds merges on the counts.

use ahash::AHashMap;
use compact_str::CompactString;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

use super::bytes::characters;
use super::cuts::Cuts;
use super::tokenizer::{NAMES, Tokenizer};
use crate::error::{Error, Result};

/// The most bytes to learn from. The trainer counts pairs in 31 bits, and no pair can occur more often than bytes do.
pub(super) const MOST_BYTES: u64 = i32::MAX as u64;

/// Every byte and the end of text.
pub(super) const LEAST_VOCABULARY: usize = 257;

/// Bytes of a word that are counted together. A longer word is counted in parts.
///
/// For each merge in a word, the trainer moves the rest of the word. So its time grows with the square of the longest
/// word: a line of 400 000 letters took a minute. White space, rulers and encoded pictures are such words. The parts
/// lose merges across their ends, one in 256 bytes of what is hardly language. Encoding still uses whole words.
const LONGEST_WORD: usize = 256;

/// How often each word occurs. None is longer than [`LONGEST_WORD`].
#[derive(Debug, Default)]
pub(super) struct Words(AHashMap<CompactString, u64>);

impl Words {
    /// Counts the words of `text`.
    pub fn count(&mut self, text: &str) -> Result<(), String> {
        let level = ByteLevel::new(false, true, true);
        for piece in Cuts::known().pieces(text) {
            let mut words = PreTokenizedString::from(piece);
            level.pre_tokenize(&mut words).map_err(|error| format!("text: {error}"))?;
            for (word, ..) in words.get_splits(OffsetReferential::Original, OffsetType::Byte) {
                for part in parts(word) {
                    match self.0.get_mut(part) {
                        Some(count) => *count += 1,
                        None => drop(self.0.insert(part.into(), 1)),
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds the counts of `other`.
    pub fn add(&mut self, other: Self) {
        for (word, count) in other.0 {
            *self.0.entry(word).or_default() += count;
        }
    }

    /// A tokenizer with `vocabulary` tokens, or fewer if nothing is left to merge.
    pub fn learn(&self, vocabulary: usize) -> Result<Tokenizer> {
        if !(LEAST_VOCABULARY..=1 << 24).contains(&vocabulary) {
            let message = format!("{vocabulary} is not in {LEAST_VOCABULARY}..={}", 1 << 24);
            return Err(Error::config("vocabulary", message));
        }
        let trainer = BpeTrainer::builder()
            .vocab_size(vocabulary)
            .min_frequency(2)
            .show_progress(false)
            .special_tokens(vec![AddedToken::from(NAMES[0], true)])
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        let mut model = BPE::default();
        let wrong = |message: String| Error::config("vocabulary", message);
        trainer.do_train(&self.0, &mut model).map_err(|error| wrong(error.to_string()))?;
        Tokenizer::byte_level(model).map_err(wrong)
    }
}

/// The parts of a word, whose characters stand for the bytes of a text. Each is as long as allowed, and ends where a
/// character of the text ends.
fn parts(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let cut = match rest.char_indices().nth(LONGEST_WORD) {
            None => rest.len(),
            Some(_) => last_beginning(rest),
        };
        let (part, after) = rest.split_at(cut);
        rest = after;
        (!part.is_empty()).then_some(part)
    })
}

/// The last position, at most [`LONGEST_WORD`] characters into `word`, at which a character of the text begins. It is
/// never 0: one of four bytes is a beginning.
fn last_beginning(word: &str) -> usize {
    // Continuation bytes of UTF-8.
    let continuing = &characters()[0x80..0xc0];
    let places = word.char_indices().take(LONGEST_WORD + 1);
    places.filter(|(_, byte)| !continuing.contains(byte)).last().map_or(0, |(at, _)| at)
}

impl Tokenizer {
    /// Learns a tokenizer of up to `vocabulary` tokens for texts like `text`: byte-level BPE (Sennrich et al. 2016) on
    /// words as GPT-2 divides them. Words above 256 bytes are divided further. The result does not depend on the number
    /// of threads.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if `vocabulary` is not in 257..=2^24.
    ///
    /// See [`Tokenizer`] for an example.
    pub fn train_on(text: &str, vocabulary: usize) -> Result<Self> {
        let mut words = Words::default();
        words.count(text).map_err(|message| Error::data("input", 0, 0, message))?;
        words.learn(vocabulary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(text: &str) -> Words {
        let mut words = Words::default();
        words.count(text).unwrap();
        words
    }

    /// The trainer's time grows with the square of the longest word.
    #[test]
    fn no_counted_word_is_longer_than_the_limit_and_their_bytes_are_those_of_the_text() {
        for part in ["a", " ", "=", "é", "日", "\u{1f600}", "\t"] {
            let text = part.repeat(10_000);
            let words = counted(&text).0;
            let bytes = |word: &str| word.chars().count();
            let longest = words.keys().map(|word| bytes(word)).max().unwrap();
            assert!((LONGEST_WORD - 3..=LONGEST_WORD).contains(&longest), "{part:?}: {longest}");
            let total: u64 = words.iter().map(|(word, count)| bytes(word) as u64 * count).sum();
            assert_eq!(total, text.len() as u64, "{part:?}");
            // A whole part, and what is left at the end; of white space, also the last character.
            assert!(words.len() <= 3, "{part:?}: {words:?}");
        }
        let text = "a".repeat(400_000);
        let tokenizer = Tokenizer::train_on(&text, 300).unwrap();
        let tokens = tokenizer.encode(&text).unwrap();
        assert!(tokens.len() <= text.len() / LONGEST_WORD + 8, "{} tokens", tokens.len());
        assert_eq!(tokenizer.bytes(&tokens), text.as_bytes());
    }

    #[test]
    fn a_long_word_is_cut_where_its_characters_end() {
        let first = |text: &str| parts(text).next().unwrap().chars().count();
        let word = |text: &str| {
            let table = characters();
            text.bytes().map(|byte| table[usize::from(byte)]).collect::<String>()
        };
        assert_eq!(first(&word(&"é".repeat(200))), 256);
        assert_eq!(first(&word(&"日".repeat(200))), 255);
        assert_eq!(first(&word(&format!("a{}", "é".repeat(200)))), 255);
        assert_eq!(first(&word(&"\u{10ffff}".repeat(64))), 256);
        assert_eq!(parts(&word(&"\u{10ffff}".repeat(64))).count(), 1);
        assert_eq!(parts("").count(), 0);
    }

    /// So the same tokenizer is learnt from it as if there were no limit.
    #[test]
    fn the_words_of_ordinary_text_are_counted_whole() {
        let text = include_str!("../../../data/shakespeare/part.txt");
        let mut words = PreTokenizedString::from(text);
        ByteLevel::new(false, true, true).pre_tokenize(&mut words).unwrap();
        let mut whole = AHashMap::<CompactString, u64>::new();
        for (word, ..) in words.get_splits(OffsetReferential::Original, OffsetType::Byte) {
            *whole.entry(word.into()).or_default() += 1;
        }
        assert_eq!(counted(text).0, whole);
    }
}
