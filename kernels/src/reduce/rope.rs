//! Rotary position embedding (Su et al. 2021). An angle that grows with the position turns pairs of numbers of a head.
//! So the product of two turned vectors depends on the distance of their positions only.

use super::{load_at, store_at};
use crate::simd::{Simd, Weight};
use crate::{Level, MatMut, dispatch};

/// Which numbers of a head of `D` form pair `i`, `0 <= i < D / 2`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RopePairs {
    /// `i` and `i + D / 2`, as GPT-NeoX and most published weights lay them out.
    #[default]
    Halves,
    /// `2 i` and `2 i + 1`, as the paper.
    Interleaved,
}

/// Cosines and sines of all angles: pair `i` at position `p` turns by `p * base^(-2 i / D)`.
///
/// ```
/// use hotrow_kernels::reduce::RopeTable;
/// let table = RopeTable::new(8, 4, 10_000.0);
/// assert_eq!((table.positions(), table.head_dim()), (8, 4));
/// ```
#[derive(Clone, Debug)]
pub struct RopeTable {
    positions: usize,
    head_dim: usize,
    /// Row `p` holds the `D / 2` cosines, then the sines, of position `p`.
    turns: Vec<f32>,
}

impl RopeTable {
    /// The table for positions `0..positions` and heads of `head_dim`, computed in f64 by the standard library and
    /// rounded once. Build it once: no other function of this family allocates.
    ///
    /// # Panics
    ///
    /// If `head_dim` is odd or 0, or the table would not fit into memory.
    ///
    /// ```
    /// use hotrow_kernels::reduce::RopeTable;
    /// let table = RopeTable::new(2048, 64, 10_000.0);
    /// assert_eq!(table.positions(), 2048);
    /// ```
    #[track_caller]
    pub fn new(positions: usize, head_dim: usize, base: f64) -> Self {
        assert!(head_dim > 0 && head_dim.is_multiple_of(2), "heads of {head_dim} numbers do not split into pairs");
        let half = head_dim / 2;
        let mut turns =
            Vec::with_capacity(positions.checked_mul(head_dim).expect("the table does not fit into memory"));
        for position in 0..positions {
            let angle = |pair: usize| position as f64 * base.powf(-2.0 * pair as f64 / head_dim as f64);
            turns.extend((0..half).map(|pair| angle(pair).cos() as f32));
            turns.extend((0..half).map(|pair| angle(pair).sin() as f32));
        }
        Self { positions, head_dim, turns }
    }

    /// How many positions there are.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// How long a head is.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// Cosines and sines of a position.
    #[inline(always)]
    fn turn(&self, position: usize) -> (&[f32], &[f32]) {
        self.turns[position * self.head_dim..][..self.head_dim].split_at(self.head_dim / 2)
    }
}

/// Turns every head of every row of `x` (tokens, heads * D) in place. Row `t` is at position `first + t`. bf16 is
/// rounded to nearest.
///
/// A pair `(a, b)` becomes `(a cos - b sin, a sin + b cos)`: within 2 eps of `|a| + |b|`. The levels with a fused
/// multiply-add agree to the bit.
///
/// # Panics
///
/// If a row is not a whole number of heads, or a position lies outside the table.
///
/// ```
/// use hotrow_kernels::{Level, MatMut, reduce::{RopePairs, RopeTable, rope}};
/// let table = RopeTable::new(4, 2, 10_000.0);
/// let mut x = [1.0f32, 0.0, 1.0, 0.0];
/// rope(Level::detect(), MatMut::new(&mut x, 2, 2), &table, 0, RopePairs::Halves);
/// assert_eq!(x[..2], [1.0, 0.0]);
/// assert!((x[2] - 1f32.cos()).abs() < 1e-6 && (x[3] - 1f32.sin()).abs() < 1e-6);
/// ```
#[track_caller]
pub fn rope<W: Weight>(level: Level, x: MatMut<W>, table: &RopeTable, first: usize, pairs: RopePairs) {
    check(&x, table, first);
    dispatch!(level, s => turn_all(s, x, table, first, pairs, 1.0));
}

/// Gradient of [`rope`] in place. `d` (tokens, heads * D) is the gradient of the turned rows and becomes that of the
/// rows before, by turning back. It is also the inverse, within rounding.
///
/// # Panics
///
/// As [`rope`].
///
/// ```
/// use hotrow_kernels::{Level, MatMut, reduce::{RopePairs, RopeTable, rope, rope_backward}};
/// let table = RopeTable::new(4, 4, 10_000.0);
/// let mut x = [1.0f32, 2.0, 3.0, 4.0];
/// rope(Level::detect(), MatMut::new(&mut x, 1, 4), &table, 3, RopePairs::Interleaved);
/// rope_backward(Level::detect(), MatMut::new(&mut x, 1, 4), &table, 3, RopePairs::Interleaved);
/// assert!(x.iter().zip([1.0, 2.0, 3.0, 4.0]).all(|(x, y)| (x - y).abs() < 1e-5));
/// ```
#[track_caller]
pub fn rope_backward<W: Weight>(level: Level, d: MatMut<W>, table: &RopeTable, first: usize, pairs: RopePairs) {
    check(&d, table, first);
    dispatch!(level, s => turn_all(s, d, table, first, pairs, -1.0));
}

