//! Language models as a user sees them: token files, runs, killed programs, wrong input, generated text.

mod common;
#[path = "common/runs.rs"]
mod runs;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use common::{assert_fails, hotrow, log, summary, text, with_sets};
use hotrow::data::tokens::TokenFile;
use runs::Runs;
use serde_json::Value;
use tempfile::TempDir;

const TEXT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/shakespeare/part.txt");

/// A folder with a token file of some Shakespeare, a tenth of it for validation.
struct Data {
    folder: TempDir,
}

impl Data {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut tokenize =
            hotrow(&["tokenize", TEXT, "--vocabulary", "320", "--valid-share", "0.1", "--json", "--out"]);
        summary(&tokenize.arg(folder.path().join("data")).output().unwrap());
        Self { folder }
    }

    /// What `eval lm` prints for the run `out` on the validation file.
    fn eval(&self, out: &str) -> Output {
        let mut command = hotrow(&["eval", "lm", "--json", "--run"]);
        command.arg(self.path(out)).arg("--data").arg(self.path("data/valid.tokens")).output().unwrap()
    }
}

impl Runs for Data {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn train(&self, out: &str, sets: &[&str]) -> Command {
        let mut command = hotrow(&["train", "lm", "--json", "--preset", "tiny", "--train"]);
        command.arg(self.path("data/train.tokens")).arg("--valid").arg(self.path("data/valid.tokens"));
        command.arg("--out").arg(self.path(out));
        with_sets(&mut command, sets);
        command
    }

    fn resume(&self, out: &str) -> Command {
        let mut command = hotrow(&["train", "lm", "--json", "--resume"]);
        command.arg(self.path(out));
        command
    }
}

/// A short run of a small network that saves often.
const SHORT: &[&str] = &[
    "model.width=32",
    "model.layers=2",
    "model.heads=2",
    "model.context=32",
    "train.batch_tokens=256",
    "train.micro_batch=3",
    "train.steps=40",
    "train.save_every=5",
    "train.eval_every=15",
    "train.log_every=4",
    "train.sample=KING",
    "train.sample_tokens=12",
    "optim.lr=0.01",
    "optim.warmup_steps=5",
];

fn with<'a>(changes: &[&'a str]) -> Vec<&'a str> {
    [SHORT, changes].concat()
}

/// Mean cost in nats of the tokens of `valid` if each is guessed by how often it comes in `train` (and once more, so that none is
/// impossible): what a network reaches that looks at no context.
fn unigram(train: &TokenFile, valid: &TokenFile) -> f64 {
    let all = |file: &TokenFile| {
        let mut tokens = vec![0; file.len()];
        file.read(0, &mut tokens);
        tokens
    };
    let vocabulary = train.summary().vocabulary;
    let mut counts = vec![1.0; vocabulary];
    all(train).iter().for_each(|&token| counts[token as usize] += 1.0);
    let total: f64 = counts.iter().sum();
    let tokens = all(valid);
    tokens.iter().skip(1).map(|&token| -(counts[token as usize] / total).ln()).sum::<f64>() / (tokens.len() - 1) as f64
}

