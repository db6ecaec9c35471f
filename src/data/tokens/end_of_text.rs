//! Which token stands between documents: the one that is asked for, or named by the files beside a tokenizer.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::tokenizer::Tokenizer;
use crate::error::{Error, Result};

/// What stands in front of each document, in tokenizers that hotrow makes; then what others call it. Turns of a conversation end
/// with other tokens (`<|im_end|>`, `<|eot_id|>`), which are never guessed.
pub(super) const NAMES: [&str; 5] = ["<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eos|>"];

/// Files beside a `tokenizer.json` that name it, the first that does counts.
const FILES: [&str; 3] = ["tokenizer_config.json", "special_tokens_map.json", "generation_config.json"];

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

impl Tokenizer {
    /// The same tokenizer with the token that `end_of_text` says; `path` is its file.
    pub(super) fn choose(self, end_of_text: &EndOfText, path: &Path) -> Result<Self> {
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

    /// What the file at `path` names, if there is one and it names something.
    fn named_in(&self, path: &Path) -> Result<Option<u32>> {
        if !path.is_file() {
            return Ok(None);
        }
        let json = fs::read(path).map_err(Error::io(path))?;
        let wrong = |message: String| Error::data(path, 0, 0, message);
        let value: Value = serde_json::from_slice(&json).map_err(|error| wrong(format!("is no JSON: {error}")))?;
        // A name, or an object that has it.
        let name = &value["eos_token"];
        if let Some(name) = name.as_str().or(name["content"].as_str()) {
            let missing = || wrong(format!("names {name:?} as eos_token, which the tokenizer does not have"));
            return self.token(name).map(Some).ok_or_else(missing);
        }
        // A number, or several that end a text.
        let number = &value["eos_token_id"];
        let Some(number) = number.as_u64().or(number[0].as_u64()) else { return Ok(None) };
        let token = u32::try_from(number).ok().filter(|&token| self.name_of(token).is_some());
        let missing = || wrong(format!("names {number} as eos_token_id, which is no token of the tokenizer"));
        token.map(Some).ok_or_else(missing)
    }

    /// What an end-of-text token may be chosen from.
    fn offer(&self) -> String {
        let names = self.special_names();
        match names.len() {
            0 => "it has no special tokens".to_owned(),
            1..=8 => format!("its special tokens are {}", names.join(", ")),
            count => format!("its {count} special tokens begin with {}", names[..8].join(", ")),
        }
    }

    /// For several documents of a tokenizer that does not say what stands between them.
    #[cfg(feature = "text")]
    pub(super) fn no_end_of_text(&self) -> Error {
        let message = format!(
            "there are several documents, and nothing says which token stands between them: name one, or say none \
             to let them run together; {}",
            self.offer()
        );
        Error::config("end_of_text", message)
    }

    /// What versions before end-of-text tokens were kept took for it: the first of the usual names, special or not.
    pub(crate) fn with_usual_end_of_text(self) -> Self {
        let token = NAMES.iter().find_map(|name| self.token(name));
        self.with_end_of_text(token)
    }
}
