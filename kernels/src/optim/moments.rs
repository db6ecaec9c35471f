//! Adam's two moments of each weight, in f32 or in 8 bits.

use super::dynamic::{decode_signed, decode_unsigned, encode_signed, encode_unsigned};
use super::rows::{each_vector, load, prefetch_head, store};
use crate::MatMut;
use crate::simd::{Simd, is_nan};

/// Columns that share a scale in [`Moments::Blockwise`]. The last block of a row is shorter where the width does not
/// divide. A block belongs to one row, because a row has one owner. Dettmers et al. (2022) take 2048 of a flat tensor,
/// more than most rows here have. The two scales cost 3 % of the codes.
pub const BLOCK: usize = 256;

/// The moments of all rows: running means of the gradient (`m`) and of its square (`v`). They start as zeros. Zeroed
/// memory is that in both forms.
///
/// ```
/// use hotrow_kernels::{MatMut, optim::{BLOCK, Moments}};
/// let (rows, cols) = (2, 300);
/// let (mut m, mut v) = (vec![0u8; rows * cols], vec![0u8; rows * cols]);
/// let blocks = cols.div_ceil(BLOCK);
/// let (mut m_scales, mut v_scales) = (vec![0.0; rows * blocks], vec![0.0; rows * blocks]);
/// let moments = Moments::Blockwise {
///     m: MatMut::new(&mut m, rows, cols),
///     v: MatMut::new(&mut v, rows, cols),
///     m_scales: MatMut::new(&mut m_scales, rows, blocks),
///     v_scales: MatMut::new(&mut v_scales, rows, blocks),
/// };
/// assert_eq!((moments.rows(), moments.cols()), (2, 300));
/// ```
#[derive(Debug)]
pub enum Moments<'a> {
    /// f32: both (rows, D).
    F32 {
        /// Means of gradients.
        m: MatMut<'a, f32>,
        /// Means of squared gradients.
        v: MatMut<'a, f32>,
    },
    /// 8-bit codes of [`signed_map`](crate::optim::signed_map) and [`unsigned_map`](crate::optim::unsigned_map), in
    /// units of the largest magnitude of their block of [`BLOCK`] columns (Dettmers et al. 2022). `m` and `v` (rows,
    /// D), the scales (rows, D / [`BLOCK`] rounded up).
    ///
    /// A step reads the codes, computes in f32 and moves the weights by the exact new moments. It rounds these when it
    /// stores them, by at most half a bin: at most `0.00704` (`m`) and `0.00352` (`v`) of the scale of the block. A `v`
    /// above zero is stored as at least `3.25e-7` of its scale, never as zero. If one moment of a block is NaN or
    /// infinite, all of that kind in the block are NaN from then on. Twenty steps with random gradients of 1 to 2 in
    /// size lead 0.23 of one step length away from what f32 moments give (the test derives a bound for each element
    /// from the roundings).
    Blockwise {
        /// Codes of the means of gradients.
        m: MatMut<'a, u8>,
        /// Codes of the means of squared gradients.
        v: MatMut<'a, u8>,
        /// The largest `|m|` of each block.
        m_scales: MatMut<'a, f32>,
        /// The largest `v` of each block.
        v_scales: MatMut<'a, f32>,
    },
}

impl Moments<'_> {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Moments::F32 { m, .. } => m.rows(),
            Moments::Blockwise { m, .. } => m.rows(),
        }
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        match self {
            Moments::F32 { m, .. } => m.cols(),
            Moments::Blockwise { m, .. } => m.cols(),
        }
    }

    #[track_caller]
    pub(super) fn check(&self, rows: usize, cols: usize) {
        let shape = (rows, cols);
        assert_eq!(shape, (self.rows(), self.cols()), "weights and m differ in shape");
        match self {
            Moments::F32 { v, .. } => assert_eq!(shape, (v.rows(), v.cols()), "weights and v differ in shape"),
            Moments::Blockwise { v, m_scales, v_scales, .. } => {
                assert_eq!(shape, (v.rows(), v.cols()), "weights and v differ in shape");
                let blocks = (rows, cols.div_ceil(BLOCK));
                assert_eq!(blocks, (m_scales.rows(), m_scales.cols()), "m_scales are not one for each block");
                assert_eq!(blocks, (v_scales.rows(), v_scales.cols()), "v_scales are not one for each block");
            }
        }
    }
}

/// One way to store moments; a step is compiled for each.
pub(super) trait MomentStore {
    /// Bytes that a step moves for each weight, in each direction.
    const BYTES: usize;
    fn prefetch<S: Simd>(&self, s: S, row: usize);
    /// Replaces the moments of `row` by `f(at, full, m, v)`, a vector at a time and in order: see [`each_vector`].
    fn update<S: Simd>(&mut self, s: S, row: usize, f: impl FnMut(usize, bool, S::F32, S::F32) -> (S::F32, S::F32));
}

pub(super) struct F32Moments<'a> {
    pub m: MatMut<'a, f32>,
    pub v: MatMut<'a, f32>,
}

impl MomentStore for F32Moments<'_> {
    const BYTES: usize = 8;

    #[inline(always)]
    fn prefetch<S: Simd>(&self, s: S, row: usize) {
        prefetch_head(s, self.m.as_ref().row(row));
        prefetch_head(s, self.v.as_ref().row(row));
    }

    #[inline(always)]
    fn update<S: Simd>(
        &mut self,
        s: S,
        row: usize,
        mut f: impl FnMut(usize, bool, S::F32, S::F32) -> (S::F32, S::F32),
    ) {
        let (m, v) = (self.m.row_mut(row), self.v.row_mut(row));
        each_vector(
            s,
            m.len(),
            #[inline(always)]
            |at, full| {
                let (new_m, new_v) = f(at, full, load(s, m, at, full), load(s, v, at, full));
                store(s, new_m, m, at, full);
                store(s, new_v, v, at, full);
            },
        );
    }
}

