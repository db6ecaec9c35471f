//! A run knows its data, its level and where it stands: what a resumed run compares before it changes anything.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{assert_fails, hotrow, log, summary, text, with_sets};
use serde_json::Value;
use tempfile::TempDir;

/// A folder with `t.tsv`: colours and their labels.
struct Colours {
    folder: TempDir,
}

const RED_IS_FREQUENT: &str = "red\tx\nred\tx\nblue\ty\n";
const BLUE_IS_FREQUENT: &str = "red\tx\nblue\ty\nblue\ty\n";

impl Colours {
    fn new() -> Self {
        let colours = Self { folder: tempfile::tempdir().unwrap() };
        colours.write("t.tsv", RED_IS_FREQUENT);
        colours
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = hotrow(arguments);
        command.current_dir(self.folder.path());
        command
    }

    fn train(&self, more: &[&str], sets: &[&str]) -> Output {
        let mut command = self.command(&["train", "xmc", "--json", "--train", "t.tsv", "--out", "r", "--threads", "1"]);
        let text = ["data.text=1", "data.label=2", "data.hash_size=1024", "train.epochs=30"];
        with_sets(&mut command, &[&text[..], sets].concat());
        command.args(more).output().unwrap()
    }

    fn resume(&self, more: &[&str]) -> Output {
        self.command(&["train", "xmc", "--json", "--threads", "1", "--resume"]).args(more).output().unwrap()
    }

    fn best_label(&self, run: &str, word: &str) -> String {
        self.write("word.txt", &format!("{word}\n"));
        let arguments = ["predict", "--run", run, "--text", "--top", "1", "--input", "word.txt"];
        let output = self.command(&arguments).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).split(':').next().unwrap().to_owned()
    }

    /// Every file of the run, its parsed data included.
    fn run(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.path("r")];
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                match path.is_dir() {
                    true => folders.push(path),
                    false => drop(files.insert(path.clone(), fs::read(&path).unwrap())),
                }
            }
        }
        files
    }
}

#[test]
fn a_run_whose_data_changed_is_not_resumed_and_nothing_of_it_changes() {
    let colours = Colours::new();
    summary(&colours.train(&[], &[]));
    assert_eq!(colours.best_label("r", "red"), "x");
    let before = colours.run();
    // The names would be numbered the other way round.
    colours.write("t.tsv", BLUE_IS_FREQUENT);
    for sets in [&[][..], &["--set", "train.batch_size=1"], &["--set", "train.epochs=31"]] {
        let output = colours.resume(&[&["r"], sets].concat());
        let code = if sets.get(1) == Some(&"train.batch_size=1") { 2 } else { 4 };
        assert_fails(&output, code, if code == 4 { &["t.tsv", "r/checkpoint-000030"] } else { &["train.batch_size"] });
        assert!(colours.run() == before, "{sets:?}");
        // The plan of it says no less.
        let plan = colours.resume(&[&["r", "--dry-run"], sets].concat());
        assert_fails(&plan, code, if code == 4 { &["t.tsv", "digest"] } else { &["train.batch_size"] });
        assert_eq!(colours.best_label("r", "red"), "x");
    }
    // More samples, other features, another label, an old label under a new name.
    for other in ["red\tx\nred\tx\nblue\ty\nred\tx\n", "rod\tx\nred\tx\nblue\ty\n", "red\tx\nred\tx\nblue\tz\n"] {
        colours.write("t.tsv", other);
        assert_fails(&colours.resume(&["r"]), 4, &["t.tsv"]);
    }
    assert!(colours.run() == before);
    colours.write("t.tsv", RED_IS_FREQUENT);
    summary(&colours.resume(&["r"]));
}

#[test]
fn a_validation_file_that_changed_is_refused_as_well() {
    let colours = Colours::new();
    colours.write("v.tsv", "red\tx\n");
    summary(&colours.train(&["--valid", "v.tsv"], &[]));
    colours.write("v.tsv", "red\ty\n");
    assert_fails(&colours.resume(&["r"]), 4, &["v.tsv", "digest"]);
}

