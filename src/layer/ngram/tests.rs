use super::*;
use crate::config::{Optim, OptimizerName};
use crate::module::Module;
use crate::optim::Step;

const WIDTH: usize = 12;

fn config() -> Ngram {
    Ngram {
        rows: 40,
        layers: vec![0, 2],
        storage: Storage::F32,
        optimizer: OptimizerName::Sgd,
        lr_factor: 1.0,
        ..Ngram::default()
    }
}

fn sgd() -> Optim {
    Optim { name: OptimizerName::Sgd, lr: 1.0, ..Optim::default() }
}

fn tokens(count: usize) -> Vec<u32> {
    (0..count as u32).map(|i| i * i * i % 17).collect()
}

fn numbers(len: usize, salt: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 37 + salt * 11) % 64) as f32 / 32.0 - 1.0).collect()
}

fn f32(parameter: &mut Parameter) -> &mut [f32] {
    match parameter.weight_tensors_mut().remove(0).elements {
        crate::tensor::ElementsMut::F32(weights) => weights,
        _ => panic!("weights are f32"),
    }
}

/// A memory that is no longer empty.
fn filled(config: &Ngram) -> NgramMemory {
    let mut memory = NgramMemory::new(&Scope::of("ngram", &sgd(), 5), config, WIDTH, 2).unwrap();
    let w = f32(memory.table.parameter_mut());
    let len = w.len();
    w.copy_from_slice(&numbers(len, 1));
    memory
}

/// What two layers add to a stream, weighted.
fn loss(memory: &NgramMemory, tokens: &[u32], weights: &[Vec<f32>]) -> f64 {
    let (work, mut saved) = (&mut Workspace::new(Level::detect()), NgramSaved::default());
    memory.look_up(work, tokens, 9, &mut saved);
    let mut sum = 0.0;
    for (at, weights) in weights.iter().enumerate() {
        let mut x = vec![0.5; tokens.len() * WIDTH];
        memory.forward_add(work, at, &mut saved, MatMut::new(&mut x, tokens.len(), WIDTH));
        sum += x.iter().zip(weights).map(|(x, w)| *x as f64 * *w as f64).sum::<f64>();
    }
    sum
}

/// The loss is linear in each weight alone, so a difference over any length is the derivative; its terms, 27 * 12 * 2 below 4 and
/// rounded to f32, are summed in f64.
#[test]
fn gradients_are_finite_differences() {
    let (tokens, work) = (tokens(27), &mut Workspace::new(Level::detect()));
    let weights = [numbers(27 * WIDTH, 2), numbers(27 * WIDTH, 3)];
    let mut memory = filled(&config());
    let before: Vec<Vec<f32>> = memory.parameters().iter().map(|parameter| parameter.f32().to_vec()).collect();
    // Two micro-batches of other sequences, then one step of plain descent.
    let mut saved = NgramSaved::default();
    for range in [0..9, 9..27] {
        memory.look_up(work, &tokens[range.clone()], 9, &mut saved);
        for (at, weights) in weights.iter().enumerate() {
            let mut dx = weights[range.start * WIDTH..range.end * WIDTH].to_vec();
            memory.backward_add(work, at, &mut saved, MatMut::new(&mut dx, range.len(), WIDTH));
            assert_eq!(dx, weights[range.start * WIDTH..range.end * WIDTH]);
        }
        memory.accumulate(work, &mut saved);
    }
    let length = memory.squared_gradient(work);
    let step = Step { number: 1, lr: 1.0, grad_scale: 1.0, seed: 1 };
    memory.update(work, &step);
    let after: Vec<Vec<f32>> = memory.parameters().iter().map(|parameter| parameter.f32().to_vec()).collect();
    let bound = (27 * WIDTH * 2) as f64 * 8.0 * f32::EPSILON as f64;
    let (mut seen, mut squares) = (0, 0.0);
    for (tensor, (before, after)) in before.iter().zip(&after).enumerate() {
        for at in 0..before.len() {
            let moved = |by: f32| {
                let mut memory = filled(&config());
                f32(memory.parameters_mut().swap_remove(tensor))[at] += by;
                loss(&memory, &tokens, &weights)
            };
            let want = (moved(1.0) - moved(-1.0)) / 2.0;
            let got = (before[at] - after[at]) as f64;
            assert!((got - want).abs() <= bound, "weight {at} of tensor {tensor}: {got} is not {want}");
            seen += usize::from(want != 0.0);
        }
        squares += before.iter().zip(after).map(|(b, a)| ((b - a) as f64).powi(2)).sum::<f64>();
    }
    assert!(seen > 100, "only {seen} weights matter");
    assert!((length - squares).abs() < 1e-4 * length, "{length} is not {squares}");
}

