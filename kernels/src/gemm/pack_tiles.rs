//! The order in which a matrix unit reads a factor.
//!
//! A strip is 32 rows of the left or 32 columns of the right factor; per 32 contraction indices it holds the two
//! tiles of [`Tiles`](crate::simd::Tiles), padded with zeros. Both are built from words of two bf16 with consecutive
//! contraction indices: a left tile is `word[row][pair]`, a right tile `word[pair][column]`.

use super::operand::Operand;
use super::pack::transpose;
use super::strips::{Side, Strips};
use super::window::Window;
use crate::bf16;
use crate::simd::{Simd, Tiles, Weight, nearest_bf16_bits};

/// Words of a tile: 16 rows of 16.
const TILE: usize = 256;

/// How a factor of `outer` by `depth` is cut: strips of 32, depths rounded up to 32. The buffer holds f32, so two
/// bf16 an element.
pub(super) fn strips(outer: usize, depth: usize) -> Strips {
    Strips::new(outer, depth, Tiles::SIDE, 1)
}

/// Elements (f32, of two bf16) of one strip.
pub(super) fn strip_len(depth: usize) -> usize {
    depth.div_ceil(Tiles::DEPTH) * (Tiles::STEP / 2)
}

/// Fills `out` (all strips) with `factor`.
#[inline(always)]
pub(super) fn pack<S: Simd, W: Weight>(
    s: S,
    out: &mut [f32],
    strips: Strips,
    side: Side,
    factor: Operand<W>,
    along_depth: bool,
) {
    let words: &mut [u32] = bytemuck::cast_slice_mut(out);
    let (steps, strip) = (strips.depth.div_ceil(Tiles::DEPTH), strip_len(strips.depth));
    if along_depth {
        for i in 0..strips.count {
            for step in 0..steps {
                for t in 0..2 {
                    let outer = i * Tiles::SIDE + t * 16;
                    let tile = tile_mut(words, i * strip, step, t);
                    rows_along_depth(s, tile, outer, step * Tiles::DEPTH, factor);
                    if side == Side::Right {
                        transpose_tile(s, tile);
                    }
                }
            }
        }
    } else {
        // All strips of 32 rows of memory before the next rows, so that each row is read once.
        for step in 0..steps {
            for i in 0..strips.count {
                for t in 0..2 {
                    let outer = i * Tiles::SIDE + t * 16;
                    let tile = tile_mut(words, i * strip, step, t);
                    rows_across_depth(s, tile, outer, step * Tiles::DEPTH, factor);
                    if side == Side::Left {
                        transpose_tile(s, tile);
                    }
                }
            }
        }
    }
}

/// Tiles stand in the order (step, upper or lower half of the strip).
#[inline(always)]
fn tile_mut(words: &mut [u32], strip: usize, step: usize, half: usize) -> &mut [u32; TILE] {
    let start = strip + (2 * step + half) * TILE;
    (&mut words[start..start + TILE]).try_into().expect("a tile has 256 words")
}

/// `word[outer][pair]`: a line of `factor` has consecutive contraction indices.
#[inline(always)]
fn rows_along_depth<S: Simd, W: Weight>(s: S, tile: &mut [u32; TILE], outer: usize, depth: usize, factor: Operand<W>) {
    for (r, words) in tile.chunks_exact_mut(16).enumerate() {
        let line = factor.line(outer + r);
        // Gathered rows come from anywhere: those of the next strip are asked for while these are packed.
        s.prefetch(factor.line_ahead(outer + Tiles::SIDE + r).get(depth..depth + Tiles::DEPTH).unwrap_or(&[]));
        // Long rows of logits come from the third-level cache, too many at a time for the hardware to foresee.
        s.prefetch(line.get(depth + 4 * Tiles::DEPTH..depth + 5 * Tiles::DEPTH).unwrap_or(&[]));
        narrow(s, line.get(depth..).unwrap_or(&[]), bytemuck::cast_slice_mut(words));
    }
}