#[track_caller]
fn check<W>(x: &MatMut<W>, table: &RopeTable, first: usize) {
    let (cols, head) = (x.cols(), table.head_dim);
    assert!(cols.is_multiple_of(head), "rows of {cols} are not a whole number of heads of {head}");
    assert!(
        first.checked_add(x.rows()).is_some_and(|end| end <= table.positions),
        "{} rows from position {first} on do not fit into a table of {}",
        x.rows(),
        table.positions
    );
}

/// `direction` is 1 to turn and -1 to turn back.
#[inline(always)]
fn turn_all<S: Simd, W: Weight>(
    s: S,
    mut x: MatMut<W>,
    table: &RopeTable,
    first: usize,
    pairs: RopePairs,
    direction: f32,
) {
    for row in 0..x.rows() {
        let (cos, sin) = table.turn(first + row);
        for head in x.row_mut(row).chunks_exact_mut(table.head_dim) {
            match pairs {
                RopePairs::Halves => turn_halves(s, head, cos, sin, direction),
                RopePairs::Interleaved => turn_interleaved(s, head, cos, sin, direction),
            }
        }
    }
}

#[inline(always)]
fn turn_halves<S: Simd, W: Weight>(s: S, head: &mut [W], cos: &[f32], sin: &[f32], direction: f32) {
    let (a, b) = head.split_at_mut(cos.len());
    let direction = s.splat(direction);
    for at in (0..a.len()).step_by(S::LANES) {
        let sin = s.mul(load_at(s, sin, at), direction);
        let turned = turn(s, (load_at(s, a, at), load_at(s, b, at)), load_at(s, cos, at), sin);
        store_at(s, turned.0, a, at);
        store_at(s, turned.1, b, at);
    }
}

#[inline(always)]
fn turn_interleaved<S: Simd, W: Weight>(s: S, head: &mut [W], cos: &[f32], sin: &[f32], direction: f32) {
    let direction = s.splat(direction);
    for at in (0..cos.len()).step_by(S::LANES) {
        let numbers = &mut head[2 * at..];
        // Where the second vector starts; past the end in a short tail.
        let second = S::LANES.min(numbers.len());
        let (a, b) = s.deinterleave(load_at(s, numbers, 0), load_at(s, numbers, second));
        let sin = s.mul(load_at(s, sin, at), direction);
        let (a, b) = turn(s, (a, b), load_at(s, cos, at), sin);
        let (low, high) = s.interleave(a, b);
        store_at(s, low, numbers, 0);
        store_at(s, high, numbers, second);
    }
}

