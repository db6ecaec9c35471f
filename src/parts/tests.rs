//! The parts against their definitions, and a classifier that is built, saved and asked.

use super::descent::Random;
use super::*;
use crate::data::Batch;
use crate::kernels::Level;
use crate::ragged::Ragged;

mod learner;
mod network;

const FEATURES: usize = 60;
const LABELS: usize = 30;

/// Samples whose labels follow from some of their features.
fn samples(count: usize, seed: u64) -> Batch {
    let (mut random, mut batch) = (Random(seed), Batch::new(FEATURES));
    for _ in 0..count {
        let mut ids: Vec<u32> = (0..4).map(|_| random.below(FEATURES) as u32).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut labels: Vec<u32> = ids.iter().take(2).map(|&id| id / 2 % LABELS as u32).collect();
        if random.below(4) == 0 {
            labels.push(random.below(LABELS) as u32);
        }
        labels.sort_unstable();
        labels.dedup();
        let value = 1.0 / (ids.len() as f32).sqrt();
        batch.features.push(&ids, &vec![value; ids.len()]).unwrap();
        batch.labels.push(labels);
    }
    batch
}

/// The samples without one of them.
fn without(samples: &Batch, left_out: usize) -> Batch {
    let mut fewer = Batch::new(FEATURES);
    for sample in (0..samples.len()).filter(|&sample| sample != left_out) {
        fewer.features.push_row(samples.features.row(sample));
        fewer.labels.push(samples.labels.row(sample).iter().copied());
    }
    fewer
}

fn counts(samples: &Batch, row: usize) -> CountMemory {
    let options = CountOptions { row, ..CountOptions::default() };
    CountMemory::new(samples, &postings(&samples.features), LABELS, &options)
}

fn scores(memory: &CountMemory, x: (&[u32], &[f32]), left_out: Option<&[u32]>) -> Vec<f32> {
    let mut scores = Scores::new(LABELS);
    memory.add_to(x, left_out, &mut scores);
    (0..LABELS as u32).map(|label| scores.get(label)).collect()
}

#[test]
fn counts_score_as_defined() {
    let (samples, query) = (samples(200, 1), samples(20, 2));
    let memory = counts(&samples, LABELS);
    for sample in 0..query.len() {
        let x = query.features.entries(sample);
        for (label, got) in (0..).zip(scores(&memory, x, None)) {
            let of = |f: u32| {
                let has = |s: &usize| samples.features.entries(*s).0.contains(&f);
                let all = (0..samples.len()).filter(has);
                let both = all.clone().filter(|&s| samples.labels.row(s).contains(&label)).count() as f64;
                both * both.ln_1p() / (2.0 + all.count() as f64)
            };
            let want: f64 = x.0.iter().zip(x.1).map(|(&f, &value)| f64::from(value) * of(f)).sum();
            assert!((f64::from(got) - want).abs() <= 1e-5 * want.max(1.0), "{sample} {label}: {got} {want}");
        }
    }
}

#[test]
fn a_sample_left_out_is_as_if_it_had_never_been() {
    let samples = samples(150, 3);
    let (memory, near) = (counts(&samples, LABELS), neighbours(&samples));
    let mut lookup = Lookup::new(FEATURES, LABELS, samples.len(), Level::detect());
    for sample in [0, 7, 149] {
        let (x, fewer) = (samples.features.entries(sample), without(&samples, sample));
        let got = scores(&memory, x, Some(samples.labels.row(sample)));
        let want = scores(&counts(&fewer, LABELS), x, None);
        got.iter().zip(&want).for_each(|(got, want)| assert!((got - want).abs() < 1e-5, "{sample}: {got} {want}"));

        let got = near.nearest(x, Some(sample as u32), &mut lookup);
        let want = neighbours(&fewer).nearest(x, None, &mut lookup);
        let number = |id: u32| id + u32::from(id as usize >= sample);
        assert_eq!(got, want.into_iter().map(|(id, product)| (number(id), product)).collect::<Vec<_>>());
    }
}

