//! Reports from folders: what is read, what is passed over, what is refused.

use std::fs;

use serde_json::{Value, json};

use super::{from_json, from_runs};
use hotrow::error::Error;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("a small file");
    }
    folder
}

#[test]
fn figures_come_from_the_three_files_and_unknown_keys_are_passed_over() {
    let log = r#"{"schema":1,"event":"train","step":10,"seconds":0.5,"loss":9.0,"samples":2560,"new":[1]}
{"schema":1,"event":"eval","step":10,"seconds":0.5,"p@1":0.25,"loss":8.0}

{"schema":1,"event":"index","step":10,"recall@16":0.75,"union_rows":1800,"index":{"occupancy":[3,0,1]}}
{"schema":1,"event":"other","step":11}
"#;
    let summary = r#"{"task":"xmc","seconds":{"train":6.0,"total":8.0},"metrics":{"ndcg@1":0.3,"p@5":0.2,"p@1":0.3},
        "flops":{"executed":10,"dense_equivalent":100},"bytes":5,
        "phases":{"gemm":{"seconds":1.0,"flops":7},"read":{"seconds":0.5}}}"#;
    let env = r#"{"cpu":"two cores","threads":2,"command":["hotrow","demo"]}"#;
    let run = folder(&[("metrics.jsonl", log), ("summary.json", summary), ("env.json", env)]);
    let report = from_runs(&[run.path().to_path_buf()]).expect("all is well");
    assert_eq!(report.runs[0].origin.command, "hotrow demo");
    assert_eq!(report.runs[0].origin.machine, "two cores, 2 threads");
    assert_eq!(report.environment[1], ("threads".to_string(), "2".to_string()));
    let run = &report.runs[0];
    let names: Vec<&str> = run.metrics.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["p@1", "p@5", "ndcg@1"]);
    assert_eq!((run.seconds, run.dense_flops, run.peak_memory_bytes), (Some(6.0), Some(100.0), None));
    assert_eq!(run.curve.len(), 1);
    assert_eq!((run.curve[0].loss, run.curve[0].quality), (Some(9.0), Some(0.25)));
    assert_eq!(run.index_health[0].occupancy, [3.0, 0.0, 1.0]);
    assert_eq!((run.index_health[0].recall_k, run.index_health[0].recall), (Some(16), Some(0.75)));
    assert_eq!((run.phases[0].name.as_str(), run.phases[1].flops), ("read", 7.0));
}

#[test]
fn steps_that_were_repeated_after_a_resume_count_once() {
    let line = |step, loss| format!("{{\"event\":\"train\",\"step\":{step},\"loss\":{loss}}}\n");
    let log = [line(1, 9), line(2, 8), line(3, 7), line(2, 6), line(3, 5)].concat();
    let run = folder(&[("metrics.jsonl", &log)]);
    let report = from_runs(&[run.path().to_path_buf()]).expect("all is well");
    let losses: Vec<_> = report.runs[0].curve.iter().map(|point| (point.step, point.loss)).collect();
    assert_eq!(losses, [(1, Some(9.0)), (2, Some(6.0)), (3, Some(5.0))]);
}

#[test]
fn bad_files_are_refused_with_file_and_line() {
    let bad = [("metrics.jsonl", "{}\n{\"event\":\n", 2), ("metrics.jsonl", "[]\n", 1), ("summary.json", "{\n1}", 2)];
    for (name, text, at) in bad {
        let run = folder(&[(name, text)]);
        match from_runs(&[run.path().to_path_buf()]) {
            Err(Error::Data { path, line, .. }) => assert_eq!((path, line), (run.path().join(name), at)),
            other => panic!("{name} with {text:?} gave {other:?}"),
        }
    }
    let empty = folder(&[]);
    let error = from_runs(&[empty.path().to_path_buf()]).expect_err("there is no run");
    assert!(error.to_string().contains("no folder of a run and no result"), "{error}");
}

