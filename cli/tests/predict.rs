//! `hotrow predict` as a user sees it: a line for each line, and the same answers for the same samples however they come.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use common::{hotrow, text};
use serde_json::Value;
use tempfile::TempDir;

/// A folder with a run on two samples of text, whose labels are hard to print.
struct Run {
    folder: TempDir,
}

const TEXT: &[&str] = &["data.text=t", "data.label=l", "data.hash_size=1024"];

impl Run {
    fn new(name: &str, train: &str, sets: &[&str]) -> Self {
        let run = Self { folder: tempfile::tempdir().unwrap() };
        fs::write(run.path(name), train).unwrap();
        let mut command = hotrow(&["train", "xmc", "--threads", "1", "--set", "train.epochs=30", "--train"]);
        command.arg(run.path(name)).arg("--out").arg(run.path("run"));
        common::with_sets(&mut command, sets);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        run
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn predict(&self, input: &Path, more: &[&str]) -> Output {
        let mut command = hotrow(&["predict", "--top", "1", "--threads", "1", "--run"]);
        command.arg(self.path("run")).arg("--input").arg(input).args(more).output().unwrap()
    }

    /// The first answer of each line, without its score.
    fn answers(&self, name: &str, bytes: impl AsRef<[u8]>) -> Vec<String> {
        fs::write(self.path(name), bytes).unwrap();
        let output = self.predict(&self.path(name), &[]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let label = |line: &str| line.rsplit_once(':').map_or(String::new(), |(label, _)| label.to_owned());
        text(&output.stdout).lines().map(label).collect()
    }
}

#[test]
fn each_line_has_an_answer_however_the_file_is_packed() {
    let run = Run::new("train.svm", "0 0:1\n1 1:1\n", &[]);
    let plain = "0 0:1\n\n1 1:1\n# nothing\nsome-name 1:1\n";
    let want = ["0", "", "1", "", "1"];
    assert_eq!(run.answers("a.svm", plain), want);
    assert_eq!(run.answers("b.svm", format!("\u{feff}{plain}")), want);
    assert_eq!(run.answers("c.zst", zstd::encode_all(plain.as_bytes(), 1).unwrap()), want);
    assert_eq!(run.answers("d.txt", "2 2 2\n0 0:1\n1 1:1\n"), ["", "0", "1"]);
    // A pipe is opened once, and so it will do.
    let pipe = run.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::write(pipe, plain).unwrap()
    });
    let output = run.predict(&pipe, &["--json"]);
    writer.join().unwrap();
    let lines: Vec<Value> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 5, "{}", text(&output.stderr));
    assert_eq!(lines[1], serde_json::json!({ "labels": [] }));
    assert_eq!(lines[2]["labels"][0]["label"], "1");
}

#[test]
fn faulty_lines_are_told_after_the_answers_before_them_or_skipped_if_asked() {
    let run = Run::new("train.svm", "0 0:1\n1 1:1\n", &[]);
    fs::write(run.path("bad.svm"), "0 0:1\n0 0:x\n1 1:1 5:1\n").unwrap();
    let output = run.predict(&run.path("bad.svm"), &[]);
    assert_eq!((output.status.code(), text(&output.stdout).lines().count()), (Some(4), 1));
    assert!(text(&output.stderr).contains("bad.svm:2:5: value `x` is not a number"), "{}", text(&output.stderr));
    let output = run.predict(&run.path("bad.svm"), &["--skip-bad", "1", "--json"]);
    assert_eq!((output.status.code(), text(&output.stdout).lines().count()), (Some(0), 3));
    let told: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((&told["left_out"]["bad_records"], &told["left_out"]["features_dropped"]), (&1.into(), &1.into()));
    let output = run.predict(&run.path("bad.svm"), &["--skip-bad", "1"]);
    assert!(text(&output.stderr).starts_with("left out: 1 features that training has not seen, 1 faulty lines"));
}

#[test]
fn labels_with_tabs_and_line_ends_stay_on_their_line() {
    let train = "{\"t\":\"hot\",\"l\":[\"a\\tb\\nc\\\\d\"]}\n{\"t\":\"cold\",\"l\":[\"plain\"]}\n";
    let run = Run::new("train.jsonl", train, TEXT);
    assert_eq!(run.answers("a.jsonl", "{\"t\":\"hot\"}\n\n{\"t\":\"cold\"}\n"), ["a\\tb\\nc\\\\d", "", "plain"]);
    let output = run.predict(&run.path("a.jsonl"), &["--json"]);
    let first: Value = serde_json::from_str(text(&output.stdout).lines().next().unwrap()).unwrap();
    assert_eq!(first["labels"][0]["label"], "a\tb\nc\\d");
}

#[test]
fn an_answer_comes_when_input_pauses() {
    let run = Run::new("train.svm", "0 0:1\n1 1:1\n", &[]);
    let mut command = hotrow(&["predict", "--top", "1", "--threads", "1", "--run"]);
    let mut child = command.arg(run.path("run")).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut output = BufReader::new(output);
    for (sample, want) in [("0:1\n", "0:"), ("\n", "\n"), ("1:1\n", "1:")] {
        input.write_all(sample.as_bytes()).unwrap();
        let mut line = String::new();
        // Nothing more is sent before: a program that waits for more would wait for ever.
        output.read_line(&mut line).unwrap();
        assert!(line.starts_with(want), "{line}");
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_smallest_values_are_trained_evaluated_and_predicted_alike() {
    let run = Run::new("train.svm", "0 0:1e-45\n1 1:1e-45\n", &["model.pooling=normalized"]);
    assert_eq!(run.answers("a.svm", "0:1e-45\n1:1e-45\n0:1\n"), ["0", "1", "0"]);
}
