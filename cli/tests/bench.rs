//! `hotrow bench` as a user sees it: results that are made, kept, compared and refused.

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{assert_fails, hotrow, summary, text};
use serde_json::Value;
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_128;

/// A folder with a workload of two variants that takes a moment.
struct Place(TempDir);

/// Titles that name their labels.
fn titles(lines: usize) -> String {
    (0..lines).map(|i| format!("{i}\t{},{}\tword{} other{}\n", i % 40, (i + 1) % 40, i % 40, i % 7)).collect()
}

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        fs::write(place.path("train.tsv"), titles(400)).unwrap();
        fs::write(place.path("valid.tsv"), titles(80)).unwrap();
        place.workload("tiny", |text| text);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes the workload `name`, changed.
    fn workload(&self, name: &str, change: impl FnOnce(String) -> String) {
        let hash = |name: &str| format!("{:032x}", xxh3_128(&fs::read(self.path(name)).unwrap()));
        let text = format!(
            r#"schema = 1
name = "{name}"
title = "Words that name labels"
task = "xmc"
seeds = [1, 2, 3]
[target]
metric = "p@1"
value = 0.5
[data]
train = "train.tsv"
valid = "valid.tsv"
[data.xxh3]
"train.tsv" = "{}"
"valid.tsv" = "{}"
[config.model]
hidden = [16]
[config.data]
format = "tsv"
label = "2"
text = "3"
hash_size = 1024
[config.sparse]
active = 16
[config.train]
epochs = 4
batch_size = 32
log_every = 5
[[variant]]
name = "dense"
set = ["sparse.index=all"]
[[variant]]
name = "sparse"
set = ["sparse.index=random"]
"#,
            hash("train.tsv"),
            hash("valid.tsv")
        );
        fs::write(self.path(&format!("{name}.toml")), change(text)).unwrap();
    }

    fn bench(&self, workload: &str, more: &[&str]) -> Command {
        let mut command = hotrow(&["bench", "run", "--json", "--threads", "2"]);
        command.arg(self.path(&format!("{workload}.toml"))).arg("--out").arg(self.path("out")).args(more);
        command
    }

    fn result(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(&format!("out/{name}.json"))).unwrap()).unwrap()
    }

    fn compare(&self, a: &str, b: &str) -> Command {
        let mut command = hotrow(&["bench", "compare", "--json"]);
        command.arg(self.path(a)).arg(self.path(b));
        command
    }
}

