use super::*;
use crate::config::lm::model::{Activation as Function, Precision};
use crate::config::{IndexName, Optim, OptimizerName};
use crate::kernels::Level;
use crate::layer::{FeedForward, FeedForwardSaved};
use crate::module::Module;
use crate::tensor::ElementsMut;

const WIDTH: usize = 8;
const TOKENS: usize = 6;

const INNER: usize = 20;
const STREAM: Stream = Stream { width: WIDTH, depth: 3, precision: Precision::F32 };

fn sgd() -> Optim {
    Optim { name: OptimizerName::Sgd, lr: 1.0, ..Optim::default() }
}

fn numbers(len: usize, salt: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 37 + salt * 11) % 64) as f32 / 32.0 - 1.0).collect()
}

fn layer(active: usize, index: IndexName) -> SampledFeedForward {
    let index = IndexOptions { index, tables: 4, ..IndexOptions::default() };
    let options = SampledFeedForwardOptions { active, index, rebuild_every: 50 };
    let mut layer = SampledFeedForward::new(&Scope::of("ff", &sgd(), 5), STREAM, INNER, &options).unwrap();
    for parameter in layer.parameters_mut() {
        let ElementsMut::F32(w) = &mut parameter.weight_tensors_mut()[0].elements else { panic!("weights are f32") };
        w.iter_mut().for_each(|w| *w *= 3.0);
    }
    layer.rebuild(&mut Workspace::new(Level::detect()));
    layer
}

fn forward(layer: &SampledFeedForward, x: &[f32]) -> (Vec<f32>, SampledSaved) {
    let (mut y, mut saved) = (vec![0.0; x.len()], SampledSaved::default());
    let (tokens, work) = (x.len() / WIDTH, &mut Workspace::new(Level::detect()));
    layer.forward(work, MatRef::new(x, tokens, WIDTH), MatMut::new(&mut y, tokens, WIDTH), &mut saved);
    (y, saved)
}

/// The same sums in another order.
#[test]
fn with_every_neuron_it_is_the_dense_layer() {
    let (ours, work) = (layer(20, IndexName::Exact), &mut Workspace::new(Level::detect()));
    let mut dense = FeedForward::new(&Scope::of("ff", &sgd(), 5), STREAM, INNER, Function::ReluSquared).unwrap();
    let [_, up, down] = ours.parameters()[..] else { unreachable!("norm, up, down") };
    let copy = |to: &mut crate::layer::Dense, from: &dyn Fn(usize, usize) -> f32| {
        let (rows, cols) = (to.outputs(), to.inputs());
        let mut tensors = to.parameter_mut().weight_tensors_mut();
        let ElementsMut::F32(w) = &mut tensors[0].elements else { panic!("weights are f32") };
        (0..rows * cols).for_each(|i| w[i] = from(i / cols, i % cols));
    };
    copy(&mut dense.up, &|r, c| up.f32()[r * WIDTH + c]);
    copy(&mut dense.down, &|r, c| down.f32()[c * WIDTH + r]);
    let ElementsMut::F32(gain) = &mut dense.norm.gain.weight_tensors_mut()[0].elements else { panic!("f32") };
    gain.fill(3.0);
    let x = numbers(TOKENS * WIDTH, 3);
    let (mut want, mut saved) = (vec![0.0; x.len()], FeedForwardSaved::default());
    dense.forward(work, MatRef::new(&x, TOKENS, WIDTH), MatMut::new(&mut want, TOKENS, WIDTH), &mut saved);
    let largest = want.iter().fold(0_f32, |most, y| most.max(y.abs()));
    for (y, want) in forward(&ours, &x).0.iter().zip(&want) {
        // Hidden numbers are sums of 8 products, squared, and summed over 20 neurons, all of the magnitude of the result.
        assert!((y - want).abs() <= 64.0 * f32::EPSILON * largest, "{y} is not {want}");
    }
}

/// `h^2 / 6 |f'''|` with `h = 1/128` and rounding over `2 h` are some 1e-3 each where sums are of a few tens; where a move changes
/// which neurons are chosen there is no derivative, and nothing is compared.
#[test]
fn gradients_are_finite_differences() {
    let (mut stepped, x, dy) = (layer(7, IndexName::Exact), numbers(TOKENS * WIDTH, 3), numbers(TOKENS * WIDTH, 9));
    let (work, mut dx) = (&mut Workspace::new(Level::detect()), vec![f32::NAN; x.len()]);
    let (_, saved) = forward(&stepped, &x);
    let (view, out) = (|x| MatRef::new(x, TOKENS, WIDTH), MatMut::new(&mut dx, TOKENS, WIDTH));
    stepped.backward(work, view(&x), &saved, view(&dy), out);
    let before: Vec<Vec<f32>> = stepped.parameters().iter().map(|parameter| parameter.f32().to_vec()).collect();
    let length = stepped.squared_gradient(work);
    let step = Step { number: 1, lr: 1.0, grad_scale: 1.0, seed: 1 };
    stepped.update(work, &step);
    let after: Vec<Vec<f32>> = stepped.parameters().iter().map(|parameter| parameter.f32().to_vec()).collect();

    let mut layer = layer(7, IndexName::Exact);
    let h = 1.0 / 128.0;
    let loss = |layer: &SampledFeedForward, x: &[f32]| {
        let (y, saved) = forward(layer, x);
        (y.iter().zip(&dy).map(|(y, w)| *y as f64 * *w as f64).sum::<f64>(), saved.neurons)
    };
    let (mut compared, mut skipped) = (0, 0);
    let mut compare = |got: f32, up: (f64, Ragged<u32>), down: (f64, Ragged<u32>), what: String| {
        let sorted = |sets: Ragged<u32>| -> Vec<Vec<u32>> {
            let sort = |set: &[u32]| {
                let mut set = set.to_vec();
                set.sort_unstable();
                set
            };
            sets.iter().map(sort).collect()
        };
        if sorted(up.1) != sorted(down.1) {
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
    assert!(skipped * 4 < compared, "{skipped} of {compared} moves changed the neurons");
    let squares: f64 = before.iter().flatten().zip(after.iter().flatten()).map(|(b, a)| ((b - a) as f64).powi(2)).sum();
    assert!((length - squares).abs() < 1e-4 * length, "{length} is not {squares}");
}

fn set(layer: &mut SampledFeedForward, tensor: usize, at: usize, value: f32) {
    let mut list = layer.parameters_mut();
    let mut tensors = list[tensor].weight_tensors_mut();
    let ElementsMut::F32(w) = &mut tensors[0].elements else { panic!("weights are f32") };
    w[at] = value;
}

#[test]
fn an_index_chooses_no_more_than_it_may_and_threads_change_nothing() {
    let x = numbers(300 * WIDTH, 3);
    for index in [IndexName::Simhash, IndexName::Dwta, IndexName::Blocks] {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| forward(&layer(5, index), &x).0)
        };
        let (_, saved) = forward(&layer(5, index), &x);
        assert!(saved.neurons().iter().all(|neurons| neurons.len() <= 5), "{index:?}");
        assert!(!saved.neurons().items().is_empty(), "{index:?}");
        assert!(run(1) == run(3), "{index:?}");
    }
}
