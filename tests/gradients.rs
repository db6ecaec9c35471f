//! Every backward pass against finite differences of the loss, through whole training steps.

use hotrow::config::{Config, IndexName, Loss, Mode, OptimizerName, Pooling, Schedule};
use hotrow::data::Batch;
use hotrow::kernels::Level;
use hotrow::module::Module;
use hotrow::rng::rng;
use hotrow::tensor::ElementsMut;
use hotrow::train::xmc::Trainer;
use rand::RngExt;

const FEATURES: usize = 12;
const LABELS: usize = 40;

fn batch() -> Batch {
    let mut rng = rng(5, "test", 0);
    let mut batch = Batch::new(FEATURES);
    for sample in 0..9_u32 {
        let features: Vec<u32> = (0..FEATURES as u32).filter(|f| (f + sample) % 3 == 0).collect();
        let values: Vec<f32> = features.iter().map(|_| rng.random_range(0.5..1.5)).collect();
        batch.features.push(&features, &values).unwrap();
        batch.labels.push([sample % 4, 10 + sample]);
    }
    batch
}

/// Biases start off zero, where a sample without any neuron at work would have the next layer's ReLU bend right there.
fn trainer(config: &Config) -> Trainer {
    let mut trainer = Trainer::new(config.clone(), FEATURES, LABELS, 10, Level::detect()).unwrap();
    for tensor in trainer.network.weight_tensors_mut() {
        if let (true, ElementsMut::F32(biases)) = (tensor.name.ends_with("bias"), tensor.elements) {
            biases.iter_mut().enumerate().for_each(|(i, bias)| *bias = 0.11 - 0.07 * (i % 4) as f32);
        }
    }
    trainer
}

/// The loss with element `at` of tensor `tensor` moved by `by`.
fn loss(config: &Config, tensor: usize, at: usize, by: f32) -> f64 {
    let mut trainer = trainer(config);
    with(&mut trainer, tensor, |elements| elements[at] += by);
    trainer.step(&batch()).unwrap().loss
}

fn with<R>(trainer: &mut Trainer, tensor: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    match &mut trainer.network.weight_tensors_mut()[tensor].elements {
        ElementsMut::F32(elements) => f(elements),
        _ => panic!("weights are f32 here"),
    }
}

/// A step of plain gradient descent with a learning rate of 1 moves each weight by its gradient.
fn check(config: Config) {
    let mut stepped = trainer(&config);
    let tensors = stepped.network.weight_tensors().len();
    let before: Vec<Vec<f32>> = (0..tensors).map(|t| with(&mut stepped, t, |w| w.to_vec())).collect();
    let value = stepped.step(&batch()).unwrap().loss;
    let (mut checked, mut tried) = (0, 0);
    for tensor in 0..tensors {
        let after = with(&mut stepped, tensor, |w| w.to_vec());
        for at in (0..after.len()).step_by(after.len().div_ceil(23)) {
            let gradient = (before[tensor][at] - after[at]) as f64;
            let h = 1.0 / 32.0;
            // Each loss is rounded relative to itself, by a few of the roundings that vector sums of 40 terms make, averaged
            // over 9 samples; the smallest step is h / 4.
            let rounding = 10.0 * f32::EPSILON as f64 * value.abs().max(1.0) * 4.0 / h as f64;
            let sides = |h: f32| [h, -h].map(|by| (loss(&config, tensor, at, by) - value) / by as f64);
            let slopes = [sides(h), sides(h / 2.0), sides(h / 4.0)];
            // The two one-sided slopes differ by `h` times the curvature, so by half as much for half the step; if not, a
            // ReLU bends in between, and there is no slope to compare with. (One pair of steps can miss a bend, at a third
            // of the longer; two pairs cannot.)
            tried += 1;
            let bends = slopes.map(|[right, left]| right - left);
            if bends.windows(2).any(|pair| (pair[0] - 2.0 * pair[1]).abs() > 0.2 * pair[0].abs() + rounding) {
                continue;
            }
            // The error of a central difference falls to a quarter with half the step: `far - near` is three of them.
            let [_, far, near] = slopes.map(|[right, left]| (right + left) / 2.0);
            let bound = (far - near).abs() + rounding;
            assert!((near - gradient).abs() <= bound, "{config:?}: tensor {tensor} [{at}]: {near} is not {gradient}");
            checked += 1;
        }
    }
    assert!(checked >= 60 && 5 * checked >= 4 * tried, "{checked} of {tried} weights were checked");
}

