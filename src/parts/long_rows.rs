//! Where ids are in long rows.

use crate::ragged::Ragged;

/// A row of so many ids or more is long.
const LONG: usize = 512;

/// Ids of a row between two places that are remembered, about.
const BETWEEN: usize = 8;

/// Of each long row of increasing ids, the places of the first id from 0, from 2^s, from 2 * 2^s, and so on, with s such that few ids are
/// between two of them. A binary search takes ten times as long, since no branch of it can be predicted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LongRows {
    /// Number of ids.
    ids: usize,
    /// None of a row that is not long.
    places: Ragged<u32>,
}

impl LongRows {
    /// Of `rows` with ids below `ids`.
    pub fn new(rows: &Ragged<u32>, ids: usize) -> Self {
        let mut places = Ragged::new();
        for row in rows.iter() {
            let mut of_row = Vec::new();
            if row.len() >= LONG {
                let (mut at, shift) = (0, shift(row, ids));
                for bucket in 0..=ids.div_ceil(1 << shift) as u64 {
                    at += row[at..].iter().take_while(|&&id| u64::from(id) >> shift < bucket).count();
                    of_row.push(at as u32);
                }
            }
            places.push(of_row);
        }
        Self { ids, places }
    }

    /// Whether row `row` is long.
    pub fn is_long(&self, row: u32) -> bool {
        !self.places.row(row as usize).is_empty()
    }

    /// Puts the places of `ids` in the long row `row`, which is `of_row`, into `places`.
    pub fn find(
        &self,
        row: u32,
        of_row: &[u32],
        ids: impl Iterator<Item = u32> + Clone,
        places: &mut Vec<Option<u32>>,
    ) {
        let (starts, shift) = (self.places.row(row as usize), shift(of_row, self.ids));
        // All reads of one kind before those that wait for them, so that they wait together.
        places.clear();
        places.extend(ids.clone().map(|id| Some(starts[(id >> shift) as usize])));
        touch(places.iter().filter_map(|place| of_row.get((*place)? as usize).copied()));
        for (place, id) in places.iter_mut().zip(ids) {
            let (from, to) = (place.unwrap_or(0), starts[(id >> shift) as usize + 1]);
            *place = (from..to).find(|&at| of_row[at as usize] == id);
        }
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> u64 {
        (8 * self.places.offsets().len() + 4 * self.places.items().len()) as u64
    }
}

/// Reads numbers, so that they are near when they are needed.
pub(super) fn touch(numbers: impl Iterator<Item = u32>) {
    std::hint::black_box(numbers.fold(0, |all, number| all ^ number));
}

/// The binary logarithm of the ids that share a place.
fn shift(row: &[u32], ids: usize) -> u32 {
    (BETWEEN * ids / row.len()).max(1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::descent::Random;

    #[test]
    fn every_id_of_a_long_row_is_found_and_no_other() {
        let mut random = Random(1);
        for ids in [LONG, 700, 5000, 70_001] {
            for share in [1, 3, 9] {
                let row: Vec<u32> = (0..ids as u32).filter(|_| random.below(share) == 0).collect();
                let rows = Ragged::from_iter([row.clone(), Vec::new(), row[..row.len().min(3)].to_vec()]);
                let long = LongRows::new(&rows, ids);
                assert_eq!([0, 1, 2].map(|row| long.is_long(row)), [row.len() >= LONG, false, false]);
                if long.is_long(0) {
                    let (want, mut places) = (|id: u32| row.binary_search(&id).ok().map(|at| at as u32), Vec::new());
                    long.find(0, &row, 0..ids as u32, &mut places);
                    assert_eq!(places, (0..ids as u32).map(want).collect::<Vec<_>>());
                }
            }
        }
    }
}
