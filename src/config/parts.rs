//! `model.parts`: what a classifier consists of.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::Model;
use super::check::wrong;
use crate::error::Result;

names! {
    /// A part of a classifier: see [`parts`](crate::parts).
    PartName {
        /// The memories and the linear rows, as far as each of them helps.
        Auto,
        /// How often features and labels came together.
        Counts,
        /// Training samples that are like a sample.
        Neighbours,
        /// A linear classifier for each label.
        Linear,
        /// Texts of labels.
        Texts,
        /// The network of `[model]`, by itself or beside others.
        Network,
    }
}

impl Model {
    /// Whether there is a network, and not memories and linear rows.
    pub fn is_network(&self) -> bool {
        self.parts == [PartName::Network]
    }

    /// Whether there is a network, by itself or beside memories and linear rows.
    pub fn has_network(&self) -> bool {
        self.parts.contains(&PartName::Network)
    }

    /// Whether `part` may be used.
    pub fn may_use(&self, part: PartName) -> bool {
        self.parts.contains(&part) || self.parts == [PartName::Auto] && part != PartName::Network
    }

    pub(super) fn check_parts(&self) -> Result<()> {
        let refused = |part: Option<PartName>, limit: &str| {
            let value = part.map_or_else(|| "[]".to_owned(), |part| format!("{part:?}").to_lowercase());
            Err(wrong("model.parts", value, limit))
        };
        let twice = (1..self.parts.len()).find(|&at| self.parts[..at].contains(&self.parts[at]));
        match (twice, self.parts.len()) {
            (_, 0) => refused(None, "empty: auto chooses"),
            (Some(at), _) => refused(Some(self.parts[at]), "named twice"),
            (None, 1) => Ok(()),
            _ if self.parts.contains(&PartName::Auto) => refused(Some(PartName::Auto), "only allowed by itself"),
            _ => Ok(()),
        }
    }
}

/// One name, or a list of them.
pub(super) fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PartName>, D::Error> {
    struct Names;
    impl<'de> Visitor<'de> for Names {
        type Value = Vec<PartName>;

        fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
            out.write_str("auto, network, or a list of counts, neighbours, linear, texts and network")
        }

        fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Vec<PartName>, E> {
            PartName::deserialize(StrDeserializer::new(name)).map(|part| vec![part])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<PartName>, A::Error> {
            let mut parts = Vec::new();
            while let Some(name) = list.next_element::<String>()? {
                parts.extend(Names.visit_str::<A::Error>(&name)?);
            }
            Ok(parts)
        }
    }
    deserializer.deserialize_any(Names)
}