pub(super) struct BlockwiseMoments<'a> {
    pub m: MatMut<'a, u8>,
    pub v: MatMut<'a, u8>,
    pub m_scales: MatMut<'a, f32>,
    pub v_scales: MatMut<'a, f32>,
}

impl MomentStore for BlockwiseMoments<'_> {
    const BYTES: usize = 2;

    #[inline(always)]
    fn prefetch<S: Simd>(&self, s: S, row: usize) {
        prefetch_head(s, self.m.as_ref().row(row));
        prefetch_head(s, self.v.as_ref().row(row));
        s.prefetch(self.m_scales.as_ref().row(row));
        s.prefetch(self.v_scales.as_ref().row(row));
    }

    #[inline(always)]
    fn update<S: Simd>(
        &mut self,
        s: S,
        row: usize,
        mut f: impl FnMut(usize, bool, S::F32, S::F32) -> (S::F32, S::F32),
    ) {
        let blocks = self.m.row_mut(row).chunks_mut(BLOCK).zip(self.v.row_mut(row).chunks_mut(BLOCK));
        let scales = self.m_scales.row_mut(row).iter_mut().zip(self.v_scales.row_mut(row));
        let (mut new_m, mut new_v) = ([0.0; BLOCK], [0.0; BLOCK]);
        for (block, ((m, v), (m_scale, v_scale))) in blocks.zip(scales).enumerate() {
            let cols = m.len();
            let (m_unit, v_unit) = (s.splat(*m_scale), s.splat(*v_scale));
            let (mut largest_m, mut largest_v) = (Largest::new(s), Largest::new(s));
            each_vector(
                s,
                cols,
                #[inline(always)]
                |at, full| {
                    let old_m = s.mul(m_unit, decode_signed(s, load_codes(s, m, at, full)));
                    let old_v = s.mul(v_unit, decode_unsigned(s, load_codes(s, v, at, full)));
                    let (m, v) = f(block * BLOCK + at, full, old_m, old_v);
                    s.store(m, &mut new_m[at..]);
                    s.store(v, &mut new_v[at..]);
                    // The lanes past the end of a row hold anything and must not count.
                    let (m, v) = match full {
                        true => (m, v),
                        false => (s.load_partial(&new_m[at..cols]), s.load_partial(&new_v[at..cols])),
                    };
                    largest_m.add(s, m);
                    largest_v.add(s, v);
                },
            );
            (*m_scale, *v_scale) = (largest_m.scale(s), largest_v.scale(s));
            let (per_m, per_v) = (s.splat(inverse(*m_scale)), s.splat(inverse(*v_scale)));
            each_vector(
                s,
                cols,
                #[inline(always)]
                |at, full| {
                    let (x, y) = (s.mul(per_m, s.load(&new_m[at..])), s.mul(per_v, s.load(&new_v[at..])));
                    store_codes(s, encode_signed(s, x), m, at, full);
                    store_codes(s, encode_unsigned(s, y), v, at, full);
                },
            );
        }
    }
}

/// 0 for the scale 0 of a block of zeros and for NaN, whose codes do not matter. Other scales are normal numbers, so that
/// this is finite.
#[inline(always)]
fn inverse(scale: f32) -> f32 {
    if scale > 0.0 { 1.0 / scale } else { 0.0 }
}

/// The largest magnitude of a block.
struct Largest<S: Simd> {
    largest: S::F32,
    poison: S::F32,
}

impl<S: Simd> Largest<S> {
    #[inline(always)]
    fn new(s: S) -> Self {
        Self { largest: s.splat(0.0), poison: s.splat(0.0) }
    }

    #[inline(always)]
    fn add(&mut self, s: S, x: S::F32) {
        let size = s.from_bits(s.and(s.to_bits(x), s.splat_u32(0x7fff_ffff)));
        self.largest = s.max(size, self.largest);
        // `max` passes over a NaN; zero times it, or times an infinity, stays NaN.
        self.poison = s.mul_add(x, s.splat(0.0), self.poison);
    }

    /// NaN if anything was NaN or infinite, 0 if all was zero, else at least the smallest normal number.
    #[inline(always)]
    fn scale(self, s: S) -> f32 {
        let mut lanes = [0.0f32; 16];
        s.store(self.largest, &mut lanes);
        let largest = lanes.into_iter().fold(0.0, f32::max);
        if s.bits(is_nan(s, self.poison)) != 0 {
            f32::NAN
        } else if largest == 0.0 {
            0.0
        } else {
            largest.max(f32::MIN_POSITIVE)
        }
    }
}

#[inline(always)]
fn load_codes<S: Simd>(s: S, codes: &[u8], at: usize, full: bool) -> S::U32 {
    if full {
        return s.load_u8(&codes[at..at + S::LANES]);
    }
    let mut bytes = [0; 16];
    bytes[..codes.len() - at].copy_from_slice(&codes[at..]);
    s.load_u8(&bytes)
}

#[inline(always)]
fn store_codes<S: Simd>(s: S, v: S::U32, codes: &mut [u8], at: usize, full: bool) {
    if full {
        return s.store_u8(v, &mut codes[at..at + S::LANES]);
    }
    let mut bytes = [0; 16];
    s.store_u8(v, &mut bytes);
    let left = codes.len() - at;
    codes[at..].copy_from_slice(&bytes[..left]);
}
