//! Writes a token file while its text is being read, in little memory.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::file::{HEADER, TokenSummary};
use super::replace::Replacement;
use crate::error::{Error, Result};

/// A token file that is being written under a temporary name. It gets its name when complete, and vanishes if it is
/// dropped before. The next writer of the same name removes what a killed program left.
///
/// See [`TokenFile`](super::TokenFile) for an example.
pub struct TokenWriter {
    path: PathBuf,
    replacement: Replacement,
    summary: TokenSummary,
    digest: Xxh3,
    bytes: Vec<u8>,
}

impl TokenWriter {
    /// A file for tokens below `vocabulary`. `tokenizer` is the hash of their tokenizer.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses.
    ///
    /// # Panics
    ///
    /// If `vocabulary` is not in 1..=2^32, or `end_of_text` is not below it.
    #[track_caller]
    pub fn create(path: &Path, vocabulary: usize, end_of_text: Option<u32>, tokenizer: u128) -> Result<Self> {
        assert!((1..=1 << 32).contains(&vocabulary), "a vocabulary of {vocabulary}");
        assert!(end_of_text.is_none_or(|token| (token as usize) < vocabulary), "end of text beyond the vocabulary");
        let mut replacement = Replacement::create(path)?;
        replacement.file.write_all(&[0; HEADER]).map_err(Error::io(path))?;
        let summary = TokenSummary { tokens: 0, vocabulary, source_bytes: 0, documents: 0, end_of_text, tokenizer };
        Ok(Self { path: path.to_owned(), replacement, summary, digest: Xxh3::new(), bytes: Vec::new() })
    }

    /// Begins a document: counts it, and writes the end-of-text token if there is one.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses.
    pub fn begin_document(&mut self) -> Result<()> {
        self.count_documents(1);
        match self.summary.end_of_text {
            Some(token) => self.append(&[token], 0),
            None => Ok(()),
        }
    }

    /// Counts documents whose end-of-text tokens [`append`](Self::append) writes.
    pub(super) fn count_documents(&mut self, documents: u64) {
        self.summary.documents += documents;
    }

    /// Appends tokens that stand for `source_bytes` bytes of text.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses.
    ///
    /// # Panics
    ///
    /// If a token is not below the vocabulary.
    #[track_caller]
    pub fn append(&mut self, tokens: &[u32], source_bytes: u64) -> Result<()> {
        let limit = self.summary.vocabulary;
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= limit) {
            panic!("token {token} is not below the vocabulary, {limit}");
        }
        self.bytes.clear();
        match self.summary.width() {
            2 => self.bytes.extend(tokens.iter().flat_map(|&token| (token as u16).to_ne_bytes())),
            _ => self.bytes.extend_from_slice(bytemuck::cast_slice(tokens)),
        }
        self.digest.update(&self.bytes);
        self.replacement.file.write_all(&self.bytes).map_err(Error::io(&self.path))?;
        self.summary.tokens += tokens.len() as u64;
        self.summary.source_bytes += source_bytes;
        Ok(())
    }

    /// The counts of what was written.
    pub fn summary(&self) -> &TokenSummary {
        &self.summary
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses.
    pub fn finish(self) -> Result<TokenSummary> {
        let (replacement, summary) = self.complete()?;
        replacement.rename()?;
        Ok(summary)
    }

    /// Completes the file without giving it its name.
    pub(super) fn complete(mut self) -> Result<(Replacement, TokenSummary)> {
        let header = self.summary.header(self.digest.digest());
        let file = &mut self.replacement.file;
        file.seek(SeekFrom::Start(0)).map_err(Error::io(&self.path))?;
        file.write_all(bytemuck::cast_slice(&header)).map_err(Error::io(&self.path))?;
        self.replacement.complete()?;
        Ok((self.replacement, self.summary))
    }
}
