//! A factor in the order in which a product reads it.

use aligned_vec::{AVec, ConstAlign};

use super::operand::Operand;
use super::strips::{Layout, Precision, Side, Strips, block};
use super::window::Window;
use super::{pack, pack_tiles};
use crate::simd::{Simd, Tiles, Weight};
use crate::{Level, bf16, dispatch};

/// One factor of a product, copied into the order in which the product reads it.
///
/// The caller owns a panel and packs into it again and again. A factor that does not change is packed once. **Only
/// packing may allocate in this family**, when a factor is larger than any before. It never allocates within the room
/// that [`PackedPanel::with_capacity`] made.
///
/// A panel belongs to the [`Level`] it was packed at.
///
/// ```
/// use hotrow_kernels::gemm::{Operand, Output, PackedPanel, Precision, gemm};
/// use hotrow_kernels::{Level, MatMut, MatRef};
/// let level = Level::detect();
/// let a = MatRef::new(&[1.0, 2.0, 3.0, 4.0], 2, 2);
/// let (mut left, mut right) = (PackedPanel::new(), PackedPanel::new());
/// left.pack_left(level, Precision::F32, Operand::new(a));
/// right.pack_right(level, Precision::F32, Operand::new(a).transposed());
/// let mut out = [0.0; 4];
/// gemm(level, Output::new(MatMut::new(&mut out, 2, 2)), &left, &right);
/// assert_eq!(out, [5.0, 11.0, 11.0, 25.0]);
/// ```
#[derive(Debug)]
pub struct PackedPanel {
    // 64 bytes: a cache line, and the widest vector.
    buffer: AVec<f32, ConstAlign<64>>,
    level: Level,
    side: Side,
    precision: Precision,
    pub(super) layout: Layout,
    pub(super) strips: Strips,
}

impl Default for PackedPanel {
    fn default() -> Self {
        Self::new()
    }
}

impl PackedPanel {
    /// A panel without a factor and without memory.
    ///
    /// ```
    /// assert_eq!(hotrow_kernels::gemm::PackedPanel::new().outer(), 0);
    /// ```
    pub fn new() -> Self {
        Self {
            buffer: AVec::new(64),
            level: Level::PORTABLE,
            side: Side::Left,
            precision: Precision::F32,
            layout: Layout::Vectors,
            strips: Strips::new(0, 0, 1, 1),
        }
    }

    /// A panel with memory for a factor of `outer` (M or N) by `depth` (K), at any level and of either precision.
    ///
    /// # Panics
    ///
    /// If the size overflows or memory runs out.
    ///
    /// ```
    /// assert_eq!(hotrow_kernels::gemm::PackedPanel::with_capacity(4096, 512).outer(), 0);
    /// ```
    pub fn with_capacity(outer: usize, depth: usize) -> Self {
        // The widest unit is 32 (tiles), as is the multiple that tiles round the depth up to.
        let len =
            outer.next_multiple_of(32).checked_mul(depth.next_multiple_of(32)).expect("the size of a panel overflows");
        Self { buffer: AVec::with_capacity(64, len), ..Self::new() }
    }

    /// Packs `factor` (M, K) as the left one of a product at `level`.
    ///
    /// # Panics
    ///
    /// If memory runs out.
    ///
    /// ```
    /// use hotrow_kernels::gemm::{Operand, PackedPanel, Precision, Side};
    /// use hotrow_kernels::{Level, MatRef};
    /// let mut panel = PackedPanel::new();
    /// panel.pack_left(Level::detect(), Precision::F32, Operand::new(MatRef::new(&[0.5; 6], 2, 3)));
    /// assert_eq!((panel.side(), panel.outer(), panel.depth()), (Side::Left, 2, 3));
    /// ```
    pub fn pack_left<W: Weight>(&mut self, level: Level, precision: Precision, factor: Operand<W>) {
        self.pack(level, Side::Left, precision, factor);
    }

    /// Packs `factor` (K, N) as the right one of a product at `level`.
    ///
    /// # Panics
    ///
    /// If memory runs out.
    ///
    /// ```
    /// use hotrow_kernels::gemm::{Operand, PackedPanel, Precision, Side};
    /// use hotrow_kernels::{Level, MatRef};
    /// let mut panel = PackedPanel::new();
    /// panel.pack_right(Level::detect(), Precision::Bf16, Operand::new(MatRef::new(&[0.5; 6], 2, 3)));
    /// assert_eq!((panel.side(), panel.outer(), panel.depth()), (Side::Right, 3, 2));
    /// ```
    pub fn pack_right<W: Weight>(&mut self, level: Level, precision: Precision, factor: Operand<W>) {
        self.pack(level, Side::Right, precision, factor);
    }

