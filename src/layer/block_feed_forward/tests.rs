use super::*;
use crate::config::lm::model::Precision as Rounding;
use crate::config::{Optim, OptimizerName};
use crate::module::Module;
use crate::tensor::ElementsMut;

const WIDTH: usize = 8;
const HERE: usize = 9;

const INNER: usize = 24;
const STREAM: Stream = Stream { width: WIDTH, depth: 3, precision: Rounding::F32 };

fn options(chosen: usize) -> BlockFeedForwardOptions {
    BlockFeedForwardOptions { neurons: 4, chosen, balance: 0.01 }
}

fn sgd() -> Optim {
    Optim { name: OptimizerName::Sgd, lr: 1.0, ..Optim::default() }
}

fn numbers(len: usize, salt: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 37 + salt * 11) % 64) as f32 / 32.0 - 1.0).collect()
}

fn layer(chosen: usize) -> BlockFeedForward {
    let mut layer = BlockFeedForward::new(&Scope::of("ff", &sgd(), 5), STREAM, INNER, options(chosen)).unwrap();
    for parameter in layer.parameters_mut() {
        let ElementsMut::F32(w) = &mut parameter.weight_tensors_mut()[0].elements else { panic!("weights are f32") };
        w.iter_mut().for_each(|w| *w *= 3.0);
    }
    layer.offsets_mut().copy_from_slice(&[0.0, 0.5, -0.25, 0.0, 0.25, 0.0]);
    layer
}

fn forward(layer: &BlockFeedForward, x: &[f32]) -> (Vec<f32>, BlockFeedForwardSaved) {
    let (mut y, mut saved) = (vec![0.0; x.len()], BlockFeedForwardSaved::default());
    let (tokens, work) = (x.len() / WIDTH, &mut Workspace::new(Level::detect()));
    layer.forward(work, MatRef::new(x, tokens, WIDTH), MatMut::new(&mut y, tokens, WIDTH), &mut saved);
    (y, saved)
}

/// In f64, one neuron at a time; the norm's gain is 3.
#[test]
fn the_output_is_that_of_the_definition() {
    let (layer, x) = (layer(2), numbers(300 * WIDTH, 3));
    let (y, saved) = forward(&layer, &x);
    let row = |dense: &Dense, row: usize, n: &[f64]| -> f64 {
        dense.weights().row(row).iter().zip(n).map(|(&w, n)| w as f64 * n).sum()
    };
    for (t, x) in x.chunks(WIDTH).enumerate() {
        let squares: f64 = x.iter().map(|&x| x as f64 * x as f64).sum();
        let rstd = (squares / WIDTH as f64 + 1e-5).sqrt().recip();
        let n: Vec<f64> = x.iter().map(|&x| 3.0 * x as f64 * rstd).collect();
        let scores: Vec<f64> = (0..6).map(|b| row(&layer.router, b, &n)).collect();
        let mut order: Vec<usize> = (0..6).collect();
        let rank = |b: usize| scores[b] + layer.offsets()[b] as f64;
        order.sort_by(|&a, &b| rank(b).total_cmp(&rank(a)));
        let chosen = &saved.blocks[t * 2..][..2];
        assert_eq!(chosen.iter().map(|&b| b as usize).collect::<Vec<_>>(), &order[..2], "token {t}");
        let all: f64 = order[..2].iter().map(|&b| scores[b].exp()).sum();
        let mut want: Vec<f64> = x.iter().map(|&x| x as f64).collect();
        let mut size = 1.0;
        for &b in &order[..2] {
            for j in b * 4..(b + 1) * 4 {
                let a = 2.0 * scores[b].exp() / all * row(&layer.up, j, &n).max(0.0).powi(2);
                size += a * layer.down.weights().row(j).iter().map(|w| w.abs() as f64).fold(0.0, f64::max);
                want.iter_mut().zip(layer.down.weights().row(j)).for_each(|(y, &w)| *y += a * w as f64);
            }
        }
        for (y, want) in y[t * WIDTH..].iter().zip(want) {
            // A score of 8 products enters by its exponential; the rest are sums of 8 terms.
            let bound = 100.0 * f32::EPSILON as f64 * size;
            assert!((*y as f64 - want).abs() <= bound, "token {t}: {y} is not {want}");
        }
    }
}

