//! What does not fit a machine is refused before it is asked for, and what the system refuses is an error.

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use common::{assert_fails, hotrow, summary, text};

/// The program under `ulimit -v KIB`, so that a mistake here cannot take the machine's memory.
fn limited(kib: u64, folder: &tempfile::TempDir, arguments: &[&str]) -> Output {
    let script = format!("ulimit -v {kib}; exec \"$@\"");
    let mut command = Command::new("bash");
    command.args(["-c", &script, "bash"]).arg(env!("CARGO_BIN_EXE_hotrow")).args(arguments);
    command.current_dir(folder.path()).env_remove("HOTROW_LEVEL").output().unwrap()
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).unwrap());
    folder
}

const TRAIN: [&str; 6] = ["train", "xmc", "--threads", "1", "--out", "r"];

#[test]
fn ids_that_no_machine_could_hold_are_bad_data_and_leave_no_folder() {
    for (name, text) in [
        ("feature.svm", "0 4294967294:1\n"),
        ("label.svm", "4294967294 0:1\n"),
        ("header.txt", "2 4000000000 3\n0 1:1\n1 2:1\n"),
    ] {
        let folder = folder(&[(name, text)]);
        let output = limited(8_000_000, &folder, &[&TRAIN[..], &["--train", name]].concat());
        assert_fails(&output, 4, &[name]);
        assert!(!folder.path().join("r").exists(), "{name}");
    }
}

#[test]
fn a_network_that_does_not_fit_is_a_wrong_option_and_leaves_no_folder() {
    let folder = folder(&[("a.svm", "0 1:1\n1 2:1\n")]);
    let wide = ["--train", "a.svm", "--set", "model.hidden=[16777216,16777216]"];
    let output = limited(8_000_000, &folder, &[&TRAIN[..], &wide].concat());
    assert_fails(&output, 2, &["model.hidden", "GiB", "ulimit -v"]);
    assert!(!folder.path().join("r").exists());
    // The same folder serves for a network that fits.
    summary(&limited(8_000_000, &folder, &[&TRAIN[..], &["--train", "a.svm", "--json"]].concat()));
}

#[test]
fn a_plan_needs_no_data_and_says_whether_it_fits() {
    let plan = |arguments: &[&str]| summary(&hotrow(arguments).args(["--dry-run", "--json"]).output().unwrap());
    let lm = plan(&["train", "lm", "--preset", "memory-2.5b", "--set", "train.steps=10"]);
    assert!(lm["parameters"].as_u64().unwrap() > 2_400_000_000);
    assert_eq!(lm["steps"], 10);
    for key in ["tokens_per_second", "peak_memory_bytes"] {
        assert!(lm[key].as_f64().unwrap() > 0.0, "{key}");
    }
    assert!(lm["flops"]["token"].as_u64().unwrap() > 1_000_000);
    assert!(lm["fits"].is_boolean());
    let sizes = ["--samples", "490449", "--features", "135909", "--labels", "670091", "--features-per-sample", "75.6"];
    let network = ["--set", "model.parts=network"];
    let xmc = plan(&[&["train", "xmc"], &network[..], &sizes[..]].concat());
    assert_eq!(xmc["parameters"], 135_909 * 128 + 128 + 670_091 * 129_u64);
    let parts = plan(&[&["train", "xmc"], &sizes[..]].concat());
    // Each feature of a sample is held by sample and by feature, and its counts.
    assert!(parts["peak_memory_bytes"].as_u64().unwrap() > 30 * 490_449 * 75, "{parts}");
    for kind in [&[][..], &network] {
        let huge = ["train", "xmc", "--samples", "9", "--features", "4000000000", "--labels", "4000000000"];
        assert_eq!(plan(&[&huge[..], kind].concat())["fits"], false);
    }
    for (flag, value) in [
        ("--samples", "0"),
        ("--samples", "18446744073709551615"),
        ("--features", "0"),
        ("--labels", "4294967296"),
        ("--features-per-sample", "NaN"),
        ("--features-per-sample", "1e300"),
        ("--features-per-sample", "10"),
    ] {
        let mut sizes: Vec<&str> = ["--samples", "--features", "--labels", "--features-per-sample"]
            .into_iter()
            .filter(|other| *other != flag)
            .flat_map(|other| [other, "9"])
            .collect();
        sizes.extend([flag, value]);
        let output = hotrow(&["train", "xmc", "--dry-run"]).args(&sizes).output().unwrap();
        assert_fails(&output, 2, &[flag, "is not in"]);
    }
    let long = hotrow(&["train", "lm", "--dry-run", "--set", "train.steps=4294967296"]).output().unwrap();
    assert_fails(&long, 2, &["train.steps", "4294967295 is the most"]);
    let tokenizer = hotrow(&["train", "lm", "--dry-run", "--tokenizer", "no/such.json"]).output().unwrap();
    assert_fails(&tokenizer, 1, &["no/such.json"]);
    let plan = hotrow(&["train", "lm", "--dry-run", "--preset", "tiny"]).output().unwrap();
    assert!(common::text(&plan.stdout).contains("training        unknown"), "{}", common::text(&plan.stdout));
    let output = hotrow(&["train", "xmc", "--dry-run", "--samples", "9"]).output().unwrap();
    assert_fails(&output, 2, &["--features", "--labels"]);
}

