//! Checks that an index keeps the promises of [`Index`]: the indexes of this crate, and your own.
//!
//! It checks the following, with f32 and with bf16 rows:
//!
//! - A query gets at most `k` different rows below the number of rows. This holds for `k` 0 or beyond the number of
//!   rows, without queries, for queries of NaN, infinities and zeros, and before the first rebuild.
//! - Pools of 1, 2, 3 and 8 threads give the same rows, each with an index of its own.
//! - A query gets the same rows alone as among others.
//! - A restored index gives the same rows.
//! - After a rebuild, queries that point at a row find it. After `mark_moved` and another rebuild, so do queries at a row
//!   whose weights have changed. See [`Claims::found`].
//! - The query that a row was inserted for finds it, and the next rebuild forgets it. See [`Claims::inserts`].
//! - An index that [follows the data](Index::follows_data) keeps these promises for the inputs of samples that it has learnt, and names
//!   most labels of samples for their own inputs.
//!
//! It cannot check that rows are found however they are distributed. Locality-sensitive hashing does not promise this.
//! The rows of this kit lie in clusters, and hashing finds nearly all of them.

mod inputs;

use half::bf16;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

use super::{Index, Rows, WeightsRef};
use crate::kernels::{Level, MatRef, UniqueRowIds};
use crate::ragged::Ragged;
use crate::rng::rng;
use crate::tensor::Tensor;

/// The number of rows. With [`DIM`] and [`CLUSTERS`], it is large enough for several buckets a table and several groups
/// of blocks, and small enough for tests without optimisation.
const ROWS: usize = 1500;

/// The length of a row.
const DIM: usize = 24;

/// The clusters of rows.
const CLUSTERS: usize = 50;

/// The rows asked for.
const K: usize = 10;

/// What an index claims.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Claims {
    /// The least share of rows that the query they are best for finds among its 10: 1 for an index that computes all
    /// scores, 0 for one that names no row.
    pub found: f64,
    /// Whether [`Index::insert`] has an effect.
    pub inserts: bool,
}

/// Rows of equal length in clusters, with biases that are small beside the distances between rows.
fn clustered(seed: u64) -> (Vec<f32>, Vec<f32>) {
    let random = &mut rng(seed, "index/conformance", 0);
    let mut normal = |deviation: f32| {
        let z: f32 = StandardNormal.sample(&mut *random);
        z * deviation
    };
    let centres: Vec<f32> = (0..CLUSTERS * DIM).map(|_| normal(1.0)).collect();
    let cluster = |row: usize| &centres[row * 7 % CLUSTERS * DIM..][..DIM];
    let mut weights: Vec<f32> = (0..ROWS).flat_map(|row| cluster(row).to_vec()).map(|w| w + normal(0.4)).collect();
    for row in weights.chunks_mut(DIM) {
        let scale = 5.0 / row.iter().map(|w| w * w).sum::<f32>().sqrt();
        row.iter_mut().for_each(|w| *w *= scale);
    }
    (weights, (0..ROWS).map(|_| normal(0.1)).collect())
}

/// The rows for the queries `weights`: each plus the same vector. This changes all scores of a query equally, so each
/// query is the one that its own row is best for.
fn shifted(weights: &[f32]) -> Vec<f32> {
    weights.iter().enumerate().map(|(i, w)| w + (i % DIM) as f32 * 0.02).collect()
}

/// The first `count` queries.
fn first(queries: &[f32], count: usize) -> MatRef<'_, f32> {
    MatRef::new(&queries[..count * DIM], count, DIM)
}

