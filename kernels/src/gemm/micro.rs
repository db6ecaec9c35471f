//! The micro-kernel on f32 vectors and the loops around it.

use super::output::Output;
use super::panel::PackedPanel;
use super::strips::block;
use super::window::Window;
use crate::simd::Simd;

/// The most contraction indices that one pass sums in registers. Longer passes write the output less often, which
/// weighs more than a right strip that fits the first-level cache: 128 deep reached 80 %, 256 deep 85 %, 512 and more
/// 90 % of the FMA peak (Zen 4, 256 x 4096 x 512). 768 keeps a left strip (24 KiB) in a first-level cache of 32 KiB.
const DEPTH: usize = 768;

/// Rows of the left factor that one pass goes through for each strip of the right one: with [`DEPTH`] at most 384
/// KiB, which stay in the second-level cache, as does the piece of the output that they are summed into.
const ROWS: usize = 128;

/// The most sums a block has: 8 rows of 3 vectors of 16.
const BLOCK: usize = 8 * 3 * 16;

/// `out (+)= scale * left right`.
#[inline(always)]
pub(super) fn multiply<S: Simd>(s: S, out: &mut Output, left: &PackedPanel, right: &PackedPanel, window: Window) {
    match block::<S>().0 {
        8 => passes::<S, 8>(s, out, left, right, window),
        _ => passes::<S, 4>(s, out, left, right, window),
    }
}

/// A few rows of the left factor outermost, then passes over the depth: rows and output stay in the second-level cache.
#[inline(always)]
fn passes<S: Simd, const R: usize>(s: S, out: &mut Output, left: &PackedPanel, right: &PackedPanel, window: Window) {
    let (strips, depth) = (left.strips, left.strips.depth);
    let together = ROWS / R;
    // Passes of equal length. At least one: a product of depth 0 is zero and is written.
    let pass = depth.div_ceil(depth.div_ceil(DEPTH).max(1)).max(1);
    for above in (0..strips.count).step_by(together) {
        let below = strips.count.min(above + together);
        for from in (0..depth.max(1)).step_by(pass) {
            let to = depth.min(from + pass);
            for j in 0..right.strips.count {
                let (column, width) = right.strips.span(j);
                for i in above..below {
                    let row = i * R;
                    let last = strips.outer.min(row + R) - 1;
                    if column >= window.columns(last, out.cols()) {
                        continue;
                    }
                    let range = window.terms(row, last, depth);
                    // The pass in which this block is first written is the one that its range begins in (or would).
                    let starts = range.start.min(range.end).min(depth.saturating_sub(1));
                    let first = from <= starts && starts < from + pass;
                    let (begin, end) = (from.max(range.start), to.min(range.end));
                    if begin >= end && !first {
                        continue;
                    }
                    let end = end.max(begin);
                    let a = left.lines(row, R, begin, end);
                    let b = right.lines(column, width, window.from + begin, window.from + end);
                    let place = Place { row, column, add: out.adds() || !first, window };
                    match width / S::LANES {
                        3 => place.write::<S, R, 3>(s, out, sums(s, a, b)),
                        2 => place.write::<S, R, 2>(s, out, sums(s, a, b)),
                        _ => place.write::<S, R, 1>(s, out, sums(s, a, b)),
                    }
                }
            }
        }
    }
}

/// `sums[i][j] = sum_k a[k, i] b[k, j]` for `R` rows and `V` vectors of columns: every step loads `V` vectors,
/// broadcasts `R` numbers and multiplies and adds `R * V` times into registers.
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
    window: Window,
}

impl Place {
    #[inline(always)]
    fn write<S: Simd, const R: usize, const V: usize>(self, s: S, out: &mut Output, sums: [[S::F32; V]; R]) {
        let scale = s.splat(out.scale());
        let cols = out.cols();
        let inside = self.row + R <= out.rows() && self.column + V * S::LANES <= self.window.columns(self.row, cols);
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
            let end = self.window.columns(self.row + i, cols);
            let row = out.row_mut(self.row + i).get_mut(self.column..end).unwrap_or(&mut []);
            for (to, sums) in row.chunks_mut(S::LANES).zip(block.chunks_exact(S::LANES)) {
                let before = if self.add { s.load_partial(to) } else { s.splat(0.0) };
                s.store_partial(s.mul_add(scale, s.load(sums), before), to);
            }
        }
    }
}
