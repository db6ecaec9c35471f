//! Sums for few of many labels.

/// A place without a label; no network has so many.
const FREE: u32 = u32::MAX;

/// Sums by label in a table of open places. It has room for what one sample adds, and so stays in the first-level cache where an array
/// of all labels would not.
#[derive(Debug, Default)]
pub(super) struct Tally {
    labels: Vec<u32>,
    sums: Vec<f32>,
    /// The places that are taken.
    taken: Vec<u32>,
    /// One less than the number of places that are in use, which is a power of two.
    mask: usize,
}

impl Tally {
    /// Forgets all sums, and makes room for `entries` labels.
    pub fn begin(&mut self, entries: usize) {
        self.taken.drain(..).for_each(|place| self.labels[place as usize] = FREE);
        let places = (2 * entries).next_power_of_two();
        if self.labels.len() < places {
            self.labels.resize(places, FREE);
            self.sums.resize(places, 0.0);
        }
        self.mask = places - 1;
    }

    /// Adds `x` to the sum of `label`.
    pub fn add(&mut self, label: u32, x: f32) {
        // Fibonacci hashing (Knuth 6.4): the upper half of the product has mixed all bits.
        let hash = u64::from(label).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let mut place = hash as usize & self.mask;
        while self.labels[place] != label {
            if self.labels[place] == FREE {
                (self.labels[place], self.sums[place]) = (label, 0.0);
                self.taken.push(place as u32);
                break;
            }
            place = (place + 1) & self.mask;
        }
        self.sums[place] += x;
    }

    /// The `k` labels with the largest sums, best first; of equal ones the lower label.
    pub fn best(&self, k: usize) -> Vec<u32> {
        let of = |&place: &u32| (self.sums[place as usize], self.labels[place as usize]);
        let mut all: Vec<(f32, u32)> = self.taken.iter().map(of).collect();
        let order = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if k < all.len() {
            all.select_nth_unstable_by(k, order);
            all.truncate(k);
        }
        all.sort_unstable_by(order);
        all.into_iter().map(|(_, label)| label).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Values are whole numbers, so sums have no rounding and their order does not matter.
        #[test]
        fn the_best_are_those_of_a_sorted_map(
            rounds in prop::collection::vec(prop::collection::vec((0_u32..40, -4_i8..9), 0..80), 1..4),
            k in 0_usize..50,
        ) {
            let mut tally = Tally::default();
            for entries in rounds {
                let mut sums = BTreeMap::new();
                tally.begin(entries.len());
                for (label, x) in entries {
                    tally.add(label, f32::from(x));
                    *sums.entry(label).or_insert(0) += i32::from(x);
                }
                let mut want: Vec<(i32, u32)> = sums.into_iter().map(|(label, sum)| (-sum, label)).collect();
                want.sort_unstable();
                want.truncate(k);
                prop_assert_eq!(tally.best(k), want.into_iter().map(|(_, label)| label).collect::<Vec<_>>());
            }
        }
    }
}
