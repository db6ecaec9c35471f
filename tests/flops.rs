//! Operations are counted as one counts them by hand: a multiply-add is two.

use hotrow::active::ActiveSet;
use hotrow::config::lm::head::HeadMode;
use hotrow::config::lm::memory::KeysName;
use hotrow::config::lm::model::{Activation, Precision};
use hotrow::config::lm::{Head, Memory, Model, Ngram};
use hotrow::config::{Config, IndexName, IndexOptions, Loss, Optim, OptimizerName, Pooling, Storage};
use hotrow::data::Batch;
use hotrow::flops::Phase;
use hotrow::kernels::{Level, MatMut, MatRef};
use hotrow::layer::attention::rotations;
use hotrow::layer::ngram::NgramSaved;
use hotrow::layer::per_sample::Sets;
use hotrow::layer::{
    Attention, BlockFeedForward, BlockFeedForwardOptions, Dense, DenseHead, FeedForward, Linear, LinearGradient,
    MemoryLayer, NgramMemory, RmsNorm, RowTable, SampledFeedForward, SampledFeedForwardOptions, SampledHead, Table,
    ValueTable, Workspace,
};
use hotrow::loss;
use hotrow::model::Gpt;
use hotrow::module::Module;
use hotrow::optim::{Init, Parameter, Scope, Step};
use hotrow::ragged::Ragged;
use hotrow::sparse::SparseBatch;
use hotrow::train::xmc::Trainer;

/// Operations in this phase, executed and of a dense network, since the last call.
fn counted(work: &mut Workspace, phase: Phase) -> (u64, u64) {
    let cost = *work.costs.of(phase);
    work.costs = Default::default();
    (cost.flops, cost.dense_flops)
}

fn new() -> Workspace {
    Workspace::new(Level::detect())
}

fn scope(optim: &Optim) -> Scope {
    Scope::fresh(optim, 7, Level::detect()).child("layer")
}

fn sgd() -> Optim {
    Optim { name: OptimizerName::Sgd, ..Optim::default() }
}

const STEP: Step = Step { number: 1, lr: 0.1, grad_scale: 1.0, seed: 1 };

/// Width 4, two heads.
fn model() -> Model {
    Model { width: 4, heads: 2, layers: 1, context: 8, precision: Precision::F32, ..Model::default() }
}

#[test]
fn a_linear_layer_counts_the_rows_that_are_active() {
    let (mut work, optim) = (new(), sgd());
    let mut layer = Linear::new(&scope(&optim), 5, 4, Storage::F32).unwrap();
    let x = [1.0; 12];
    let x = MatRef::new(&x, 3, 4);
    // Three samples, two of five rows of four: 3 * 2 * 4 * 2, and 3 * 5 * 4 * 2.
    let active = ActiveSet::of(vec![1, 3], 5);
    let mut z = [0.0; 6];
    layer.forward(&mut work, x, active.rows(), MatMut::new(&mut z, 3, 2));
    assert_eq!(counted(&mut work, Phase::Gemm), (48, 120));
    let mut dx = [0.0; 12];
    layer.backward_add(&mut work, MatRef::new(&z, 3, 2), active.rows(), MatMut::new(&mut dx, 3, 4));
    assert_eq!(counted(&mut work, Phase::Gemm), (48, 120));
    let gradient = LinearGradient { active: active.rows(), dz: MatRef::new(&z, 3, 2), x };
    layer.step_along(&mut work, &[gradient], &STEP);
    assert_eq!(counted(&mut work, Phase::Update), (48, 120));
    // All rows.
    let mut z = [0.0; 15];
    layer.forward(&mut work, x, ActiveSet::all(5).rows(), MatMut::new(&mut z, 3, 5));
    assert_eq!(counted(&mut work, Phase::Gemm), (120, 120));
    // Sets of one, two and no rows: 3 pairs of four numbers.
    let sets = Sets::new(Ragged::from_iter([vec![0], vec![0, 4], vec![]]));
    let mut z = [0.0; 3];
    layer.forward_per_sample(&mut work, x, &sets, &mut z);
    assert_eq!(counted(&mut work, Phase::Gemm), (24, 120));
    layer.backward_per_sample_add(&mut work, &z, &sets, MatMut::new(&mut dx, 3, 4));
    assert_eq!(counted(&mut work, Phase::Gemm), (24, 120));
    layer.update_per_sample(&mut work, x, &z, &sets, &STEP);
    assert_eq!(counted(&mut work, Phase::Update), (24, 120));
}

