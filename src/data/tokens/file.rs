//! Tokens in a memory-mapped file.
//!
//! ```text
//! header   (16 u64)       magic, version, bytes of a token, counts, vocabulary, hash of the tokenizer, digest of the tokens,
//!                         digest of the header
//! tokens   (u16 or u32)   one document behind the other, each after an end-of-text token
//! ```
//!
//! Numbers are in the machine's byte order. On a machine of the other order the magic number differs, and the file is
//! refused.

use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::tokenizer::Tokenizer;
use crate::data::map::{Bytes, map};
use crate::error::{Error, Result};
use crate::files;

const MAGIC: u64 = u64::from_le_bytes(*b"hotrow\0t");
/// Raise it with every change of the layout.
const VERSION: u64 = 1;
/// Bytes of the header. The tokens after it are aligned.
pub(super) const HEADER: usize = 16 * 8;
/// Stands for "no end-of-text token".
const NONE: u64 = u64::MAX;
/// Tokens checked together.
const PIECE: usize = 1 << 20;

/// The header of a token file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenSummary {
    /// Number of tokens, with those between documents.
    pub tokens: u64,
    /// Every token is below it.
    pub vocabulary: usize,
    /// Bytes of the text: the unit of bits per byte.
    pub source_bytes: u64,
    /// Number of documents, if the input separates them.
    pub documents: u64,
    /// The token before each document.
    pub end_of_text: Option<u32>,
    /// [`Tokenizer::hash`](super::Tokenizer::hash) of the tokenizer.
    pub tokenizer: u128,
}

impl TokenSummary {
    /// Bytes of a token: 2 if the vocabulary allows it, else 4.
    ///
    /// ```
    /// use hotrow::data::tokens::read_tokens;
    /// assert!(read_tokens(b"something else").is_err());
    /// ```
    pub fn width(&self) -> usize {
        if self.vocabulary <= 1 << 16 { 2 } else { 4 }
    }

    /// The header's words; `digest` is that of the tokens.
    pub(super) fn header(&self, digest: u64) -> [u64; HEADER / 8] {
        let mut words = [0; HEADER / 8];
        words[..11].copy_from_slice(&[
            MAGIC,
            VERSION,
            self.width() as u64,
            self.tokens,
            self.vocabulary as u64,
            self.source_bytes,
            self.documents,
            self.end_of_text.map_or(NONE, u64::from),
            self.tokenizer as u64,
            (self.tokenizer >> 64) as u64,
            digest,
        ]);
        words[HEADER / 8 - 1] = xxh3_64(bytemuck::cast_slice(&words[..HEADER / 8 - 1]));
        words
    }

    /// Reads the header: the summary, and the digest of the tokens.
    fn read(bytes: &[u8], digests: bool) -> Result<(Self, u64), String> {
        let header = bytes.get(..HEADER).ok_or("is no token file: it is shorter than a header")?;
        let words: [u64; HEADER / 8] = bytemuck::pod_read_unaligned(header);
        let [magic, version, width, tokens, vocabulary, source_bytes, documents, end, low, high, digest, ..] = words;
        if magic != MAGIC {
            return Err("is no token file: make one with `hotrow tokenize`".into());
        }
        if version != VERSION {
            return Err(format!("is a token file of version {version}, not {VERSION}"));
        }
        if digests && words[HEADER / 8 - 1] != xxh3_64(&header[..HEADER - 8]) {
            return Err("has a damaged header".into());
        }
        if vocabulary == 0 || vocabulary > 1 << 32 {
            return Err(format!("has a vocabulary of {vocabulary}, which is not in 1..=2^32"));
        }
        let end_of_text = if end == NONE { None } else { Some(end) };
        if let Some(end) = end_of_text.filter(|&end| end >= vocabulary) {
            return Err(format!("has the end-of-text token {end}, which is not below the vocabulary, {vocabulary}"));
        }
        let summary = Self {
            tokens,
            vocabulary: vocabulary as usize,
            source_bytes,
            documents,
            end_of_text: end_of_text.map(|end| end as u32),
            tokenizer: u128::from(low) | u128::from(high) << 64,
        };
        if width != summary.width() as u64 {
            return Err(format!(
                "has tokens of {width} bytes, not {}, for a vocabulary of {vocabulary}",
                summary.width()
            ));
        }
        let (found, want) = ((bytes.len() - HEADER) as u64, tokens.saturating_mul(width));
        if found != want {
            let how = if found < want { "is truncated" } else { "is too long" };
            return Err(format!("{how}: {found} bytes of tokens, where its header says {want}"));
        }
        Ok((summary, digest))
    }
}

/// A token file from `hotrow tokenize`, mapped into memory. It may be larger than memory.
///
/// A mapped file may be removed, or replaced by renaming another file to its name, as `hotrow tokenize` does. It must
/// not be written to or truncated: reading the missing bytes ends the program (`SIGBUS`).
///
/// ```
/// use hotrow::data::tokens::{TokenFile, TokenWriter, TokenSummary};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("train.tokens");
/// let mut writer = TokenWriter::create(&path, 300, None, 7)?;
/// writer.append(&[5, 299, 5], 4)?;
/// writer.finish()?;
/// let file = TokenFile::open(&path)?;
/// let mut tokens = [0; 2];
/// file.read(1, &mut tokens);
/// assert_eq!((file.len(), tokens), (3, [299, 5]));
/// # Ok::<(), hotrow::error::Error>(())
/// ```
#[derive(Debug)]
pub struct TokenFile {
    path: PathBuf,
    bytes: Bytes,
    summary: TokenSummary,
    digest: u64,
}