#[test]
fn runs_take_turns_and_leave_results_that_a_second_call_keeps() {
    let place = Place::new();
    let output = place.bench("tiny", &[]).output().unwrap();
    let object = summary(&output);
    let turns: Vec<(String, u64)> = object["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| (result["variant"].as_str().unwrap().to_owned(), result["seed"].as_u64().unwrap()))
        .collect();
    let turn = |variant: &str, seed| (variant.to_owned(), seed);
    let want = [1, 2, 3].map(|seed| [turn("dense", seed), turn("sparse", seed)]).concat();
    assert_eq!(turns, want);
    // The hash is said before the first result.
    let said = text(&output.stderr);
    let hash = object["workloads"]["tiny"].as_str().unwrap();
    assert!(said.find(hash).unwrap() < said.find("tiny dense seed 1:").unwrap(), "{said}");

    let result = place.result("tiny-hotrow-cpu-dense-2");
    for (key, want) in [("kind", "hotrow-bench-result"), ("workload_hash", hash), ("division", "closed")] {
        assert_eq!(result[key], want, "{key}");
    }
    assert_eq!(result["status"], "reached", "{result}");
    assert_eq!((result["seed"].as_u64(), result["place"].as_u64()), (Some(2), Some(2)));
    let number = |path: &str| result.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path}"));
    // 13 steps an epoch; an evaluation after each, a loss after every fifth step and the last.
    let curve = result["curve"].as_array().unwrap();
    let evaluations: Vec<&Value> = curve.iter().filter(|point| !point[2].is_null()).collect();
    assert_eq!(evaluations.iter().map(|point| point[1].as_u64().unwrap()).collect::<Vec<_>>(), [13, 26, 39, 52]);
    assert!(curve.windows(2).all(|pair| pair[0][0].as_f64() <= pair[1][0].as_f64()), "the clock goes on");
    let first = evaluations.iter().find(|point| point[2].as_f64().unwrap() >= 0.5).unwrap();
    assert_eq!(
        (first[0].as_f64(), first[1].as_u64()),
        (result["target"]["seconds"].as_f64(), result["target"]["step"].as_u64())
    );
    // The clock includes evaluation, the total loading as well.
    let last = curve.last().unwrap()[0].as_f64().unwrap();
    assert!(last >= number("/seconds/train") && number("/seconds/total") >= last + number("/seconds/load") - 1e-6);
    assert!((number("/target/seconds_with_load") - number("/target/seconds") - number("/seconds/load")).abs() < 1e-9);
    let trained = curve.len() - evaluations.len();
    assert_eq!(result["activity"].as_array().unwrap().len(), trained, "shares of active rows at each report");
    assert!(result["components"].as_array().unwrap().iter().any(|part| part["bytes"].as_u64() > Some(0)));
    assert_eq!(result["metrics"]["p@1"], evaluations.last().unwrap()[2]);
    // Phases add up to the whole.
    for (whole, part) in [("executed", "flops"), ("dense_equivalent", "dense_flops")] {
        let phases = result["phases"].as_object().unwrap().values();
        let sum: u64 = phases.map(|phase| phase[part].as_u64().unwrap()).sum();
        assert_eq!(result["flops"][whole].as_u64(), Some(sum), "{whole}");
    }
    assert!(number("/machine/bandwidth_bytes_per_second") > 0.0 && number("/peak_memory_bytes") > 0.0);
    assert_eq!(
        (result["machine"]["threads"].as_u64(), result["metrics_are_estimates"].as_bool()),
        (Some(2), Some(false))
    );

    // One result is lost: only its run is made again, to the same weights.
    let lost = place.path("out/tiny-hotrow-cpu-sparse-1.json");
    let digest = place.result("tiny-hotrow-cpu-sparse-1")["digest"].clone();
    fs::remove_file(&lost).unwrap();
    let again = place.bench("tiny", &[]).output().unwrap();
    assert_eq!(summary(&again)["skipped"], 5, "{}", text(&again.stderr));
    assert!(text(&again.stderr).contains("tiny dense seed 1: skipped"));
    assert_eq!(place.result("tiny-hotrow-cpu-sparse-1")["digest"], digest);
    assert_eq!(fs::read_dir(place.path("out")).unwrap().count(), 6, "nothing else is left");

    // Pairs by seed; the ratio is that of the times that stand in the results.
    let comparison =
        summary(&place.compare("out/tiny-hotrow-cpu-dense", "out/tiny-hotrow-cpu-sparse").output().unwrap());
    let pairs = comparison["pairs"].as_array().unwrap();
    assert_eq!(pairs.iter().map(|pair| pair["seed"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    for pair in pairs {
        let flops = |side: &str| pair[side]["flops"].as_u64().unwrap() as f64;
        assert_eq!(pair["flop_ratio"].as_f64().unwrap(), flops("a") / flops("b"));
        assert!(flops("a") > flops("b"));
    }
    let mut table = hotrow(&["bench", "compare"]);
    let table = table.arg(place.path("out")).arg(place.path("out")).output().unwrap();
    assert!(text(&table.stdout).contains("n = 3"), "{}", text(&table.stdout));
}

#[test]
fn data_and_workloads_that_are_not_as_they_should_be_are_refused_before_anything_runs() {
    let place = Place::new();
    fs::write(place.path("valid.tsv"), titles(81)).unwrap();
    let found = format!("{:032x}", xxh3_128(titles(81).as_bytes()));
    let expected = format!("{:032x}", xxh3_128(titles(80).as_bytes()));
    assert_fails(&place.bench("tiny", &[]).output().unwrap(), 4, &["valid.tsv", "expected", &expected, &found]);
    fs::write(place.path("valid.tsv"), titles(80)).unwrap();
    for (from, to, words) in [
        ("seeds =", "seedz =", &["seedz: no such key; did you mean seeds?"][..]),
        ("value = 0.5", "valeu = 0.5", &["target.valeu: no such key; did you mean target.value?"]),
        ("hidden =", "hiden =", &["model.hiden: no such key; did you mean model.hidden?"]),
        ("set = [\"sparse.index=random\"]", "sets = []", &["variant.sets: no such key; did you mean variant.set?"]),
        ("sparse.index=random", "sparse.index=randon", &["sparse.index", "variant sparse"]),
        ("p@1", "p@2", &["target.metric", "p@2"]),
        ("name = \"odd\"", "name = \"even\"", &["name: \"even\""]),
        ("schema = 1", "schema = 2", &["schema: 2"]),
        ("\"valid.tsv\" = ", "\"other.tsv\" = ", &["data.xxh3", &expected]),
        ("seeds = [1, 2, 3]", "seeds = [1, 2]", &["--few"]),
    ] {
        place.workload("odd", |text| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        });
        assert_fails(&place.bench("odd", &[]).output().unwrap(), 2, words);
    }
    assert_fails(&place.bench("tiny", &["--rounds", "2"]).output().unwrap(), 2, &["--few"]);
    assert_fails(&place.bench("tiny", &["--seeds", "1,2,1"]).output().unwrap(), 2, &["comes twice"]);
    assert_fails(&place.bench("tiny", &["--variants", "dence"]).output().unwrap(), 2, &["dence", "dense, sparse"]);
    assert!(!place.path("out").exists());
}

#[test]
fn a_run_that_diverges_is_a_result_and_few_runs_are_marked() {
    let place = Place::new();
    place.workload("wild", |text| text + "[config.optim]\nname = \"sgd\"\nlr = 1e30\n");
    let object = summary(&place.bench("wild", &["--few", "--rounds", "1", "--variants", "dense"]).output().unwrap());
    let result = &object["results"][0];
    assert_eq!((result["status"].as_str(), result["runs_few"].as_bool()), (Some("diverged"), Some(true)));
    assert_eq!(place.result("wild-hotrow-cpu-dense-1")["target"]["reached"], false);
}

#[test]
fn results_of_other_workloads_are_not_compared() {
    let place = Place::new();
    let few = ["--few", "--seeds", "7", "--variants", "dense"];
    summary(&place.bench("tiny", &few).output().unwrap());
    fs::rename(place.path("out"), place.path("before")).unwrap();
    place.workload("tiny", |text| text.replace("value = 0.5", "value = 0.6"));
    summary(&place.bench("tiny", &few).output().unwrap());
    assert_fails(&place.compare("before", "out").output().unwrap(), 2, &["workload hash"]);
    assert_fails(&place.compare("before", "nowhere").output().unwrap(), 2, &["nowhere"]);
    fs::write(place.path("other.json"), "{\"kind\": \"another\"}").unwrap();
    assert_fails(&place.compare("other.json", "out").output().unwrap(), 4, &["is no result"]);
    // A result of the old workload is in the way: it is measured again, not passed off as one of the new.
    fs::copy(place.path("before/tiny-hotrow-cpu-dense-7.json"), place.path("out/tiny-hotrow-cpu-dense-7.json"))
        .unwrap();
    assert_eq!(summary(&place.bench("tiny", &few).output().unwrap())["skipped"], 0);
}

#[test]
fn a_language_model_is_tokenized_once_and_measured_on_all_of_its_text() {
    let place = Place::new();
    let words: String = (0..3000).map(|i| format!("word{} and {}\n\n", i % 17, i % 5)).collect();
    fs::write(place.path("words.txt"), &words).unwrap();
    let hash = format!("{:032x}", xxh3_128(words.as_bytes()));
    let workload = format!(
        r#"schema = 1
name = "words"
task = "lm"
seeds = [1, 2, 3]
[target]
metric = "bits_per_byte"
value = 2.5
[data]
train = "words.txt"
valid_share = 0.1
vocabulary = 300
xxh3 = {{ "words.txt" = "{hash}" }}
[config.model]
width = 32
layers = 1
heads = 2
context = 32
[config.train]
steps = 40
batch_tokens = 256
eval_every = 20
sample_tokens = 0
[[variant]]
name = "dense"
"#
    );
    fs::write(place.path("words.toml"), workload).unwrap();
    let object = summary(&place.bench("words", &["--few", "--rounds", "2"]).output().unwrap());
    let results = object["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    let data = results[0]["data"].as_object().unwrap();
    assert_eq!(data.keys().collect::<Vec<_>>(), ["tokenizer.json", "train.tokens", "valid.tokens"]);
    assert_eq!(results[0]["data"], results[1]["data"]);
    assert!(results[0]["tokens_per_second"].as_f64().unwrap() > 0.0);
    assert!(results[0]["metrics"]["bits_per_byte"].as_f64().unwrap() < 8.0);
    assert_eq!(results[0]["precision"], "bf16");
}

#[test]
fn a_signal_ends_the_series_and_the_same_command_goes_on() {
    let place = Place::new();
    // Far longer than the test waits.
    place.workload("tiny", |text| text.replace("epochs = 4", "epochs = 1000000"));
    let mut child = place.bench("tiny", &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    let running = || {
        let folders = fs::read_dir(place.path("out")).into_iter().flatten().flatten();
        folders.into_iter().any(|folder| folder.path().join("run/metrics.jsonl").exists())
    };
    while !running() {
        assert!(started.elapsed() < Duration::from_secs(60), "no run has begun");
        std::thread::sleep(Duration::from_millis(10));
    }
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(75));
    assert_eq!(fs::read_dir(place.path("out")).unwrap().count(), 0, "what was not finished is gone");
}

/// What a quick look at kernels prints and writes.
fn measured(kind: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("found.json");
    let mut command = hotrow(&["bench", kind, "--quick", "--json", "--repeats", "2", "--threads", "2", "--out"]);
    let object = summary(&command.arg(&file).output().unwrap());
    assert_eq!(serde_json::from_slice::<Value>(&fs::read(&file).unwrap()).unwrap(), object);
    assert_eq!(
        (object["kind"].as_str().unwrap(), object["quick"].as_bool()),
        (&*format!("hotrow-bench-{kind}"), Some(true))
    );
    assert!(object["machine"]["load_average_after"].is_array() && object["software"]["commit"].is_string());
    object
}

/// The different values of a key.
fn values(object: &Value, list: &str, key: &str) -> Vec<String> {
    let rows = object[list].as_array().unwrap().iter();
    let mut values: Vec<String> = rows.map(|row| row[key].as_str().unwrap().to_owned()).collect();
    values.sort();
    values.dedup();
    values
}

#[test]
fn kernels_are_measured_in_every_way_that_is_offered() {
    let roofline = measured("roofline");
    assert_eq!(values(&roofline, "kernels", "family"), ["convert", "gemm", "hash", "optim", "reduce", "rows"]);
    let levels = hotrow::kernels::Level::available().count();
    assert_eq!(values(&roofline, "peak", "level").len(), levels);
    assert!(roofline["peak"].as_array().unwrap().iter().all(|peak| peak["gflops"].as_f64().unwrap() > 0.0));

    let breakeven = measured("breakeven");
    assert_eq!(values(&breakeven, "rows", "level").len(), levels);
    assert_eq!(values(&breakeven, "rows", "dtype"), ["bf16", "f32"]);
    for way in ["sampled", "packed", "dense", "matmul"] {
        let of = |row: &Value| row[format!("{way}_seconds")].as_f64().unwrap();
        assert!(breakeven["rows"].as_array().unwrap().iter().all(|row| of(row) > 0.0), "{way}");
    }
    assert_eq!(breakeven["rule"]["packed_from"].as_f64(), Some(hotrow::train::xmc::PACKED_FROM));

    assert_eq!(values(&measured("sweep"), "rows", "axis"), ["batch", "density", "labels", "row length"]);
    assert_eq!(values(&measured("scale"), "rows", "axis"), ["labels", "rows", "threads"]);
}
