//! Classifiers of memories and linear rows, and a network beside them, from the command line: `model.parts`.

mod common;
#[path = "common/runs.rs"]
mod runs;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use common::{assert_fails, hotrow, summary, text, with_sets};
use runs::Runs;
use serde_json::Value;
use tempfile::TempDir;

/// A folder with titles in which some words tell the labels.
struct Titles {
    folder: TempDir,
}

impl Titles {
    fn new(samples: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let line = |sample: usize| {
            let (topic, other) = (sample % 40, sample * 7 % 60);
            format!("of topic{topic} and word{} by w{other}\tl{topic},m{}\n", sample % 13, sample % 40 / 8)
        };
        let write = |name: &str, range: std::ops::Range<usize>| {
            fs::write(folder.path().join(name), range.map(line).collect::<String>()).unwrap();
        };
        write("train.tsv", 0..samples);
        write("valid.tsv", samples..samples + 100);
        Self { folder }
    }
}

impl Runs for Titles {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn train(&self, out: &str, sets: &[&str]) -> Command {
        let mut command = hotrow(&["train", "xmc", "--json", "--train"]);
        command.arg(self.path("train.tsv")).arg("--valid").arg(self.path("valid.tsv"));
        command.arg("--out").arg(self.path(out)).arg("--cache").arg(self.path("cache"));
        with_sets(&mut command, &["data.text=1", "data.label=2", "data.hash_size=4096"]);
        with_sets(&mut command, sets);
        command
    }

    fn resume(&self, out: &str) -> Command {
        let mut command = hotrow(&["train", "xmc", "--json", "--resume"]);
        command.arg(self.path(out)).arg("--cache").arg(self.path("cache"));
        command
    }
}

const PARTS: &[&str] = &["model.parts=auto", "train.save_every=2"];

/// A network beside two memories; its optimiser keeps counts of its own steps.
const BESIDE: &[&str] = &[
    "model.parts=[\"counts\", \"neighbours\", \"network\"]",
    "train.epochs=2",
    "train.batch_size=16",
    "optim.name=adam",
    "optim.lr=0.01",
    "sparse.index=inverted",
    "sparse.active=20",
];

#[test]
fn what_words_tell_is_found_measured_and_predicted() {
    let titles = Titles::new(800);
    let trained = summary(&titles.train("run", PARTS).output().unwrap());
    assert!(trained["metrics"]["p@1"].as_f64().unwrap() > 0.99, "{trained}");
    assert_eq!(trained["task"], "train xmc");
    let run = titles.path("run");
    let mut eval = hotrow(&["eval", "xmc", "--json", "--run"]);
    let measured = summary(&eval.arg(&run).arg("--data").arg(titles.path("valid.tsv")).output().unwrap());
    for key in ["p@1", "p@5", "psp@3"] {
        assert_eq!(measured["metrics"][key], trained["metrics"][key], "{key}");
    }
    for key in ["digest", "parameters", "components"] {
        assert_eq!(measured[key], trained[key], "{key}");
    }
    fs::write(titles.path("asked.txt"), "of topic7 and more\n\nof topic12\n").unwrap();
    let mut predict = hotrow(&["predict", "--text", "--top", "2", "--run"]);
    let output = predict.arg(&run).arg("--input").arg(titles.path("asked.txt")).output().unwrap();
    let answers = text(&output.stdout);
    let best: Vec<&str> = answers.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!((best.len(), best[0], best[2]), (3, "l7", "l12"), "{answers}");
}

#[test]
fn lists_of_parts_are_obeyed() {
    let titles = Titles::new(400);
    for (name, parts) in [("counts", "counts"), ("near", "[\"neighbours\"]"), ("both", "[\"linear\", \"counts\"]")] {
        let trained = summary(&titles.train(name, &[&format!("model.parts={parts}")]).output().unwrap());
        assert!(trained["metrics"]["p@1"].as_f64().unwrap() > 0.9, "{trained}");
        let components = trained["components"].to_string();
        for part in ["counts", "neighbours", "linear"] {
            let asked = parts.contains(part) || (name == "near" && part == "neighbours");
            assert!(asked || !components.contains(part), "{parts}: {components}");
        }
    }
}

