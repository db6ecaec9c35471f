//! Densified winner-take-all hashing (Chen and Shrivastava 2018; winner-take-all: Yagnik et al. 2011).

use super::buckets::{Buckets, Family, HashError, in_range};
use super::densify::{EMPTY, fill_empty};
use super::random::Random;
use crate::SparseRow;
use crate::simd::{Simd, Weight};

/// Parameters of densified winner-take-all. A code is the place of the largest of `bin` randomly drawn coordinates.
/// Only the order of the coordinates counts.
///
/// A stream of random permutations is cut into bins, so the bins draw every coordinate equally often. A coordinate that
/// is zero, NaN or `-inf` is absent, in dense and in sparse vectors alike. The first of equal values wins. A bin
/// without coordinates borrows the code of another bin of any table. A fixed random probe sequence finds that bin. A
/// vector without any coordinate has code 0 everywhere.
#[derive(Clone, Debug)]
pub struct Dwta {
    buckets: Buckets,
    dim: usize,
    seed: u64,
    /// Codes of all tables, rounded up to whole vectors.
    padded: usize,
    /// (bin, padded): the coordinate at each place of each bin. A place of a padding code is out of range.
    coordinates: Vec<u32>,
    /// The inverse: coordinate `i` stands in `places[offsets[i]..offsets[i + 1]]`, each a code and a place in its bin.
    offsets: Vec<u32>,
    places: Vec<(u32, u32)>,
}

/// Codes are handled in groups of the widest vector of any level.
const WIDEST: usize = 16;

impl Dwta {
    /// For vectors of `dim` numbers, `codes` (K) in each of `tables` bucket ids (L), each the largest of `bin`
    /// coordinates: `ceil(log2(bin))` bits a code. Keeps about `12 * K * L * bin` bytes.
    ///
    /// # Errors
    ///
    /// If `dim` is 0 or above 2^24, `bin` not in 2..=65536, `codes` or `tables` 0, the bits of a bucket id more than
    /// 32, or `codes * tables * bin` above 2^28.
    ///
    /// ```
    /// use hotrow_kernels::hash::{BucketHash, Dwta, HashError};
    /// let slide = Dwta::new(1, 128, 6, 50, 8)?;
    /// assert_eq!(slide.buckets().per_table(), 1 << 18);
    /// assert_eq!(Dwta::new(1, 128, 11, 50, 8).unwrap_err(), HashError::TooManyBits { codes: 11, bits: 3 });
    /// # Ok::<(), HashError>(())
    /// ```
    pub fn new(seed: u64, dim: usize, codes: usize, tables: usize, bin: usize) -> Result<Self, HashError> {
        in_range("dim", dim, 1, 1 << 24)?;
        in_range("bin", bin, 2, 1 << 16)?;
        let buckets = Buckets::new(codes, tables, bin.next_power_of_two().ilog2())?;
        let all = buckets.all_codes();
        in_range("codes * tables * bin", all * bin, 1, 1 << 28)?;

        let mut random = Random::new(seed, 0xd7);
        let mut permutation: Vec<u32> = (0..dim as u32).collect();
        let mut stream = Vec::with_capacity(all * bin);
        while stream.len() < all * bin {
            random.shuffle(&mut permutation);
            stream.extend(permutation.iter().take(all * bin - stream.len()));
        }

        let padded = all.next_multiple_of(WIDEST);
        let mut coordinates = vec![u32::MAX; bin * padded];
        let mut offsets = vec![0; dim + 1];
        for (slot, &coordinate) in stream.iter().enumerate() {
            coordinates[slot % bin * padded + slot / bin] = coordinate;
            offsets[coordinate as usize + 1] += 1;
        }
        for i in 0..dim {
            offsets[i + 1] += offsets[i];
        }
        let (mut next, mut places) = (offsets.clone(), vec![(0, 0); stream.len()]);
        for (slot, &coordinate) in stream.iter().enumerate() {
            let at = &mut next[coordinate as usize];
            places[*at as usize] = ((slot / bin) as u32, (slot % bin) as u32);
            *at += 1;
        }
        Ok(Self { buckets, dim, seed, padded, coordinates, offsets, places })
    }

