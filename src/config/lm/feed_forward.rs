//! `[feed_forward]` of a language model: which neurons of a feed-forward layer a token computes.

use serde::{Deserialize, Serialize};

use crate::config::check::{number, within, wrong};
use crate::config::lm::Model;
use crate::config::lm::model::Activation;
use crate::config::{IndexName, IndexOptions};
use crate::error::Result;

/// Who chooses a token's neurons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeedForwardKind {
    /// Nobody: all are computed.
    Dense,
    /// An index names single neurons (SLIDE).
    Sampled,
    /// A learned router names blocks of neurons.
    Blocks,
}

/// `[feed_forward]`
///
/// ```
/// use hotrow::config::lm::{FeedForwardOptions, Model, feed_forward::FeedForwardKind};
/// let options = FeedForwardOptions { kind: FeedForwardKind::Blocks, neurons: 64, chosen: 4, ..Default::default() };
/// options.check(&Model::preset("base")?)?;
/// # Ok::<(), hotrow::error::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeedForwardOptions {
    /// Who chooses.
    pub kind: FeedForwardKind,
    /// Neurons that a token computes, where an index chooses.
    pub active: usize,
    /// The index.
    pub index: IndexName,
    /// Steps between rebuilds of the index.
    pub rebuild_every: u64,
    /// Rows of a block of the index, where it has blocks.
    pub block: usize,
    /// Hash tables, where the index has some.
    pub tables: usize,
    /// Codes of a bucket id; 0 means chosen from the number of neurons.
    pub codes: usize,
    /// Extra buckets or blocks that are looked up.
    pub probes: usize,
    /// Neurons of a block, where a router chooses: 32 or more fill the tiles of a product.
    pub neurons: usize,
    /// Blocks that a token computes.
    pub chosen: usize,
    /// How far a step moves the offset with which an over-used or under-used block is chosen (Wang et al. 2024); 0 for not at all.
    pub balance: f32,
}

impl Default for FeedForwardOptions {
    fn default() -> Self {
        Self {
            kind: FeedForwardKind::Dense,
            active: 128,
            index: IndexName::Simhash,
            rebuild_every: 50,
            block: 32,
            tables: 16,
            codes: 0,
            probes: 0,
            neurons: 64,
            chosen: 4,
            balance: 0.001,
        }
    }
}

impl FeedForwardOptions {
    /// What the index is made with.
    pub fn index_options(&self) -> IndexOptions {
        let &Self { index, block, tables, codes, probes, .. } = self;
        IndexOptions { index, tables, codes, probes, block }
    }

    /// Whether every value is in its range and fits the `model`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::error::Error::Config) with the first key that cannot be, its value and the limit.
    pub fn check(&self, model: &Model) -> Result<()> {
        within("feed_forward.active", self.active, 1, 1 << 20)?;
        within("feed_forward.rebuild_every", self.rebuild_every as usize, 1, 1 << 31)?;
        self.index_options().check("feed_forward")?;
        within("feed_forward.neurons", self.neurons, 1, 1 << 20)?;
        within("feed_forward.chosen", self.chosen, 1, 1 << 20)?;
        number("feed_forward.balance", self.balance, self.balance >= 0.0, "not at least 0")?;
        if self.kind == FeedForwardKind::Sampled && matches!(self.index, IndexName::All | IndexName::Random) {
            return Err(wrong("feed_forward.index", "all or random", "no choice of neurons"));
        }
        if self.kind != FeedForwardKind::Dense && model.activation != Activation::ReluSquared {
            let limit = "for feed_forward.kind = \"dense\" only: chosen neurons have no gate";
            return Err(wrong("model.activation", "swiglu", limit));
        }
        let inner = model.inner();
        if self.kind == FeedForwardKind::Sampled && self.active > inner {
            return Err(wrong(
                "feed_forward.active",
                self.active,
                format_args!("above the {inner} neurons of a layer"),
            ));
        }
        if self.kind == FeedForwardKind::Blocks {
            if !inner.is_multiple_of(self.neurons) {
                let limit = format_args!("no divisor of the {inner} neurons of a layer");
                return Err(wrong("feed_forward.neurons", self.neurons, limit));
            }
            let blocks = inner / self.neurons;
            if self.chosen > blocks {
                return Err(wrong("feed_forward.chosen", self.chosen, format_args!("above the {blocks} blocks")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let wrong = |kind, change: fn(&mut FeedForwardOptions)| {
            let mut options = FeedForwardOptions { kind, ..Default::default() };
            change(&mut options);
            options.check(&Model::default()).unwrap_err().to_string()
        };
        let blocks = FeedForwardKind::Blocks;
        assert!(wrong(blocks, |options| options.neurons = 1000).contains("no divisor of the 1536 neurons"));
        assert!(wrong(blocks, |options| options.chosen = 25).contains("above the 24 blocks"));
        assert!(wrong(blocks, |options| options.balance = -1.0).starts_with("feed_forward.balance: -1"));
        let active = wrong(FeedForwardKind::Sampled, |options| options.active = 1537);
        assert_eq!(active, "feed_forward.active: 1537 is above the 1536 neurons of a layer");
        let random = wrong(FeedForwardKind::Sampled, |options| options.index = IndexName::Random);
        assert!(random.starts_with("feed_forward.index"));
        let gated = Model { activation: Activation::Swiglu, ..Model::default() };
        for kind in [FeedForwardKind::Sampled, FeedForwardKind::Blocks] {
            let options = FeedForwardOptions { kind, ..Default::default() };
            assert!(options.check(&gated).unwrap_err().to_string().starts_with("model.activation: swiglu is for"));
        }
        FeedForwardOptions::default().check(&gated).unwrap();
    }
}