/// Without a word on what is trained, nor on a network, it is not one; and what that takes, and how it is used, is said.
#[test]
fn what_is_trained_is_decided_and_said() {
    let titles = Titles::new(400);
    let plan = titles.train("planned", &[]).arg("--dry-run").output().unwrap();
    assert!(summary(&plan)["peak_memory_bytes"].as_u64().unwrap() > 0);
    let output = titles.train("default", &["data.hash_size=0"]).output().unwrap();
    assert!(text(&output.stderr).contains("features that 2 samples or more have, weighed by how rare they are"));
    let trained = summary(&output);
    let parts = trained["parts"].as_object().unwrap();
    let sum = |key: &str| parts.values().map(|part| part[key].as_f64().unwrap()).sum::<f64>();
    assert!((sum("weight") - 1.0).abs() < 1e-9 && sum("seconds") > 0.0 && sum("bytes") > 0.0, "{trained}");
    assert!(trained["flops"]["executed"].as_u64().unwrap() > 0 && trained["bytes"].as_u64().unwrap() > 0);
    let chosen = common::log(&titles.path("default")).into_iter().find(|event| event["event"] == "chosen").unwrap();
    assert_eq!((&chosen["tf_idf"], &chosen["hash_size"]), (&true.into(), &(1 << 18).into()), "{chosen}");
    let mut eval = hotrow(&["eval", "xmc", "--json", "--run"]);
    eval.arg(titles.path("default")).arg("--data").arg(titles.path("valid.tsv"));
    let measured = summary(&eval.output().unwrap());
    for (name, part) in parts {
        assert_eq!(
            (&measured["parts"][name]["weight"], &measured["parts"][name]["bytes"]),
            (&part["weight"], &part["bytes"])
        );
    }
    let network = summary(&titles.train("network", &["train.epochs=1"]).output().unwrap());
    assert!(network.get("parts").is_none() && network["epochs"] == 1, "{network}");
}

/// A network beside memories is trained, kept, asked and counted as they are, and a run that stops at any stage goes on with the same bits.
#[test]
fn a_network_stands_beside_other_parts() {
    let titles = Titles::new(600);
    let trained = summary(&titles.train("run", BESIDE).output().unwrap());
    assert!(trained["metrics"]["p@1"].as_f64().unwrap() > 0.9, "{trained}");
    let network = &trained["parts"]["network"];
    assert!(network["seconds"].as_f64().unwrap() > 0.0 && network["bytes"].as_u64().unwrap() > 0, "{trained}");
    assert!(network["weight"].as_f64().unwrap() > 0.0, "{trained}");
    let mut eval = hotrow(&["eval", "xmc", "--json", "--run"]);
    let measured = summary(&eval.arg(titles.path("run")).arg("--data").arg(titles.path("valid.tsv")).output().unwrap());
    for key in ["digest", "parameters", "components"] {
        assert_eq!(measured[key], trained[key], "{key}");
    }
    assert_eq!(measured["metrics"]["p@3"], trained["metrics"]["p@3"]);

    let mut paused = titles.train("paused", BESIDE);
    assert_eq!(paused.args(["--stop-after", "1"]).output().unwrap().status.code(), Some(75));
    let stages = trained["steps"].as_u64().unwrap();
    for stage in [2, 9, 10, 11, stages - 2, stages - 1] {
        let output = titles.resume("paused").args(["--stop-after", &stage.to_string()]).output().unwrap();
        assert_eq!(output.status.code(), Some(75), "{stage}: {}", text(&output.stderr));
    }
    let paused = summary(&titles.resume("paused").output().unwrap());
    assert_eq!((&paused["digest"], &paused["metrics"]), (&trained["digest"], &trained["metrics"]));

    for set in ["train.eval_every=2", "train.log_every=3", "train.budget_seconds=60", "train.budget_bytes=100000"] {
        let output = titles.train("refused", &[BESIDE, &[set]].concat()).output().unwrap();
        let key = set.split('=').next().unwrap();
        assert_fails(&output, 2, &[key, "model.parts has a network and other parts"]);
        assert!(!titles.path("refused").exists());
    }
}

