use super::*;
use crate::index::WeightsRef;
use crate::rng::rng;
use rand::RngExt;

fn rows<'a>(weights: &'a [f32], biases: &'a [f32], dim: usize) -> Rows<'a> {
    let weights = WeightsRef::F32(MatRef::new(weights, biases.len(), dim));
    Rows { weights, biases, level: Level::detect() }
}

fn random_rows(count: usize, dim: usize, seed: u64) -> Vec<f32> {
    let mut random = rng(seed, "test/hashed", 0);
    (0..count * dim).map(|_| random.random_range(-1.0..1.0)).collect()
}

#[test]
fn marked_rows_are_hashed_as_a_fresh_index_hashes_them_while_the_mean_stays() {
    let (count, dim) = (3000, 16);
    let (mut weights, biases) = (random_rows(count, dim, 1), vec![0.0; count]);
    for hash in [HashName::SimHash, HashName::CrossPolytope, HashName::Dwta, HashName::MinHash] {
        let options = HashOptions { hash, ..HashOptions::default() };
        let mut index = Hashed::new(options, 1, count, dim, Level::detect()).unwrap();
        index.rebuild(&rows(&weights, &biases, dim));
        let centre = index.centre.mean().to_vec();
        // Two rows change places: the mean stays.
        for i in 0..dim {
            weights.swap(7 * dim + i, 2900 * dim + i);
        }
        index.mark_moved(&rows(&weights, &biases, dim), UniqueRowIds::new(&[7, 2900], count).unwrap());
        index.rebuild(&rows(&weights, &biases, dim));
        assert_eq!(index.centre.mean(), centre);
        let mut fresh = Hashed::new(options, 1, count, dim, Level::detect()).unwrap();
        fresh.centre = Centre::at(centre, true);
        fresh.touched.fill(u64::MAX);
        fresh.rebuild(&rows(&weights, &biases, dim));
        assert_eq!(index.tables.chosen, fresh.tables.chosen, "{hash:?}");
    }
}

#[test]
fn the_mean_is_followed_when_it_has_moved_far_and_then_all_rows_are_hashed() {
    let (count, dim) = (500, 16);
    let (mut weights, biases) = (random_rows(count, dim, 1), vec![0.0; count]);
    let mut index = Hashed::new(HashOptions::default(), 1, count, dim, Level::detect()).unwrap();
    index.rebuild(&rows(&weights, &biases, dim));
    let before = index.tables.chosen.clone();
    weights.iter_mut().for_each(|w| *w += 5.0);
    index.rebuild(&rows(&weights, &biases, dim));
    assert!(index.centre.mean()[..dim].iter().all(|mean| (4.5..5.5).contains(mean)));
    // All rows moved by the same vector: less the mean they are what they were, but for rounding.
    let same = index.tables.chosen.iter().zip(&before).filter(|(after, before)| after == before).count();
    assert!(same as f64 > 0.99 * before.len() as f64, "{same} of {}", before.len());
}

#[test]
fn a_bucket_of_all_rows_gives_others_at_each_step_and_no_more_than_its_share() {
    let (count, dim) = (5000, 8);
    // All rows but ten are alike, and the mean is not quite theirs: they point at the query.
    let (mut weights, biases) = (vec![1.0; count * dim], vec![0.0; count]);
    weights[..10 * dim].fill(-1.0);
    let mut index = Hashed::new(HashOptions::default(), 1, count, dim, Level::detect()).unwrap();
    index.rebuild(&rows(&weights, &biases, dim));
    assert!(index.statistics().largest_bucket >= count - 10);
    let at = |step| index.select(&rows(&weights, &biases, dim), MatRef::new(&[10.0; 8], 1, 8), 16, step);
    assert_eq!(at(1).items().len(), 16);
    assert_eq!(at(1), at(1));
    let steps: Vec<_> = (0..20).map(at).collect();
    assert!(steps.windows(2).any(|pair| pair[0] != pair[1]), "{steps:?}");
}

#[test]
fn more_tables_or_codes_than_can_be_are_errors_of_the_configuration() {
    for (codes, tables, key) in [(33, 4, "codes"), (4, 0, "tables"), (0, 0, "tables"), (4, 1 << 23, "tables")] {
        for hash in [HashName::SimHash, HashName::CrossPolytope, HashName::Dwta, HashName::MinHash] {
            let options = HashOptions { hash, codes, tables, ..HashOptions::default() };
            let error = Hashed::new(options, 1, 1000, 16, Level::detect()).unwrap_err();
            assert!(error.to_string().starts_with(&format!("sparse.{key}: ")), "{hash:?}: {error}");
        }
    }
}