#[test]
fn a_run_learns_from_context_and_leaves_what_the_design_promises() {
    let data = Data::new();
    let longer = with(&["train.steps=300", "train.eval_every=150", "train.save_every=200"]);
    let summary = summary(&data.train("run", &longer).output().unwrap());
    let run = data.path("run");
    for name in ["config.toml", "env.json", "metrics.jsonl", "summary.json", "latest", "tokenizer.json"] {
        assert!(run.join(name).is_file(), "{name}");
    }
    assert_eq!(fs::read_to_string(run.join("latest")).unwrap().trim(), "checkpoint-000300");
    for name in ["model.safetensors", "optimizer.safetensors", "tokenizer.json", "config.json", "trainer_state.json"] {
        assert!(run.join("checkpoint-000300").join(name).is_file(), "{name}");
    }
    assert_eq!((summary["task"].as_str(), summary["steps"].as_u64()), (Some("train lm"), Some(300)));
    for key in ["epochs", "tokens_per_second", "samples_per_second", "parameters", "digest", "peak_memory_bytes"] {
        assert!(!summary[key].is_null(), "{key}");
    }
    assert!(summary["flops"]["executed"].as_u64().unwrap() > 0);

    // What it reaches, no guess without context can; and the three metrics are one number.
    let [train, valid] =
        ["train", "valid"].map(|name| TokenFile::open(&data.path(&format!("data/{name}.tokens"))).unwrap());
    let metric = |name: &str| summary["metrics"][name].as_f64().unwrap();
    let (loss, floor) = (metric("loss"), unigram(&train, &valid));
    assert!(loss < floor, "{loss} is not below {floor}");
    assert!((metric("perplexity").ln() - loss).abs() < 1e-12);
    let (tokens, bytes) = (valid.len() as f64 - 1.0, valid.summary().source_bytes as f64);
    assert!((metric("bits_per_byte") * bytes * std::f64::consts::LN_2 / tokens - loss).abs() < 1e-12);
    assert!(fs::read_to_string(TEXT).unwrap().len() as f64 > bytes * 9.0);

    let events = log(&run);
    let samples: Vec<_> =
        events.iter().filter(|event| event["event"] == "eval").map(|event| &event["sample"]).collect();
    assert_eq!(samples.len(), 2);
    assert!(samples.iter().all(|sample| sample.as_str().unwrap().starts_with("KING")), "{samples:?}");

    // The saved network has the loss that training found at its end.
    let mut eval = hotrow(&["eval", "lm", "--json", "--run"]);
    let output = eval.arg(&run).arg("--data").arg(data.path("data/valid.tokens")).output().unwrap();
    let evaluated = common::summary(&output);
    for metric in ["loss", "perplexity", "bits_per_byte"] {
        assert_eq!(evaluated["metrics"][metric], summary["metrics"][metric], "{metric}");
    }
    assert_eq!(evaluated["digest"], summary["digest"]);
    // Every row was computed.
    assert_eq!(evaluated["active_share"], 1.0);
    assert_eq!(evaluated["union_rows"], train.summary().vocabulary as f64);
}

