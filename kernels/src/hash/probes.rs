//! Multi-probe: the next-best buckets of a query (Lv et al. 2007; for cross-polytopes Andoni et al. 2015).

use super::CrossPolytope;
use super::buckets::{SKIPPED, from_cache_line};
use super::cross_polytope::nearest_vertex;
use crate::simd::{Simd, Weight};
use crate::{Level, dispatch};

/// The best `losses.len()` items so far, smallest loss first; of equal losses the one that came first.
struct Best<'a> {
    losses: &'a mut [f32],
    items: &'a mut [u32],
    len: usize,
}

impl<'a> Best<'a> {
    /// Empty, with the memory of `words`: half for losses, half for items.
    fn new(words: &'a mut [f32]) -> Self {
        let (losses, items) = words.split_at_mut(words.len() / 2);
        Self { losses, items: bytemuck::cast_slice_mut(items), len: 0 }
    }

    /// Whether something of this loss would be kept.
    #[inline(always)]
    fn would_keep(&self, loss: f32) -> bool {
        // False for NaN, unless there is room; it is not offered.
        self.len < self.losses.len() || loss < self.losses[self.len - 1]
    }

    #[inline(always)]
    fn insert(&mut self, loss: f32, item: u32) {
        if !self.would_keep(loss) {
            return;
        }
        let mut at = self.len.min(self.losses.len() - 1);
        self.len = at + 1;
        while at > 0 && loss < self.losses[at - 1] {
            (self.losses[at], self.items[at]) = (self.losses[at - 1], self.items[at - 1]);
            at -= 1;
        }
        (self.losses[at], self.items[at]) = (loss, item);
    }

    fn iter(&self) -> impl Iterator<Item = (f32, u32)> {
        self.losses.iter().copied().zip(self.items.iter().copied()).take(self.len)
    }
}

impl CrossPolytope {
    /// Words of scratch that [`CrossPolytope::probes`] needs for `probes` probes, among them 15 to start at a whole
    /// cache line.
    ///
    /// ```
    /// use hotrow_kernels::hash::CrossPolytope;
    /// assert_eq!(CrossPolytope::new(1, 100, 2, 10, 64)?.probe_scratch_len(8), 128 + 6 * 8 + 15);
    /// # Ok::<(), hotrow_kernels::hash::HashError>(())
    /// ```
    pub fn probe_scratch_len(&self, probes: usize) -> usize {
        self.rotations.n() + 6 * probes + SKIPPED
    }

    /// Writes the buckets of `table` in which near neighbours of `x` (dim) are most likely into `out`, best first and
    /// without repetition. Returns how many there are: `out.len()`, or fewer if the table has fewer buckets or
    /// coordinates are NaN.
    ///
    /// The first is the bucket of `x` itself. A neighbour is `x` plus a small random step. It is nearest to another
    /// vertex if the step bridges the gap between that vertex's coordinate and the largest one. For a Gaussian step the
    /// logarithm of that probability falls with the square of the gap. So the loss of a bucket is the sum of the
    /// squared gaps of its K codes, and buckets come in the order of their loss.
    ///
    /// # Panics
    ///
    /// If `x` is not `dim` long, there is no such `table`, or `scratch` is shorter than
    /// [`CrossPolytope::probe_scratch_len`]`(out.len())`.
    ///
    /// ```
    /// use hotrow_kernels::{Level, hash::{BucketHash, CrossPolytope}};
    /// let hash = CrossPolytope::new(1, 3, 2, 4, 8)?;
    /// let x = [0.3_f32, -0.8, 0.1];
    /// let (mut ids, mut probes) = ([0; 4], [0; 10]);
    /// hash.dense(Level::detect(), &mut ids, &x, &mut vec![0.0; hash.scratch_len()]);
    /// let mut scratch = vec![0.0; hash.probe_scratch_len(probes.len())];
    /// assert_eq!(hash.probes(Level::detect(), &mut probes, &x, 2, &mut scratch), 10);
    /// assert_eq!(probes[0], ids[2]);
    /// # Ok::<(), hotrow_kernels::hash::HashError>(())
    /// ```
    #[track_caller]
    pub fn probes<W: Weight>(
        &self,
        level: Level,
        out: &mut [u32],
        x: &[W],
        table: usize,
        scratch: &mut [f32],
    ) -> usize {
        assert_eq!(x.len(), self.rotations.dim(), "x and dim differ in length");
        assert!(table < self.buckets.tables(), "table {table} of {}", self.buckets.tables());
        let needed = self.probe_scratch_len(out.len());
        assert!(scratch.len() >= needed, "scratch of {} words where {needed} are needed", scratch.len());
        if out.is_empty() {
            return 0;
        }
        dispatch!(level, s => self.best_buckets(s, out, x, table, &mut from_cache_line(scratch)[..needed - SKIPPED]))
    }

