//! The micro-kernel on f32 vectors and the loops around it.

use super::panel::{PackedPanel, block};
use super::product::{Causal, Output};
use crate::simd::Simd;

/// Contraction indices that one pass sums in registers.
const DEPTH: usize = 256;

/// Rows of the left factor that one pass goes through for each strip of the right one.
const ROWS: usize = 256;

/// The most sums a block has: 8 rows of 3 vectors of 16.
const BLOCK: usize = 8 * 3 * 16;

/// `out (+)= scale * left right`.
#[inline(always)]
pub(super) fn multiply<S: Simd>(s: S, out: &mut Output, left: &PackedPanel, right: &PackedPanel, causal: Causal) {
    match block::<S>().0 {
        8 => passes::<S, 8>(s, out, left, right, causal),
        _ => passes::<S, 4>(s, out, left, right, causal),
    }
}

/// Depth outermost, so that a strip of the right factor stays in the first-level cache for `ROWS` rows and those rows in the
/// second-level cache for all strips.
#[inline(always)]
fn passes<S: Simd, const ROWS_: usize>(
    s: S,
    out: &mut Output,
    left: &PackedPanel,
    right: &PackedPanel,
    causal: Causal,
) {
    let (strips, depth) = (left.strips, left.strips.depth);
    let together = ROWS / ROWS_;
    // At least one pass: a product of depth 0 is zero and is written.
    for from in (0..depth.max(1)).step_by(DEPTH) {
        let to = depth.min(from + DEPTH);
        for above in (0..strips.count).step_by(together) {
            let below = strips.count.min(above + together);
            for j in 0..right.strips.count {
                let (column, width) = right.strips.span(j);
                for i in above..below {
                    let row = i * ROWS_;
                    let last = strips.outer.min(row + ROWS_) - 1;
                    if column >= causal.columns(last, out.cols()) {
                        continue;
                    }
                    let range = causal.range(row, last, depth);
                    // The pass in which this block is first written is the one that its range begins in (or would).
                    let starts = range.start.min(range.end).min(depth.saturating_sub(1));
                    let first = from <= starts && starts < from + DEPTH;
                    let (begin, end) = (from.max(range.start), to.min(range.end));
                    if begin >= end && !first {
                        continue;
                    }
                    let end = end.max(begin);
                    let a = left.lines(row, ROWS_, begin, end);
                    let b = right.lines(column, width, begin, end);
                    let place = Place { row, column, add: out.adds() || !first, causal };
                    match width / S::LANES {
                        3 => place.write::<S, ROWS_, 3>(s, out, sums(s, a, b)),
                        2 => place.write::<S, ROWS_, 2>(s, out, sums(s, a, b)),
                        _ => place.write::<S, ROWS_, 1>(s, out, sums(s, a, b)),
                    }
                }
            }
        }
    }
}

/// `sums[i][j] = sum_k a[k, i] b[k, j]` for `R` rows and `V` vectors of columns: every step loads `V` vectors, broadcasts
/// `R` numbers and multiplies and adds `R * V` times into registers.
#[inline(always)]
fn sums<S: Simd, const R: usize, const V: usize>(s: S, a: &[f32], b: &[f32]) -> [[S::F32; V]; R] {
    let mut sums = [[s.splat(0.0); V]; R];
    for (a, b) in a.as_chunks::<R>().0.iter().zip(b.chunks_exact(V * S::LANES)) {
        let mut vectors = [s.splat(0.0); V];
        for j in 0..V {
            vectors[j] = s.load(&b[j * S::LANES..]);
        }
        for i in 0..R {
            let factor = s.splat(a[i]);
            for j in 0..V {
                sums[i][j] = s.mul_add(factor, vectors[j], sums[i][j]);
            }
        }
    }
    sums
}

/// Where a block of sums goes.
struct Place {
    row: usize,
    column: usize,
    add: bool,
    causal: Causal,
}

impl Place {
    #[inline(always)]
    fn write<S: Simd, const R: usize, const V: usize>(self, s: S, out: &mut Output, sums: [[S::F32; V]; R]) {
        let scale = s.splat(out.scale());
        let cols = out.cols();
        let inside = self.row + R <= out.rows() && self.column + V * S::LANES <= self.causal.columns(self.row, cols);
        if inside {
            for i in 0..R {
                let row = &mut out.row_mut(self.row + i)[self.column..][..V * S::LANES];
                for j in 0..V {
                    let to = &mut row[j * S::LANES..];
                    let before = if self.add { s.load(to) } else { s.splat(0.0) };
                    s.store(s.mul_add(scale, sums[i][j], before), to);
                }
            }
            return;
        }
        // Blocks at an edge go through memory, so that registers are never indexed by a variable.
        let mut block = [0.0; BLOCK];
        for i in 0..R {
            for j in 0..V {
                s.store(sums[i][j], &mut block[(i * V + j) * S::LANES..]);
            }
        }
        let rows = R.min(out.rows() - self.row);
        for (i, block) in block.chunks_exact(V * S::LANES).take(rows).enumerate() {
            let end = self.causal.columns(self.row + i, cols);
            let row = out.row_mut(self.row + i).get_mut(self.column..end).unwrap_or(&mut []);
            for (to, sums) in row.chunks_mut(S::LANES).zip(block.chunks_exact(S::LANES)) {
                let before = if self.add { s.load_partial(to) } else { s.splat(0.0) };
                s.store_partial(s.mul_add(scale, s.load(sums), before), to);
            }
        }
    }
}
