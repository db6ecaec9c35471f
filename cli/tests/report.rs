//! `hotrow report` from outside: what it writes, and what it refuses.

mod common;

use std::fs;
use std::path::Path;

use common::{assert_fails, hotrow, text};
use serde_json::{Value, json};

/// A result of `hotrow bench run`.
fn result(variant: &str, seed: u64, seconds: f64, flops: u64) -> Value {
    json!({
        "schema": 1, "kind": "hotrow-bench-result", "workload": "small", "workload_hash": "0123456789abcdef", "task": "xmc",
        "division": "closed", "variant": variant, "engine": "hotrow", "device": "cpu", "precision": "f32", "seed": seed,
        "command": ["hotrow", "bench", "run", "small.toml"], "machine": {"cpu": "some <CPU>", "cores": 2, "level": "avx2"},
        "software": {"commit": "c0ffee"}, "seconds": {"total": seconds + 1.0, "load": 1.0, "train": seconds},
        "curve": [[0.5 * seconds, 10, 0.25, null], [seconds, 20, 0.31, null]],
        "target": {"metric": "p@1", "value": 0.3, "reached": true, "seconds": seconds, "step": 20},
        "metrics": {"p@1": 0.31}, "steps": 20, "flops": {"executed": flops, "dense_equivalent": 400_000},
        "phases": {"gemm": {"seconds": seconds, "flops": flops, "bytes": 5}}, "status": "reached"
    })
}

/// A folder of results of two variants with three seeds each.
fn results(folder: &Path) {
    fs::create_dir(folder).unwrap();
    for seed in 1..=3 {
        for (variant, seconds, flops) in [("dense", 20.0, 400_000), ("sparse", 5.0, 40_000)] {
            let name = format!("small-hotrow-cpu-{variant}-{seed}.json");
            fs::write(folder.join(name), result(variant, seed, seconds + seed as f64, flops).to_string()).unwrap();
        }
    }
}

#[test]
fn a_folder_of_results_becomes_a_page_markdown_and_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    results(&at("results"));
    let mut command = hotrow(&["report", "results", "--out", "r.html", "--markdown", "r.md", "--png", "pictures"]);
    let output = command.current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("r.html"));

    let page = fs::read_to_string(at("r.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    assert!(page.contains("some &lt;CPU&gt;, 2 cores, avx2 · c0ffee · hotrow bench run small.toml"));
    assert!(["http:", "https:", "<script", "url("].iter().all(|outside| !page.contains(outside)));
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("@media print"));

    let markdown = fs::read_to_string(at("r.md")).unwrap();
    // The medians are those of the second seed: 22 and 7 seconds.
    let row = markdown.lines().find(|line| line.starts_with("| hotrow sparse, f32 |")).unwrap();
    assert!(row.contains("| 7 s (6 s, 7 s, 8 s) | 3.14x | 40 kFLOP | 10x |"), "{row}");
    assert!(markdown.contains("| GPU (CUDA) | – | – | not run |"), "{markdown}");
    for picture in ["quality-seconds", "quality-flops", "phases"] {
        assert!(markdown.contains(&format!("(<pictures/{picture}.png>)")), "{picture}");
        let bytes = fs::read(at("pictures").join(format!("{picture}.png"))).unwrap();
        assert!(bytes.starts_with(b"\x89PNG") && bytes.len() < 100_000, "{picture}: {} bytes", bytes.len());
    }
    let again = hotrow(&["report", "results", "--out", "again.html"]).current_dir(folder.path()).output().unwrap();
    assert!(
        again.status.success() && fs::read_to_string(at("again.html")).unwrap() == page,
        "the same numbers, another page"
    );
}

#[test]
fn a_run_logs_what_its_drawings_need() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output = hotrow(arguments).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    };
    run(&[
        "make-data",
        "xmc",
        "--preset",
        "small",
        "--labels",
        "2000",
        "--samples",
        "600",
        "--valid-samples",
        "50",
        "--out",
        "d",
    ]);
    let sets =
        ["model.hidden=[16]", "train.epochs=1", "train.batch_size=50", "sparse.active=200", "sparse.inspect_every=4"];
    let mut train = vec!["train", "xmc", "--train", "d/train.txt", "--valid", "d/valid.txt", "--out", "run"];
    train.extend(sets.iter().flat_map(|set| ["--set", set]));
    run(&[&train[..], &["--set", "train.log_every=3", "--set", "sparse.index=simhash"]].concat());
    run(&["report", "run", "--out", "r.html"]);
    let page = fs::read_to_string(folder.path().join("r.html")).unwrap();
    for drawing in [
        "P@1 against time",
        "P@1 against operations",
        "Training loss against samples",
        "Where the time goes, by phase",
        "Active share of samples and rows",
        "Rows that any sample of a step uses",
        "Recall of the true top 10",
        "Captured softmax mass",
        "Buckets by their number of rows",
        "Memory by component",
    ] {
        assert!(page.contains(&format!("aria-label=\"{drawing}")), "no {drawing}");
    }
    // Operations of the last evaluation are those of the summary, and the weights have the size that they must have.
    let summary: Value = serde_json::from_slice(&fs::read(folder.path().join("run/summary.json")).unwrap()).unwrap();
    let log = common::log(&folder.path().join("run"));
    let last = log.iter().rev().find(|event| event["event"] == "eval").unwrap();
    assert_eq!(last["flops"], summary["flops"]["executed"]);
    let output = summary["components"].as_array().unwrap().iter().find(|part| part["name"] == "output").unwrap();
    assert_eq!(output["bytes"], 4 * 2000 * 17);
    let buckets = &log.iter().rev().find(|event| event["event"] == "index").unwrap()["index"];
    let counted: u64 = buckets["occupancy"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(buckets["used_buckets"], counted);
}

#[test]
fn what_is_no_result_is_refused_with_its_file_and_place() {
    let folder = tempfile::tempdir().unwrap();
    let no_json = "{\n  \"schema\": 1,\n  oops\n}";
    let other_schema = r#"{"schema": 9, "kind": "hotrow-bench-result"}"#;
    let mut bad_curve = result("dense", 1, 1.0, 1);
    bad_curve["curve"][1] = json!([1.0]);
    let cases: [(&str, String, &[&str]); 4] = [
        ("a.json", no_json.to_owned(), &["a.json:3:3"]),
        ("b.json", other_schema.to_owned(), &["b.json", "schema"]),
        ("c.json", "[]".to_owned(), &["c.json:1", "not a JSON object"]),
        ("d.json", bad_curve.to_string(), &["d.json", "curve[1]"]),
    ];
    for (name, content, words) in cases {
        fs::write(folder.path().join(name), content).unwrap();
        let output = hotrow(&["report", name]).current_dir(folder.path()).output().unwrap();
        assert_fails(&output, 4, words);
    }
    fs::create_dir(folder.path().join("empty")).unwrap();
    let output = hotrow(&["report", "empty"]).current_dir(folder.path()).output().unwrap();
    assert_fails(&output, 4, &["empty", "no result"]);
    let output = hotrow(&["report", "absent"]).current_dir(folder.path()).output().unwrap();
    assert_fails(&output, 1, &["absent"]);
    assert!(!folder.path().join("report.html").exists(), "a page of nothing");
}
