//! Networks with memories and with a sampled head.

use super::*;
use crate::config::lm::feed_forward::FeedForwardKind;
use crate::config::lm::head::HeadMode;
use crate::config::lm::memory::KeysName;
use crate::config::lm::ngram::GateKind;
use crate::config::lm::{FeedForwardOptions, Head as HeadOptions, Memory, Ngram};
use crate::config::{IndexName, Storage};

/// Everything at once; a query reads all slots, so that no move changes which.
fn everything() -> Parts {
    let (storage, optimizer, lr_factor) = (Storage::F32, OptimizerName::Sgd, 1.0);
    Parts {
        model: small(),
        feed_forward: FeedForwardOptions::default(),
        ngram: Ngram { rows: 30, gate: GateKind::Gate, storage, optimizer, lr_factor, ..Ngram::default() },
        memory: Memory {
            slots: 6,
            layers: vec![0, 1],
            heads: 2,
            reads: 6,
            key_width: 4,
            value_width: 5,
            keys: KeysName::Exact,
            storage,
            optimizer,
            lr_factor,
            ..Memory::default()
        },
        head: HeadOptions::default(),
    }
}

fn made(parts: &Parts, optim: &Optim) -> Gpt {
    let mut gpt = Gpt::new(&Scope::fresh(optim, 5, Level::detect()), parts, VOCABULARY, vec![0, 1]).unwrap();
    for tensor in gpt.weight_tensors_mut() {
        let ElementsMut::F32(elements) = tensor.elements else { panic!("weights are f32") };
        match tensor.name.as_str() {
            "ngram.weight" | "memory.values.weight" => {
                elements.iter_mut().enumerate().for_each(|(i, w)| *w = ((i * 37 % 64) as f32 - 32.0) / 64.0);
            }
            "ngram.scale" => elements.iter_mut().enumerate().for_each(|(i, scale)| *scale = 0.5 + 0.25 * i as f32),
            "ngram.gate.weight" => {
                elements.iter_mut().enumerate().for_each(|(i, g)| *g = ((i * 29 % 64) as f32 - 24.0) / 32.0);
            }
            "ngram.gate.bias" => elements.fill(-0.25),
            name if name.ends_with("gain") => {}
            name if name.starts_with("blocks") => elements.iter_mut().for_each(|w| *w *= 2.0),
            _ => elements.iter_mut().for_each(|w| *w *= 15.0),
        }
    }
    gpt
}

/// Along the gradient of each tensor by itself, the loss rises with the gradient's length. Bounds as in [`check`](super::check).
#[test]
fn a_model_with_memories_follows_the_gradient() {
    let (parts, optim) = (everything(), sgd());
    let (tokens, targets) = tokens(30, VOCABULARY, 0);
    let (mut gpt, mut stepped, work) =
        (made(&parts, &optim), made(&parts, &optim), &mut Workspace::new(Level::detect()));
    let plan = Gpt::new(&Scope::plan(&optim, 5, Level::detect()), &parts, VOCABULARY, vec![]).unwrap();
    assert_eq!(gpt.parameter_count(), plan.parameter_count());
    let value = stepped.accumulate(work, &tokens, &targets, 10);
    stepped.update(work, &step(&optim, 1));
    for tensor in 0..gpt.weight_tensors().len() {
        let before = with(&mut gpt, tensor, |w| w.to_vec());
        let gradient: Vec<f32> = with(&mut stepped, tensor, |w| before.iter().zip(&*w).map(|(b, a)| b - a).collect());
        let length = gradient.iter().map(|&g| g as f64 * g as f64).sum::<f64>().sqrt();
        let mut loss = |by: f64| -> f64 {
            let moved = |w: &mut [f32]| {
                w.iter_mut().zip(before.iter().zip(&gradient)).for_each(|(w, (b, g))| {
                    *w = b + (by / length * *g as f64) as f32;
                });
            };
            with(&mut gpt, tensor, moved);
            let sum = losses(&mut gpt, &tokens, &targets, 10).iter().map(|&loss| loss as f64).sum();
            with(&mut gpt, tensor, |w| w.copy_from_slice(&before));
            sum
        };
        assert!((loss(0.0) - value).abs() < 1e-5 * value, "both passes compute the same loss");
        let h = 1.0 / 64.0;
        let [wide, far, near] = [h, h / 2.0, h / 4.0].map(|h| (loss(h) - loss(-h)) / (2.0 * h));
        let rounding = 4.0 * 8.0 * f32::EPSILON as f64 * value / (h / 4.0);
        let bound = (far - near).abs() + (wide - far).abs() / 2.0 + rounding;
        let name = &stepped.weight_tensors()[tensor].name;
        assert!(length > 0.0, "{name} has no gradient");
        assert!((near - length).abs() <= bound, "{name}: {near} is not {length} +- {bound}");
        assert!(bound < 0.05 * (1.0 + value), "{name}: {bound} shows nothing");
    }
}

