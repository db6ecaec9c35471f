//! The k largest of many scores.

use crate::simd::Simd;
use crate::{Level, dispatch};

/// Vectors whose maximum is compared with the threshold at once: one rarely taken branch for all of them.
const BLOCK: usize = 8;

/// The `k` largest of `scores` (N) in descending order: `ids` (k) receives their positions, `values` (k) the scores.
/// Returns how many there are, `min(k, N)`. The rest of `ids` and `values` stays as it was.
///
/// The lower position comes first among equal scores; -0 equals 0. NaN ranks below everything, -infinity included. The
/// result is exact, so every level gives the same. The outputs are the heap, so nothing is allocated. If scores come in
/// no particular order, all but about `k ln(N / k)` of them cost a comparison in a vector. Ascending scores are the
/// worst case: they cost `log k` steps each.
///
/// # Panics
///
/// If `ids` and `values` differ in length or `scores` are more than 2^32.
///
/// ```
/// use hotrow_kernels::{Level, reduce::top_k};
/// let (mut ids, mut values) = ([0; 3], [0.0; 3]);
/// let found = top_k(Level::detect(), &[0.5, 2.0, f32::NAN, -1.0, 2.0], &mut ids, &mut values);
/// assert_eq!((found, ids, values), (3, [1, 4, 0], [2.0, 2.0, 0.5]));
/// ```
#[track_caller]
pub fn top_k(level: Level, scores: &[f32], ids: &mut [u32], values: &mut [f32]) -> usize {
    assert_eq!(ids.len(), values.len(), "ids and values differ in length");
    assert!(scores.len() as u64 <= 1 << 32, "{} scores have positions beyond u32", scores.len());
    let found = ids.len().min(scores.len());
    if found == 0 {
        return 0;
    }
    let mut heap = Heap { ids: &mut ids[..found], values: &mut values[..found] };
    for (id, (slot, value)) in heap.ids.iter_mut().zip(heap.values.iter_mut()).enumerate() {
        (*slot, *value) = (id as u32, scores[id]);
    }
    heap.build();
    dispatch!(level, s => offer_all(s, scores, found, &mut heap));
    heap.sort();
    found
}

/// Offers the scores from position `from` on.
#[inline(always)]
fn offer_all<S: Simd>(s: S, scores: &[f32], from: usize, heap: &mut Heap) {
    for (b, block) in scores[from..].chunks(BLOCK * S::LANES).enumerate() {
        let at = from + b * BLOCK * S::LANES;
        // A NaN among the best loses to any number, which no comparison of floats finds.
        if block.len() < BLOCK * S::LANES || heap.values[0].is_nan() {
            heap.offer_each(block, at);
            continue;
        }
        // Only what is above the worst of the best can enter: what equals it stands later and loses. NaN in the first
        // argument of `max` is dropped.
        let threshold = s.splat(heap.values[0]);
        let mut largest = [threshold; 2];
        for pair in block.chunks_exact(2 * S::LANES) {
            largest[0] = s.max(s.load(pair), largest[0]);
            largest[1] = s.max(s.load(&pair[S::LANES..]), largest[1]);
        }
        if s.bits(s.gt(s.max(largest[0], largest[1]), threshold)) == 0 {
            continue;
        }
        for (v, vector) in block.chunks_exact(S::LANES).enumerate() {
            let mut above = s.bits(s.gt(s.load(vector), s.splat(heap.values[0])));
            while above != 0 {
                let lane = above.trailing_zeros() as usize;
                heap.offer_each(&vector[lane..=lane], at + v * S::LANES + lane);
                above &= above - 1;
            }
        }
    }
}

/// A binary heap with the worst of the best at its root.
struct Heap<'a> {
    ids: &'a mut [u32],
    values: &'a mut [f32],
}

/// Orders candidates as [`top_k`] states it: larger is better.
#[inline(always)]
pub(crate) fn rank(value: f32, id: u32) -> u64 {
    // Adding 0 turns -0 into 0; then negative floats in reverse and positive ones above them are ordered as integers, and
    // 0 is below that of -infinity.
    let bits = (value + 0.0).to_bits();
    let ordered = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    let ordered = if value.is_nan() { 0 } else { ordered };
    (ordered as u64) << 32 | !id as u64
}

