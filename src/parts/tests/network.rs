//! A network beside other parts.

use super::*;
use crate::config::{Model, Optim};
use crate::model::Mlp;
use crate::module::Module;
use crate::optim::Scope;

/// A network that knows how labels follow from features: both are vectors in which each feature has a place.
fn knowing() -> NetworkPart {
    let level = Level::detect();
    let scope = Scope::fresh(&Optim::default(), 1, level);
    let mut network =
        Mlp::new(&scope, &Model { hidden: vec![FEATURES], ..Model::default() }, FEATURES, LABELS).unwrap();
    for mut tensor in network.weight_tensors_mut() {
        let name = tensor.name.clone();
        let numbers: &mut [f32] = bytemuck::cast_slice_mut(tensor.elements.bytes_mut());
        numbers.fill(0.0);
        for feature in 0..FEATURES {
            match name.as_str() {
                "input.weight" => numbers[feature * FEATURES + feature] = 1.0,
                "output.weight" => numbers[feature / 2 % LABELS * FEATURES + feature] = 9.0,
                _ => {}
            }
        }
    }
    NetworkPart::new(network)
}

#[test]
fn a_network_that_knows_more_counts_most_and_one_that_knows_nothing_is_dropped() {
    let (train, valid, level) = (samples(600, 17), samples(200, 18), Level::detect());
    let parts = Present { counts: true, network: true, ..Present::default() };
    let options = LearnOptions { parts, ..LearnOptions::default() };
    let of = |network: NetworkPart| {
        let mut learner = Learner::new(&train, LABELS, options);
        assert_eq!(learner.others(&train).len(), 540);
        while learner.next_stage() != Some(&Stage::Mixture) {
            learner.step(&train, level);
        }
        assert!(learner.has_done(Stage::is_network));
        learner.add_network(network);
        while learner.step(&train, level).is_some() {}
        learner.into_classifier()
    };
    let (with, alone) =
        (of(knowing()), learned(&train, LearnOptions { parts: Present { network: false, ..parts }, ..options }, 1));
    assert!(with.shares[4] > 0.5 && precision(&with, &valid) >= precision(&alone, &valid), "{:?}", with.shares);
    let x = valid.features.entries(0);
    let mut lookup = with.lookup(level);
    assert_eq!(with.best(x, 3, &mut lookup), with.best_of_all(x, 3, &mut lookup));
    // Its weights are elsewhere, and that they are missing is told.
    let read = Classifier::from_tensors(&with.tensors(), (FEATURES, LABELS), (&options.counts, options.neighbours));
    let mut read = read.unwrap();
    assert!(read.wants_network() && read.network.is_none() && read != with);
    read.network = Some(knowing());
    assert_eq!(read, with);

    // As it was drawn.
    let scope = Scope::fresh(&Optim::default(), 1, level);
    let without = of(NetworkPart::new(Mlp::new(&scope, &Model::default(), FEATURES, LABELS).unwrap()));
    assert!(without.network.is_none() && !without.wants_network() && without.shares[4] == 0.0);
    assert_eq!(precision(&without, &valid), precision(&alone, &valid));
}