fn neighbours(samples: &Batch) -> NeighbourMemory {
    // Everything is looked at and compared.
    let options = NeighbourOptions { nearest: 10, looked_at: 1 << 20, compared: 1 << 20 };
    NeighbourMemory::new(samples.features.clone(), samples.labels.clone(), options)
}

#[test]
fn neighbours_are_the_samples_with_the_largest_products() {
    let (samples, query) = (samples(200, 4), samples(10, 5));
    let memory = neighbours(&samples);
    let mut lookup = Lookup::new(FEATURES, LABELS, samples.len(), Level::detect());
    for at in 0..query.len() {
        let product = |sample| crate::kernels::rows::sparse_dot(samples.features.row(sample), query.features.row(at));
        let mut want: Vec<f32> = (0..samples.len()).map(product).filter(|&product| product > 0.0).collect();
        want.sort_by(|a, b| b.total_cmp(a));
        want.truncate(10);
        let got = memory.nearest(query.features.entries(at), None, &mut lookup);
        assert_eq!(got.len(), want.len());
        for (&(sample, got), want) in got.iter().zip(want) {
            assert!((got - want).abs() < 1e-6 && (product(sample as usize) - got).abs() < 1e-6);
        }
    }
}

#[test]
fn a_feature_remembers_the_labels_that_came_most_often() {
    let mut samples = Batch::new(1);
    for label in [2, 0, 2, 1, 1, 2] {
        samples.features.push(&[0], &[1.0]).unwrap();
        samples.labels.push([label]);
    }
    let memory = |row| {
        let options = CountOptions { row, ..CountOptions::default() };
        CountMemory::new(&samples, &postings(&samples.features), LABELS, &options)
    };
    let found = |row| -> Vec<u32> {
        let mut scores = Scores::new(LABELS);
        memory(row).add_to((&[0], &[1.0]), None, &mut scores);
        scores.best(Level::detect(), 9).into_iter().map(|(label, _)| label).collect()
    };
    assert_eq!((found(9), found(2), found(1), found(0)), (vec![2, 1, 0], vec![2, 1], vec![2], vec![]));
}

/// At the optimum the weights follow from the margins: `w = sum 2 C y max(0, 1 - y f(x)) x`.
#[test]
fn linear_rows_are_at_the_optimum_of_their_objective() {
    let samples = samples(120, 6);
    let positives = neighbours::transposed(samples.labels.iter(), LABELS, samples.labels.items().len());
    let negatives: Ragged<u32> =
        (0..LABELS).map(|label| (0..120).filter(|s| !positives.row(label).contains(s)).collect::<Vec<u32>>()).collect();
    let options = LinearOptions { passes: 3000, tolerance: 1e-5, cut: 0.0, ..LinearOptions::default() };
    let mut linear = SparseLinear::new(FEATURES);
    linear.train(&samples, &positives, &negatives, 0..LABELS, &options, None);
    for label in (0..LABELS as u32).filter(|&label| !positives.row(label as usize).is_empty()) {
        let (mut want, mut bias) = (vec![0.0_f64; FEATURES], 0.0);
        for sample in 0..samples.len() {
            let x = samples.features.entries(sample);
            let sign = if samples.labels.row(sample).contains(&label) { 1.0 } else { -1.0 };
            let margin = f64::from(linear.margin(label, x));
            let dual = 2.0 * f64::from(options.cost) * (1.0 - sign * margin).max(0.0) * sign;
            x.0.iter().zip(x.1).for_each(|(&f, &value)| want[f as usize] += dual * f64::from(value));
            bias += dual;
        }
        let zero = linear.margin(label, (&[], &[]));
        assert!((f64::from(zero) - bias).abs() < 2e-3, "{label}: bias {zero} {bias}");
        for f in 0..FEATURES as u32 {
            let got = f64::from(linear.margin(label, (&[f], &[1.0])) - zero);
            assert!((got - want[f as usize]).abs() < 2e-3, "{label} {f}: {got} {}", want[f as usize]);
        }
    }
}

