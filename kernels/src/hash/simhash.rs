//! SimHash (Charikar 2002): signs of random projections, so that one bit agrees with probability `1 - angle / pi`.

use super::buckets::{Buckets, Family, HashError, in_range};
use super::hadamard::Rotations;
use crate::SparseRow;
use crate::simd::{Simd, Weight};

/// Parameters of SimHash: `K * L` bits, each the sign of one coordinate of a pseudo-random rotation.
///
/// A rotation is `rounds` times random signs followed by a fast Walsh-Hadamard transform, `n log2(n)` additions for `n`
/// bits where a dense projection needs `n * dim`; `n` is `dim`, padded with zeros to a power of two of at least 16. More
/// bits than `n` come from further, independent rotations.
///
/// A bit is set where the coordinate is above zero: the zero vector, and every coordinate that became NaN (from NaN,
/// infinities or overflow), have bits 0. Vectors with few non-zero values of equal size meet exact ties, which count as
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
    /// One round costs half of two and is enough when every vector spreads its energy over all coordinates; with a few
    /// dominant coordinates the bits of one round depend on each other (their covariance is the Walsh spectrum of the
    /// energies `x_i^2`). Two flatten the energies first. Three also break the symmetry of two for vectors with one
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
    out: std::slice::IterMut<'a, u32>,
    codes: u32,
    bits: u64,
    held: u32,
}

impl<'a> Cutter<'a> {
    fn new(out: &'a mut [u32], codes: usize) -> Self {
        Self { out: out.iter_mut(), codes: codes as u32, bits: 0, held: 0 }
    }

    /// The bits of `y > 0`, in order.
    #[inline(always)]
    fn signs<S: Simd>(&mut self, s: S, y: &[f32]) {
        let zero = s.splat(0.0);
        for y in y.chunks_exact(S::LANES) {
            // At most 31 bits are held, so at most 47 after this.
            self.bits |= (s.bits(s.gt(s.load(y), zero)) as u64) << self.held;
            self.held += S::LANES as u32;
            while self.held >= self.codes {
                let Some(out) = self.out.next() else { return };
                *out = (self.bits & ((1 << self.codes) - 1)) as u32;
                self.bits >>= self.codes;
                self.held -= self.codes;
            }
        }
    }
}

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
        let mut cutter = Cutter::new(out, self.buckets.codes());
        self.rotations.dense(
            s,
            x,
            scratch,
            #[inline(always)]
            |y| cutter.signs(s, y),
        );
    }

    #[inline(always)]
    fn hash_sparse<S: Simd>(&self, s: S, out: &mut [u32], x: SparseRow, scratch: &mut [f32]) {
        let mut cutter = Cutter::new(out, self.buckets.codes());
        self.rotations.sparse(
            s,
            x,
            scratch,
            #[inline(always)]
            |y| cutter.signs(s, y),
        );
    }
}
