//! The fast Walsh-Hadamard transform, and rotations made of it: `rounds` times random signs, then the transform.
//!
//! `y[i ^ 0] +- y[i ^ h]` for `h = 1, 2, 4, ..`: each stage is element-wise and the order of stages is fixed, so every
//! level rounds alike. Not normalised: a round multiplies the length of a vector by `sqrt(n)`.

use std::ops::Range;

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
    /// (blocks, rounds, n): the sign bit of each diagonal element, at its place in an `f32`.
    signs: Vec<u32>,
}

impl Rotations {
    /// Enough of them to have `outputs` coordinates in all.
    pub fn new(seed: u64, dim: usize, rounds: usize, outputs: usize) -> Self {
        let n = padded(dim);
        let len = outputs.div_ceil(n) * rounds * n;
        let mut random = Random::new(seed, 0x51);
        let words = (0..len.div_ceil(64)).map(|_| random.word());
        let mut signs: Vec<u32> =
            words.flat_map(|word| (0..64).map(move |bit| ((word >> bit) as u32 & 1) << 31)).collect();
        signs.truncate(len);
        Self { dim, n, rounds, signs }
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
        self.signs.len() / (self.rounds * self.n)
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
            let signs = self.signs(block);
            let (first, rest) = signs.split_at(self.n);
            transform(s, scratch, first, |_, at| W::load_partial(s, x.get(at..).unwrap_or_default()));
            self.later_rounds(s, scratch, rest);
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
            let signs = self.signs(block);
            scratch.fill(0.0);
            for (&index, &value) in x.indices().iter().zip(x.values()) {
                scratch[index as usize] = value;
            }
            self.later_rounds(s, scratch, signs);
            use_block(block, scratch);
        }
    }

    /// The diagonals (rounds, n) of one rotation.
    #[inline(always)]
    fn signs(&self, block: usize) -> &[u32] {
        &self.signs[block * self.rounds * self.n..][..self.rounds * self.n]
    }

    #[inline(always)]
    fn later_rounds<S: Simd>(&self, s: S, scratch: &mut [f32], signs: &[u32]) {
        for signs in signs.chunks_exact(self.n) {
            transform(s, scratch, signs, |y, at| s.load(&y[at..]));
        }
    }
}

/// Coordinates of a rotation of `dim` numbers.
pub fn padded(dim: usize) -> usize {
    dim.next_power_of_two().max(SHORTEST)
}

/// `y` (n) becomes the transform of `signs * load`, where `load(y, at)` is the vector of inputs at `at`.
#[inline(always)]
fn transform<S: Simd>(s: S, y: &mut [f32], signs: &[u32], load: impl Fn(&[f32], usize) -> S::F32) {
    let vectors = y.len() / S::LANES;
    let mut half = match vectors {
        8.. => within::<S, 8>(s, y, signs, load),
        4.. => within::<S, 4>(s, y, signs, load),
        2.. => within::<S, 2>(s, y, signs, load),
        _ => within::<S, 1>(s, y, signs, load),
    };
    while half < y.len() {
        half = match y.len() / half {
            8.. => across::<S, 8>(s, y, half),
            4.. => across::<S, 4>(s, y, half),
            _ => across::<S, 2>(s, y, half),
        };
    }
}

/// The signs, the stages inside a vector and those over `R` neighbouring vectors; returns the distance of the next stage.
#[inline(always)]
fn within<S: Simd, const R: usize>(
    s: S,
    y: &mut [f32],
    signs: &[u32],
    load: impl Fn(&[f32], usize) -> S::F32,
) -> usize {
    for at in (0..y.len()).step_by(R * S::LANES) {
        let mut v = [s.splat(0.0); R];
        for (r, v) in v.iter_mut().enumerate() {
            let at = at + r * S::LANES;
            *v = s.from_bits(s.xor(s.to_bits(load(y, at)), s.load_u32(&signs[at..])));
            let mut half = 1;
            while half < S::LANES {
                // Lanes with the bit `half` clear become own + partner, the others partner - own; a product with +-1 is
                // exact, so a fused and an unfused multiply-add give the same.
                *v = s.mul_add(alternating(s, half), *v, s.xor_lanes(*v, half));
                half *= 2;
            }
        }
        butterflies(s, &mut v);
        for (r, v) in v.into_iter().enumerate() {
            s.store(v, &mut y[at + r * S::LANES..]);
        }
    }
    R * S::LANES
}

/// The `log2(R)` stages from distance `half` on; returns the distance of the next stage.
#[inline(always)]
fn across<S: Simd, const R: usize>(s: S, y: &mut [f32], half: usize) -> usize {
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
    R * half
}

