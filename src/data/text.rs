//! Text to sparse features: hashed words, runs of words and runs of characters.
//!
//! `words.rs` defines words. A run of words is hashed as its words with blanks between them. A run of characters lies
//! inside one word, which has a blank at either end to mark beginnings and ends (`char_wb` of scikit-learn). The value
//! of a feature is how often it occurs.

use super::records::{Entry, Scratch};
use super::words as rules;
use crate::config::{self, Words};
use crate::error::{Error, Result};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Seeds of the hashes of words and of characters. They make the same string two features.
const WORDS: u64 = 1;
const CHARACTERS: u64 = 2;

/// Turns text into features.
#[derive(Clone, Debug)]
pub(crate) struct Featurizer {
    buckets: u64,
    rule: Words,
    word_ngrams: usize,
    char_ngrams: Vec<usize>,
}

impl Featurizer {
    /// The features that `config` asks for.
    ///
    /// # Errors
    ///
    /// If an option is out of range, or there would be no feature at all.
    pub fn new(config: &config::Data) -> Result<Self> {
        if !config.hash_size.is_power_of_two() || config.hash_size > 1 << 31 {
            let message = format!("{} is not a power of two up to {}", config.hash_size, 1_u64 << 31);
            return Err(Error::config("data.hash_size", message));
        }
        if config.word_ngrams > 16 {
            return Err(Error::config("data.word_ngrams", format!("{} is above 16", config.word_ngrams)));
        }
        if let Some(n) = config.char_ngrams.iter().find(|n| !(1..=16).contains(*n)) {
            return Err(Error::config("data.char_ngrams", format!("{n} is not in 1..=16")));
        }
        if config.word_ngrams == 0 && config.char_ngrams.is_empty() {
            return Err(Error::config("data.word_ngrams", "0 and no data.char_ngrams leaves no feature"));
        }
        if cfg!(not(feature = "text")) && config.words == Words::Unicode {
            let message = "`unicode` takes the feature `text`, which this build is without; `runs` does not";
            return Err(Error::config("data.words", message));
        }
        let mut char_ngrams = config.char_ngrams.clone();
        char_ngrams.sort_unstable();
        char_ngrams.dedup();
        let (buckets, rule) = (config.hash_size as u64, config.words);
        Ok(Self { buckets, rule, word_ngrams: config.word_ngrams, char_ngrams })
    }

    /// Writes the features of `text` to `scratch.features`.
    pub fn features(&self, text: &str, scratch: &mut Scratch) {
        let Scratch { features, text: lower, words, buckets, .. } = scratch;
        match self.rule {
            #[cfg(feature = "text")]
            Words::Unicode => rules::unicode(text, lower, words),
            #[cfg(not(feature = "text"))]
            Words::Unicode => unreachable!("refused by `new`"),
            Words::Runs => rules::runs(text, lower, words),
        }
        buckets.clear();
        let mut add = |part: &str, seed| {
            let hash = xxh3_64_with_seed(part.as_bytes(), seed);
            // The high half times the number of buckets, which is a power of two below 2^32.
            buckets.push((((hash >> 32) * self.buckets) >> 32) as u32);
        };
        for n in 1..=self.word_ngrams {
            for run in words.windows(n) {
                add(&lower[run[0].start..run[n - 1].end], WORDS);
            }
        }
        for word in words.iter().filter(|_| !self.char_ngrams.is_empty()) {
            let padded = &lower[word.start - 1..word.end + 1];
            for &n in &self.char_ngrams {
                let starts = padded.char_indices().map(|(at, _)| at);
                let ends = padded.char_indices().map(|(at, c)| at + c.len_utf8()).skip(n - 1);
                let mut runs = starts.zip(ends).map(|(start, end)| &padded[start..end]).peekable();
                // A word shorter than `n` is one run.
                if runs.peek().is_none() {
                    add(padded, CHARACTERS);
                }
                runs.for_each(|run| add(run, CHARACTERS));
            }
        }
        buckets.sort_unstable();
        let count = |run: &[u32]| Entry { index: run[0], value: run.len() as f32, column: 0 };
        features.clear();
        features.extend(buckets.chunk_by(|a, b| a == b).map(count));
    }
}

#[cfg(all(test, feature = "text"))]
mod tests {
    use super::*;

    fn features(text: &str, word_ngrams: usize, char_ngrams: &[usize]) -> Vec<(u32, f32)> {
        let config = config::Data { word_ngrams, char_ngrams: char_ngrams.to_vec(), ..Default::default() };
        let mut scratch = Scratch::default();
        Featurizer::new(&config).unwrap().features(text, &mut scratch);
        scratch.features.iter().map(|entry| (entry.index, entry.value)).collect()
    }

    fn total(features: &[(u32, f32)]) -> f32 {
        features.iter().map(|feature| feature.1).sum()
    }

    #[test]
    fn a_feature_counts_its_occurrences_and_does_not_see_case_or_punctuation() {
        assert_eq!(features("The cat. The CAT!", 1, &[]), features("cat cat the the", 1, &[]));
        assert_eq!(total(&features("a b a", 1, &[])), 3.0);
        assert_eq!(features("a b a", 1, &[]).len(), 2);
        assert!(features(" ... ", 2, &[3]).is_empty());
    }

    #[test]
    fn runs_of_words_tell_their_order_and_runs_of_characters_stay_in_their_word() {
        assert_ne!(features("man bites dog", 2, &[]), features("dog bites man", 2, &[]));
        assert_eq!(total(&features("man bites dog", 3, &[])), 3.0 + 2.0 + 1.0);
        assert_eq!(features("ab cd", 0, &[2, 3]), features("cd ab", 0, &[3, 2, 3]));
        // " ab ": 3 runs of 2 and 2 of 3 for each word.
        assert_eq!(total(&features("ab cd", 0, &[2, 3])), 10.0);
        // " ß ": shorter than 5 characters, one run.
        assert_eq!(total(&features("ß", 0, &[5])), 1.0);
    }

    #[test]
    fn a_word_and_the_same_characters_are_two_features() {
        assert_eq!(features("a", 1, &[1]).len(), 3); // the word, its letter, and the blanks
    }

    #[test]
    fn options_out_of_range_are_refused() {
        let refused = |change: fn(&mut config::Data), key: &str| {
            let mut config = config::Data::default();
            change(&mut config);
            let message = Featurizer::new(&config).unwrap_err().to_string();
            assert!(message.starts_with(key), "{message}");
        };
        refused(|config| config.hash_size = 1000, "data.hash_size");
        refused(|config| config.hash_size = 1 << 32, "data.hash_size");
        refused(|config| config.word_ngrams = 0, "data.word_ngrams");
        refused(|config| config.word_ngrams = 17, "data.word_ngrams");
        refused(|config| config.char_ngrams = vec![0], "data.char_ngrams");
    }
}
