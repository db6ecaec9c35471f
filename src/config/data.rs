//! `[data]`: how files become samples.

use super::{Format, Weighing};
use serde::{Deserialize, Serialize};

/// `[data]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// What the files hold.
    pub format: Format,
    /// Text column: a number from 1 (tsv) or a field's name (jsonl); several with commas between them.
    pub text: String,
    /// Label column, the same way: comma-separated ids, or a JSON list.
    pub label: String,
    /// Hash buckets of words and n-grams, a power of two; 0 chooses one by the size of the training file.
    pub hash_size: usize,
    /// Longest run of words that is one feature.
    pub word_ngrams: usize,
    /// Lengths of runs of characters that are features, such as `[3, 4]`; empty for none.
    pub char_ngrams: Vec<usize>,
    /// Weighs features by how few training samples have them: `true`, `false`, or for text only (`auto`).
    pub tf_idf: Weighing,
    /// Each sample's features are scaled to length 1.
    pub normalize: bool,
    /// Samples without a label: `skip` or `refuse`.
    pub unlabelled: Unlabelled,
    /// What labels of text files are: `ids`, `names`, or told by the training file (`auto`).
    pub labels: Labels,
    /// The first line of a tsv file names its columns and is no sample.
    pub header: bool,
    /// What a word is: `unicode` or `runs`.
    pub words: Words,
    /// Faulty lines of a file that are stepped over (and counted) before the next one is an error.
    pub skip_bad: u64,
}

names! {
    /// What the labels of text files are.
    Labels {
        /// Ids, if all of them are canonical integers (no sign, no leading zero) and either are numbers in JSON or lie close
        /// together: the largest is below 1024 or below four times the number of distinct ones. Otherwise names.
        Auto,
        /// Row numbers from 0.
        Ids,
        /// Names, numbered by how often the training file has them.
        Names,
    }
}

names! {
    /// What a word is.
    Words {
        /// What Unicode's rules hold together, in one normal form.
        Unicode,
        /// A run of letters and digits; marks cut it. The rule of runs that older versions trained.
        Runs,
    }
}

names! {
    /// What becomes of a training sample without a label.
    Unlabelled {
        /// It is left out (and counted).
        Skip,
        /// It is an error.
        Refuse,
    }
}

impl Default for Data {
    fn default() -> Self {
        Self {
            format: Format::Auto,
            text: String::new(),
            label: String::new(),
            hash_size: 1 << 18,
            word_ngrams: 1,
            char_ngrams: Vec::new(),
            tf_idf: Weighing::Off,
            normalize: false,
            unlabelled: Unlabelled::Skip,
            labels: Labels::Auto,
            header: false,
            words: Words::Unicode,
            skip_bad: 0,
        }
    }
}

impl Data {
    /// The columns of text.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> + Clone {
        self.text.split(',').map(str::trim)
    }
}
