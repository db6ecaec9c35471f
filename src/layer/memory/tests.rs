use super::*;
use crate::config::lm::memory::KeysName;
use crate::config::lm::model::Precision;
use crate::config::{Optim, OptimizerName, Storage};
use crate::module::Module;
use crate::optim::Step;
use crate::tensor::ElementsMut;

const WIDTH: usize = 8;
const TOKENS_HERE: usize = 7;

const STREAM: Stream = Stream { width: WIDTH, depth: 3, precision: Precision::F32 };

fn config(keys: KeysName) -> Memory {
    Memory {
        slots: 25,
        heads: 2,
        reads: 3,
        key_width: 6,
        value_width: 5,
        keys,
        storage: Storage::F32,
        optimizer: OptimizerName::Sgd,
        lr_factor: 1.0,
        ..Memory::default()
    }
}

fn sgd() -> Optim {
    Optim { name: OptimizerName::Sgd, lr: 1.0, ..Optim::default() }
}

const STEP: Step = Step { number: 1, lr: 1.0, grad_scale: 1.0, seed: 1 };

fn numbers(len: usize, salt: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 37 + salt * 11) % 64) as f32 / 32.0 - 1.0).collect()
}

/// A layer with weights that matter, and values that are no longer zeros.
fn memory(config: &Memory, stream: Stream) -> (MemoryLayer, ValueTable) {
    let mut layer = MemoryLayer::new(&Scope::of("memory", &sgd(), 5), stream, config).unwrap();
    let mut values = ValueTable::new(&Scope::of("values", &config.rule(), 5), config, stream.width).unwrap();
    let mut parameters = layer.parameters_mut();
    parameters.push(values.table.parameter_mut());
    for parameter in parameters {
        for tensor in parameter.weight_tensors_mut() {
            let ElementsMut::F32(w) = tensor.elements else { panic!("weights are f32") };
            match tensor.name.as_str() {
                "values.weight" => w.copy_from_slice(&numbers(w.len(), 1)),
                "memory.norm.gain" | "memory.query_norm.gain" => {
                    w.iter_mut().enumerate().for_each(|(i, w)| *w = 0.75 + 0.25 * (i % 3) as f32);
                }
                name if name.contains("keys") => {}
                _ => w.iter_mut().for_each(|w| *w *= 3.0),
            }
        }
    }
    layer.rebuild(&mut Workspace::new(Level::detect()));
    (layer, values)
}

/// The sum of the output's numbers, each times a weight, and the slots that were read.
fn loss(layer: &MemoryLayer, values: &ValueTable, x: &[f32]) -> (f64, Ragged<u32>) {
    let (mut y, mut saved) = (vec![0.0; x.len()], MemorySaved::default());
    let (tokens, work) = (x.len() / WIDTH, &mut Workspace::new(Level::detect()));
    layer.forward(work, values, MatRef::new(x, tokens, WIDTH), MatMut::new(&mut y, tokens, WIDTH), &mut saved);
    let weights = numbers(y.len(), 9);
    (y.iter().zip(weights).map(|(y, w)| *y as f64 * w as f64).sum(), saved.slots)
}

fn set(layer: &mut MemoryLayer, values: &mut ValueTable, [tensor, at]: [usize; 2], value: f32) {
    let mut parameters = layer.parameters_mut();
    parameters.push(values.table.parameter_mut());
    let mut tensors = parameters[tensor].weight_tensors_mut();
    let ElementsMut::F32(w) = &mut tensors[0].elements else { panic!("weights are f32") };
    w[at] = value;
}

