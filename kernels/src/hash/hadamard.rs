//! The fast Walsh-Hadamard transform, and rotations made of it: `rounds` times random signs, then the transform.
//!
//! A stage replaces each pair `y[i], y[i + h]` by sum and difference, for `h = 1, 2, 4, ..` in the first, third, ..
//! round and for `h = .., 4, 2, 1` in the others, so that the widest stages of two rounds meet and share their loads
//! and stores. Stages are element-wise and their order is fixed, so every level rounds alike. Not normalised: a round
//! multiplies the length of a vector by `sqrt(n)`.

use std::ops::Range;

use aligned_vec::AVec;

use super::buckets::CACHE_LINE;
use super::random::Random;
use crate::SparseRow;
use crate::simd::{Simd, Weight};

/// The shortest transform: the widest vector of any level, so that a transform is whole vectors everywhere.
const SHORTEST: usize = 16;

/// Pseudo-random rotations of vectors of `dim` numbers, padded with zeros to `n`, a power of two: `blocks` independent
/// ones, each `H D_rounds .. H D_1` with `H` the Walsh-Hadamard matrix and `D` diagonals of random signs (Ailon and
/// Chazelle 2009; Andoni et al. 2015).
#[derive(Clone, Debug)]
pub struct Rotations {
    dim: usize,
    n: usize,
    rounds: usize,
    blocks: usize,
    /// (blocks, rounds, n): the sign bit of each diagonal element, at its place in an `f32`.
    signs: AVec<u32>,
}

/// Takes coordinates in order. A trait, because a reference to a closure would be called without being inlined.
pub trait Sink {
    /// The next coordinates, up to eight vectors of them.
    fn take<S: Simd>(&mut self, s: S, y: &[S::F32]);
}

/// For coordinates that stay in scratch.
enum Nowhere {}

impl Sink for Nowhere {
    fn take<S: Simd>(&mut self, _: S, _: &[S::F32]) {
        match *self {}
    }
}

impl Rotations {
    /// Enough of them to have `outputs` coordinates in all.
    pub fn new(seed: u64, dim: usize, rounds: usize, outputs: usize) -> Self {
        let n = padded(dim);
        let blocks = outputs.div_ceil(n);
        let len = blocks * rounds * n;
        let mut random = Random::new(seed, 0x51);
        let words = (0..len.div_ceil(64)).map(|_| random.word());
        let bits = words.flat_map(|word| (0..64).map(move |bit| ((word >> bit) as u32 & 1) << 31));
        // Whole cache lines: a vector that crosses two costs two loads.
        let signs = AVec::from_iter(CACHE_LINE, bits.take(len));
        Self { dim, n, rounds, blocks, signs }
    }

    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Coordinates of one rotation.
    pub fn n(&self) -> usize {
        self.n
    }

    /// How many rotations there are.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// Calls `use_block` with the number of each of `blocks` and that rotation of `x`. `scratch` is (n).
    #[inline(always)]
    pub fn dense<S: Simd, W: Weight>(
        &self,
        s: S,
        x: &[W],
        scratch: &mut [f32],
        blocks: Range<usize>,
        mut use_block: impl FnMut(usize, &[f32]),
    ) {
        for block in blocks {
            self.rotate(s, scratch, block, Some(x), None::<&mut Nowhere>);
            use_block(block, scratch);
        }
    }

    /// The same for a sparse vector: scattered into zeros, then as if dense, so the results are the same to the bit.
    #[inline(always)]
    pub fn sparse<S: Simd>(
        &self,
        s: S,
        x: SparseRow,
        scratch: &mut [f32],
        blocks: Range<usize>,
        mut use_block: impl FnMut(usize, &[f32]),
    ) {
        for block in blocks {
            scatter(scratch, x);
            self.rotate::<S, f32>(s, scratch, block, None, None::<&mut Nowhere>);
            use_block(block, scratch);
        }
    }

    /// Passes the coordinates of all rotations of `x` to `sink`, before they reach memory if the number of rounds is
    /// even.
    #[inline(always)]
    pub fn dense_vectors<S: Simd, W: Weight>(&self, s: S, x: &[W], scratch: &mut [f32], sink: &mut impl Sink) {
        for block in 0..self.blocks {
            self.rotate(s, scratch, block, Some(x), Some(&mut *sink));
        }
    }

    /// The same for a sparse vector.
    #[inline(always)]
    pub fn sparse_vectors<S: Simd>(&self, s: S, x: SparseRow, scratch: &mut [f32], sink: &mut impl Sink) {
        for block in 0..self.blocks {
            scatter(scratch, x);
            self.rotate::<S, f32>(s, scratch, block, None, Some(&mut *sink));
        }
    }

    /// The diagonals (rounds, n) of one rotation.
    #[inline(always)]
    fn signs(&self, block: usize) -> &[u32] {
        &self.signs[block * self.rounds * self.n..][..self.rounds * self.n]
    }

