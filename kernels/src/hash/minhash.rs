//! MinHash by one permutation (Broder 1997; Li, Owen and Zhang 2012) with b-bit codes (Li and König 2010).

use super::buckets::{Buckets, Family, HashError, in_range};
use super::densify::{EMPTY, fill_empty};
use super::random::mix;
use crate::SparseRow;
use crate::simd::{Simd, Weight};

/// Parameters of MinHash over the set of coordinates that are not zero. NaN is not zero.
///
/// One hash of an index names a bin and a value. It takes the place of a permutation for each code. The code of a bin
/// is the low `bits` bits of its smallest value. An empty bin borrows from another, which a fixed random probe sequence
/// finds (optimal densification, Shrivastava 2017). Two sets agree in a code with probability `J + (1 - J) / 2^bits`,
/// where `J` is their Jaccard similarity. The empty set has code 0 everywhere.
#[derive(Clone, Debug)]
pub struct MinHash {
    buckets: Buckets,
    dim: usize,
    seed: u64,
}

impl MinHash {
    /// For vectors of `dim` numbers, `codes` (K) of `bits` bits in each of `tables` bucket ids (L). Keeps a few words
    /// whatever `dim` is.
    ///
    /// # Errors
    ///
    /// If `dim` is 0 or above 2^32 - 1, `bits` not in 1..=16, `codes` or `tables` 0, or the bits of a bucket id more than
    /// 32.
    ///
    /// ```
    /// use hotrow_kernels::hash::{BucketHash, MinHash};
    /// let hash = MinHash::new(1, 1 << 30, 4, 50, 5)?;
    /// assert_eq!(hash.buckets().per_table(), 1 << 20);
    /// assert!(MinHash::new(1, 1 << 30, 4, 50, 9).is_err());
    /// # Ok::<(), hotrow_kernels::hash::HashError>(())
    /// ```
    pub fn new(seed: u64, dim: usize, codes: usize, tables: usize, bits: u32) -> Result<Self, HashError> {
        in_range("dim", dim, 1, u32::MAX as usize)?;
        in_range("bits", bits as usize, 1, 16)?;
        Ok(Self { buckets: Buckets::new(codes, tables, bits)?, dim, seed: mix(seed ^ 0x3141) })
    }

    /// Puts one index into its bin.
    #[inline(always)]
    fn insert(&self, smallest: &mut [u32], index: u32) {
        // A bijection of the index for each seed: the upper half scaled names the bin, 31 bits of the lower are the
        // value, which cannot be EMPTY.
        let word = mix(self.seed.wrapping_add(mix(index as u64)));
        let bin = ((word >> 32) * smallest.len() as u64) >> 32;
        let smallest = &mut smallest[bin as usize];
        *smallest = (*smallest).min(word as u32 >> 1);
    }

    #[inline(always)]
    fn finish(&self, out: &mut [u32], smallest: &mut [u32]) {
        let low = (1 << self.buckets.bits()) - 1;
        for code in smallest.iter_mut().filter(|code| **code != EMPTY) {
            *code &= low;
        }
        fill_empty(smallest, self.seed);
        self.buckets.pack(out, smallest);
    }
}

impl Family for MinHash {
    fn layout(&self) -> Buckets {
        self.buckets
    }

    fn vector_len(&self) -> usize {
        self.dim
    }

    fn scratch_words(&self) -> usize {
        self.buckets.all_codes()
    }

    #[inline(always)]
    fn hash_dense<S: Simd, W: Weight>(&self, s: S, out: &mut [u32], x: &[W], scratch: &mut [f32]) {
        let smallest = bytemuck::cast_slice_mut::<f32, u32>(scratch);
        smallest.fill(EMPTY);
        for (at, x) in x.chunks(S::LANES).enumerate() {
            let magnitude = s.and(s.to_bits(W::load_partial(s, x)), s.splat_u32(0x7fff_ffff));
            let zero = s.bits(s.eq_u32(magnitude, s.splat_u32(0)));
            // Lanes past a tail read as zero.
            let mut present = !zero & ((1 << S::LANES) - 1);
            while present != 0 {
                self.insert(smallest, (at * S::LANES) as u32 + present.trailing_zeros());
                present &= present - 1;
            }
        }
        self.finish(out, smallest);
    }

    #[inline(always)]
    fn hash_sparse<S: Simd>(&self, _: S, out: &mut [u32], x: SparseRow, scratch: &mut [f32]) {
        let smallest = bytemuck::cast_slice_mut::<f32, u32>(scratch);
        smallest.fill(EMPTY);
        for (&index, &value) in x.indices().iter().zip(x.values()) {
            if value != 0.0 {
                self.insert(smallest, index);
            }
        }
        self.finish(out, smallest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;
    use crate::hash::BucketHash;

    fn ids(hash: &MinHash, set: impl Iterator<Item = u32>) -> Vec<u32> {
        let indices: Vec<u32> = set.collect();
        let values = vec![1.0; indices.len()];
        let mut out = vec![0; hash.buckets.tables()];
        let x = SparseRow::new(&indices, &values, hash.dim).unwrap();
        hash.sparse(Level::PORTABLE, &mut out, x, &mut vec![0.0; hash.scratch_len()]);
        out
    }

    /// One code of each of many independent hashes, so the count is binomial with `p = J + (1 - J) / 2^bits`: six
    /// standard deviations. Sets of 30 in 64 bins leave many bins empty, sets of 3000 none.
    #[test]
    fn codes_agree_as_often_as_the_jaccard_similarity_says() {
        let trials = 10_000;
        for (size, shared, bits) in [(30, 15, 16), (30, 29, 1), (3000, 1500, 4), (30, 0, 4), (200, 100, 2)] {
            let agreed = (0..trials).filter(|&seed| {
                let hash = MinHash::new(seed, 1 << 20, 1, 64, bits).unwrap();
                let spread = |i: u32| i * 150 + 7;
                let one = ids(&hash, (0..size).map(spread));
                let other = ids(&hash, (size - shared..2 * size - shared).map(spread));
                let table = seed as usize % 64;
                one[table] == other[table]
            });
            let jaccard = shared as f64 / (2 * size - shared) as f64;
            let p = jaccard + (1.0 - jaccard) / (1 << bits) as f64;
            let (got, mean) = (agreed.count() as f64, trials as f64 * p);
            let deviation = (mean * (1.0 - p)).sqrt();
            assert!((got - mean).abs() <= 6.0 * deviation, "J {jaccard}, {bits} bits: {got} where {mean} are expected");
        }
    }

    #[test]
    fn fields_are_disjoint_and_use_every_bit() {
        let hash = MinHash::new(1, 1000, 3, 7, 5).unwrap();
        let single = MinHash::new(1, 1000, 1, 21, 5).unwrap();
        let (mut ever_set, mut ever_clear) = (0, 0);
        for set in 0..100_u32 {
            let members = || (0..1000).filter(move |i| i % 100 == set || i % 7 == set % 7);
            for (table, id) in ids(&hash, members()).into_iter().enumerate() {
                let codes = &ids(&single, members())[3 * table..][..3];
                assert_eq!(id, codes[0] | codes[1] << 5 | codes[2] << 10);
                (ever_set, ever_clear) = (ever_set | id, ever_clear | !id);
            }
        }
        assert_eq!((ever_set, ever_clear & 0x7fff), (0x7fff, 0x7fff));
    }
}
