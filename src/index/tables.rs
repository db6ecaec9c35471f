//! Hash tables as CSR arrays. They take O(rows * tables) memory, and one counting sort a table builds them.

use rayon::prelude::*;

use super::Statistics;

/// Rows whose slots stand together, table after table. So each piece of parallel work writes memory of its own, and a
/// table reads runs of it. One such run is a page.
pub(super) const CHUNK: usize = 1024;

/// `tables` hash tables over the same rows.
///
/// ```text
/// chosen   (chunks of rows, tables, CHUNK)   the slot of each row in each table
/// offsets  (tables, slots + 1)               where each slot's rows begin
/// items    (tables, rows)                    rows, by slot
/// ```
#[derive(Debug)]
pub(super) struct Tables {
    pub rows: usize,
    pub tables: usize,
    pub slots: usize,
    pub chosen: Vec<u32>,
    offsets: Vec<u32>,
    items: Vec<u32>,
}

impl Tables {
    /// Empty tables: no slot holds a row before `build`.
    pub fn new(rows: usize, tables: usize, slots: usize) -> Self {
        let chosen = vec![0; rows.div_ceil(CHUNK) * tables * CHUNK];
        Self { rows, tables, slots, chosen, offsets: vec![0; tables * (slots + 1)], items: vec![0; tables * rows] }
    }

    /// Slots of a table for bucket ids below `per_table`: about a quarter of the rows, so that different ids rarely
    /// share one.
    pub fn slots_for(rows: usize, per_table: u64) -> usize {
        (rows / 4).next_power_of_two().max(64).min(usize::try_from(per_table).unwrap_or(usize::MAX))
    }

    /// The range of the rows of a slot, which stand in increasing order.
    #[inline]
    pub fn range(&self, table: usize, slot: u32) -> (usize, usize) {
        let at = table * (self.slots + 1) + slot as usize;
        (table * self.rows + self.offsets[at] as usize, table * self.rows + self.offsets[at + 1] as usize)
    }

    /// The rows of a [`Tables::range`].
    #[inline]
    pub fn items(&self, (from, to): (usize, usize)) -> &[u32] {
        &self.items[from..to]
    }

    /// Sorts the rows of each table by `chosen`.
    pub fn build(&mut self) {
        let Self { rows, tables, slots, chosen, offsets, items } = self;
        let (rows, tables, slots) = (*rows, *tables, *slots);
        if rows == 0 {
            return;
        }
        items.par_chunks_mut(rows).zip(offsets.par_chunks_mut(slots + 1)).enumerate().for_each(
            |(table, (items, offsets))| {
                let runs = || {
                    let chunks = chosen.chunks(tables * CHUNK).enumerate();
                    chunks.map(|(c, chunk)| (c * CHUNK, &chunk[table * CHUNK..][..CHUNK.min(rows - c * CHUNK)]))
                };
                // Counts two places ahead. After the sums, place `slot + 1` is where the slot begins, and walks to its
                // end.
                offsets.fill(0);
                for &slot in runs().flat_map(|(_, run)| run) {
                    if let Some(count) = offsets.get_mut(slot as usize + 2) {
                        *count += 1;
                    }
                }
                for slot in 2..=slots {
                    offsets[slot] += offsets[slot - 1];
                }
                for (first, run) in runs() {
                    for (row, &slot) in (first as u32..).zip(run) {
                        let next = &mut offsets[slot as usize + 1];
                        items[*next as usize] = row;
                        *next += 1;
                    }
                }
            },
        );
    }

    /// The occupancy of the slots, and the memory of all this.
    pub fn statistics(&self) -> Statistics {
        let lens = self.offsets.chunks(self.slots + 1).flat_map(|table| table.windows(2)).map(|pair| pair[1] - pair[0]);
        Statistics {
            tables: self.tables,
            bytes: size_of::<u32>() * (self.chosen.len() + self.offsets.len() + self.items.len()),
            ..Statistics::of_buckets(lens.map(|len| len as usize))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::rng;
    use rand::RngExt;

    #[test]
    fn each_slot_holds_the_rows_that_chose_it_in_order() {
        for rows in [0, 1, 63, CHUNK, 2 * CHUNK + 5] {
            let (tables, slots) = (3, 64);
            let mut built = Tables::new(rows, tables, slots);
            let mut random = rng(1, "test/tables", rows as u64);
            built.chosen.iter_mut().for_each(|slot| *slot = random.random_range(0..slots as u32));
            built.build();
            let of = |row: usize, table: usize| built.chosen[(row / CHUNK * tables + table) * CHUNK + row % CHUNK];
            for table in 0..tables {
                for slot in 0..slots as u32 {
                    let want: Vec<u32> = (0..rows).filter(|&r| of(r, table) == slot).map(|r| r as u32).collect();
                    assert_eq!(built.items(built.range(table, slot)), want, "{rows} rows, table {table}, slot {slot}");
                }
            }
            let statistics = built.statistics();
            assert!((statistics.mean_occupancy * statistics.used_buckets as f64 - (rows * tables) as f64).abs() < 1e-6);
        }
    }
}
