//! Runs of extreme classification as a user sees them: files, exit codes, killed programs, damaged checkpoints.

mod common;
#[path = "common/runs.rs"]
mod runs;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use common::{assert_fails, hotrow, log, summary, text, with_sets};
use runs::Runs;
use serde_json::Value;
use tempfile::TempDir;

/// A folder with a small planted data set.
struct Data {
    folder: TempDir,
}

impl Data {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("data");
        let sizes = ["--labels", "3000", "--samples", "1500", "--valid-samples", "200"];
        let output =
            hotrow(&["make-data", "xmc", "--preset", "small", "--out"]).arg(&out).args(sizes).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        Self { folder }
    }
}

impl Runs for Data {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn train(&self, out: &str, sets: &[&str]) -> Command {
        let mut command = hotrow(&["train", "xmc", "--json", "--train"]);
        command.arg(self.path("data/train.txt")).arg("--valid").arg(self.path("data/valid.txt"));
        command.arg("--out").arg(self.path(out)).arg("--cache").arg(self.path("cache"));
        with_sets(&mut command, sets);
        command
    }

    fn resume(&self, out: &str) -> Command {
        let mut command = hotrow(&["train", "xmc", "--json", "--resume"]);
        command.arg(self.path(out)).arg("--cache").arg(self.path("cache"));
        command
    }
}

/// A short run that saves often.
const SHORT: &[&str] = &[
    "model.hidden=[24]",
    "train.epochs=2",
    "train.batch_size=50",
    "train.save_every=4",
    "train.log_every=3",
    "sparse.active=300",
    "sparse.rebuild_every=3",
    "sparse.tables=8",
    "sparse.inspect_every=10",
    "optim.lr=0.01",
];

#[test]
fn a_run_leaves_what_the_design_promises() {
    let data = Data::new();
    let summary = summary(&data.train("run", SHORT).output().unwrap());
    let run = data.path("run");
    for name in ["config.toml", "env.json", "metrics.jsonl", "summary.json", "latest", "vocabulary.json"] {
        assert!(run.join(name).is_file(), "{name}");
    }
    let latest = fs::read_to_string(run.join("latest")).unwrap();
    assert_eq!(latest.trim(), "checkpoint-000060");
    for key in ["task", "steps", "epochs", "samples_per_second", "active_share", "union_rows", "parameters", "digest"] {
        assert!(!summary[key].is_null(), "{key}");
    }
    assert_eq!((summary["task"].as_str(), summary["steps"].as_u64()), (Some("train xmc"), Some(60)));
    for (object, key) in [
        ("metrics", "p@1"),
        ("metrics", "psp@5"),
        ("metrics", "loss"),
        ("flops", "executed"),
        ("flops", "dense_equivalent"),
        ("seconds", "train"),
    ] {
        assert!(summary[object][key].is_number(), "{object} {key}");
    }
    let executed = summary["flops"]["executed"].as_f64().unwrap();
    assert!(executed < 0.5 * summary["flops"]["dense_equivalent"].as_f64().unwrap());
    let written: Value = serde_json::from_slice(&fs::read(run.join("summary.json")).unwrap()).unwrap();
    assert_eq!(written["digest"], summary["digest"]);
    let events = log(&run);
    for kind in ["train", "eval", "index"] {
        assert!(events.iter().any(|event| event["event"] == kind), "{kind}");
    }

    // Evaluation of the saved network finds what training found at its end; prediction names labels for every line.
    let mut eval = hotrow(&["eval", "xmc", "--json", "--run"]);
    let evaluated = eval.arg(&run).arg("--data").arg(data.path("data/valid.txt")).output().unwrap();
    let evaluated: Value = serde_json::from_slice(&evaluated.stdout).unwrap();
    for metric in ["p@1", "p@5", "ndcg@3", "psp@3", "recall@5"] {
        assert_eq!(evaluated["metrics"][metric], summary["metrics"][metric], "{metric}");
    }
    let lines = fs::read_to_string(data.path("data/valid.txt")).unwrap();
    let some: String = lines.lines().skip(1).take(7).map(|line| format!("{line}\n")).collect();
    fs::write(data.path("some.txt"), some).unwrap();
    for sparse in [&[][..], &["--sparse"]] {
        let mut predict = hotrow(&["predict", "--top", "3", "--run"]);
        let output = predict.arg(&run).arg("--input").arg(data.path("some.txt")).args(sparse).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let lines: Vec<String> = text(&output.stdout).lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 7);
        assert!(lines.iter().all(|line| line.split('\t').count() == 3), "{lines:?}");
    }
}

#[test]
fn the_number_of_threads_changes_no_bit_of_a_run() {
    runs::the_number_of_threads_changes_no_bit(&Data::new(), SHORT);
}

#[test]
fn checkpoints_are_the_same_whether_steps_wait_for_them_or_not() {
    runs::checkpoints_are_the_same_whether_steps_wait_for_them_or_not(&Data::new(), SHORT);
}

