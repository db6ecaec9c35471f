//! Sums for few of many ids.

use crate::kernels::Level;
use crate::kernels::rows::{clear_marked, marks, scatter_axpy_marked, top_k_marked, top_k_scratch};
use crate::ragged::Ragged;

/// Ids and values of a sparse vector.
pub(super) type Vector<'a> = (&'a [u32], &'a [f32]);

/// The product of a dense and a sparse vector.
pub(super) fn product(dense: &[f32], x: Vector) -> f32 {
    // Four sums, because one would wait for each addition. Vectors are short, so those of the machine would win nothing.
    let ((ids, values), mut sums) = (x, [0.0; 4]);
    let whole = ids.len() / 4 * 4;
    for (ids, values) in ids[..whole].chunks_exact(4).zip(values.chunks_exact(4)) {
        (0..4).for_each(|lane| sums[lane] += dense[ids[lane] as usize] * values[lane]);
    }
    let rest = ids[whole..].iter().zip(&values[whole..]);
    let rest: f32 = rest.map(|(&id, value)| dense[id as usize] * value).sum();
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

/// The entries of `x` with the lengths of their rows, the shortest row first.
pub(super) fn shortest_first(x: Vector, rows: &Ragged<u32>) -> Vec<(usize, u32, f32)> {
    let entry = |(&id, &value): (&u32, &f32)| (rows.row(id as usize).len(), id, value);
    let mut entries: Vec<(usize, u32, f32)> = x.0.iter().zip(x.1).map(entry).collect();
    entries.sort_unstable_by_key(|&(len, id, _)| (len, id));
    entries
}

/// A sum for each of many ids, of which few are not 0. Emptying it and finding the largest cost what was added, not how many ids there
/// are.
///
/// ```
/// use hotrow::{kernels::Level, parts::Scores};
/// let mut scores = Scores::new(100);
/// scores.add(2.0, &[7, 30], &[1.0, 0.5]);
/// assert_eq!(scores.best(Level::detect(), 5), [(7, 2.0), (30, 1.0)]);
/// scores.clear();
/// assert_eq!(scores.get(7), 0.0);
/// ```
#[derive(Clone, Debug)]
pub struct Scores {
    sums: Vec<f32>,
    marked: Vec<u8>,
}

impl Scores {
    /// For ids below `len`.
    pub fn new(len: usize) -> Self {
        Self { sums: vec![0.0; len], marked: vec![0; marks(len)] }
    }

    /// Adds `c * values[e]` to the sum of `ids[e]`, for each `e`.
    ///
    /// # Panics
    ///
    /// If the two differ in length or an id is none.
    #[track_caller]
    pub fn add(&mut self, c: f32, ids: &[u32], values: &[f32]) {
        scatter_axpy_marked(&mut self.sums, &mut self.marked, c, ids, values);
    }

    /// Adds `c` to the sum of each of `ids`.
    ///
    /// # Panics
    ///
    /// If an id is none.
    #[track_caller]
    pub fn add_each(&mut self, c: f32, ids: &[u32]) {
        const ONES: [f32; 256] = [1.0; 256];
        ids.chunks(ONES.len()).for_each(|ids| self.add(c, ids, &ONES[..ids.len()]));
    }

    /// The sum of `id` becomes `sum`.
    ///
    /// # Panics
    ///
    /// If it is none.
    #[track_caller]
    pub fn set(&mut self, id: u32, sum: f32) {
        self.sums[id as usize] = 0.0;
        self.add(sum, &[id], &[1.0]);
    }

    /// The sum of `id`.
    ///
    /// # Panics
    ///
    /// If it is none.
    #[track_caller]
    pub fn get(&self, id: u32) -> f32 {
        self.sums[id as usize]
    }

    /// The `k` ids with the largest sums that are not 0, best first; of equal ones the lower id.
    pub fn best(&self, level: Level, k: usize) -> Vec<(u32, f32)> {
        let k = k.min(self.sums.len());
        let (mut ids, mut sums, mut scratch) = (vec![0; k], vec![0.0; k], vec![0; top_k_scratch(k)]);
        let found = top_k_marked(level, &self.sums, &self.marked, &mut ids, &mut sums, &mut scratch);
        ids.into_iter().zip(sums).take(found).collect()
    }

    /// All sums become 0.
    pub fn clear(&mut self) {
        clear_marked(&mut self.sums, &mut self.marked);
    }
}
