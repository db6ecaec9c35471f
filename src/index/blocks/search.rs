//! Searches from a query to groups, to blocks, to rows.

use std::cell::Cell;
use std::ops::Range;

use rayon::prelude::*;

use super::Blocks;
use crate::index::scan::{compact, scores};
use crate::index::{Rows, WeightsRef};
use crate::kernels::gemm::{Operand, Output, PackedPanel, Precision, gemm};
use crate::kernels::reduce::top_k;
use crate::kernels::{MatMut, MatRef};
use crate::ragged::Ragged;
use crate::scratch::lend;

/// The least number of rows scored for each row asked for.
const SCORED: usize = 4;

/// The least number of blocks whose means are scored, for each block that is read.
const COMPARED: usize = 64;

/// Queries in one piece of parallel work; their scores with all groups are one product. It is enough for the product to
/// run well, and few enough to spread a batch of 256. The scores with 1024 groups (128 KiB) stay in the second-level
/// cache until they are read.
const TOGETHER: usize = 32;

#[derive(Debug, Default)]
pub struct Scratch {
    panel: PackedPanel,
    of_groups: Vec<f32>,
    ids: Vec<u32>,
    scores: Vec<f32>,
    best: Vec<u32>,
    values: Vec<f32>,
    blocks: Vec<u32>,
}

thread_local! {
    static SCRATCH: Cell<Scratch> = Cell::default();
}

impl Blocks {
    /// The best rows of each query, up to `k`.
    pub(super) fn answer(&self, rows: &Rows, queries: MatRef<f32>, k: usize) -> Ragged<u32> {
        // One place a query even if no row is asked for: `found` has a piece for each of `counts`.
        let width = k.max(1);
        let (mut found, mut counts) = (vec![0; queries.rows() * width], vec![0; queries.rows()]);
        let pieces = found.par_chunks_mut(TOGETHER * width).zip(counts.par_chunks_mut(TOGETHER));
        pieces.enumerate().for_each(|(c, (found, counts))| {
            self.each(queries, c * TOGETHER..c * TOGETHER + counts.len(), |q, of_groups, scratch| {
                let at = q - c * TOGETHER;
                counts[at] = self.find(rows, queries.row(q), of_groups, scratch, &mut found[at * width..][..k]);
            });
        });
        compact(found, width, &counts)
    }

    /// The best block of each query; `None` if there is no block.
    pub(super) fn best_block_of_each(&self, queries: MatRef<f32>) -> Vec<Option<u32>> {
        let mut blocks = vec![None; queries.rows()];
        blocks.par_chunks_mut(TOGETHER).enumerate().for_each(|(c, blocks)| {
            self.each(queries, c * TOGETHER..c * TOGETHER + blocks.len(), |q, of_groups, scratch| {
                self.best_blocks(queries.row(q), of_groups, 1, scratch);
                blocks[q - c * TOGETHER] = scratch.blocks.first().copied();
            });
        });
        blocks
    }

    /// Calls `visit(q, scores of the groups' mean rows, scratch)` for the queries `part`.
    fn each(&self, queries: MatRef<f32>, part: Range<usize>, mut visit: impl FnMut(usize, &[f32], &mut Scratch)) {
        let count = self.groups.count;
        lend(&SCRATCH, |scratch| {
            let mut of_groups = std::mem::take(&mut scratch.of_groups);
            scratch.panel.pack_left(
                self.level,
                Precision::F32,
                Operand::new(queries.window(part.clone(), 0..self.dim)),
            );
            of_groups.clear();
            part.clone().for_each(|_| of_groups.extend_from_slice(&self.group_biases));
            let out = MatMut::new(&mut of_groups, part.len(), count);
            self.meter.add(2 * part.len() * count * self.dim);
            gemm(self.level, Output::new(out).added(), &scratch.panel, &self.packed);
            part.zip(of_groups.chunks(count)).for_each(|(q, of_groups)| visit(q, of_groups, scratch));
            scratch.of_groups = of_groups;
        });
    }