/// Checks the indexes that `make(rows, dim, level)` makes.
///
/// # Panics
///
/// At the first broken promise, with what was promised and what came.
///
/// ```
/// use hotrow::index::{ExactTopK, conformance::{Claims, check}};
/// check(|_, _, _| Box::new(ExactTopK::default()), Claims { found: 1.0, inserts: false });
/// ```
pub fn check(make: impl Fn(usize, usize, Level) -> Box<dyn Index> + Sync, claims: Claims) {
    let (queries, biases) = clustered(1);
    let weights = shifted(&queries);
    let half: Vec<bf16> = weights.iter().map(|&w| bf16::from_f32(w)).collect();
    let level = Level::detect();
    let rows = Rows { weights: WeightsRef::F32(MatRef::new(&weights, ROWS, DIM)), biases: &biases, level };
    let half_rows = Rows { weights: WeightsRef::Bf16(MatRef::new(&half, ROWS, DIM)), ..rows };

    for rows in [rows, half_rows] {
        let fresh = make(ROWS, DIM, level);
        well_formed(&*fresh, &rows, &queries);
        let mut index = make(ROWS, DIM, level);
        index.rebuild(&rows);
        well_formed(&*index, &rows, &queries);
        found(&*index, &rows, &queries, claims.found);
        alone_as_among_others(&*index, &rows, &queries);
        let mut restored = make(ROWS, DIM, level);
        round_trip(&*index, &mut *restored, &rows, &queries);
        // `index` was built with all threads of this machine.
        for threads in [1, 2, 3, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
            let got = pool.install(|| {
                let mut index = make(ROWS, DIM, level);
                index.rebuild(&rows);
                index.select(&rows, first(&queries, 200), K, 3)
            });
            assert!(
                got == index.select(&rows, first(&queries, 200), K, 3),
                "{}: {threads} threads build and select another index",
                index.name()
            );
        }
    }
    changed_rows_are_found(&make, &queries, &biases, claims.found);
    inserted_rows(&make, &rows, &queries, claims.inserts);
    no_rows(&make);
    if make(ROWS, DIM, level).follows_data() {
        inputs::check(&make);
    }
}

/// Checks one answer.
fn check_answer(index: &dyn Index, answer: &Ragged<u32>, queries: usize, k: usize, rows: usize) {
    let name = index.name();
    assert_eq!(answer.len(), queries, "{name}: answers are not as many as queries");
    for row in answer.iter() {
        assert!(row.len() <= k, "{name}: {} rows where at most {k} were asked for", row.len());
        assert!(row.iter().all(|&id| (id as usize) < rows), "{name}: a row of {row:?} is not below {rows}");
        let mut different = row.to_vec();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), row.len(), "{name}: a row stands twice in {row:?}");
    }
}

fn well_formed(index: &dyn Index, rows: &Rows, queries: &[f32]) {
    let mut strange = vec![0.0; 4 * DIM];
    strange[DIM..2 * DIM].fill(f32::NAN);
    strange[2 * DIM] = f32::INFINITY;
    strange[3 * DIM + 1] = f32::MAX;
    for k in [0, 1, K, ROWS + 5] {
        for (queries, count) in [(queries, 20), (queries, 0), (&strange[..], 4)] {
            let answer = index.select(rows, first(queries, count), k, 0);
            check_answer(index, &answer, count, k, ROWS);
        }
    }
}

fn found(index: &dyn Index, rows: &Rows, queries: &[f32], least: f64) {
    let answer = index.select(rows, first(queries, ROWS), K, 0);
    let found = answer.iter().enumerate().filter(|(row, ids)| ids.contains(&(*row as u32))).count();
    let share = found as f64 / ROWS as f64;
    assert!(share >= least, "{}: {share} of the rows are found where {least} are claimed", index.name());
}

fn alone_as_among_others(index: &dyn Index, rows: &Rows, queries: &[f32]) {
    let together = index.select(rows, first(queries, 37), K, 5);
    for q in 0..37 {
        let alone = index.select(rows, MatRef::new(&queries[q * DIM..][..DIM], 1, DIM), K, 5);
        assert_eq!(alone.row(0), together.row(q), "{}: query {q} depends on the others", index.name());
    }
}

