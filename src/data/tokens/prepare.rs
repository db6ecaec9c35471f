//! Turns files of text into a folder of token files and their tokenizer, all of them or none.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::corpus::{Corpus, LeftOut, PassProgress};
use super::documents::TextOptions;
use super::replace::Replacement;
use super::tokenizer::{EndOfText, NAMES, TOKENIZER, Tokenizer};
use super::{TokenSummary, TokenWriter};
use crate::error::{Error, Result};
use crate::files::Rollback;

/// Where the tokenizer comes from.
#[derive(Clone, Debug)]
pub enum TokenizerSource {
    /// Learnt from the text for training, with this many tokens.
    Train(usize),
    /// Loaded; see [`Tokenizer::load`].
    Load(PathBuf),
}

/// The result of [`tokenize`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prepared {
    /// The token file for training.
    pub train: PathBuf,
    /// The token file for validation.
    pub valid: Option<PathBuf>,
    /// The `tokenizer.json`.
    pub tokenizer: PathBuf,
    /// Size of the vocabulary.
    pub vocabulary: usize,
    /// Hash of the tokenizer, in hexadecimal digits.
    pub tokenizer_hash: String,
    /// Tokens, documents and bytes of each token file.
    pub counts: Vec<Counts>,
    /// The name of the token before each document.
    pub end_of_text: Option<String>,
    /// The share of the text's bytes that went to validation.
    pub valid_share: f64,
    /// How often the text contains the [`document_separator`](TextOptions::document_separator), if there is one.
    pub document_separators: Option<u64>,
    /// What was left out, or may not be meant as it stands.
    pub left_out: LeftOut,
}

/// The size of a token file.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Counts {
    /// Number of tokens, with those between documents.
    pub tokens: u64,
    /// Number of documents.
    pub documents: u64,
    /// Bytes of the text.
    pub source_bytes: u64,
    /// Bytes of text divided by tokens.
    pub bytes_per_token: f64,
}

/// Writes `train.tokens`, `tokenizer.json` and, with files or a share for validation, `valid.tokens` to the folder
/// `out`. The folder is made if needed. Memory does not depend on the size of the files. Learning a tokenizer, or
/// giving the end of a text to validation, reads a file twice, so it cannot be a pipe.
///
/// ```
/// use hotrow::data::tokens::{TextOptions, TokenizerSource, tokenize};
/// # let folder = tempfile::tempdir()?;
/// let text = folder.path().join("text.jsonl");
/// std::fs::write(&text, "{\"text\": \"to be or not\"}\n{\"text\": \"to be\"}\n")?;
/// let options = TextOptions { files: vec![text], field: "text".into(), ..TextOptions::default() };
/// let made = tokenize(&options, &TokenizerSource::Train(260), folder.path())?;
/// assert_eq!((made.counts[0].documents, made.counts[0].source_bytes), (2, 17));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`Error::Config`] if an option is out of range, if an old `valid.tokens` would stay in `out`, if the share leaves no
/// text for validation, or if there are several documents and no end-of-text token; [`Error::Data`] with file and line
/// for a record that is not UTF-8, no object or without the field, and for files without text; [`Error::Io`] if the
/// system refuses.
///
/// After an error, old files are unchanged: all new ones are complete and on the disk before the first gets its name.
/// Only a failure between these last renames leaves some of both.
pub fn tokenize(options: &TextOptions, source: &TokenizerSource, out: &Path) -> Result<Prepared> {
    tokenize_with(options, source, out, &mut |_| ())
}