    /// All rounds of one rotation of `x`, or of what `y` holds, two at a time; the result goes to `sink` or else
    /// to `y`.
    #[inline(always)]
    fn rotate<S: Simd, W: Weight>(
        &self,
        s: S,
        y: &mut [f32],
        block: usize,
        x: Option<&[W]>,
        mut sink: Option<&mut impl Sink>,
    ) {
        let mut whole = x.filter(|x| x.len() == self.n);
        if let (Some(x), None) = (x, whole) {
            copy_padded(s, y, x);
        }
        let pairs = self.signs(block).chunks(2 * self.n);
        let last = pairs.len() - 1;
        for (pair, signs) in pairs.enumerate() {
            let (first, second) = signs.split_at(self.n);
            let to = if pair == last { sink.as_deref_mut() } else { None };
            match (self.n, whole.take()) {
                // The usual width of an embedding: the same loops with constant bounds, and without their checks.
                (512, Some(x)) => two_rounds(s, &mut y[..512], &first[..512], second, Some(&x[..512]), to),
                (512, None) => two_rounds::<S, W>(s, &mut y[..512], &first[..512], second, None, to),
                (_, x) => two_rounds(s, y, first, second, x, to),
            }
        }
    }
}

/// `y` becomes the dense form of `x`.
fn scatter(y: &mut [f32], x: SparseRow) {
    y.fill(0.0);
    for (&index, &value) in x.indices().iter().zip(x.values()) {
        y[index as usize] = value;
    }
}

/// `y` (n) becomes `x`, continued with zeros.
#[inline(always)]
fn copy_padded<S: Simd, W: Weight>(s: S, y: &mut [f32], x: &[W]) {
    for (i, y) in y.chunks_exact_mut(S::LANES).enumerate() {
        s.store(W::load_partial(s, x.get(i * S::LANES..).unwrap_or_default()), y);
    }
}

/// Coordinates of a rotation of `dim` numbers.
pub fn padded(dim: usize) -> usize {
    dim.next_power_of_two().max(SHORTEST)
}

/// `y` (n) becomes `H second H first x`, or `H first x` if `second` is empty; without an `x`, of what `y` holds.
///
/// Neighbours in groups of eight vectors (of one, if there are fewer; of four, if four are enough for one pass over the
/// rest: shorter chains of dependent stages), then distances from there up to `n / 2` eight
/// rows at a time; the last of these passes is also the first of the second round, which goes back the same way. The
/// result goes to `to`, then `y` holds nothing of use, or else to `y`.
#[inline(always)]
fn two_rounds<S: Simd, W: Weight>(
    s: S,
    y: &mut [f32],
    first: &[u32],
    second: &[u32],
    x: Option<&[W]>,
    to: Option<&mut impl Sink>,
) {
    let n = y.len();
    let lowest = match n / S::LANES {
        32 => within_up::<S, W, 4>(s, y, first, x),
        8.. => within_up::<S, W, 8>(s, y, first, x),
        _ => within_up::<S, W, 1>(s, y, first, x),
    };
    let mut half = lowest;
    while n / half > 8 {
        across::<S, 8>(s, y, half, butterflies_up);
        half *= 8;
    }
    match n / half {
        8.. => turn::<S, 8>(s, y, half, second),
        4.. => turn::<S, 4>(s, y, half, second),
        2.. => turn::<S, 2>(s, y, half, second),
        _ => turn::<S, 1>(s, y, half, second),
    }
    if second.is_empty() {
        if let Some(to) = to {
            hand_over(s, y, to);
        }
        return;
    }
    while half > lowest {
        half /= 8;
        across::<S, 8>(s, y, half, butterflies_down);
    }
    match n / S::LANES {
        32 => within_down::<S, 4>(s, y, to),
        8.. => within_down::<S, 8>(s, y, to),
        _ => within_down::<S, 1>(s, y, to),
    }
}

/// The signs, the stages inside a vector and those over `R` neighbouring vectors; returns the distance of the next
/// stage.
#[inline(always)]
fn within_up<S: Simd, W: Weight, const R: usize>(s: S, y: &mut [f32], signs: &[u32], x: Option<&[W]>) -> usize {
    let width = R * S::LANES;
    for at in (0..y.len()).step_by(width) {
        let (mut v, signs) = ([s.splat(0.0); R], &signs[at..at + width]);
        for (r, v) in v.iter_mut().enumerate() {
            let at = at + r * S::LANES;
            let number = match x {
                Some(x) => W::load(s, &x[at..]),
                None => s.load(&y[at..]),
            };
            *v = flip(s, number, &signs[r * S::LANES..]);
        }
        let mut half = 1;
        while half < S::LANES {
            lane_stage(s, &mut v, half);
            half *= 2;
        }
        butterflies_up(s, &mut v);
        store_all(s, v, &mut y[at..at + width]);
    }
    width
}

