//! Sums of sparse rows: few of many numbers are added to, and marks say where.
//!
//! A mark is a byte for a cache line of 16 numbers. It is stored, never read, while numbers are added. So sums of neighbours do not wait
//! for each other's marks, and finding what was added to costs one step for each 128 numbers that were not.

use crate::reduce::rank;
use crate::simd::Simd;
use crate::{Level, dispatch};

/// Numbers that share a mark: a cache line of f32.
const LINE: usize = 16;

/// Marks for `len` numbers: `ceil(len / 16)`.
///
/// ```
/// assert_eq!((hotrow_kernels::rows::marks(32), hotrow_kernels::rows::marks(33)), (2, 3));
/// ```
pub const fn marks(len: usize) -> usize {
    len.div_ceil(LINE)
}

/// `y[indices[e]] += c * values[e]` for each `e`, in order, and the marks of these numbers: `y` (N), `marks` ([`marks`] of N).
///
/// Indices may repeat. Every level gives the same bits.
///
/// # Panics
///
/// If `indices` and `values` differ in length, `marks` is not as long as `y` needs it, or an index is not below N. Some sums have been
/// taken then.
///
/// ```
/// use hotrow_kernels::rows::{marks, scatter_axpy_marked};
/// let (mut y, mut marked) = ([0.0; 40], [0; marks(40)]);
/// scatter_axpy_marked(&mut y, &mut marked, 2.0, &[3, 33], &[1.0, 10.0]);
/// assert_eq!((y[3], y[33], marked), (2.0, 20.0, [1, 0, 1]));
/// ```
#[track_caller]
pub fn scatter_axpy_marked(y: &mut [f32], marked: &mut [u8], c: f32, indices: &[u32], values: &[f32]) {
    assert_eq!(indices.len(), values.len(), "indices and values differ in length");
    check(y, marked);
    for (&i, &value) in indices.iter().zip(values) {
        y[i as usize] += c * value;
        marked[i as usize / LINE] = 1;
    }
}

/// Length of the scratch of [`top_k_marked`] for `k` numbers.
///
/// ```
/// assert_eq!(hotrow_kernels::rows::top_k_scratch(100), 400);
/// ```
pub const fn top_k_scratch(k: usize) -> usize {
    4 * k
}

/// The `k` largest numbers of marked lines that are not 0, in descending order: `ids` (k) receives their positions, `values` (k) the
/// numbers. Returns how many there are. The rest of `ids` and `values` stays as it was.
///
/// Ties and NaN are ranked as in [`top_k`](crate::reduce::top_k), and every level gives the same. Numbers above the k-th largest of those
/// before are collected in `scratch`, of which the largest k are kept whenever it is full: sums of sparse rows are in no order, so a heap
/// would take in many numbers, each with branches that nobody can predict.
///
/// # Panics
///
/// If `ids` and `values` differ in length, `scratch` is not as long as [`top_k_scratch`] says, `marked` is not as long as `y` needs it, or
/// `y` has more than 2^32 numbers.
///
/// ```
/// use hotrow_kernels::{Level, rows::{marks, scatter_axpy_marked, top_k_marked}};
/// let (mut y, mut marked) = ([0.0; 40], [0; marks(40)]);
/// scatter_axpy_marked(&mut y, &mut marked, 1.0, &[3, 5, 33], &[1.0, -1.0, 10.0]);
/// let (mut ids, mut values, mut scratch) = ([0; 2], [0.0; 2], [0; 8]);
/// assert_eq!(top_k_marked(Level::detect(), &y, &marked, &mut ids, &mut values, &mut scratch), 2);
/// assert_eq!((ids, values), ([33, 3], [10.0, 1.0]));
/// ```
#[track_caller]
pub fn top_k_marked(
    level: Level,
    y: &[f32],
    marked: &[u8],
    ids: &mut [u32],
    values: &mut [f32],
    scratch: &mut [u64],
) -> usize {
    let k = ids.len();
    assert_eq!(k, values.len(), "ids and values differ in length");
    assert_eq!(scratch.len(), top_k_scratch(k), "scratch for {k} numbers");
    assert!(y.len() as u64 <= 1 << 32, "{} numbers have positions beyond u32", y.len());
    check(y, marked);
    if k == 0 {
        return 0;
    }
    let found = dispatch!(level, s => best_of_marked(s, y, marked, k, scratch));
    let best = &mut scratch[..found];
    best.sort_unstable_by_key(|&rank| !rank);
    for ((id, value), rank) in ids.iter_mut().zip(values).zip(best) {
        *id = id_of(*rank);
        *value = y[*id as usize];
    }
    found
}