/// The transform over the index of `v`, in registers.
#[inline(always)]
fn butterflies<S: Simd, const R: usize>(s: S, v: &mut [S::F32; R]) {
    let mut half = 1;
    while half < R {
        for i in 0..R {
            if i & half == 0 {
                (v[i], v[i + half]) = (s.add(v[i], v[i + half]), s.sub(v[i], v[i + half]));
            }
        }
        half *= 2;
    }
}

/// +1 in lanes whose number has the bit `half` clear, -1 in the others.
#[inline(always)]
fn alternating<S: Simd>(s: S, half: usize) -> S::F32 {
    let set = s.and(s.shr(s.iota(), half.trailing_zeros()), s.splat_u32(1));
    s.from_bits(s.or(s.shl(set, 31), s.splat_u32(1.0_f32.to_bits())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;
    use crate::{bf16, dispatch};

    /// `H D .. H D x` in f64 by the definition `H[i, j] = (-1)^popcount(i & j)`.
    fn reference(rotations: &Rotations, block: usize, x: &[f64]) -> Vec<f64> {
        let n = rotations.n;
        let mut y = x.to_vec();
        y.resize(n, 0.0);
        for signs in rotations.signs(block).chunks(n) {
            let signed: Vec<f64> = y.iter().zip(signs).map(|(y, &bit)| if bit == 0 { *y } else { -y }).collect();
            let term = |i: usize, j: usize| if (i & j).count_ones().is_multiple_of(2) { signed[j] } else { -signed[j] };
            y = (0..n).map(|i| (0..n).map(|j| term(i, j)).sum()).collect();
        }
        y
    }

    /// Each of the `rounds * log2(n)` stages rounds once, by at most half of eps of what it yields; that error then grows
    /// like the values do, so no coordinate is off by more than `rounds * log2(n) * eps` of the largest sum of
    /// magnitudes, `n^(rounds - 1) * sum |x|`.
    fn bound(rotations: &Rotations, x: &[f64]) -> f64 {
        let largest = (rotations.n as f64).powi(rotations.rounds as i32 - 1) * x.iter().map(|x| x.abs()).sum::<f64>();
        (rotations.rounds * rotations.n.ilog2() as usize) as f64 * f32::EPSILON as f64 * largest
    }

    fn rotations_agree<W: Weight>(dim: usize, rounds: usize, outputs: usize, seed: u64) {
        let x: Vec<W> = numbers(dim, seed).into_iter().map(W::from_f32).collect();
        let (x, rotations) = (Misaligned::new(&x, 1), Rotations::new(seed, dim, rounds, outputs));
        let mut of_all_levels: Vec<Vec<u32>> = Vec::new();
        for level in crate::Level::available() {
            let (mut all, mut scratch) = (Vec::new(), Misaligned::new(&vec![f32::NAN; rotations.n], 3));
            let scratch: &mut [f32] = &mut scratch;
            dispatch!(level, s => rotations.dense(s, &x, scratch, 0..rotations.blocks(), #[inline(always)] |_, y| all.extend_from_slice(y)));
            for (block, got) in all.chunks(rotations.n).enumerate() {
                let want = reference(&rotations, block, &exact(&x));
                for (&got, want) in got.iter().zip(want) {
                    assert_within(got, want, bound(&rotations, &exact(&x)), format!("dim {dim}, block {block}"));
                }
            }
            of_all_levels.push(all.iter().map(|y| y.to_bits()).collect());
        }
        assert!(of_all_levels.iter().all(|bits| *bits == of_all_levels[0]), "levels differ at dim {dim}");
    }

    #[test]
    fn a_rotation_is_the_product_of_its_matrices_with_the_same_bits_on_every_level() {
        for dim in 1..=130 {
            rotations_agree::<f32>(dim, 1 + dim % 3, 2 * dim, dim as u64);
            rotations_agree::<bf16>(dim, 1, 1, dim as u64);
        }
        for dim in [256, 511, 600, 1500] {
            rotations_agree::<f32>(dim, 2, 1, dim as u64);
        }
    }

    #[test]
    fn a_transform_twice_is_n_times_the_input() {
        for dim in [16, 100, 512, 4096] {
            let x: Vec<f32> = numbers(dim, 5).iter().map(|x| (x * 8.0).round()).collect();
            let n = padded(dim);
            at_every_level(|level| {
                let mut y = vec![0.0; n];
                y[..dim].copy_from_slice(&x);
                let none = vec![0; n];
                for _ in 0..2 {
                    dispatch!(level, s => transform(s, &mut y, &none, #[inline(always)] |y, at| s.load(&y[at..])));
                }
                // Small integers throughout, hence exact.
                assert!(y.iter().zip(&x).all(|(&y, &x)| y == n as f32 * x));
            });
        }
    }
}