#[test]
fn a_memory_starts_as_nothing_and_its_rows_do_not_reach_across_sequences() {
    let memory = NgramMemory::new(&Scope::of("ngram", &sgd(), 5), &config(), WIDTH, 2).unwrap();
    let (work, mut saved) = (&mut Workspace::new(Level::detect()), NgramSaved::default());
    memory.look_up(work, &[1, 2, 3, 1, 2, 3], 3, &mut saved);
    assert!(saved.read().row(4).iter().all(|&x| x == 0.0));
    let heads = memory.config().heads;
    assert!((0..3 * heads).all(|s| saved.ids().row(s) == saved.ids().row(s + 3 * heads)));
    memory.look_up(work, &[1, 2, 3, 1, 2, 3], 6, &mut saved);
    assert_ne!(saved.ids().row(0), saved.ids().row(3 * heads));
}

#[test]
fn rows_of_a_head_are_its_own_and_generation_reads_what_training_read() {
    let (memory, tokens) = (filled(&config()), tokens(20));
    let (work, mut all, mut last) =
        (&mut Workspace::new(Level::detect()), NgramSaved::default(), NgramSaved::default());
    memory.look_up(work, &tokens, 20, &mut all);
    for (sample, ids) in all.ids().iter().enumerate() {
        for (order, &id) in ids.iter().enumerate() {
            assert_eq!(id as usize / 40, order * 2 + sample % 2);
        }
    }
    for (end, count) in [(1, 1), (2, 1), (9, 4), (20, 1)] {
        memory.look_up_last(work, &tokens[..end], count, &mut last);
        for t in 0..count {
            assert_eq!(last.read().row(t), all.read().row(end - count + t));
        }
    }
}

/// A memory of the same rows with gates that are neither open nor equal.
fn gated() -> NgramMemory {
    let mut memory = filled(&Ngram { gate: GateKind::Gate, ..config() });
    for parameter in memory.parameters_mut().into_iter().skip(1) {
        let w = f32(parameter);
        let len = w.len();
        w.iter_mut().zip(numbers(len, 4)).for_each(|(w, by)| *w += by);
    }
    memory
}

/// The loss of one layer behind another on the stream `x`, and its gradient at `x`, by the layers themselves.
fn gated_loss(memory: &mut NgramMemory, x: &[f32], weights: &[f32]) -> (f64, Vec<f32>) {
    let (work, mut saved) = (&mut Workspace::new(Level::detect()), NgramSaved::default());
    let (mut y, mut dx, count) = (x.to_vec(), weights.to_vec(), x.len() / WIDTH);
    memory.look_up(work, &tokens(count), 9, &mut saved);
    (0..2).for_each(|at| memory.forward_add(work, at, &mut saved, MatMut::new(&mut y, count, WIDTH)));
    (0..2).rev().for_each(|at| memory.backward_add(work, at, &mut saved, MatMut::new(&mut dx, count, WIDTH)));
    memory.accumulate(work, &mut saved);
    (y.iter().zip(weights).map(|(y, w)| *y as f64 * *w as f64).sum(), dx)
}