    #[inline(always)]
    fn finish(&self, out: &mut [u32], codes: &mut [u32]) {
        let codes = &mut codes[..self.buckets.all_codes()];
        fill_empty(codes, self.seed);
        self.buckets.pack(out, codes);
    }
}

impl Family for Dwta {
    fn layout(&self) -> Buckets {
        self.buckets
    }

    fn vector_len(&self) -> usize {
        self.dim
    }

    fn scratch_words(&self) -> usize {
        self.padded + self.dim.max(self.padded)
    }

    /// Codes of a vector of lanes at a time: their first coordinates, their second ones, and so on.
    #[inline(always)]
    fn hash_dense<S: Simd, W: Weight>(&self, s: S, out: &mut [u32], x: &[W], scratch: &mut [f32]) {
        let (codes, wide) = scratch.split_at_mut(self.padded);
        let (codes, wide) = (bytemuck::cast_slice_mut::<f32, u32>(codes), &mut wide[..self.dim]);
        for (wide, x) in wide.chunks_mut(S::LANES).zip(x.chunks(S::LANES)) {
            s.store_partial(W::load_partial(s, x), wide);
        }
        let lowest = s.splat(f32::NEG_INFINITY);
        for (at, codes) in codes.chunks_exact_mut(S::LANES).enumerate() {
            let (mut best, mut winner) = (lowest, s.splat_u32(EMPTY));
            for (place, coordinates) in self.coordinates.chunks_exact(self.padded).enumerate() {
                let value = s.gather(wide, s.load_u32(&coordinates[at * S::LANES..]));
                let magnitude = s.and(s.to_bits(value), s.splat_u32(0x7fff_ffff));
                let value = s.select(s.eq_u32(magnitude, s.splat_u32(0)), lowest, value);
                let wins = s.gt(value, best);
                best = s.select(wins, value, best);
                winner = s.select_u32(wins, s.splat_u32(place as u32), winner);
            }
            s.store_u32(winner, codes);
        }
        self.finish(out, codes);
    }