#[test]
fn a_run_that_was_killed_many_times_has_the_bits_of_one_that_was_not() {
    runs::a_run_that_was_killed_has_the_bits_of_one_that_was_not(&Data::new(), SHORT, 50, 11);
}

/// A frozen index is built once; from then on it knows labels by the samples that they were seen with. An inverted one is built of the
/// training set. The run learns, and a checkpoint keeps what was inserted or built: a run taken up in its middle ends with the bits of
/// one that was not, and labels are named without the training set.
#[test]
fn a_run_whose_index_is_built_once_learns_and_is_taken_up_with_the_same_bits() {
    let data = Data::new();
    for (index, frozen) in [("simhash", "true"), ("blocks", "true"), ("inverted", "false")] {
        let [index_set, frozen] = [format!("sparse.index={index}"), format!("sparse.frozen={frozen}")];
        let more = [&*frozen, &index_set, "train.epochs=4", "train.keep=1000", "optim.lr=0.1"];
        let kept = SHORT.iter().copied().filter(|set| !set.starts_with("train.epochs") && !set.starts_with("optim.lr"));
        let sets: Vec<&str> = kept.chain(more).collect();
        let run = data.path(index);
        let undisturbed = summary(&data.train(index, &sets).output().unwrap());
        let losses: Vec<f64> = log(&run)
            .iter()
            .filter(|line| line["event"] == "train")
            .map(|line| line["loss"].as_f64().unwrap())
            .collect();
        let (first, last) = (losses[..4].iter().sum::<f64>(), losses[losses.len() - 4..].iter().sum::<f64>());
        assert!(last < 0.9 * first, "{index}: losses {losses:?}");
        let want = log(&run);

        let checkpoints = runs::names(&run, "checkpoint-");
        assert!(checkpoints.len() > 10, "{checkpoints:?}");
        let middle = format!("{index}/{}", checkpoints[checkpoints.len() / 2]);
        let again = summary(&data.resume(&middle).output().unwrap());
        assert_eq!(again["digest"], undisturbed["digest"], "{index}");
        assert_eq!(log(&run), want, "{index}");
        let mut predict = hotrow(&["predict", "--sparse", "--top", "2", "--run"]);
        let output = predict.arg(&run).arg("--input").arg(data.path("data/valid.txt")).output().unwrap();
        let named = text(&output.stdout).lines().filter(|line| line.split('\t').count() == 2).count();
        assert!(named >= 195, "{index}: {named} of 200 samples are named two labels\n{}", text(&output.stderr));
    }
}

#[test]
fn a_run_that_was_asked_to_stop_saves_and_goes_on_with_the_same_bits() {
    let kept = SHORT.iter().copied().filter(|set| !set.starts_with("train.save") && !set.starts_with("train.epochs"));
    // More steps than there are; 0 would save at the end of each epoch.
    let sets: Vec<&str> = kept.chain(["train.epochs=30", "train.save_every=100000"]).collect();
    runs::a_run_that_was_asked_to_stop_goes_on_with_the_same_bits(&Data::new(), &sets);
}

#[test]
fn damaged_checkpoints_are_refused_and_the_one_before_is_named() {
    let data = Data::new();
    summary(&data.train("run", SHORT).output().unwrap());
    let folder = data.path("run/checkpoint-000060");
    for name in ["model.safetensors", "optimizer.safetensors", "index.safetensors", "trainer_state.json"] {
        let good = fs::read(folder.join(name)).unwrap();
        let mut flipped = good.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 4;
        for bad in [&flipped[..], &good[..good.len() - 1], &[]] {
            fs::write(folder.join(name), bad).unwrap();
            let output = data.resume("run").output().unwrap();
            assert_fails(&output, 4, &[name, "checkpoint-000056 is complete"]);
        }
        fs::write(folder.join(name), good).unwrap();
    }
    // What the checkpoints would not fit is refused, and the run is as it was.
    let mut other = data.resume("run");
    with_sets(&mut other, &["sparse.index=simhash"]);
    assert_fails(&other.output().unwrap(), 2, &["sparse.index", "resumed"]);
    // The older one can be taken up, and ends where the run had ended.
    let end = summary(&data.resume("run").output().unwrap())["digest"].clone();
    let output = data.resume("run/checkpoint-000056").output().unwrap();
    assert_eq!(summary(&output)["digest"], end);
}

#[test]
fn a_checkpoint_of_another_shape_is_refused() {
    let data = Data::new();
    summary(&data.train("run", SHORT).output().unwrap());
    let other: Vec<&str> = SHORT.iter().copied().chain(["model.hidden=[25]"]).collect();
    summary(&data.train("other", &other).output().unwrap());
    let (mine, theirs) = (data.path("run/checkpoint-000060"), data.path("other/checkpoint-000060"));
    fs::remove_dir_all(&mine).unwrap();
    fs::rename(theirs, mine).unwrap();
    assert_fails(&data.resume("run").output().unwrap(), 2, &["model", "cannot change"]);
}

