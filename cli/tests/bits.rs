//! Short runs of every kind leave the weights, the state of the optimiser and the indexes that they always left, to the last bit and
//! under the same names: whatever is rearranged inside, no number may move.
//!
//! The portable level is compared, whose arithmetic is that of every machine. `HOTROW_BITS=PATH HOTROW_BITS_LEVEL=avx512 cargo test
//! -p hotrow-cli --test bits` records another level at `PATH` if there is nothing, and compares with what is there.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::{hotrow, summary, with_sets};
use serde_json::Value;

/// Files of tensors and their digests, by run.
type Digests = BTreeMap<String, BTreeMap<String, String>>;

const XMC: &[&str] = &[
    "train.epochs=2",
    "train.batch_size=32",
    "model.hidden=[24]",
    "sparse.rebuild_every=7",
    "optim.lr=0.05",
    "optim.schedule=constant",
];

const XMC_RUNS: &[(&str, &str)] = &[
    ("shared", "sparse.block=8"),
    ("dense", "sparse.index=all"),
    ("random tail", "sparse.index=random sparse.active=60"),
    ("per sample", "sparse.mode=per-sample sparse.active=60 sparse.block=8"),
    ("per sample simhash", "sparse.mode=per-sample sparse.index=simhash sparse.active=60 sparse.tables=8"),
    ("simhash", "sparse.index=simhash sparse.active=80 sparse.tables=8"),
    ("dwta", "sparse.index=dwta sparse.active=80 sparse.tables=8"),
    ("minhash", "sparse.index=minhash sparse.active=80 sparse.tables=8"),
    ("cross-polytope", "sparse.index=cross-polytope sparse.active=80 sparse.tables=8"),
    ("exact", "sparse.index=exact sparse.active=80"),
    ("inverted", "sparse.index=inverted sparse.active=190"),
    ("micro-batches", "sparse.micro_batch=8 sparse.active=80 sparse.block=8"),
    ("bce", "model.loss=bce sparse.active=80 sparse.block=8"),
    (
        "sampled hidden",
        "model.hidden=[48,24] model.sampled_hidden=[2] sparse.hidden_active=0.3 sparse.active=80 sparse.block=8",
    ),
    ("bf16", "model.storage=bf16 model.precision=bf16 sparse.block=8"),
    ("bf16 master", "model.storage=bf16-master sparse.block=8 sparse.mode=per-sample sparse.active=60"),
    ("sgd", "optim.name=sgd optim.weight_decay=0.01"),
    ("sgd bf16", "optim.name=sgd model.storage=bf16"),
    ("momentum", "optim.name=momentum optim.lr=0.01 sparse.block=8"),
    ("rowwise-rmsprop", "optim.name=rowwise-rmsprop optim.lr=0.01 sparse.block=8"),
    ("adam", "optim.name=adam optim.lr=0.01 optim.schedule=cosine optim.warmup_steps=5 sparse.block=8"),
    ("adam-lazy", "optim.name=adam-lazy optim.lr=0.01 sparse.block=8"),
    ("adam eight bit", "optim.name=adam optim.lr=0.01 optim.eight_bit=true sparse.block=8"),
    ("adam-dense", "optim.name=adam-dense optim.lr=0.01 sparse.index=all optim.weight_decay=0.01"),
    ("clipped", "optim.clip=0.5 optim.lr=0.05 sparse.block=8"),
    ("mean pooling, deep", "model.pooling=mean model.hidden=[32,16,24] sparse.block=8"),
];

const LM: &[&str] = &[
    "model.width=32",
    "model.layers=2",
    "model.heads=2",
    "model.context=32",
    "train.steps=24",
    "train.batch_tokens=256",
    "train.sample_tokens=0",
    "optim.warmup_steps=5",
    "train.eval_every=10",
];

