use super::*;
use proptest::prelude::*;
use serde::Deserialize;

/// What `tests/data/ranking.py` has other software compute.
#[derive(Deserialize)]
struct Fixture {
    labels: usize,
    train: Vec<Vec<u32>>,
    truth: Vec<Vec<u32>>,
    predicted: Vec<Vec<u32>>,
    plain: BTreeMap<String, f64>,
    scored: BTreeMap<String, Scored>,
}

#[derive(Deserialize)]
struct Scored {
    inverse: Vec<f64>,
    #[serde(flatten)]
    figures: BTreeMap<String, f64>,
}

/// Both sides add `n` doubles of size 1 at most, in different order: each addition errs by half of 2^-52 relative to the
/// sum, so a mean by `n * 2^-52` at most on both sides together.
fn close(a: f64, b: f64, n: usize) -> bool {
    (a - b).abs() <= (n + 8) as f64 * f64::EPSILON
}

#[test]
fn figures_are_those_of_napkinxc_and_scikit_learn() {
    let fixture: Fixture = serde_json::from_str(include_str!("../../tests/data/ranking.json")).unwrap();
    let counts = count_labels(fixture.labels, fixture.train.iter().flatten());
    assert!(fixture.truth.iter().any(Vec::is_empty), "the fixture should have samples without labels");
    for (name, constants) in [("default", Propensity::default()), ("amazon", Propensity::AMAZON)] {
        let scored = &fixture.scored[name];
        let inverse = constants.inverse(fixture.train.len() as u64, &counts);
        for (label, (&got, &want)) in inverse.iter().zip(&scored.inverse).enumerate() {
            // A logarithm, two powers and four operations, each right to a few units in the last place.
            assert!((got - want).abs() <= 16.0 * f64::EPSILON * want, "{name}, label {label}: {got}, not {want}");
        }
        let mut ranking = Ranking::new(&[1, 3, 5], Some(inverse));
        for (predicted, truth) in fixture.predicted.iter().zip(&fixture.truth) {
            ranking.add(predicted, truth);
        }
        let metrics = ranking.metrics();
        let want: BTreeMap<_, _> = fixture.plain.iter().chain(&scored.figures).collect();
        assert!(metrics.keys().eq(want.keys().copied()), "{:?}", metrics.keys());
        for (key, &want) in want {
            // A term of PSP has seven roundings or so of its own, from the propensities.
            assert!(
                close(metrics[key], want, 2 * fixture.truth.len()),
                "{name}: {key} is {}, not {want}",
                metrics[key]
            );
        }
    }
}

#[test]
fn missing_predictions_and_missing_labels_count_as_wrong() {
    let mut ranking = Ranking::new(&[1, 5], Some(Propensity::default().inverse(10, &[1, 1, 1])));
    ranking.add(&[1], &[0, 1]);
    ranking.add(&[2, 0], &[]);
    ranking.add(&[], &[2]);
    assert_eq!(ranking.samples(), 3);
    assert_eq!(ranking.precision(1), 1.0 / 3.0);
    assert_eq!(ranking.precision(5), 1.0 / 15.0);
    assert_eq!(ranking.recall(5), 0.5 / 3.0);
    // All labels weigh the same: one of three that could be found.
    assert!(close(ranking.propensity_scored(5).unwrap(), 1.0 / 3.0, 3));
}

#[test]
fn nothing_seen_is_zero_and_not_nan() {
    for inverse in [None, Some(Propensity::default().inverse(10, &[1]))] {
        assert!(Ranking::new(&[1, 3], inverse).metrics().values().all(|&value| value == 0.0));
    }
}

