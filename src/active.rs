//! Active sets: the rows that take part in a step. They are the labels, the hits of an index, and a random tail.
//!
//! The tail stands for all other rows. Let `H` be the labels and hits, and `T` the `m` rows drawn uniformly from the
//! others. A sample's partition function `Z = sum over all rows of exp(z)` is estimated by
//! `sum over H of exp(z) + (rows - |H|) / m * sum over T of exp(z)`. Given `H`, which does not depend on the draw, the
//! estimate is unbiased (Spring and Shrivastava 2017; Mussmann and Ermon 2016). So tail rows enter with
//! `log((rows - |H|) / m)` added to their logits, and the rows of `H` with nothing.

use rand::{Rng, RngExt};

use crate::kernels::UniqueRowIds;
use crate::optim::RowSet;
use crate::order::ByRow;

/// The size of active sets, and what they consist of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActiveOptions {
    /// Rows of the layer.
    pub rows: usize,
    /// Rows in a set. A set with more labels than this has more rows.
    pub active: usize,
    /// The share of `active` that is drawn at random.
    pub tail: f32,
    /// Whether random rows are weighted by the inverse of their probability.
    pub correction: bool,
}

/// The active rows that several samples share.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActiveSet {
    /// Increasing; empty if all rows take part.
    rows: Vec<u32>,
    /// What is added to the logit of each row; empty if nothing is.
    log_weights: Vec<f32>,
    /// The number of rows, if all take part.
    all: Option<usize>,
    /// Rows of the layer.
    limit: usize,
    /// How many rows came from where.
    pub sources: Sources,
}

/// Counts of rows by their source.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sources {
    /// The samples' labels.
    pub labels: usize,
    /// The index.
    pub hits: usize,
    /// The random tail.
    pub tail: usize,
}

impl std::ops::AddAssign for Sources {
    fn add_assign(&mut self, other: Sources) {
        self.labels += other.labels;
        self.hits += other.hits;
        self.tail += other.tail;
    }
}

impl ActiveSet {
    /// The set of all rows: nothing is listed and no logit is corrected.
    ///
    /// ```
    /// assert_eq!(hotrow::active::ActiveSet::all(7).len(), 7);
    /// ```
    pub fn all(rows: usize) -> Self {
        Self { all: Some(rows), limit: rows, ..Self::default() }
    }

    /// The set of these rows of `limit`. No logit is corrected.
    ///
    /// # Panics
    ///
    /// If the rows do not increase strictly, or one is not below `limit`.
    ///
    /// ```
    /// assert_eq!(hotrow::active::ActiveSet::of(vec![2, 5], 7).listed(), [2, 5]);
    /// ```
    #[track_caller]
    pub fn of(rows: Vec<u32>, limit: usize) -> Self {
        UniqueRowIds::new(&rows, limit).expect("increasing rows of the layer");
        Self { rows, limit, ..Self::default() }
    }

    /// The rows, increasing; empty if all rows take part.
    pub fn listed(&self) -> &[u32] {
        &self.rows
    }

    /// The number of active rows.
    pub fn len(&self) -> usize {
        self.all.unwrap_or(self.rows.len())
    }

    /// Whether no row is active.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows in the form that layers take.
    pub fn rows(&self) -> RowSet<'_> {
        match self.all {
            Some(rows) => RowSet::All(rows),
            None => RowSet::Some(UniqueRowIds::new(&self.rows, self.limit).expect("checked when it was made")),
        }
    }

    /// Drops the weights of random rows. Hidden layers need none: they estimate no sum over all rows.
    pub fn uncorrected(&mut self) {
        self.log_weights.clear();
    }

    /// The number of rows of the layer, active or not.
    pub fn rows_of_layer(&self) -> usize {
        self.limit
    }

    /// What is added to the logit of each row; `None` if nothing is.
    pub fn log_weights(&self) -> Option<&[f32]> {
        (!self.log_weights.is_empty()).then_some(&self.log_weights)
    }
}

