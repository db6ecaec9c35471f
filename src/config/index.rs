//! Which index names rows, and its options.

use std::fmt;
use std::sync::RwLock;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::check::{within, wrong};
use crate::error::Result;

/// Which rows are guessed to matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexName {
    /// All: the network is dense.
    All,
    /// None but the labels; everything else is the random tail.
    Random,
    /// Signs of random projections.
    Simhash,
    /// Which of a bin of coordinates is largest.
    Dwta,
    /// Sets of the largest coordinates.
    Minhash,
    /// The largest coordinate after a rotation.
    CrossPolytope,
    /// Balanced clusters of rows.
    Blocks,
    /// The rows with the largest scores: an oracle that costs what dense costs.
    Exact,
    /// Labels by the features that they came with in the training set.
    Inverted,
    /// One that this program has [registered](crate::index::register).
    Own(&'static str),
}

use IndexName::{All, Blocks, CrossPolytope, Dwta, Exact, Inverted, Minhash, Own, Random, Simhash};

const BUILT_IN: [IndexName; 9] = [All, Random, Simhash, Dwta, Minhash, CrossPolytope, Blocks, Exact, Inverted];
const NAMES: [&str; 9] =
    ["all", "random", "simhash", "dwta", "minhash", "cross-polytope", "blocks", "exact", "inverted"];

/// Names that programs have registered.
static OWN: RwLock<Vec<&'static str>> = RwLock::new(Vec::new());

impl IndexName {
    /// The name in configurations.
    ///
    /// ```
    /// assert_eq!(hotrow::config::IndexName::CrossPolytope.as_str(), "cross-polytope");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Own(name) => name,
            built_in => NAMES[BUILT_IN.iter().position(|&other| other == built_in).expect("all are listed")],
        }
    }

    /// The index of this name, built in or registered.
    pub(crate) fn known(name: &str) -> Option<IndexName> {
        let own = || OWN.read().expect("no writer panics").iter().find(|&&own| own == name).map(|&own| Own(own));
        NAMES.iter().position(|&built_in| built_in == name).map(|at| BUILT_IN[at]).or_else(own)
    }

    /// Lets configurations have this name from now on, unless they could already.
    pub(crate) fn allow(name: &'static str) -> bool {
        let new = IndexName::known(name).is_none();
        if new {
            OWN.write().expect("no writer panics").push(name);
        }
        new
    }
}

impl fmt::Display for IndexName {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for IndexName {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for IndexName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        IndexName::known(&name).ok_or_else(|| serde::de::Error::unknown_variant(&name, &NAMES))
    }
}

/// What an index is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexOptions {
    /// Which one.
    pub index: IndexName,
    /// Hash tables (L), where it has some.
    pub tables: usize,
    /// Codes of a bucket id (K); 0 means chosen from the number of rows.
    pub codes: usize,
    /// Extra buckets or blocks that are looked up, where it can.
    pub probes: usize,
    /// Rows of a block, where it has blocks; labels that a feature holds, where features do.
    pub block: usize,
}

impl Default for IndexOptions {
    fn default() -> Self {
        Self { index: Blocks, tables: 32, codes: 0, probes: 0, block: 32 }
    }
}

impl IndexOptions {
    /// About how many bytes the index of `rows` rows of `cols` numbers takes; 0 for one of a program's own, and for one of
    /// which data decide.
    ///
    /// ```
    /// use hotrow::config::{IndexName, IndexOptions};
    /// let options = IndexOptions { index: IndexName::Simhash, tables: 10, ..IndexOptions::default() };
    /// assert_eq!(options.bytes(1000, 64), 80_000);
    /// ```
    pub fn bytes(&self, rows: usize, cols: usize) -> u64 {
        let bytes = match self.index {
            Random | All | Exact | Inverted | Own(_) => 0,
            Blocks => 8 * rows + rows / self.block.max(1) * (cols + 2) * 4,
            // The bucket of each row in each table, and the rows of each bucket.
            Simhash | Dwta | Minhash | CrossPolytope => 2 * 4 * self.tables * rows,
        };
        bytes as u64
    }

    /// An error if a value is out of its range; keys begin with `section`.
    pub(super) fn check(&self, section: &str) -> Result<()> {
        if self.index == Inverted && section != "sparse" {
            return Err(wrong(&format!("{section}.index"), Inverted, "for the sparse inputs of `train xmc` only"));
        }
        within(&format!("{section}.block"), self.block, 1, 1 << 24)?;
        within(&format!("{section}.tables"), self.tables, 1, 1 << 16)?;
        within(&format!("{section}.codes"), self.codes, 0, 32)?;
        within(&format!("{section}.probes"), self.probes, 0, 1 << 24)
    }
}
