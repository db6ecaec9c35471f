//! An architecture of your own on the parts of the library: two fields of a sample, each a bag of features, whose vectors are multiplied
//! before the output layer scores an active set. An index of your own names rows. The public trainer gives it clipping, log,
//! checkpoints and resume: `cargo run --release --example custom_network`

use hotrow::{config, loss, prelude::*, rng::rng};
use rand::RngExt;

const FEATURES: usize = 40; // of a field
const LABELS: usize = FEATURES * FEATURES;
const WIDTH: usize = 32;

/// Which bucket a row or a query is in: the signs of its first six numbers.
fn signs(row: &[f32]) -> u32 {
    row.iter().take(6).fold(0, |bits, &x| bits << 1 | u32::from(x > 0.0))
}

struct TwoFields {
    fields: [Table; 2],
    output: Linear,
    sampled: Sampled,
}

hotrow::module!(TwoFields { fields, output, sampled } then follow);

impl TwoFields {
    fn follow(&mut self, work: &mut Workspace, step: &Step) {
        self.sampled.follow(work, &self.output, step);
    }
}

impl Network for TwoFields {
    type Batch = ([SparseBatch; 2], Vec<[u32; 1]>);
    fn accumulate(&mut self, work: &mut Workspace, (features, labels): &Self::Batch, step: u64) -> Loss {
        let (n, labels) = (labels.len(), labels.iter().map(|l| &l[..]).collect::<Vec<_>>());
        let mut h = [vec![0.0; n * WIDTH], vec![0.0; n * WIDTH]];
        for ((table, features), h) in self.fields.iter().zip(features).zip(&mut h) {
            table.forward(work, features, MatMut::new(h, n, WIDTH));
        }
        let product: Vec<f32> = h[0].iter().zip(&h[1]).map(|(a, b)| a * b).collect();
        let x = MatRef::new(&product, n, WIDTH);
        let active = self.sampled.choose(work, &self.output, x, &labels, step);
        let (mut z, mut dx) = (vec![0.0; n * active.len()], vec![0.0; n * WIDTH]);
        self.output.forward(work, x, active.rows(), MatMut::new(&mut z, n, active.len()));
        let sum = loss::gradient(config::Loss::Softmax, work, MatMut::new(&mut z, n, active.len()), &active, &labels);
        let dz = MatRef::new(&z, n, active.len());
        self.output.backward_add(work, dz, active.rows(), MatMut::new(&mut dx, n, WIDTH));
        self.output.accumulate(dz, active.rows(), x);
        for ((table, features), other) in self.fields.iter_mut().zip(features).zip([&h[1], &h[0]]) {
            let dh: Vec<f32> = dx.iter().zip(other).map(|(d, other)| d * other).collect();
            table.backward(work, features, MatRef::new(&dh, n, WIDTH));
        }
        Loss { sum, samples: n }
    }
}

/// Each pair of features has a label of its own.
fn batch(step: u64) -> ([SparseBatch; 2], Vec<[u32; 1]>) {
    let mut rng = rng(1, "samples", step);
    let pairs: Vec<[u32; 2]> = (0..64).map(|_| [0; 2].map(|_| rng.random_range(0..FEATURES as u32))).collect();
    let offsets: Vec<usize> = (0..=64).collect();
    let field = |f: usize| {
        let ids: Vec<u32> = pairs.iter().map(|pair| pair[f]).collect();
        SparseBatch::from_csr(FEATURES, &offsets, &ids, &[1.0; 64]).expect("a feature each")
    };
    ([field(0), field(1)], pairs.iter().map(|[a, b]| [a * FEATURES as u32 + b]).collect())
}

#[cfg_attr(test, test)]
fn main() {
    let (folder, level) = (tempfile::tempdir().expect("a folder"), Level::detect());
    let run = |name: &str, signals: Signals| {
        let optim = Optim { lr: 0.02, clip: 1.0, ..Optim::default() };
        let scope = Scope::fresh(&optim, 1, level);
        let table = |name| Table::new(&scope.child(name), FEATURES, WIDTH, Pooling::Sum, Storage::F32);
        let output = Linear::new(&scope.child("output"), LABELS, WIDTH, Storage::F32)?;
        let options = SampledOptions { active: 200, tail: 0.5, hits: 8, rebuilds: Rebuilds::new(20, 20), seed: 1 };
        let sampled = Sampled::new("output", &output, Box::new(Buckets::new("signs", signs)), &options, level);
        let network = TwoFields { fields: [table("left")?, table("right")?], output, sampled };
        let plan = Plan { optim, train: Schedule { steps: 600, save_every: 100, ..Schedule::default() } };
        let (trainer, out) = (Trainer::new(network, plan, level)?, folder.path().join(name));
        trainer.run(&out, batch, &Options::new(level), &signals, &mut ())
    };
    let whole = run("whole", Signals::unconnected()).expect("the run ends");
    // Stopped after step 250 and begun again by the same call, it ends in the same bits.
    assert_eq!(run("stopped", Signals::unconnected().stop_after(250)).unwrap_err().exit_code(), 75);
    assert_eq!(run("stopped", Signals::unconnected()).expect("it resumes").digest, whole.digest);
    // The logarithm of the number of labels is the loss of a guess.
    assert!(whole.metrics["train_loss"] < 0.8 * (LABELS as f64).ln(), "{whole}");
}
