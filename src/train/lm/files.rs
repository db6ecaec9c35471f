//! The files of a run, and whether they belong together.

use std::path::Path;
use std::sync::Arc;

use crate::config::lm::{Lm, head::HeadMode};
use crate::data::tokens::{TokenFile, Tokenizer};
use crate::error::{Error, Result};

/// What a run is trained and measured on.
#[derive(Debug)]
pub struct Files {
    /// What turns its tokens into text.
    pub tokenizer: Tokenizer,
    /// The tokens to train on.
    pub train: Arc<TokenFile>,
    /// The tokens to measure on.
    pub valid: Option<TokenFile>,
}

impl Files {
    /// Opens a tokenizer (see [`Tokenizer::load`]) and the token files that it has made.
    ///
    /// # Errors
    ///
    /// As [`Tokenizer::load`] and [`TokenFile::open`]; [`Error::Data`] if another tokenizer has made them.
    pub fn open(tokenizer: &Path, train: &Path, valid: Option<&Path>) -> Result<Self> {
        let tokenizer = Tokenizer::load(tokenizer)?;
        let file = open_of(train, &tokenizer)?;
        // The one that stands between its documents is the one that ends a text.
        let tokenizer = tokenizer.with_end_of_text(file.summary().end_of_text);
        let valid = valid.map(|path| open(path, &tokenizer)).transpose()?;
        Ok(Self { tokenizer, train: file.into(), valid })
    }

    /// The configuration with the size of the vocabulary in it.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if it knows fewer tokens than there are.
    pub fn resolve(&self, mut config: Lm) -> Result<Lm> {
        let tokens = self.tokenizer.vocabulary();
        match config.model.vocabulary {
            0 => config.model.vocabulary = tokens,
            known if known < tokens => {
                let message = format!("{known} is below the {tokens} tokens of the tokenizer");
                return Err(Error::config("model.vocabulary", message));
            }
            _ => {}
        }
        Ok(config)
    }

    /// The tokens that a sampled head computes always: the most frequent ones of the training file, as many as
    /// [`Head::hot`](crate::config::lm::Head::hot()) says.
    pub fn hot(&self, config: &Lm) -> Vec<u32> {
        if config.head.mode == HeadMode::Dense {
            return Vec::new();
        }
        let mut counts = vec![0_u64; config.model.vocabulary];
        let mut tokens = vec![0; 1 << 16];
        for start in (0..self.train.len()).step_by(tokens.len()) {
            let piece = tokens.len().min(self.train.len() - start);
            self.train.read(start, &mut tokens[..piece]);
            tokens[..piece].iter().for_each(|&token| counts[token as usize] += 1);
        }
        let mut order: Vec<u32> = (0..config.model.vocabulary as u32).collect();
        order.sort_by_key(|&token| (std::cmp::Reverse(counts[token as usize]), token));
        order.truncate(config.head.hot(config.model.vocabulary));
        order
    }
}

/// The token file at `path`, which has something to predict and is of `tokenizer`, with the same token between documents.
pub(super) fn open(path: &Path, tokenizer: &Tokenizer) -> Result<TokenFile> {
    let file = open_of(path, tokenizer)?;
    let (found, known) = (file.summary().end_of_text, tokenizer.end_of_text());
    if found != known {
        let name = |token: Option<u32>| match token {
            Some(token) => format!("{:?}", tokenizer.name_of(token).unwrap_or_else(|| token.to_string())),
            None => "nothing".to_owned(),
        };
        let message = format!("has {} between documents, where training has {}", name(found), name(known));
        return Err(Error::data(path, 0, 0, message));
    }
    Ok(file)
}

/// The same with any token between documents.
fn open_of(path: &Path, tokenizer: &Tokenizer) -> Result<TokenFile> {
    let file = TokenFile::open(path)?;
    let summary = *file.summary();
    let wrong = |message: String| Err(Error::data(path, 0, 0, message));
    if summary.vocabulary != tokenizer.vocabulary() {
        let (found, known) = (summary.vocabulary, tokenizer.vocabulary());
        return wrong(format!("was made with another tokenizer: of {found} tokens, where this one has {known}"));
    }
    if summary.tokenizer != tokenizer.hash() {
        let (found, known) = (summary.tokenizer, tokenizer.hash());
        return wrong(format!(
            "was made with another tokenizer: its hash is {found:032x}, that of this one {known:032x}"
        ));
    }
    if file.len() < 2 {
        return wrong(format!("{} tokens leave nothing to predict", file.len()));
    }
    Ok(file)
}

#[cfg(all(test, feature = "text"))]
mod tests {
    use super::*;
    use crate::checkpoint::{self, TrainerState};
    use crate::config::lm::Model;
    use crate::data::tokens::{EndOfText, TextOptions, TokenizerSource, tokenize};
    use crate::kernels::Level;
    use crate::train::lm::Trainer;

    #[test]
    fn the_token_between_documents_ends_a_text_of_the_trained_network() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("d.jsonl"), "{\"text\":\"ab\"}\n{\"text\":\"ab\"}\n").unwrap();
        std::fs::write(at("tokenizer.json"), Tokenizer::train_on("a b", 257).unwrap().json()).unwrap();
        let tokens = |end_of_text, out: &str| {
            let options =
                TextOptions { files: vec![at("d.jsonl")], field: "text".into(), end_of_text, ..TextOptions::default() };
            tokenize(&options, &TokenizerSource::Load(at("tokenizer.json")), &at(out)).unwrap()
        };
        let (usual, named) = (tokens(EndOfText::Detect, "usual"), tokens(EndOfText::Token("b".into()), "named"));
        let files = Files::open(&named.tokenizer, &named.train, None).unwrap();
        let end = files.tokenizer.end_of_text();
        assert_eq!(end, Some(files.tokenizer.encode("b").unwrap()[0]));
        let error = Files::open(&named.tokenizer, &named.train, Some(&usual.train)).unwrap_err();
        assert_eq!(error.exit_code(), 4);
        let words = "has \"<|endoftext|>\" between documents, where training has \"b\"";
        assert!(error.to_string().ends_with(words), "{error}");

        let model = Model { vocabulary: 257, width: 8, heads: 2, layers: 1, context: 4, ..Model::default() };
        let trainer = Trainer::new(Lm { model, ..Lm::default() }, vec![], 10, Level::detect()).unwrap();
        let mut contents = trainer.contents(&files.tokenizer, TrainerState::new(0, 0, 1));
        let mut loaded = |config: &dyn Fn(&mut serde_json::Value)| {
            config(&mut contents.config);
            let run = tempfile::tempdir().unwrap();
            let path = checkpoint::save(run.path(), &contents, 2).unwrap();
            let loaded = Trainer::load(&checkpoint::open(&path).unwrap(), Level::detect());
            loaded.map(|(_, tokenizer)| tokenizer.end_of_text())
        };
        assert_eq!(loaded(&|_| ()).unwrap(), end);
        assert_eq!(loaded(&|config| config["end_of_text"] = serde_json::json!([])).unwrap(), None);
        let beyond = loaded(&|config| config["end_of_text"] = serde_json::json!([257])).unwrap_err();
        assert!(beyond.to_string().contains("end_of_text: 257 is no token of the tokenizer"), "{beyond}");
        // A checkpoint of a version that kept nothing of it.
        let old = loaded(&|config| drop(config.as_object_mut().unwrap().remove("end_of_text"))).unwrap();
        assert_eq!(old, Tokenizer::load(&named.tokenizer).unwrap().end_of_text());
    }
}