/// As [`tokenize`], calling `progress` again and again.
///
/// # Errors
///
/// As [`tokenize`].
pub fn tokenize_with(
    options: &TextOptions,
    source: &TokenizerSource,
    out: &Path,
    progress: &mut dyn FnMut(PassProgress),
) -> Result<Prepared> {
    if !(0.0..1.0).contains(&options.valid_share) {
        return Err(Error::config("valid_share", format!("{} is not at least 0 and below 1", options.valid_share)));
    }
    if options.valid_share > 0.0 && !options.valid.is_empty() {
        return Err(Error::config("valid_share", "there are files for validation: leave out one of the two"));
    }
    if let (TokenizerSource::Train(_), EndOfText::Token(name)) = (source, &options.end_of_text)
        && name != NAMES[0]
    {
        let message = format!("is {name:?}, but a learnt tokenizer has {:?}", NAMES[0]);
        return Err(Error::config("end_of_text", message));
    }
    if options.document_separator.as_deref() == Some("") {
        return Err(Error::config("document_separator", "is empty"));
    }
    let mut files = options.files.iter().chain(&options.valid);
    if options.document_separator.is_some() && files.all(|path| options.format.holds_objects(path)) {
        let message = "is for text; the files hold JSON objects, each of which is a document";
        return Err(Error::config("document_separator", message));
    }
    let has_valid = options.valid_share > 0.0 || !options.valid.is_empty();
    let paths = ["train.tokens", "valid.tokens", TOKENIZER].map(|name| out.join(name));
    check_replaceable(&paths, has_valid)?;
    let corpus = Corpus::open(options, matches!(source, TokenizerSource::Train(_)), progress)?;
    let tokenizer = match source {
        TokenizerSource::Train(vocabulary) => {
            let words = corpus.words(progress)?;
            progress(PassProgress { pass: "learning", bytes: 0, of: 0 });
            let tokenizer = words.learn(*vocabulary)?;
            match options.end_of_text {
                EndOfText::Absent => tokenizer.with_end_of_text(None),
                _ => tokenizer,
            }
        }
        TokenizerSource::Load(path) => Tokenizer::load_with(path, &options.end_of_text)?,
    };
    let tokenizer = if options.normalize { tokenizer.normalizing() } else { tokenizer };
    let made = Rollback::folder(out)?;
    let create =
        |path: &PathBuf| TokenWriter::create(path, tokenizer.vocabulary(), tokenizer.end_of_text(), tokenizer.hash());
    let mut writers = [create(&paths[0])?, create(&paths[1])?];
    let (left_out, separators) = corpus.write(&tokenizer, &mut writers, progress)?;
    let [train, valid] = writers;
    if train.summary().tokens == 0 {
        return Err(Error::data(&options.files[0], 0, 0, "there is no text to train on"));
    }
    if has_valid && valid.summary().tokens == 0 {
        return Err(match options.valid.first() {
            Some(path) => Error::data(path, 0, 0, "there is no text for validation"),
            None => Error::config("valid_share", format!("{} leaves no text for validation", options.valid_share)),
        });
    }
    let mut complete = vec![train.complete()?];
    if has_valid {
        complete.push(valid.complete()?);
    }
    let (mut replacements, summaries): (Vec<_>, Vec<_>) = complete.into_iter().unzip();
    let mut json = Replacement::create(&paths[2])?;
    json.file.write_all(tokenizer.json()).map_err(Error::io(&paths[2]))?;
    json.complete()?;
    replacements.push(json);
    // Renaming needs no room, so only a crash or a failing disk can stop it halfway. A new folder then lacks
    // tokenizer.json, the last file, and is no set. An old folder then has token files of another tokenizer than the
    // one beside them, and their hash gets them refused. Only with the same tokenizer and another text would a new
    // train.tokens beside an old valid.tokens pass as a set.
    replacements.into_iter().try_for_each(Replacement::rename)?;
    made.keep();
    let [train, valid, json] = paths;
    let counts: Vec<_> = summaries.into_iter().map(Counts::from).collect();
    let [all, validation] = [0, 1].map(|from| counts.iter().skip(from).map(|counts| counts.source_bytes).sum::<u64>());
    Ok(Prepared {
        train,
        valid: has_valid.then_some(valid),
        tokenizer: json,
        vocabulary: tokenizer.vocabulary(),
        tokenizer_hash: format!("{:032x}", tokenizer.hash()),
        counts,
        end_of_text: tokenizer.end_of_text().and_then(|token| tokenizer.name_of(token)),
        valid_share: validation as f64 / all.max(1) as f64,
        document_separators: options.document_separator.as_ref().map(|_| separators),
        left_out,
    })
}

/// Refuses a folder in the place of a file, which would stop the renames halfway. Refuses an old `valid.tokens` that
/// would stay and pass as one of the new files.
fn check_replaceable(paths: &[PathBuf; 3], has_valid: bool) -> Result<()> {
    let wrong = |path: &Path, message: &str| Err(Error::config("out", format!("{} {message}", path.display())));
    if let Some(path) = paths.iter().find(|path| path.is_dir()) {
        return wrong(path, "is a folder, where a file is to be written");
    }
    if !has_valid && paths[1].exists() {
        return wrong(&paths[1], "exists and would not be replaced: remove it, or give --valid or --valid-share");
    }
    Ok(())
}

impl From<TokenSummary> for Counts {
    fn from(summary: TokenSummary) -> Self {
        let TokenSummary { tokens, documents, source_bytes, .. } = summary;
        Self { tokens, documents, source_bytes, bytes_per_token: source_bytes as f64 / tokens.max(1) as f64 }
    }
}
