//! The program as a user runs it: output, exit codes, levels.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn hotrow(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hotrow"));
    command.args(arguments).env_remove("HOTROW_LEVEL");
    command
}

fn run(arguments: &[&str], level_variable: Option<&str>) -> Output {
    let mut command = hotrow(arguments);
    if let Some(level) = level_variable {
        command.env("HOTROW_LEVEL", level);
    }
    command.output().unwrap()
}

#[track_caller]
fn info_with(arguments: &[&str], level_variable: Option<&str>) -> Value {
    let output = run(&[&["info", "--json"], arguments].concat(), level_variable);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn info() -> Value {
    info_with(&[], None)
}

fn levels() -> Vec<String> {
    info()["levels"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// Exit code 2, nothing on standard output, and each of `words` in the message.
#[track_caller]
fn assert_usage_error(output: &Output, words: &[&str]) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(output.stdout.is_empty());
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
}

#[test]
fn the_json_has_the_keys_of_the_contract() {
    let info = info();
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
    assert!(info["schema"].is_u64());
    assert!(!info["commit"].as_str().unwrap().is_empty());
    assert!(!info["cpu"].as_str().unwrap().is_empty());
    assert!(info["cores"].as_u64().unwrap() >= 1);
    let absent = info["levels_absent"].as_object().unwrap();
    assert!(absent.values().all(|reason| !reason.as_str().unwrap().is_empty()));
    assert_eq!(levels()[0], "portable");
    let mut all: Vec<_> = levels().into_iter().chain(absent.keys().cloned()).collect();
    all.sort();
    assert_eq!(all, ["amx", "avx2", "avx512", "neon", "portable"]);
}

#[test]
fn the_commit_is_a_hash_or_unknown() {
    let info = info();
    let commit = info["commit"].as_str().unwrap();
    let hash = commit.strip_suffix("-dirty").unwrap_or(commit);
    assert!(commit == "unknown" || (hash.len() >= 40 && hash.bytes().all(|b| b.is_ascii_hexdigit())), "{commit}");
}

#[test]
fn the_best_level_is_used_unless_another_is_asked_for() {
    let levels = levels();
    assert_eq!(info()["level"].as_str(), levels.last().map(String::as_str));
    assert_eq!(info_with(&[], Some(""))["level"], info()["level"], "an empty variable counts as unset");
    for level in &levels {
        assert_eq!(info_with(&["--level", level], None)["level"], **level);
        assert_eq!(info_with(&[], Some(level))["level"], **level);
    }
}

#[test]
fn the_option_wins_over_the_variable() {
    let best = levels().pop().unwrap();
    assert_eq!(info_with(&["--level", &best], Some("portable"))["level"], *best);
    assert_eq!(info_with(&["--level", "portable"], Some("mmx"))["level"], "portable");
}

#[test]
fn an_absent_level_is_refused_with_the_reason() {
    let info = info();
    let absent = info["levels_absent"].as_object().unwrap();
    assert!(!absent.is_empty(), "no machine has the levels of two architectures");
    for (name, reason) in absent {
        let reason = reason.as_str().unwrap();
        assert_usage_error(&run(&["info", "--level", name], None), &["--level", name, reason]);
        assert_usage_error(&run(&["info"], Some(name)), &["HOTROW_LEVEL", name, reason]);
    }
}

#[test]
fn an_unknown_level_is_refused_with_the_names_there_are() {
    let output = run(&["info", "--level", "mmx"], None);
    assert_usage_error(&output, &["--level", "mmx", "portable", "avx2", "avx512", "amx", "neon"]);
}

#[test]
fn wrong_usage_ends_with_code_2() {
    assert_usage_error(&run(&[], None), &["Usage"]);
    assert_usage_error(&run(&["inform"], None), &["inform"]);
    assert_usage_error(&run(&["info", "--jsno"], None), &["--jsno"]);
}

#[test]
fn the_text_names_the_level_in_use_and_every_absent_one() {
    let output = run(&["info", "--level", "portable"], None);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    let level = text.lines().find(|line| line.starts_with("level ")).unwrap();
    assert!(level.contains("portable"), "{level}");
    for (name, reason) in info()["levels_absent"].as_object().unwrap() {
        assert!(text.contains(&format!("{name}: {}", reason.as_str().unwrap())), "{name} is not explained in:\n{text}");
    }
}

#[test]
fn the_version_names_commit_compiler_and_target() {
    let text = String::from_utf8(run(&["--version"], None).stdout).unwrap();
    let info = info();
    for key in ["version", "commit", "rustc", "target"] {
        assert!(text.contains(info[key].as_str().unwrap()), "{key} is not in: {text}");
    }
    let short = String::from_utf8(run(&["-V"], None).stdout).unwrap();
    assert_eq!(short.trim(), format!("hotrow {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    for arguments in [&["info"][..], &["info", "--json"], &["--version"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = hotrow(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && message.is_empty(), "{arguments:?}: {:?} {message}", output.status);
    }
}

#[test]
fn output_that_cannot_be_written_is_a_failure_at_run_time() {
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    let output = hotrow(&["info"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("standard output"));
}