impl TokenFile {
    /// Opens the file at `path` and reads it once. Either every token is valid, or the file is refused.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses; [`Error::Data`] if it is no token file, has another version, is truncated
    /// or damaged, or has a token that is not below its vocabulary.
    pub fn open(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return Err(Error::data(path, 0, 0, "is a folder, not a token file"));
        }
        let file = files::open(path)?;
        let bytes = Bytes::Map(map(&file).map_err(Error::io(path))?);
        Self::checked(path, bytes, true).map_err(|message| Error::data(path, 0, 0, message))
    }

    /// The tokens of one document in memory, as `hotrow tokenize` would write them: to evaluate on a given text.
    ///
    /// ```
    /// use hotrow::data::tokens::{TokenFile, Tokenizer};
    /// let tokenizer = Tokenizer::train_on("to be or not to be", 260)?;
    /// let file = TokenFile::of_text("to be", &tokenizer)?;
    /// assert_eq!((file.summary().documents, file.summary().source_bytes), (1, 5));
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Tokenizer::encode`].
    pub fn of_text(text: &str, tokenizer: &Tokenizer) -> Result<Self> {
        let mut tokens = Vec::from_iter(tokenizer.end_of_text());
        let name = Path::new("text");
        let wrong = |message: String| Error::data(name, 0, 0, message);
        let source_bytes = tokenizer.encode_text(text, &mut tokens).map_err(wrong)?;
        let summary = TokenSummary {
            tokens: tokens.len() as u64,
            vocabulary: tokenizer.vocabulary(),
            source_bytes,
            documents: 1,
            end_of_text: tokenizer.end_of_text(),
            tokenizer: tokenizer.hash(),
        };
        let narrow: Vec<u16>;
        let tokens: &[u8] = match summary.width() {
            2 => {
                narrow = tokens.iter().map(|&token| token as u16).collect();
                bytemuck::cast_slice(&narrow)
            }
            _ => bytemuck::cast_slice(&tokens),
        };
        let header = summary.header(xxh3_64(tokens));
        let bytes = [bytemuck::cast_slice(&header), tokens].concat();
        Self::checked(name, Bytes::copy(&bytes), true).map_err(wrong)
    }

    fn checked(path: &Path, bytes: Bytes, digests: bool) -> Result<Self, String> {
        let (summary, digest) = TokenSummary::read(bytes.all(), digests)?;
        let file = Self { path: path.to_owned(), bytes, summary, digest };
        if let Some(at) = file.unsound() {
            let mut token = [0];
            file.read(at, &mut token);
            let vocabulary = summary.vocabulary;
            return Err(format!("token {at} is {}, which is not below the vocabulary, {vocabulary}", token[0]));
        }
        if digests && xxh3_64(&file.bytes.all()[HEADER..]) != digest {
            return Err("has damaged tokens".into());
        }
        Ok(file)
    }

    /// The first token that is not below the vocabulary.
    fn unsound(&self) -> Option<usize> {
        fn first<T: bytemuck::Pod + Into<u64> + Sync>(tokens: &[T], limit: u64) -> Option<usize> {
            let pieces = tokens.par_chunks(PIECE).enumerate();
            let bad = pieces.find_first(|(_, piece)| piece.iter().any(|&token| token.into() >= limit));
            let (piece, tokens) = bad?;
            Some(piece * PIECE + tokens.iter().position(|&token| token.into() >= limit).expect("seen before"))
        }
        let limit = self.summary.vocabulary as u64;
        match self.summary.width() {
            2 => first(self.narrow(0..self.len()), limit),
            _ => first(self.wide(0..self.len()), limit),
        }
    }

    fn narrow(&self, range: Range<usize>) -> &[u16] {
        bytemuck::cast_slice(&self.bytes.all()[HEADER + 2 * range.start..HEADER + 2 * range.end])
    }

    fn wide(&self, range: Range<usize>) -> &[u32] {
        bytemuck::cast_slice(&self.bytes.all()[HEADER + 4 * range.start..HEADER + 4 * range.end])
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.summary.tokens as usize
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The header.
    pub fn summary(&self) -> &TokenSummary {
        &self.summary
    }

    /// The path that it was opened from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The digest (XXH3) of the tokens.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Copies the tokens from `start` on to `tokens`.
    ///
    /// # Panics
    ///
    /// If there are fewer tokens than that.
    #[track_caller]
    pub fn read(&self, start: usize, tokens: &mut [u32]) {
        let end = start.checked_add(tokens.len()).filter(|&end| end <= self.len());
        let Some(end) = end else {
            panic!("{} tokens from {start} on, where there are {}", tokens.len(), self.len());
        };
        match self.summary.width() {
            2 => self.narrow(start..end).iter().zip(tokens).for_each(|(&token, place)| *place = u32::from(token)),
            _ => tokens.copy_from_slice(self.wide(start..end)),
        }
    }
}

/// All tokens of a token file from its bytes. Digests are not checked; everything else is.
///
/// # Errors
///
/// [`Error::Data`] if the bytes are not those of a whole token file.
///
/// ```
/// let error = hotrow::data::tokens::read_tokens(b"something else").unwrap_err();
/// assert_eq!(error.to_string(), "input: is no token file: it is shorter than a header");
/// ```
pub fn read_tokens(bytes: &[u8]) -> Result<Vec<u32>> {
    let file = TokenFile::checked(Path::new("input"), Bytes::copy(bytes), false)
        .map_err(|message| Error::data("input", 0, 0, message))?;
    let mut tokens = vec![0; file.len()];
    file.read(0, &mut tokens);
    Ok(tokens)
}
