//! Cross-polytope hashing (Andoni, Indyk, Laarhoven, Razenshteyn and Schmidt 2015).

use super::buckets::{Buckets, Family, HashError, in_range};
use super::hadamard::{Rotations, padded};
use crate::SparseRow;
use crate::simd::{Simd, Weight};

/// Parameters of cross-polytope hashing. A code names the nearest of the `2 * coordinates` points `+e_i` and `-e_i`
/// after a pseudo-random rotation: `2 * i + (1 if negative)`.
///
/// The rotation is three rounds of random signs and a fast Walsh-Hadamard transform, as in the paper. `dim` is padded
/// with zeros to `n`, a power of two of at least 16. A rotation of `n` coordinates yields `n / coordinates` codes, each
/// from coordinates of its own. The first of equal magnitudes wins. NaN never wins. A code is 0 if all of its
/// coordinates are zero or NaN.
///
/// [`CrossPolytope::probes`] lists the next-best buckets of a query.
#[derive(Clone, Debug)]
pub struct CrossPolytope {
    pub(super) buckets: Buckets,
    pub(super) rotations: Rotations,
    pub(super) coordinates: usize,
}

/// Rounds of a rotation, as in the paper.
const ROUNDS: usize = 3;

impl CrossPolytope {
    /// For vectors of `dim` numbers, `codes` (K) in each of `tables` bucket ids (L), each code from `coordinates`
    /// rotated coordinates: `log2(2 * coordinates)` bits.
    ///
    /// # Errors
    ///
    /// If `dim` is 0 or above 2^24, `coordinates` not a power of two in 1..=n (n as above), `codes` or `tables` 0 or
    /// the bits of a bucket id more than 32.
    ///
    /// ```
    /// use hotrow_kernels::hash::{BucketHash, CrossPolytope};
    /// let hash = CrossPolytope::new(1, 100, 2, 10, 128)?;
    /// assert_eq!(hash.buckets().per_table(), 256 * 256);
    /// assert!(CrossPolytope::new(1, 100, 2, 10, 256).is_err());
    /// # Ok::<(), hotrow_kernels::hash::HashError>(())
    /// ```
    pub fn new(seed: u64, dim: usize, codes: usize, tables: usize, coordinates: usize) -> Result<Self, HashError> {
        in_range("dim", dim, 1, 1 << 24)?;
        in_range("coordinates", coordinates, 1, padded(dim))?;
        if !coordinates.is_power_of_two() {
            return Err(HashError::NotPowerOfTwo { what: "coordinates", value: coordinates });
        }
        let buckets = Buckets::new(codes, tables, (2 * coordinates).ilog2())?;
        let rotations = Rotations::new(seed, dim, ROUNDS, buckets.all_codes() * coordinates);
        Ok(Self { buckets, rotations, coordinates })
    }

    /// Puts the codes of rotation `block` into the bucket ids.
    #[inline(always)]
    fn collect<S: Simd>(&self, s: S, out: &mut [u32], block: usize, y: &[f32]) {
        let first = block * (y.len() / self.coordinates);
        for (code, y) in (first..self.buckets.all_codes()).zip(y.chunks_exact(self.coordinates)) {
            let place = (code % self.buckets.codes()) as u32 * self.buckets.bits();
            out[code / self.buckets.codes()] |= nearest_vertex(s, y).0 << place;
        }
    }
}

/// The code of the largest of `y` in magnitude, and that magnitude; of equals the first.
#[inline(always)]
pub(super) fn nearest_vertex<S: Simd>(s: S, y: &[f32]) -> (u32, f32) {
    const WIDEST: usize = 16;
    let (mut best, mut winner) = (s.splat(0.0), s.splat_u32(0));
    for (at, y) in y.chunks(S::LANES).enumerate() {
        // Lanes past a tail are zero and never win.
        let bits = s.to_bits(s.load_partial(y));
        let magnitude = s.from_bits(s.and(bits, s.splat_u32(0x7fff_ffff)));
        let index = s.add_u32(s.iota(), s.splat_u32((at * S::LANES) as u32));
        let code = s.or(s.shl(index, 1), s.shr(bits, 31));
        let wins = s.gt(magnitude, best);
        best = s.select(wins, magnitude, best);
        winner = s.select_u32(wins, code, winner);
    }
    let (mut magnitudes, mut codes) = ([0.0; WIDEST], [0; WIDEST]);
    s.store(best, &mut magnitudes);
    s.store_u32(winner, &mut codes);
    let lanes = magnitudes.into_iter().zip(codes).take(S::LANES);
    let better = |(best, winner): (f32, u32), (magnitude, code): (f32, u32)| {
        let wins = magnitude > best || (magnitude == best && magnitude > 0.0 && code < winner);
        if wins { (magnitude, code) } else { (best, winner) }
    };
    let (magnitude, code) = lanes.fold((0.0, 0), better);
    (code, magnitude)
}

impl Family for CrossPolytope {
    fn layout(&self) -> Buckets {
        self.buckets
    }