#[test]
fn the_address_space_is_a_limit_of_a_language_model_too() {
    let folder = folder(&[("a.txt", &"to be or not to be\n".repeat(100))]);
    let tokenize = ["tokenize", "a.txt", "--vocabulary", "300", "--out", "t", "--threads", "1"];
    let output = limited(8_000_000, &folder, &tokenize);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let train = ["train", "lm", "--threads", "1", "--preset", "memory-1b", "--set", "train.steps=1"];
    let files = ["--train", "t/train.tokens", "--out", "r"];
    let output = limited(1_500_000, &folder, &[&train[..], &files].concat());
    assert_fails(&output, 2, &["model", "GiB", "ulimit -v"]);
    assert!(!folder.path().join("r").exists());
}

#[test]
fn threads_beyond_the_limit_are_refused_whoever_asks_for_them() {
    let mut command = hotrow(&["train", "xmc", "--dry-run", "--samples", "9", "--features", "9", "--labels", "9"]);
    assert_fails(&command.env("RAYON_NUM_THREADS", "4000").output().unwrap(), 2, &["RAYON_NUM_THREADS", "4000"]);
    // The flag wins.
    assert!(command.args(["--threads", "2"]).output().unwrap().status.success());
}

/// A container is a control group with a limit. Making one takes a writable hierarchy.
#[test]
fn a_container_that_is_too_small_is_seen() {
    let name = format!("hotrow-test-{}", std::process::id());
    let places = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
    let made = places.iter().find_map(|(root, file)| {
        let group = PathBuf::from(root).join(&name);
        fs::create_dir(&group).ok()?;
        let limited = fs::write(group.join(file), "1258291200");
        if limited.is_err() {
            let _ = fs::remove_dir(&group);
        }
        limited.ok().map(|()| group)
    });
    let Some(group) = made else { return eprintln!("no control group can be made here: not tested") };
    let script = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", group.display());
    let arguments = ["train", "lm", "--dry-run", "--json", "--preset", "memory-2.5b", "--set", "train.steps=1"];
    let mut command = Command::new("bash");
    let output = command.args(["-c", &script, "bash"]).arg(env!("CARGO_BIN_EXE_hotrow")).args(arguments).output();
    fs::remove_dir(&group).unwrap();
    let plan = summary(&output.unwrap());
    assert_eq!((plan["fits"].as_bool(), plan["memory_limit_bytes"].as_u64()), (Some(false), Some(1_258_291_200)));
}
