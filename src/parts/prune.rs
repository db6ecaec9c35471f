//! Parts that are made smaller.

use crate::ragged::Ragged;
use crate::sparse::SparseBatch;

/// Shares `bytes` among parts that want so many of them, in proportion to their weights: what one does not want is left to the others.
pub(super) fn allot(bytes: u64, wanted: [u64; 3], weights: [f64; 3]) -> [u64; 3] {
    let (mut given, mut open, mut left) = ([0; 3], [true; 3], bytes);
    loop {
        let total: f64 = (0..3).filter(|&part| open[part]).map(|part| weights[part]).sum();
        let share = |part: usize| if total > 0.0 { (left as f64 * weights[part] / total) as u64 } else { 0 };
        match (0..3).find(|&part| open[part] && wanted[part] <= share(part)) {
            Some(part) => {
                (given[part], open[part]) = (wanted[part], false);
                left -= wanted[part];
            }
            None => {
                (0..3).filter(|&part| open[part]).for_each(|part| given[part] = share(part));
                return given;
            }
        }
    }
}

/// Whether each number is among the `most` largest; of equal ones the first.
pub(super) fn among_largest(numbers: &[f32], most: usize) -> Vec<bool> {
    let mut kept = vec![most >= numbers.len(); numbers.len()];
    if most > 0 && most < numbers.len() {
        let mut order: Vec<u32> = (0..numbers.len() as u32).collect();
        let rank = |&a: &u32, &b: &u32| numbers[b as usize].total_cmp(&numbers[a as usize]).then(a.cmp(&b));
        order.select_nth_unstable_by(most - 1, rank);
        order[..most].iter().for_each(|&at| kept[at as usize] = true);
    }
    kept
}

/// The items of `rows` that are kept, and the `values` beside them.
pub(super) fn retained<T: Copy>(rows: &Ragged<u32>, values: &[T], kept: &[bool]) -> (Ragged<u32>, Vec<T>) {
    let mut left = Ragged::new();
    for range in rows.offsets().windows(2).map(|pair| pair[0]..pair[1]) {
        left.push(range.filter(|&at| kept[at]).map(|at| rows.items()[at]));
    }
    (left, values.iter().zip(kept).filter(|(_, kept)| **kept).map(|(&value, _)| value).collect())
}

/// The mean size of the values of each feature, among the vectors that have it.
pub(super) fn typical(samples: &SparseBatch) -> Vec<f32> {
    let mut sums = vec![(0.0_f32, 0_u32); samples.dim()];
    for (&feature, value) in samples.indices().iter().zip(samples.values()) {
        let (sum, count) = &mut sums[feature as usize];
        (*sum, *count) = (*sum + value.abs(), *count + 1);
    }
    sums.iter().map(|&(sum, count)| sum / count.max(1) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_where_they_count_and_none_is_lost() {
        assert_eq!(allot(1000, [100, 200, 300], [0.2, 0.3, 0.5]), [100, 200, 300]);
        assert_eq!(allot(100, [1000, 1000, 1000], [0.2, 0.3, 0.5]), [20, 30, 50]);
        // What counts do not want goes to the others, by their weights.
        assert_eq!(allot(100, [10, 1000, 1000], [0.5, 0.2, 0.3]), [10, 36, 54]);
        assert_eq!(allot(100, [0, 0, 0], [0.0; 3]), [0; 3]);
        assert_eq!(allot(100, [50, 1000, 0], [0.0, 1.0, 0.0]), [0, 100, 0]);
    }

    #[test]
    fn the_largest_are_kept_in_their_places() {
        let kept = among_largest(&[1.0, 3.0, 3.0, -1.0, 2.0], 3);
        assert_eq!(kept, [false, true, true, false, true]);
        assert_eq!(among_largest(&[2.0, 2.0, 2.0], 2), [true, true, false]);
        assert_eq!([0, 5].map(|most| among_largest(&[1.0, 2.0], most)), [[false; 2], [true; 2]]);
        let rows = Ragged::from_iter([vec![4, 7], vec![], vec![1, 2, 9]]);
        let (left, values) = retained(&rows, &['a', 'b', 'c', 'd', 'e'], &kept);
        assert_eq!((left.iter().collect::<Vec<_>>(), values), (vec![&[7][..], &[], &[1, 9]], vec!['b', 'c', 'e']));
    }
}