#[test]
fn generated_text_follows_from_its_seed_and_ends_where_it_should() {
    let data = Data::new();
    summary(&data.train("run", SHORT).output().unwrap());
    let generate = |prompt: &str, more: &[&str]| {
        let mut command = hotrow(&["generate", "--prompt", prompt, "--max-tokens", "80", "--checkpoint"]);
        command.arg(data.path("run")).args(more).output().unwrap()
    };
    let said = |more: &[&str]| {
        let output = generate("KING", more);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let first = said(&["--seed", "5"]);
    assert!(first.starts_with("KING") && first.len() > 40, "{first:?}");
    assert_eq!(said(&["--seed", "5", "--threads", "1"]), first);
    assert_ne!(said(&["--seed", "6"]), first);
    let greedy = ["--temperature", "0"];
    assert_eq!(said(&[&greedy[..], &["--seed", "1"]].concat()), said(&[&greedy[..], &["--seed", "2"]].concat()));
    assert_eq!(said(&["--top-k", "1"]), said(&greedy));
    // It ends before what it is to stop at; as JSON it says so.
    let stop = &first[20..24];
    let cut = said(&["--seed", "5", "--stop", stop]);
    assert_eq!(cut.trim_end_matches('\n'), first[..4 + first[4..].find(stop).unwrap()].trim_end_matches('\n'));
    let object: Value = serde_json::from_str(&said(&["--seed", "5", "--stop", stop, "--json"])).unwrap();
    assert_eq!(object["ended"], "stop");
    let whole: Value = serde_json::from_str(&said(&["--seed", "5", "--json"])).unwrap();
    // Twice the context of 32 tokens.
    assert_eq!((whole["ended"].as_str(), whole["tokens"].as_u64()), (Some("max_tokens"), Some(80)));
    assert_eq!(format!("KING{}\n", whole["text"].as_str().unwrap()), first);

    assert_fails(&generate(&"word ".repeat(100), &[]), 2, &["--prompt", "at most 32"]);
    let mut silent = hotrow(&["generate", "--prompt", "KING", "--max-tokens", "0", "--checkpoint"]);
    assert_eq!(text(&silent.arg(data.path("run")).output().unwrap().stdout), "KING\n");
    assert_fails(&generate("KING", &["--top-p", "0"]), 2, &["--top-p"]);
    assert_fails(&generate("KING", &["--temperature=-1"]), 2, &["--temperature"]);
}

#[test]
fn the_number_of_threads_changes_no_bit_of_a_run() {
    runs::the_number_of_threads_changes_no_bit(&Data::new(), SHORT);
}

#[test]
fn checkpoints_are_the_same_whether_steps_wait_for_them_or_not() {
    runs::checkpoints_are_the_same_whether_steps_wait_for_them_or_not(&Data::new(), &with(SPARSE));
}

/// Every sparse part at once, with indexes that are built anew at other steps than checkpoints are written.
const SPARSE: &[&str] = &[
    "ngram.rows=512",
    "ngram.gate=gate",
    "ngram.optimizer=adam",
    "memory.optimizer=adam",
    "memory.slots=64",
    "memory.key_width=8",
    "memory.layers=[1]",
    "memory.keys=simhash",
    "memory.rebuild_every=7",
    "head.mode=sampled",
    "head.active=96",
    "head.hot=16",
    "head.chunk=64",
    "head.rebuild_every=6",
    "head.inspect_every=10",
    "feed_forward.kind=sampled",
    "feed_forward.rebuild_every=9",
    "train.keep=10",
];

#[test]
fn a_network_with_memories_goes_on_from_any_checkpoint_with_the_same_bits_on_any_threads() {
    let data = Data::new();
    let whole = summary(&data.train("run", &with(SPARSE)).args(["--threads", "1"]).output().unwrap());
    let (run, lines) = (data.path("run"), log(&data.path("run")));
    let evaluated = summary(&data.eval("run"));
    assert_eq!(evaluated["metrics"]["loss"], whole["metrics"]["loss"]);
    for used in ["ngram_rows_used", "memory_slots_used"] {
        let share = whole["metrics"][used].as_f64().unwrap();
        assert!(0.0 < share && share <= 1.0, "{used}: {share}");
    }
    let looks: Vec<&Value> = lines.iter().filter(|event| event["event"] == "index").collect();
    assert_eq!(looks.iter().map(|look| look["step"].as_u64().unwrap()).collect::<Vec<_>>(), [10, 20, 30, 40]);
    for look in looks {
        let share = |key: &str| look[key].as_f64().unwrap();
        assert!(share("recall@10") > 0.2 && share("captured_mass") > 0.2 && share("log_z_drift").abs() < 0.5, "{look}");
        assert!((share("share_labels") + share("share_index") + share("share_tail") - 1.0).abs() < 1e-9, "{look}");
    }
    for step in [20, 35] {
        for later in (step + 5..=40).step_by(5) {
            let _ = fs::remove_dir_all(run.join(format!("checkpoint-{later:06}")));
        }
        fs::write(run.join("latest"), format!("checkpoint-{step:06}\n")).unwrap();
        let resumed = summary(&data.resume("run").args(["--threads", "3"]).output().unwrap());
        assert_eq!(resumed["digest"], whole["digest"], "from step {step}");
        assert_eq!(log(&run), lines, "from step {step}");
    }
}

#[test]
fn a_run_that_was_killed_many_times_has_the_bits_of_one_that_was_not() {
    runs::a_run_that_was_killed_has_the_bits_of_one_that_was_not(&Data::new(), SHORT, 12, 12);
}

#[test]
fn a_run_that_was_asked_to_stop_saves_and_goes_on_with_the_same_bits() {
    let sets = with(&["train.steps=400", "train.save_every=0", "train.eval_every=0"]);
    runs::a_run_that_was_asked_to_stop_goes_on_with_the_same_bits(&Data::new(), &sets);
}

#[test]
fn files_that_do_not_belong_together_are_refused_before_a_run_begins() {
    let data = Data::new();
    let tokenize = |out: &str, vocabulary: &str, file: &str| {
        let mut command = hotrow(&["tokenize", file, "--vocabulary", vocabulary, "--json", "--out"]);
        summary(&command.arg(data.path(out)).output().unwrap());
    };
    fs::write(data.path("other.txt"), fs::read_to_string(TEXT).unwrap().to_uppercase()).unwrap();
    tokenize("smaller", "300", TEXT);
    tokenize("other", "320", data.path("other.txt").to_str().unwrap());
    let attempt = |changes: &[&str], more: &[(&str, PathBuf)]| {
        let mut command = data.train("run", &with(changes));
        more.iter().for_each(|(flag, path)| {
            command.arg(flag).arg(path);
        });
        let output = command.output().unwrap();
        assert!(!data.path("run").exists(), "{}", text(&output.stderr));
        output
    };
    let with_tokenizer = |folder: &str| attempt(&[], &[("--tokenizer", data.path(folder).join("tokenizer.json"))]);
    assert_fails(&with_tokenizer("smaller"), 4, &["train.tokens", "another tokenizer", "320", "300"]);
    assert_fails(&with_tokenizer("other"), 4, &["train.tokens", "another tokenizer", "hash"]);
    assert_fails(&attempt(&[], &[("--tokenizer", data.path("none.json"))]), 1, &["none.json"]);
    assert_fails(&attempt(&["model.vocabulary=319"], &[]), 2, &["model.vocabulary", "319", "320"]);
    assert_fails(&attempt(&["data.context=33"], &[]), 2, &["data.context", "33", "32"]);
    let long = &["model.context=1048576", "train.batch_tokens=1048576"];
    assert_fails(&attempt(long, &[]), 2, &["model.context", "1048576"]);
    let sample = format!("train.sample={}", "word ".repeat(100));
    assert_fails(&attempt(&[&sample], &[]), 2, &["train.sample", "at most 32"]);
    let large = &["memory.slots=2147395600", "memory.value_width=65536"];
    assert_fails(&attempt(large, &[]), 2, &["GiB", "memory keys and values", "this machine has"]);
    let codes = &["memory.slots=33", "memory.keys=dwta", "memory.codes=32"];
    assert_fails(&attempt(codes, &[]), 2, &["memory.codes", "32 codes"]);
    assert_fails(&attempt(&["model.widht=8"], &[]), 2, &["model.widht", "model.width"]);

    let valid = data.path("data/valid.tokens");
    let good = fs::read(&valid).unwrap();
    fs::write(&valid, &good[..good.len() - 1]).unwrap();
    assert_fails(&attempt(&[], &[]), 4, &["valid.tokens", "truncated"]);
    fs::write(&valid, "no tokens, but text").unwrap();
    assert_fails(&attempt(&[], &[]), 4, &["valid.tokens", "no token file"]);
    fs::write(&valid, good).unwrap();
    let moved = |file: &str, aside: &str| fs::rename(data.path(file), data.path(aside)).unwrap();
    moved("data/tokenizer.json", "tokenizer");
    assert_fails(&attempt(&[], &[]), 2, &["--tokenizer: ", "train.tokens has no tokenizer.json"]);
    moved("data/train.tokens", "tokens");
    assert_fails(&attempt(&[], &[]), 1, &["train.tokens: "]);
    moved("tokens", "data/train.tokens");
    moved("tokenizer", "data/tokenizer.json");

    // A finished run is measured with token files of its tokenizer only, and its checkpoints are read as they were written.
    summary(&data.train("run", &with(&["train.steps=5"])).output().unwrap());
    let eval = |file: &str| {
        hotrow(&["eval", "lm", "--run"]).arg(data.path("run")).arg("--data").arg(data.path(file)).output().unwrap()
    };
    assert_fails(&eval("other/train.tokens"), 4, &["another tokenizer"]);
    let tokenizer = data.path("run/checkpoint-000005/tokenizer.json");
    fs::copy(data.path("other/tokenizer.json"), tokenizer).unwrap();
    assert_fails(&eval("data/valid.tokens"), 4, &["tokenizer.json"]);
    assert_fails(&data.resume("run").output().unwrap(), 4, &["tokenizer.json"]);
}

#[test]
fn a_run_goes_on_as_what_it_began_as_or_not_at_all() {
    let data = Data::new();
    let stopped = data.train("run", SHORT).args(["--stop-after", "20"]).output().unwrap();
    assert!(!stopped.status.success());
    let config = data.path("run/config.toml");
    let whole = fs::read_to_string(&config).unwrap();
    for (line, other, key) in [
        ("window = 0", "window = 5", "model"),
        ("seed = 1", "seed = 2", "train.seed"),
        ("batch_tokens = 256", "batch_tokens = 128", "train.batch_tokens"),
        ("name = \"adam-dense\"", "name = \"adam\"", "optim.name"),
    ] {
        assert!(whole.contains(line), "{line}");
        fs::write(&config, whole.replace(line, other)).unwrap();
        assert_fails(&data.resume("run").output().unwrap(), 2, &[key, "cannot change"]);
    }
    fs::write(&config, "").unwrap();
    assert_fails(&data.resume("run").output().unwrap(), 2, &["model", "cannot change"]);
    fs::write(&config, &whole).unwrap();
    let fewer = data.resume("run").args(["--set", "train.steps=19"]).output().unwrap();
    assert_fails(&fewer, 2, &["train.steps", "19 steps", "20 are done"]);
    let sample = format!("train.sample={}", "word ".repeat(100));
    assert_fails(&data.resume("run").args(["--set", &sample]).output().unwrap(), 2, &["train.sample"]);
    assert_eq!(fs::read_to_string(&config).unwrap(), whole);
    // Other tokens of the same tokenizer.
    let train = data.path("data/train.tokens");
    let tokens = fs::read(&train).unwrap();
    fs::copy(data.path("data/valid.tokens"), &train).unwrap();
    assert_fails(&data.resume("run").output().unwrap(), 4, &["train.tokens", "run/checkpoint-000020", "digest"]);
    fs::write(&train, tokens).unwrap();
    let resumed = summary(&data.resume("run").output().unwrap());
    assert_eq!(resumed["digest"], summary(&data.train("whole", SHORT).output().unwrap())["digest"]);
}

#[test]
fn a_run_that_diverges_says_where_and_keeps_its_last_checkpoint() {
    let data = Data::new();
    let high = ["optim.name=sgd", "optim.lr=1e30", "optim.final_lr=1e30", "optim.weight_decay=0", "optim.clip=0"];
    let sets = [&with(&high)[..], &["train.save_every=1"]].concat();
    let output = data.train("run", &sets).output().unwrap();
    assert_fails(&output, 3, &["diverged at step", "is complete"]);
    assert_eq!(log(&data.path("run")).last().unwrap()["event"], "diverged");
    // Norms of what has grown beyond all bounds are zero, and the loss is that of guessing: no success.
    let collapsed = ["optim.lr=1000", "optim.final_lr=1000", "optim.weight_decay=0", "optim.clip=0", "train.steps=60"];
    let output = data.train("collapsed", &with(&collapsed)).output().unwrap();
    assert_fails(&output, 3, &["diverged at step", "no gradient is left"]);
    // The only step breaks the network, which its evaluation or else its sample sees, before anything is saved.
    let less = ["train.steps=1", "optim.lr=1e20", "optim.final_lr=1e20"];
    let last = [&with(&high)[..], &less].concat();
    let measured = data.train("measured", &[&last[..], &["train.sample_tokens=0"]].concat()).output().unwrap();
    assert_fails(&measured, 3, &["diverged at step 1", "the validation loss"]);
    let mut sampled = hotrow(&["train", "lm", "--preset", "tiny", "--train"]);
    sampled.arg(data.path("data/train.tokens")).arg("--out").arg(data.path("sampled"));
    with_sets(&mut sampled, &last);
    assert_fails(&sampled.output().unwrap(), 3, &["diverged at step 1", "the scores of a sample"]);
    for run in ["measured", "sampled"].map(|name| data.path(name)) {
        assert_eq!(log(&run).last().unwrap()["event"], "diverged");
        assert!(!run.join("latest").exists(), "{}", run.display());
    }
}

#[test]
fn a_dry_run_says_what_the_run_will_take() {
    let data = Data::new();
    let routed = ["feed_forward.kind=blocks", "feed_forward.neurons=16", "memory.slots=64", "ngram.rows=64"];
    let routed = with(&[&routed[..], &["train.steps=1"]].concat());
    let planned = summary(&data.train("routed", &routed).arg("--dry-run").output().unwrap());
    assert_eq!(planned["parameters"], summary(&data.train("routed", &routed).output().unwrap())["parameters"]);

    let predicted = summary(&data.train("run", SHORT).arg("--dry-run").output().unwrap());
    assert!(!data.path("run").exists());
    let done = summary(&data.train("run", SHORT).output().unwrap());
    for key in ["task", "steps", "parameters", "active_share", "union_rows", "seed", "level", "threads"] {
        assert_eq!(predicted[key], done[key], "{key}");
    }
    assert!(predicted["tokens_per_second"].as_f64().unwrap() > 0.0);
    let bytes = |component: &Value| component["bytes"].as_u64().unwrap();
    let components = predicted["components"].as_array().unwrap();
    assert_eq!(components.iter().map(bytes).sum::<u64>(), predicted["peak_memory_bytes"].as_u64().unwrap());
}
