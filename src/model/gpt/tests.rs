mod parts;
mod refusals;

use crate::optim::Scope;
use std::f64::consts::LN_2;

use proptest::prelude::*;
use rand::RngExt;

use super::*;
use crate::config::lm::model::{Activation, Precision};
use crate::config::{Optim, OptimizerName};
use crate::kernels::Level;
use crate::kernels::reduce::log_sum_exp;
use crate::rng::rng;
use crate::tensor::ElementsMut;

const VOCABULARY: usize = 23;

/// Two layers that are small enough to move each weight in turn.
fn small() -> Model {
    Model { width: 12, layers: 2, heads: 3, context: 11, precision: Precision::F32, ..Model::default() }
}

fn sgd() -> Optim {
    Optim { name: OptimizerName::Sgd, lr: 1.0, ..Optim::default() }
}

fn tokens(count: usize, vocabulary: usize, salt: u64) -> (Vec<u32>, Vec<u32>) {
    let mut rng = rng(3, "tokens", salt);
    let all: Vec<u32> = (0..=count).map(|_| rng.random_range(0..vocabulary as u32)).collect();
    (all[..count].to_vec(), all[1..].to_vec())
}

/// A network whose weights are large enough for every part to matter, and whose gains are not all alike.
fn network(model: &Model, optim: &Optim, vocabulary: usize) -> Gpt {
    let mut gpt =
        Gpt::new(&Scope::fresh(optim, 5, Level::detect()), &model.clone().into(), vocabulary, vec![]).unwrap();
    for tensor in gpt.weight_tensors_mut() {
        let ElementsMut::F32(elements) = tensor.elements else { panic!("weights are f32") };
        if tensor.name.ends_with("gain") {
            elements.iter_mut().enumerate().for_each(|(i, gain)| *gain = 0.75 + 0.25 * (i % 3) as f32);
        } else {
            let factor = if tensor.name.starts_with("blocks") { 2.0 } else { 15.0 };
            elements.iter_mut().for_each(|weight| *weight *= factor);
        }
    }
    gpt
}

fn step(optim: &Optim, number: u32) -> Step {
    Step { number, lr: optim.lr, grad_scale: 1.0, seed: 1 }
}

fn with<R>(gpt: &mut Gpt, tensor: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    match &mut gpt.weight_tensors_mut()[tensor].elements {
        ElementsMut::F32(elements) => f(elements),
        _ => panic!("weights are f32"),
    }
}

fn losses(gpt: &mut Gpt, tokens: &[u32], targets: &[u32], length: usize) -> Vec<f32> {
    let mut losses = vec![0.0; tokens.len()];
    gpt.losses(&mut Workspace::new(Level::detect()), tokens, targets, length, &mut losses);
    losses
}

/// A step of plain gradient descent with a learning rate of 1 moves each weight by its gradient.
fn check(model: Model) {
    let (length, optim) = (model.context - 1, sgd());
    let (tokens, targets) = tokens(3 * length, VOCABULARY, 0);
    let mut gpt = network(&model, &optim, VOCABULARY);
    let work = &mut Workspace::new(Level::detect());
    let mut stepped = network(&model, &optim, VOCABULARY);
    let value = stepped.accumulate(work, &tokens, &targets, length);
    stepped.update(work, &step(&optim, 1));
    let count = gpt.weight_tensors().len();
    let mut loss = |tensor: usize, at: usize, by: f32| -> f64 {
        let before = with(&mut gpt, tensor, |w| {
            let moved = w[at] + by;
            std::mem::replace(&mut w[at], moved)
        });
        let sum = losses(&mut gpt, &tokens, &targets, length).iter().map(|&loss| loss as f64).sum();
        with(&mut gpt, tensor, |w| w[at] = before);
        sum
    };
    assert!((loss(0, 0, 0.0) - value).abs() < 1e-5 * value, "both passes compute the same loss");
    for tensor in 0..count {
        let after = with(&mut stepped, tensor, |w| w.to_vec());
        for at in (0..after.len()).step_by(after.len().div_ceil(11)) {
            let mut before = network(&model, &optim, VOCABULARY);
            let gradient = with(&mut before, tensor, |w| w[at] - after[at]) as f64;
            let h = 1.0 / 64.0;
            let [wide, far, near] =
                [h, h / 2.0, h / 4.0].map(|h| (loss(tensor, at, h) - loss(tensor, at, -h)) / (2.0 * h as f64));
            // Each of 30 losses is rounded relative to itself, by the few roundings of sums of some ten terms in each of
            // eight products above each other; weights are rounded when they move, the gradient with a weight below 16.
            let rounding = 4.0 * 8.0 * f32::EPSILON as f64 * value / (h as f64 / 4.0) + 16.0 * f32::EPSILON as f64;
            // The error of a central difference falls to a quarter with half the step: `far - near` is three of them. Where
            // a ReLU's bend lies in between, its square has a slope but the error falls to a half only: `wide` knows.
            let bound = (far - near).abs() + (wide - far).abs() / 2.0 + rounding;
            let name = &stepped.weight_tensors()[tensor].name;
            assert!((near - gradient).abs() <= bound, "{model:?}: {name}[{at}]: {near} is not {gradient} +- {bound}");
            assert!(bound < 0.05 * (1.0 + value), "{name}[{at}]: {bound} shows nothing");
        }
    }
}