impl Heap<'_> {
    fn rank(&self, at: usize) -> u64 {
        rank(self.values[at], self.ids[at])
    }

    /// Makes a heap of what is there.
    fn build(&mut self) {
        for parent in (0..self.ids.len() / 2).rev() {
            self.sift_down(parent, self.ids.len());
        }
    }

    /// Takes in `score` if it is better than the root.
    fn offer(&mut self, score: f32, id: u32) {
        if rank(score, id) > self.rank(0) {
            (self.values[0], self.ids[0]) = (score, id);
            self.sift_down(0, self.ids.len());
        }
    }

    /// The same for each of `scores`, at positions `from` on.
    fn offer_each(&mut self, scores: &[f32], from: usize) {
        scores.iter().enumerate().for_each(|(i, &score)| self.offer(score, (from + i) as u32));
    }

    /// Moves the element at `hole` down until neither child, both below `len`, is worse.
    fn sift_down(&mut self, mut hole: usize, len: usize) {
        let (value, id) = (self.values[hole], self.ids[hole]);
        let moving = rank(value, id);
        while 2 * hole + 1 < len {
            let (left, right) = (2 * hole + 1, (2 * hole + 2).min(len - 1));
            let (child, worst) = match (self.rank(left), self.rank(right)) {
                (of_left, of_right) if of_right < of_left => (right, of_right),
                (of_left, _) => (left, of_left),
            };
            if moving <= worst {
                break;
            }
            (self.values[hole], self.ids[hole]) = (self.values[child], self.ids[child]);
            hole = child;
        }
        (self.values[hole], self.ids[hole]) = (value, id);
    }

    /// From heap to descending order: the worst goes to the end, again and again.
    fn sort(&mut self) {
        for end in (1..self.ids.len()).rev() {
            self.values.swap(0, end);
            self.ids.swap(0, end);
            self.sift_down(0, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    /// All positions sorted by the definition.
    fn reference(scores: &[f32]) -> Vec<u32> {
        let mut ids: Vec<u32> = (0..scores.len() as u32).collect();
        // A stable sort keeps the lower position first.
        ids.sort_by(|&a, &b| {
            let (a, b) = (scores[a as usize], scores[b as usize]);
            b.partial_cmp(&a).unwrap_or(a.is_nan().cmp(&b.is_nan()))
        });
        ids
    }

    fn agrees(scores: &[f32], k: usize) {
        let want = reference(scores);
        let scores = Misaligned::new(scores, 1);
        let found = k.min(scores.len());
        at_every_level(|level| {
            let (mut ids, mut values) = (vec![u32::MAX; k], vec![-7.0; k]);
            assert_eq!(top_k(level, &scores, &mut ids, &mut values), found);
            assert_eq!(ids[..found], want[..found], "{k} of {}", scores.len());
            for (id, value) in ids.iter().zip(&values).take(found) {
                assert_eq!(value.to_bits(), scores[*id as usize].to_bits());
            }
            assert!(ids[found..].iter().all(|&id| id == u32::MAX) && values[found..].iter().all(|&v| v == -7.0));
        });
    }

    #[test]
    fn the_largest_come_first_at_every_length() {
        for n in lengths().chain([256, 1000, 4099]) {
            for k in [0, 1, 2, 5, 100] {
                agrees(&numbers(n, n as u64), k);
            }
        }
    }

    #[test]
    fn sorted_scores_and_ties_and_special_values_are_ranked_as_stated() {
        let ascending: Vec<f32> = (0..700).map(|i| i as f32 - 350.0).collect();
        let descending: Vec<f32> = ascending.iter().rev().copied().collect();
        let few: Vec<f32> = numbers(700, 1).iter().map(|x| (x * 3.0).round()).collect();
        let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1e-45, -1e-45, -f32::NAN];
        let specials: Vec<f32> = numbers(700, 2).iter().map(|x| special[((x + 1.0) * 4.0) as usize]).collect();
        let nans_first: Vec<f32> = (0..700).map(|i| if i < 300 { f32::NAN } else { f32::NEG_INFINITY }).collect();
        for scores in [ascending, descending, few, specials, nans_first, vec![f32::NAN; 300]] {
            for k in [1, 3, 16, 333, 700, 800] {
                agrees(&scores, k);
            }
        }
    }

    #[test]
    #[should_panic(expected = "ids and values differ in length")]
    fn outputs_of_two_lengths_are_refused() {
        top_k(Level::PORTABLE, &[0.0; 4], &mut [0; 2], &mut [0.0; 3]);
    }

    proptest::proptest! {
        #[test]
        fn any_floats(scores in proptest::collection::vec(proptest::num::f32::ANY, 0..900), k in 0usize..200) {
            agrees(&scores, k);
        }
    }
}