/// `word[pair][outer]`: a line of `factor` has one contraction index, and words are made of two lines.
#[inline(always)]
fn rows_across_depth<S: Simd, W: Weight>(s: S, tile: &mut [u32; TILE], outer: usize, depth: usize, factor: Operand<W>) {
    for (pair, words) in tile.chunks_exact_mut(16).enumerate() {
        let mut lines: [&[W]; 2] = [&[]; 2];
        for (i, line) in lines.iter_mut().enumerate() {
            let k = depth + 2 * pair + i;
            *line = factor.line(k).get(outer..).unwrap_or(&[]);
            s.prefetch(factor.line_ahead(k + Tiles::DEPTH).get(outer..outer + 16).unwrap_or(&[]));
        }
        let [low, high] = lines;
        for (v, words) in words.chunks_exact_mut(S::LANES).enumerate() {
            let (low, high) = (bits(s, low, v * S::LANES), bits(s, high, v * S::LANES));
            s.store_u32(s.or(low, s.shl(high, 16)), words);
        }
    }
}

/// The numbers of `line` from `from` on, rounded to nearest, as bf16 in the low halves; zeros past its end.
#[inline(always)]
fn bits<S: Simd, W: Weight>(s: S, line: &[W], from: usize) -> S::U32 {
    let line = line.get(from..).unwrap_or(&[]);
    let whole = line.len() >= S::LANES;
    nearest_bf16_bits(s, if whole { W::load(s, line) } else { W::load_partial(s, line) })
}

/// `to = line`, rounded to nearest, and zeros past its end.
#[inline(always)]
fn narrow<S: Simd, W: Weight>(s: S, line: &[W], to: &mut [bf16]) {
    let len = line.len().min(to.len());
    let (now, padding) = to.split_at_mut(len);
    padding.fill(bf16::ZERO);
    if size_of::<W>() == size_of::<bf16>() {
        now.copy_from_slice(bytemuck::cast_slice(&line[..len]));
        return;
    }
    for (to, line) in now.chunks_mut(S::LANES).zip(line[..len].chunks(S::LANES)) {
        if to.len() == S::LANES {
            bf16::store(s, W::load(s, line), to);
        } else {
            bf16::store_partial(s, W::load_partial(s, line), to);
        }
    }
}

/// 16 x 16 words, transposed.
#[inline(always)]
fn transpose_tile<S: Simd>(s: S, tile: &mut [u32; TILE]) {
    if S::LANES == 16 {
        let mut rows = [s.splat(0.0); 16];
        for r in 0..16 {
            rows[r] = s.from_bits(s.load_u32(&tile[16 * r..]));
        }
        rows = transpose(s, rows);
        for r in 0..16 {
            s.store_u32(s.to_bits(rows[r]), &mut tile[16 * r..]);
        }
    } else {
        for r in 0..16 {
            for c in 0..r {
                tile.swap(16 * r + c, 16 * c + r);
            }
        }
    }
}

/// Zeros in a left panel where `window` says that a row has no term.
pub(super) fn clear(strips: Strips, words: &mut [f32], window: Window) {
    let numbers: &mut [bf16] = bytemuck::cast_slice_mut(words);
    let len = strip_len(strips.depth) * 2;
    for row in 0..strips.outer {
        let strip = &mut numbers[row / Tiles::SIDE * len..][..len];
        let first = row / Tiles::SIDE * Tiles::SIDE;
        let last = strips.outer.min(first + Tiles::SIDE) - 1;
        let (all, own) = (steps(window.terms(first, last, strips.depth)), window.terms(row, row, strips.depth));
        for k in (all.start * Tiles::DEPTH..own.start).chain(own.end..all.end * Tiles::DEPTH) {
            let tile = k / Tiles::DEPTH * 2 + row % Tiles::SIDE / 16;
            strip[tile * 2 * TILE + row % 16 * Tiles::DEPTH + k % Tiles::DEPTH] = bf16::ZERO;
        }
    }
}

/// The steps that contraction indices `range` lie in.
pub(super) fn steps(range: std::ops::Range<usize>) -> std::ops::Range<usize> {
    range.start / Tiles::DEPTH..range.end.div_ceil(Tiles::DEPTH)
}
