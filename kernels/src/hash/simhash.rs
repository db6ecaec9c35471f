//! SimHash (Charikar 2002): signs of random projections. A bit of two vectors agrees with probability `1 - angle / pi`.

use super::buckets::{Buckets, Family, HashError, in_range};
use super::hadamard::{Rotations, Sink};
use crate::SparseRow;
use crate::simd::{Simd, Weight};

/// Parameters of SimHash: `K * L` bits, each the sign of one coordinate of a pseudo-random rotation.
///
/// A rotation has `rounds` rounds of random signs and a fast Walsh-Hadamard transform. That is `n log2(n)` additions
/// for `n` bits, where a dense projection needs `n * dim`. `n` is `dim`, padded with zeros to a power of two of at
/// least 16. More bits than `n` come from further, independent rotations.
///
/// A bit is set where the coordinate is above zero. The zero vector has bits 0, and so has every coordinate that became
/// NaN (from NaN, infinities or overflow). Vectors with few non-zero values of equal size meet exact ties, which give
/// bits 0 too.
#[derive(Clone, Debug)]
pub struct SimHash {
    buckets: Buckets,
    rotations: Rotations,
}

/// Rounds of a rotation unless said otherwise.
const ROUNDS: usize = 2;

impl SimHash {
    /// For vectors of `dim` numbers, `codes` bits (K) in each of `tables` bucket ids (L), two rounds a rotation.
    ///
    /// # Errors
    ///
    /// If `dim` is 0 or above 2^24, `codes` not in 1..=32, or `tables` 0 or too many.
    ///
    /// ```
    /// use hotrow_kernels::{Level, hash::{BucketHash, SimHash}};
    /// let hash = SimHash::new(42, 3, 8, 2)?;
    /// let mut scratch = vec![0.0; hash.scratch_len()];
    /// let (mut x, mut opposite) = ([0; 2], [0; 2]);
    /// hash.dense(Level::detect(), &mut x, &[1.0_f32, 2.0, 4.0], &mut scratch);
    /// hash.dense(Level::detect(), &mut opposite, &[-1.0_f32, -2.0, -4.0], &mut scratch);
    /// assert!(x.iter().zip(opposite).all(|(x, opposite)| x ^ opposite == 0xff));
    /// assert!(SimHash::new(42, 3, 33, 2).is_err());
    /// # Ok::<(), hotrow_kernels::hash::HashError>(())
    /// ```
    pub fn new(seed: u64, dim: usize, codes: usize, tables: usize) -> Result<Self, HashError> {
        Self::with_rounds(seed, dim, codes, tables, ROUNDS)
    }

    /// The same with `rounds` in 1..=4.
    ///
    /// One round costs about two thirds of two. It is enough when every vector spreads its energy over all coordinates.
    /// With a few dominant coordinates the bits of one round depend on each other: their covariance is the Walsh
    /// spectrum of the energies `x_i^2`. Two rounds flatten the energies first. Three also serve vectors with one
    /// single non-zero value, whose outputs after two rounds are permutations of each other.
    ///
    /// # Errors
    ///
    /// As [`SimHash::new`], and if `rounds` is not in 1..=4.
    ///
    /// ```
    /// use hotrow_kernels::hash::SimHash;
    /// assert!(SimHash::with_rounds(42, 512, 9, 50, 1).is_ok());
    /// assert!(SimHash::with_rounds(42, 512, 9, 50, 0).is_err());
    /// ```
    pub fn with_rounds(seed: u64, dim: usize, codes: usize, tables: usize, rounds: usize) -> Result<Self, HashError> {
        in_range("dim", dim, 1, 1 << 24)?;
        in_range("rounds", rounds, 1, 4)?;
        let buckets = Buckets::new(codes, tables, 1)?;
        Ok(Self { buckets, rotations: Rotations::new(seed, dim, rounds, buckets.all_codes()) })
    }
}

/// Cuts a stream of bits into bucket ids of `codes` bits.
struct Cutter<'a> {
    /// The ids that have not begun to be written.
    out: &'a mut [u32],
    codes: u32,
    /// `2^16 / codes` and a little: for a numerator of at most 64, the error of the quotient stays below `1 / codes`.
    reciprocal: u32,
    /// The bits of an id that has begun: the low `held < codes` ones, the others are zero.
    begun: u64,
    held: u32,
}