/// A rate at which a network diverges costs the network, and not the run.
#[test]
fn a_network_that_diverges_is_left_out() {
    let titles = Titles::new(400);
    let sets = [BESIDE, &["optim.name=sgd", "optim.lr=1e9", "train.save_every=1"]].concat();
    let whole = summary(&titles.train("whole", &sets).output().unwrap());
    assert!(whole["metrics"]["p@1"].as_f64().unwrap() > 0.9, "{whole}");
    assert!(whole["parts"].get("network").is_none_or(|network| network["weight"] == 0.0), "{whole}");
    let log = common::log(&titles.path("whole"));
    let gave_up = log.iter().find(|event| event["event"] == "gave_up").unwrap();
    assert_eq!((&gave_up["part"], gave_up["diverged"].is_string()), (&"network".into(), true));
    let stage = gave_up["step"].as_u64().unwrap();
    let mut paused = titles.train("paused", &sets);
    assert_eq!(paused.args(["--stop-after", &stage.to_string()]).output().unwrap().status.code(), Some(75));
    assert_eq!(summary(&titles.resume("paused").output().unwrap())["digest"], whole["digest"]);
}

#[test]
fn the_number_of_threads_changes_no_bit_of_a_network_beside_other_parts() {
    runs::the_number_of_threads_changes_no_bit(&Titles::new(400), BESIDE);
}

#[test]
fn a_run_with_a_network_beside_other_parts_that_was_killed_has_the_bits_of_one_that_was_not() {
    let sets = [BESIDE, &["train.save_every=3"]].concat();
    runs::a_run_that_was_killed_has_the_bits_of_one_that_was_not(&Titles::new(3000), &sets, 6, 5);
}

/// Fields of JSON, one of which may be unknown, are one text.
#[test]
fn several_fields_are_one_text() {
    let titles = Titles::new(1);
    let line = |sample: usize| {
        let author = if sample.is_multiple_of(7) { "null".to_owned() } else { format!("\"by author{}\"", sample % 5) };
        format!("{{\"title\": \"on topic{}\", \"author\": {author}, \"of\": [\"t{}\"]}}\n", sample % 20, sample % 20)
    };
    fs::write(titles.path("t.jsonl"), (0..400).map(line).collect::<String>()).unwrap();
    let columns = ["--set", "data.text=title,author", "--set", "data.label=of"];
    let mut train = hotrow(&["train", "xmc", "--json", "--train"]);
    train.arg(titles.path("t.jsonl")).args(columns).arg("--out").arg(titles.path("run"));
    summary(&train.output().unwrap());
    let mut predict = hotrow(&["predict", "--top", "1", "--run"]);
    let output = predict.arg(titles.path("run")).arg("--input").arg(titles.path("t.jsonl")).output().unwrap();
    let right =
        text(&output.stdout).lines().zip(0..).filter(|(line, at)| line.starts_with(&format!("t{}:", at % 20))).count();
    assert!(right > 390, "{right}");
    fs::write(titles.path("bad.jsonl"), "{\"title\": \"on\", \"of\": [\"t1\"]}\n").unwrap();
    let mut bad = hotrow(&["train", "xmc", "--train"]);
    let output = bad.arg(titles.path("bad.jsonl")).args(columns).arg("--out").arg(titles.path("x")).output().unwrap();
    assert_fails(&output, 4, &["bad.jsonl", "field `author` is missing"]);
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    runs::the_number_of_threads_changes_no_bit(&Titles::new(800), PARTS);
}

#[test]
fn checkpoints_are_the_same_whether_steps_wait_for_them_or_not() {
    runs::checkpoints_are_the_same_whether_steps_wait_for_them_or_not(&Titles::new(800), PARTS);
}

#[test]
fn a_run_that_was_killed_has_the_bits_of_one_that_was_not() {
    runs::a_run_that_was_killed_has_the_bits_of_one_that_was_not(&Titles::new(3000), PARTS, 4, 5);
}

