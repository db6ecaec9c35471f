//! `data.tf_idf`, and what of `[data]` follows from the files.

use std::fmt;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Data;

/// Whether features are weighed by how few training samples have them (TF-IDF).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weighing {
    /// If they are made of text. The values of a file of features are its author's.
    Auto,
    /// Yes (`true`).
    On,
    /// No (`false`).
    Off,
}

impl From<bool> for Weighing {
    fn from(on: bool) -> Self {
        if on { Self::On } else { Self::Off }
    }
}

impl Serialize for Weighing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            _ => serializer.serialize_bool(*self == Self::On),
        }
    }
}

impl<'de> Deserialize<'de> for Weighing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;
        impl Visitor<'_> for Word {
            type Value = Weighing;

            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                out.write_str("true, false or \"auto\"")
            }

            fn visit_bool<E>(self, on: bool) -> Result<Weighing, E> {
                Ok(on.into())
            }

            // Where the default is a word, so is every value of a command line.
            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Weighing, E> {
                match word {
                    "auto" => Ok(Weighing::Auto),
                    "true" => Ok(Weighing::On),
                    "false" => Ok(Weighing::Off),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(word), &self)),
                }
            }
        }
        deserializer.deserialize_any(Word)
    }
}

/// The fewest and the most buckets that are chosen, as powers of two. More of them cost 8 bytes each, and nothing else.
const BUCKETS: (u32, u32) = (18, 22);
/// Bytes of text that a bucket is chosen for. A word has about six, so three features with the runs that begin with it, most of which
/// come again.
const BYTES: u64 = 4;

impl Data {
    /// The same without a choice: of a training file of text (or of features), of about so many bytes.
    pub(crate) fn resolved(&self, text: bool, bytes: u64) -> Self {
        let mut data = self.clone();
        if data.tf_idf == Weighing::Auto {
            data.tf_idf = text.into();
        }
        if data.hash_size == 0 {
            let power = (bytes / BYTES).max(1).next_power_of_two().trailing_zeros();
            data.hash_size = 1 << power.clamp(BUCKETS.0, BUCKETS.1);
        }
        data
    }
}