impl<'a> Cutter<'a> {
    fn new(out: &'a mut [u32], codes: usize) -> Self {
        Self { out, codes: codes as u32, reciprocal: (1 << 16) / codes as u32 + 1, begun: 0, held: 0 }
    }

    /// The low `len <= 64` bits of `word`; the others are zero. Bits past the last id have nowhere to go.
    #[inline(always)]
    fn cut(&mut self, word: u64, len: u32) {
        let (codes, mask) = (self.codes, (1 << self.codes) - 1);
        // Nothing to carry from word to word: most hashes in use have codes of 8, 16 or 32 bits.
        if self.held == 0 && codes.is_power_of_two() && codes <= len {
            let out = std::mem::take(&mut self.out);
            let (now, later) = out.split_at_mut(((len >> codes.trailing_zeros()) as usize).min(out.len()));
            let mut word = word;
            for id in now {
                *id = (word & mask) as u32;
                word >>= codes;
            }
            self.out = later;
            return;
        }
        let begun = self.begun | word << self.held;
        if self.held + len < codes {
            self.begun = begun;
            self.held += len;
            return;
        }
        let used = codes - self.held;
        let whole = ((len - used) * self.reciprocal) >> 16;
        let out = std::mem::take(&mut self.out);
        let (now, later) = out.split_at_mut((1 + whole as usize).min(out.len()));
        if let [first, others @ ..] = now {
            *first = (begun & mask) as u32;
            let mut word = word.checked_shr(used).unwrap_or(0);
            for id in others {
                *id = (word & mask) as u32;
                word >>= codes;
            }
        }
        self.out = later;
        let used = used + whole * codes;
        self.begun = word.checked_shr(used).unwrap_or(0);
        self.held = len - used;
    }
}

impl Sink for Cutter<'_> {
    /// Cuts the bits of `y > 0`.
    #[inline(always)]
    fn take<S: Simd>(&mut self, s: S, y: &[S::F32]) {
        let zero = s.splat(0.0);
        for y in y.chunks(WORD / S::LANES) {
            let mut word = 0;
            for (i, &y) in y.iter().enumerate() {
                word |= (s.bits(s.gt(y, zero)) as u64) << (i * S::LANES);
            }
            self.cut(word, (y.len() * S::LANES) as u32);
        }
    }
}

/// Bits in a word of signs.
const WORD: usize = 64;

impl Family for SimHash {
    fn layout(&self) -> Buckets {
        self.buckets
    }

    fn vector_len(&self) -> usize {
        self.rotations.dim()
    }

    fn scratch_words(&self) -> usize {
        self.rotations.n()
    }

    #[inline(always)]
    fn hash_dense<S: Simd, W: Weight>(&self, s: S, out: &mut [u32], x: &[W], scratch: &mut [f32]) {
        self.rotations.dense_vectors(s, x, scratch, &mut Cutter::new(out, self.buckets.codes()));
    }