/// Central differences at two steps: their difference is three quarters of the error of the wider one, which is four times
/// that of the narrow one. The loss sums 27 * 12 terms below 8 of numbers that took some ten roundings.
#[test]
fn gradients_through_gates_are_finite_differences() {
    let (x, weights) = (numbers(27 * WIDTH, 5), numbers(27 * WIDTH, 6));
    let mut memory = gated();
    let (_, dx) = gated_loss(&mut memory, &x, &weights);
    let before: Vec<Vec<f32>> = memory.parameters().iter().map(|parameter| parameter.f32().to_vec()).collect();
    let work = &mut Workspace::new(Level::detect());
    let length = memory.squared_gradient(work);
    memory.update(work, &Step { number: 1, lr: 1.0, grad_scale: 1.0, seed: 1 });
    let after: Vec<Vec<f32>> = memory.parameters().iter().map(|parameter| parameter.f32().to_vec()).collect();
    let check = |what: &str, got: f32, moved: &dyn Fn(f32) -> f64| {
        let h = 1.0 / 32.0;
        let [wide, narrow] = [h, h / 2.0].map(|h| (moved(h) - moved(-h)) / (2.0 * h as f64));
        let rounding = 27.0 * WIDTH as f64 * 8.0 * 10.0 * f32::EPSILON as f64 / h as f64;
        let bound = (wide - narrow).abs() + rounding;
        assert!((narrow - got as f64).abs() <= bound, "{what}: {got} is not {narrow} +- {bound}");
        assert!(bound < 0.1, "{what}: {bound} shows nothing");
    };
    for at in (0..x.len()).step_by(7) {
        check(&format!("x[{at}]"), dx[at], &|by| {
            let mut x = x.clone();
            x[at] += by;
            gated_loss(&mut gated(), &x, &weights).0
        });
    }
    let mut squares = 0.0;
    assert_eq!(before.iter().map(Vec::len).collect::<Vec<_>>(), [160 * WIDTH / 2, 2, 2 * WIDTH, 2]);
    for (tensor, (before, after)) in before.iter().zip(&after).enumerate() {
        for at in (0..before.len()).step_by(if tensor == 0 { 13 } else { 1 }) {
            check(&format!("weight {at} of tensor {tensor}"), before[at] - after[at], &|by| {
                let mut memory = gated();
                f32(memory.parameters_mut().swap_remove(tensor))[at] += by;
                gated_loss(&mut memory, &x, &weights).0
            });
        }
        squares += before.iter().zip(after).map(|(b, a)| ((b - a) as f64).powi(2)).sum::<f64>();
    }
    assert!((length - squares).abs() < 1e-4 * length, "{length} is not {squares}");
}

#[test]
fn gates_start_open_as_the_scale_alone_is() {
    let [mut plain, mut gate] = [GateKind::Scale, GateKind::Gate].map(|gate| filled(&Ngram { gate, ..config() }));
    let (x, weights) = (numbers(18 * WIDTH, 5), numbers(18 * WIDTH, 6));
    assert_eq!(gated_loss(&mut plain, &x, &weights), gated_loss(&mut gate, &x, &weights));
    let names: Vec<String> = gate.parameters().iter().map(|parameter| parameter.name().to_owned()).collect();
    assert_eq!(names, ["ngram.weight", "ngram.scale", "ngram.gate.weight", "ngram.gate.bias"]);
}

#[test]
fn the_number_of_threads_changes_no_bit_of_gates() {
    let (x, weights) = (numbers(300 * WIDTH, 5), numbers(300 * WIDTH, 6));
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut memory = gated();
            let loss = gated_loss(&mut memory, &x, &weights);
            let work = &mut Workspace::new(Level::detect());
            memory.update(work, &Step { number: 1, lr: 1.0, grad_scale: 1.0, seed: 1 });
            (loss, memory.parameters().iter().map(|parameter| parameter.f32().to_vec()).collect::<Vec<_>>())
        })
    };
    assert!(run(1) == run(3));
}

#[test]
fn signs_halve_what_two_ngrams_share() {
    let count = |signs: bool| {
        let memory = NgramMemory::new(&Scope::of("ngram", &sgd(), 5), &Ngram { signs, ..config() }, WIDTH, 2).unwrap();
        let (work, mut saved) = (&mut Workspace::new(Level::detect()), NgramSaved::default());
        memory.look_up(work, &(0..2000).collect::<Vec<u32>>(), 2000, &mut saved);
        saved.signs.iter().filter(|&&sign| sign == 1.0).count()
    };
    assert_eq!(count(false), 8000);
    // Two orders and two heads of 2 000 tokens: six standard deviations of a fair coin.
    assert!((count(true) as f64 - 4000.0).abs() < 6.0 * 8000_f64.sqrt() / 2.0);
}
