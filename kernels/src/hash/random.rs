//! The random numbers of hash functions: SplitMix64 (Steele, Lea and Flood 2014), a counter and a mixing function, so
//! that the same seed and purpose give the same numbers on every machine.

/// A stream of random words, a function of `seed` and `purpose` alone.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64, purpose: u64) -> Self {
        Self(mix(seed ^ mix(purpose)))
    }

    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `limit`: the upper half of a product (Lemire 2019, without the rejection, so off from uniform by
    /// at most `limit / 2^64`).
    pub fn below(&mut self, limit: usize) -> usize {
        below(self.word(), limit)
    }

    /// Puts `items` into random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// A random word, scaled to `0..limit`.
#[inline(always)]
pub fn below(word: u64, limit: usize) -> usize {
    ((word as u128 * limit as u128) >> 64) as usize
}

/// The output function of SplitMix64: a bijection in which every bit of the result depends on every bit of `x`.
#[inline(always)]
pub fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first outputs of the published SplitMix64 for state 0.
    #[test]
    fn the_stream_is_split_mix_64() {
        let mut random = Random(0);
        assert_eq!(random.word(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(random.word(), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn shuffling_keeps_the_items_and_streams_differ_by_seed_and_purpose() {
        let mut items: Vec<u32> = (0..1000).collect();
        Random::new(1, 2).shuffle(&mut items);
        assert!(!items.is_sorted());
        items.sort();
        assert!(items.into_iter().eq(0..1000));
        let first = |seed, purpose| Random::new(seed, purpose).word();
        assert_eq!(first(1, 2), first(1, 2));
        assert!(first(1, 2) != first(2, 1) && first(1, 2) != first(1, 3));
    }
}
