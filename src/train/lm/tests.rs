#![cfg_attr(not(feature = "text"), allow(unused_imports))] // Some tests need a tokenizer that encodes.

use std::sync::Arc;

use serde_json::json;

use super::estimate::check_fits;
use super::*;
use crate::checkpoint::{self, Contents, TrainerState};
use crate::config::lm::feed_forward::{FeedForwardKind, FeedForwardOptions};
use crate::config::lm::model::{Activation, Precision};
use crate::config::lm::{Head, Lm, Memory, Model, Ngram, head::HeadMode, memory::KeysName};
use crate::config::{IndexName, OptimizerName, Storage};
use crate::data::Sequences;
use crate::data::tokens::{TokenFile, TokenWriter};
use crate::kernels::Level;
use crate::module::Module;
use crate::tensor::Elements;
use crate::work::Workspace;

const VOCABULARY: usize = 20;

fn lm(micro_batch: usize) -> Lm {
    let mut lm = Lm::default();
    // Without rounding to bf16, which differs between a product with one token and one with several.
    lm.model = Model { vocabulary: VOCABULARY, width: 16, heads: 2, layers: 2, context: 8, ..lm.model };
    lm.model.precision = Precision::F32;
    (lm.train.batch_tokens, lm.train.micro_batch, lm.train.steps) = (40, micro_batch, 10);
    lm
}

fn file(tokens: usize) -> Arc<TokenFile> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.tokens");
    let mut writer = TokenWriter::create(&path, VOCABULARY, None, 7).unwrap();
    let tokens: Vec<u32> = (0..tokens as u32).map(|i| i * i % 17).collect();
    writer.append(&tokens, 3 * tokens.len() as u64).unwrap();
    writer.finish().unwrap();
    TokenFile::open(&path).unwrap().into()
}

fn trained(micro_batch: usize, steps: u64) -> (Trainer, Vec<StepReport>) {
    let config = lm(micro_batch);
    let mut sequences = Sequences::new(file(200), config.context(), config.sequences(), 1).unwrap();
    let mut trainer = Trainer::new(config, vec![], 10, Level::detect()).unwrap();
    let reports = (0..steps).map(|_| trainer.step(&mut sequences).unwrap()).collect();
    (trainer, reports)
}

/// Sums of 40 losses, and of as many gradients, in another order.
#[test]
fn a_step_in_micro_batches_is_the_step_as_a_whole() {
    let ((whole, want), (parts, got)) = (trained(5, 1), trained(2, 1));
    let close = |a: f64, b: f64| (a - b).abs() <= 40.0 * f64::from(f32::EPSILON) * a.abs().max(1.0);
    assert!(close(want[0].loss, got[0].loss), "{} {}", want[0].loss, got[0].loss);
    assert!(close(want[0].gradient_norm, got[0].gradient_norm));
    assert_eq!((want[0].tokens, want[0].lr), (got[0].tokens, got[0].lr));
    // A first step of Adam is `lr` along the signs of the gradient, whatever its size: it is the same but where that is nothing.
    let lr = want[0].lr;
    for (a, b) in whole.network.weight_tensors().iter().zip(parts.network.weight_tensors()) {
        let (Elements::F32(a), Elements::F32(b)) = (a.elements, b.elements) else { panic!("weights are f32") };
        let far = a.iter().zip(b).filter(|(a, b)| (*a - *b).abs() > 0.01 * lr).count();
        assert!(far <= a.len() / 50, "{far} of {}", a.len());
    }
}

#[test]
fn steps_lower_the_loss_and_the_gradient_is_clipped_after_it_was_measured() {
    let (_, reports) = trained(0, 10);
    assert!(reports[9].loss < reports[0].loss, "{reports:?}");
    assert!((reports[0].loss - (VOCABULARY as f64).ln()).abs() < 0.3, "{}", reports[0].loss);
    assert!(reports.iter().all(|report| report.gradient_norm > 0.0));
}

