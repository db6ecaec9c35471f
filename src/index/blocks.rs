//! Blocks of similar rows: an inverted file with small lists of equal size.

mod bisect;
mod groups;
mod search;
mod state;

use rayon::prelude::*;

use super::centre::Centre;
use super::inserted::Inserted;
use super::saved::Saved;
use super::scan::check;
use super::{Index, Rows, Statistics};
use crate::error::{Error, Result};
use crate::flops::Meter;
use crate::kernels::gemm::{Operand, PackedPanel, Precision};
use crate::kernels::{Level, MatRef, UniqueRowIds};
use crate::ragged::Ragged;
use crate::tensor::Tensor;
use bisect::{Parts, bisect};
use groups::Groups;

/// Balanced clusters of rows, made in two steps. Spherical k-means makes at least `4 sqrt(rows / block)` groups, and at
/// most twice as many. Then each group is bisected until its parts hold at most `block` rows.
///
/// - **A query** scores the mean rows of all groups, then the mean rows of the blocks in the best groups, then the rows
///   of the best blocks. It reads enough blocks to hold 4 rows for each one asked for, and `probes` more.
/// - **Clusters** are by angle. Rows enter with their biases, and without their mean.
/// - **A rebuild** moves the groups to the means of a sample of the rows, assigns every row to the nearest group, and
///   bisects all groups again. Moved rows are not tracked.
/// - **Inserted rows** ([`Index::insert`]) stand beside the query's best block. Queries with this best block get them
///   first.
///
/// ```
/// use hotrow::index::{Blocks, Index, Rows, WeightsRef};
/// use hotrow::kernels::{Level, MatRef};
/// let weights = MatRef::new(&[3.0, 0.0, 0.0, 3.0, -3.0, -3.0], 3, 2);
/// let rows = Rows { weights: WeightsRef::F32(weights), biases: &[0.0; 3], level: Level::detect() };
/// let mut index = Blocks::new(2, 0, 1, 3, 2, Level::detect())?;
/// index.rebuild(&rows);
/// let found = index.select(&rows, MatRef::new(&[1.0, 0.0], 1, 2), 1, 0);
/// assert_eq!(found.row(0), &[0]);
/// # Ok::<(), hotrow::error::Error>(())
/// ```
#[derive(Debug)]
pub struct Blocks {
    block: usize,
    probes: usize,
    rows: usize,
    dim: usize,
    seed: u64,
    level: Level,
    centre: Centre,
    groups: Groups,
    /// The mean row (groups, D) and mean bias of each group.
    group_means: Vec<f32>,
    /// -infinity for a group without rows.
    group_biases: Vec<f32>,
    /// `group_means`, packed.
    packed: PackedPanel,
    /// The blocks of group `g` are `first_block[g]..first_block[g + 1]`.
    first_block: Vec<u32>,
    /// The mean row (blocks, D) and mean bias of each block.
    means: Vec<f32>,
    biases: Vec<f32>,
    /// The rows of block `b` are `items[offsets[b]..offsets[b + 1]]`.
    offsets: Vec<u32>,
    items: Vec<u32>,
    inserted: Inserted,
    rebuilds: [u64; 1],
    /// Operations of queries and of bisecting groups.
    meter: Meter,
}

impl Blocks {
    /// An index over `rows` rows of length `dim`, in blocks of `block`. A query reads `probes` more blocks than it
    /// needs.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if `block` is 0.
    ///
    /// ```
    /// let error = hotrow::index::Blocks::new(0, 0, 1, 9, 2, hotrow::kernels::Level::detect()).unwrap_err();
    /// assert_eq!(error.to_string(), "sparse.block: 0 is not above 0");
    /// ```
    pub fn new(block: usize, probes: usize, seed: u64, rows: usize, dim: usize, level: Level) -> Result<Self> {
        if block == 0 {
            return Err(Error::config("sparse.block", "0 is not above 0"));
        }
        let count = ((rows / block) as f64).sqrt().ceil().max(1.0) as usize;
        let count = 4 * count.next_power_of_two();
        let mut index = Self {
            block,
            probes,
            rows,
            dim,
            seed,
            level,
            centre: Centre::new(dim + 1),
            groups: Groups::new(count, dim + 1),
            group_means: vec![0.0; count * dim],
            group_biases: vec![f32::NEG_INFINITY; count],
            packed: PackedPanel::new(),
            first_block: vec![0; count + 1],
            means: Vec::new(),
            biases: Vec::new(),
            offsets: vec![0],
            items: Vec::new(),
            inserted: Inserted::default(),
            rebuilds: [0],
            meter: Meter::default(),
        };
        index.pack();
        Ok(index)
    }

    fn pack(&mut self) {
        let means = MatRef::new(&self.group_means, self.groups.count, self.dim);
        self.packed.pack_right(self.level, Precision::F32, Operand::new(means).transposed());
    }

    /// The group of each row. All rows are assigned again: directions move too, and two levels of them make it cheap.
    fn regroup(&mut self, rows: &Rows) -> Vec<u32> {
        let Self { centre, groups, seed, rebuilds, .. } = self;
        let sampled = groups.sampled(rows, *seed, rebuilds[0]);
        centre.follow(rows, &sampled);
        match rebuilds[0] {
            0 => groups.find(rows, centre.mean(), &sampled),
            _ => groups.follow(rows, centre.mean(), &sampled),
        }
        groups.assign(rows, centre.mean(), &Vec::from_iter(0..self.rows as u32))
    }

