//! The bf16 product on a matrix unit: the loops around one 32 x 32 block, see `pack_tiles` for the order of the numbers.

use super::output::Output;
use super::pack_tiles::steps;
use super::panel::PackedPanel;
use super::window::Window;
use crate::simd::{Ahead, ConfiguredTiles, Simd, Tiles};

/// Rows of the left factor per pass: 256 KiB on AMX and 512 KiB on vectors, whose passes are twice as long, in the second-level cache.
const ROWS: usize = 256;

/// `out (+)= scale * left right`.
#[inline(always)]
pub(super) fn multiply<S: Simd>(
    s: S,
    unit: &ConfiguredTiles,
    out: &mut Output,
    left: &PackedPanel,
    right: &PackedPanel,
    window: Window,
) {
    let (strips, depth) = (left.strips, left.strips.depth);
    debug_assert!(window.from.is_multiple_of(Tiles::DEPTH));
    let (together, skip) = (ROWS / Tiles::SIDE, window.from / Tiles::DEPTH);
    let (pass, all) = (unit.pass(), depth.div_ceil(Tiles::DEPTH));
    for above in (0..strips.count).step_by(together) {
        let below = strips.count.min(above + together);
        // At least one pass: a product of depth 0 is zero and is written.
        for from in (0..all.max(1)).step_by(pass) {
            for j in 0..right.strips.count {
                let column = j * Tiles::SIDE;
                // The next strip comes from the third-level cache or from memory, and the place of the sums is rarely in a near
                // one: with each block a share of the one is asked for and all of the other. The CPU waits when it is asked for
                // more lines than it can await, so they are asked for while the sums are made.
                let coming = from * (Tiles::STEP / 2)..all.min(from + pass) * (Tiles::STEP / 2);
                let next = right.strip(j + 1).get(coming).unwrap_or(&[]);
                let mut next = next.chunks(next.len().div_ceil(below - above).max(1));
                for i in above..below {
                    let share = next.next().unwrap_or(&[]);
                    let row = i * Tiles::SIDE;
                    let last = strips.outer.min(row + Tiles::SIDE) - 1;
                    if column >= window.columns(last, out.cols()) {
                        continue;
                    }
                    let range = steps(window.terms(row, last, depth));
                    let starts = range.start.min(range.end).min(all.saturating_sub(1));
                    let first = from <= starts && starts < from + pass;
                    let (begin, end) = (from.max(range.start), range.end.min(from + pass));
                    if begin >= end && !first {
                        continue;
                    }
                    let mut sums = [0.0; Tiles::SIDE * Tiles::SIDE];
                    if begin < end {
                        let mut ahead = Ahead { strip: share, ..Ahead::default() };
                        for (i, to) in (row..=last).zip(&mut ahead.rows) {
                            *to = out.row(i).get(column..).map_or(&[], |to| &to[..to.len().min(Tiles::SIDE)]);
                        }
                        let (a, b) = (left.steps(i, begin, end), right.steps(j, skip + begin, skip + end));
                        unit.tile_block_ahead(a, b, &mut sums, &ahead);
                    }
                    write(s, out, row, column, out.adds() || !first, window, &sums);
                }
            }
        }
    }
}

#[inline(always)]
fn write<S: Simd>(s: S, out: &mut Output, row: usize, column: usize, add: bool, window: Window, sums: &[f32; 1024]) {
    let (scale, cols) = (s.splat(out.scale()), out.cols());
    let rows = Tiles::SIDE.min(out.rows() - row);
    for (i, sums) in sums.chunks_exact(Tiles::SIDE).take(rows).enumerate() {
        let end = window.columns(row + i, cols).min(column + Tiles::SIDE);
        let to = out.row_mut(row + i).get_mut(column..end).unwrap_or(&mut []);
        for (to, sums) in to.chunks_mut(S::LANES).zip(sums.chunks_exact(S::LANES)) {
            let sums = s.load(sums);
            if to.len() == S::LANES {
                let before = if add { s.load(to) } else { s.splat(0.0) };
                s.store(s.mul_add(scale, sums, before), to);
            } else {
                let before = if add { s.load_partial(to) } else { s.splat(0.0) };
                s.store_partial(s.mul_add(scale, sums, before), to);
            }
        }
    }
}