    /// Writes the `most` best of the means `ids` to `scratch.best`, best first.
    pub(super) fn best_means(&self, means: &[f32], biases: &[f32], query: &[f32], most: usize, scratch: &mut Scratch) {
        let Scratch { ids, scores: line, best, values, .. } = scratch;
        let means = MatRef::new(means, biases.len(), self.dim);
        let means = Rows { weights: WeightsRef::F32(means), biases, level: self.level };
        line.resize(ids.len(), 0.0);
        self.meter.add(2 * ids.len() * self.dim);
        scores(&means, query, ids, line);
        let most = most.min(ids.len());
        best.resize(most, 0);
        values.resize(most, 0.0);
        top_k(self.level, line, best, values);
        best.iter_mut().for_each(|place| *place = ids[*place as usize]);
    }

    /// Writes the best blocks that hold `wanted` rows to `scratch.blocks`. `of_groups` are the scores of the groups.
    pub(super) fn best_blocks(&self, query: &[f32], of_groups: &[f32], wanted: usize, scratch: &mut Scratch) {
        let read = wanted.div_ceil(self.block) + self.probes;
        // Twice as many groups as hold enough blocks if all hold equally many.
        let most = (2 * COMPARED * read * self.groups.count).div_ceil(self.biases.len().max(1)) + 1;
        let most = most.min(self.groups.count);
        scratch.best.resize(most, 0);
        scratch.values.resize(most, 0.0);
        top_k(self.level, of_groups, &mut scratch.best, &mut scratch.values);
        scratch.ids.clear();
        for &group in &scratch.best {
            if scratch.ids.len() >= COMPARED * read {
                break;
            }
            scratch.ids.extend(self.blocks_of(group));
        }
        // Blocks are at least half full.
        self.best_means(&self.means, &self.biases, query, 2 * read, scratch);
        scratch.blocks.clear();
        let mut held = 0;
        for &block in &scratch.best {
            if scratch.blocks.len() >= read && held >= wanted {
                break;
            }
            scratch.blocks.push(block);
            held += self.rows_of(block).len();
        }
    }

    pub(super) fn blocks_of(&self, group: u32) -> std::ops::Range<u32> {
        self.first_block[group as usize]..self.first_block[group as usize + 1]
    }

    pub(super) fn rows_of(&self, block: u32) -> &[u32] {
        &self.items[self.offsets[block as usize] as usize..self.offsets[block as usize + 1] as usize]
    }

    pub(super) fn find(
        &self,
        rows: &Rows,
        query: &[f32],
        of_groups: &[f32],
        scratch: &mut Scratch,
        out: &mut [u32],
    ) -> usize {
        self.best_blocks(query, of_groups, out.len().saturating_mul(SCORED), scratch);
        let Scratch { ids, scores: line, best, values, blocks, .. } = scratch;
        // Inserted rows of the best block, then the rows of all blocks. No row is in two blocks.
        ids.clear();
        ids.extend(blocks.first().iter().flat_map(|&&block| self.inserted.rows(block)));
        ids.sort_unstable();
        let first = ids.len();
        for &block in blocks.iter() {
            let rows = self.rows_of(block);
            match first {
                0 => ids.extend(rows),
                _ => ids.extend(rows.iter().filter(|&row| self.not_inserted(blocks[0], *row))),
            }
        }
        line.resize(ids.len(), 0.0);
        self.meter.add(2 * ids.len() * self.dim);
        scores(rows, query, ids, line);
        let mut found = 0;
        for part in [0..first, first..ids.len()] {
            let most = part.len().min(out.len() - found);
            best.resize(most, 0);
            values.resize(most, 0.0);
            top_k(self.level, &line[part.clone()], best, values);
            for (out, &place) in out[found..].iter_mut().zip(best.iter()) {
                *out = ids[part.start + place as usize];
            }
            found += most;
        }
        found
    }

    pub(super) fn not_inserted(&self, block: u32, row: u32) -> bool {
        !self.inserted.contains((block as u64) << 32 | row as u64)
    }
}
