//! Every layer of the trunk by itself against finite differences of `sum c y`, for its input and its weights.

use rand::RngExt;

use super::attention::{AttentionSaved, rotations};
use super::*;
use crate::config::lm::Model;
use crate::config::lm::model::{Activation, Precision};
use crate::config::{Optim, OptimizerName};
use crate::kernels::{Level, MatMut, MatRef};
use crate::module::Module;
use crate::optim::{Parameter, Scope, Step};
use crate::tensor::ElementsMut;

const TOKENS: usize = 10;
const WIDTH: usize = 6;

fn numbers(len: usize, salt: u64) -> Vec<f32> {
    let mut rng = crate::rng::rng(4, "gradients", salt);
    (0..len).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn model(change: impl Fn(&mut Model)) -> Model {
    let mut model = Model {
        width: WIDTH,
        heads: 3,
        layers: 1,
        context: 5,
        feed_forward: 7,
        precision: Precision::F32,
        ..Model::default()
    };
    change(&mut model);
    model
}

fn sgd() -> Optim {
    Optim { name: OptimizerName::Sgd, ..Optim::default() }
}

fn f32(parameter: &mut Parameter, f: impl FnOnce(&mut [f32])) {
    match parameter.weight_tensors_mut().remove(0).elements {
        ElementsMut::F32(elements) => f(elements),
        _ => panic!("weights are f32"),
    }
}

/// Compares `gradient` (of element `at`, by name) with differences of `loss(name, at, by)`.
fn check(names: &[(&str, Vec<f32>)], mut loss: impl FnMut(&str, usize, f32) -> f64) {
    for (name, gradient) in names {
        for (at, &gradient) in gradient.iter().enumerate() {
            let h = 1.0 / 64.0;
            let [wide, far, near] =
                [h, h / 2.0, h / 4.0].map(|h| (loss(name, at, h) - loss(name, at, -h)) / (2.0 * h as f64));
            // 60 outputs of about 1, each rounded a few times in sums of some ten terms.
            let rounding = 60_f64.sqrt() * 4.0 * f32::EPSILON as f64 / (h as f64 / 4.0) * 4.0;
            let bound = (far - near).abs() + (wide - far).abs() / 2.0 + rounding;
            assert!((near - gradient as f64).abs() <= bound, "{name}[{at}]: {near} is not {gradient} +- {bound}");
            assert!(bound < 0.2, "{name}[{at}]: {bound} shows nothing");
        }
    }
}

/// `sum c y`
fn weighed(y: &[f32]) -> f64 {
    y.iter().zip(numbers(y.len(), 99)).map(|(&y, c)| y as f64 * c as f64).sum()
}

const STEP: Step = Step { number: 1, lr: 1.0, grad_scale: 1.0, seed: 1 };

/// `forward(layer, x, y)` and `backward(layer, x, dy, dx)` of a layer that learns by plain descent.
fn check_layer<L: Module>(
    make: impl Fn() -> L,
    outputs: usize,
    mut forward: impl FnMut(&L, MatRef<f32>, MatMut<f32>),
    mut backward: impl FnMut(&mut L, MatRef<f32>, MatRef<f32>, MatMut<f32>),
) {
    let prepared = || {
        let mut layer = make();
        for (p, parameter) in layer.parameters_mut().into_iter().enumerate() {
            let moves = numbers(parameter.rows() * parameter.cols(), p as u64);
            f32(parameter, |w| w.iter_mut().zip(moves).for_each(|(w, by)| *w = *w / 4.0 + by * 0.7));
        }
        layer
    };
    let (x, dy) = (numbers(TOKENS * WIDTH, 50), numbers(TOKENS * outputs, 99));
    let (mut stepped, mut dx) = (prepared(), vec![f32::NAN; x.len()]);
    let mut y = vec![0.0; dy.len()];
    forward(&stepped, MatRef::new(&x, TOKENS, WIDTH), MatMut::new(&mut y, TOKENS, outputs));
    let dx_view = MatMut::new(&mut dx, TOKENS, WIDTH);
    backward(&mut stepped, MatRef::new(&x, TOKENS, WIDTH), MatRef::new(&dy, TOKENS, outputs), dx_view);
    stepped.update(&mut Workspace::new(Level::detect()), &STEP);
    let count = stepped.parameters_mut().len();
    let labels: Vec<String> = (0..count).map(|p| p.to_string()).collect();
    let mut wanted = vec![("x", dx)];
    for (p, label) in labels.iter().enumerate() {
        let (mut before, mut gradient) = (prepared(), Vec::new());
        f32(before.parameters_mut().remove(p), |w| gradient = w.to_vec());
        f32(stepped.parameters_mut().remove(p), |w| gradient.iter_mut().zip(w).for_each(|(g, after)| *g -= *after));
        wanted.push((label, gradient));
    }
    check(&wanted, |name, at, by| {
        let (mut layer, mut x) = (prepared(), x.clone());
        match name {
            "x" => x[at] += by,
            p => f32(layer.parameters_mut().remove(p.parse().unwrap()), |w| w[at] += by),
        }
        forward(&layer, MatRef::new(&x, TOKENS, WIDTH), MatMut::new(&mut y, TOKENS, outputs));
        weighed(&y)
    });
}

#[test]
fn dense_layers_follow_the_gradient() {
    let (optim, level) = (sgd(), Level::detect());
    check_layer(
        || Dense::new(&Scope::of("dense", &optim, 1), 4, WIDTH, 1.0, Precision::F32).unwrap(),
        4,
        |layer, x, y| layer.forward(&mut Workspace::new(level), x, y),
        |layer, x, dy, dx| {
            layer.backward(&mut Workspace::new(level), dy, dx);
            layer.accumulate(&mut Workspace::new(level), x, dy);
        },
    );
}

#[test]
fn norms_follow_the_gradient() {
    let (optim, level) = (sgd(), Level::detect());
    let rstd = std::cell::RefCell::new(vec![0.0; TOKENS]);
    check_layer(
        || RmsNorm::new(&Scope::of("norm", &optim, 7), WIDTH).unwrap(),
        WIDTH,
        |layer, x, y| layer.forward(&mut Workspace::new(level), x, y, &mut rstd.borrow_mut()),
        |layer, x, dy, mut dx| {
            (0..TOKENS).for_each(|r| dx.row_mut(r).fill(0.0));
            layer.backward_add(&mut Workspace::new(level), x, &rstd.borrow(), dy, dx);
        },
    );
}

#[test]
fn feed_forward_layers_follow_the_gradient() {
    for activation in [Activation::ReluSquared, Activation::Swiglu] {
        let (optim, level, model) = (sgd(), Level::detect(), model(|model| model.activation = activation));
        let saved = std::cell::RefCell::new(FeedForwardSaved::default());
        check_layer(
            || {
                FeedForward::new(
                    &Scope::of("feed_forward", &optim, 1),
                    (&model).into(),
                    model.inner(),
                    model.activation,
                )
                .unwrap()
            },
            WIDTH,
            |layer, x, y| layer.forward(&mut Workspace::new(level), x, y, &mut saved.borrow_mut()),
            |layer, x, dy, dx| layer.backward(&mut Workspace::new(level), x, &saved.borrow(), dy, dx),
        );
    }
}

#[test]
fn attention_layers_follow_the_gradient() {
    for (window, qk_norm) in [(0, true), (2, false), (3, true)] {
        let (optim, level) = (sgd(), Level::detect());
        let model = model(|model| (model.window, model.qk_norm) = (window, qk_norm));
        let saved = std::cell::RefCell::new(AttentionSaved::default());
        check_layer(
            || {
                Attention::new(&Scope::of("attention", &optim, 1), (&model).into(), (&model).into(), rotations(&model))
                    .unwrap()
            },
            WIDTH,
            |layer, x, y| layer.forward(&mut Workspace::new(level), x, 5, y, &mut saved.borrow_mut()),
            |layer, x, dy, dx| layer.backward(&mut Workspace::new(level), x, 5, &saved.borrow(), dy, dx),
        );
    }
}

#[test]
fn token_tables_add_up_the_gradients_of_equal_tokens_and_forget_them_after_a_step() {
    let (optim, work) = (sgd(), &mut Workspace::new(Level::detect()));
    let mut table = Embedding::new(&Scope::of("embedding", &optim, 1), 300, 2).unwrap();
    let before = table.weights.f32().to_vec();
    // More distinct tokens than a piece has, in two batches that share some.
    let batches: [Vec<u32>; 2] = [(0..200).map(|i| i * 7 % 150).collect(), (0..90).map(|i| 299 - i * 2).collect()];
    let mut want = before.clone();
    for (salt, tokens) in batches.iter().enumerate() {
        let dx: Vec<f32> = (0..tokens.len() * 2).map(|i| ((i * 31 + salt) % 16) as f32).collect();
        table.backward(work, tokens, MatRef::new(&dx, tokens.len(), 2));
        tokens.iter().zip(dx.chunks(2)).for_each(|(&token, dx)| {
            (0..2).for_each(|c| want[token as usize * 2 + c] -= dx[c]);
        });
    }
    let squares: f64 = want.iter().zip(&before).map(|(want, before)| ((want - before) as f64).powi(2)).sum();
    assert!((table.squared_gradient(work) / squares - 1.0).abs() < 1e-4);
    table.update(work, &STEP);
    // Gradients are whole numbers below 256, so only weights are rounded, once or once a token.
    let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 16.0 * 256.0 * f32::EPSILON;
    assert!(table.weights.f32().iter().zip(&want).all(close));
    assert_eq!(table.squared_gradient(work), 0.0);
}

/// Vocabulary, tokens: across blocks, tasks and pieces.
#[test]
fn heads_have_the_loss_and_the_gradients_of_the_definition() {
    for (vocabulary, tokens) in [(1, 1), (50, 7), (1700, 130), (3200, 520)] {
        let (optim, work) = (sgd(), &mut Workspace::new(Level::detect()));
        let mut weights = Dense::new(&Scope::of("head", &optim, 1), vocabulary, WIDTH, 1.0, Precision::F32).unwrap();
        let x = numbers(tokens * WIDTH, 3);
        let targets: Vec<u32> = (0..tokens).map(|t| (t * 997 % vocabulary) as u32).collect();
        let view = MatRef::new(&x, tokens, WIDTH);
        let (mut dx, mut losses, mut head) = (vec![f32::NAN; x.len()], vec![0.0; tokens], DenseHead::default());
        let sum = head.accumulate(work, &mut weights, view, &targets, MatMut::new(&mut dx, tokens, WIDTH));
        head.losses(work, &weights, view, &targets, &mut losses);
        let (mut want_sum, mut dw) = (0.0, vec![0.0; vocabulary * WIDTH]);
        // Exponentials are off by what their logits are (sums of 6 terms below 4), sums of them by `ln` of their number, and
        // gradients are sums of `tokens` products of numbers below 4.
        let bound = (40 + tokens) as f64 * 24.0 * f32::EPSILON as f64;
        for (t, x) in x.chunks(WIDTH).enumerate() {
            let row = |r: usize| weights.weights().row(r);
            let dot = |r: usize| row(r).iter().zip(x).map(|(w, x)| *w as f64 * *x as f64).sum::<f64>();
            let exps: Vec<f64> = (0..vocabulary).map(|r| dot(r).exp()).collect();
            let z: f64 = exps.iter().sum();
            let want = z.ln() - dot(targets[t] as usize);
            want_sum += want;
            assert!((losses[t] as f64 - want).abs() < bound, "loss {t}: {} is not {want}", losses[t]);
            let mut d = [0.0; WIDTH];
            for (r, e) in exps.iter().enumerate() {
                let dz = e / z - if targets[t] as usize == r { 1.0 } else { 0.0 };
                for c in 0..WIDTH {
                    d[c] += dz * row(r)[c] as f64;
                    dw[r * WIDTH + c] += dz * x[c] as f64;
                }
            }
            let close = |(got, want): (&f32, &f64)| (*got as f64 - want).abs() < bound;
            assert!(dx[t * WIDTH..][..WIDTH].iter().zip(&d).all(close), "dx of token {t}");
        }
        assert!((sum - want_sum).abs() < bound * tokens as f64);
        for r in 0..vocabulary {
            for c in 0..WIDTH {
                let (got, want) = (weights.gradient().row(r)[c] as f64, dw[r * WIDTH + c]);
                assert!((got - want).abs() < bound, "dw[{r}, {c}]: {got} is not {want}");
            }
        }
    }
}

#[test]
fn one_token_and_many_are_multiplied_alike() {
    for precision in [Precision::F32, Precision::Bf16] {
        let work = &mut Workspace::new(Level::detect());
        let mut layer = Dense::new(&Scope::of("dense", &sgd(), 1), 900, 40, 1.0, precision).unwrap();
        let x = numbers(3 * 40, 1);
        let [mut one, mut many] = [vec![0.0; 900], vec![0.0; 2700]];
        for _ in 0..2 {
            layer.forward(work, MatRef::new(&x, 3, 40), MatMut::new(&mut many, 3, 900));
            layer.forward(work, MatRef::new(&x[40..80], 1, 40), MatMut::new(&mut one, 1, 900));
            // Sums of 40 terms below 5; with bf16, `x` is rounded in one of them.
            let bound = 40.0 * 5.0 * if precision == Precision::F32 { 40.0 * f32::EPSILON } else { 1.0 / 512.0 };
            assert!(one.iter().zip(&many[900..]).all(|(a, b)| (a - b).abs() <= bound));
            assert!(one.iter().any(|y| y.abs() > 1.0));
            // Weights that change are packed again.
            f32(layer.parameter_mut(), |w| w.iter_mut().for_each(|w| *w = -*w / 2.0));
        }
    }
}
