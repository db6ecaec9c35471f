//! Hashing of n-grams: multiply-shift (Dietzfelbinger 1996; for vectors Thorup 2015, "High speed hashing for integers
//! and strings", section 3.5).

use super::buckets::{HashError, in_range};
use super::random::Random;
use crate::simd::Simd;
use crate::{Level, MatMut, dispatch};

/// Parameters that hash each n-gram of a text to one bucket in each of `heads` tables.
///
/// Each head has random 64-bit numbers `a_j` and `b`. The n-gram of the tokens `t_0` (newest) to `t_(n-1)` has the hash
/// `h = (b + sum_j a_j t_j mod 2^64) >> 32` and the bucket `h * buckets >> 32`. `h` is strongly universal: over the
/// choice of the seed, the hashes of two different n-grams are uniform over all pairs. So two n-grams share a bucket
/// with probability at most `1 / buckets + 2^-32`, independently in each head.
///
/// ```
/// use hotrow_kernels::{Level, MatMut, hash::NgramHash};
/// let bigrams = NgramHash::new(7, 2, 1, 1 << 20)?;
/// let mut ids = [0; 5];
/// bigrams.hash(Level::detect(), MatMut::new(&mut ids, 1, 5), &[11, 12, 99, 11, 12]);
/// assert_eq!(ids[1], ids[4]); // (11, 12) twice
/// assert_ne!(ids[0], ids[3]); // 11 after the start and 11 after 99
/// # Ok::<(), hotrow_kernels::hash::HashError>(())
/// ```
#[derive(Clone, Debug)]
pub struct NgramHash {
    n: usize,
    heads: usize,
    buckets: u32,
    /// (heads, n + 1): `b`, then `a_0, a_1, ..`.
    coefficients: Vec<u64>,
}

impl NgramHash {
    /// The token that stands before the first of a text, as often as an n-gram needs it.
    pub const START: u32 = u32::MAX;

    /// For n-grams of `n` tokens and `heads` independent hashes to `buckets` buckets.
    ///
    /// # Errors
    ///
    /// If `n` is not in 1..=64, `heads` not in 1..=65536, or `buckets` is 0.
    ///
    /// ```
    /// use hotrow_kernels::hash::NgramHash;
    /// assert!(NgramHash::new(1, 3, 8, 1_000_003).is_ok());
    /// assert!(NgramHash::new(1, 0, 8, 1_000_003).is_err());
    /// ```
    pub fn new(seed: u64, n: usize, heads: usize, buckets: u32) -> Result<Self, HashError> {
        in_range("n", n, 1, 64)?;
        in_range("heads", heads, 1, 1 << 16)?;
        in_range("buckets", buckets as usize, 1, u32::MAX as usize)?;
        let mut random = Random::new(seed, 0x96);
        Ok(Self { n, heads, buckets, coefficients: (0..heads * (n + 1)).map(|_| random.word()).collect() })
    }

    /// Tokens of an n-gram.
    ///
    /// ```
    /// assert_eq!(hotrow_kernels::hash::NgramHash::new(1, 3, 8, 100)?.n(), 3);
    /// # Ok::<(), hotrow_kernels::hash::HashError>(())
    /// ```
    pub fn n(&self) -> usize {
        self.n
    }

    /// Independent hashes of each n-gram.
    ///
    /// ```
    /// assert_eq!(hotrow_kernels::hash::NgramHash::new(1, 3, 8, 100)?.heads(), 8);
    /// # Ok::<(), hotrow_kernels::hash::HashError>(())
    /// ```
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// What every bucket id is below.
    ///
    /// ```
    /// assert_eq!(hotrow_kernels::hash::NgramHash::new(1, 3, 8, 100)?.buckets(), 100);
    /// # Ok::<(), hotrow_kernels::hash::HashError>(())
    /// ```
    pub fn buckets(&self) -> u32 {
        self.buckets
    }

    /// `out[head, i]` (heads, T) = the bucket of the n-gram that ends at `tokens[i]` (T); [`NgramHash::START`] stands
    /// where it reaches back before the first token.
    ///
    /// # Panics
    ///
    /// If `out` has not one row for each head and one column for each token.
    ///
    /// ```
    /// use hotrow_kernels::{Level, MatMut, hash::NgramHash};
    /// let trigrams = NgramHash::new(7, 3, 2, 1000)?;
    /// let (mut text, mut tail) = ([0; 2 * 4], [0; 2 * 3]);
    /// trigrams.hash(Level::detect(), MatMut::new(&mut text, 2, 4), &[5, 6, 7, 8]);
    /// trigrams.hash(Level::detect(), MatMut::new(&mut tail, 2, 3), &[6, 7, 8]);
    /// assert_eq!((text[3], text[7]), (tail[2], tail[5])); // (6, 7, 8) in either head
    /// # Ok::<(), hotrow_kernels::hash::HashError>(())
    /// ```
    #[track_caller]
    pub fn hash(&self, level: Level, mut out: MatMut<u32>, tokens: &[u32]) {
        assert_eq!(out.rows(), self.heads, "out and the heads differ in number");
        assert_eq!(out.cols(), tokens.len(), "out and tokens differ in length");
        dispatch!(level, s => {
            for (head, coefficients) in self.coefficients.chunks_exact(self.n + 1).enumerate() {
                hash_positions(s, out.row_mut(head), tokens, coefficients, self.buckets);
            }
        })
    }
}

