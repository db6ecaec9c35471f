//! Classifiers without a network: whatever the tensors of a checkpoint hold, they are refused, or what they make answers, without a
//! panic.
#![no_main]

use std::sync::LazyLock;

use hotrow::checkpoint::{OwnedElements, OwnedTensor};
use hotrow::data::Batch;
use hotrow::kernels::Level;
use hotrow::parts::{Classifier, LearnOptions, Learner};
use hotrow::tensor::{Elements, Tensor};
use hotrow_fuzz::Input;
use libfuzzer_sys::fuzz_target;

const FEATURES: usize = 12;
const LABELS: usize = 9;

/// The tensors of a good classifier.
static GOOD: LazyLock<Vec<OwnedTensor>> = LazyLock::new(|| {
    let mut samples = Batch::new(FEATURES);
    for i in 0..60 {
        samples.features.push(&[i % 7, 7 + i % 5], &[0.8, 0.6]).expect("increasing features");
        samples.labels.push([i % 9]);
    }
    let mut learner = Learner::new(&samples, LABELS, LearnOptions::default());
    while learner.step(&samples, Level::detect()).is_some() {}
    learner.classifier().tensors().iter().map(owned).collect()
});

fn owned(tensor: &Tensor) -> OwnedTensor {
    let elements = match tensor.elements {
        Elements::F32(x) => OwnedElements::F32(x.to_vec()),
        Elements::Bf16(x) => OwnedElements::Bf16(x.to_vec()),
        Elements::U8(x) => OwnedElements::U8(x.to_vec()),
        Elements::U32(x) => OwnedElements::U32(x.to_vec()),
        Elements::U64(x) => OwnedElements::U64(x.to_vec()),
    };
    OwnedTensor { name: tensor.name.clone(), shape: tensor.shape.clone(), elements }
}

fuzz_target!(|data: &[u8]| {
    let (mut input, mut tensors) = (Input::new(data), GOOD.clone());
    for _ in 0..input.up_to(6) {
        change(&mut input, &mut tensors);
    }
    let views: Vec<Tensor> = tensors.iter().map(OwnedTensor::view).collect();
    let options = LearnOptions::default();
    let of = (&options.counts, options.neighbours);
    let Ok(classifier) = Classifier::from_tensors(&views, (FEATURES, LABELS), of) else { return };
    // A run that is not done yet has rows for some labels only, and nobody asks it.
    if classifier.linear.as_ref().is_some_and(|linear| linear.labels() != LABELS) {
        return;
    }
    let mut lookup = classifier.lookup(Level::detect());
    let ids = input.increasing_ids(FEATURES);
    let values = input.floats(ids.len());
    let k = input.up_to(LABELS + 2);
    assert!(classifier.best((&ids, &values), k, &mut lookup).len() <= k);
    assert_eq!(classifier.best_of_all((&ids, &values), k, &mut lookup).len(), k.min(LABELS));
});

/// Changes, cuts or takes away a tensor.
fn change(input: &mut Input, tensors: &mut Vec<OwnedTensor>) {
    let Some(last) = tensors.len().checked_sub(1) else { return };
    let at = input.up_to(last);
    match input.up_to(3) {
        0 => drop(tensors.remove(at)),
        1 => {
            let length = match &mut tensors[at].elements {
                OwnedElements::F32(x) => cut(input, x),
                OwnedElements::U32(x) => cut(input, x),
                OwnedElements::U64(x) => cut(input, x),
                OwnedElements::Bf16(x) => cut(input, x),
                OwnedElements::U8(x) => cut(input, x),
            };
            tensors[at].shape = vec![length];
        }
        _ => match &mut tensors[at].elements {
            OwnedElements::F32(x) if !x.is_empty() => {
                let place = input.up_to(x.len() - 1);
                x[place] = f32::from_bits(input.bits());
            }
            OwnedElements::U32(x) if !x.is_empty() => {
                let place = input.up_to(x.len() - 1);
                x[place] = input.bits() >> input.up_to(31);
            }
            OwnedElements::U64(x) if !x.is_empty() => {
                let place = input.up_to(x.len() - 1);
                x[place] = (u64::from(input.bits()) << 32 | u64::from(input.bits())) >> input.up_to(63);
            }
            _ => {}
        },
    }
}

fn cut<T: Clone>(input: &mut Input, elements: &mut Vec<T>) -> usize {
    elements.truncate(input.up_to(elements.len()));
    elements.len()
}
