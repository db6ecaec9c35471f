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
        let open = |path: &Path| open(path, &tokenizer);
        let (train, valid) = (open(train)?.into(), valid.map(open).transpose()?);
        Ok(Self { tokenizer, train, valid })
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

/// The token file at `path`, which has something to predict and is of `tokenizer`.
pub(super) fn open(path: &Path, tokenizer: &Tokenizer) -> Result<TokenFile> {
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
