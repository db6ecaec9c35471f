//! Loads tokenizers, and finds their end-of-text token.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::tokenizer::{EndOfText, NAMES, TOKENIZER, Tokenizer, parse};
use crate::error::{Error, Result};
use crate::files;

/// Files beside a `tokenizer.json` that may name its end-of-text token. The first one that does counts.
const FILES: [&str; 3] = ["tokenizer_config.json", "special_tokens_map.json", "generation_config.json"];

impl Tokenizer {
    /// As [`load_with`](Self::load_with) with [`EndOfText::Detect`].
    ///
    /// # Errors
    ///
    /// As [`load_with`](Self::load_with).
    pub fn load(path: &Path) -> Result<Self> {
        Self::load_with(path, &EndOfText::Detect)
    }

    /// Loads a `tokenizer.json`, or GPT-2's `vocab.bpe` or `merges.txt` with the `encoder.json` or `vocab.json` beside
    /// it. A folder stands for such files in it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if a file cannot be read; [`Error::Data`] if it is no byte-level tokenizer, or a file beside it
    /// names an end-of-text token that it lacks; [`Error::Config`] if `end_of_text` names one that it lacks.
    pub fn load_with(path: &Path, end_of_text: &EndOfText) -> Result<Self> {
        let path = if path.is_dir() { found(path, &[TOKENIZER, "vocab.bpe", "merges.txt"])? } else { path.to_owned() };
        if path.extension().is_none_or(|extension| extension == "json") {
            let json = files::read(&path)?;
            let (inner, hash) = parse(&json).map_err(|reason| no_tokenizer(&path, reason))?;
            let tokenizer = Self::of(inner, json, hash).map_err(|message| Error::data(&path, 0, 0, message))?;
            return tokenizer.choose(end_of_text, &path);
        }
        Self::from_merges(&path)?.choose(end_of_text, &path)
    }

    /// The same tokenizer with the token that `end_of_text` asks for. `path` is its file.
    fn choose(self, end_of_text: &EndOfText, path: &Path) -> Result<Self> {
        match end_of_text {
            EndOfText::Absent => Ok(self.with_end_of_text(None)),
            EndOfText::Token(name) => {
                let token = self.token(name).ok_or_else(|| {
                    Error::config("end_of_text", format!("the tokenizer has no token {name:?}; {}", self.offer()))
                })?;
                Ok(self.with_end_of_text(Some(token)))
            }
            EndOfText::Detect => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
                for name in FILES {
                    if let Some(token) = self.named_in(&folder.join(name))? {
                        return Ok(self.with_end_of_text(Some(token)));
                    }
                }
                Ok(self)
            }
        }
    }

    /// The token that the file at `path` names, if it exists and names one.
    fn named_in(&self, path: &Path) -> Result<Option<u32>> {
        if !path.is_file() {
            return Ok(None);
        }
        let json = fs::read(path).map_err(Error::io(path))?;
        let wrong = |message: String| Error::data(path, 0, 0, message);
        let value: Value = serde_json::from_slice(&json).map_err(|error| wrong(format!("is no JSON: {error}")))?;
        // A name, or an object with the name.
        let name = &value["eos_token"];
        if let Some(name) = name.as_str().or(name["content"].as_str()) {
            let missing = || wrong(format!("names {name:?} as eos_token, which the tokenizer does not have"));
            return self.token(name).map(Some).ok_or_else(missing);
        }
        // A number, or a list of those that end a text.
        let number = &value["eos_token_id"];
        let Some(number) = number.as_u64().or(number[0].as_u64()) else { return Ok(None) };
        let token = u32::try_from(number).ok().filter(|&token| self.name_of(token).is_some());
        let missing = || wrong(format!("names {number} as eos_token_id, which is no token of the tokenizer"));
        token.map(Some).ok_or_else(missing)
    }

    /// The tokens to choose an end-of-text token from, for messages.
    fn offer(&self) -> String {
        let names = self.special_names();
        match names.len() {
            0 => "it has no special tokens".to_owned(),
            1..=8 => format!("its special tokens are {}", names.join(", ")),
            count => format!("its {count} special tokens begin with {}", names[..8].join(", ")),
        }
    }

    /// The error for several documents and a tokenizer without an end-of-text token.
    #[cfg(feature = "text")]
    pub(super) fn no_end_of_text(&self) -> Error {
        let message = format!(
            "there are several documents and no end-of-text token: name one, or none to let documents run together; {}",
            self.offer()
        );
        Error::config("end_of_text", message)
    }

    /// The choice of versions that did not save end-of-text tokens: the first usual name, special or not.
    pub(crate) fn with_usual_end_of_text(self) -> Self {
        let token = NAMES.iter().find_map(|name| self.token(name));
        self.with_end_of_text(token)
    }
}

/// The error for a file that is no tokenizer. It names the possible kinds first: whoever named a wrong file needs
/// those, not what a parser missed.
pub(super) fn no_tokenizer(path: &Path, reason: impl std::fmt::Display) -> Error {
    let kinds =
        "is no tokenizer.json, and no vocab.bpe (or merges.txt) of GPT-2's beside its encoder.json (or vocab.json)";
    Error::data(path, 0, 0, format!("{kinds}: {reason}"))
}

/// The first of `names` in `folder`.
pub(super) fn found(folder: &Path, names: &[&str]) -> Result<PathBuf> {
    // The folder of a file without one.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let path = names.iter().map(|name| folder.join(name)).find(|path| path.is_file());
    path.ok_or_else(|| Error::data(folder, 0, 0, format!("has none of {}", names.join(", "))))
}
