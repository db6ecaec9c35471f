//! Ranks candidates by the number of buckets they share with the query.

/// An odd constant, so that multiplying is a permutation of `u32`: 2^32 over the golden ratio.
const SPREAD: u32 = 0x9e37_79b1;

/// Its inverse modulo 2^32.
const UNSPREAD: u32 = inverse(SPREAD);

/// The inverse of an odd number modulo 2^32, by Newton's iteration: each step doubles the correct low bits, of which any odd
/// number has three.
const fn inverse(odd: u32) -> u32 {
    let (mut x, mut step) = (odd, 0);
    while step < 4 {
        x = x.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(x)));
        step += 1;
    }
    x
}

/// Counts how often each row occurs, in an open-addressing table as small as the candidates of one query. A counter for
/// each of a million rows would miss the cache for each candidate.
#[derive(Debug, Default)]
pub(super) struct Collisions {
    /// The row in the upper half and the count in the lower; 0 if free. The length is a power of two.
    places: Vec<u64>,
    /// The places in use, in the order of their first use.
    used: Vec<u32>,
    keys: Vec<u64>,
    shift: u32,
}

impl Collisions {
    /// Clears the counts, and makes room for `most` different rows.
    pub fn reset(&mut self, most: usize) {
        let len = (2 * most).next_power_of_two().max(64);
        self.places.clear();
        self.places.resize(len, 0);
        self.used.clear();
        self.shift = 32 - len.ilog2().min(32);
    }

    /// Adds `weight > 0` to the count of `row`.
    #[inline]
    pub fn add(&mut self, row: u32, weight: u32) {
        let mask = self.places.len() - 1;
        // The upper bits of the product depend on all bits of the row.
        let mut at = (row.wrapping_mul(SPREAD) >> self.shift) as usize;
        loop {
            let place = &mut self.places[at];
            if *place == 0 {
                *place = (row as u64) << 32 | weight as u64;
                self.used.push(at as u32);
                return;
            }
            if (*place >> 32) as u32 == row {
                *place += weight as u64;
                return;
            }
            at = (at + 1) & mask;
        }
    }

    /// Writes the `most` rows with the largest counts to `out`, best first. Equal counts are ordered by the row number
    /// times an odd constant: a fixed order that favours no part of the matrix.
    pub fn best(&mut self, most: usize, out: &mut Vec<u32>) {
        self.keys.clear();
        self.keys.extend(self.used.iter().map(|&at| {
            let place = self.places[at as usize];
            (!(place as u32) as u64) << 32 | ((place >> 32) as u32).wrapping_mul(SPREAD) as u64
        }));
        if most < self.keys.len() {
            self.keys.select_nth_unstable(most);
            self.keys.truncate(most);
        }
        self.keys.sort_unstable();
        out.clear();
        out.extend(self.keys.iter().map(|&key| (key as u32).wrapping_mul(UNSPREAD)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn the_best_are_those_seen_most_often_each_once(seen in prop::collection::vec(0_u32..60, 0..300), most in 0_usize..80) {
            let mut counts = BTreeMap::new();
            let mut collisions = Collisions::default();
            // Twice: what an earlier query left must not matter.
            for _ in 0..2 {
                counts.clear();
                collisions.reset(seen.len());
                for &row in &seen {
                    collisions.add(row, 1);
                    *counts.entry(row).or_insert(0) += 1;
                }
            }
            let mut want: Vec<u32> = counts.keys().copied().collect();
            want.sort_by_key(|row| (std::cmp::Reverse(counts[row]), row.wrapping_mul(SPREAD)));
            want.truncate(most);
            let mut got = Vec::new();
            collisions.best(most, &mut got);
            prop_assert_eq!(got, want);
        }
    }

    #[test]
    fn rows_at_the_end_of_the_range_survive_the_permutation() {
        let mut collisions = Collisions::default();
        collisions.reset(3);
        [u32::MAX, 0, u32::MAX].into_iter().for_each(|row| collisions.add(row, 1));
        let mut got = Vec::new();
        collisions.best(5, &mut got);
        assert_eq!(got, [u32::MAX, 0]);
    }
}
