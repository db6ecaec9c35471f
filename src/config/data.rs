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
    /// Texts of the labels, for the part [`Texts`](super::PartName::Texts): a file, `names` (the labels' own names), `auto` (names, if
    /// there are some with a letter), or nothing.
    pub label_texts: String,
}

/// In place of a file of texts: the names of the labels are their texts.
pub(crate) const NAMES: &str = "names";
/// The same where labels have names.
pub(crate) const AUTO: &str = "auto";

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
            label_texts: String::new(),
        }
    }
}

impl Data {
    /// Whether the texts of labels are those of a file.
    pub(crate) fn has_text_file(&self) -> bool {
        !["", NAMES, AUTO].contains(&self.label_texts.as_str())
    }

    /// The path of that file becomes absolute, so that a run can be resumed from another folder.
    pub(crate) fn locate_texts(&mut self) {
        if self.has_text_file() {
            let absolute =
                std::path::absolute(&self.label_texts).ok().and_then(|path| path.to_str().map(str::to_owned));
            self.label_texts = absolute.unwrap_or_else(|| self.label_texts.clone());
        }
    }

    /// The columns of text.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> + Clone {
        self.text.split(',').map(str::trim)
    }
}