/// A result as `hotrow bench run` writes it, with keys changed.
fn result(change: impl Fn(&mut Value)) -> Vec<u8> {
    let mut value = json!({
        "schema": 1, "kind": "hotrow-bench-result", "workload": "small", "workload_hash": "0123456789abcdef", "task": "xmc",
        "division": "closed", "variant": "sparse", "engine": "hotrow", "device": "cpu", "precision": "f32", "seed": 2,
        "command": ["hotrow", "bench", "run"], "machine": {"cpu": "two cores", "cores": 2, "level": "avx2", "threads": 1},
        "software": {"commit": "c0ffee"}, "seconds": {"total": 9.0, "load": 1.0, "train": 7.5},
        "curve": [[1.0, 10, null, 2.5], [1.5, 10, 0.25, null], [3.0, 20, 0.31, null]],
        "target": {"metric": "p@1", "value": 0.3, "reached": true, "seconds": 3.0, "step": 20},
        "metrics": {"p@1": 0.31}, "metrics_are_estimates": true, "samples_per_second": 70.0, "steps": 20,
        "flops": {"executed": 100, "dense_equivalent": 400}, "peak_memory_bytes": 0,
        "energy": {"joules": 5.5, "method": "rapl"}, "cost": {"amount": 0.25, "currency": "EUR", "price_per_hour": 100.0},
        "status": "reached", "a key of tomorrow": [], "components": [{"name": "output", "bytes": 64}],
        "index": [{"step": 8, "recall@10": 0.5, "index": {"occupancy": [1, 2]}}], "activity": [[5, 0.25, null], "odd"]
    });
    change(&mut value);
    value.to_string().into_bytes()
}

#[test]
fn a_result_is_read_in_full_and_operations_grow_with_steps() {
    let report = from_json("a.json".as_ref(), &result(|_| ())).expect("all is well");
    let run = &report.runs[0];
    assert_eq!((run.name.as_str(), run.contender.as_str()), ("hotrow sparse, f32, seed 2", "hotrow sparse, f32"));
    assert_eq!((run.workload.as_str(), run.division.as_str()), ("small (01234567)", "closed"));
    assert_eq!(run.origin.machine, "two cores, 2 cores, avx2, 1 thread");
    assert_eq!((run.origin.commit.as_str(), run.origin.command.as_str()), ("c0ffee", "hotrow bench run"));
    let target = run.target.as_ref().expect("there is one");
    assert_eq!((target.reached, target.seconds, target.step), (true, Some(3.0), Some(20)));
    assert!(run.metrics_are_estimates && run.peak_memory_bytes.is_none());
    let points: Vec<_> = run.curve[..3].iter().map(|p| (p.step, p.quality, p.loss, p.flops)).collect();
    let want =
        [(10, None, Some(2.5), Some(50.0)), (10, Some(0.25), None, Some(50.0)), (20, Some(0.31), None, Some(100.0))];
    assert_eq!(points, want);
    assert_eq!((run.curve.len(), run.curve[3].step, run.curve[3].active_share), (4, 5, Some(0.25)));
    let health = &run.index_health[0];
    assert_eq!((health.step, health.recall, health.occupancy.as_slice()), (8, Some(0.5), &[1.0, 2.0][..]));
    assert_eq!(run.components, [("output".to_string(), 64.0)]);
    assert_eq!(run.energy, Some((5.5, "rapl".to_string())));
    assert_eq!(run.cost.as_ref().map(|cost| (cost.amount, cost.currency.as_str())), Some((0.25, "EUR")));
}

#[test]
fn a_file_that_is_no_result_is_refused_with_the_key_at_fault() {
    type Change = fn(&mut Value);
    let bad: [(Change, &str); 8] = [
        (|v| v["schema"] = json!(2), "schema"),
        (|v| v["kind"] = json!("hotrow-something"), "kind"),
        (|v| v["workload"] = json!(null), "workload"),
        (|v| v["device"] = json!(3), "device"),
        (|v| v["target"]["value"] = json!("0.3"), "target.value"),
        (|v| v["target"]["reached"] = json!(null), "target.reached"),
        (|v| v["curve"][1] = json!([1.5, -10, 0.25, null]), "curve[1]"),
        (|v| v["curve"] = json!("none"), "curve"),
    ];
    for (change, key) in bad {
        match from_json("a.json".as_ref(), &result(change)) {
            Err(Error::Data { message, .. }) => assert!(message.starts_with(key), "{message}"),
            other => panic!("{key}: {other:?}"),
        }
    }
}