    /// Only the places of the coordinates that are there: `nnz * K * L * bin / dim` steps.
    #[inline(always)]
    fn hash_sparse<S: Simd>(&self, _: S, out: &mut [u32], x: SparseRow, scratch: &mut [f32]) {
        let (codes, best) = scratch.split_at_mut(self.padded);
        let codes = bytemuck::cast_slice_mut::<f32, u32>(codes);
        codes.fill(EMPTY);
        best.fill(f32::NEG_INFINITY);
        for (&index, &value) in x.indices().iter().zip(x.values()) {
            if value == 0.0 {
                continue;
            }
            let places = self.offsets[index as usize] as usize..self.offsets[index as usize + 1] as usize;
            for &(code, place) in &self.places[places] {
                let (winner, best) = (&mut codes[code as usize], &mut best[code as usize]);
                // An empty code is larger than any place, but a value of -inf must not take it.
                let first = value == *best && place < *winner && *winner != EMPTY;
                if value > *best || first {
                    (*winner, *best) = (place, value);
                }
            }
        }
        self.finish(out, codes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::BucketHash;
    use crate::testing::*;

    /// The definition: for each code the first place of the largest value, or none.
    fn winners(hash: &Dwta, bin: usize, x: &[f32]) -> Vec<u32> {
        let value = |code: usize, place: usize| x[hash.coordinates[place * hash.padded + code] as usize];
        let winner = |code| {
            let present = (0..bin).map(|place| (value(code, place), place));
            let present = present.filter(|(value, _)| *value != 0.0 && *value > f32::NEG_INFINITY);
            let best = present.reduce(|best, next| if next.0 > best.0 { next } else { best });
            best.map_or(EMPTY, |(_, place)| place as u32)
        };
        (0..hash.buckets.all_codes()).map(winner).collect()
    }

    #[test]
    fn ids_hold_the_winners_in_disjoint_fields_that_use_every_bit() {
        for (dim, codes, tables, bin) in [(1, 1, 1, 2), (5, 3, 4, 8), (40, 6, 50, 8), (130, 4, 5, 7), (90, 2, 9, 33)] {
            let hash = Dwta::new(dim as u64, dim, codes, tables, bin).unwrap();
            let mut scratch = vec![f32::NAN; hash.scratch_len()];
            let (mut ever_set, mut ever_clear) = (0, 0);
            for seed in 0..200 {
                // Every third is zero, so that some bins are empty; few distinct values, so that there are ties.
                let mut x: Vec<f32> = numbers(dim, seed).iter().map(|x| (x * 20.0).round()).collect();
                x.iter_mut().skip(seed as usize % 3).step_by(3).for_each(|x| *x = 0.0);
                let mut want = winners(&hash, bin, &x);
                fill_empty(&mut want, hash.seed);
                let mut ids = vec![0; tables];
                hash.dense(crate::Level::detect(), &mut ids, &x, &mut scratch);
                for (table, &id) in ids.iter().enumerate() {
                    for code in 0..codes {
                        let field = (id >> (code as u32 * hash.buckets.bits())) & ((1 << hash.buckets.bits()) - 1);
                        assert_eq!(field, want[table * codes + code], "dim {dim}, table {table}, code {code}");
                    }
                    assert!((id as u64) < hash.buckets.per_table());
                    (ever_set, ever_clear) = (ever_set | id, ever_clear | !id);
                }
            }
            if dim >= bin {
                let all = (hash.buckets.per_table() - 1) as u32;
                assert_eq!((ever_set, ever_clear & all), (all, all), "a bit of {codes} codes never changes");
            }
        }
    }

    #[test]
    fn a_monotone_function_of_the_values_changes_nothing() {
        let hash = Dwta::new(3, 100, 5, 20, 8).unwrap();
        let mut scratch = vec![0.0; hash.scratch_len()];
        let x: Vec<f32> = numbers(100, 1).iter().map(|x| x + 1.5).collect();
        let cubes: Vec<f32> = x.iter().map(|x| x * x * x).collect();
        let (mut of_x, mut of_cubes) = ([0; 20], [0; 20]);
        hash.dense(crate::Level::detect(), &mut of_x, &x, &mut scratch);
        hash.dense(crate::Level::detect(), &mut of_cubes, &cubes, &mut scratch);
        assert_eq!(of_x, of_cubes);
    }

    #[test]
    fn every_coordinate_is_drawn_equally_often() {
        let hash = Dwta::new(3, 30, 4, 30, 8).unwrap();
        assert!(hash.offsets.windows(2).all(|pair| pair[1] - pair[0] == 4 * 30 * 8 / 30));
    }

    /// Two vectors that agree in the order of all coordinates but for independent values collide in a code with
    /// probability 1 / bin: each place is equally likely to win in either.
    #[test]
    fn codes_of_unrelated_vectors_agree_once_in_bin() {
        let (trials, bin) = (20_000, 8.0);
        let mut equal = 0;
        for seed in 0..trials {
            let hash = Dwta::new(seed, 64, 1, 1, bin as usize).unwrap();
            let mut scratch = vec![0.0; hash.scratch_len()];
            let (mut one, mut other) = ([0], [0]);
            hash.dense(crate::Level::PORTABLE, &mut one, &numbers(64, 2 * seed), &mut scratch);
            hash.dense(crate::Level::PORTABLE, &mut other, &numbers(64, 2 * seed + 1), &mut scratch);
            equal += (one == other) as u64;
        }
        let (mean, deviation) = (trials as f64 / bin, (trials as f64 * (1.0 / bin) * (1.0 - 1.0 / bin)).sqrt());
        assert!((equal as f64 - mean).abs() < 6.0 * deviation, "{equal} of {trials}");
    }
}