    fn pack<W: Weight>(&mut self, level: Level, side: Side, precision: Precision, factor: Operand<W>) {
        (self.level, self.side, self.precision) = (level, side, precision);
        let (outer, depth) = match side {
            Side::Left => (factor.rows(), factor.cols()),
            Side::Right => (factor.cols(), factor.rows()),
        };
        // A row of memory runs along the contraction for a left factor as it stands and for a right one transposed.
        let along_depth = (side == Side::Left) != factor.is_transposed();
        let on_tiles = precision == Precision::Bf16 && level.tiles().is_some();
        self.layout = if on_tiles { Layout::Tiles } else { Layout::Vectors };
        let buffer = &mut self.buffer;
        if on_tiles {
            self.strips = pack_tiles::strips(outer, depth);
            let out = grow(buffer, self.strips.count * pack_tiles::strip_len(depth));
            dispatch!(level, s => pack_tiles::pack(s, out, self.strips, side, factor, along_depth));
        } else {
            dispatch!(level, s => {
                self.strips = vector_strips(s, side, outer, depth);
                pack::pack(s, grow(buffer, self.strips.len()), self.strips, side, precision, factor, along_depth);
            });
        }
    }

    /// Zeros in a left panel where `window` says that a row has no term.
    pub(super) fn clear(&mut self, window: Window) {
        debug_assert_eq!(self.side, Side::Left);
        match self.layout {
            Layout::Vectors => pack::clear(self.strips, &mut self.buffer, window),
            Layout::Tiles => pack_tiles::clear(self.strips, &mut self.buffer, window),
        }
    }

    /// The level it was packed at.
    ///
    /// ```
    /// use hotrow_kernels::{Level, gemm::PackedPanel};
    /// assert_eq!(PackedPanel::new().level(), Level::PORTABLE);
    /// ```
    pub fn level(&self) -> Level {
        self.level
    }

    /// Which factor it holds.
    ///
    /// ```
    /// use hotrow_kernels::gemm::{PackedPanel, Side};
    /// assert_eq!(PackedPanel::new().side(), Side::Left);
    /// ```
    pub fn side(&self) -> Side {
        self.side
    }

    /// The precision it was packed with.
    ///
    /// ```
    /// use hotrow_kernels::gemm::{PackedPanel, Precision};
    /// assert_eq!(PackedPanel::new().precision(), Precision::F32);
    /// ```
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// M of a left, N of a right factor.
    ///
    /// ```
    /// assert_eq!(hotrow_kernels::gemm::PackedPanel::new().outer(), 0);
    /// ```
    pub fn outer(&self) -> usize {
        self.strips.outer
    }

    /// K, the length of the contraction.
    ///
    /// ```
    /// assert_eq!(hotrow_kernels::gemm::PackedPanel::new().depth(), 0);
    /// ```
    pub fn depth(&self) -> usize {
        self.strips.depth
    }

    /// Where its memory is.
    #[cfg(test)]
    pub(super) fn address(&self) -> *const f32 {
        self.buffer.as_ptr()
    }

    /// Strip `i` in tile layout and all after it; nothing past the last one.
    pub(super) fn strip(&self, i: usize) -> &[f32] {
        self.buffer.get(i * pack_tiles::strip_len(self.strips.depth)..).unwrap_or(&[])
    }

    /// The steps `from..to` of strip `i` in tile layout.
    pub(super) fn steps(&self, i: usize, from: usize, to: usize) -> &[bf16] {
        let strip = self.strip(i);
        bytemuck::cast_slice(&strip[from * (Tiles::STEP / 2)..to * (Tiles::STEP / 2)])
    }

    /// The lines `from..to` of a strip of `width` that starts at element `start`.
    #[inline(always)]
    pub(super) fn lines(&self, start: usize, width: usize, from: usize, to: usize) -> &[f32] {
        &self.buffer[start * self.strips.depth..][from * width..to * width]
    }
}

#[inline(always)]
fn vector_strips<S: Simd>(_: S, side: Side, outer: usize, depth: usize) -> Strips {
    let (rows, vectors) = block::<S>();
    match side {
        Side::Left => Strips::new(outer, depth, rows, 1),
        Side::Right => Strips::new(outer, depth, S::LANES, vectors),
    }
}

/// Room for `len` elements; what stands there is overwritten by packing.
fn grow(buffer: &mut AVec<f32, ConstAlign<64>>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

#[cfg(test)]
mod tests {
    use super::Strips;

    #[test]
    fn strips_lie_one_after_the_other_and_differ_by_one_unit_at_most() {
        for (outer, most) in (0..300).flat_map(|outer| (1..4).map(move |most| (outer, most))) {
            let strips = Strips::new(outer, 1, 16, most);
            let spans: Vec<_> = (0..strips.count).map(|i| strips.span(i)).collect();
            let mut next = 0;
            for &(start, width) in &spans {
                assert_eq!(start, next);
                assert!(width % 16 == 0 && (16..=16 * most).contains(&width));
                next += width;
            }
            assert_eq!(next, strips.len());
            assert_eq!(next, outer.next_multiple_of(16));
            let widths = || spans.iter().map(|span| span.1);
            assert!(widths().max().unwrap_or(0) - widths().min().unwrap_or(0) <= 16);
        }
    }
}
