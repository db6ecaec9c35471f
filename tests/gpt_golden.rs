//! The GPT against the same network in PyTorch, which computed in f64: logits, losses, every gradient, ten steps of AdamW.
//! `tests/fixtures/gpt.py` made the files.

use hotrow::config::lm::Model;
use hotrow::config::lm::model::{Activation, Precision};
use hotrow::config::{Optim, OptimizerName};
use hotrow::kernels::Level;
use hotrow::layer::Workspace;
use hotrow::model::Gpt;
use hotrow::module::Module;
use hotrow::optim::{Scope, Step};
use hotrow::tensor::ElementsMut;
use safetensors::SafeTensors;

const LAYERS: usize = 2;
const VOCABULARY: usize = 64;
const LENGTH: usize = 16;
/// Targets of a batch of two sequences.
const TARGETS: usize = 2 * LENGTH;
const EPSILON: f32 = 1e-3;

struct Golden {
    model: Model,
    bytes: Vec<u8>,
}

impl Golden {
    fn read(name: &str) -> Self {
        let model = Model {
            width: 16,
            layers: LAYERS,
            heads: 2,
            context: LENGTH,
            precision: Precision::F32,
            ..Model::default()
        };
        let model = match name {
            "tied" => model,
            _ => Model {
                feed_forward: 40,
                activation: Activation::Swiglu,
                window: 5,
                qk_norm: false,
                tied: false,
                ..model
            },
        };
        let path = format!("{}/tests/fixtures/gpt-{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
        Self { model, bytes: std::fs::read(path).unwrap() }
    }

    fn tensor(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let bytes = file.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}")).data().to_vec();
        bytes.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    }

    /// Tokens and targets of batch `step`.
    fn batch(&self, step: usize) -> (Vec<u32>, Vec<u32>) {
        let all: Vec<u32> = self.tensor("tokens").iter().map(|&token| token as u32).collect();
        let sequences = all.chunks(LENGTH + 1).skip(2 * step).take(2);
        (
            sequences.clone().flat_map(|sequence| sequence[..LENGTH].to_vec()).collect(),
            sequences.flat_map(|sequence| sequence[1..].to_vec()).collect(),
        )
    }

    fn network(&self, optim: &Optim) -> Gpt {
        let mut gpt =
            Gpt::new(&Scope::fresh(optim, 1, Level::detect()), &self.model.clone().into(), VOCABULARY, vec![]).unwrap();
        for tensor in gpt.weight_tensors_mut() {
            let ElementsMut::F32(elements) = tensor.elements else { panic!("weights are f32") };
            elements.copy_from_slice(&self.tensor(&tensor.name));
        }
        gpt
    }
}

/// Between a weight and the loss stand `5 layers + 2` products and norms, forward and backward, each of at most 80 terms that are
/// rounded once or twice; in random order the roundings of a sum grow with the root of their number. What one layer gets wrong, the
/// next may triple (weights are that large).
fn relative() -> f32 {
    2.0 * (5 * LAYERS + 2) as f32 * 80_f32.sqrt() * f32::EPSILON * 3_f32.powi(LAYERS as i32)
}

fn check(what: &str, got: &[f32], want: &[f32], bound: f32) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= bound, "{what}[{i}]: {got} is not {want} +- {bound}");
    }
}

fn largest(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |most, x| most.max(x.abs()))
}

fn step(optim: &Optim, number: u32) -> Step {
    Step { number, lr: optim.lr, grad_scale: 1.0 / TARGETS as f32, seed: 1 }
}