/// The widest vector of any level.
const WIDEST: usize = 16;

#[inline(always)]
fn hash_positions<S: Simd>(s: S, out: &mut [u32], tokens: &[u32], coefficients: &[u64], buckets: u32) {
    let (offset, multipliers) = (coefficients[0], &coefficients[1..]);
    let buckets = s.splat_u32(buckets);
    for at in (0..tokens.len()).step_by(S::LANES) {
        let (mut low, mut high) = (s.splat_u32(offset as u32), s.splat_u32((offset >> 32) as u32));
        for (back, &multiplier) in multipliers.iter().enumerate() {
            let token = load_back(s, tokens, at, back);
            let (a_low, a_high) = (s.splat_u32(multiplier as u32), s.splat_u32((multiplier >> 32) as u32));
            let sum = s.add_u32(low, s.mul_u32(token, a_low));
            // A sum of two words wrapped around exactly if it is below either of them.
            let kept = s.eq_u32(s.min_u32(sum, low), low);
            let carry = s.select_u32(kept, s.splat_u32(0), s.splat_u32(1));
            let upper = s.add_u32(mul_high(s, token, a_low), s.mul_u32(token, a_high));
            (low, high) = (sum, s.add_u32(s.add_u32(high, upper), carry));
        }
        let bucket = mul_high(s, high, buckets);
        if at + S::LANES <= out.len() {
            s.store_u32(bucket, &mut out[at..]);
        } else {
            let mut all = [0; WIDEST];
            s.store_u32(bucket, &mut all);
            let tail = out.len() - at;
            out[at..].copy_from_slice(&all[..tail]);
        }
    }
}

/// The tokens `back` before the positions from `at` on; [`NgramHash::START`] outside of the text.
#[inline(always)]
fn load_back<S: Simd>(s: S, tokens: &[u32], at: usize, back: usize) -> S::U32 {
    if at >= back && at - back + S::LANES <= tokens.len() {
        return s.load_u32(&tokens[at - back..]);
    }
    let mut padded = [NgramHash::START; WIDEST];
    for (lane, token) in padded.iter_mut().enumerate() {
        if let Some(&inside) = (at + lane).checked_sub(back).and_then(|i| tokens.get(i)) {
            *token = inside;
        }
    }
    s.load_u32(&padded)
}

