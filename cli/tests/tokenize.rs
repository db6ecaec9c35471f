//! `hotrow tokenize` on a disk that is full, fed by pipes, with little memory, and beside what killed programs have left; flags of
//! `hotrow generate` that take text.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::{assert_fails, hotrow, summary};
use tempfile::TempDir;

const TEXT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/shakespeare/part.txt");

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
    assert!(!new.exists());
}

/// Of 6 MB of words in one line; as one piece, they would need more than a gigabyte.
#[test]
fn a_text_in_one_line_takes_no_more_memory_than_in_many() {
    let (folder, out) = made();
    let line = fs::read_to_string(TEXT).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    let line = line.repeat(6_000_000 / line.len());
    let object = format!("{{\"text\": \"{}\"}}\n", line.replace(['"', '\\'], ""));
    let tokenizer = out.join("tokenizer.json");
    for (name, content) in [("one.txt", &line), ("one.jsonl", &object)] {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        for source in [["--tokenizer", tokenizer.to_str().unwrap()], ["--vocabulary", "300"]] {
            let mut command = Command::new("sh");
            // One thread: each has some address space of its own.
            command.args(["-c", "ulimit -v 500000; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_hotrow"), "tokenize"]);
            command.arg(&path).args(source).args(["--threads", "1", "--json", "--out"]).arg(folder.path().join("new"));
            let made = summary(&command.output().unwrap());
            assert!(made["counts"][0]["source_bytes"].as_u64().unwrap() > 5_000_000, "{made}");
        }
    }
}

#[test]
fn what_is_left_out_or_looks_like_a_mark_is_said() {
    let (folder, out) = made();
    let file = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let tokenizer = out.join("tokenizer.json");
    let known = ["--tokenizer", tokenizer.to_str().unwrap()];
    let new = folder.path().join("new");
    let bad = file("bad.jsonl", "{\"text\": \"to be\"}\nnull\n{\"text\": \"or not\"}\n");
    assert_fails(&tokenize(&bad, &new, &known), 4, &["bad.jsonl:2:"]);
    let done = summary(&tokenize(&bad, &new, &[&known[..], &["--skip-bad", "1"]].concat()));
    assert_eq!((&done["left_out"]["bad_records"], &done["counts"][0]["documents"]), (&1.into(), &2.into()));
    assert!(done["left_out"]["first_bad_record"].as_str().unwrap().contains("bad.jsonl:2:"));
    assert_eq!(done["end_of_text"], "<|endoftext|>");

    let stories = file("stories.txt", "to be\n<|endoftext|>\nor not\n");
    let warned = tokenize(&stories, &new, &known);
    assert_eq!(summary(&warned)["counts"][0]["documents"], 1);
    let warning = common::text(&warned.stderr);
    assert!(
        warning.contains("warning: the text has <|endoftext|> 1 times") && warning.lines().count() == 1,
        "{warning}"
    );
    let split = tokenize(&stories, &new, &[&known[..], &["--document-separator", "<|endoftext|>"]].concat());
    assert_eq!((&summary(&split)["counts"][0]["documents"], split.stderr.len()), (&2.into(), 0));
    let dashes = file("dashes.txt", "to be\n---\nor not\n");
    let split =
        tokenize(&dashes, &new, &[&known[..], &["--document-separator", "---", "--end-of-text", "none"]].concat());
    let split = summary(&split);
    assert_eq!((&split["counts"][0]["documents"], &split["end_of_text"]), (&2.into(), &serde_json::Value::Null));
    let long = format!("{{\"text\": \"{}\"}}", "to be ".repeat(300_000));
    for text in ["{\"text\": \"to be\"}\n", "{\"text\": \"to be\"}", "\n {\"a\":1, \"text\": \"to be\"}\n", &long] {
        let objects = file("objects", text);
        assert_fails(&tokenize(&objects, &new, &known), 4, &["objects:1: looks like JSON objects", "--format jsonl"]);
    }
    for text in ["{", "{\"to be\"}\n", "{to: be}\n{\"a\":1}\n", "{ \"or"] {
        summary(&tokenize(&file("braces", text), &new, &known));
    }
    let objects = file("objects", "{\"text\": \"to be\"}\n");
    summary(&tokenize(&objects, &new, &[&known[..], &["--format", "jsonl"]].concat()));

    let words = file("words.txt", &"one two three ".repeat(2000));
    let output =
        hotrow(&["tokenize", &words, "--vocabulary", "300", "--valid-share", "0.1", "--out"]).arg(&new).output();
    let told = common::text(&output.unwrap().stdout);
    assert!(told.contains("10.00") && told.contains(" % of the bytes are for validation"), "{told}");
}

#[test]
fn a_separator_of_documents_is_said_to_be_of_no_use_where_it_is() {
    let (folder, out) = made();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("text"), "to be\n\n\nor not\n<|endoftext|>\n").unwrap();
    fs::write(path("text.jsonl"), "{\"text\": \"to be\"}\n").unwrap();
    let (tokenizer, new) = (out.join("tokenizer.json"), folder.path().join("new"));
    let with = |file: &str, separator: &str| {
        let more = ["--tokenizer", tokenizer.to_str().unwrap(), "--document-separator", separator];
        tokenize(&path(file), &new, &more)
    };
    let lines = with("text", r"\n\n\n");
    let said = common::text(&lines.stderr);
    assert!(said.contains("the text has <|endoftext|> 1 times") && said.lines().count() == 1, "{said}");
    let lines = summary(&lines);
    assert_eq!((&lines["counts"][0]["documents"], &lines["document_separators"]), (&2.into(), &1.into()));
    let never = with("text", "###");
    assert!(common::text(&never.stderr).contains("warning: --document-separator: the text does not have it"));
    assert_eq!(summary(&never)["document_separators"], 0);
    assert_fails(&with("text.jsonl", "###"), 2, &["--document-separator", "JSON objects"]);
    assert_fails(&with("text", r"\d"), 2, &[r"\d is none of"]);
}

#[test]
fn values_that_begin_with_a_dash_are_values() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none");
    let generate =
        |more: &[&str]| hotrow(&["generate", "--checkpoint", missing.to_str().unwrap()]).args(more).output().unwrap();
    // What is wrong is that there is no checkpoint, not the text.
    for more in [["--prompt", "-5 degrees"], ["--stop", "---"], ["--stop", "\\n"]] {
        let message = common::text(&generate(&more).stderr);
        assert!(message.contains("none") && !message.contains("argument"), "{more:?}: {message}");
    }
    assert_fails(&generate(&["--temperature", "-1"]), 2, &["--temperature: -1 is not at least 0"]);
    assert_fails(&generate(&["--seed", "-1"]), 2, &["invalid value '-1' for '--seed <N>'"]);
    assert_fails(&generate(&["--stop", "\\d"]), 2, &["\\d is none of"]);
    assert_fails(&generate(&["--prompt", "a", "--prompt-file", "b"]), 2, &["cannot be used with"]);
    assert_fails(&generate(&["--prompt-file", missing.to_str().unwrap()]), 1, &["none"]);
}