/// Zeros in place of all numbers of marked lines, and no mark.
///
/// # Panics
///
/// If `marked` is not as long as `y` needs it.
///
/// ```
/// use hotrow_kernels::rows::{clear_marked, marks, scatter_axpy_marked};
/// let (mut y, mut marked) = ([0.0; 40], [0; marks(40)]);
/// scatter_axpy_marked(&mut y, &mut marked, 1.0, &[3, 33], &[1.0, 10.0]);
/// clear_marked(&mut y, &mut marked);
/// assert_eq!((y, marked), ([0.0; 40], [0; 3]));
/// ```
#[track_caller]
pub fn clear_marked(y: &mut [f32], marked: &mut [u8]) {
    check(y, marked);
    let len = y.len();
    for_each_line(marked, |line| y[line_of(len, line)].fill(0.0));
    marked.fill(0);
}

#[track_caller]
fn check(y: &[f32], marked: &[u8]) {
    assert_eq!(marked.len(), marks(y.len()), "marks for {} numbers", y.len());
}

/// Calls `take` with each line that is marked, increasing.
#[inline(always)]
fn for_each_line(marked: &[u8], mut take: impl FnMut(usize)) {
    for (chunk, marks) in marked.chunks(8).enumerate() {
        let mut bytes = [0; 8];
        bytes[..marks.len()].copy_from_slice(marks);
        let mut set = u64::from_le_bytes(bytes);
        while set != 0 {
            take(8 * chunk + set.trailing_zeros() as usize / 8);
            // A mark is 1, the lowest bit of its byte.
            set &= set - 1;
        }
    }
}

#[inline(always)]
fn line_of(len: usize, line: usize) -> std::ops::Range<usize> {
    line * LINE..len.min((line + 1) * LINE)
}

/// The ranks of the `k` best, in any order, at the front of `ranks`; gives their number.
#[inline(always)]
fn best_of_marked<S: Simd>(s: S, y: &[f32], marked: &[u8], k: usize, ranks: &mut [u64]) -> usize {
    let mut best = Best { k, ranks, len: 0, worst: None };
    for_each_line(marked, |line| {
        let range = line_of(y.len(), line);
        let (numbers, from) = (&y[range.clone()], range.start);
        let Some(worst) = best.worst.filter(|_| numbers.len() == LINE) else {
            numbers.iter().zip(from..).for_each(|(&number, id)| best.offer(number, id));
            return;
        };
        let threshold = s.splat(worst);
        for (vector, from) in numbers.chunks_exact(S::LANES).zip((from..).step_by(S::LANES)) {
            let mut above = s.bits(s.gt(s.load(vector), threshold));
            while above != 0 {
                let lane = above.trailing_zeros() as usize;
                best.offer(vector[lane], from + lane);
                above &= above - 1;
            }
        }
    });
    best.select();
    best.len
}

/// The best of the numbers that were offered, and others that came after the last choice.
struct Best<'a> {
    k: usize,
    ranks: &'a mut [u64],
    len: usize,
    /// The k-th best when there was a choice. What is not above it, and stands later, is none of the best. A NaN is never here: any number
    /// is better, and no comparison of floats finds it.
    worst: Option<f32>,
}

impl Best<'_> {
    #[inline(always)]
    fn offer(&mut self, number: f32, id: usize) {
        if number == 0.0 {
            return;
        }
        self.ranks[self.len] = rank(number, id as u32);
        self.len += 1;
        if self.len == self.ranks.len() {
            self.select();
            let worst = number_of(self.ranks[self.k - 1]);
            self.worst = (!worst.is_nan()).then_some(worst);
        }
    }

    /// Keeps the `k` best, the worst of them last.
    fn select(&mut self) {
        if self.len > self.k {
            self.ranks[..self.len].select_nth_unstable_by_key(self.k - 1, |&rank| !rank);
            self.len = self.k;
        }
    }
}

/// What [`rank`] was made of.
fn id_of(rank: u64) -> u32 {
    !rank as u32
}