/// As hotrow 0.1 wrote them: without digests, and with the vocabulary in the run's folder only.
#[test]
fn a_checkpoint_without_digests_is_compared_by_sizes_and_names() {
    let colours = Colours::new();
    summary(&colours.train(&[], &[]));
    let folder = colours.path("r/checkpoint-000030");
    let rewrite = |name: &str, change: &dyn Fn(&mut Value)| {
        let path = folder.join(name);
        let mut value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut value);
        fs::write(&path, serde_json::to_vec_pretty(&value).unwrap()).unwrap();
    };
    rewrite("trainer_state.json", &|state| state["counters"] = serde_json::json!({}));
    for name in ["vocabulary.json", "label_counts.json"] {
        fs::remove_file(folder.join(name)).unwrap();
    }
    seal(&folder);
    assert_eq!(colours.best_label("r", "red"), "x");
    summary(&colours.resume(&["r"]));
    colours.write("t.tsv", BLUE_IS_FREQUENT);
    assert_fails(&colours.resume(&["r"]), 4, &["t.tsv", "other names"]);
    colours.write("t.tsv", "red\tx\nred\tx\nblue\ty\ngreen\tz\n");
    assert_fails(&colours.resume(&["r"]), 4, &["t.tsv", "3 labels, not"]);
}

/// Writes a manifest for the files that are there.
fn seal(folder: &Path) {
    let path = folder.join("manifest.json");
    let old: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let hex = |bytes: &[u8]| format!("{:032x}", xxhash_rust::xxh3::xxh3_128(bytes));
    let files = old["files"].as_array().unwrap().iter().filter_map(|entry| {
        let bytes = fs::read(folder.join(entry["name"].as_str().unwrap())).ok()?;
        Some(Entry { name: entry["name"].as_str().unwrap().to_owned(), bytes: bytes.len(), xxh3_128: hex(&bytes) })
    });
    let mut manifest =
        Manifest { schema: 1, step: old["step"].as_u64().unwrap(), files: files.collect(), digest: String::new() };
    manifest.digest = hex(&serde_json::to_vec_pretty(&manifest).unwrap());
    fs::write(&path, serde_json::to_vec_pretty(&manifest).unwrap()).unwrap();
}

#[derive(serde::Serialize)]
struct Entry {
    name: String,
    bytes: usize,
    xxh3_128: String,
}

#[derive(serde::Serialize)]
struct Manifest {
    schema: u32,
    step: u64,
    files: Vec<Entry>,
    digest: String,
}

#[test]
fn data_that_moved_is_taken_where_it_is_now_if_it_is_the_same() {
    let colours = Colours::new();
    let stopped = colours.train(&["--stop-after", "10"], &[]);
    assert_eq!(stopped.status.code(), Some(75));
    fs::rename(colours.path("t.tsv"), colours.path("moved.tsv")).unwrap();
    assert_fails(&colours.resume(&["r"]), 1, &["t.tsv"]);
    colours.write("other.tsv", BLUE_IS_FREQUENT);
    for dry in [&[][..], &["--dry-run"]] {
        assert_fails(&colours.resume(&[&["r", "--train", "other.tsv"], dry].concat()), 4, &["other.tsv"]);
    }
    summary(&colours.resume(&["r", "--train", "moved.tsv", "--dry-run"]));
    let resumed = summary(&colours.resume(&["r", "--train", "moved.tsv", "--stop-after", "30"]));
    // The run knows the new place.
    summary(&colours.resume(&["r"]));
    fs::rename(colours.path("r"), colours.path("first")).unwrap();
    fs::copy(colours.path("moved.tsv"), colours.path("t.tsv")).unwrap();
    assert_eq!(summary(&colours.train(&[], &[]))["digest"], resumed["digest"]);
}

#[test]
fn a_checkpoint_that_was_copied_by_itself_names_its_labels() {
    let colours = Colours::new();
    summary(&colours.train(&[], &[]));
    fs::create_dir(colours.path("copy")).unwrap();
    fs::rename(colours.path("r/checkpoint-000030"), colours.path("copy/checkpoint-000030")).unwrap();
    fs::remove_dir_all(colours.path("r")).unwrap();
    assert_eq!(colours.best_label("copy/checkpoint-000030", "blue"), "y");
    let eval = ["eval", "xmc", "--json", "--run", "copy/checkpoint-000030", "--data", "t.tsv"];
    assert_eq!(summary(&colours.command(&eval).output().unwrap())["metrics"]["p@1"], 1.0);
}

