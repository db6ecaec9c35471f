//! Options of the program: what it prints, and what it refuses before it does anything.

use std::process::{Command, Output};

fn hotrow(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hotrow")).args(arguments).env_remove("HOTROW_LEVEL").output().unwrap()
}

/// Exit code 2, nothing on standard output, and `words` in the message.
#[track_caller]
fn assert_refused(arguments: &[&str], words: &str) {
    let output = hotrow(arguments);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(output.stdout.is_empty());
    assert!(message.contains(words), "{words:?} is not in: {message}");
}

#[test]
fn the_printed_configuration_is_one_that_can_be_read() {
    for (task, set, line) in
        [("xmc", "sparse.index=simhash", "index = \"simhash\"\n"), ("lm", "model.tied=false", "tied = false\n")]
    {
        let printed = |arguments: &[&str]| {
            let output = hotrow(&[&["train", task, "--print-config"], arguments].concat());
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let changed = printed(&["--set", "optim.lr=0.25", "--set", set]);
        assert!(changed.contains("lr = 0.25\n") && changed.contains(line), "{changed}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.toml");
        std::fs::write(&path, &changed).unwrap();
        assert_eq!(printed(&["--config", path.to_str().unwrap()]), changed);
        assert_ne!(printed(&[]), changed);
    }
}

#[test]
fn a_preset_gives_way_to_a_file_and_the_file_to_a_set() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    std::fs::write(&path, "[model]\nlayers = 3\nheads = 2\n").unwrap();
    let file = path.to_str().unwrap();
    let options = ["--preset", "base", "--config", file, "--set", "model.heads=4", "--print-config"];
    let output = hotrow(&[&["train", "lm"], &options[..]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    for line in ["width = 512\n", "layers = 3\n", "heads = 4\n"] {
        assert!(text.contains(line), "{line} is not in: {text}");
    }
}

#[test]
fn wrong_options_are_refused_with_what_would_be_right() {
    let train = |more: &[&'static str]| [&["train", "xmc", "--train", "no.txt", "--out", "no/run"], more].concat();
    assert_refused(&train(&["--set", "optim.lrr=1"]), "optim.lrr: no such key; did you mean optim.lr?");
    assert_refused(&train(&["--set", "sparse.index=lsh"]), "expected one of `all`, `random`, `simhash`");
    assert_refused(&train(&["--set", "train.keep=0"]), "train.keep: 0 is not at least 1");
    assert_refused(&train(&["--threads", "0"]), "--threads: 0 is not in 1..=512");
    assert_refused(&train(&["--resume", "no/run"]), "cannot be used with");
    assert_refused(&["train", "xmc", "--train", "no.txt"], "--out");
    let lm = |more: &[&'static str]| [&["train", "lm", "--train", "no.tokens", "--out", "no/run"], more].concat();
    let presets = "[possible values: tiny, small, base, gpt2-124m, memory-1b, memory-2.5b, memory-7b]";
    assert_refused(&lm(&["--preset", "huge"]), presets);
    assert_refused(&lm(&["--set", "train.step=1"]), "train.step: no such key; did you mean train.steps?");
    assert_refused(&["tokenize", "no.txt", "--out", "no"], "--vocabulary");
    assert_refused(
        &["tokenize", "no.txt", "--out", "no", "--vocabulary", "9", "--tokenizer", "no.json"],
        "cannot be used with",
    );
    // A file that is named without its folder lies in this one, which has no vocabulary.
    let merges = hotrow(&["tokenize", "no.txt", "--out", "no", "--tokenizer", "Cargo.toml"]);
    let message = String::from_utf8_lossy(&merges.stderr);
    assert_eq!(merges.status.code(), Some(4), "{message}");
    assert!(message.contains(".: has none of encoder.json, vocab.json"), "{message}");
    assert_refused(&["predict", "--run", "no/run", "--top", "0"], "--top: 0 is not above 0");
    assert!(!std::path::Path::new("no").exists());
}