fn number_of(rank: u64) -> f32 {
    let ordered = (rank >> 32) as u32;
    match ordered {
        0 => f32::NAN,
        _ if ordered >> 31 == 1 => f32::from_bits(ordered & !(1 << 31)),
        _ => f32::from_bits(!ordered),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reduce::top_k;
    use crate::testing::*;
    use proptest::prelude::*;

    /// The definition: dense sums in f64, and the largest of those that were added to.
    fn agrees(len: usize, rows: &[(f32, Vec<(u32, f32)>)], k: usize) {
        let (mut y, mut marked) = (vec![0.0; len], vec![0; marks(len)]);
        let (mut sums, mut magnitudes) = (vec![0.0; len], vec![0.0; len]);
        for (c, row) in rows {
            let (indices, values): (Vec<u32>, Vec<f32>) = row.iter().copied().unzip();
            scatter_axpy_marked(&mut y, &mut marked, *c, &indices, &values);
            for &(i, value) in row {
                sums[i as usize] += f64::from(*c) * f64::from(value);
                magnitudes[i as usize] += (f64::from(*c) * f64::from(value)).abs();
            }
        }
        let terms: usize = rows.iter().map(|(_, row)| row.len()).sum();
        for i in 0..len {
            assert_within(y[i], sums[i], sum_bound(terms, magnitudes[i]), format!("sum {i} of {len}"));
            let added = rows.iter().any(|(_, row)| row.iter().any(|entry| entry.0 as usize / LINE == i / LINE));
            assert_eq!(marked[i / LINE] != 0, added, "mark of {i}");
        }
        // What is 0 cannot be found, so it ranks last here.
        let ranked: Vec<f32> = y.iter().map(|&x| if x == 0.0 { f32::NEG_INFINITY } else { x }).collect();
        let some = y.iter().filter(|&&x| x != 0.0).count();
        at_every_level(|level| {
            let (mut ids, mut values) = (vec![9; k], vec![9.0; k]);
            let mut scratch = vec![0; top_k_scratch(k)];
            let found = top_k_marked(level, &y, &marked, &mut ids, &mut values, &mut scratch);
            assert_eq!(found, k.min(some));
            let (mut want, mut want_values) = (vec![9; k], vec![9.0; k]);
            top_k(level, &ranked, &mut want, &mut want_values);
            assert_eq!((&ids[..found], &values[..found]), (&want[..found], &want_values[..found]));
        });
        clear_marked(&mut y, &mut marked);
        assert!(y.iter().all(|&x| x == 0.0) && marked.iter().all(|&mark| mark == 0));
    }

    #[test]
    fn every_length_and_number_of_best() {
        for len in lengths().skip(1).chain([256, 1000]) {
            let row = |seed: u64| -> Vec<(u32, f32)> {
                let at = |i: usize| (i * 7 + seed as usize) as u32 % len as u32;
                numbers(len.div_ceil(3), seed).into_iter().enumerate().map(|(i, x)| (at(i), x)).collect()
            };
            for k in [0, 1, 3, 40, 300] {
                agrees(len, &[(0.5, row(1)), (-2.0, row(2)), (1.0, row(3))], k);
            }
        }
        agrees(0, &[], 3);
    }

    #[test]
    fn numbers_that_are_not_finite_are_ranked_last_or_first() {
        let (mut y, mut marked) = (vec![0.0; 70], vec![0; marks(70)]);
        let values = [f32::NAN, 1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
        scatter_axpy_marked(&mut y, &mut marked, 1.0, &[0, 17, 18, 40, 69], &values);
        at_every_level(|level| {
            let (mut ids, mut best) = ([0; 2], [0.0; 2]);
            assert_eq!(top_k_marked(level, &y, &marked, &mut ids, &mut best, &mut [0; 8]), 2);
            assert_eq!(ids, [18, 17]);
            let (mut ids, mut best) = ([0; 9], [0.0; 9]);
            assert_eq!(top_k_marked(level, &y, &marked, &mut ids, &mut best, &mut [0; 36]), 5);
            assert_eq!(ids[..5], [18, 17, 40, 0, 69]);
        });
    }

    #[test]
    fn many_numbers_that_are_not_finite_or_equal_keep_their_order() {
        // More of each than the scratch of the best three holds.
        let (mut y, mut marked) = (vec![0.0; 200], vec![0; marks(200)]);
        for (from, value) in [(0, f32::NAN), (40, f32::NEG_INFINITY), (80, -1.0), (120, 2.0), (160, 2.0)] {
            let ids: Vec<u32> = (from..from + 30).collect();
            scatter_axpy_marked(&mut y, &mut marked, 1.0, &ids, &[value; 30]);
        }
        at_every_level(|level| {
            let (mut ids, mut best) = ([0; 3], [0.0; 3]);
            assert_eq!(top_k_marked(level, &y, &marked, &mut ids, &mut best, &mut [0; 12]), 3);
            assert_eq!((ids, best), ([120, 121, 122], [2.0; 3]));
        });
        for number in [-3.5, -0.0, 0.0, 1e-40, 7.0, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!((number_of(rank(number, 9)), id_of(rank(number, 9))), (number, 9));
        }
    }

    #[test]
    #[should_panic(expected = "scratch for 2 numbers")]
    fn scratch_of_another_length_is_refused() {
        top_k_marked(Level::detect(), &[0.0; 3], &[0], &mut [0; 2], &mut [0.0; 2], &mut [0; 7]);
    }

    #[test]
    #[should_panic(expected = "marks for 17 numbers")]
    fn too_few_marks_are_refused() {
        scatter_axpy_marked(&mut [0.0; 17], &mut [0], 1.0, &[], &[]);
    }

    #[test]
    #[should_panic(expected = "index out of bounds")]
    fn an_index_that_is_none_is_refused() {
        scatter_axpy_marked(&mut [0.0; 17], &mut [0; 2], 1.0, &[17], &[1.0]);
    }

    proptest! {
        #[test]
        fn any_rows(
            rows in prop::collection::vec((-2.0f32..2.0, prop::collection::vec((0u32..300, -2.0f32..2.0), 0..40)), 0..8),
            k in 0usize..60,
        ) {
            agrees(300, &rows, k);
        }
    }
}
