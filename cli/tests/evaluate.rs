//! `hotrow eval`: faulty samples count as in training; windows that overlap, and text that is no token file yet.

mod common;

use std::fs;

use common::{assert_fails, hotrow, summary};

#[test]
fn faulty_and_empty_lines_count_as_they_do_in_training() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    // A sample, one without a label, one without text, one with neither, no sample, one without the column of labels.
    fs::write(place("a.tsv"), "hot\tfig\ncold\t\n\tfig\n\t\n  \ncold\n").unwrap();
    let train = |more: &[&str]| {
        let mut command = hotrow(&["train", "xmc", "--json", "--threads", "1", "--out", &place("run")]);
        let text = ["data.text=1", "data.label=2", "data.hash_size=64", "train.epochs=1"];
        common::with_sets(&mut command, &[&text[..], more].concat());
        command.args(["--train", &place("a.tsv")]).output().unwrap()
    };
    assert_fails(&train(&[]), 4, &["a.tsv:6", "column 2 is missing"]);
    let trained = summary(&train(&["data.skip_bad=1"]));
    let eval = |more: &[&str]| {
        let arguments = ["eval", "xmc", "--json", "--run", &place("run"), "--data", &place("a.tsv")];
        hotrow(&arguments).args(more).output().unwrap()
    };
    let measured = summary(&eval(&[]));
    for counts in [&measured["left_out"]["data"], &trained["left_out"]["train"]] {
        assert_eq!((&counts["samples_without_labels"], &counts["bad_records"]), (&2.into(), &1.into()));
    }
    assert_eq!(summary(&eval(&["--skip-bad", "2"]))["left_out"], measured["left_out"]);
    assert_fails(&eval(&["--skip-bad", "0"]), 4, &["a.tsv:6", "column 2 is missing"]);
    // Bare text is taken as such if asked.
    fs::write(place("lines.jsonl"), "hot\n").unwrap();
    let predict = |more: &[&str]| {
        hotrow(&["predict", "--run", &place("run"), "--input", &place("lines.jsonl")]).args(more).output().unwrap()
    };
    assert_fails(&predict(&["--skip-bad", "0"]), 4, &["lines.jsonl:1", "--text takes lines as bare text"]);
    assert_eq!(common::text(&predict(&["--text"]).stdout).lines().count(), 1);
}

#[test]
fn windows_and_texts_are_measured_as_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    fs::write(place("a.txt"), "to be or not to be, that is the question\n".repeat(20)).unwrap();
    let tokenize = ["tokenize", &place("a.txt"), "--vocabulary", "260", "--json", "--out", &place("tokens")];
    summary(&hotrow(&tokenize).output().unwrap());
    let mut train = hotrow(&["train", "lm", "--json", "--preset", "tiny", "--threads", "1", "--out", &place("run")]);
    let sizes = ["model.width=16", "model.layers=1", "model.heads=2", "model.context=16", "train.steps=20"];
    common::with_sets(&mut train, &[&sizes[..], &["train.batch_tokens=64", "train.sample_tokens=0"]].concat());
    summary(&train.args(["--train", &place("tokens/train.tokens")]).output().unwrap());

    let eval = |file: &str, more: &[&str]| {
        let arguments = ["eval", "lm", "--json", "--run", &place("run"), "--data", &place(file)];
        hotrow(&arguments).args(more).output().unwrap()
    };
    let loss = |file: &str, more: &[&str]| summary(&eval(file, more))["metrics"]["loss"].as_f64().unwrap();
    let tokens = "tokens/train.tokens";
    let plain = loss(tokens, &[]);
    assert_eq!(loss(tokens, &["--context", "16", "--stride", "16"]), plain);
    assert_ne!(loss(tokens, &["--stride", "4"]), plain);
    assert_ne!(loss(tokens, &["--context", "8"]), plain);
    // The same text has the same tokens, and so the same loss.
    assert_eq!(loss("a.txt", &["--text"]), plain);
    assert_fails(&eval("a.txt", &[]), 4, &["a.txt", "no token file"]);
    assert_fails(&eval(tokens, &["--text"]), 4, &["train.tokens", "no text"]);
    assert_fails(&eval(tokens, &["--stride", "17"]), 2, &["stride", "17", "16"]);
    assert_fails(&eval(tokens, &["--context", "17"]), 2, &["context", "17", "16"]);
}