#[test]
fn generation_with_memories_says_what_training_says() {
    let (gpt, parts) = (made(&everything(), &sgd()), everything());
    let (mut same, work) = (made(&parts, &sgd()), &mut Workspace::new(Level::detect()));
    let (tokens, targets) = tokens(10, VOCABULARY, 1);
    let want = losses(&mut same, &tokens, &targets, 10);
    let (mut cache, mut logits) = (gpt.cache(), vec![0.0; VOCABULARY]);
    let compare = |t: usize, logits: &[f32]| {
        let loss = log_sum_exp(Level::detect(), logits, None) - logits[targets[t] as usize];
        // A hundred roundings of numbers below 30, in another order.
        assert!((loss - want[t]).abs() < 100.0 * 30.0 * f32::EPSILON, "token {t}: {loss} is not {}", want[t]);
    };
    gpt.next(work, &mut cache, &tokens[..4], &mut logits);
    compare(3, &logits);
    for t in 4..10 {
        gpt.next(work, &mut cache, &tokens[t..=t], &mut logits);
        compare(t, &logits);
    }
    cache.truncate(6);
    gpt.next(work, &mut cache, &tokens[6..8], &mut logits);
    compare(7, &logits);
}

/// With what a run uses: bf16 rows, row-wise rules, product keys, a sampled head whose index is rebuilt on the way.
#[test]
fn training_with_everything_learns_and_is_the_same_for_any_number_of_threads() {
    let model = Model { width: 24, heads: 2, layers: 2, context: 100, ..Model::default() };
    let head = HeadOptions {
        mode: HeadMode::Sampled,
        active: 150,
        index: IndexName::Blocks,
        hits: 4,
        chunk: 128,
        rebuild_every: 2,
        ..HeadOptions::default()
    };
    let memory = Memory { slots: 256, layers: vec![1], heads: 2, reads: 4, key_width: 8, ..Memory::default() };
    let feed_forward = FeedForwardOptions::default();
    let parts = Parts { model, feed_forward, ngram: Ngram { rows: 500, ..Ngram::default() }, memory, head };
    let optim = Optim { name: OptimizerName::AdamDense, lr: 5e-3, ..Optim::default() };
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (hot, level) = ((0..20).collect(), Level::detect());
            let mut gpt = Gpt::new(&Scope::fresh(&optim, 5, level), &parts, 600, hot).unwrap();
            let (tokens, targets) = tokens(300, 600, 2);
            let (work, mut losses) = (&mut Workspace::new(level), Vec::new());
            for number in 1..=6 {
                let first = gpt.accumulate(work, &tokens[..200], &targets[..200], 100);
                losses.push((first + gpt.accumulate(work, &tokens[200..], &targets[200..], 100)) / 300.0);
                assert!(gpt.gradient_norm(work) > 0.0);
                gpt.update(work, &Step { grad_scale: 1.0 / 300.0, ..step(&optim, number) });
            }
            let names: Vec<String> = gpt.state_tensors().into_iter().map(|tensor| tensor.name).collect();
            let written: Vec<String> = gpt.state_tensors_mut().into_iter().map(|tensor| tensor.name).collect();
            assert_eq!(names, written);
            assert!(["memory.values.weight.uses", "head.draws"].iter().all(|name| names.iter().any(|n| n == name)));
            let indexes: Vec<String> = gpt.indexes_mut().into_iter().map(|(name, _)| name).collect();
            assert_eq!(indexes, ["head"]);
            let bits = bits(&gpt);
            let mut exact = vec![0.0; 300];
            gpt.losses(work, &tokens, &targets, 100, &mut exact);
            let mean = exact.iter().map(|&loss| loss as f64).sum::<f64>() / 300.0;
            (losses, bits, mean)
        })
    };
    let one = run(1);
    assert!(one.2 < one.0[0] - 0.3, "the exact loss is {} after sampled ones of {:?}", one.2, one.0);
    assert!(one == run(3));
}

#[test]
fn networks_whose_tokens_choose_neurons_learn_and_generate_what_they_were_trained_on() {
    let optim = Optim { name: OptimizerName::AdamDense, lr: 1e-2, ..Optim::default() };
    for kind in [FeedForwardKind::Sampled, FeedForwardKind::Blocks] {
        let index = IndexName::Exact;
        let feed_forward = FeedForwardOptions { kind, index, active: 12, neurons: 8, chosen: 2, ..Default::default() };
        let parts = Parts { model: small(), feed_forward, ..Parts::default() };
        let level = Level::detect();
        let mut gpt = Gpt::new(&Scope::fresh(&optim, 5, level), &parts, VOCABULARY, vec![]).unwrap();
        let (work, (tokens, targets)) = (&mut Workspace::new(level), tokens(10, VOCABULARY, 3));
        let first = gpt.accumulate(work, &tokens, &targets, 10);
        for number in 1..=20 {
            assert!(gpt.gradient_norm(work) > 0.0);
            gpt.update(work, &Step { grad_scale: 0.1, ..step(&optim, number) });
            gpt.accumulate(work, &tokens, &targets, 10);
        }
        let exact = losses(&mut gpt, &tokens, &targets, 10);
        let last: f64 = exact.iter().map(|&loss| loss as f64).sum();
        assert!(last < 0.5 * first, "{kind:?}: {last} after {first}");
        let (mut cache, mut logits) = (gpt.cache(), vec![0.0; VOCABULARY]);
        gpt.next(work, &mut cache, &tokens, &mut logits);
        let loss = log_sum_exp(level, &logits, None) - logits[targets[9] as usize];
        // A hundred roundings of numbers below 30, in another order.
        assert!((loss - exact[9]).abs() < 100.0 * 30.0 * f32::EPSILON, "{kind:?}: {loss} is not {}", exact[9]);
        let names: Vec<String> = gpt.indexes_mut().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), if kind == FeedForwardKind::Sampled { 2 } else { 0 });
    }
}