#[test]
fn a_loss_counts_twenty_operations_a_logit() {
    let (mut work, mut z) = (new(), [0.0; 6]);
    let active = ActiveSet::of(vec![1, 3], 5);
    loss::gradient(Loss::Softmax, &mut work, MatMut::new(&mut z, 3, 2), &active, &[&[1], &[3], &[1, 3]]);
    // 3 * 2 logits of 3 * 5.
    assert_eq!(counted(&mut work, Phase::Softmax), (120, 300));
}

#[test]
fn tables_count_the_rows_that_are_looked_up() {
    let (mut work, optim) = (new(), sgd());
    let mut table = Table::new(&scope(&optim), 9, 4, Pooling::Sum, Storage::F32).unwrap();
    let mut batch = SparseBatch::new(9);
    batch.push(&[1, 5], &[1.0, 2.0]).unwrap();
    batch.push(&[5], &[1.0]).unwrap();
    let mut h = [0.0; 8];
    // Three features in all, four numbers each.
    table.forward(&mut work, &batch, MatMut::new(&mut h, 2, 4));
    assert_eq!(counted(&mut work, Phase::Forward), (24, 24));
    table.backward(&mut work, &batch, MatRef::new(&h, 2, 4));
    table.update(&mut work, &STEP);
    assert_eq!(counted(&mut work, Phase::Update), (24, 24));

    let rows = Parameter::new("rows", 9, 4, Storage::F32, &optim, Init::Normal(1.0), 7);
    let (mut rows, ids) = (RowTable::new(rows), Ragged::from_iter([vec![3, 5], vec![5]]));
    rows.forward_add(&mut work, &ids, &[1.0; 3], MatMut::new(&mut h, 2, 4));
    assert_eq!(counted(&mut work, Phase::Forward), (24, 24));
    rows.accumulate(&ids, &[1.0; 3], MatRef::new(&h, 2, 4));
    rows.update(&mut work, &STEP);
    assert_eq!(counted(&mut work, Phase::Update), (24, 24));

    // Four tokens, two heads of four numbers, a bigram and a trigram each: 4 * 2 * 2 * 4 * 2.
    let (model, config) = (Model { width: 8, ..model() }, Ngram { rows: 50, ..Ngram::default() });
    let (memory, mut saved) = (
        NgramMemory::new(&scope(&optim), &config, model.width, config.blocks(&model).len()).unwrap(),
        NgramSaved::default(),
    );
    memory.look_up(&mut work, &[1, 2, 3, 1], 4, &mut saved);
    assert_eq!(counted(&mut work, Phase::Forward), (128, 128));
}

#[test]
fn dense_products_count_every_weight_for_every_token() {
    let (mut work, optim) = (new(), sgd());
    let mut layer = Dense::new(&scope(&optim), 6, 4, 0.1, Precision::F32).unwrap();
    let (x, mut y, mut dx) = ([1.0; 12], [0.0; 18], [0.0; 12]);
    layer.forward(&mut work, MatRef::new(&x, 3, 4), MatMut::new(&mut y, 3, 6));
    // 3 * 6 * 4 * 2.
    assert_eq!(counted(&mut work, Phase::Forward), (144, 144));
    layer.backward(&mut work, MatRef::new(&y, 3, 6), MatMut::new(&mut dx, 3, 4));
    layer.accumulate(&mut work, MatRef::new(&x, 3, 4), MatRef::new(&y, 3, 6));
    assert_eq!(counted(&mut work, Phase::Backward), (288, 288));

    // A few operations a number are not counted.
    let norm = RmsNorm::new(&scope(&optim), 4).unwrap();
    norm.forward(&mut work, MatRef::new(&x, 3, 4), MatMut::new(&mut dx, 3, 4), &mut [0.0; 3]);
    assert_eq!(work.costs.total().flops, 0);
}

#[test]
fn attention_counts_the_pairs_of_tokens_that_see_each_other() {
    let x = [0.5; 32];
    for (window, pairs) in [(0, 20), (2, 14)] {
        // Two sequences of four tokens: 1 + 2 + 3 + 4 pairs each, or 1 + 2 + 2 + 2.
        let (mut work, model) = (new(), Model { window, ..model() });
        let mut layer = Attention::new(&scope(&sgd()), (&model).into(), (&model).into(), rotations(&model)).unwrap();
        let (mut y, mut dx, mut saved) = ([0.0; 32], [0.0; 32], Default::default());
        layer.forward(&mut work, MatRef::new(&x, 8, 4), 4, MatMut::new(&mut y, 8, 4), &mut saved);
        // Queries, keys and values 8 * 4 * 12 * 2, output 8 * 4 * 4 * 2; of each pair a score and a sum, 4 numbers each.
        let (qkv, out) = (768, 256);
        let want = qkv + out + pairs * 4 * 2 * 2;
        assert_eq!(counted(&mut work, Phase::Forward), (want, want));
        let (x, y) = (MatRef::new(&x, 8, 4), MatRef::new(&y, 8, 4));
        layer.backward(&mut work, x, 4, &saved, y, MatMut::new(&mut dx, 8, 4));
        // Each product twice; of each pair the score anew, and the gradients of query, key, value and score.
        let want = 2 * qkv + 2 * out + pairs * 5 * 4 * 2;
        assert_eq!(counted(&mut work, Phase::Backward), (want, want));
    }
}

