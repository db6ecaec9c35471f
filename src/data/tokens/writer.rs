//! Writes a token file while its text is being read: memory stays small however large the file.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::file::{HEADER, TokenSummary};
use crate::error::{Error, Result};

/// A token file that is being written, under a name of its own: it has its name only when it is complete, and vanishes if
/// it is dropped before.
///
/// See [`TokenFile`](super::TokenFile) for an example.
pub struct TokenWriter {
    path: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
    summary: TokenSummary,
    digest: Xxh3,
    bytes: Vec<u8>,
    finished: bool,
}

impl TokenWriter {
    /// A file for tokens below `vocabulary` of the tokenizer with this hash.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses.
    ///
    /// # Panics
    ///
    /// If the vocabulary is not in 1..=2^32, or `end_of_text` not below it.
    #[track_caller]
    pub fn create(path: &Path, vocabulary: usize, end_of_text: Option<u32>, tokenizer: u128) -> Result<Self> {
        assert!((1..=1 << 32).contains(&vocabulary), "a vocabulary of {vocabulary}");
        assert!(end_of_text.is_none_or(|token| (token as usize) < vocabulary), "end of text beyond the vocabulary");
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let temporary = path.with_file_name(format!(".tmp-{}-{name}", std::process::id()));
        let file = File::create(&temporary).map_err(Error::io(&temporary))?;
        let summary = TokenSummary { tokens: 0, vocabulary, source_bytes: 0, documents: 0, end_of_text, tokenizer };
        let (file, digest) = (BufWriter::with_capacity(1 << 20, file), Xxh3::new());
        let mut writer =
            Self { path: path.to_owned(), temporary, file, summary, digest, bytes: Vec::new(), finished: false };
        writer.file.write_all(&[0; HEADER]).map_err(Error::io(path))?;
        Ok(writer)
    }

    /// A document begins: counts it, and writes the end-of-text token if there is one.
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

    /// Counts documents that [`append`](Self::append) has or will have written with their end-of-text tokens.
    pub(super) fn count_documents(&mut self, documents: u64) {
        self.summary.documents += documents;
    }

    /// Adds tokens that stand for `source_bytes` bytes of text.
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
        self.file.write_all(&self.bytes).map_err(Error::io(&self.path))?;
        self.summary.tokens += tokens.len() as u64;
        self.summary.source_bytes += source_bytes;
        Ok(())
    }

    /// What has been written.
    pub fn summary(&self) -> &TokenSummary {
        &self.summary
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses.
    pub fn finish(mut self) -> Result<TokenSummary> {
        let header = self.summary.header(self.digest.digest());
        let complete = |writer: &mut Self| -> io::Result<()> {
            writer.file.seek(SeekFrom::Start(0))?;
            writer.file.write_all(bytemuck::cast_slice(&header))?;
            writer.file.flush()?;
            writer.file.get_ref().sync_all()?;
            fs::rename(&writer.temporary, &writer.path)
        };
        complete(&mut self).map_err(Error::io(&self.path))?;
        self.finished = true;
        Ok(self.summary)
    }
}

impl Drop for TokenWriter {
    fn drop(&mut self) {
        if !self.finished {
            // Nobody to tell: the failure that led here is the one to report.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}
