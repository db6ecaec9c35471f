//! The program from outside: how it is started, and what it leaves.

// Each file of tests uses a part of it.
#![allow(dead_code)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The program with some arguments.
pub fn hotrow(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hotrow"));
    command.args(arguments).env_remove("HOTROW_LEVEL").stdin(Stdio::null());
    command
}

/// Adds `--set` for each of `sets`.
pub fn with_sets(command: &mut Command, sets: &[&str]) {
    sets.iter().for_each(|set| {
        command.args(["--set", set]);
    });
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a program that has succeeded says with `--json`.
#[track_caller]
pub fn summary(output: &Output) -> Value {
    assert!(output.status.success(), "{:?}: {}", output.status, text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The exit code, and each of `words` in the message.
#[track_caller]
pub fn assert_fails(output: &Output, code: i32, words: &[&str]) {
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
}

/// The log without what depends on the clock.
pub fn log(run: &Path) -> Vec<Value> {
    let log = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let clocked = ["seconds", "clock", "samples_per_second", "tokens_per_second", "memory_bytes"];
    let event = |line: &str| {
        let mut event: Value = serde_json::from_str(line).unwrap();
        clocked.iter().for_each(|key| {
            event.as_object_mut().unwrap().remove(*key);
        });
        event
    };
    log.lines().map(event).collect()
}