const LM_RUNS: &[(&str, &str)] = &[
    ("dense", ""),
    ("untied, swiglu, window", "model.tied=false model.activation=swiglu model.window=8 model.qk_norm=false"),
    ("f32", "model.precision=f32 train.micro_batch=2"),
    ("bf16", "model.precision=bf16"),
    ("sampled head", "head.mode=sampled head.active=96 head.hot=20 head.block=8 head.rebuild_every=6"),
    (
        "sampled head, untied",
        "model.tied=false head.mode=sampled head.active=96 head.hot=20 head.index=simhash head.tables=8",
    ),
    ("n-grams", "ngram.rows=2048 ngram.layers=[1]"),
    ("n-grams, f32 adam", "ngram.rows=2048 ngram.storage=f32 ngram.optimizer=adam ngram.gate=gate ngram.signs=false"),
    ("product keys", "memory.slots=256 memory.layers=[1] memory.heads=2 memory.reads=4 memory.key_width=16"),
    (
        "exact keys",
        "memory.slots=256 memory.layers=[1] memory.heads=2 memory.reads=4 memory.key_width=16 memory.keys=exact",
    ),
    (
        "hashed keys",
        "memory.slots=256 memory.layers=[1] memory.heads=2 memory.reads=4 memory.key_width=16 memory.keys=minhash memory.rebuild_every=6 memory.tables=8",
    ),
    (
        "clustered keys",
        "memory.slots=256 memory.layers=[1] memory.reads=4 memory.key_width=16 memory.keys=blocks memory.block=8 memory.rebuild_every=6 memory.storage=f32 memory.optimizer=adam",
    ),
    (
        "sampled neurons",
        "feed_forward.kind=sampled feed_forward.active=32 feed_forward.tables=8 feed_forward.rebuild_every=6",
    ),
    ("routed experts", "feed_forward.kind=blocks feed_forward.neurons=16 feed_forward.chosen=2"),
    (
        "all parts",
        "head.mode=sampled head.active=96 head.hot=20 head.block=8 ngram.rows=2048 memory.slots=256 memory.layers=[1] memory.reads=4 memory.key_width=16 feed_forward.kind=blocks feed_forward.neurons=16 feed_forward.chosen=2",
    ),
    ("adam, eight bit", "optim.name=adam optim.eight_bit=true"),
    ("momentum, no clip", "optim.name=momentum optim.clip=0"),
];

/// Digests of the tensors in the last checkpoint of `run`.
fn tensors(run: &Path) -> BTreeMap<String, String> {
    let latest = fs::read_to_string(run.join("latest")).unwrap();
    let manifest = fs::read(run.join(latest.trim_end()).join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let files = manifest["files"].as_array().unwrap().iter();
    let pair = |file: &Value| {
        let (name, digest) = (file["name"].as_str().unwrap(), file["xxh3_128"].as_str().unwrap());
        name.ends_with(".safetensors").then(|| (name.to_owned(), digest.to_owned()))
    };
    files.filter_map(pair).collect()
}

fn runs(folder: &Path, level: &str) -> Digests {
    let at = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let sizes =
        "--features 300 --labels 400 --samples 600 --valid-samples 50 --features-per-sample 20 --labels-per-sample 3";
    let data = ["make-data", "xmc", "--preset", "small", "--out", &at("data")];
    assert!(hotrow(&data).args(sizes.split(' ')).output().unwrap().status.success());
    fs::write(at("a.txt"), include_str!("../../data/shakespeare/part.txt").get(..60_000).unwrap()).unwrap();
    summary(
        &hotrow(&["tokenize", &at("a.txt"), "--vocabulary", "400", "--json", "--out", &at("tokens")]).output().unwrap(),
    );
    let (train, valid, tokens) = (at("data/train.txt"), at("data/valid.txt"), at("tokens/train.tokens"));
    let mut digests = Digests::new();
    for (task, sets, runs, files) in [
        ("xmc", XMC, XMC_RUNS, &["--train", &*train, "--valid", &*valid][..]),
        ("lm", LM, LM_RUNS, &["--train", &*tokens, "--valid", &*tokens, "--preset", "tiny"]),
    ] {
        for (name, more) in runs {
            let out = at(&format!("{task}/{name}"));
            let mut command = hotrow(&["train", task, "--json", "--threads", "2", "--level", level, "--out", &out]);
            with_sets(&mut command, sets);
            with_sets(&mut command, &more.split(' ').filter(|set| !set.is_empty()).collect::<Vec<_>>());
            let output = command.args(files).output().unwrap();
            assert!(output.status.success(), "{task} {name}: {}", common::text(&output.stderr));
            digests.insert(format!("{task}: {name}"), tensors(Path::new(&out)));
        }
    }
    digests
}

#[test]
fn short_runs_of_every_kind_have_the_bits_that_they_always_had() {
    let folder = tempfile::tempdir().unwrap();
    let level = std::env::var("HOTROW_BITS_LEVEL").unwrap_or("portable".to_owned());
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bits.json");
    let path = std::env::var_os("HOTROW_BITS").map_or(PathBuf::from(committed), PathBuf::from);
    let digests = runs(folder.path(), &level);
    if !path.exists() {
        fs::write(&path, serde_json::to_string_pretty(&digests).unwrap() + "\n").unwrap();
        panic!("{} is written: commit it, and say why the bits are others than before", path.display());
    }
    let known: Digests = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let changed: Vec<_> = digests.iter().filter(|(name, found)| known.get(*name) != Some(found)).collect();
    assert!(changed.is_empty(), "other bits than before: {changed:#?}");
    assert_eq!(known.len(), digests.len());
}