#[test]
fn every_token_but_the_first_is_measured_once_in_its_window() {
    let (mut trainer, _) = trained(0, 5);
    let work = &mut Workspace::new(Level::detect());
    // Windows of 8: none, one in part, whole ones, and some with a part.
    for tokens in [2, 8, 9, 17, 30, 8205] {
        let file = file(tokens);
        let got = evaluate(&mut trainer.network, work, &file, 8);
        let mut all = vec![0; tokens];
        file.read(0, &mut all);
        let want: f64 = (0..tokens - 1)
            .step_by(8)
            .map(|from| {
                let to = (from + 8).min(tokens - 1);
                let mut losses = vec![0.0; to - from];
                trainer.network.losses(work, &all[from..to], &all[from + 1..=to], to - from, &mut losses);
                losses.iter().map(|&loss| f64::from(loss)).sum::<f64>()
            })
            .sum();
        assert_eq!((got.tokens, got.source_bytes), (tokens as u64 - 1, 3 * tokens as u64));
        // Each loss comes of some hundred f32 operations.
        let bound = 100.0 * f64::from(f32::EPSILON) * want.max(1.0);
        assert!((got.nats - want).abs() <= bound, "{tokens} tokens: {} is not {want}", got.nats);
    }
}

#[test]
fn settling_brings_rows_that_slept_to_the_step_of_the_run() {
    let mut config = lm(0);
    config.ngram = Ngram { rows: 64, optimizer: OptimizerName::Adam, storage: Storage::F32, ..Ngram::default() };
    let mut sequences = Sequences::new(file(200), config.context(), 1, 1).unwrap();
    let mut trainer = Trainer::new(config, vec![], 10, Level::detect()).unwrap();
    (0..5).for_each(|_| assert!(trainer.step(&mut sequences).is_ok()));
    let rows = |trainer: &Trainer| {
        let table = trainer.network.memories.ngram.as_ref().unwrap().table.parameter();
        let steps: Vec<u32> = table
            .state_tensors()
            .iter()
            .find_map(|tensor| match tensor.elements {
                Elements::U32(steps) => Some(steps.to_vec()),
                _ => None,
            })
            .unwrap();
        (table.f32().to_vec(), steps)
    };
    let (before, slept) = rows(&trainer);
    trainer.settle();
    let (after, steps) = rows(&trainer);
    assert_eq!(steps, vec![5; slept.len()]);
    let cols = before.len() / slept.len();
    // Those that had a gradient once and then slept have moved on; those that never had one are zeros still.
    let moved = |row: usize| before[row * cols..][..cols] != after[row * cols..][..cols];
    assert!(slept.iter().enumerate().all(|(row, &step)| moved(row) == (0 < step && step < 5)), "{slept:?}");
    assert!(slept.iter().any(|&step| 0 < step && step < 5));
}

/// A sample of one position that an exact index makes has the best rows, and one of all rows has everything.
#[test]
fn a_look_at_samples_finds_what_is_in_them() {
    let look = |active: usize, index: IndexName| {
        let mut config = lm(0);
        let head = Head { mode: HeadMode::Sampled, active, hot: 0, tail: 0.2, chunk: 1, index, ..Head::default() };
        config.head = Head { hits: 11, ..head };
        let mut sequences = Sequences::new(file(200), config.context(), config.sequences(), 1).unwrap();
        let mut trainer = Trainer::new(config, vec![], 10, Level::detect()).unwrap();
        let before = trainer.work.costs;
        let health = trainer.inspect(&mut sequences);
        assert_eq!(trainer.work.costs, before);
        health
    };
    // Twelve rows: a target, ten hits or eleven, and the tail.
    let best = look(15, IndexName::Exact).unwrap();
    assert_eq!((best.recall, best.union_rows), (1.0, 15));
    assert!(best.captured_mass > 0.5 && best.captured_mass < 1.0, "{best:?}");
    let all = look(VOCABULARY, IndexName::Exact).unwrap();
    assert_eq!((all.recall, all.union_rows), (1.0, VOCABULARY));
    // A sum of 20 exponentials in another order.
    assert!((all.captured_mass - 1.0).abs() < 1e-5 && all.log_z_drift.abs() < 1e-5, "{all:?}");
    assert_eq!(look(15, IndexName::All), None);
}