#[test]
fn a_run_that_was_asked_to_stop_goes_on_with_the_same_bits() {
    let sets = ["model.parts=auto", "train.save_every=1000"];
    runs::a_run_that_was_asked_to_stop_goes_on_with_the_same_bits(&Titles::new(20_000), &sets);
}

#[test]
fn every_stage_can_be_the_last_before_a_pause() {
    let titles = Titles::new(400);
    let whole = summary(&titles.train("whole", PARTS).output().unwrap());
    let mut paused = titles.train("paused", PARTS);
    assert_eq!(paused.args(["--stop-after", "1"]).output().unwrap().status.code(), Some(75));
    for stage in 2..whole["steps"].as_u64().unwrap() {
        let output = titles.resume("paused").args(["--stop-after", &stage.to_string()]).output().unwrap();
        assert_eq!(output.status.code(), Some(75), "{stage}: {}", text(&output.stderr));
    }
    let paused = summary(&titles.resume("paused").output().unwrap());
    assert_eq!((&paused["digest"], &paused["metrics"]), (&whole["digest"], &whole["metrics"]));
}

#[test]
fn what_cannot_be_is_refused() {
    let titles = Titles::new(200);
    for (parts, words) in [
        ("model.parts=count", &["model.parts", "unknown variant `count`"][..]),
        ("model.parts=[]", &["model.parts", "auto chooses"]),
        ("model.parts=[\"counts\", \"counts\"]", &["counts is named twice"]),
        ("model.parts=[\"auto\", \"network\"]", &["auto is only allowed by itself"]),
        ("model.parts=3", &["model.parts", "auto, network, or a list"]),
    ] {
        assert_fails(&titles.train("refused", &[parts]).output().unwrap(), 2, words);
        assert!(!titles.path("refused").exists());
    }
    let output = titles.train("refused", PARTS).arg("--init-only").output().unwrap();
    assert_fails(&output, 2, &["--init-only", "is for networks"]);
    let network = ["model.parts=auto", "train.epochs=3"];
    assert_fails(&titles.train("refused", &network).output().unwrap(), 2, &["train.epochs", "is for a network"]);
    assert!(!titles.path("refused").exists());
    let half = titles.train("half", PARTS).args(["--stop-after", "5"]).output().unwrap();
    assert_eq!(half.status.code(), Some(75));
    let mut predict = hotrow(&["predict", "--text", "--run"]);
    assert_fails(&predict.arg(titles.path("half")).output().unwrap(), 4, &["5 of 19 stages are done"]);
    let changed = titles.resume("half").args(["--set", "model.parts=counts"]).output().unwrap();
    assert_fails(&changed, 2, &["model", "cannot change"]);
    let of_network = titles.resume("half").args(["--set", "train.epochs=3"]).output().unwrap();
    assert_fails(&of_network, 2, &["train.epochs", "is for a network"]);
    summary(&titles.resume("half").output().unwrap());
    let mut sparse = hotrow(&["predict", "--text", "--sparse", "--run"]);
    assert_fails(&sparse.arg(titles.path("half")).output().unwrap(), 2, &["--sparse"]);
}