#[test]
fn logits_and_losses_are_those_of_pytorch() {
    for name in ["tied", "swiglu"] {
        let golden = Golden::read(name);
        let mut gpt = golden.network(&Optim::default());
        let (work, (tokens, targets)) = (&mut Workspace::new(Level::detect()), golden.batch(0));
        let want = golden.tensor("logits");
        let bound = relative() * largest(&want);
        for (sequence, want) in tokens.chunks(LENGTH).zip(want.chunks(LENGTH * VOCABULARY)) {
            let (mut cache, mut logits) = (gpt.cache(), vec![0.0; VOCABULARY]);
            for (token, want) in sequence.chunks(1).zip(want.chunks(VOCABULARY)) {
                gpt.next(work, &mut cache, token, &mut logits);
                check(name, &logits, want, bound);
            }
        }
        let mut losses = [0.0; TARGETS];
        gpt.losses(work, &tokens, &targets, LENGTH, &mut losses);
        check(name, &losses, &golden.tensor("losses"), 2.0 * bound);
    }
}

#[test]
fn gradients_are_those_of_pytorch() {
    for name in ["tied", "swiglu"] {
        let golden = Golden::read(name);
        // A step of plain gradient descent with a learning rate of 1 moves each weight by its gradient.
        let optim = Optim { name: OptimizerName::Sgd, lr: 1.0, ..Optim::default() };
        let mut gpt = golden.network(&optim);
        let (work, (tokens, targets)) = (&mut Workspace::new(Level::detect()), golden.batch(0));
        gpt.accumulate(work, &tokens, &targets, LENGTH);
        let norm = gpt.gradient_norm(work) / TARGETS as f64;
        gpt.update(work, &step(&optim, 1));
        let mut squares = 0.0;
        for tensor in gpt.weight_tensors_mut() {
            let ElementsMut::F32(after) = tensor.elements else { panic!("weights are f32") };
            let before = golden.tensor(&tensor.name);
            let want = golden.tensor(&format!("gradient.{}", tensor.name));
            let got: Vec<f32> = before.iter().zip(after.iter()).map(|(before, after)| before - after).collect();
            // The weight that has moved was rounded.
            let bound = relative() * largest(&want) + f32::EPSILON * largest(&before);
            check(&format!("{name}: {}", tensor.name), &got, &want, bound);
            squares += want.iter().map(|&d| d as f64 * d as f64).sum::<f64>();
        }
        assert!((norm - squares.sqrt()).abs() <= relative() as f64 * norm, "{norm} is not {}", squares.sqrt());
    }
}

#[test]
fn ten_steps_of_adamw_have_the_losses_of_pytorch() {
    for name in ["tied", "swiglu"] {
        let golden = Golden::read(name);
        let optim = Optim {
            name: OptimizerName::AdamDense,
            lr: 0.01,
            beta1: 0.9,
            beta2: 0.95,
            eps: EPSILON,
            weight_decay: 0.1,
            ..Optim::default()
        };
        let mut gpt = golden.network(&optim);
        let gradients: Vec<Vec<f32>> =
            gpt.weight_tensors().iter().map(|tensor| golden.tensor(&format!("gradient.{}", tensor.name))).collect();
        let error = relative() * gradients.iter().map(|gradient| largest(gradient)).fold(0.0, f32::max);
        let length = gradients.iter().flatten().map(|d| d * d).sum::<f32>().sqrt();
        let work = &mut Workspace::new(Level::detect());
        for (taken, want) in golden.tensor("steps").into_iter().enumerate() {
            let (tokens, targets) = golden.batch(taken);
            let loss = gpt.accumulate(work, &tokens, &targets, LENGTH) as f32 / TARGETS as f32;
            gpt.update(work, &step(&optim, taken as u32 + 1));
            // A step moves a weight by lr m / (sqrt(v) + eps): an error of the gradient, divided by the eps at the most. Errors of
            // many weights have either sign, so that the loss follows by the Euclidean length of its gradient.
            let bound = relative() * want + taken as f32 * optim.lr * error / EPSILON * length;
            assert!((loss - want).abs() <= bound, "{name}, step {taken}: {loss} is not {want} +- {bound}");
            assert!(bound < 0.05 * want, "{bound} shows nothing");
        }
    }
}
