//! The hash functions of tables, and how many codes they need for a number of rows.

use crate::kernels::hash::{BucketHash, Buckets, CrossPolytope, Dwta, HashError, MinHash, SimHash};
use crate::kernels::reduce::top_k;
use crate::kernels::{Level, SparseRow};

/// Rows in a bucket if all were equally full. Fewer rows miss near ones; more are mostly far ones. Of the 16 best of 50
/// 000 rows in clusters, 32 SimHash tables found 21 % with 12 rows a bucket, 41 % with 49, and 47 % with 195. The last
/// took three times as long.
const OCCUPANCY: usize = 32;

/// Coordinates of a bin of [`Dwta`], as in SLIDE.
const BIN: usize = 8;

/// Bits of a code of [`MinHash`]. Far sets with an eighth of the coordinates agree in a code with probability 1/15 +
/// 1/32 or so. That is worth [`MINHASH_WORTH`] bits.
const MINHASH_BITS: u32 = 5;

/// See [`MINHASH_BITS`]: `-log2(1 / 15 + 1 / 32)`.
const MINHASH_WORTH: f64 = 3.35;

/// A [`MinHash`] set holds this share of the coordinates: those with the largest values.
const SHARE: usize = 8;

/// The hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HashName {
    /// [`SimHash`].
    SimHash,
    /// [`CrossPolytope`].
    CrossPolytope,
    /// [`Dwta`].
    Dwta,
    /// [`MinHash`].
    MinHash,
}

#[derive(Debug)]
pub(super) enum Family {
    SimHash(SimHash),
    CrossPolytope(CrossPolytope),
    Dwta(Dwta),
    MinHash(MinHash),
}

/// Working memory of one thread.
#[derive(Debug, Default)]
pub(super) struct HashScratch {
    words: Vec<f32>,
    members: Vec<u32>,
    values: Vec<f32>,
}

impl Family {
    /// For vectors of length `dim` with a bias. `codes` 0 means as many as `rows` need.
    pub fn new(
        name: HashName,
        seed: u64,
        rows: usize,
        dim: usize,
        codes: usize,
        tables: usize,
    ) -> Result<Self, HashError> {
        let wanted = ((rows / OCCUPANCY).max(2) as f64).log2();
        let codes_for = |worth: f64, bits: u32| match codes {
            0 => ((wanted / worth).round() as usize).clamp(1, 32 / bits as usize),
            _ => codes,
        };
        Ok(match name {
            HashName::SimHash => Self::SimHash(SimHash::new(seed, dim + 1, codes_for(1.0, 1), tables)?),
            HashName::CrossPolytope => {
                let most = (dim + 1).next_power_of_two().max(16).ilog2();
                // The fewest codes that are enough, then as few coordinates as these need.
                let codes = if codes == 0 { (wanted / (most + 1) as f64).ceil() as usize } else { codes };
                let bits = (wanted / codes as f64).ceil().clamp(1.0, (most + 1) as f64) as u32;
                let bits = bits.min((32 / codes.max(1) as u32).max(1));
                Self::CrossPolytope(CrossPolytope::new(seed, dim + 1, codes, tables, 1 << (bits - 1))?)
            }
            HashName::Dwta => {
                let bits = BIN.ilog2();
                Self::Dwta(Dwta::new(seed, dim, codes_for(bits as f64, bits), tables, BIN)?)
            }
            HashName::MinHash => {
                let codes = codes_for(MINHASH_WORTH, MINHASH_BITS);
                Self::MinHash(MinHash::new(seed, dim, codes, tables, MINHASH_BITS)?)
            }
        })
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::SimHash(_) => "simhash",
            Self::CrossPolytope(_) => "cross-polytope",
            Self::Dwta(_) => "dwta",
            Self::MinHash(_) => "minhash",
        }
    }

    pub fn buckets(&self) -> Buckets {
        match self {
            Self::SimHash(hash) => hash.buckets(),
            Self::CrossPolytope(hash) => hash.buckets(),
            Self::Dwta(hash) => hash.buckets(),
            Self::MinHash(hash) => hash.buckets(),
        }
    }

    /// Writes the bucket ids of `x` (dim + 1) to `out` (tables). Hashes by the order of coordinates leave out the bias,
    /// the last one.
    pub fn ids(&self, level: Level, out: &mut [u32], x: &[f32], scratch: &mut HashScratch) {
        fn dense(hash: &impl BucketHash, level: Level, out: &mut [u32], x: &[f32], scratch: &mut HashScratch) {
            scratch.words.resize(scratch.words.len().max(hash.scratch_len()), 0.0);
            hash.dense(level, out, x, &mut scratch.words);
        }
        let (_, without_bias) = x.split_last().expect("a row and its bias");
        match self {
            Self::SimHash(hash) => dense(hash, level, out, x, scratch),
            Self::CrossPolytope(hash) => dense(hash, level, out, x, scratch),
            Self::Dwta(hash) => dense(hash, level, out, without_bias, scratch),
            Self::MinHash(hash) => {
                let HashScratch { words, members, values } = scratch;
                words.resize(words.len().max(hash.scratch_len()), 0.0);
                let x = without_bias;
                let count = x.len().div_ceil(SHARE);
                members.resize(count, 0);
                values.resize(count, 0.0);
                top_k(level, x, members, values);
                members.sort_unstable();
                values.fill(1.0);
                let set = SparseRow::new(members, values, x.len()).expect("top_k gives different places");
                hash.sparse(level, out, set, words);
            }
        }
    }

    /// Floating-point operations of [`Family::ids`]: additions and products of the rotations. DWTA and MinHash only
    /// compare.
    pub fn flops(&self, dim: usize) -> usize {
        let (rounds, coordinates) = match self {
            Self::SimHash(hash) => (2, hash.buckets().codes() * hash.buckets().tables()),
            Self::CrossPolytope(hash) => {
                let of_code = 1_usize << (hash.buckets().bits() - 1);
                (3, of_code * hash.buckets().codes() * hash.buckets().tables())
            }
            Self::Dwta(_) | Self::MinHash(_) => return 0,
        };
        let padded = (dim + 1).next_power_of_two().max(16);
        coordinates.div_ceil(padded) * rounds * padded * (1 + padded.ilog2() as usize)
    }

    /// Writes the other buckets of `x` in `table` to `out`, best first; returns how many. Only cross-polytope hashing
    /// has any: it knows which of its codes were close calls.
    pub fn probes(&self, level: Level, out: &mut [u32], x: &[f32], table: usize, scratch: &mut HashScratch) -> usize {
        let Self::CrossPolytope(hash) = self else { return 0 };
        if out.is_empty() {
            return 0;
        }
        scratch.words.resize(scratch.words.len().max(hash.probe_scratch_len(out.len() + 1)), 0.0);
        scratch.members.resize(out.len() + 1, 0);
        // The first is the bucket of `x` itself.
        let found = hash.probes(level, &mut scratch.members, x, table, &mut scratch.words);
        let others = &scratch.members[..found][1.min(found)..];
        out[..others.len()].copy_from_slice(others);
        others.len()
    }
}