fn round_trip(index: &dyn Index, restored: &mut dyn Index, rows: &Rows, queries: &[f32]) {
    let name = index.name();
    restored.restore(&index.state()).unwrap_or_else(|error| panic!("{name}: its own state is refused: {error}"));
    let queries = first(queries, 100);
    assert_eq!(index.select(rows, queries, K, 9), restored.select(rows, queries, K, 9), "{name}: restored");
    // An error names any missing tensor and leaves everything as it was.
    let state = index.state();
    for missing in 0..state.len() {
        let others: Vec<Tensor> =
            state.iter().enumerate().filter(|(i, _)| *i != missing).map(|(_, t)| t.clone()).collect();
        if restored.restore(&others).is_err() {
            let again = restored.select(rows, queries, K, 9);
            assert_eq!(index.select(rows, queries, K, 9), again, "{name}: a refused state has changed the index");
        }
    }
    let (before, after) = (index.statistics(), restored.statistics());
    assert_eq!(before, after, "{name}: statistics of the restored index");
}

fn changed_rows_are_found(
    make: &impl Fn(usize, usize, Level) -> Box<dyn Index>,
    queries: &[f32],
    biases: &[f32],
    least: f64,
) {
    let level = Level::detect();
    let mut index = make(ROWS, DIM, level);
    let (mut queries, mut weights) = (queries.to_vec(), shifted(queries));
    index.rebuild(&Rows { weights: WeightsRef::F32(MatRef::new(&weights, ROWS, DIM)), biases, level });
    // Every fifth row moves to the place of another.
    let touched: Vec<u32> = (0..ROWS as u32).step_by(5).collect();
    let before = queries.clone();
    for (i, &row) in touched.iter().enumerate() {
        let from = touched[(i + 7) % touched.len()] as usize * DIM;
        queries[row as usize * DIM..][..DIM].copy_from_slice(&before[from..from + DIM]);
    }
    weights.copy_from_slice(&shifted(&queries));
    let rows = Rows { weights: WeightsRef::F32(MatRef::new(&weights, ROWS, DIM)), biases, level };
    index.mark_moved(&rows, UniqueRowIds::new(&touched, ROWS).expect("increasing and below the rows"));
    index.rebuild(&rows);
    well_formed(&*index, &rows, &queries);
    found(&*index, &rows, &queries, least);
}

fn inserted_rows(make: &impl Fn(usize, usize, Level) -> Box<dyn Index>, rows: &Rows, queries: &[f32], inserts: bool) {
    let mut index = make(ROWS, DIM, rows.level);
    index.rebuild(rows);
    let queries = first(queries, 64);
    let before = index.select(rows, queries, K, 0);
    // Two unrelated rows for each query.
    let random = &mut rng(2, "index/conformance", 0);
    let ids: Ragged<u32> =
        (0..64).map(|_| (0..2).map(|_| random.random_range(0..ROWS as u32)).collect::<Vec<_>>()).collect();
    for from in [0, 16] {
        let part: Vec<f32> = (from..from + 48).flat_map(|q| queries.row(q).to_vec()).collect();
        index.insert(MatRef::new(&part, 48, DIM), &(from..from + 48).map(|q| ids.row(q).to_vec()).collect());
    }
    let after = index.select(rows, queries, K, 0);
    check_answer(&*index, &after, 64, K, ROWS);
    let name = index.name();
    if inserts {
        for q in 0..64 {
            let all = ids.row(q).iter().all(|id| after.row(q).contains(id));
            assert!(all, "{name}: {:?} was inserted for query {q}, which finds {:?}", ids.row(q), after.row(q));
        }
    } else {
        assert_eq!(before, after, "{name}: inserting changes what it finds, but it claims to ignore it");
    }
    let mut restored = make(ROWS, DIM, rows.level);
    restored.restore(&index.state()).unwrap_or_else(|error| panic!("{name}: its own state is refused: {error}"));
    assert_eq!(restored.select(rows, queries, K, 0), after, "{name}: inserted rows are lost in the state");
    index.rebuild(rows);
    check_answer(&*index, &index.select(rows, queries, K, 0), 64, K, ROWS);
}

