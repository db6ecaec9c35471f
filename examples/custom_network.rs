//! An architecture of one's own on the parts of the library: two fields of a sample, each a bag of features, whose vectors
//! are multiplied before the output layer scores an active set that the batch shares.
//!
//! `cargo run --release --example custom_network`

use hotrow::active::{ActiveOptions, Selector};
use hotrow::config::{Loss, Optim, Pooling, Storage};
use hotrow::kernels::{Level, MatMut, MatRef};
use hotrow::layer::{Linear, LinearGradient, Table, Workspace};
use hotrow::optim::Step;
use hotrow::{loss, rng::rng, sparse::SparseBatch};
use rand::RngExt;

/// Features of a field, width, labels, samples of a batch.
const SIZES: (usize, usize, usize, usize) = (40, 32, 1600, 64);

/// The network: 30 lines from here to the end of `step`.
struct TwoFields {
    fields: [Table; 2],
    output: Linear,
}

impl TwoFields {
    fn step(
        &mut self,
        work: &mut Workspace,
        batch: &[SparseBatch; 2],
        labels: &[&[u32]],
        choose: &mut Selector,
        step: &Step,
    ) -> f64 {
        let (n, dim) = (labels.len(), self.output.cols());
        let mut h = [vec![0.0; n * dim], vec![0.0; n * dim]];
        for ((table, features), h) in self.fields.iter().zip(batch).zip(&mut h) {
            table.forward(work, features, MatMut::new(h, n, dim));
        }
        let product: Vec<f32> = h[0].iter().zip(&h[1]).map(|(a, b)| a * b).collect();
        let x = MatRef::new(&product, n, dim);

        let active = choose.shared(labels.iter().copied(), &[], &mut rng(1, "tail", step.number as u64));
        let (mut z, mut dx) = (vec![0.0; n * active.len()], vec![0.0; n * dim]);
        self.output.forward(work, x, active.rows(), MatMut::new(&mut z, n, active.len()));
        let total = loss::gradient(Loss::Softmax, work, MatMut::new(&mut z, n, active.len()), &active, labels);
        let dz = MatRef::new(&z, n, active.len());
        self.output.backward(work, dz, active.rows(), MatMut::new(&mut dx, n, dim));

        self.output.update(work, &[LinearGradient { active: active.rows(), dz, x }], step);
        for ((table, features), other) in self.fields.iter_mut().zip(batch).zip([&h[1], &h[0]]) {
            let dh: Vec<f32> = dx.iter().zip(other).map(|(d, other)| d * other).collect();
            let gradient = table.gradient(work, features, MatRef::new(&dh, n, dim));
            table.update(work, &gradient, step);
        }
        total / n as f64
    }
}

#[cfg_attr(test, test)]
fn main() {
    let (features, dim, labels, samples) = SIZES;
    let optim = Optim { lr: 0.02, ..Optim::default() };
    let table = |name| Table::new(name, features, dim, Pooling::Sum, Storage::F32, &optim, 1);
    let output = Linear::new("output", labels, dim, Storage::F32, &optim, 1);
    let mut network = TwoFields { fields: [table("left"), table("right")], output };
    let mut work = Workspace::new(Level::detect());
    let mut choose = Selector::new(ActiveOptions { rows: labels, active: 200, tail: 0.5, correction: true });

    // What is to be learnt: each pair of features has a label of its own.
    let mut losses = Vec::new();
    for number in 1..=600 {
        let mut batch = [SparseBatch::new(features), SparseBatch::new(features)];
        let mut answers = Vec::new();
        let mut rng = rng(1, "samples", number);
        for _ in 0..samples {
            let pair = [0, 1].map(|_| rng.random_range(0..features as u32));
            batch.iter_mut().zip(pair).for_each(|(field, feature)| field.push(&[feature], &[1.0]).expect("a feature"));
            answers.push([pair[0] * features as u32 + pair[1]]);
        }
        let answers: Vec<&[u32]> = answers.iter().map(|answer| &answer[..]).collect();
        let step = Step { number: number as u32, lr: optim.lr, grad_scale: 1.0 / samples as f32, seed: 1 };
        losses.push(network.step(&mut work, &batch, &answers, &mut choose, &step));
    }
    let (first, last) = (losses[0], losses[losses.len() - 1]);
    // The logarithm of the number of labels is the loss of a guess.
    assert!(first > 0.9 * (labels as f64).ln() && last < 0.5 * first, "from {first} to {last}");
}
