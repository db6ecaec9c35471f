//! How a factor is cut: its precision, its side, strips, and the block that the micro-kernel keeps in registers.

use crate::simd::Simd;

/// The precision that factors are multiplied in; sums are f32 in either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Factors keep all of their bits.
    F32,
    /// f32 factors are rounded to the nearest bf16, ties to even, on every level (bf16 factors are exact as they are).
    /// With a matrix unit the product then runs on it; elsewhere it is the f32 product of the rounded numbers.
    Bf16,
}

/// Which factor of a product a panel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// (M, K), broadcast one number at a time.
    Left,
    /// (K, N), read by vectors.
    Right,
}

/// How the outer dimension (M of a left, N of a right factor) is cut into strips, each `depth` lines of its width in
/// the buffer. Strips are as even as whole units allow: 16 vectors go as 3 3 3 3 2 2, not as five times 3 and a slow
/// 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Strips {
    pub outer: usize,
    pub depth: usize,
    /// Elements that a strip's width is a multiple of.
    pub unit: usize,
    pub count: usize,
    units: usize,
}

impl Strips {
    pub fn new(outer: usize, depth: usize, unit: usize, most_units: usize) -> Self {
        let units = outer.div_ceil(unit);
        Self { outer, depth, unit, count: units.div_ceil(most_units), units }
    }

    /// First element and width (padding included) of strip `i`.
    #[inline(always)]
    pub fn span(&self, i: usize) -> (usize, usize) {
        let (least, wider) = (self.units / self.count, self.units % self.count);
        let units = least + (i < wider) as usize;
        ((i * least + i.min(wider)) * self.unit, units * self.unit)
    }

    /// Elements of all strips.
    pub fn len(&self) -> usize {
        self.units * self.unit * self.depth
    }
}

/// How the numbers stand in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// f32; line `k` of a strip holds its `width` numbers of the contraction index `k`.
    Vectors,
    /// bf16 in pairs, as matrix units read them; see [`tiles`].
    Tiles,
}

/// Rows and vectors of the block of sums that the micro-kernel keeps in registers.
///
/// Rows are a power of two, so that packing rows is a transposition by whole vectors. 32 registers: 8 x 3 sums, 3
/// vectors of the right factor and one broadcast leave four free; 16 registers: 4 x 3 sums, 3 + 1 is all of them; 8
/// vectors of two registers each (portable): 4 sums.
pub(super) const fn block<S: Simd>() -> (usize, usize) {
    match S::REGISTERS {
        32.. => (8, 3),
        16.. => (4, 3),
        _ => (4, 1),
    }
}