    fn vector_len(&self) -> usize {
        self.rotations.dim()
    }

    fn scratch_words(&self) -> usize {
        self.rotations.n()
    }

    #[inline(always)]
    fn hash_dense<S: Simd, W: Weight>(&self, s: S, out: &mut [u32], x: &[W], scratch: &mut [f32]) {
        out.fill(0);
        self.rotations.dense(
            s,
            x,
            scratch,
            0..self.rotations.blocks(),
            #[inline(always)]
            |block, y| self.collect(s, out, block, y),
        );
    }

    #[inline(always)]
    fn hash_sparse<S: Simd>(&self, s: S, out: &mut [u32], x: SparseRow, scratch: &mut [f32]) {
        out.fill(0);
        self.rotations.sparse(
            s,
            x,
            scratch,
            0..self.rotations.blocks(),
            #[inline(always)]
            |block, y| self.collect(s, out, block, y),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::BucketHash;
    use crate::testing::*;
    use crate::{Level, dispatch};

    /// The definition: the first of the largest magnitudes.
    fn reference(y: &[f32]) -> u32 {
        let present = y.iter().enumerate().filter(|(_, y)| y.abs() > 0.0);
        let best = present.reduce(|best, next| if next.1.abs() > best.1.abs() { next } else { best });
        best.map_or(0, |(index, y)| 2 * index as u32 + (*y < 0.0) as u32)
    }

    #[test]
    fn the_nearest_vertex_is_the_first_of_the_largest_magnitudes() {
        for len in lengths().skip(1) {
            for (seed, scale) in [(1, 1e9), (2, 2.0), (3, 0.0), (4, 1.0)] {
                let mut y: Vec<f32> = numbers(len, seed + len as u64).iter().map(|y| (y * scale).round()).collect();
                if seed == 4 {
                    y.iter_mut().step_by(2).for_each(|y| *y = f32::NAN);
                    y[len - 1] = f32::NEG_INFINITY;
                }
                at_every_level(|level| {
                    let (code, magnitude) = dispatch!(level, s => nearest_vertex(s, &Misaligned::new(&y, 1)));
                    assert_eq!(code, reference(&y), "{y:?}");
                    let winner = y[code as usize / 2].abs();
                    assert!(magnitude == winner || (magnitude == 0.0 && winner.is_nan()));
                });
            }
        }
    }

    #[test]
    fn ids_hold_the_vertices_in_disjoint_fields_that_use_every_bit() {
        for (dim, codes, tables, coordinates) in [(1, 1, 1, 1), (20, 3, 5, 32), (20, 5, 9, 4), (100, 2, 3, 128)] {
            let hash = CrossPolytope::new(dim as u64, dim, codes, tables, coordinates).unwrap();
            let mut scratch = vec![f32::NAN; hash.scratch_len()];
            let (mut ever_set, mut ever_clear) = (0, 0);
            for seed in 0..300 {
                let x = numbers(dim, seed);
                let (mut ids, all) = (vec![0; tables], hash.rotations.coordinates(Level::PORTABLE, &x));
                hash.dense(Level::detect(), &mut ids, &x, &mut scratch);
                let bits = hash.buckets.bits();
                for (code, y) in all.chunks(coordinates).take(codes * tables).enumerate() {
                    let field = (ids[code / codes] >> ((code % codes) as u32 * bits)) & ((1 << bits) - 1);
                    assert_eq!(field, reference(y));
                }
                for id in ids {
                    assert!((id as u64) < hash.buckets.per_table());
                    (ever_set, ever_clear) = (ever_set | id, ever_clear | !id);
                }
            }
            let all = (hash.buckets.per_table() - 1) as u32;
            assert_eq!((ever_set, ever_clear & all), (all, all));
        }
    }

    /// Every vertex is equally likely for a fixed vector and random signs (permuting and flipping the axes of a random
    /// rotation gives as likely a one), so codes of independent seeds are multinomial. Laurent and Massart (2000):
    /// chi-square with `d` degrees of freedom exceeds `d + 2 sqrt(d t) + 2 t` with probability below `exp(-t)`; `t =
    /// 20`.
    #[test]
    fn every_vertex_is_as_likely_as_every_other() {
        let (trials, vertices) = (16_000, 32);
        let mut counts = vec![0.0; vertices];
        for seed in 0..trials {
            let hash = CrossPolytope::new(seed, 16, 1, 1, 16).unwrap();
            let mut id = [0];
            hash.dense(Level::detect(), &mut id, &numbers(16, 1), &mut vec![0.0; hash.scratch_len()]);
            counts[id[0] as usize] += 1.0;
        }
        let mean = trials as f64 / vertices as f64;
        let chi_square: f64 = counts.iter().map(|count| (count - mean) * (count - mean) / mean).sum();
        let (d, t) = (vertices as f64 - 1.0, 20.0_f64);
        assert!(chi_square < d + 2.0 * (d * t).sqrt() + 2.0 * t, "{chi_square}: {counts:?}");
    }
}
