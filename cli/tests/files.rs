//! Files as the program leaves them: where the user pointed, whole, and none that nobody asked for.

#[path = "files/caches.rs"]
mod caches;
mod common;
#[path = "files/inputs.rs"]
mod inputs;
#[path = "files/outputs.rs"]
mod outputs;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{hotrow, text};

/// Names of what is in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = entries.collect();
    names.sort();
    names
}

/// The program with `words` as its arguments, in `folder`.
fn at(folder: &Path, words: &str) -> Command {
    let mut command = hotrow(&words.split(' ').collect::<Vec<_>>());
    command.current_dir(folder).env("TMPDIR", std::env::temp_dir());
    command
}

/// What it says. It must not hang: it is killed after a minute.
#[track_caller]
fn run(command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    ended(child)
}

#[track_caller]
fn ended(mut child: Child) -> Output {
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("it hangs");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.wait_with_output().unwrap()
}

#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{:?}: {}", output.status, text(&output.stderr));
    text(&output.stdout)
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A node of its own like `/dev/null` (3) or `/dev/full` (7); `None`, and a word about it, where this user may make none.
fn device(path: &Path, minor: u32) -> Option<PathBuf> {
    let made = Command::new("mknod").arg(path).args(["c", "1", &minor.to_string()]).stderr(Stdio::null()).status();
    let works = made.is_ok_and(|status| status.success()) && fs::File::options().write(true).open(path).is_ok();
    if !works {
        let _ = writeln!(std::io::stderr(), "skipped: this user cannot make device nodes");
        let _ = fs::remove_file(path);
    }
    works.then(|| path.to_owned())
}

/// A small svmlight set `a.svm`, and what a run on it needs.
fn data(folder: &Path) {
    let lines = (0..60).map(|i| format!("{} {}:1 {}:0.5\n", i % 3, i % 5, 5 + i % 7));
    fs::write(folder.join("a.svm"), lines.collect::<String>()).unwrap();
}

/// Trains on `a.svm`, to the folder `r`.
const TRAIN: &str = "train xmc --threads 1 --set model.hidden=[4] --set train.epochs=1 --train a.svm --out r";

/// A larger set, which takes some time to read.
fn large(folder: &Path) {
    let mut text = String::new();
    for i in 0..200_000_u32 {
        text += &format!("{} ", i % 50);
        (0..8).for_each(|at| text += &format!("{}:0.{} ", at * 100 + i % 97, 1 + i % 9));
        text += "\n";
    }
    fs::write(folder.join("large.svm"), text).unwrap();
}
