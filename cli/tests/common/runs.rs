//! What holds of runs of every kind, whatever they train.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hotrow::rng::rng;
use rand::RngExt;
use serde_json::Value;

use super::common::{assert_fails, log, summary, text};

/// A folder with data, in which runs are started by name.
pub trait Runs {
    /// Where something of this name is.
    fn path(&self, name: &str) -> PathBuf;
    /// Starts the run `out`.
    fn train(&self, out: &str, sets: &[&str]) -> Command;
    /// Takes it up.
    fn resume(&self, out: &str) -> Command;
}

/// The names of what is in the run `out` whose name begins with `start`, sorted.
pub fn names(run: &Path, start: &str) -> Vec<String> {
    let names = fs::read_dir(run).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with(start)).collect();
    names.sort();
    names
}

pub fn the_number_of_threads_changes_no_bit(data: &impl Runs, sets: &[&str]) {
    let run = |threads: &str| {
        let name = format!("run-{threads}");
        let digest = summary(&data.train(&name, sets).args(["--threads", threads]).output().unwrap())["digest"].clone();
        (digest, log(&data.path(&name)))
    };
    let one = run("1");
    for threads in ["2", "3", "8"] {
        assert_eq!(run(threads), one, "{threads} threads");
    }
}

/// A run whose checkpoints are all kept, and one whose steps wait for each of them.
pub fn checkpoints_are_the_same_whether_steps_wait_for_them_or_not(data: &impl Runs, sets: &[&str]) {
    let run = |name: &str, bytes: &str| {
        let sets = [sets, &["train.keep=1000", bytes]].concat();
        summary(&data.train(name, &sets).output().unwrap());
        log(&data.path(name))
    };
    assert_eq!(run("behind", "train.snapshot_bytes=1000000000"), run("waiting", "train.snapshot_bytes=0"));
    let checkpoints = names(&data.path("behind"), "checkpoint-");
    assert!(checkpoints.len() > 5, "{checkpoints:?}");
    assert_eq!(names(&data.path("waiting"), "checkpoint-"), checkpoints);
    for checkpoint in checkpoints {
        let [behind, waiting] = ["behind", "waiting"].map(|name| data.path(name).join(&checkpoint));
        let files = names(&behind, "");
        assert_eq!(names(&waiting, ""), files);
        // The other files have clocks, the configuration, and digests of both.
        for file in files.iter().filter(|file| !file.ends_with(".json") || *file == "tokenizer.json") {
            let [behind, waiting] = [&behind, &waiting].map(|path| fs::read(path.join(file)).unwrap());
            assert!(behind == waiting, "{checkpoint}/{file}");
        }
    }
}

/// Kills the program again and again, anywhere between its start and its end, and resumes it until it has finished.
pub fn a_run_that_was_killed_has_the_bits_of_one_that_was_not(
    data: &impl Runs,
    sets: &[&str],
    least: usize,
    seed: u64,
) {
    let start = Instant::now();
    let undisturbed = summary(&data.train("undisturbed", sets).output().unwrap());
    let length = start.elapsed();
    let want = log(&data.path("undisturbed"));
    let (mut kills, mut runs, mut rng) = (0, 0, rng(seed, "kill", 0));
    while kills < least {
        let name = format!("run-{runs}");
        loop {
            // A kill before the run has a folder is followed by a new start.
            let mut command = match data.path(&name).join("config.toml").exists() {
                true => data.resume(&name),
                false => data.train(&name, sets),
            };
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            std::thread::sleep(length.mul_f64(rng.random_range(0.0..0.9)));
            if child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
            }
            let output = child.wait_with_output().unwrap();
            if output.status.success() {
                break;
            }
            assert!(output.status.code().is_none(), "not killed: {}", text(&output.stderr));
            kills += 1;
        }
        let finished: Value =
            serde_json::from_slice(&fs::read(data.path(&name).join("summary.json")).unwrap()).unwrap();
        for key in ["digest", "flops", "metrics", "steps"] {
            assert_eq!(finished[key], undisturbed[key], "{key} after {kills} kills");
        }
        assert_eq!(log(&data.path(&name)), want);
        fs::remove_dir_all(data.path(&name)).unwrap();
        runs += 1;
    }
    assert!(runs > 0);
}

/// Asked to stop, the program saves where it stands and says how to go on. `sets` are of a run that is long enough for the signal
/// to come before its end, without checkpoints on the way.
pub fn a_run_that_was_asked_to_stop_goes_on_with_the_same_bits(data: &impl Runs, sets: &[&str]) {
    let undisturbed = summary(&data.train("undisturbed", sets).output().unwrap());
    let child = data.train("run", sets).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    // From its first line in the log on, the program is in its loop.
    while fs::metadata(data.path("run/metrics.jsonl")).map_or(0, |file| file.len()) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the run does not begin");
        std::thread::sleep(Duration::from_millis(1));
    }
    let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(asked.success());
    assert_fails(&child.wait_with_output().unwrap(), 75, &["--resume"]);
    // The exit code promises a checkpoint that is complete.
    assert_eq!(names(&data.path("run"), ".tmp-"), [""; 0]);
    assert_eq!(names(&data.path("run"), "checkpoint-").len(), 1);
    assert_eq!(summary(&data.resume("run").output().unwrap())["digest"], undisturbed["digest"]);
    assert_eq!(log(&data.path("run")), log(&data.path("undisturbed")));
}
