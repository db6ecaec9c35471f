//! Checks indexes that name rows by the inputs of samples.

use rand::RngExt;

use super::{K, check_answer};
use crate::index::Index;
use crate::kernels::Level;
use crate::ragged::Ragged;
use crate::rng::rng;
use crate::sparse::SparseBatch;

const SAMPLES: usize = 300;
const FEATURES: usize = 100;
const LABELS: usize = 200;

/// Samples of three features that come with their label, and two at random.
fn samples() -> (SparseBatch, Ragged<u32>) {
    let random = &mut rng(4, "index/conformance", 0);
    let (mut features, mut labels) = (SparseBatch::new(FEATURES), Ragged::new());
    for _ in 0..SAMPLES {
        let label = random.random_range(0..LABELS as u32);
        let of_label = (0..3).map(|i| label * 13 % 89 + 4 * i).collect::<Vec<_>>();
        let bag: Vec<u32> =
            of_label.into_iter().chain((0..2).map(|_| random.random_range(0..FEATURES as u32))).collect();
        features.push_bag(&bag, &[1.0, 0.5, 2.0, 0.2, -0.2]).expect("ids below the dimension");
        labels.push([label]);
    }
    (features, labels)
}

fn first(inputs: &SparseBatch, count: usize) -> SparseBatch {
    let mut part = SparseBatch::new(inputs.dim());
    (0..count).for_each(|sample| part.push_row(inputs.row(sample)));
    part
}

pub(super) fn check(make: &(impl Fn(usize, usize, Level) -> Box<dyn Index> + Sync)) {
    let (inputs, labels) = samples();
    let make = || make(LABELS, super::DIM, Level::detect());
    let well_formed = |index: &dyn Index| {
        for (k, count) in [0, 1, K, LABELS + 5].into_iter().flat_map(|k| [(k, 0), (k, 20)]) {
            check_answer(index, &index.select_by_inputs(&first(&inputs, count), k), count, k, LABELS);
        }
    };
    well_formed(&*make());
    let learnt = || {
        let mut index = make();
        index.learn(&inputs, &labels);
        index
    };
    let index = learnt();
    well_formed(&*index);
    let (name, found) = (index.name(), index.select_by_inputs(&inputs, K));
    let right = found.iter().zip(labels.iter()).filter(|(found, own)| found.contains(&own[0])).count();
    assert!(2 * right >= SAMPLES, "{name}: {right} of {SAMPLES} samples find their label");
    for sample in 0..37 {
        let alone = index.select_by_inputs(&one(&inputs, sample), K);
        assert_eq!(alone.row(0), found.row(sample), "{name}: sample {sample} depends on the others");
    }
    for threads in [1, 2, 3, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
        let got = pool.install(|| learnt().select_by_inputs(&inputs, K));
        assert_eq!(got, found, "{name}: {threads} threads learn and select another index");
    }
    let mut restored = make();
    restored.restore(&index.state()).unwrap_or_else(|error| panic!("{name}: its own state is refused: {error}"));
    assert_eq!(restored.select_by_inputs(&inputs, K), found, "{name}: restored");
    assert_eq!(restored.statistics(), index.statistics(), "{name}: statistics of the restored index");
    // Samples of a later file may be longer.
    let mut longer = SparseBatch::new(2 * FEATURES);
    longer.push(&[3, 2 * FEATURES as u32 - 1], &[1.0, 1.0]).expect("ids below the dimension");
    check_answer(&*index, &index.select_by_inputs(&longer, K), 1, K, LABELS);
}

fn one(inputs: &SparseBatch, sample: usize) -> SparseBatch {
    let mut part = SparseBatch::new(inputs.dim());
    part.push_row(inputs.row(sample));
    part
}