    #[inline(always)]
    fn best_buckets<S: Simd, W: Weight>(
        &self,
        s: S,
        out: &mut [u32],
        x: &[W],
        table: usize,
        scratch: &mut [f32],
    ) -> usize {
        let (y, lists) = scratch.split_at_mut(self.rotations.n());
        let (first, rest) = lists.split_at_mut(2 * out.len());
        let (second, third) = rest.split_at_mut(2 * out.len());
        let (mut buckets, mut extended, mut vertices) = (Best::new(first), Best::new(second), Best::new(third));
        buckets.insert(0.0, 0);

        let per_block = self.rotations.n() / self.coordinates;
        let codes = table * self.buckets.codes()..(table + 1) * self.buckets.codes();
        let blocks = codes.start / per_block..codes.end.div_ceil(per_block);
        self.rotations.dense(
            s,
            x,
            y,
            blocks,
            #[inline(always)]
            |block: usize, y: &[f32]| {
                for (code, y) in (block * per_block..).zip(y.chunks_exact(self.coordinates)) {
                    if !codes.contains(&code) {
                        continue;
                    }
                    rank_vertices(s, &mut vertices, y);
                    let place = (code - codes.start) as u32 * self.buckets.bits();
                    extended.len = 0;
                    // Both lists are sorted: once a sum is too large, so are the rest of its row.
                    for (loss, bucket) in buckets.iter() {
                        for (more, vertex) in vertices.iter() {
                            if !extended.would_keep(loss + more) {
                                break;
                            }
                            extended.insert(loss + more, bucket | vertex << place);
                        }
                    }
                    std::mem::swap(&mut buckets, &mut extended);
                }
            },
        );
        out.iter_mut().zip(buckets.iter()).for_each(|(out, (_, bucket))| *out = bucket);
        buckets.len
    }
}

/// All vertices by the square of the gap to the nearest, which comes first; of equals the lower code.
#[inline(always)]
fn rank_vertices<S: Simd>(s: S, vertices: &mut Best, y: &[f32]) {
    let (nearest, magnitude) = nearest_vertex(s, y);
    vertices.len = 0;
    vertices.insert(0.0, nearest);
    for (index, &y) in y.iter().enumerate() {
        for (code, score) in [(2 * index as u32, y), (2 * index as u32 + 1, -y)] {
            if code != nearest && !score.is_nan() {
                // An infinite score has no gap to itself; the difference would be NaN.
                let gap = if score == magnitude { 0.0 } else { magnitude - score };
                vertices.insert(gap * gap, code);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::BucketHash;
    use crate::testing::*;

    /// Every bucket of a table with its loss, the definition.
    fn all_buckets(hash: &CrossPolytope, x: &[f32], table: usize) -> Vec<(f32, u32)> {
        let all = hash.rotations.coordinates(Level::PORTABLE, x);
        let (codes, bits) = (hash.buckets.codes(), hash.buckets.bits());
        let mut buckets = vec![(0.0, 0)];
        for (code, y) in all.chunks(hash.coordinates).skip(table * codes).take(codes).enumerate() {
            let largest = y.iter().fold(0.0_f32, |largest, y| largest.max(y.abs()));
            let score = |vertex: u32| if vertex & 1 == 0 { y[vertex as usize / 2] } else { -y[vertex as usize / 2] };
            let extend = |(loss, bucket): (f32, u32)| {
                (0..1 << bits).map(move |vertex| {
                    let gap = largest - score(vertex);
                    (loss + gap * gap, bucket | vertex << (code as u32 * bits))
                })
            };
            buckets = buckets.into_iter().flat_map(extend).collect();
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        buckets
    }

    fn probes_agree(dim: usize, codes: usize, coordinates: usize, probes: usize, seed: u64) {
        let hash = CrossPolytope::new(seed, dim, codes, 5, coordinates).unwrap();
        let x = numbers(dim, seed);
        for table in 0..5 {
            let want = all_buckets(&hash, &x, table);
            at_every_level(|level| {
                let mut out = vec![u32::MAX; probes];
                let mut scratch = vec![f32::NAN; hash.probe_scratch_len(probes)];
                let count = hash.probes(level, &mut out, &x, table, &mut scratch);
                assert_eq!(count, probes.min(want.len()));
                let loss_of = |id: &u32| want.iter().find(|(_, bucket)| bucket == id).unwrap().0;
                let losses: Vec<f32> = out[..count].iter().map(loss_of).collect();
                let best: Vec<f32> = want.iter().take(count).map(|(loss, _)| *loss).collect();
                assert_eq!(losses, best, "dim {dim}, K {codes}, table {table}");
                let mut ids = [0; 5];
                hash.dense(level, &mut ids, &x, &mut scratch);
                assert!(probes == 0 || out[0] == ids[table]);
                out.truncate(count);
                out.sort();
                assert!(out.windows(2).all(|pair| pair[0] != pair[1]), "a bucket twice");
            });
        }
    }

    #[test]
    fn probes_are_the_buckets_of_least_loss_in_order() {
        for (codes, coordinates) in [(1, 1), (1, 64), (2, 16), (3, 8), (3, 4), (7, 1)] {
            for probes in [0, 1, 2, 10, 200] {
                probes_agree(40, codes, coordinates, probes, 1000 * probes as u64 + codes as u64);
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_number_of_probes_of_any_shape(
            dim in 1usize..70, codes in 1usize..4, log in 0u32..4, probes in 0usize..40, seed: u32,
        ) {
            probes_agree(dim, codes, 1 << log, probes, seed as u64);
        }
    }

    #[test]
    fn zeros_nan_and_infinities_have_probes_too() {
        let hash = CrossPolytope::new(1, 20, 2, 3, 16).unwrap();
        for x in [[0.0; 20], [f32::NAN; 20], [f32::INFINITY; 20], [f32::MAX; 20], [1e-45; 20]] {
            let (mut out, mut ids) = ([u32::MAX; 8], [0; 3]);
            let mut scratch = vec![0.0; hash.probe_scratch_len(8)];
            let count = hash.probes(Level::detect(), &mut out, &x, 1, &mut scratch);
            hash.dense(Level::detect(), &mut ids, &x, &mut scratch);
            assert!(count >= 1 && out[0] == ids[1]);
            assert!(out[..count].iter().all(|&id| (id as u64) < BucketHash::buckets(&hash).per_table()));
        }
    }
}