#[test]
fn looks_change_nothing_of_a_run() {
    let run = |looks: bool| {
        let mut config = lm(2);
        config.head =
            Head { mode: HeadMode::Sampled, active: 12, hot: 2, chunk: 16, rebuild_every: 3, ..Head::default() };
        config.memory = Memory { slots: 64, key_width: 8, keys: KeysName::Simhash, ..Memory::default() };
        config.ngram = Ngram { rows: 64, optimizer: OptimizerName::Adam, ..Ngram::default() };
        let mut sequences = Sequences::new(file(200), config.context(), config.sequences(), 1).unwrap();
        let mut trainer = Trainer::new(config, vec![0, 1], 10, Level::detect()).unwrap();
        for _ in 0..8 {
            assert!(!looks || trainer.inspect(&mut sequences).is_some());
            let step = trainer.step(&mut sequences).unwrap();
            // Targets may be more than a sample has room for.
            assert!((40 * 12..40 * VOCABULARY as u64).contains(&step.pairs), "{}", step.pairs);
        }
        trainer
    };
    let (with, without) = (run(true), run(false));
    assert_eq!(with.network.weight_tensors(), without.network.weight_tensors());
    assert_eq!(with.network.state_tensors(), without.network.state_tensors());
}

#[test]
fn a_sample_without_random_tokens_is_refused() {
    let mut config = lm(0);
    config.head = Head { mode: HeadMode::Sampled, active: 12, tail: 0.01, ..Head::default() };
    let error = Trainer::new(config, vec![], 10, Level::detect()).unwrap_err().to_string();
    assert!(error.starts_with("head.tail: 0.01 of the 12 tokens"), "{error}");
}