/// What candidates miss, and what they save.
#[test]
fn all_labels_are_scored_on_demand_and_asking_is_timed() {
    let titles = Titles::new(400);
    summary(&titles.train("run", PARTS).output().unwrap());
    let (run, valid) = (titles.path("run"), titles.path("valid.tsv"));
    let eval = |more: &[&str]| {
        let mut eval = hotrow(&["eval", "xmc", "--json", "--run"]);
        summary(&eval.arg(&run).arg("--data").arg(&valid).args(more).output().unwrap())
    };
    let (candidates, all) = (eval(&[]), eval(&["--exhaustive"]));
    let precision = |summary: &Value| summary["metrics"]["p@1"].as_f64().unwrap();
    assert!((precision(&candidates) - precision(&all)).abs() < 0.02, "{candidates} {all}");
    let predict = |more: &[&str]| {
        let mut predict = hotrow(&["predict", "--top", "3", "--run"]);
        text(&predict.arg(&run).arg("--input").arg(&valid).args(more).output().unwrap().stdout)
    };
    let best =
        |answers: &str| answers.lines().map(|line| line.split(':').next().unwrap().to_owned()).collect::<Vec<_>>();
    let (named, scored) = (predict(&[]), predict(&["--exhaustive"]));
    let same = best(&named).iter().zip(best(&scored)).filter(|(a, b)| **a == *b).count();
    assert!(same as f64 > 0.97 * named.lines().count() as f64, "{same}");

    let mut ask =
        hotrow(&["bench", "ask", "--json", "--samples", "30", "--repeats", "2", "--exhaustive", "10", "--run"]);
    let asked = summary(&ask.arg(&run).arg("--data").arg(&valid).output().unwrap());
    assert_eq!((asked["kind"].as_str(), asked["samples"].as_u64()), (Some("hotrow-bench-ask"), Some(30)));
    assert_eq!((asked["exhaustive_samples"].as_u64(), asked["top"].as_u64()), (Some(10), Some(5)));
    let number = |key: &str| asked[key].as_f64().unwrap();
    assert!(number("microseconds") > 0.0 && number("microseconds_99") >= number("microseconds"), "{asked}");
    assert!((0.9..=1.0).contains(&number("found")), "{asked}");
    let mut both = hotrow(&["predict", "--sparse", "--exhaustive", "--run"]);
    assert_fails(&both.arg(&run).output().unwrap(), 2, &["--exhaustive"]);
}

#[test]
fn budgets_bound_the_time_and_the_file() {
    let titles = Titles::new(400);
    let budget = |name: &str, words: &[&str]| titles.train(name, PARTS).args(words).output().unwrap();
    let file = |name: &str| {
        let run = titles.path(name);
        let latest = fs::read_to_string(run.join("latest")).unwrap();
        fs::metadata(run.join(latest.trim()).join("parts.safetensors")).unwrap().len()
    };
    summary(&budget("whole", &[]));
    let half = file("whole") * 2 / 3;
    summary(&budget("half", &["--budget-bytes", &half.to_string()]));
    assert!(file("half") <= half, "{} of {half}", file("half"));
    assert_fails(
        &budget("none", &["--budget-bytes", "100"]),
        2,
        &["train.budget_bytes", "100 is too few", "labels alone take"],
    );
    assert!(!titles.path("none").exists());

    // Of many features, offsets alone take much.
    let many = |sample: usize| {
        format!("of topic{} u{} v{} x{}\tl{}\n", sample % 40, sample / 2, sample / 3, sample / 4, sample % 40)
    };
    fs::write(titles.path("train.tsv"), (0..3000).map(many).collect::<String>()).unwrap();
    let wide = |name: &str, words: &[&str]| {
        summary(&titles.train(name, &["model.parts=auto", "data.hash_size=65536"]).args(words).output().unwrap());
        file(name)
    };
    let two_thirds = wide("wide", &[]) * 2 / 3;
    let bounded = wide("bounded", &["--budget-bytes", &two_thirds.to_string()]);
    assert!(bounded <= two_thirds && bounded > two_thirds * 9 / 10, "{bounded} of {two_thirds}");

    let quick = summary(&budget("quick", &["--budget-seconds", "0.000001"]));
    assert!(quick["parts"]["counts"]["bytes"].as_u64() > Some(0), "{quick}");
    assert!(quick["parts"]["linear"]["bytes"].as_u64().unwrap_or(0) == 0, "{quick}");
    assert!(fs::read_to_string(titles.path("quick/metrics.jsonl")).unwrap().contains("gave_up"));
    for (words, says) in [
        (["--budget-seconds=-1"], "train.budget_seconds"),
        (["--budget-seconds=nan"], "train.budget_seconds"),
        (["--budget-bytes=-1"], "--budget-bytes"),
    ] {
        assert_fails(&budget("refused", &words), 2, &[says]);
    }
    let network = titles.train("refused", &["train.epochs=1"]).args(["--budget-seconds", "9"]).output().unwrap();
    assert_fails(&network, 2, &["train.budget_seconds", "this run is of a network"]);
}