#[test]
fn feed_forward_layers_count_the_neurons_that_a_token_computes() {
    let (x, mut y, mut dx) = ([0.5; 12], [0.0; 12], [0.0; 12]);
    // Three tokens, 16 neurons up and down: 3 * 4 * 16 * 2 * 2. With a gate of 6 neurons, 12 up and 6 down.
    for (activation, inner, want) in [(Activation::ReluSquared, 0, 768), (Activation::Swiglu, 6, 288 + 144)] {
        let (mut work, model) = (new(), Model { activation, feed_forward: inner, ..model() });
        let mut layer = FeedForward::new(&scope(&sgd()), (&model).into(), model.inner(), model.activation).unwrap();
        let mut saved = Default::default();
        layer.forward(&mut work, MatRef::new(&x, 3, 4), MatMut::new(&mut y, 3, 4), &mut saved);
        assert_eq!(counted(&mut work, Phase::Forward), (want, want));
        let dy = MatRef::new(&y, 3, 4);
        layer.backward(&mut work, MatRef::new(&x, 3, 4), &saved, dy, MatMut::new(&mut dx, 3, 4));
        assert_eq!(counted(&mut work, Phase::Backward), (2 * want, 2 * want));
    }
    // Three of 16 neurons: 3 * 3 * 4 * 2 * 2 of 768; to find them exactly, all of 16: 3 * 16 * 4 * 2.
    let (mut work, optim) = (new(), sgd());
    let index = IndexOptions { index: IndexName::Exact, ..IndexOptions::default() };
    let options = SampledFeedForwardOptions { active: 3, index, rebuild_every: 50 };
    let mut layer = SampledFeedForward::new(&scope(&optim), (&model()).into(), model().inner(), &options).unwrap();
    layer.rebuild(&mut work);
    let mut saved = Default::default();
    layer.forward(&mut work, MatRef::new(&x, 3, 4), MatMut::new(&mut y, 3, 4), &mut saved);
    assert_eq!(work.costs.of(Phase::Select).flops, 384);
    assert_eq!(counted(&mut work, Phase::Forward), (144, 768));
    let dy = MatRef::new(&y, 3, 4);
    layer.backward(&mut work, MatRef::new(&x, 3, 4), &saved, dy, MatMut::new(&mut dx, 3, 4));
    layer.update(&mut work, &STEP);
    // Back to the input, and to the weights, which the update does.
    assert_eq!(work.costs.of(Phase::Update).flops, 144);
    assert_eq!((work.costs.total().flops, work.costs.total().dense_flops), (2 * 144, 2 * 768));
    // One of four blocks of four neurons: 3 * 4 * 4 * 2 * 2, and the router 3 * 4 * 4 * 2.
    let (mut work, options) = (new(), BlockFeedForwardOptions { neurons: 4, chosen: 1, balance: 0.001 });
    let layer = BlockFeedForward::new(&scope(&sgd()), (&model()).into(), model().inner(), options).unwrap();
    let mut saved = Default::default();
    layer.forward(&mut work, MatRef::new(&x, 3, 4), MatMut::new(&mut y, 3, 4), &mut saved);
    assert_eq!(counted(&mut work, Phase::Forward), (192 + 96, 768 + 96));
}

#[test]
fn heads_count_three_products_with_the_rows_they_compute() {
    let (mut work, optim) = (new(), sgd());
    let mut weights = Dense::new(&scope(&optim), 50, 4, 0.1, Precision::F32).unwrap();
    let (x, mut dx) = ([1.0; 12], [0.0; 12]);
    let x = MatRef::new(&x, 3, 4);
    // Logits, and back to input and weights: 3 * 50 * 4 * 2 each.
    DenseHead::default().accumulate(&mut work, &mut weights, x, &[7, 8, 9], MatMut::new(&mut dx, 3, 4));
    assert_eq!(counted(&mut work, Phase::Gemm), (3600, 3600));
    let config = Head { mode: HeadMode::Sampled, active: 20, tail: 0.5, index: IndexName::Random, ..Head::default() };
    let mut head = SampledHead::new(&scope(&sgd()), &config, vec![0, 1], &weights).unwrap();
    head.rebuild(&mut work, &weights);
    work.costs = Default::default();
    head.accumulate(&mut work, &mut weights, x, &[7, 8, 9], 0, MatMut::new(&mut dx, 3, 4));
    // Targets, hot tokens, and random ones up to 20: 3 * 20 * 4 * 2 in three products.
    assert_eq!(counted(&mut work, Phase::Gemm), (1440, 3600));
}