fn config(loss: Loss, index: IndexName, mode: Mode, hidden: &[usize]) -> Config {
    let mut config = Config::default();
    config.optim.schedule = Schedule::Constant;
    (config.model.loss, config.model.hidden) = (loss, hidden.to_vec());
    (config.sparse.index, config.sparse.mode, config.sparse.active) = (index, mode, 14);
    (config.optim.name, config.optim.lr) = (OptimizerName::Sgd, 1.0);
    config
}

#[test]
fn dense_steps_follow_the_gradient() {
    for loss in [Loss::Softmax, Loss::Bce] {
        for hidden in [&[6][..], &[6, 7], &[5, 4, 6]] {
            check(config(loss, IndexName::All, Mode::Shared, hidden));
        }
    }
}

#[test]
fn steps_with_a_shared_set_follow_the_gradient() {
    for loss in [Loss::Softmax, Loss::Bce] {
        check(config(loss, IndexName::Random, Mode::Shared, &[6]));
        let mut parts = config(loss, IndexName::Random, Mode::Shared, &[6, 5]);
        (parts.sparse.micro_batch, parts.sparse.active) = (4, 12);
        check(parts);
    }
}

#[test]
fn steps_with_sets_of_their_own_follow_the_gradient() {
    for loss in [Loss::Softmax, Loss::Bce] {
        check(config(loss, IndexName::Random, Mode::PerSample, &[6, 5]));
    }
}

#[test]
fn steps_with_sampled_hidden_layers_follow_the_gradient() {
    let mut sampled = config(Loss::Softmax, IndexName::Random, Mode::Shared, &[6, 20, 5]);
    (sampled.model.sampled_hidden, sampled.sparse.hidden_active) = (vec![2], 0.4);
    check(sampled);
}

#[test]
fn every_pooling_follows_the_gradient() {
    for pooling in [Pooling::Sum, Pooling::Mean, Pooling::Normalized] {
        let mut pooled = config(Loss::Softmax, IndexName::All, Mode::Shared, &[6]);
        pooled.model.pooling = pooling;
        check(pooled);
    }
}

/// With clipping the step has the length of the limit, and the direction of the step without.
#[test]
fn clipping_shortens_the_step_and_keeps_its_direction() {
    for mode in [Mode::Shared, Mode::PerSample] {
        let plain = config(Loss::Softmax, IndexName::Random, mode, &[6, 5]);
        let mut clipped = plain.clone();
        clipped.optim.clip = 0.01;
        let moves = |config: &Config| {
            let (start, mut end) = (&mut trainer(config), trainer(config));
            end.step(&batch()).unwrap();
            let tensors = start.network.weight_tensors().len();
            let all = |trainer: &mut Trainer| -> Vec<f32> {
                (0..tensors).flat_map(|t| with(trainer, t, |w| w.to_vec())).collect()
            };
            let (start, end) = (all(start), all(&mut end));
            start.iter().zip(&end).map(|(start, end)| (end - start) as f64).collect::<Vec<f64>>()
        };
        let (plain, clipped) = (moves(&plain), moves(&clipped));
        let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let lengths = dot(&plain, &plain).sqrt() * dot(&clipped, &clipped).sqrt();
        // Weights of about 1 move by 1e-3 each: their rounding is 1e-4 of that.
        assert!((dot(&clipped, &clipped).sqrt() - 0.01).abs() < 1e-5);
        assert!(dot(&plain, &clipped) / lengths > 1.0 - 1e-6);
    }
}
