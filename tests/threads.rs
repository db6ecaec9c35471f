//! The number of threads changes no bit.

use hotrow::config::{Config, IndexName, Loss, Mode, OptimizerName, Storage};
use hotrow::data::{Batch, Samples};
use hotrow::kernels::Level;
use hotrow::module::Module;
use hotrow::rng::rng;
use hotrow::train::xmc::Trainer;
use rand::RngExt;

const FEATURES: usize = 500;
const LABELS: usize = 3000;

fn batch(step: u64) -> Batch {
    let mut rng = rng(9, "test", step);
    let mut batch = Batch::new(FEATURES);
    for _ in 0..100 {
        let mut features: Vec<u32> = (0..10).map(|_| rng.random_range(0..FEATURES as u32)).collect();
        features.sort_unstable();
        features.dedup();
        batch.features.push(&features, &vec![1.0; features.len()]).unwrap();
        let mut labels: Vec<u32> = (0..3).map(|_| rng.random_range(0..LABELS as u32)).collect();
        labels.sort_unstable();
        labels.dedup();
        batch.labels.push(labels);
    }
    batch
}

/// Samples that stand in batches.
struct Batches(Vec<Batch>);

impl Samples for Batches {
    fn len(&self) -> usize {
        self.0.iter().map(Batch::len).sum()
    }

    fn features(&self) -> usize {
        FEATURES
    }

    fn labels(&self) -> usize {
        LABELS
    }

    fn read(&self, sample: usize, out: &mut Batch) {
        let (batch, row) = (&self.0[sample / 100], sample % 100);
        out.features.push_row(batch.features.row(row));
        out.labels.push(batch.labels.row(row).iter().copied());
    }
}

/// Losses and all weights after a few steps with `threads` threads.
fn run(config: &Config, threads: usize) -> (Vec<f64>, Vec<Vec<u8>>) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let mut trainer = Trainer::new(config.clone(), FEATURES, LABELS, 6, Level::detect()).unwrap();
        let all = (0..6).map(batch).collect();
        trainer.learn_index(&Batches(all));
        let losses = (0..6).map(|step| trainer.step(&batch(step)).unwrap().loss).collect();
        trainer.settle();
        let tensors = trainer.network.weight_tensors().into_iter().chain(trainer.network.state_tensors());
        (losses, tensors.map(|tensor| tensor.elements.bytes().to_vec()).collect())
    })
}

#[test]
fn one_two_three_and_eight_threads_give_the_same_bits() {
    let mut cases = Vec::new();
    for (index, mode) in [
        (IndexName::All, Mode::Shared),
        (IndexName::Simhash, Mode::Shared),
        (IndexName::Blocks, Mode::Shared),
        (IndexName::Dwta, Mode::PerSample),
        (IndexName::Inverted, Mode::Shared),
    ] {
        let mut config = Config::default();
        (config.sparse.index, config.sparse.mode, config.sparse.active) = (index, mode, 600);
        (config.model.hidden, config.sparse.rebuild_every) = (vec![48], 2);
        config.optim.clip = 0.5;
        cases.push(config);
    }
    // So many rows that products are packed; with 600 of 3000, they are sampled.
    let mut many = cases[3].clone();
    many.sparse.active = 1200;
    cases.push(many);
    let mut other = cases[1].clone();
    (other.model.storage, other.model.loss, other.optim.name) =
        (Storage::Bf16, Loss::Bce, OptimizerName::RowwiseAdagrad);
    (other.model.hidden, other.model.sampled_hidden, other.sparse.micro_batch) = (vec![48, 300], vec![2], 33);
    cases.push(other);
    let mut other = cases[2].clone();
    (other.model.storage, other.optim.name, other.optim.eight_bit) = (Storage::Bf16Master, OptimizerName::Adam, true);
    cases.push(other);
    // So many rows that products are packed; with 600 of 3000, they are sampled.
    let mut many = cases[3].clone();
    many.sparse.active = 1200;
    cases.push(many);
    let mut other = cases[1].clone();
    other.sparse.frozen = true;
    cases.push(other);
    for config in cases {
        let one = run(&config, 1);
        for threads in [2, 3, 8] {
            assert!(run(&config, threads) == one, "{threads} threads differ from one: {config:?}");
        }
    }
}