#[test]
fn samples_left_out_and_labels_without_samples_have_no_say() {
    let samples = samples(60, 7);
    let positives = neighbours::transposed(samples.labels.iter(), LABELS + 1, samples.labels.items().len());
    let negatives: Ragged<u32> =
        (0..=LABELS).map(|label| if label == 3 { vec![] } else { vec![label as u32, 50] }).collect();
    let mut left_out = vec![false; 60];
    left_out[50] = true;
    let train = |negatives: &Ragged<u32>, left_out: Option<&[bool]>| {
        let mut linear = SparseLinear::new(FEATURES);
        linear.train(&samples, &positives, negatives, 0..10, &LinearOptions::default(), left_out);
        linear.train(&samples, &positives, negatives, 10..LABELS + 1, &LinearOptions::default(), left_out);
        linear
    };
    let positive = |label: usize| positives.row(label).contains(&50);
    let marked = train(&negatives, Some(&left_out));
    let removed: Ragged<u32> = negatives.iter().map(|row| row.iter().copied().filter(|&s| s != 50)).collect();
    let plain = train(&removed, None);
    let x = samples.features.entries(9);
    for label in (0..LABELS).filter(|&label| !positive(label)) {
        assert_eq!(marked.margin(label as u32, x), plain.margin(label as u32, x));
    }
    assert_eq!(plain.margin(LABELS as u32, x), -1.0);
}

fn learned(samples: &Batch, options: LearnOptions, threads: usize) -> Classifier {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let mut learner = Learner::new(samples, LABELS, options);
        let mut stages = 0;
        while learner.step(samples, Level::detect()).is_some() {
            stages += 1;
            assert_eq!(learner.progress().0, stages);
        }
        assert_eq!(learner.progress().1, stages);
        learner.into_classifier()
    })
}

/// The share of samples whose best label is right.
fn precision(classifier: &Classifier, samples: &Batch) -> f64 {
    let mut lookup = classifier.lookup(Level::detect());
    let right = (0..samples.len()).filter(|&sample| {
        let best = classifier.best(samples.features.entries(sample), 1, &mut lookup);
        best.first().is_some_and(|(label, _)| samples.labels.row(sample).contains(label))
    });
    right.count() as f64 / samples.len() as f64
}

#[test]
fn the_parts_together_are_better_than_each_alone_and_threads_change_nothing() {
    let (train, valid) = (samples(2000, 8), samples(300, 9));
    // Few pairs are exhaustive, so that memories name the negatives.
    let options = LearnOptions { exhaustive: 100, hard: 5, random: 20, ..LearnOptions::default() };
    let all = learned(&train, options, 1);
    assert_eq!(all, learned(&train, options, 3));
    let alone = |parts| precision(&learned(&train, LearnOptions { parts, ..options }, 2), &valid);
    let none = Present::default();
    let together = precision(&all, &valid);
    assert!(together > 0.9, "{together}");
    for parts in
        [Present { counts: true, ..none }, Present { neighbours: true, ..none }, Present { linear: true, ..none }]
    {
        let alone = alone(parts);
        assert!(alone > 0.5 && together >= alone - 0.01, "{parts:?}: {alone}, together {together}");
    }
    let exhaustive = learned(&train, LearnOptions::default(), 2);
    assert!(precision(&exhaustive, &valid) > 0.9);
}

#[test]
fn candidates_are_scored_as_if_all_labels_were() {
    let (train, valid) = (samples(400, 12), samples(100, 13));
    let classifier = learned(&train, LearnOptions::default(), 2);
    let mut lookup = classifier.lookup(Level::detect());
    for sample in 0..valid.len() {
        let x = valid.features.entries(sample);
        assert_eq!(classifier.best(x, 3, &mut lookup), classifier.best_of_all(x, 3, &mut lookup), "{sample}");
        assert_eq!(classifier.best_of_all(x, LABELS, &mut lookup).len(), LABELS);
    }
}