/// The same stages in reverse, without signs, and the result to `to` or else to `y`.
#[inline(always)]
fn within_down<S: Simd, const R: usize>(s: S, y: &mut [f32], mut to: Option<&mut impl Sink>) {
    for y in y.chunks_exact_mut(R * S::LANES) {
        let mut v = [s.splat(0.0); R];
        for (r, v) in v.iter_mut().enumerate() {
            *v = s.load(&y[r * S::LANES..]);
        }
        butterflies_down(s, &mut v);
        let mut half = S::LANES / 2;
        while half > 0 {
            lane_stage(s, &mut v, half);
            half /= 2;
        }
        match &mut to {
            Some(to) => to.take(s, &v),
            None => store_all(s, v, y),
        }
    }
}

/// Passes the vectors of `y` to `to`.
#[inline(always)]
fn hand_over<S: Simd>(s: S, y: &[f32], to: &mut impl Sink) {
    // Eight vectors at a time where that is possible, as `within_down` does.
    let mut groups = y.chunks_exact(8 * S::LANES);
    for y in &mut groups {
        let mut v = [s.splat(0.0); 8];
        for (r, v) in v.iter_mut().enumerate() {
            *v = s.load(&y[r * S::LANES..]);
        }
        to.take(s, &v);
    }
    for y in groups.remainder().chunks_exact(S::LANES) {
        to.take(s, &[s.load(y)]);
    }
}

#[inline(always)]
fn store_all<S: Simd, const R: usize>(s: S, v: [S::F32; R], y: &mut [f32]) {
    for (v, y) in v.into_iter().zip(y.chunks_exact_mut(S::LANES)) {
        s.store(v, y);
    }
}

/// The `log2(R)` stages from distance `half` on, in the order of `butterflies`.
#[inline(always)]
fn across<S: Simd, const R: usize>(s: S, y: &mut [f32], half: usize, butterflies: impl Fn(S, &mut [S::F32; R]) + Copy) {
    for y in y.chunks_exact_mut(R * half) {
        for at in (0..half).step_by(S::LANES) {
            let mut v = [s.splat(0.0); R];
            for (r, v) in v.iter_mut().enumerate() {
                *v = s.load(&y[at + r * half..]);
            }
            butterflies(s, &mut v);
            for (r, v) in v.into_iter().enumerate() {
                s.store(v, &mut y[at + r * half..]);
            }
        }
    }
}

/// The last `log2(R)` stages of a round and, if there is one, the signs of the next and its first `log2(R)` stages.
#[inline(always)]
fn turn<S: Simd, const R: usize>(s: S, y: &mut [f32], half: usize, signs: &[u32]) {
    for at in (0..half).step_by(S::LANES) {
        let mut v = [s.splat(0.0); R];
        for (r, v) in v.iter_mut().enumerate() {
            *v = s.load(&y[at + r * half..]);
        }
        butterflies_up(s, &mut v);
        if !signs.is_empty() {
            for (r, v) in v.iter_mut().enumerate() {
                *v = flip(s, *v, &signs[at + r * half..]);
            }
            butterflies_down(s, &mut v);
        }
        for (r, v) in v.into_iter().enumerate() {
            s.store(v, &mut y[at + r * half..]);
        }
    }
}

/// `v` with the signs of the lanes changed where `signs` has the bit.
#[inline(always)]
fn flip<S: Simd>(s: S, v: S::F32, signs: &[u32]) -> S::F32 {
    s.from_bits(s.xor(s.to_bits(v), s.load_u32(signs)))
}

/// The stage of distance `half` inside each vector: lanes with the bit `half` clear become own + partner, the others
/// partner - own. A product with +-1 is exact, so a fused and an unfused multiply-add give the same.
#[inline(always)]
fn lane_stage<S: Simd, const R: usize>(s: S, v: &mut [S::F32; R], half: usize) {
    for v in v.iter_mut() {
        *v = s.mul_add(alternating(s, half), *v, s.xor_lanes(*v, half));
    }
}

/// The transform over the index of `v`, in registers: near pairs first.
#[inline(always)]
fn butterflies_up<S: Simd, const R: usize>(s: S, v: &mut [S::F32; R]) {
    let mut half = 1;
    while half < R {
        butterfly(s, v, half);
        half *= 2;
    }
}

/// The same, far pairs first.
#[inline(always)]
fn butterflies_down<S: Simd, const R: usize>(s: S, v: &mut [S::F32; R]) {
    let mut half = R / 2;
    while half > 0 {
        butterfly(s, v, half);
        half /= 2;
    }
}

#[inline(always)]
fn butterfly<S: Simd, const R: usize>(s: S, v: &mut [S::F32; R], half: usize) {
    for i in 0..R {
        if i & half == 0 {
            (v[i], v[i + half]) = (s.add(v[i], v[i + half]), s.sub(v[i], v[i + half]));
        }
    }
}

/// +1 in lanes whose number has the bit `half` clear, -1 in the others.
#[inline(always)]
fn alternating<S: Simd>(s: S, half: usize) -> S::F32 {
    let set = s.and(s.shr(s.iota(), half.trailing_zeros()), s.splat_u32(1));
    s.from_bits(s.or(s.shl(set, 31), s.splat_u32(1.0_f32.to_bits())))
}

#[cfg(test)]
mod tests;