#[test]
fn a_run_continues_with_another_level_only_if_that_is_allowed() {
    let info: Value = serde_json::from_slice(&hotrow(&["info", "--json"]).output().unwrap().stdout).unwrap();
    let best = info["level"].as_str().unwrap();
    if best == "portable" {
        return eprintln!("this machine has one level only");
    }
    let colours = Colours::new();
    assert_eq!(colours.train(&["--level", "portable", "--stop-after", "10"], &[]).status.code(), Some(75));
    assert_fails(&colours.resume(&["r"]), 2, &["level", "portable", best]);
    assert_fails(&colours.resume(&["r", "--level", best]), 2, &["level", "portable", best]);
    let allowed = colours.resume(&["r", "--other-level", "--stop-after", "20"]);
    assert!(text(&allowed.stderr).contains("began with portable"), "{}", text(&allowed.stderr));
    // Its last steps were of the other one, so going back is a change as well.
    let back = colours.resume(&["r", "--level", "portable"]);
    assert_fails(&back, 2, &["level", "continued last with", best, "portable"]);
    assert_eq!(summary(&colours.resume(&["r"]))["level"], best);
}

#[test]
fn a_step_that_is_done_is_no_step_to_stop_after() {
    let colours = Colours::new();
    assert_fails(&colours.train(&["--stop-after", "0"], &[]), 2, &["stop after", "step 0"]);
    assert!(!colours.path("r").exists());
    assert_eq!(colours.train(&["--stop-after", "10"], &[]).status.code(), Some(75));
    for step in ["9", "10"] {
        assert_fails(&colours.resume(&["r", "--stop-after", step]), 2, &["stop after", "stands at step 10"]);
    }
    assert_eq!(colours.resume(&["r", "--stop-after", "11"]).status.code(), Some(75));
    assert!(colours.path("r/checkpoint-000011").exists());
}

#[test]
fn a_plan_of_a_run_that_is_there_needs_no_other_flags_and_changes_nothing() {
    let colours = Colours::new();
    summary(&colours.train(&[], &[]));
    let before = colours.run();
    let plan = summary(&colours.resume(&["r", "--dry-run", "--set", "train.epochs=50"]));
    assert_eq!((plan["steps"].as_u64(), plan["fits"].as_bool()), (Some(50), Some(true)));
    assert!(colours.run() == before);
}

#[test]
fn so_many_passes_that_their_steps_cannot_be_counted_are_refused() {
    let colours = Colours::new();
    for epochs in ["4611686018427387904", "4294967296"] {
        let output = colours.train(&[], &[&format!("train.epochs={epochs}"), "train.batch_size=1"]);
        assert_fails(&output, 2, &["train.epochs", epochs, "4294967295"]);
        assert!(!colours.path("r").exists());
    }
}

/// The first checkpoint is on the disk while its evaluation is under way; killed there, the run has lost nothing.
#[test]
fn a_checkpoint_comes_before_the_evaluation_of_its_step() {
    let colours = Colours::new();
    // An evaluation that takes long beside everything else.
    colours.write("v.tsv", &"red\tx\nblue\ty\n".repeat(300_000));
    let arguments = ["train", "xmc", "--json", "--train", "t.tsv", "--valid", "v.tsv", "--out", "r", "--threads", "1"];
    let mut command = colours.command(&arguments);
    with_sets(&mut command, &["data.text=1", "data.label=2", "data.hash_size=1024", "train.epochs=2"]);
    let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    while !colours.path("r/latest").exists() {
        assert!(child.try_wait().unwrap().is_none(), "the run has ended");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let events = |name: &str| log(&colours.path("r")).iter().filter(|event| event["event"] == name).count();
    assert_eq!(events("eval"), 0, "the run was killed before its first evaluation had ended");
    summary(&colours.resume(&["r"]));
    // It made up for the one that it owed.
    assert_eq!(events("eval"), 2);
}

#[test]
fn constants_of_propensities_are_options() {
    let colours = Colours::new();
    colours.write("t.tsv", &"red\tx\nred\tx\nblue\ty\nred\tx,y\n".repeat(5));
    colours.write("v.tsv", "red\tx,y\nblue\tx\n");
    let psp = |sets: &[&str]| {
        let _ = fs::remove_dir_all(colours.path("r"));
        summary(&colours.train(&["--valid", "v.tsv"], sets))["metrics"]["psp@1"].as_f64().unwrap()
    };
    // Without an exponent all labels count the same, as for P@1 of a set with one label a sample at least.
    assert_eq!(psp(&["train.propensity_a=0"]), psp(&["train.propensity_a=0", "train.propensity_b=9"]));
    assert_ne!(psp(&[]), psp(&["train.propensity_a=0.6", "train.propensity_b=2.6"]));
    assert_fails(&colours.train(&[], &["train.propensity_a=-1"]), 2, &["train.propensity_a"]);
}