#[test]
fn building_an_index_counts_what_the_index_counts() {
    let mut work = new();
    let weights = Dense::new(&scope(&sgd()), 50, 4, 0.1, Precision::F32).unwrap();
    for index in [IndexName::Simhash, IndexName::Blocks] {
        let config = Head { mode: HeadMode::Sampled, active: 20, index, ..Head::default() };
        let mut head = SampledHead::new(&scope(&sgd()), &config, vec![0, 1], &weights).unwrap();
        let before = head.index().flops();
        head.rebuild(&mut work, &weights);
        let built = head.index().flops() - before;
        assert_eq!(counted(&mut work, Phase::Hash), (built, 0));
        assert!(built >= 2 * 50 * 4, "every row is hashed or compared: {built}");
    }
}

#[test]
fn a_memory_counts_queries_keys_reads_and_products() {
    let (mut work, optim, model) = (new(), sgd(), model());
    let config = Memory {
        slots: 25,
        heads: 2,
        reads: 3,
        key_width: 6,
        value_width: 5,
        keys: KeysName::Product,
        storage: Storage::F32,
        ..Memory::default()
    };
    let layer = MemoryLayer::new(&scope(&optim), (&model).into(), &config).unwrap();
    let values = ValueTable::new(&scope(&config.rule()), &config, model.width).unwrap();
    let (x, mut y, mut saved) = ([0.5; 12], [0.0; 12], Default::default());
    layer.forward(&mut work, &values, MatRef::new(&x, 3, 4), MatMut::new(&mut y, 3, 4), &mut saved);
    // Three tokens. Queries of two heads: 4 * 12; five half keys of three numbers, two halves, two heads: 2 * 2 * 5 * 3;
    // three values of five numbers for either head: 2 * 3 * 5; gate 4 * 5 and output 5 * 4.
    assert_eq!(counted(&mut work, Phase::Forward).0, 3 * 2 * (48 + 60 + 30 + 20 + 20));
}

#[test]
fn a_training_step_of_a_classifier_is_the_sum_of_its_layers() {
    let mut config = Config::default();
    config.model.hidden = vec![4];
    config.sparse.index = IndexName::All;
    let mut trainer = Trainer::new(config, 9, 5, 10, Level::detect()).unwrap();
    let mut batch = Batch::new(9);
    for features in [[1, 5], [2, 5], [3, 7]] {
        batch.features.push(&features, &[1.0, 1.0]).unwrap();
        batch.labels.push([features[0] - 1]);
    }
    trainer.step(&batch).unwrap();
    let total = trainer.work.costs.total();
    // Three samples of two features: 6 * 4 * 2, forward and update. Five labels: 3 * 5 * 4 * 2, forward, backward, update.
    // Fifteen logits.
    let want = 2 * 48 + 3 * 120 + 20 * 15;
    assert_eq!((total.flops, total.dense_flops), (want, want));
}

#[test]
fn a_language_model_is_the_sum_of_its_blocks_and_its_head() {
    let (mut work, optim) = (new(), sgd());
    let mut gpt =
        Gpt::new(&Scope::fresh(&optim, 7, Level::detect()), &Model { layers: 2, ..model() }.into(), 50, vec![])
            .unwrap();
    let (tokens, targets) = ([1, 2, 3, 4, 5, 6, 7, 8], [2, 3, 4, 5, 6, 7, 8, 9]);
    gpt.accumulate(&mut work, &tokens, &targets, 4);
    // Of a block the attention of the test above, and 8 * 4 * 16 * 2 * 2 for 16 neurons; forward once, backward twice.
    let (attention, back) = (768 + 256 + 20 * 16, 2 * (768 + 256) + 20 * 40);
    let neurons = 2048;
    assert_eq!(work.costs.of(Phase::Forward).flops, 2 * (attention + neurons));
    assert_eq!(work.costs.of(Phase::Backward).flops, 2 * (back + 2 * neurons));
    assert_eq!(work.costs.of(Phase::Gemm).flops, 3 * 8 * 50 * 4 * 2);
}
