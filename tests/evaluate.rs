//! `hotrow eval lm`: windows that overlap, and text that is no token file yet.

mod common;

use std::fs;

use common::{assert_fails, hotrow, summary};

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
