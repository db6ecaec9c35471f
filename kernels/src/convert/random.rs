//! Random bits for stochastic rounding: a function of a key and a counter, without state.

use crate::simd::Simd;

/// Names random bits. Each key has a sequence of its own, and element `i` of a row takes its own 16 bits of it. So the
/// bits depend on the key and the column only. Rows may be converted in any order, on any thread.
///
/// A sequence repeats after 2^33 elements. It is good enough for rounding, not for secrets.
///
/// ```
/// use hotrow_kernels::convert::RandomKey;
/// let key = RandomKey { seed: 7, step: 100, row: 3 };
/// assert_ne!(key, RandomKey { row: 4, ..key });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RandomKey {
    /// The seed of the run.
    pub seed: u64,
    /// The number of the step, or any other purpose.
    pub step: u64,
    /// The number of the row.
    pub row: u64,
}

impl RandomKey {
    /// 64 bits of which each depends on every bit of the key.
    #[inline(always)]
    fn mixed(self) -> u64 {
        mix(mix(mix(self.seed) ^ self.step) ^ self.row)
    }
}

/// One output of SplitMix64 (Steele, Lea and Flood 2014) from state `x`: a bijection in which every input bit reaches every
/// output bit.
#[inline(always)]
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The random sequence of one key, ready to be read a vector at a time.
#[derive(Clone, Copy)]
pub(crate) struct Noise<S: Simd> {
    before: S::U32,
    between: S::U32,
}

impl<S: Simd> Noise<S> {
    #[inline(always)]
    pub fn new(s: S, key: RandomKey) -> Self {
        let key = key.mixed();
        Self { before: s.splat_u32(key as u32), between: s.splat_u32((key >> 32) as u32) }
    }

    /// 16 random bits in the low half of each lane, zeros above: those of the elements `first, first + 1, ..`, `first` being a
    /// multiple of the lanes.
    ///
    /// A word of 32 random bits serves two elements 16 apart: element `i` takes the low half of word `i / 32 * 16 + i % 16` if
    /// `i / 16` is even, else the high half. That is one number of lanes apart on the widest level: two vectors in a row share their
    /// words, which are computed once where a loop takes two vectors a turn.
    #[inline(always)]
    pub fn sixteen(self, s: S, first: usize) -> S::U32 {
        let words = self.words(s, (first / 32 * 16 + first % 16) as u32);
        if first & 16 == 0 { s.and(words, s.splat_u32(0xffff)) } else { s.shr(words, 16) }
    }

    /// The random words `first, first + 1, ..`.
    ///
    /// Two rounds of xor-shift and multiplication, the shape of a 32-bit hash finaliser. Half of the key enters between the rounds:
    /// entering only at the front, two keys that differ in their low bits would give permutations of one sequence.
    #[inline(always)]
    fn words(self, s: S, first: u32) -> S::U32 {
        let x = s.xor(s.add_u32(s.iota(), s.splat_u32(first)), self.before);
        let x = s.mul_u32(s.xor(x, s.shr(x, 16)), s.splat_u32(0x7feb_352d));
        let x = s.add_u32(s.xor(x, s.shr(x, 15)), self.between);
        let x = s.mul_u32(x, s.splat_u32(0x846c_a68b));
        s.xor(x, s.shr(x, 15))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;
    use crate::{Level, dispatch};

    #[inline(always)]
    fn fill<S: Simd>(s: S, key: RandomKey, out: &mut [u32]) {
        let noise = Noise::new(s, key);
        let mut lanes = [0; 16];
        for (block, out) in out.chunks_mut(S::LANES).enumerate() {
            s.store_u32(noise.sixteen(s, block * S::LANES), &mut lanes);
            out.copy_from_slice(&lanes[..out.len()]);
        }
    }

    fn sequence(level: Level, key: RandomKey, len: usize) -> Vec<f64> {
        let mut out = vec![0; len];
        dispatch!(level, s => fill(s, key, &mut out));
        out.into_iter().map(|x| x as f64 / 65536.0 - 0.5).collect()
    }

    #[test]
    fn random_bits_are_the_same_on_every_level() {
        let key = RandomKey { seed: 3, step: 2, row: 1 };
        at_every_level(|level| assert_eq!(sequence(level, key, 131), sequence(Level::PORTABLE, key, 131)));
    }

    /// A mean of `n` independent products of two uniform numbers of variance 1/12 has standard deviation `1 / (12 sqrt n)`; five of
    /// them are exceeded by chance once in two million.
    #[test]
    fn neighbours_in_column_row_step_and_seed_are_uncorrelated() {
        let n = 1 << 18;
        let key = RandomKey { seed: 11, step: 5, row: 9 };
        let xs = sequence(Level::detect(), key, n + 16);
        let others = [RandomKey { row: 10, ..key }, RandomKey { step: 6, ..key }, RandomKey { seed: 12, ..key }];
        let mut pairs: Vec<_> = [1, 2, 3, 4, 8, 16].map(|lag| xs[lag..][..n].to_vec()).into();
        pairs.extend(others.map(|other| sequence(Level::detect(), other, n)));
        for ys in pairs {
            let covariance = xs.iter().zip(&ys).map(|(x, y)| x * y).sum::<f64>() / n as f64;
            assert!(covariance.abs() < 5.0 / (12.0 * (n as f64).sqrt()), "{covariance}");
        }
    }

    /// Counts of `n` draws in `k` equal cells: the statistic has mean `k - 1` and variance `2 (k - 1)`.
    #[test]
    fn random_bits_are_uniform() {
        let (n, k) = (1 << 18, 256);
        let mut counts = vec![0.0; k];
        for x in sequence(Level::detect(), RandomKey::default(), n) {
            counts[((x + 0.5) * k as f64) as usize] += 1.0;
        }
        let mean = (n / k) as f64;
        let statistic: f64 = counts.iter().map(|c| (c - mean) * (c - mean) / mean).sum();
        let freedom = (k - 1) as f64;
        assert!((statistic - freedom).abs() < 5.0 * (2.0 * freedom).sqrt(), "{statistic}");
    }
}