/// A limit on the size of files stands for a full disk: the write fails in the middle of a checkpoint.
#[test]
fn a_checkpoint_that_does_not_fit_the_disk_leaves_the_one_before() {
    let data = Data::new();
    let once: Vec<&str> = SHORT.iter().copied().chain(["train.epochs=1"]).collect();
    let limited = |command: Command, bytes: u64| {
        let script = format!("ulimit -f {}; exec \"$@\"", bytes / 1024);
        let arguments =
            std::iter::once(command.get_program().to_owned()).chain(command.get_args().map(|a| a.to_owned()));
        Command::new("bash").args(["-c", &script, "bash"]).args(arguments).output().unwrap()
    };
    summary(&data.train("run", &once).output().unwrap());
    let before = fs::read_to_string(data.path("run/latest")).unwrap();
    let mut more = data.resume("run");
    more.args(["--set", "train.epochs=2"]);
    let model = fs::metadata(data.path("run").join(before.trim()).join("model.safetensors")).unwrap().len();
    assert!(model / 2 > 16 << 10, "{model}");
    let output = limited(more, model / 2);
    assert_fails(&output, 1, &["checkpoint", "model.safetensors"]);
    assert_eq!(fs::read_to_string(data.path("run/latest")).unwrap(), before);
    assert_eq!(runs::names(&data.path("run"), ".tmp"), [""; 0]);
    summary(&data.resume("run").output().unwrap());
}

#[test]
fn wrong_input_is_answered_with_the_right_code_and_the_place() {
    let data = Data::new();
    let bad = |name: &str, text: &str| {
        fs::write(data.path(name), text).unwrap();
        let mut command = hotrow(&["train", "xmc", "--train"]);
        let out = data.path(&format!("run-{name}"));
        let output = command.arg(data.path(name)).arg("--out").arg(&out).output().unwrap();
        assert!(!out.exists(), "a run that cannot begin leaves no folder");
        output
    };
    assert_fails(&bad("label.txt", "2 3 4\n0 0:1\n4 1:1\n"), 4, &["label.txt:3:1", "4"]);
    assert_fails(&bad("feature.txt", "1 3 4\n0 3:1\n"), 4, &["feature.txt:2:3", "3"]);
    assert_fails(&bad("number.txt", "1 3 4\n0 1:x\n"), 4, &["number.txt:2"]);
    assert_fails(&bad("empty.txt", ""), 4, &["empty.txt"]);

    let missing =
        hotrow(&["train", "xmc", "--train", "no/such/file.txt", "--out"]).arg(data.path("x")).output().unwrap();
    assert_fails(&missing, 1, &["no/such/file.txt"]);
    let output = data.train("typo", &["optim.lrr=1"]).output().unwrap();
    assert_fails(&output, 2, &["optim.lrr", "optim.lr"]);
    let output = data.train("range", &["train.keep=0"]).output().unwrap();
    assert_fails(&output, 2, &["train.keep", "0"]);
    assert_fails(&hotrow(&["train", "xmc", "--resume"]).arg(data.path("data")).output().unwrap(), 2, &["no run"]);
    summary(&data.train("run", SHORT).output().unwrap());
    assert_fails(&data.train("run", SHORT).output().unwrap(), 2, &["--resume"]);
}

#[test]
fn a_run_that_diverges_says_where_and_keeps_its_last_checkpoint() {
    let data = Data::new();
    let mut sets = SHORT.to_vec();
    sets.extend(["optim.name=sgd", "optim.lr=1e30", "train.save_every=1"]);
    let output = data.train("run", &sets).output().unwrap();
    assert_fails(&output, 3, &["diverged at step", "layer", "checkpoint-"]);
}

#[test]
fn configurations_are_printed_whole_and_dry_runs_write_nothing() {
    let data = Data::new();
    let output = hotrow(&["train", "xmc", "--print-config", "--set", "optim.lr=0.125"]).output().unwrap();
    assert!(output.status.success());
    let printed = text(&output.stdout);
    for part in ["[model]", "[sparse]", "[optim]", "[train]", "[data]", "lr = 0.125", "batch_size = 0"] {
        assert!(printed.contains(part), "{part} is not in {printed}");
    }
    fs::write(data.path("run.toml"), &printed).unwrap();
    let again = hotrow(&["train", "xmc", "--print-config", "--config"]).arg(data.path("run.toml")).output().unwrap();
    assert_eq!(text(&again.stdout), printed);

    let output = data.train("run", SHORT).arg("--dry-run").output().unwrap();
    let estimate = summary(&output);
    for key in ["steps", "parameters", "peak_memory_bytes", "active_share", "samples_per_second"] {
        assert!(estimate[key].as_f64().unwrap() > 0.0, "{key}");
    }
    assert!(!data.path("run").exists());
    let whole = summary(&data.train("run", SHORT).output().unwrap());
    for key in ["steps", "parameters"] {
        assert_eq!(estimate[key], whole[key], "{key}");
    }
}
