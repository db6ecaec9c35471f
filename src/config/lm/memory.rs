//! `[memory]` of a language model: an associative memory of keys and values.

use serde::{Deserialize, Serialize};

use super::rows;
use crate::config::check::{within, wrong};
use crate::config::lm::{Model, ngram};
use crate::config::{IndexName, IndexOptions, Optim, OptimizerName, Storage};
use crate::error::Result;

/// How slots are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeysName {
    /// A slot's key is a pair of learned halves, of which there are `sqrt(slots)` each (Lample et al. 2019): exact, and cheap.
    Product,
    /// Every slot has a key of its own, and all are compared.
    Exact,
    /// Every slot has a key of its own; candidates share a bucket of signs of projections with the query.
    Simhash,
    /// The same with the largest of a bin of coordinates.
    Dwta,
    /// The same with sets of the largest coordinates.
    Minhash,
    /// The same with the largest coordinate after a rotation.
    CrossPolytope,
    /// Every slot has a key of its own; candidates are in the best of balanced clusters.
    Blocks,
}

/// `[memory]`: layers that read a few tens of a large number of slots for each token (Memory Layers at Scale, Berges et al. 2024).
/// Off unless `slots` is set.
///
/// ```
/// use hotrow::config::lm::{Memory, Model};
/// let memory = Memory { slots: 1 << 18, value_width: 256, ..Memory::default() };
/// let model = Model::preset("base")?;
/// memory.check(&model)?;
/// assert_eq!(memory.blocks(&model), [4]);
/// # Ok::<(), hotrow::error::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    /// Keys and values; 0 for no memory. Product keys want a square.
    pub slots: usize,
    /// Blocks (from 0) before which it is read. All read the same values; empty means the middle one.
    pub layers: Vec<usize>,
    /// Queries of a token.
    pub heads: usize,
    /// Slots that each of them reads.
    pub reads: usize,
    /// Numbers of a query.
    pub key_width: usize,
    /// Numbers of a value; 0 means `model.width`.
    pub value_width: usize,
    /// How slots are found.
    pub keys: KeysName,
    /// How values (and keys of their own) are stored.
    pub storage: Storage,
    /// The rule that moves them.
    pub optimizer: OptimizerName,
    /// They move with this multiple of the trunk's learning rate. It hardly matters on 200 000 tokens (`tiny`, product keys, one seed):
    /// a loss of 6.464 with 2, 6.465 with 5 and 6.463 with 10, without a memory 6.460.
    pub lr_factor: f32,
    /// Decoupled weight decay of values (and keys of their own).
    pub weight_decay: f32,
    /// Adam's averages of them take 1 byte each instead of 4.
    pub eight_bit: bool,
    /// Steps between rebuilds of the index, where keys have one.
    pub rebuild_every: u64,
    /// Rows of a block, where keys have blocks.
    pub block: usize,
    /// Hash tables, where keys have some.
    pub tables: usize,
    /// Codes of a bucket id; 0 means chosen from the number of slots.
    pub codes: usize,
    /// Extra buckets or blocks that are looked up.
    pub probes: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            slots: 0,
            layers: Vec::new(),
            heads: 4,
            reads: 8,
            key_width: 128,
            value_width: 0,
            keys: KeysName::Product,
            storage: Storage::Bf16,
            optimizer: OptimizerName::RowwiseAdagrad,
            lr_factor: 2.0,
            weight_decay: 0.0,
            eight_bit: false,
            rebuild_every: 100,
            block: 32,
            tables: 16,
            codes: 0,
            probes: 0,
        }
    }
}

impl Memory {
    /// Whether there is one.
    ///
    /// ```
    /// assert!(!hotrow::config::lm::Memory::default().is_on());
    /// ```
    pub fn is_on(&self) -> bool {
        self.slots > 0
    }

    /// The blocks of a `model` before which it is read, increasing.
    pub fn blocks(&self, model: &Model) -> Vec<usize> {
        if self.layers.is_empty() { vec![model.layers / 2] } else { self.layers.clone() }
    }