/// Differences over `2 h` with `h = 1/128` are off by `h^2 / 6 |f'''|` and by rounding of about 60 sums below 4 each to f32,
/// divided by `2 h`: some 1e-3 of either. A gradient that misses one of its paths is off by far more than the 4e-3 allowed, of
/// magnitudes up to several. Where a move changes which slots are read there is no derivative, and nothing is compared.
fn gradients_are_differences(keys: KeysName) {
    let config = config(keys);
    let x = numbers(TOKENS_HERE * WIDTH, 3);
    let (mut layer, mut values) = memory(&config, STREAM);
    let (work, mut saved) = (&mut Workspace::new(Level::detect()), MemorySaved::default());
    let (mut y, mut dx, dy) = (vec![0.0; x.len()], vec![f32::NAN; x.len()], numbers(x.len(), 9));
    let view = |x| MatRef::new(x, TOKENS_HERE, WIDTH);
    layer.forward(work, &values, view(&x), MatMut::new(&mut y, TOKENS_HERE, WIDTH), &mut saved);
    let dout = MatMut::new(&mut dx, TOKENS_HERE, WIDTH);
    layer.backward(work, &mut values, view(&x), &saved, view(&dy), dout);
    let length = layer.squared_gradient(work) + values.table.squared_gradient(work);
    let weights = |layer: &MemoryLayer, values: &ValueTable| -> Vec<Vec<f32>> {
        let list = layer.parameters().into_iter().chain([values.table.parameter()]);
        list.map(|parameter| parameter.f32().to_vec()).collect()
    };
    let before = weights(&layer, &values);
    layer.update(work, &STEP);
    values.update(work, &STEP);
    let after = weights(&layer, &values);

    let h = 1.0 / 128.0;
    let (mut compared, mut skipped) = (0, 0);
    let mut compare = |got: f32, up: (f64, Ragged<u32>), down: (f64, Ragged<u32>), what: String| {
        if up.1 != down.1 {
            skipped += 1;
            return;
        }
        let want = (up.0 - down.0) / (2.0 * h);
        let limit = 4e-3 * want.abs().max(1.0);
        assert!((got as f64 - want).abs() <= limit, "{what}: {got} is not {want}");
        compared += 1;
    };
    let (mut layer, mut values) = memory(&config, STREAM);
    for at in 0..x.len() {
        let moved = |by: f64| {
            let mut x = x.clone();
            x[at] += by as f32;
            loss(&layer, &values, &x)
        };
        compare(dx[at], moved(h), moved(-h), format!("input {at}"));
    }
    for tensor in 0..before.len() {
        for at in 0..before[tensor].len() {
            let mut moved = |by: f64| {
                set(&mut layer, &mut values, [tensor, at], before[tensor][at] + by as f32);
                let loss = loss(&layer, &values, &x);
                set(&mut layer, &mut values, [tensor, at], before[tensor][at]);
                loss
            };
            let got = before[tensor][at] - after[tensor][at];
            compare(got, moved(h), moved(-h), format!("weight {at} of tensor {tensor}"));
        }
    }
    assert!(skipped * 5 < compared, "{skipped} of {compared} moves changed the slots");
    let squares: f64 = before.iter().flatten().zip(after.iter().flatten()).map(|(b, a)| ((b - a) as f64).powi(2)).sum();
    assert!((length - squares).abs() < 1e-4 * length, "{length} is not {squares}");
}

#[test]
fn gradients_with_product_keys_are_finite_differences() {
    gradients_are_differences(KeysName::Product);
}

#[test]
fn gradients_with_a_key_for_each_slot_are_finite_differences() {
    gradients_are_differences(KeysName::Exact);
}