/// The high 32 bits of `a * b`, by halves of 16 bits: no sum exceeds `(2^16 - 1)^2 + 2 * (2^16 - 1) = 2^32 - 1`.
#[inline(always)]
fn mul_high<S: Simd>(s: S, a: S::U32, b: S::U32) -> S::U32 {
    let halves = |v| (s.and(v, s.splat_u32(0xffff)), s.shr(v, 16));
    let ((a_low, a_high), (b_low, b_high)) = (halves(a), halves(b));
    let middle = s.add_u32(s.mul_u32(a_high, b_low), s.shr(s.mul_u32(a_low, b_low), 16));
    let (middle_low, middle_high) = halves(middle);
    let other = s.add_u32(s.mul_u32(a_low, b_high), middle_low);
    s.add_u32(s.add_u32(s.mul_u32(a_high, b_high), middle_high), s.shr(other, 16))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    /// The definition, in 64 and 128 bits.
    fn reference(hash: &NgramHash, head: usize, tokens: &[u32], at: usize) -> u32 {
        let coefficients = &hash.coefficients[head * (hash.n + 1)..][..hash.n + 1];
        let token = |back| at.checked_sub(back).map_or(NgramHash::START, |i| tokens[i]) as u64;
        let term = |back: usize| coefficients[1 + back].wrapping_mul(token(back));
        let sum = (0..hash.n).map(term).fold(coefficients[0], u64::wrapping_add);
        (((sum >> 32) * hash.buckets as u64) >> 32) as u32
    }

    fn ids(level: Level, hash: &NgramHash, tokens: &[u32]) -> Vec<u32> {
        let mut out = vec![u32::MAX; hash.heads * tokens.len()];
        hash.hash(level, MatMut::new(&mut out, hash.heads, tokens.len()), tokens);
        out
    }

    fn hashes_agree(len: usize, n: usize, heads: usize, buckets: u32, seed: u64) {
        let mut random = Random::new(seed, 1);
        // Small ids, and full words now and then.
        let words: Vec<u32> = (0..len).map(|_| (random.word() >> 32 >> (random.word() % 32)) as u32).collect();
        let tokens = Misaligned::new(&words, 1);
        let hash = NgramHash::new(seed, n, heads, buckets).unwrap();
        at_every_level(|level| {
            for (i, got) in ids(level, &hash, &tokens).into_iter().enumerate() {
                let (head, at) = (i / len, i % len);
                assert_eq!(got, reference(&hash, head, &tokens, at), "n {n}, head {head}, position {at} of {len}");
                assert!(got < buckets);
            }
        });
    }

    #[test]
    fn ids_are_the_definition_at_every_length() {
        for len in lengths() {
            hashes_agree(len, 1 + len % 5, 2, [1, 2, 1 << 20, 1_000_003, u32::MAX][len % 5], len as u64);
        }
        hashes_agree(100, 64, 1, 999, 3);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_hashed_by_the_definition(
            len in 0usize..100, n in 1usize..9, heads in 1usize..4, buckets in 1u32.., seed: u64,
        ) {
            hashes_agree(len, n, heads, buckets, seed);
        }
    }

    /// Heads have independent numbers, so the collisions of one pair over many heads are binomial with `p <= 1 / M +
    /// 2^-32`: at most six standard deviations above the mean. The pairs differ in ways that defeat weaker schemes:
    /// shifted, swapped, by a high bit in two tokens at once, by one.
    #[test]
    fn two_ngrams_collide_no_more_often_than_strong_universality_allows() {
        let (heads, buckets) = (40_000, 16);
        let high = 1 << 17;
        let pairs = [
            ([1, 2], [2, 1]),
            ([5 + high, 9], [5, 9 + high]),
            ([1 << 31, 0], [0, 1 << 31]),
            ([7, 7], [7, 8]),
            ([0, 0], [u32::MAX, u32::MAX]),
        ];
        for (one, other) in pairs {
            let hash = NgramHash::new(11, 2, heads, buckets).unwrap();
            let (one, other) = (ids(Level::detect(), &hash, &one), ids(Level::detect(), &hash, &other));
            let collisions = (0..heads).filter(|head| one[2 * head + 1] == other[2 * head + 1]).count() as f64;
            let p = 1.0 / buckets as f64;
            let (mean, deviation) = (heads as f64 * p, (heads as f64 * p * (1.0 - p)).sqrt());
            assert!(collisions < mean + 6.0 * deviation, "{collisions} collisions");
            assert!(collisions > mean - 6.0 * deviation, "{collisions} collisions");
        }
    }

    /// Over independent heads the buckets of one n-gram are multinomial with equal shares (to 2^-32). Laurent and
    /// Massart (2000): chi-square with `d` degrees of freedom exceeds `d + 2 sqrt(d t) + 2 t` with probability below
    /// `exp(-t)`; `t = 20`.
    #[test]
    fn the_bucket_of_an_ngram_is_uniform() {
        let (heads, buckets) = (50_000, 101);
        let hash = NgramHash::new(3, 3, heads, buckets).unwrap();
        let text = [0, 0, 0, 1, 50_000];
        let all = ids(Level::detect(), &hash, &text);
        for at in 0..text.len() {
            let mut counts = vec![0.0; buckets as usize];
            all.iter().skip(at).step_by(text.len()).for_each(|&id| counts[id as usize] += 1.0);
            let mean = heads as f64 / buckets as f64;
            let chi_square: f64 = counts.iter().map(|count| (count - mean) * (count - mean) / mean).sum();
            let (d, t) = (buckets as f64 - 1.0, 20.0_f64);
            assert!(chi_square < d + 2.0 * (d * t).sqrt() + 2.0 * t, "position {at}: {chi_square}");
        }
    }

    /// A text of consecutive ids fills a table about as evenly as random placement: strong universality makes the
    /// expected chi-square of pairwise independent placement `buckets - 1`, here over 200 heads; by Markov's
    /// inequality ten times that has a probability below 1 / 10 for any seed, and this seed is fixed.
    #[test]
    fn consecutive_tokens_spread_over_the_buckets() {
        let (heads, buckets) = (200, 64);
        let hash = NgramHash::new(5, 2, heads, buckets).unwrap();
        let text: Vec<u32> = (0..6400).collect();
        let mean = text.len() as f64 / buckets as f64;
        let chi_square = |ids: &[u32]| {
            let mut counts = vec![0.0; buckets as usize];
            ids.iter().for_each(|&id| counts[id as usize] += 1.0);
            counts.iter().map(|count| (count - mean) * (count - mean) / mean).sum::<f64>()
        };
        let all = ids(Level::detect(), &hash, &text);
        let average = all.chunks(text.len()).map(chi_square).sum::<f64>() / heads as f64;
        assert!(average < 10.0 * (buckets as f64 - 1.0), "{average}");
    }

    #[test]
    #[should_panic(expected = "out and tokens differ in length")]
    fn a_short_out_is_refused() {
        let hash = NgramHash::new(1, 2, 1, 10).unwrap();
        hash.hash(Level::PORTABLE, MatMut::new(&mut [0; 2], 1, 2), &[1, 2, 3]);
    }
}