#[inline(always)]
fn turn<S: Simd>(s: S, (a, b): (S::F32, S::F32), cos: S::F32, sin: S::F32) -> (S::F32, S::F32) {
    (s.sub(s.mul(a, cos), s.mul(b, sin)), s.mul_add(a, sin, s.mul(b, cos)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bf16;
    use crate::testing::*;

    const EPS: f64 = f32::EPSILON as f64;
    const BASE: f64 = 10_000.0;

    /// The two numbers of pair `i` in a head of `head_dim`.
    fn pair(pairs: RopePairs, i: usize, head_dim: usize) -> (usize, usize) {
        match pairs {
            RopePairs::Halves => (i, i + head_dim / 2),
            RopePairs::Interleaved => (2 * i, 2 * i + 1),
        }
    }

    /// One head, turned as the definition says it, in f64; `direction` -1 turns back.
    fn reference(head: &[f64], position: usize, pairs: RopePairs, direction: f64) -> Vec<f64> {
        let mut out = head.to_vec();
        for i in 0..head.len() / 2 {
            let angle = direction * position as f64 * BASE.powf(-2.0 * i as f64 / head.len() as f64);
            let (a, b) = pair(pairs, i, head.len());
            out[a] = head[a] * angle.cos() - head[b] * angle.sin();
            out[b] = head[a] * angle.sin() + head[b] * angle.cos();
        }
        out
    }

    fn both_directions_agree<W: Weight>(head_dim: usize, heads: usize, first: usize, stored: f64, seed: u64) {
        let (rows, stride) = (3, heads * head_dim + 1);
        let table = RopeTable::new(first + rows, head_dim, BASE);
        let x: Vec<W> = numbers(rows * stride, seed).into_iter().map(W::from_f32).collect();
        for (pairs, direction) in [
            (RopePairs::Halves, 1.0),
            (RopePairs::Halves, -1.0),
            (RopePairs::Interleaved, 1.0),
            (RopePairs::Interleaved, -1.0),
        ] {
            at_every_level(|level| {
                let mut y = Misaligned::new(&x, 1);
                let matrix = MatMut::with_stride(&mut y, rows, heads * head_dim, stride);
                let turn = if direction > 0.0 { rope } else { rope_backward };
                turn(level, matrix, &table, first, pairs);
                for row in 0..rows {
                    for head in 0..heads {
                        let at = row * stride + head * head_dim;
                        let before = exact(&x[at..][..head_dim]);
                        let want = reference(&before, first + row, pairs, direction);
                        for i in 0..head_dim / 2 {
                            let (a, b) = pair(pairs, i, head_dim);
                            // Cosine or sine, product and sum round by half an eps each; bf16 once more when stored.
                            let bound = (1.5 * EPS + stored) * (before[a].abs() + before[b].abs());
                            for i in [a, b] {
                                assert_within(y[at + i].to_f32(), want[i], bound, format_args!("{i} of {head_dim}"));
                            }
                        }
                    }
                    if row + 1 < rows {
                        let gap = row * stride + heads * head_dim;
                        assert_eq!(y[gap].to_f32(), x[gap].to_f32());
                    }
                }
            });
        }
    }

    #[test]
    fn heads_of_every_length_turn_as_defined() {
        for head_dim in (2..=130).step_by(2) {
            both_directions_agree::<f32>(head_dim, 2, head_dim % 5, 0.0, head_dim as u64);
            // bf16 keeps 8 bits: storing rounds by half of the last.
            both_directions_agree::<bf16>(head_dim, 1, 100, 1.0 / 256.0, head_dim as u64);
        }
    }

    #[test]
    fn norms_are_kept_turning_back_is_the_inverse_and_products_depend_on_distances_only() {
        let (dim, table) = (48, RopeTable::new(64, 48, BASE));
        let (q, k) = (numbers(dim, 1), numbers(dim, 2));
        let product = |a: &[f32], b: &[f32]| -> f64 { exact(a).iter().zip(exact(b)).map(|(a, b)| a * b).sum() };
        // Each number is within 1.5 eps of its pair's |a| + |b|, so a vector within 1.5 sqrt(2) eps of its norm times sqrt 2.
        let relative = 3.0 * EPS;
        let norm = |x: &[f32]| product(x, x).sqrt();
        for pairs in [RopePairs::Halves, RopePairs::Interleaved] {
            at_every_level(|level| {
                let at = |x: &[f32], position| {
                    let mut x = x.to_vec();
                    rope(level, MatMut::new(&mut x, 1, dim), &table, position, pairs);
                    x
                };
                let both = norm(&q) * norm(&k);
                for position in [0, 1, 17, 40] {
                    let mut turned = at(&q, position);
                    assert!((norm(&turned) - norm(&q)).abs() <= relative * norm(&q));
                    let distant = product(&turned, &at(&k, position + 23));
                    assert!((distant - product(&at(&q, 0), &at(&k, 23))).abs() <= 4.0 * relative * both * 1.1);
                    rope_backward(level, MatMut::new(&mut turned, 1, dim), &table, position, pairs);
                    let error: f64 = turned.iter().zip(&q).map(|(&a, &b)| (a as f64 - b as f64).powi(2)).sum();
                    assert!(error.sqrt() <= 2.0 * relative * norm(&q) * 1.1);
                }
                assert_eq!(at(&q, 0), q, "position 0 does not turn");
            });
        }
    }

    #[test]
    fn a_bad_pair_touches_no_other() {
        let table = RopeTable::new(4, 40, BASE);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for pairs in [RopePairs::Halves, RopePairs::Interleaved] {
                at_every_level(|level| {
                    let mut x = numbers(40, 3);
                    let (a, b) = pair(pairs, 7, 40);
                    x[a] = bad;
                    rope(level, MatMut::new(&mut x, 1, 40), &table, 3, pairs);
                    for (i, x) in x.iter().enumerate() {
                        assert_eq!(x.is_finite(), i != a && i != b, "{i}");
                    }
                });
            }
        }
    }

    #[test]
    #[should_panic(expected = "heads of 5 numbers do not split into pairs")]
    fn odd_heads_are_refused() {
        RopeTable::new(4, 5, BASE);
    }

    #[test]
    #[should_panic(expected = "rows of 6 are not a whole number of heads of 4")]
    fn broken_heads_are_refused() {
        rope(Level::PORTABLE, MatMut::new(&mut [0.0f32; 6], 1, 6), &RopeTable::new(4, 4, BASE), 0, RopePairs::Halves);
    }

    #[test]
    #[should_panic(expected = "2 rows from position 3 on do not fit into a table of 4")]
    fn positions_outside_of_the_table_are_refused() {
        rope(Level::PORTABLE, MatMut::new(&mut [0.0f32; 8], 2, 4), &RopeTable::new(4, 4, BASE), 3, RopePairs::Halves);
    }

    proptest::proptest! {
        #[test]
        fn any_heads_and_positions(half in 1usize..100, heads in 0usize..4, first in 0usize..300, seed: u32) {
            both_directions_agree::<f32>(2 * half, heads, first, 0.0, seed as u64);
        }
    }
}
