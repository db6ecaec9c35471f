//! Packing loops of the vector layout: rows that lie along the contraction are transposed in registers, the others
//! copied.

use super::operand::Operand;
use super::strips::{Precision, Side, Strips, block};
use super::window::Window;
use crate::simd::{Simd, Weight, nearest_bf16_bits};

/// Rows of memory copied into all strips before the next ones, when no transposition is needed: few enough that their
/// lines stay in the first-level cache while strips take 32 bytes at a time from them.
const LINES: usize = 16;

/// Fills `out` (all strips) with `factor`.
#[inline(always)]
pub(super) fn pack<S: Simd, W: Weight>(
    s: S,
    out: &mut [f32],
    strips: Strips,
    side: Side,
    precision: Precision,
    factor: Operand<W>,
    along_depth: bool,
) {
    // bf16 numbers are what rounding would give.
    let round = precision == Precision::Bf16 && size_of::<W>() > 2;
    match (along_depth, round) {
        (true, false) => across::<S, W, false>(s, out, strips, side, factor),
        (true, true) => across::<S, W, true>(s, out, strips, side, factor),
        (false, false) => straight::<S, W, false>(s, out, strips, factor),
        (false, true) => straight::<S, W, true>(s, out, strips, factor),
    }
}

#[inline(always)]
fn rounded<S: Simd, const ROUND: bool>(s: S, v: S::F32) -> S::F32 {
    if ROUND { s.from_bits(s.shl(nearest_bf16_bits(s, v), 16)) } else { v }
}

/// Rows of memory run along the contraction: groups of them are transposed.
#[inline(always)]
fn across<S: Simd, W: Weight, const ROUND: bool>(
    s: S,
    out: &mut [f32],
    strips: Strips,
    side: Side,
    factor: Operand<W>,
) {
    match (side, block::<S>().0, S::LANES) {
        (Side::Left, 8, _) | (Side::Right, _, 8) => transposed::<S, W, 8, ROUND>(s, out, strips, factor),
        (Side::Left, _, _) | (Side::Right, _, 4) => transposed::<S, W, 4, ROUND>(s, out, strips, factor),
        (Side::Right, _, _) => transposed::<S, W, 16, ROUND>(s, out, strips, factor),
    }
}

/// `R` rows at a time: the rows of a left strip, or the rows that become one vector of a right strip.
#[inline(always)]
fn transposed<S: Simd, W: Weight, const R: usize, const ROUND: bool>(
    s: S,
    out: &mut [f32],
    strips: Strips,
    factor: Operand<W>,
) {
    let depth = strips.depth;
    for i in 0..strips.count {
        let (start, width) = strips.span(i);
        let strip = &mut out[start * depth..][..width * depth];
        for group in (0..width).step_by(R) {
            let first = start + group;
            let mut rows: [&[W]; R] = [&[]; R];
            let mut next: [&[W]; R] = [&[]; R];
            for r in 0..R {
                (rows[r], next[r]) = (factor.line(first + r), factor.line_ahead(first + R + r));
            }
            let whole = if first + R <= strips.outer { depth / S::LANES * S::LANES } else { 0 };
            let mut vectors = [s.splat(0.0); R];
            for k in (0..whole).step_by(S::LANES) {
                for r in 0..R {
                    vectors[r] = rounded::<S, ROUND>(s, W::load(s, &rows[r][k..]));
                    // Gathered rows come from anywhere: the next ones are asked for while these are packed.
                    s.prefetch(next[r].get(k..k + S::LANES).unwrap_or(&[]));
                }
                vectors = transpose(s, vectors);
                for (v, &vector) in vectors.iter().enumerate() {
                    s.store(vector, &mut strip[place::<S, R>(v, k, width, group)..]);
                }
            }
            for k in (whole..depth).step_by(S::LANES) {
                for r in 0..R {
                    vectors[r] = rounded::<S, ROUND>(s, W::load_partial(s, rows[r].get(k..).unwrap_or(&[])));
                }
                vectors = transpose(s, vectors);
                for (v, &vector) in vectors.iter().enumerate() {
                    let place = place::<S, R>(v, k, width, group);
                    s.store_partial(vector, strip.get_mut(place..).unwrap_or(&mut []));
                }
            }
        }
    }
}

/// Where vector `v` of the transposition of `R` rows from contraction index `k` goes in a strip of `width`: numbers
/// are in the order (contraction index, row), so either vectors are whole rows of the strip, or the strip is `R` wide.
#[inline(always)]
fn place<S: Simd, const R: usize>(v: usize, k: usize, width: usize, group: usize) -> usize {
    let flat = v * S::LANES;
    (k + flat / R) * width + group + flat % R
}

/// `R` vectors as one list of numbers (row, lane) become the list (lane, row).
///
/// One step interleaves the two halves of the list: each number's position, in binary, rotates by one bit. After log2
/// R steps the bits of the row have become the lowest.
#[inline(always)]
pub(super) fn transpose<S: Simd, const R: usize>(s: S, mut vectors: [S::F32; R]) -> [S::F32; R] {
    for _ in 0..R.ilog2() {
        let mut shuffled = vectors;
        for i in 0..R / 2 {
            (shuffled[2 * i], shuffled[2 * i + 1]) = s.interleave(vectors[i], vectors[i + R / 2]);
        }
        vectors = shuffled;
    }
    vectors
}

/// Rows of memory run along the outer dimension: pieces of them are lines of the strips.
#[inline(always)]
fn straight<S: Simd, W: Weight, const ROUND: bool>(s: S, out: &mut [f32], strips: Strips, factor: Operand<W>) {
    let depth = strips.depth;
    for from in (0..depth).step_by(LINES) {
        let to = depth.min(from + LINES);
        for i in 0..strips.count {
            let (start, width) = strips.span(i);
            let strip = &mut out[start * depth..][..width * depth];
            for k in from..to {
                let line = factor.line(k);
                // A strip's piece at a time: whole lines would push the lines at work out of the cache.
                s.prefetch(factor.line_ahead(k + LINES).get(start..start + width).unwrap_or(&[]));
                for part in (0..width).step_by(S::LANES) {
                    let piece = line.get(start + part..).unwrap_or(&[]);
                    let to = &mut strip[k * width + part..];
                    if piece.len() >= S::LANES && to.len() >= S::LANES {
                        // Where a strip is narrower than a vector, the numbers too many are overwritten by the next
                        // line.
                        s.store(rounded::<S, ROUND>(s, W::load(s, piece)), to);
                    } else {
                        s.store_partial(rounded::<S, ROUND>(s, W::load_partial(s, piece)), to);
                    }
                }
            }
        }
    }
}

/// Zeros in a left panel where `window` says that a row has no term but another row of its strip has.
pub(super) fn clear(strips: Strips, out: &mut [f32], window: Window) {
    for row in 0..strips.outer {
        let (first, width) = (row / strips.unit * strips.unit, strips.unit);
        let last = strips.outer.min(first + width) - 1;
        let (all, own) = (window.terms(first, last, strips.depth), window.terms(row, row, strips.depth));
        for k in (all.start..own.start).chain(own.end..all.end) {
            out[first * strips.depth + k * width + row - first] = 0.0;
        }
    }
}