/// As for the other layers of neurons: `h = 1/128`, third derivatives and rounding over `2 h` of some 1e-3 for sums of a few tens.
#[test]
fn gradients_are_finite_differences() {
    let (mut stepped, x, dy) = (layer(2), numbers(HERE * WIDTH, 3), numbers(HERE * WIDTH, 9));
    let (work, mut dx) = (&mut Workspace::new(Level::detect()), vec![f32::NAN; x.len()]);
    let (_, saved) = forward(&stepped, &x);
    let (view, out) = (|x| MatRef::new(x, HERE, WIDTH), MatMut::new(&mut dx, HERE, WIDTH));
    stepped.backward(work, view(&x), &saved, view(&dy), out);
    // Offsets are moved by use and not by the gradient.
    let weights = |layer: &BlockFeedForward| {
        layer.parameters()[..4].iter().map(|parameter| parameter.f32().to_vec()).collect::<Vec<_>>()
    };
    let before: Vec<Vec<f32>> = weights(&stepped);
    let step = Step { number: 1, lr: 1.0, grad_scale: 1.0, seed: 1 };
    stepped.update(work, &step);
    let after: Vec<Vec<f32>> = weights(&stepped);

    let mut layer = layer(2);
    let h = 1.0 / 128.0;
    let loss = |layer: &BlockFeedForward, x: &[f32]| {
        let (y, saved) = forward(layer, x);
        (y.iter().zip(&dy).map(|(y, w)| *y as f64 * *w as f64).sum::<f64>(), saved.blocks)
    };
    let (mut compared, mut skipped) = (0, 0);
    let mut compare = |got: f32, up: (f64, Vec<u32>), down: (f64, Vec<u32>), what: String| {
        if up.1 != down.1 {
            skipped += 1;
            return;
        }
        let want = (up.0 - down.0) / (2.0 * h);
        assert!((got as f64 - want).abs() <= 4e-3 * want.abs().max(5.0), "{what}: {got} is not {want}");
        compared += 1;
    };
    for at in 0..x.len() {
        let moved = |by: f64| {
            let mut x = x.clone();
            x[at] += by as f32;
            loss(&layer, &x)
        };
        compare(dx[at], moved(h), moved(-h), format!("input {at}"));
    }
    for (tensor, before) in before.iter().enumerate() {
        for at in 0..before.len() {
            let mut moved = |by: f64| {
                set(&mut layer, tensor, at, before[at] + by as f32);
                let loss = loss(&layer, &x);
                set(&mut layer, tensor, at, before[at]);
                loss
            };
            compare(before[at] - after[tensor][at], moved(h), moved(-h), format!("weight {at} of {tensor}"));
        }
    }
    assert!(skipped * 4 < compared, "{skipped} of {compared} moves changed the blocks");
}

fn set(layer: &mut BlockFeedForward, tensor: usize, at: usize, value: f32) {
    let mut list = layer.parameters_mut();
    let mut tensors = list[tensor].weight_tensors_mut();
    let ElementsMut::F32(w) = &mut tensors[0].elements else { panic!("weights are f32") };
    w[at] = value;
}

#[test]
fn offsets_even_out_the_use_of_blocks_and_threads_change_nothing() {
    let x: Vec<f32> = (0..400 * WIDTH).map(|i| ((i * i) as f32 * 0.37).sin()).collect();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (mut layer, work) = (layer(2), &mut Workspace::new(Level::detect()));
            let (mut dx, mut uneven) = (vec![0.0; x.len()], Vec::new());
            for number in 1..=60 {
                let (y, saved) = forward(&layer, &x);
                let view = |x| MatRef::new(x, 400, WIDTH);
                layer.backward(work, view(&x), &saved, view(&y), MatMut::new(&mut dx, 400, WIDTH));
                uneven.push(layer.load().into_iter().fold(0.0, f64::max));
                let step = Step { number, lr: 0.0, grad_scale: 1.0, seed: 1 };
                layer.update(work, &step);
            }
            (uneven, dx)
        })
    };
    let one = run(1);
    assert!(one.0[59] < one.0[0], "the most used block has {} of an even part, first {}", one.0[59], one.0[0]);
    assert!(one == run(3));
}