    /// Numbers of a value, beside a stream of `width` numbers.
    pub fn values(&self, width: usize) -> usize {
        if self.value_width == 0 { width } else { self.value_width }
    }

    /// Halves of product keys on either side: the root of `slots`, rounded down.
    pub fn halves(&self) -> usize {
        self.slots.isqrt()
    }

    /// The rule that moves values, and keys of their own.
    pub fn rule(&self) -> Optim {
        rows::rule(self.optimizer, self.eight_bit, self.weight_decay)
    }

    /// What the index of the keys is made with; `None` for product keys.
    pub fn index_options(&self) -> Option<IndexOptions> {
        let index = match self.keys {
            KeysName::Product => return None,
            KeysName::Exact => IndexName::Exact,
            KeysName::Simhash => IndexName::Simhash,
            KeysName::Dwta => IndexName::Dwta,
            KeysName::Minhash => IndexName::Minhash,
            KeysName::CrossPolytope => IndexName::CrossPolytope,
            KeysName::Blocks => IndexName::Blocks,
        };
        let &Self { block, tables, codes, probes, .. } = self;
        Some(IndexOptions { index, tables, codes, probes, block })
    }

    /// Whether every value is in its range and fits the `model`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::error::Error::Config) with the first key that cannot be, its value and the limit.
    pub fn check(&self, model: &Model) -> Result<()> {
        within("memory.slots", self.slots, 0, 1 << 31)?;
        within("memory.heads", self.heads, 1, 1 << 10)?;
        within("memory.reads", self.reads, 1, 1 << 16)?;
        within("memory.key_width", self.key_width, 2, 1 << 16)?;
        within("memory.value_width", self.value_width, 0, 1 << 16)?;
        within("memory.rebuild_every", self.rebuild_every as usize, 1, 1 << 31)?;
        let &Self { block, tables, codes, probes, .. } = self;
        IndexOptions { index: IndexName::All, tables, codes, probes, block }.check("memory")?;
        ngram::layers("memory.layers", &self.layers, model)?;
        rows::check("memory", self.optimizer, self.eight_bit, self.lr_factor, self.weight_decay)?;
        if self.keys == KeysName::Product {
            if self.halves().pow(2) != self.slots {
                let limit = format_args!("no square; {} is near", self.halves().pow(2));
                return Err(wrong("memory.slots", self.slots, limit));
            }
            if !self.key_width.is_multiple_of(2) {
                return Err(wrong("memory.key_width", self.key_width, "odd, and product keys have two halves"));
            }
        }
        let most = if self.keys == KeysName::Product { self.halves() } else { self.slots };
        if self.is_on() && self.reads > most {
            return Err(wrong("memory.reads", self.reads, format_args!("above the keys that there are ({most})")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let wrong = |change: fn(&mut Memory)| {
            let mut memory = Memory { slots: 256, ..Memory::default() };
            change(&mut memory);
            memory.check(&Model::default()).unwrap_err().to_string()
        };
        assert_eq!(wrong(|memory| memory.slots = 1000), "memory.slots: 1000 is no square; 961 is near");
        assert!(wrong(|memory| memory.reads = 17).contains("above the keys that there are (16)"));
        assert!(wrong(|memory| memory.key_width = 7).starts_with("memory.key_width: 7 is odd"));
        assert!(wrong(|memory| memory.layers = vec![9]).starts_with("memory.layers: 9"));
        assert!(wrong(|memory| memory.heads = 0).starts_with("memory.heads: 0"));
        assert!(wrong(|memory| memory.eight_bit = true).starts_with("memory.eight_bit: true is for adam"));
        assert!(wrong(|memory| memory.lr_factor = f32::INFINITY).starts_with("memory.lr_factor"));
        let exact = Memory { slots: 1000, keys: KeysName::Exact, ..Memory::default() };
        exact.check(&Model::default()).unwrap();
    }
}
