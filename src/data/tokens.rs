//! Text as tokens: byte-level BPE, token files, and the sequences that a language model is trained on.
//!
//! [`Tokenizer`] is trained or loaded, `tokenize` turns text into token files, [`TokenFile`] maps one, and
//! [`Sequences`](super::Sequences) draws from it. What reads text is there with the feature `text` only.

mod bytes;
mod file;
mod load;
#[cfg(any(test, not(feature = "text")))]
mod names;
#[cfg(not(feature = "text"))]
mod no_text;
mod replace;
mod tokenizer;
mod writer;

#[cfg(feature = "text")]
mod classes;
#[cfg(feature = "text")]
mod corpus;
#[cfg(feature = "text")]
mod cuts;
#[cfg(feature = "text")]
mod documents;
#[cfg(feature = "text")]
mod encode;
#[cfg(feature = "text")]
mod prepare;
#[cfg(feature = "text")]
mod train;

#[cfg(all(test, feature = "packed", feature = "text"))]
mod tests;

pub use bytes::Utf8Stream;
pub use file::{TokenFile, TokenSummary, read_tokens};
pub use tokenizer::{EndOfText, TOKENIZER, Tokenizer};
pub use writer::TokenWriter;

#[cfg(feature = "text")]
pub use corpus::{LeftOut, PassProgress};
#[cfg(feature = "text")]
pub use documents::{TextFormat, TextOptions};
#[cfg(feature = "text")]
pub use prepare::{Counts, Prepared, TokenizerSource, tokenize, tokenize_with};