    #[inline(always)]
    fn hash_sparse<S: Simd>(&self, s: S, out: &mut [u32], x: SparseRow, scratch: &mut [f32]) {
        self.rotations.sparse_vectors(s, x, scratch, &mut Cutter::new(out, self.buckets.codes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;
    use crate::hash::BucketHash;
    use crate::testing::*;

    #[test]
    fn ids_hold_the_signs_in_order_with_every_bit_used() {
        for (dim, codes, tables) in [(1, 1, 1), (16, 1, 20), (20, 32, 3), (40, 7, 30), (100, 9, 50), (130, 31, 17)] {
            let hash = SimHash::new(dim as u64, dim, codes, tables).unwrap();
            let mut scratch = vec![f32::NAN; hash.scratch_len()];
            let (mut ever_set, mut ever_clear) = (0, 0);
            for seed in 0..100 {
                let (x, mut ids) = (numbers(dim, seed), vec![0; tables]);
                let all = hash.rotations.coordinates(Level::PORTABLE, &x);
                hash.dense(Level::detect(), &mut ids, &x, &mut scratch);
                for (id, y) in ids.into_iter().zip(all.chunks(codes)) {
                    let want = y.iter().rev().fold(0_u64, |id, &y| id << 1 | (y > 0.0) as u64);
                    assert_eq!(id as u64, want, "dim {dim}, {codes} codes");
                    (ever_set, ever_clear) = (ever_set | id, ever_clear | !id);
                }
            }
            let all = (hash.buckets.per_table() - 1) as u32;
            assert_eq!((ever_set, ever_clear & all), (all, all));
        }
    }

    /// The share of equal bits of `x` and `y` over `seeds` independent hashes, `dim` bits of each.
    fn agreement(x: &[f32], y: &[f32], rounds: usize, seeds: u64) -> f64 {
        let (tables, mut equal) = (x.len() / 16, 0);
        let (mut of_x, mut of_y) = (vec![0; tables], vec![0; tables]);
        for seed in 0..seeds {
            let hash = SimHash::with_rounds(seed, x.len(), 16, tables, rounds).unwrap();
            let mut scratch = vec![0.0; hash.scratch_len()];
            hash.dense(Level::detect(), &mut of_x, x, &mut scratch);
            hash.dense(Level::detect(), &mut of_y, y, &mut scratch);
            equal += of_x.iter().zip(&of_y).map(|(x, y)| (!(x ^ y) & 0xffff).count_ones() as u64).sum::<u64>();
        }
        equal as f64 / (seeds * 16 * tables as u64) as f64
    }

    /// Charikar: bits agree with probability `1 - angle / pi`. The bits of one seed depend on each other, the seeds
    /// do not: by Hoeffding's inequality the mean of `n` shares in [0, 1] is off by more than `t` with probability
    /// below `2 exp(-2 n t^2)`, so `t = sqrt(10 / n)` is exceeded once in 2 * 10^8. That holds for Gaussian
    /// projections; random signs on `dim` coordinates are off by a Berry-Esseen term of order `1 / sqrt(dim)` for one
    /// coordinate alone and `1 / dim` when energies are flat and signs symmetric, as after the first round; `1 / dim`
    /// is allowed here.
    #[test]
    fn bits_agree_as_often_as_the_angle_says() {
        let (dim, seeds) = (128, 20_000);
        let (u, v) = (numbers(dim, 1), numbers(dim, 2));
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| a as f64 * b as f64).sum::<f64>();
        for mix in [0.0, 0.2, 0.7, 2.0] {
            // Dense, and with all but a few coordinates small.
            for outliers in [false, true] {
                let shape = |x: f32, i: usize| if outliers && !i.is_multiple_of(50) { x * 0.02 } else { x };
                let x: Vec<f32> = (0..dim).map(|i| shape(u[i], i)).collect();
                let y: Vec<f32> = (0..dim).map(|i| shape(u[i] + mix * v[i], i)).collect();
                let angle = (dot(&x, &y) / (dot(&x, &x) * dot(&y, &y)).sqrt()).min(1.0).acos();
                let (want, got) = (1.0 - angle / std::f64::consts::PI, agreement(&x, &y, ROUNDS, seeds));
                let bound = (10.0 / seeds as f64).sqrt() + 1.0 / dim as f64;
                assert!((got - want).abs() < bound, "angle {angle:.4}: {got} is not {want} within {bound}");
            }
        }
    }

    /// With one coordinate `c` far above the others, one round makes every output about `+-c`, and neighbouring bits
    /// always differ or never do, as that row of the Hadamard matrix says. After two rounds they are about
    /// independent: half of the pairs are equal, within the bound of the test above.
    #[test]
    fn two_rounds_make_neighbouring_bits_independent_where_one_does_not() {
        let (dim, seeds) = (128, 20_000);
        let mut x = numbers(dim, 3);
        x[1] = 1000.0;
        let equal_pairs = |rounds| {
            let mut equal = 0;
            for seed in 0..seeds {
                let hash = SimHash::with_rounds(seed, dim, 2, 1, rounds).unwrap();
                let mut id = [0];
                hash.dense(Level::detect(), &mut id, &x, &mut vec![0.0; hash.scratch_len()]);
                equal += (id == [0] || id == [3]) as u64;
            }
            equal as f64 / seeds as f64
        };
        assert_eq!(equal_pairs(1), 0.0);
        let (share, bound) = (equal_pairs(2), (10.0 / seeds as f64).sqrt() + 1.0 / dim as f64);
        assert!((share - 0.5).abs() < bound, "{share} of the pairs are equal");
    }
}