#[cfg(feature = "text")]
#[test]
fn a_checkpoint_gives_back_the_trainer_and_its_tokenizer() {
    let tokenizer = crate::data::tokens::Tokenizer::train_on("a b", 257).unwrap();
    let mut config = lm(0);
    config.model.vocabulary = tokenizer.vocabulary();
    let trainer = Trainer::new(config, vec![], 10, Level::detect()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let contents = trainer.contents(&tokenizer, TrainerState::new(0, 0, 1));
    let path = checkpoint::save(folder.path(), &contents, 2).unwrap();
    let (loaded, same) = Trainer::load(&checkpoint::open(&path).unwrap(), Level::detect()).unwrap();
    assert_eq!((loaded.config, same.hash()), (trainer.config.clone(), tokenizer.hash()));
    assert_eq!(loaded.network.weight_tensors(), trainer.network.weight_tensors());
    // Weights that meant another network.
    let kind = FeedForwardKind::Blocks;
    let config = Lm { feed_forward: FeedForwardOptions { kind, neurons: 8, ..Default::default() }, ..trainer.config };
    let blocks = Trainer::new(config, vec![], 10, Level::detect()).unwrap();
    for (step, revision, loads) in [(2, json!(1), true), (3, json!(0), false)] {
        let mut contents = blocks.contents(&tokenizer, TrainerState::new(step, 0, 1));
        contents.config["revision"] = revision;
        let path = checkpoint::save(folder.path(), &contents, 2).unwrap();
        let loaded = Trainer::load(&checkpoint::open(&path).unwrap(), Level::detect());
        assert_eq!(loaded.is_ok(), loads);
        assert!(loads || loaded.unwrap_err().to_string().contains("routed blocks"));
    }
    // One of something else is none of a language model.
    let other = Contents::new(TrainerState::new(1, 0, 1), json!({"features": 3}));
    let other = checkpoint::save(folder.path(), &other, 2).unwrap();
    let error = Trainer::load(&checkpoint::open(&other).unwrap(), Level::detect()).unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert!(error.to_string().contains("not the options of a language model"), "{error}");
}

#[cfg(feature = "text")]
#[test]
fn an_optimiser_of_a_later_step_than_its_checkpoint_is_refused() {
    let tokenizer = crate::data::tokens::Tokenizer::train_on("a b", 257).unwrap();
    let mut config = lm(0);
    (config.model.vocabulary, config.optim.name) = (tokenizer.vocabulary(), OptimizerName::Adam);
    let mut sequences = Sequences::new(file(200), config.context(), config.sequences(), 1).unwrap();
    let mut trainer = Trainer::new(config, vec![], 10, Level::detect()).unwrap();
    (0..3).for_each(|_| assert!(trainer.step(&mut sequences).is_ok()));
    for (step, want) in [(3, None), (2, Some("a row of step 3, after")), (1 << 32, Some("is above 4294967295"))] {
        let folder = tempfile::tempdir().unwrap();
        let contents = trainer.contents(&tokenizer, TrainerState::new(step, 0, 1));
        let path = checkpoint::save(folder.path(), &contents, 2).unwrap();
        match (Trainer::load(&checkpoint::open(&path).unwrap(), Level::detect()), want) {
            (Ok((loaded, _)), None) => assert_eq!(loaded.steps, step),
            (Err(error), Some(want)) => assert!(error.exit_code() == 4 && error.to_string().contains(want), "{error}"),
            (loaded, _) => panic!("step {step}: {:?}", loaded.map(|_| ())),
        }
    }
}

/// Estimates leave out values that are read (four of 16 numbers a token, 1 % of the smallest network here) and take the gains of a
/// memory's norms for products.
#[test]
fn estimated_operations_are_near_those_that_are_counted() {
    let head = |index| Head { mode: HeadMode::Sampled, active: 15, hot: 2, chunk: 1, index, ..Head::default() };
    let memory = |keys| Memory { slots: 256, heads: 2, reads: 2, key_width: 32, keys, ..Memory::default() };
    let gated = Model { activation: Activation::Swiglu, ..lm(0).model };
    let mut window = Lm { model: Model { window: 16, context: 64, ..lm(0).model }, ..lm(0) };
    window.train.batch_tokens = 64;
    let mut configs = vec![("dense".to_owned(), lm(0)), ("a window".to_owned(), window)];
    configs.push(("gates".to_owned(), Lm { model: gated, ..lm(0) }));
    for index in [IndexName::All, IndexName::Exact, IndexName::Random] {
        configs.push((format!("head {index:?}"), Lm { head: head(index), ..lm(0) }));
    }
    for keys in [KeysName::Product, KeysName::Exact] {
        configs.push((format!("memory {keys:?}"), Lm { memory: memory(keys), ..lm(0) }));
    }
    for (name, config) in configs {
        let want = estimate(&config, VOCABULARY, 1, Level::detect(), 1).unwrap().flops_per_step as f64;
        let mut sequences = Sequences::new(file(200), config.context(), config.sequences(), 1).unwrap();
        let mut trainer = Trainer::new(config, vec![0, 1], 10, Level::detect()).unwrap();
        trainer.step(&mut sequences).unwrap();
        let counted = trainer.work.costs.total().flops as f64;
        assert!((0.98..1.001).contains(&(want / counted)), "{name}: {want} of {counted}");
    }
}

#[test]
fn what_is_far_too_large_for_the_machine_is_refused_with_its_largest_part() {
    let part = |name, bytes| Component { name, parameters: 0, bytes };
    assert!(check_fits("the run", &[part("attention", 1 << 20)]).is_ok());
    let error =
        check_fits("the run", &[part("attention", 1 << 20), part("n-gram tables", 1 << 60)]).unwrap_err().to_string();
    assert!(error.contains("the run takes about") && error.contains("for n-gram tables"), "{error}");
}
