//! `[head]` of a language model: how the output layer is trained.

use serde::{Deserialize, Serialize};

use crate::config::check::{counts, number, within, wrong};
use crate::config::{IndexName, IndexOptions};
use crate::error::Result;

/// How the output layer is trained. Evaluation is exact whatever is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadMode {
    /// Softmax over all tokens of the vocabulary.
    Dense,
    /// Softmax over frequent tokens, targets, tokens that an index names, and random tokens that stand for the rest.
    Sampled,
}

/// `[head]`
///
/// ```
/// use hotrow::config::lm::{Head, head::HeadMode};
/// let head = Head { mode: HeadMode::Sampled, ..Head::default() };
/// head.check()?;
/// assert_eq!(head.rows(50_257), 5026);
/// # Ok::<(), hotrow::error::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Head {
    /// All tokens of the vocabulary, or a sample.
    pub mode: HeadMode,
    /// Tokens of a sample, more if there are more targets; 0 means a tenth of the vocabulary, but 2048 at least.
    pub active: usize,
    /// The most frequent tokens, always in the sample: see [`hot`](Self::hot()).
    pub hot: usize,
    /// Share of `active` that is random tokens: below 512 of them the estimate of the loss is low by more than noise.
    pub tail: f32,
    /// The index that names likely tokens.
    pub index: IndexName,
    /// Most tokens that the index names for one position.
    pub hits: usize,
    /// Positions that share a sample.
    pub chunk: usize,
    /// Steps between rebuilds of the index.
    pub rebuild_every: u64,
    /// Rows of a block, where the index has blocks.
    pub block: usize,
    /// Hash tables, where the index has some.
    pub tables: usize,
    /// Codes of a bucket id; 0 means chosen from the number of rows.
    pub codes: usize,
    /// Extra buckets or blocks that are looked up.
    pub probes: usize,
    /// Steps between looks at how good samples are (recall, share of the softmax, drift of its sum), which compute all tokens for 32
    /// positions; 0 for none.
    pub inspect_every: u64,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            mode: HeadMode::Dense,
            active: 0,
            hot: 1024,
            tail: 0.3,
            index: IndexName::Blocks,
            hits: 16,
            chunk: 512,
            rebuild_every: 100,
            block: 32,
            tables: 16,
            codes: 0,
            probes: 0,
            inspect_every: 500,
        }
    }
}

impl Head {
    /// Tokens of a sample.
    ///
    /// ```
    /// let head = hotrow::config::lm::Head::default();
    /// assert_eq!([300, 8192, 50_257].map(|vocabulary| head.rows(vocabulary)), [300, 2048, 5026]);
    /// ```
    pub fn rows(&self, vocabulary: usize) -> usize {
        // Fewer have no room for labels, hits and a tail that estimates well.
        let active = if self.active == 0 { vocabulary.div_ceil(10).max(2048) } else { self.active };
        active.min(vocabulary)
    }

    /// Rows that a chunk of positions computes in a training step.
    ///
    /// ```
    /// use hotrow::config::{IndexName, lm::{Head, head::HeadMode}};
    /// let [dense, sampled] = [HeadMode::Dense, HeadMode::Sampled].map(|mode| Head { mode, ..Head::default() });
    /// let all = Head { index: IndexName::All, ..sampled.clone() };
    /// assert_eq!([dense, sampled, all].map(|head| head.computed(50_257)), [50_257, 5026, 50_257]);
    /// ```
    pub fn computed(&self, vocabulary: usize) -> usize {
        match (self.mode, self.index) {
            (HeadMode::Dense, _) | (_, IndexName::All) => vocabulary,
            _ => self.rows(vocabulary),
        }
    }

    /// Tokens that are in every sample, of a vocabulary of so many: no more than half of what the random tail leaves, the rest of
    /// which the index names.
    ///
    /// ```
    /// let head = hotrow::config::lm::Head::default();
    /// assert_eq!([8192, 50_257].map(|vocabulary| head.hot(vocabulary)), [717, 1024]);
    /// ```
    pub fn hot(&self, vocabulary: usize) -> usize {
        let rows = self.rows(vocabulary);
        self.hot.min((rows - self.tail(vocabulary)) / 2)
    }

    /// Random tokens of a sample.
    pub(crate) fn tail(&self, vocabulary: usize) -> usize {
        (self.tail * self.rows(vocabulary) as f32).round() as usize
    }

    /// What the index is made with.
    pub fn options(&self) -> IndexOptions {
        let &Self { index, block, tables, codes, probes, .. } = self;
        IndexOptions { index, tables, codes, probes, block }
    }

    /// Whether every value is in its range.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::error::Error::Config) with the first key that cannot be, its value and the limit.
    pub fn check(&self) -> Result<()> {
        within("head.active", self.active, 0, 1 << 31)?;
        within("head.hot", self.hot, 0, 1 << 31)?;
        number("head.tail", self.tail, (0.0..=1.0).contains(&self.tail), "not from 0 to 1")?;
        within("head.hits", self.hits, 0, 1 << 16)?;
        within("head.chunk", self.chunk, 1, 1 << 16)?;
        within("head.rebuild_every", self.rebuild_every as usize, 1, 1 << 31)?;
        counts("head.inspect_every", self.inspect_every, 0)?;
        self.options().check("head")?;
        if self.mode == HeadMode::Sampled && self.tail == 0.0 && self.index != IndexName::All {
            return Err(wrong(
                "head.tail",
                0,
                "too few: without random tokens nothing stands for those that are left out",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let wrong = |change: fn(&mut Head)| {
            let mut head = Head { mode: HeadMode::Sampled, ..Head::default() };
            change(&mut head);
            head.check().unwrap_err().to_string()
        };
        assert_eq!(wrong(|head| head.chunk = 0), "head.chunk: 0 is not at least 1");
        assert!(wrong(|head| head.tail = 1.5).starts_with("head.tail: 1.5"));
        assert!(wrong(|head| head.tail = 0.0).starts_with("head.tail: 0 is too few"));
        assert!(wrong(|head| head.rebuild_every = 0).starts_with("head.rebuild_every: 0"));
        assert!(wrong(|head| head.codes = 33).starts_with("head.codes: 33"));
    }
}