#[test]
fn long_rows_that_are_read_for_a_few_labels_give_whole_margins() {
    // All samples have feature 0, so its row has a weight for each label.
    let (labels, mut samples) = (700, Batch::new(701));
    for label in 0..labels {
        samples.features.push(&[0, label + 1], &[0.6, 0.8]).unwrap();
        samples.labels.push([label]);
    }
    let positives: Ragged<u32> = (0..labels).map(|label| [label]).collect();
    let negatives: Ragged<u32> = (0..labels).map(|label| [(label + 1) % labels]).collect();
    let options = LinearOptions { cut: 0.0, ..LinearOptions::default() };
    let mut linear = SparseLinear::new(701);
    // In pieces, since a row may become long when labels are added.
    linear.train(&samples, &positives, &negatives, 0..400, &options, None);
    linear.train(&samples, &positives, &negatives, 400..labels as usize, &options, None);
    let x: (&[u32], &[f32]) = (&[0, 7, 9], &[0.3, 0.5, -0.2]);
    let (mut whole, mut short) = (Scores::new(700), Scores::new(700));
    assert_eq!((linear.add_to(x, &mut whole), linear.add_short_to(x, &mut short)), (704, 4));
    let named = [0, 5, 6, 8, 699];
    let mut margins = named.map(|label| (label, short.get(label)));
    assert_eq!(linear.add_long(x, &mut margins), 5);
    for (label, margin) in margins {
        assert!((margin - whole.get(label)).abs() <= 1e-6, "{label}");
        assert!((margin + linear.bias(label) - linear.margin(label, x)).abs() <= 1e-6, "{label}");
    }
}

#[test]
fn a_classifier_comes_back_from_its_tensors_and_others_are_refused() {
    let options = LearnOptions::default();
    let classifier = learned(&samples(300, 10), options, 2);
    let tensors = classifier.tensors();
    let read = |tensors: &[crate::tensor::Tensor], labels| {
        Classifier::from_tensors(tensors, (FEATURES, labels), (&options.counts, options.neighbours))
    };
    assert_eq!(read(&tensors, LABELS).unwrap(), classifier);
    for at in 0..tensors.len() {
        let mut fewer = tensors.clone();
        let name = fewer.remove(at).name;
        let answer = read(&fewer, LABELS);
        // Without its offsets a part is not there at all, and older versions did not say how many candidates they search.
        assert!(
            name == "labels.searched" || name.ends_with(".offsets") || answer.unwrap_err().contains(&name),
            "{name}"
        );
    }
    assert!(read(&tensors, LABELS - 1).is_err());
}

#[test]
fn candidates_are_as_many_as_labels_of_a_sample_want() {
    let searched = |labels: usize, set: usize| {
        let labels = Ragged::from_iter(vec![(0..labels as u32).collect::<Vec<_>>(); 3]);
        LearnOptions { searched: set, ..LearnOptions::default() }.searched(&labels)
    };
    assert_eq!(
        [searched(0, 0), searched(2, 0), searched(13, 0), searched(99, 0), searched(99, 7)],
        [40, 40, 65, 100, 7]
    );
    assert_eq!(LearnOptions::default().searched(&Ragged::new()), 40);
}

#[test]
fn a_sample_without_known_features_gets_frequent_labels() {
    let mut samples = Batch::new(4);
    for label in [7, 7, 7, 3, 3, 5] {
        samples.features.push(&[0], &[1.0]).unwrap();
        samples.labels.push([label]);
    }
    let counts = Present { counts: true, ..Present::default() };
    let classifier = learned(&samples, LearnOptions { parts: counts, ..LearnOptions::default() }, 1);
    let best = classifier.best((&[], &[]), 3, &mut classifier.lookup(Level::detect()));
    assert_eq!(best.iter().map(|entry| entry.0).collect::<Vec<_>>(), [7, 3, 5]);
    let known = classifier.best((&[0], &[1.0]), 9, &mut classifier.lookup(Level::detect()));
    assert_eq!(known.len(), 9);
}

#[test]
fn nothing_to_learn_from_is_no_panic() {
    let empty = Batch::new(FEATURES);
    let classifier = learned(&empty, LearnOptions::default(), 1);
    let mut lookup = classifier.lookup(Level::detect());
    assert!(classifier.best((&[1], &[1.0]), 3, &mut lookup).len() <= 3);
    let mut one = Batch::new(FEATURES);
    one.features.push(&[], &[]).unwrap();
    one.labels.push([4]);
    let classifier = learned(&one, LearnOptions::default(), 1);
    classifier.best((&[], &[]), 3, &mut classifier.lookup(Level::detect()));
}