#[test]
fn a_tied_model_follows_the_gradient() {
    check(small());
}

#[test]
fn an_untied_model_with_swiglu_follows_the_gradient() {
    check(Model { tied: false, activation: Activation::Swiglu, feed_forward: 20, ..small() });
}

#[test]
fn a_model_with_a_window_and_without_norms_of_queries_follows_the_gradient() {
    check(Model { window: 3, qk_norm: false, ..small() });
}

/// Every tensor of a run's weights and state.
fn bits(gpt: &Gpt) -> Vec<Vec<u8>> {
    gpt.weight_tensors().into_iter().chain(gpt.state_tensors()).map(|t| t.elements.bytes().to_vec()).collect()
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let model = Model { width: 24, heads: 2, layers: 2, context: 150, window: 70, ..Model::default() };
    for (precision, tied) in [(Precision::Bf16, true), (Precision::F32, false)] {
        let model = Model { precision, tied, ..model.clone() };
        let optim = Optim { name: OptimizerName::AdamDense, lr: 1e-3, ..Optim::default() };
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                // More tokens than a piece of the head, more of the vocabulary than a task has.
                let mut gpt =
                    Gpt::new(&Scope::fresh(&optim, 5, Level::detect()), &model.clone().into(), 2000, vec![]).unwrap();
                let (tokens, targets) = tokens(600, 2000, 1);
                let work = &mut Workspace::new(Level::detect());
                let mut seen = Vec::new();
                for number in 1..=2 {
                    seen.push(gpt.accumulate(work, &tokens, &targets, 150).to_bits());
                    seen.push(gpt.accumulate(work, &targets[..150], &tokens[..150], 75).to_bits());
                    seen.push(gpt.gradient_norm(work).to_bits());
                    gpt.update(work, &step(&optim, number));
                }
                (seen, bits(&gpt))
            })
        };
        let one = run(1);
        assert!(f64::from_bits(one.0[0]) > 600.0 * LN_2);
        assert!((2..=3).all(|threads| run(threads) == one));
    }
}

/// Logits of a network are sums of `width` terms on top of a stream that passed `10 layers` products and norms, each rounded
/// by `terms * eps` of what it sums; norms keep everything near 1, and weights here triple an error a layer at most.
fn rounding(model: &Model, logits: &[f32]) -> f32 {
    let terms = (model.inner() + model.context) as f32;
    let largest = logits.iter().fold(1.0_f32, |most, logit| most.max(logit.abs()));
    10.0 * model.layers as f32 * terms * f32::EPSILON * 3_f32.powi(model.layers as i32) * largest
}

#[test]
fn a_cache_changes_no_logit() {
    for (window, qk_norm) in [(0, true), (9, false)] {
        let model = Model { width: 24, heads: 2, context: 40, window, qk_norm, ..small() };
        let mut gpt = network(&model, &sgd(), VOCABULARY);
        let (tokens, targets) = tokens(40, VOCABULARY, 2);
        let want = losses(&mut gpt, &tokens, &targets, 40);
        let (work, mut cache, mut logits) = (&mut Workspace::new(Level::detect()), gpt.cache(), vec![0.0; VOCABULARY]);
        let check = |cache: &KvCache, logits: &[f32]| {
            let last = cache.len() - 1;
            let loss = log_sum_exp(Level::detect(), logits, None) - logits[targets[last] as usize];
            let bound = rounding(&model, logits);
            assert!((loss - want[last]).abs() <= bound, "{last}: {loss} is not {} +- {bound}", want[last]);
            assert!(bound < 0.2, "{bound} shows nothing");
        };
        // A prompt, single tokens, and some at once.
        let mut from = 0;
        for count in [7, 1, 1, 1, 5, 1, 20, 4] {
            gpt.next(work, &mut cache, &tokens[from..from + count], &mut logits);
            from += count;
            check(&cache, &logits);
        }
        // What was forgotten is computed again.
        cache.truncate(5);
        gpt.next(work, &mut cache, &tokens[5..6], &mut logits);
        check(&cache, &logits);
    }
}