#[test]
fn wrong_calls_are_told() {
    let add = |predicted: &[u32], truth: &[u32]| {
        let (predicted, truth) = (predicted.to_vec(), truth.to_vec());
        std::panic::catch_unwind(move || {
            Ranking::new(&[2], Some(Inverse::new(vec![1.0; 4], 1.0))).add(&predicted, &truth);
        })
        .is_err()
    };
    assert!(add(&[1, 1], &[1]) && add(&[1], &[2, 1]) && add(&[1], &[2, 2]) && add(&[4], &[4]));
    assert!(!add(&[9, 8], &[1]), "a wrong prediction needs no propensity");
    assert!(std::panic::catch_unwind(|| Ranking::new(&[0], None)).is_err());
}

const LABELS: u32 = 30;

/// Distinct predictions, and true labels in order.
type Sample = (Vec<u32>, Vec<u32>);

/// Samples, and a training count for each label.
fn samples() -> impl Strategy<Value = (Vec<Sample>, Vec<u64>)> {
    let all: Vec<u32> = (0..LABELS).collect();
    let predicted = prop::sample::subsequence(all.clone(), 0..8).prop_shuffle();
    let truth = prop::sample::subsequence(all, 0..12);
    (prop::collection::vec((predicted, truth), 0..30), prop::collection::vec(0_u64..200, LABELS as usize))
}

fn ranking(counts: &[u64]) -> Ranking {
    Ranking::new(&[1, 3, 5], Some(Propensity::default().inverse(1000, counts)))
}

fn fed(counts: &[u64], samples: &[Sample]) -> Ranking {
    let mut fed = ranking(counts);
    samples.iter().for_each(|(predicted, truth)| fed.add(predicted, truth));
    fed
}

proptest! {
    #[test]
    fn every_metric_lies_between_zero_and_one((samples, counts) in samples()) {
        for (key, value) in fed(&counts, &samples).metrics() {
            prop_assert!((0.0..=1.0 + f64::EPSILON).contains(&value), "{key} is {value}");
        }
    }

    #[test]
    fn the_best_ranking_has_ndcg_and_psp_of_one((samples, counts) in samples()) {
        let inverse = Propensity::default().inverse(1000, &counts);
        let mut best = ranking(&counts);
        let labelled: Vec<_> = samples.into_iter().map(|(_, truth)| truth).filter(|truth| !truth.is_empty()).collect();
        prop_assume!(!labelled.is_empty());
        for truth in &labelled {
            let mut order = truth.clone();
            order.sort_by(|&a, &b| inverse[b as usize].total_cmp(&inverse[a as usize]));
            best.add(&order, truth);
        }
        for k in [1, 3, 5] {
            prop_assert!(close(best.ndcg(k), 1.0, labelled.len()));
            prop_assert_eq!(best.propensity_scored(k), Some(1.0));
        }
        prop_assert_eq!(best.precision(1), 1.0);
    }

    #[test]
    fn names_of_labels_do_not_matter(
        (samples, counts) in samples(),
        names in Just((0..LABELS).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let rename = |labels: &[u32]| labels.iter().map(|&label| names[label as usize]).collect::<Vec<_>>();
        let renamed: Vec<_> = samples.iter().map(|(predicted, truth)| {
            let mut truth = rename(truth);
            truth.sort_unstable();
            (rename(predicted), truth)
        }).collect();
        let mut renamed_counts = vec![0; counts.len()];
        for (label, &count) in counts.iter().enumerate() {
            renamed_counts[names[label] as usize] = count;
        }
        prop_assert_eq!(fed(&counts, &samples).metrics(), fed(&renamed_counts, &renamed).metrics());
    }

    #[test]
    fn parts_merged_in_any_order_are_the_whole_to_the_bit((samples, counts) in samples(), size in 1_usize..7) {
        let whole = fed(&counts, &samples);
        let parts: Vec<_> = samples.chunks(size).map(|part| fed(&counts, part)).collect();
        let (mut forth, mut back) = (ranking(&counts), ranking(&counts));
        parts.iter().for_each(|part| forth.merge(part));
        parts.iter().rev().for_each(|part| back.merge(part));
        prop_assert_eq!(forth.metrics(), whole.metrics());
        prop_assert_eq!(back.metrics(), whole.metrics());
    }
}
