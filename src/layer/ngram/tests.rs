use super::*;
use crate::config::OptimizerName;

const WIDTH: usize = 12;

fn model() -> Model {
    Model { width: WIDTH, heads: 2, layers: 3, ..Model::default() }
}

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

/// A memory that is no longer empty.
fn filled(config: &Ngram) -> NgramMemory {
    let mut memory = NgramMemory::new("ngram", config, &model(), &sgd(), 5);
    let mut tensors = memory.table.parameter_mut().weight_tensors_mut();
    let crate::tensor::ElementsMut::F32(w) = &mut tensors[0].elements else { panic!("rows are f32") };
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
        memory.forward(work, at, &saved, MatMut::new(&mut x, tokens.len(), WIDTH));
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
    let before: Vec<Vec<f32>> = memory.list().map(|parameter| parameter.f32().to_vec()).to_vec();
    // Two micro-batches of other sequences, then one step of plain descent.
    let mut saved = NgramSaved::default();
    for range in [0..9, 9..27] {
        memory.look_up(work, &tokens[range.clone()], 9, &mut saved);
        for (at, weights) in weights.iter().enumerate() {
            let dx = &weights[range.start * WIDTH..range.end * WIDTH];
            memory.backward(work, at, &mut saved, MatRef::new(dx, range.len(), WIDTH));
        }
        memory.accumulate(work, &mut saved);
    }
    let length = memory.squared_gradient(work);
    let step = StepOptions { optim: &sgd(), number: 1, lr: 1.0, grad_scale: 1.0, seed: 1, level: work.level };
    memory.update(work, &step);
    let after: Vec<Vec<f32>> = memory.list().map(|parameter| parameter.f32().to_vec()).to_vec();
    let bound = (27 * WIDTH * 2) as f64 * 8.0 * f32::EPSILON as f64;
    let (mut seen, mut squares) = (0, 0.0);
    for (tensor, (before, after)) in before.iter().zip(&after).enumerate() {
        for at in 0..before.len() {
            let moved = |by: f32| {
                let mut memory = filled(&config());
                let mut tensors = memory.list_mut()[tensor].weight_tensors_mut();
                let crate::tensor::ElementsMut::F32(w) = &mut tensors[0].elements else { panic!("weights are f32") };
                w[at] += by;
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
    let memory = NgramMemory::new("ngram", &config(), &model(), &sgd(), 5);
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

#[test]
fn signs_halve_what_two_ngrams_share() {
    let count = |signs: bool| {
        let memory = NgramMemory::new("ngram", &Ngram { signs, ..config() }, &model(), &sgd(), 5);
        let (work, mut saved) = (&mut Workspace::new(Level::detect()), NgramSaved::default());
        memory.look_up(work, &(0..2000).collect::<Vec<u32>>(), 2000, &mut saved);
        saved.signs.iter().filter(|&&sign| sign == 1.0).count()
    };
    assert_eq!(count(false), 8000);
    // Two orders and two heads of 2 000 tokens: six standard deviations of a fair coin.
    assert!((count(true) as f64 - 4000.0).abs() < 6.0 * 8000_f64.sqrt() / 2.0);
}