/// Makes active sets. It keeps one bit a row, so only the sets are allocated.
#[derive(Debug)]
pub struct Selector {
    options: ActiveOptions,
    /// A bit for each row: whether it is in the set that is being made. The bits of 670 091 rows (84 KB) stay in the
    /// second-level cache; a word for each row did not.
    marks: Vec<u64>,
}

impl Selector {
    /// A selector for the rows of one layer.
    ///
    /// ```
    /// use hotrow::active::{ActiveOptions, Selector};
    /// use hotrow::rng::rng;
    /// let options = ActiveOptions { rows: 1000, active: 10, tail: 0.5, correction: true };
    /// let hits = [&[5, 6][..], &[7, 5]];
    /// let set = Selector::new(options).shared([&[3][..], &[9]], &hits, &mut rng(1, "tail", 0));
    /// assert_eq!((set.len(), set.sources.labels, set.sources.hits, set.sources.tail), (10, 2, 3, 5));
    /// assert!([3, 5, 6, 7, 9].iter().all(|&row| set.rows().position(row).is_some()));
    /// ```
    pub fn new(options: ActiveOptions) -> Self {
        Self { options, marks: vec![0; options.rows.div_ceil(64)] }
    }

    /// One set for several samples. It holds all `labels`. Then come the hits: the best of each sample before the
    /// second-best of any, while there is room. The random tail fills the rest.
    ///
    /// # Panics
    ///
    /// If a label or a hit is not a row.
    #[track_caller]
    pub fn shared<'a>(
        &mut self,
        labels: impl IntoIterator<Item = &'a [u32]>,
        hits: &[&[u32]],
        rng: &mut impl Rng,
    ) -> ActiveSet {
        let ActiveOptions { rows, active, tail, .. } = self.options;
        let active = active.min(rows);
        let mut set = ActiveSet { limit: rows, ..ActiveSet::default() };
        labels.into_iter().flatten().for_each(|&label| self.add(label, &mut set.rows));
        set.sources.labels = set.rows.len();

        let tail = (tail * active as f32).round() as usize;
        let room = active.saturating_sub(tail);
        let deepest = hits.iter().map(|hits| hits.len()).max().unwrap_or(0);
        'full: for rank in 0..deepest {
            for sample in hits {
                if set.rows.len() >= room {
                    break 'full;
                }
                if let Some(&row) = sample.get(rank) {
                    self.add(row, &mut set.rows);
                }
            }
        }
        set.sources.hits = set.rows.len() - set.sources.labels;

        let hard = set.rows.len();
        let tail = active.saturating_sub(hard).max(tail).min(rows - hard);
        self.fill(tail, &mut set.rows, rng);
        set.sources.tail = tail;
        self.finish(&mut set, hard);
        set
    }

    fn marked(&self, row: u32) -> bool {
        self.marks[row as usize / 64] >> (row % 64) & 1 == 1
    }

    fn add(&mut self, row: u32, rows: &mut Vec<u32>) {
        assert!((row as usize) < self.options.rows, "row {row} of {}", self.options.rows);
        if !self.marked(row) {
            self.marks[row as usize / 64] |= 1 << (row % 64);
            rows.push(row);
        }
    }

    /// Adds `count` rows that are not marked, each with the same probability.
    fn fill(&mut self, count: usize, rows: &mut Vec<u32>, rng: &mut impl Rng) {
        let goal = rows.len() + count;
        // Draws again if a row is taken: at most two draws a row on average while half of the rows are free.
        while rows.len() < goal && goal <= self.options.rows / 2 {
            self.add(rng.random_range(0..self.options.rows as u32), rows);
        }
        // Nearly all rows are wanted. So this walks the free rows in order and keeps each with the probability that
        // makes the count come out right (selection sampling, Knuth 3.4.2).
        let mut free = self.options.rows - rows.len();
        for row in 0..self.options.rows as u32 {
            if rows.len() == goal {
                break;
            }
            if !self.marked(row) {
                if rng.random_range(0..free) < goal - rows.len() {
                    self.add(row, rows);
                }
                free -= 1;
            }
        }
    }

    /// Sorts the rows and clears their marks. The rows after the first `hard` are the tail.
    fn finish(&mut self, set: &mut ActiveSet, hard: usize) {
        set.rows.iter().for_each(|&row| self.marks[row as usize / 64] = 0);
        let (rows, tail) = (self.options.rows, set.rows.len() - hard);
        let sorted = ByRow::new(set.rows.iter().copied());
        set.rows = sorted.rows;
        if tail != rows - hard && tail != 0 && self.options.correction {
            let weight = ((rows - hard) as f64 / tail as f64).ln() as f32;
            let of = |&at: &u32| if at as usize >= hard { weight } else { 0.0 };
            set.log_weights = sorted.entries.iter().map(of).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::rng;
    use proptest::prelude::*;

    fn options(rows: usize, active: usize, tail: f32) -> ActiveOptions {
        ActiveOptions { rows, active, tail, correction: true }
    }

    #[test]
    fn hits_are_cut_by_rank_and_not_by_sample() {
        let hits = [&[1, 2, 3][..], &[11, 12, 13], &[21, 22, 23]];
        let set = Selector::new(options(100, 5, 0.0)).shared([], &hits, &mut rng(1, "tail", 0));
        assert_eq!(set.rows, [1, 2, 11, 12, 21]);
    }

    #[test]
    fn labels_are_in_the_set_even_when_they_are_more_than_its_size() {
        let labels: Vec<u32> = (0..50).collect();
        let set = Selector::new(options(100, 10, 0.5)).shared([&labels[..]], &[], &mut rng(1, "tail", 0));
        assert_eq!((set.sources.labels, set.sources.tail), (50, 5));
    }

    /// The mean over many draws of the estimated partition function is the partition function. Each draw deviates by at
    /// most `max(z) * rows`; by Hoeffding's inequality the mean of 20 000 draws deviates by more than 2.5 % of that with a
    /// probability below 2 exp(-2 * 20 000 * 0.025^2), about 3e-11.
    #[test]
    fn the_estimate_of_the_partition_function_is_unbiased() {
        let rows = 60;
        let z: Vec<f64> = (0..rows).map(|row| (row % 7) as f64 / 7.0).collect();
        let exact: f64 = z.iter().sum();
        let mut selector = Selector::new(options(rows, 20, 0.25));
        let hits: Vec<u32> = (10..20).collect();
        let draws = 20_000;
        let mean = (0..draws)
            .map(|draw| {
                let set = selector.shared([&[3][..]], &[&hits], &mut rng(1, "tail", draw));
                let weights = set.log_weights().unwrap();
                set.rows.iter().zip(weights).map(|(&row, w)| (*w as f64).exp() * z[row as usize]).sum::<f64>()
            })
            .sum::<f64>()
            / draws as f64;
        assert!((mean - exact).abs() < 0.025 * rows as f64, "{mean} is not {exact}");
    }

    proptest! {
        #[test]
        fn sets_have_the_rows_they_must_have_and_no_row_twice(
            rows in 1_usize..200,
            active in 0_usize..250,
            tail in 0.0_f32..=1.0,
            picks in prop::collection::vec((0_u32..200, 0_u32..200), 0..40),
            seed: u64,
        ) {
            let labels: Vec<u32> = picks.iter().map(|pick| pick.0 % rows as u32).collect();
            let hits: Vec<u32> = picks.iter().map(|pick| pick.1 % rows as u32).collect();
            let set = Selector::new(options(rows, active, tail)).shared([&labels[..]], &[&hits], &mut rng(seed, "tail", 0));
            prop_assert!(set.rows.is_sorted_by(|a, b| a < b));
            prop_assert!(set.rows.iter().all(|&row| (row as usize) < rows));
            prop_assert!(labels.iter().all(|&label| set.rows().position(label).is_some()));
            prop_assert!(set.len() >= active.min(rows));
            prop_assert!(set.log_weights().is_none_or(|weights| weights.len() == set.len()));
            let Sources { labels, hits, tail } = set.sources;
            prop_assert_eq!(labels + hits + tail, set.len());
        }
    }
}