    /// Bisects all groups into blocks.
    fn cut(&mut self, rows: &Rows, of_row: &[u32]) {
        let all: Vec<u32> = (0..self.rows as u32).collect();
        let members = Ragged::group(self.groups.count, &all, |&row| of_row[row as usize] as usize);
        let parts: Vec<Parts> = (0..self.groups.count)
            .into_par_iter()
            .map(|group| bisect(rows, self.centre.mean(), members.row(group), self.block))
            .collect();
        let dim = self.dim;
        for list in [&mut self.means, &mut self.biases] {
            list.clear();
        }
        self.items.clear();
        self.offsets.truncate(1);
        for (group, part) in parts.iter().enumerate() {
            self.meter.add(part.flops);
            let mean = &mut self.group_means[group * dim..][..dim];
            mean.fill(0.0);
            let mut bias = 0.0;
            let share = 1.0 / part.items.len().max(1) as f32;
            for (b, &len) in part.lens.iter().enumerate() {
                let share = share * len as f32;
                mean.iter_mut().zip(&part.means[b * dim..]).for_each(|(sum, mean)| *sum += share * mean);
                bias += share * part.biases[b];
                self.offsets.push(self.offsets[self.offsets.len() - 1] + len);
            }
            self.group_biases[group] = if part.items.is_empty() { f32::NEG_INFINITY } else { bias };
            self.means.extend(&part.means);
            self.biases.extend(&part.biases);
            self.items.extend(&part.items);
            self.first_block[group + 1] = self.biases.len() as u32;
        }
        self.pack();
    }
}

impl Index for Blocks {
    fn name(&self) -> &'static str {
        "blocks"
    }

    fn select(&self, rows: &Rows, queries: MatRef<f32>, k: usize, _: u64) -> Ragged<u32> {
        check(rows, self.rows, self.dim);
        assert_eq!(queries.cols(), self.dim, "queries and rows differ in length");
        self.answer(rows, queries, k.min(rows.len()))
    }

    fn mark_moved(&mut self, rows: &Rows, _: UniqueRowIds) {
        check(rows, self.rows, self.dim);
    }

    fn insert(&mut self, queries: MatRef<f32>, ids: &Ragged<u32>) {
        assert_eq!(queries.cols(), self.dim, "queries and rows differ in length");
        assert_eq!(queries.rows(), ids.len(), "queries and lists of ids differ in number");
        let mut fresh = Vec::new();
        for (block, ids) in self.best_block_of_each(queries).into_iter().zip(ids.iter()) {
            for &id in ids {
                assert!((id as usize) < self.rows, "row {id} is not below {}", self.rows);
                if let Some(block) = block.filter(|&block| self.not_inserted(block, id)) {
                    fresh.push((block as u64) << 32 | id as u64);
                }
            }
        }
        fresh.truncate((4 * self.rows).saturating_sub(self.inserted.len()));
        self.inserted.add(fresh);
    }

    fn rebuild(&mut self, rows: &Rows) {
        check(rows, self.rows, self.dim);
        self.inserted.clear();
        if self.rows > 0 {
            let of_row = self.regroup(rows);
            self.cut(rows, &of_row);
        }
        self.rebuilds[0] += 1;
    }

    fn flops(&self) -> u64 {
        self.groups.meter.total() + self.meter.total()
    }

    fn statistics(&self) -> Statistics {
        let lens = self.offsets.windows(2).map(|pair| (pair[1] - pair[0]) as usize);
        let floats = self.means.len() + self.biases.len() + self.group_means.len() + self.groups.directions.len();
        let words = floats + self.offsets.len() + self.items.len();
        Statistics {
            tables: 1,
            bytes: 4 * words + 8 * self.inserted.len(),
            rebuilds: self.rebuilds[0],
            ..Statistics::of_buckets(lens)
        }
    }

    fn state(&self) -> Vec<Tensor<'_>> {
        self.tensors()
    }

    fn restore(&mut self, state: &[Tensor]) -> std::result::Result<(), String> {
        self.take(Saved(state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::rng;
    use rand::RngExt;

    fn build(weights: &[f32], dim: usize, block: usize) -> Blocks {
        let count = weights.len() / dim;
        let biases = vec![0.0; count];
        let level = Level::detect();
        let rows =
            Rows { weights: super::super::WeightsRef::F32(MatRef::new(weights, count, dim)), biases: &biases, level };
        let mut index = Blocks::new(block, 0, 1, count, dim, level).unwrap();
        index.rebuild(&rows);
        index
    }

    #[test]
    fn every_row_is_in_one_block_and_no_block_is_over_full() {
        let mut random = rng(1, "test/blocks", 0);
        for (count, block) in [(1, 32), (31, 1), (100, 7), (2000, 32)] {
            let weights: Vec<f32> = (0..count * 5).map(|_| random.random_range(-1.0..1.0)).collect();
            // All rows alike, too, and rows that are no numbers: there is no direction to cut along.
            for weights in [weights, vec![0.0; count * 5], vec![f32::NAN; count * 5]] {
                let index = build(&weights, 5, block);
                let mut rows = index.items.clone();
                rows.sort_unstable();
                assert!(rows.into_iter().eq(0..count as u32), "{count} rows in blocks of {block}");
                assert!(index.statistics().largest_bucket <= block);
                assert!(index.offsets.windows(2).all(|pair| pair[0] < pair[1]), "an empty block");
            }
        }
    }

    #[test]
    fn clusters_are_not_cut() {
        // Eight clusters of eight rows, far apart and in no order; a block holds one.
        let weights: Vec<f32> =
            (0..64).flat_map(|r| (0..8).map(move |i| if i == r * 5 % 8 { 9.0 } else { 0.01 * r as f32 })).collect();
        let index = build(&weights, 8, 8);
        for block in 0..index.biases.len() as u32 {
            let rows = index.rows_of(block);
            assert!(rows.iter().all(|row| row * 5 % 8 == rows[0] * 5 % 8), "{rows:?}");
        }
    }
}
