//! Where ids are in long rows.

use crate::ragged::Ragged;

/// A row of fewer ids is not long.
const LEAST: usize = 512;

/// A row is long if it has one of so many ids, or more: then its bits take as much memory as its ids and the numbers beside them.
const SHARE: usize = 32;

/// The bits of 64 ids, and how many ids of the row are below them.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Word {
    bits: u64,
    below: u32,
}

/// Long rows of increasing ids as bits, so that the place of any id costs two reads that wait for nothing. A binary search takes twenty times
/// as long, and adding up a whole row of a thousand ids as long as looking for all candidates of a sample.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LongRows {
    /// No words of a row that is not long.
    words: Ragged<Word>,
}

impl LongRows {
    /// Of `rows` with ids below `ids`.
    pub fn new(rows: &Ragged<u32>, ids: usize) -> Self {
        let mut words = Ragged::new();
        for row in rows.iter() {
            let mut of_row = Vec::new();
            if row.len() >= LEAST.max(ids / SHARE) {
                of_row.resize(ids.div_ceil(64), Word { bits: 0, below: 0 });
                row.iter().for_each(|&id| of_row[id as usize / 64].bits |= 1 << (id % 64));
                let mut below = 0;
                for word in &mut of_row {
                    word.below = below;
                    below += word.bits.count_ones();
                }
            }
            words.push(of_row);
        }
        Self { words }
    }

    /// Whether row `row` is long.
    pub fn is_long(&self, row: u32) -> bool {
        !self.words.row(row as usize).is_empty()
    }

    /// How many ids of the long row `row` are below `id`, and whether it has `id`.
    pub fn find(&self, row: u32, id: u32) -> (usize, bool) {
        let word = self.words.row(row as usize)[id as usize / 64];
        let bit = 1_u64 << (id % 64);
        (word.below as usize + (word.bits & (bit - 1)).count_ones() as usize, word.bits & bit != 0)
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> u64 {
        (8 * self.words.offsets().len() + size_of_val(self.words.items())) as u64
    }
}

/// Reads numbers, so that they are near when they are needed: their reads wait together.
pub(super) fn touch(numbers: impl Iterator<Item = u32>) {
    std::hint::black_box(numbers.fold(0, |all, number| all ^ number));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::descent::Random;

    #[test]
    fn every_id_of_a_long_row_is_found_and_no_other() {
        let mut random = Random(1);
        for ids in [LEAST, 700, 5000, 70_001] {
            for share in [1, 3, 9, 40] {
                let row: Vec<u32> = (0..ids as u32).filter(|_| random.below(share) == 0).collect();
                let rows = Ragged::from_iter([row.clone(), Vec::new(), row[..row.len().min(3)].to_vec()]);
                let long = LongRows::new(&rows, ids);
                let want = row.len() >= LEAST && row.len() >= ids / SHARE;
                assert_eq!([0, 1, 2].map(|row| long.is_long(row)), [want, false, false]);
                for id in (0..ids as u32).filter(|_| want) {
                    let before = row.partition_point(|&other| other < id);
                    assert_eq!(long.find(0, id), (before, row.get(before) == Some(&id)), "{id} of {ids}");
                }
            }
        }
    }
}
