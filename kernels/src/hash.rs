//! Locality-sensitive hashing: vectors to bucket ids, so that near vectors meet in a bucket; and hashing of n-grams.
//!
//! | parameters | near means | a code is | bits a code |
//! |---|---|---|---|
//! | [`SimHash`] | small angle | the sign of one coordinate after a pseudo-random rotation | 1 |
//! | [`CrossPolytope`] | small angle | the largest coordinate in magnitude, with its sign | `log2(2 * coordinates)` |
//! | [`Dwta`] | like order of the coordinates | which of `bin` coordinates is the largest | `ceil(log2(bin))` |
//! | [`MinHash`] | like sets of non-zero coordinates | low bits of the smallest hash in a bin | as asked for |
//! | [`NgramHash`] | equal n-grams | the bucket itself | |
//!
//! The first four are used through [`BucketHash`]: `K` codes side by side are one bucket id, and there are `L` tables
//! with codes of their own, so a vector gets `L` ids ([`Buckets`]). The parameters are made once from a seed by a
//! constructor that allocates; hashing allocates nothing and writes into the caller's slices.
//!
//! Every result is the same on every level, to the bit: either integers and comparisons are all there is, or the floats
//! are added in the same order (the Walsh-Hadamard butterflies are element-wise and their order is fixed).

mod buckets;
mod cross_polytope;
mod densify;
mod dwta;
mod hadamard;
mod minhash;
mod ngram;
mod probes;
mod random;
mod simhash;

pub use buckets::{BucketHash, Buckets, HashError};
pub use cross_polytope::CrossPolytope;
pub use dwta::Dwta;
pub use minhash::MinHash;
pub use ngram::NgramHash;
pub use simhash::SimHash;

#[cfg(test)]
mod tests;