#[test]
fn measurements_are_read_and_what_is_missing_in_a_row_is_named() {
    let text = r#"{"schema":1,"kind":"hotrow-bench-roofline","bandwidth_bytes_per_second":2e10,"peak":[{"level":"avx2","dtype":"f32",
        "gflops":100}],"kernels":[{"name":"rows_dot","level":"avx2","dtype":"f32","shape":"1","flops_per_byte":0.5,"gflops":8}]}"#;
    let report = from_json("r.json".as_ref(), text.as_bytes()).expect("all is well");
    assert_eq!((report.rooflines[0].bandwidth, report.rooflines[0].kernels[0].gflops), (Some(2e10), 8.0));
    let text = r#"{"schema":1,"kind":"hotrow-bench-breakeven","rows":[{"level":"avx2","dtype":"f32","shape":"1","density":0.1,
        "sampled_seconds":1,"dense_seconds":2,"note":"x"}]}"#;
    let report = from_json("b.json".as_ref(), text.as_bytes()).expect("all is well");
    let mut seconds = report.breakevens[0].rows[0].seconds.clone();
    seconds.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(seconds, [("dense".to_string(), 2.0), ("sampled".to_string(), 1.0)]);
    let text = r#"{"schema":1,"kind":"hotrow-bench-scale","rows":[{"axis":"labels","value":10,"contender":"a"}]}"#;
    let error = from_json("s.json".as_ref(), text.as_bytes()).expect_err("it has no time");
    assert_eq!(error.to_string(), "s.json: rows[0].seconds: is missing or no number");
}

#[test]
fn a_folder_gives_its_results_and_its_runs_and_names_what_it_passes_over() {
    let other = r#"{"schema":1,"kind":"of-tomorrow"}"#;
    let folder = folder(&[("b.json", other), ("c.txt", "no"), (".tmp-d.json", "{")]);
    fs::write(folder.path().join("a.json"), result(|_| ())).expect("a small file");
    fs::create_dir(folder.path().join("dense")).expect("a folder");
    fs::write(folder.path().join("dense/summary.json"), r#"{"task":"train lm"}"#).expect("a small file");
    let report = from_runs(&[folder.path().to_path_buf()]).expect("all is well");
    let names: Vec<_> = report.runs.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(names, ["hotrow sparse, f32, seed 2", "dense"]);
    assert!(report.notes[0].contains("b.json (of-tomorrow)"), "{:?}", report.notes);
}

#[test]
fn runs_of_language_models_are_judged_by_their_validation_loss() {
    let log = r#"{"schema":1,"event":"train","step":5,"seconds":0.5,"loss":6.0,"tokens":640,"flops":1000}
{"schema":1,"event":"eval","step":5,"seconds":0.5,"loss":5.5,"perplexity":244.7,"bits_per_byte":2.1,"sample":"KING"}
"#;
    let summary = r#"{"task":"train lm","tokens_per_second":1280.0,"components":[{"name":"head","bytes":64}]}"#;
    let run = folder(&[("metrics.jsonl", log), ("summary.json", summary)]);
    let run = &from_runs(&[run.path().to_path_buf()]).expect("all is well").runs[0];
    assert_eq!((run.metric.as_str(), run.tokens_per_second), ("loss", Some(1280.0)));
    let point = run.curve[0];
    let got = (point.quality, point.loss, point.samples, point.flops);
    assert_eq!(got, (Some(5.5), Some(6.0), Some(640.0), Some(1000.0)));
    assert_eq!(run.components, [("head".to_string(), 64.0)]);
}
