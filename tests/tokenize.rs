//! `hotrow tokenize` on a disk that is full, fed by pipes, and beside what killed programs have left.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::{assert_fails, hotrow, summary};
use tempfile::TempDir;

const TEXT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/shakespeare/part.txt");

/// Runs `hotrow tokenize` on `file` into `out`.
fn tokenize(file: &str, out: &Path, more: &[&str]) -> Output {
    hotrow(&["tokenize", file, "--json"]).args(more).arg("--out").arg(out).output().unwrap()
}

/// A folder with a set of token files of some text, and their tokenizer.
fn made() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (text, out) = (folder.path().join("text.txt"), folder.path().join("out"));
    fs::write(&text, "to be or not to be\n".repeat(200)).unwrap();
    summary(&tokenize(text.to_str().unwrap(), &out, &["--vocabulary", "270", "--valid-share", "0.2"]));
    (folder, out)
}

/// Names and contents of the files in `folder`.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut contents: Vec<_> = names.map(|name| (name.clone(), fs::read(folder.join(name)).unwrap())).collect();
    contents.sort();
    contents
}

#[test]
fn a_full_disk_leaves_the_set_that_was_there() {
    let (_folder, out) = made();
    let before = contents(&out);
    assert_eq!(before.len(), 3);
    // As full for a file of more than 32 (in some shells 64) KiB: enough for the tokenizer, not for the tokens.
    let limited = "ulimit -f 64; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", limited, "sh", env!("CARGO_BIN_EXE_hotrow"), "tokenize", TEXT, "--vocabulary", "300"]);
    let output = command.args(["--valid-share", "0.1", "--out"]).arg(&out).output().unwrap();
    assert_fails(&output, 1, &["train.tokens", "too large"]);
    assert!(contents(&out) == before, "{:?}", contents(&out).iter().map(|(name, _)| name).collect::<Vec<_>>());
    // With room for it, the same command replaces all of it.
    summary(&tokenize(TEXT, &out, &["--vocabulary", "300", "--valid-share", "0.1"]));
    let after = contents(&out);
    assert!(after.iter().zip(&before).all(|(new, old)| new.0 == old.0 && new.1 != old.1));
}

#[test]
fn a_pipe_is_text_for_a_tokenizer_that_is_there_and_refused_where_it_would_be_read_twice() {
    let (folder, out) = made();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let name = pipe.to_str().unwrap();
    // Nobody writes to it: whoever opens it waits for ever.
    let new = folder.path().join("new");
    let learning = tokenize(name, &new, &["--vocabulary", "300"]);
    assert_fails(&learning, 4, &["pipe: is a pipe or device", "reads its files twice", "or --tokenizer"]);
    let tokenizer = out.join("tokenizer.json");
    let known = ["--tokenizer", tokenizer.to_str().unwrap()];
    let sharing = tokenize(name, &new, &[&known[..], &["--valid-share", "0.1"]].concat());
    assert_fails(&sharing, 4, &["pipe: is a pipe or device", "--valid-share", "or --valid"]);
    assert!(!new.exists());

    let mut command = hotrow(&["tokenize", name, "--json"]);
    let child = command.args(known).arg("--out").arg(&new).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    fs::write(&pipe, "to be\nor not\n").unwrap();
    let made = summary(&child.unwrap().wait_with_output().unwrap());
    assert_eq!(made["counts"][0]["source_bytes"], 13);
    // Validation text is read once, whatever is learnt.
    let mut command = hotrow(&["tokenize", TEXT, "--vocabulary", "260", "--json", "--valid", name]);
    let child = command.arg("--out").arg(&new).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    fs::write(&pipe, "to be\n").unwrap();
    assert_eq!(summary(&child.unwrap().wait_with_output().unwrap())["counts"][1]["source_bytes"], 6);
}

#[test]
fn what_a_killed_program_has_left_goes_with_the_next_one() {
    let (folder, out) = made();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut command = hotrow(&["tokenize", pipe.to_str().unwrap(), "--tokenizer"]);
    command.arg(out.join("tokenizer.json")).args(["--valid", TEXT, "--out"]).arg(&out);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    // Opened by the program when it has made its files; it waits for more than this.
    let writer = fs::File::options().write(true).open(&pipe).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    drop(writer);
    assert_eq!(contents(&out).len(), 5);
    summary(&tokenize(TEXT, &out, &["--vocabulary", "260", "--valid-share", "0.1"]));
    assert_eq!(contents(&out).len(), 3);
}

#[test]
fn a_validation_file_without_text_is_told() {
    let (folder, _) = made();
    let (empty, new) = (folder.path().join("empty.txt"), folder.path().join("new"));
    fs::write(&empty, "").unwrap();
    let output = tokenize(TEXT, &new, &["--vocabulary", "260", "--valid", empty.to_str().unwrap()]);
    assert_fails(&output, 4, &["empty.txt: there is no text for validation"]);
    assert!(!new.exists(), "the folder was made for it");
}
