//! Reports from folders: what is read, what is passed over, what is refused.

use std::fs;

use super::from_runs;
use crate::error::Error;

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

{"schema":1,"event":"index","step":10,"recall@16":0.75,"union_rows":1800}
{"schema":1,"event":"other","step":11}
"#;
    let summary = r#"{"task":"xmc","seconds":{"train":6.0,"total":8.0},"metrics":{"ndcg@1":0.3,"p@5":0.2,"p@1":0.3},
        "flops":{"executed":10,"dense_equivalent":100},"bytes":5,
        "phases":{"gemm":{"seconds":1.0,"flops":7},"read":{"seconds":0.5}}}"#;
    let env = r#"{"cpu":"two cores","threads":2,"command":["hotrow","demo"]}"#;
    let run = folder(&[("metrics.jsonl", log), ("summary.json", summary), ("env.json", env)]);
    let report = from_runs(&[run.path().to_path_buf()]).expect("all is well");
    assert_eq!(report.command, "hotrow demo");
    assert_eq!(report.environment[1], ("threads".to_string(), "2".to_string()));
    let run = &report.runs[0];
    let names: Vec<&str> = run.metrics.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["p@1", "p@5", "ndcg@1"]);
    assert_eq!((run.seconds, run.dense_flops, run.peak_memory_bytes), (Some(6.0), Some(100.0), None));
    assert_eq!(run.curve.len(), 1);
    assert_eq!((run.curve[0].loss, run.curve[0].precision_at_1), (Some(9.0), Some(0.25)));
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
    assert!(error.to_string().contains("not the folder of a run"), "{error}");
}