fn no_rows(make: &impl Fn(usize, usize, Level) -> Box<dyn Index>) {
    let level = Level::detect();
    let mut index = make(0, DIM, level);
    let rows = Rows { weights: WeightsRef::F32(MatRef::new(&[], 0, DIM)), biases: &[], level };
    index.rebuild(&rows);
    check_answer(&*index, &index.select(&rows, MatRef::new(&[1.0; DIM], 1, DIM), K, 0), 1, 0, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{IndexName, IndexOptions};

    fn check_named(name: IndexName, change: impl Fn(&mut IndexOptions) + Sync, claims: Claims) {
        let make = |rows, dim, level| {
            let mut config = IndexOptions { index: name, ..IndexOptions::default() };
            change(&mut config);
            super::super::new(&config, 7, rows, dim, level).unwrap()
        };
        check(make, claims);
    }

    #[test]
    fn indexes_that_guess_nothing_conform() {
        check_named(IndexName::Random, |_| (), Claims { found: 0.0, inserts: false });
        check_named(IndexName::All, |_| (), Claims { found: 0.0, inserts: false });
    }

    #[test]
    fn exact_conforms_and_finds_every_row() {
        check_named(IndexName::Exact, |_| (), Claims { found: 1.0, inserts: false });
    }

    #[test]
    fn blocks_conform() {
        check_named(IndexName::Blocks, |_| (), Claims { found: 0.95, inserts: true });
        check_named(IndexName::Blocks, |config| config.block = 7, Claims { found: 0.9, inserts: true });
    }

    /// Each query is its own row, but for the bias: it has the row's own codes in nearly all tables.
    #[test]
    fn hash_tables_conform() {
        for name in [IndexName::Simhash, IndexName::Dwta, IndexName::CrossPolytope] {
            check_named(name, |_| (), Claims { found: 0.9, inserts: true });
        }
        // Sets of 3 of the 24 coordinates are soon shared by more rows than a bucket gives.
        check_named(IndexName::Minhash, |_| (), Claims { found: 0.75, inserts: true });
        let probes = |config: &mut IndexOptions| (config.probes, config.tables) = (2, 8);
        check_named(IndexName::CrossPolytope, probes, Claims { found: 0.9, inserts: true });
    }

    /// Rows at random would be among the best once in 150. Measured: SimHash and cross-polytope 0.99, blocks 0.99, DWTA 0.9,
    /// MinHash 0.6.
    #[test]
    fn most_of_the_best_rows_are_found() {
        let (queries, biases) = clustered(3);
        let (weights, level) = (shifted(&queries), Level::detect());
        let rows = Rows { weights: WeightsRef::F32(MatRef::new(&weights, ROWS, DIM)), biases: &biases, level };
        let queries = first(&queries, 300);
        let best = crate::index::ExactTopK::default().select(&rows, queries, K, 0);
        let bounds = [
            (IndexName::Blocks, 0.95),
            (IndexName::Simhash, 0.95),
            (IndexName::CrossPolytope, 0.95),
            (IndexName::Dwta, 0.8),
            (IndexName::Minhash, 0.5),
        ];
        for (name, least) in bounds {
            let mut index =
                super::super::new(&IndexOptions { index: name, ..IndexOptions::default() }, 1, ROWS, DIM, level)
                    .unwrap();
            index.rebuild(&rows);
            let found = index.select(&rows, queries, K, 0);
            let hits: usize = (0..300).map(|q| best.row(q).iter().filter(|id| found.row(q).contains(id)).count()).sum();
            let recall = hits as f64 / (300 * K) as f64;
            assert!(recall >= least, "{name:?}: {recall}");
        }
    }

    #[test]
    fn inverted_conforms() {
        check_named(IndexName::Inverted, |_| (), Claims { found: 0.0, inserts: false });
        check_named(IndexName::Inverted, |config| config.block = 3, Claims { found: 0.0, inserts: false });
    }

    #[test]
    #[should_panic(expected = "claimed")]
    fn a_false_claim_is_seen() {
        check_named(IndexName::Random, |_| (), Claims { found: 0.1, inserts: false });
    }
}
