//! Hashes of vectors to bucket ids, so that near vectors meet in a bucket (locality-sensitive hashing), and hashes of
//! n-grams.
//!
//! | parameters | near means | a code is | bits a code |
//! |---|---|---|---|
//! | [`SimHash`] | small angle | the sign of one coordinate after a pseudo-random rotation | 1 |
//! | [`CrossPolytope`] | small angle | the largest coordinate in magnitude, with its sign | `log2(2 * coordinates)` |
//! | [`Dwta`] | like order of the coordinates | which of `bin` coordinates is the largest | `ceil(log2(bin))` |
//! | [`MinHash`] | like sets of non-zero coordinates | low bits of the smallest hash in a bin | as asked for |
//! | [`NgramHash`] | equal n-grams | the bucket itself | |
//!
//! [`BucketHash`] has the functions of the first four. `K` codes side by side are one bucket id. There are `L` tables
//! with codes of their own, so a vector gets `L` ids ([`Buckets`]). A constructor makes the parameters from a seed and
//! allocates. Hashing allocates nothing and writes into the caller's slices.
//!
//! Every level gives the same ids. Either integers and comparisons are all there is, or floats are added in a fixed
//! order.

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