#[test]
fn micro_batches_add_up() {
    let (model, optim) = (small(), sgd());
    let (tokens, targets) = tokens(40, VOCABULARY, 3);
    let work = &mut Workspace::new(Level::detect());
    let [mut whole, mut parts] = [(); 2].map(|()| network(&model, &optim, VOCABULARY));
    let loss = whole.accumulate(work, &tokens, &targets, 10);
    let sum: f64 = [0..10, 10..30, 30..40]
        .into_iter()
        .map(|part| parts.accumulate(work, &tokens[part.clone()], &targets[part], 10))
        .sum();
    // The same terms in another order: 40 of them.
    assert!((loss - sum).abs() < 40.0 * f32::EPSILON as f64 * loss);
    let norms = [&mut whole, &mut parts].map(|gpt| gpt.gradient_norm(work));
    assert!((norms[0] - norms[1]).abs() < 40.0 * f32::EPSILON as f64 * norms[0]);
    [&mut whole, &mut parts].into_iter().for_each(|gpt| gpt.update(work, &step(&optim, 1)));
    for tensor in 0..whole.weight_tensors().len() {
        let [a, b] = [&mut whole, &mut parts].map(|gpt| with(gpt, tensor, |w| w.to_vec()));
        let bound = 40.0 * f32::EPSILON * norms[0] as f32;
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= bound), "tensor {tensor}");
    }
    assert_eq!(whole.gradient_norm(work), 0.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// The whole of causality: a token decides no earlier loss, in no bit; through a window it reaches a little further in each
    /// layer, and no further.
    #[test]
    fn a_token_changes_no_earlier_loss_and_none_beyond_its_reach(
        changed in 0_usize..200,
        window in 0_usize..20,
        bf16 in any::<bool>(),
    ) {
        let precision = if bf16 { Precision::Bf16 } else { Precision::F32 };
        let model = Model { width: 8, heads: 1, context: 200, window, precision, ..small() };
        let mut gpt = network(&model, &sgd(), VOCABULARY);
        let (mut tokens, targets) = tokens(200, VOCABULARY, 4);
        let before = losses(&mut gpt, &tokens, &targets, 200);
        tokens[changed] = (tokens[changed] + 1) % VOCABULARY as u32;
        let after = losses(&mut gpt, &tokens, &targets, 200);
        let reach = if window == 0 { 200 } else { changed + 2 * (window - 1) + 1 };
        for at in (0..changed).chain(reach.min(200)..200) {
            prop_assert_eq!(before[at].to_bits(), after[at].to_bits(), "{} after {}", at, changed);
        }
        prop_assert!(before[changed] != after[changed]);
    }
}

#[test]
fn bf16_products_stay_near_those_of_f32() {
    let exact = small();
    let (tokens, targets) = tokens(40, VOCABULARY, 6);
    let rounded = Model { precision: Precision::Bf16, ..exact.clone() };
    let [exact, rounded] =
        [exact, rounded].map(|model| losses(&mut network(&model, &sgd(), VOCABULARY), &tokens, &targets, 10));
    assert!(exact != rounded);
    // A factor moves by 2^-9 of itself; two factors in each of eight products above each other, tripled in each layer.
    let bound = |loss: f32| 2.0 * 8.0 * 9.0 / 512.0 * loss.max(1.0);
    assert!(exact.iter().zip(&rounded).all(|(a, b)| (a - b).abs() < bound(*a)));
}

#[test]
fn weights_are_counted_and_named_once() {
    let gpt =
        Gpt::new(&Scope::fresh(&sgd(), 1, Level::detect()), &Model::preset("small").unwrap().into(), 1000, vec![])
            .unwrap();
    let gains = 6 * (2 * 384 + 2 * 64) + 384;
    assert_eq!(gpt.parameter_count(), 10_616_832 + 1000 * 384 + gains);
    let mut names: Vec<String> = gpt.weight_tensors().into_iter().map(|tensor| tensor.name).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
#[should_panic(expected = "token 23 is not below the vocabulary 23")]
fn tokens_beyond_the_vocabulary_are_refused() {
    Gpt::new(&Scope::fresh(&sgd(), 1, Level::detect()), &small().into(), VOCABULARY, vec![]).unwrap().accumulate(
        &mut Workspace::new(Level::detect()),
        &[23],
        &[0],
        1,
    );
}
