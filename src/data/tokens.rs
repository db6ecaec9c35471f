//! Text as tokens: byte-level BPE, token files, and the sequences that a language model is trained on.
//!
//! [`Tokenizer`] is trained or loaded, [`tokenize`] turns text into token files, [`TokenFile`] maps one, and
//! [`Sequences`](super::Sequences) draws from it.

mod bytes;
mod classes;
mod corpus;
mod cuts;
mod documents;
mod end_of_text;
mod file;
mod prepare;
mod replace;
mod tokenizer;
mod train;
mod writer;

#[cfg(test)]
mod tests;

pub use bytes::Utf8Stream;
pub use documents::TextFormat;
pub use end_of_text::EndOfText;
pub use file::{TokenFile, TokenSummary, read_tokens};
pub use prepare::{Counts, LeftOut, Prepared, Reading, TextOptions, TokenizerSource, tokenize, tokenize_with};
pub use tokenizer::{TOKENIZER, Tokenizer};
pub use writer::TokenWriter;