/// Both sum two halves of a score in f32, in the same order; ties are broken alike or there are none.
#[test]
fn the_best_product_keys_are_those_of_a_full_sort() {
    let (config, heads, tokens) = (Memory { slots: 400, reads: 7, key_width: 10, ..config(KeysName::Product) }, 2, 150);
    let (layer, _) = memory(&config, STREAM);
    let Keys::Product(product) = &layer.keys else { panic!("product keys") };
    let data: Vec<f32> = (0..tokens * heads * 10).map(|i| ((i * i) as f32).sin()).collect();
    let (queries, work) = (Queries::new(&data, tokens, heads), &mut Workspace::new(Level::detect()));
    let (slots, scores) = layer.keys.find(work, queries, 7);
    for t in 0..tokens {
        for head in 0..heads {
            let query = &data[(t * heads + head) * 10..][..10];
            let score = |slot: usize| -> f64 {
                let parts = [slot / 20, slot % 20].into_iter().enumerate();
                let half = |(side, key): (usize, usize)| -> f64 {
                    let key = product.halves[head][side].weights().row(key);
                    key.iter().zip(&query[side * 5..]).map(|(k, q)| *k as f64 * *q as f64).sum()
                };
                parts.map(half).sum()
            };
            let mut best: Vec<usize> = (0..400).collect();
            best.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
            let (found, got) = (slots.row(t * heads + head), &scores[(t * heads + head) * 7..]);
            for ((&slot, &best), &got) in found.iter().zip(&best).zip(got) {
                // Ten products below 4 in magnitude; nearly equal ones may change places.
                let bound = 10.0 * 10.0 * 4.0 * f32::EPSILON as f64;
                assert!((score(slot as usize) - score(best)).abs() <= 2.0 * bound, "{slot} is not {best}");
                assert!((got as f64 - score(slot as usize)).abs() <= bound);
            }
        }
    }
}

#[test]
fn training_is_the_same_for_any_number_of_threads_and_learns_with_every_kind_of_key() {
    let stream = Stream { width: 16, depth: 2, precision: Precision::Bf16 };
    let optim = Optim { name: OptimizerName::AdamDense, lr: 0.01, ..Optim::default() };
    let hashed = [KeysName::Simhash, KeysName::Dwta, KeysName::Minhash, KeysName::CrossPolytope];
    for keys in [KeysName::Product, KeysName::Exact, KeysName::Blocks].into_iter().chain(hashed) {
        let config = Memory {
            slots: 1024,
            heads: 2,
            reads: 8,
            key_width: 8,
            value_width: 16,
            keys,
            optimizer: OptimizerName::RowwiseAdagrad,
            lr_factor: 5.0,
            ..Memory::default()
        };
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut layer = MemoryLayer::new(&Scope::of("memory", &optim, 5), stream, &config).unwrap();
                let mut values =
                    ValueTable::new(&Scope::of("values", &config.rule(), 5), &config, stream.width).unwrap();
                let (work, mut saved) = (&mut Workspace::new(Level::detect()), MemorySaved::default());
                let x: Vec<f32> = (0..300 * 16).map(|i| ((i * i) as f32 * 0.37).sin()).collect();
                let tokens = 300;
                let goal: Vec<f32> = (0..x.len()).map(|i| x[i] + ((i * 7919) % 97) as f32 / 97.0 - 0.5).collect();
                let (mut y, mut dx, mut losses) = (vec![0.0; x.len()], vec![0.0; x.len()], Vec::new());
                for number in 1..=25 {
                    layer.rebuild(work);
                    let x = MatRef::new(&x, tokens, 16);
                    layer.forward(work, &values, x, MatMut::new(&mut y, tokens, 16), &mut saved);
                    let dy: Vec<f32> = y.iter().zip(&goal).map(|(y, goal)| y - goal).collect();
                    losses.push(dy.iter().map(|d| d * d).sum::<f32>());
                    let (dy, dx) = (MatRef::new(&dy, tokens, 16), MatMut::new(&mut dx, tokens, 16));
                    layer.backward(work, &mut values, x, &saved, dy, dx);
                    let step = Step { number, lr: 0.05, ..STEP };
                    layer.update(work, &step);
                    values.update(work, &step);
                }
                (losses, y.clone(), dx, values.usage())
            })
        };
        let one = run(1);
        assert!(one.0.last().unwrap() < &(0.95 * one.0[0]), "{keys:?}: {:?}", one.0);
        let Usage { reads, share, divergence } = one.3;
        assert!(reads > 0 && share > 0.05 && divergence > 0.0 && divergence < 1024_f64.ln(), "{keys:?}: {:?}", one.3);
        assert!(one == run(3), "{keys:?}");
    }
}
