//! Texts of labels, from the command line: `data.label_texts`.

mod common;
#[path = "common/runs.rs"]
mod runs;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{assert_fails, hotrow, summary, text, with_sets};
use runs::Runs;
use serde_json::Value;
use tempfile::TempDir;

const ANIMALS: [&str; 10] = ["ant", "bear", "cat", "dog", "eel", "fox", "gnu", "hen", "ibex", "jay"];
const PLACES: [&str; 8] = ["alps", "bay", "cave", "dale", "east", "fen", "gulf", "hill"];

/// A folder with titles whose labels are called after an animal and a place of the title. Pairs of which every third is left out of
/// training, so labels are many and some have no sample.
struct Tales {
    folder: TempDir,
}

fn pair(number: usize) -> (&'static str, &'static str) {
    (ANIMALS[number % ANIMALS.len()], PLACES[number / ANIMALS.len() % PLACES.len()])
}

/// Whether training has such samples.
fn is_seen(number: usize) -> bool {
    !(number * 7 % 80).is_multiple_of(3)
}

fn label(number: usize) -> String {
    let (animal, place) = pair(number);
    format!("{animal} of {place}")
}

fn title(number: usize, sample: usize) -> String {
    let (animal, place) = pair(number);
    format!("a tale{} of the {animal} that lived near {place} word{}", sample % 7, sample % 31)
}

impl Tales {
    fn new(samples: usize) -> Self {
        let tales = Self { folder: tempfile::tempdir().unwrap() };
        let line = |sample: &usize| format!("{}\t{}\n", title(sample % 80, *sample), label(sample % 80));
        let of = |range: std::ops::Range<usize>, seen: bool| -> String {
            range.filter(|sample| is_seen(sample % 80) == seen).map(|sample| line(&sample)).collect()
        };
        tales.write("train.tsv", of(0..samples, true));
        tales.write("valid.tsv", of(samples..samples + 400, true));
        tales.write("unseen.tsv", of(0..80, false));
        tales.write("names.txt", (0..80).map(|number| label(number) + "\n").collect::<String>());
        tales
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    fn names(&self) -> String {
        format!("data.label_texts={}", self.path("names.txt").display())
    }

    fn eval(&self, run: &str, data: &str) -> Value {
        let mut eval = hotrow(&["eval", "xmc", "--json", "--run"]);
        summary(&eval.arg(self.path(run)).arg("--data").arg(self.path(data)).output().unwrap())
    }
}

impl Runs for Tales {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn train(&self, out: &str, sets: &[&str]) -> Command {
        let mut command = hotrow(&["train", "xmc", "--json", "--train"]);
        command.arg(self.path("train.tsv")).arg("--valid").arg(self.path("valid.tsv"));
        command.arg("--out").arg(self.path(out)).arg("--cache").arg(self.path("cache"));
        with_sets(&mut command, &["data.text=1", "data.label=2", "data.hash_size=4096"]);
        with_sets(&mut command, sets);
        command
    }

    fn resume(&self, out: &str) -> Command {
        let mut command = hotrow(&["train", "xmc", "--json", "--resume"]);
        command.arg(self.path(out)).arg("--cache").arg(self.path("cache"));
        command
    }
}

/// The first labels of the answers.
fn first(answers: &str) -> Vec<String> {
    answers.lines().map(|line| line.split(':').next().unwrap().to_owned()).collect()
}

#[test]
fn names_are_texts_where_that_is_wanted() {
    let tales = Tales::new(800);
    let alone = summary(&tales.train("alone", &["model.parts=texts", "data.label_texts=names"]).output().unwrap());
    assert!(alone["metrics"]["p@1"].as_f64().unwrap() > 0.9, "{alone}");
    assert_eq!(alone["parts"].as_object().unwrap().keys().collect::<Vec<_>>(), ["texts"]);
    assert!(alone["parts"]["texts"]["bytes"].as_u64().unwrap() > 0 && alone["parts"]["texts"]["weight"] == 1.0);
    let output = tales.train("auto", &["data.label_texts=auto"]).output().unwrap();
    assert!(text(&output.stderr).contains("labels have a text"), "{}", text(&output.stderr));
    let (auto, said) = (summary(&output), |run: &str| -> Value {
        common::log(&tales.path(run)).into_iter().find(|event| event["event"] == "chosen").unwrap()
    });
    let seen = (0..80).filter(|&number| is_seen(number)).count();
    assert_eq!(
        (&said("auto")["labels_with_text"], auto["metrics"]["p@1"].as_f64().unwrap() > 0.95),
        (&seen.into(), true)
    );
    let none = summary(&tales.train("none", &[]).output().unwrap());
    assert!(none["parts"].get("texts").is_none() && said("none")["labels_with_text"] == 0, "{none}");
    // A list that does not have them does without.
    let list = summary(&tales.train("list", &["model.parts=counts", "data.label_texts=auto"]).output().unwrap());
    assert_eq!(list["parts"].as_object().unwrap().keys().collect::<Vec<_>>(), ["counts"]);
}

#[test]
fn labels_without_a_sample_are_predicted_and_count_as_known() {
    let tales = Tales::new(800);
    let unseen = (0..80).filter(|&number| !is_seen(number)).count() as u64;
    summary(&tales.train("without", &[]).output().unwrap());
    let without = tales.eval("without", "unseen.tsv");
    assert_eq!(
        (&without["metrics"]["p@1"], &without["left_out"]["data"]["unseen_labels"]),
        (&0.0.into(), &unseen.into())
    );
    let trained = summary(&tales.train("with", &[&tales.names()]).output().unwrap());
    assert!(trained["metrics"]["p@1"].as_f64().unwrap() > 0.9, "{trained}");
    let with = tales.eval("with", "unseen.tsv");
    assert!(with["metrics"]["recall@5"].as_f64().unwrap() > 0.8, "{with}");
    assert!(with["left_out"]["data"]["unseen_labels"] == 0, "{with}");
    assert_eq!(tales.eval("with", "valid.tsv")["digest"], trained["digest"]);
    let numbers: Vec<usize> = (0..80).filter(|&number| !is_seen(number)).collect();
    tales.write("asked.txt", numbers.iter().map(|&number| title(number, 3) + "\n").collect::<String>());
    fs::remove_file(tales.path("names.txt")).unwrap();
    let mut predict = hotrow(&["predict", "--text", "--top", "5", "--run"]);
    let answers = predict.arg(tales.path("with")).arg("--input").arg(tales.path("asked.txt")).output().unwrap();
    let answers = text(&answers.stdout);
    let named = numbers.iter().zip(answers.lines()).filter(|(number, line)| line.contains(&label(**number))).count();
    assert!(named * 5 > numbers.len() * 4, "{answers}");
}

#[test]
fn a_text_says_more_than_a_name() {
    let tales = Tales::new(400);
    tales.write("texts.tsv", "\u{feff}ant of bay\tan insect high up\r\n\nmoon\tsatellite of the cave and the dog\n");
    let set = format!("data.label_texts={}", tales.path("texts.tsv").display());
    summary(&tales.train("run", &["model.parts=texts", &set]).output().unwrap());
    let predict = |run: &str, asked: &str| {
        tales.write("asked.txt", asked);
        let mut predict = hotrow(&["predict", "--text", "--top", "1", "--run"]);
        let output = predict.arg(tales.path(run)).arg("--input").arg(tales.path("asked.txt")).output().unwrap();
        first(&text(&output.stdout))
    };
    assert_eq!(predict("run", "dog cave\n"), ["moon"]);
}

/// The three ways to give texts of numbers: line by line, some of them, and in the features of the samples.
#[test]
fn labels_that_are_numbers_have_texts_by_line_or_by_number() {
    let tales = Tales::new(400);
    let line = |sample: usize| format!("{}\t{}\n", title(sample % 80, sample), sample % 80);
    tales.write("train.tsv", (0..400).filter(|sample| is_seen(sample % 80)).map(line).collect::<String>());
    tales.write("valid.tsv", (0..80).filter(|&sample| !is_seen(sample)).map(line).collect::<String>());
    let some = (0..80).rev().map(|number| format!("{number}\t{}\n", label(number))).collect::<String>();
    tales.write("some.tsv", some);
    let of = |run: &str, file: &str| {
        let set = format!("data.label_texts={}", tales.path(file).display());
        summary(&tales.train(run, &[&set]).output().unwrap())
    };
    let (all, some) = (of("all", "names.txt"), of("some", "some.tsv"));
    assert_eq!(all["digest"], some["digest"]);
    assert!(all["metrics"]["recall@5"].as_f64().unwrap() > 0.8, "{all}");
    // Features in place of words: the same feature is the same thing of samples and of labels.
    let features = |number: usize| format!("{}:1 {}:1", number % 10, 10 + number / 10);
    let lines: Vec<String> = (0..400)
        .filter(|s| is_seen(s % 80))
        .map(|s| format!("{} {} {}:1\n", s % 80, features(s % 80), 20 + s % 9))
        .collect();
    tales.write("train.svm", lines.concat());
    let unseen = (0..80).filter(|&s| !is_seen(s)).map(|s| format!("{s} {}\n", features(s)));
    tales.write("valid.svm", unseen.collect::<String>());
    tales.write("features.txt", (0..80).map(|number| features(number) + "\n").collect::<String>());
    let mut train = hotrow(&["train", "xmc", "--json", "--train"]);
    train.arg(tales.path("train.svm")).arg("--valid").arg(tales.path("valid.svm")).arg("--out").arg(tales.path("svm"));
    with_sets(&mut train, &[&format!("data.label_texts={}", tales.path("features.txt").display())]);
    let trained = summary(&train.output().unwrap());
    assert!(trained["metrics"]["recall@5"].as_f64().unwrap() > 0.8, "{trained}");
}

#[test]
fn files_that_say_nothing_or_two_things_are_refused_with_their_line() {
    let tales = Tales::new(200);
    let ids = |text: &str| {
        let line = |(at, line): (usize, &str)| format!("{}\t{}\n", line.split('\t').next().unwrap(), at % 20);
        text.lines().enumerate().map(line).collect::<String>()
    };
    let train = fs::read_to_string(tales.path("train.tsv")).unwrap();
    tales.write("ids.tsv", ids(&train));
    tales.write("train.svm", "0 0:1 3:0.5\n1 1:1\n2 2:1 0:2\n".repeat(20));
    let numbers = "title\n".repeat(3);
    let train = |data: &str, set: &str| {
        let mut train = hotrow(&["train", "xmc", "--train"]);
        train.arg(tales.path(data)).arg("--out").arg(tales.path("refused"));
        with_sets(&mut train, &["data.text=1", "data.label=2", set]);
        train.output().unwrap()
    };
    for (data, bytes, words) in [
        ("train.tsv", &b"cat of bay\tpurrs\nbear of fen\n"[..], &["texts:2:12", "no tab"][..]),
        ("train.tsv", b"cat of bay\nbear of fen\tbig\n", &["texts:2:12", "a tab"]),
        ("train.tsv", b"dog of bay\tbarks\n\ndog of bay\truns\n", &["texts:3", "`dog of bay` stands in line 1 too"]),
        (
            "train.tsv",
            b"dog of bay\tbarks\ncat of bay\t \n",
            &["texts:2:12", "the text of label `cat of bay` is empty"],
        ),
        ("train.tsv", b"\tbarks\n", &["texts:1:1", "before the tab is empty"]),
        ("train.tsv", b"whale\nshark\n", &["texts", "no line names a label of the training set"]),
        ("train.tsv", b"cat of bay\tpurrs\nant of \xff\n", &["texts:2:8", "not UTF-8"]),
        ("train.tsv", b"", &["texts", "has no text"]),
        ("train.tsv", b"\n \n", &["texts", "has no text"]),
        ("train.tsv", b"cat of bay\t...\n", &["texts", "no text of a label has a feature"]),
        ("ids.tsv", numbers.as_bytes(), &["texts:3", "3 lines for 20 labels"]),
        ("ids.tsv", b"3\tcat\nthree\tdog\n", &["texts:2", "`three` is not a number"]),
        ("ids.tsv", b"3\tcat\n+4\tdog\n", &["texts:2", "`+4` is not a number"]),
        ("ids.tsv", b"3\tcat\n4000000000\tdog\n", &["texts:2", "far above the 20 labels"]),
        ("ids.tsv", b"3\tcat\n99999999999999999999999\tdog\n", &["texts:2", "is not a number"]),
        ("ids.tsv", b"3\tcat\n4\tx\n03\tdog\n", &["texts:3", "stands in line 1 too"]),
        ("train.svm", b"a word\nof\ntext\n", &["texts:1", "texts are `feature:value ..`"]),
        ("train.svm", b"0:1\n7:1\n1:1\n", &["texts:2", "feature 7 is not below 4"]),
    ] {
        tales.write("texts", bytes);
        let set = format!("data.label_texts={}", tales.path("texts").display());
        assert_fails(&train(data, &set), 4, words);
        assert!(!tales.path("refused").exists());
    }
    let at = |path: &Path| format!("data.label_texts={}", path.display());
    assert_fails(&train("train.tsv", &at(&tales.path("missing"))), 1, &["missing"]);
    assert_fails(&train("train.tsv", &at(tales.folder.path())), 4, &["is a folder"]);
    assert_fails(&train("train.tsv", "data.label_texts=/dev/null"), 4, &["is a device"]);
    assert_fails(&train("ids.tsv", "data.label_texts=names"), 2, &["data.label_texts", "the labels are numbers"]);
    tales.write("texts", "cat of bay\tpurrs\n");
    let texts = at(&tales.path("texts"));
    let both = |sets: &[&str]| tales.train("refused", sets).output().unwrap();
    assert_fails(&both(&[&texts, "model.parts=counts"]), 2, &["data.label_texts", "model.parts has no texts"]);
    assert_fails(&both(&["model.parts=texts"]), 2, &["model.parts", "the labels have none"]);
    let both_parts = "model.parts=[\"texts\", \"network\"]";
    assert_fails(&both(&[both_parts]), 2, &["model.parts", "nothing but texts to name labels"]);
    assert_fails(&both(&[&texts, "optim.lr=0.1"]), 2, &["data.label_texts", "this run is of a network"]);
    assert!(!tales.path("refused").exists());
}

#[test]
fn a_resumed_run_needs_the_same_texts_wherever_they_are() {
    let tales = Tales::new(400);
    let whole = summary(&tales.train("whole", &[&tales.names()]).output().unwrap());
    for stage in ["1", "5", "12"] {
        let run = format!("paused-{stage}");
        let paused = tales.train(&run, &[&tales.names()]).args(["--stop-after", stage]).output().unwrap();
        assert_eq!(paused.status.code(), Some(75));
        fs::rename(tales.path("names.txt"), tales.path("moved.txt")).unwrap();
        assert_fails(&tales.resume(&run).output().unwrap(), 1, &["names.txt"]);
        let moved = format!("data.label_texts={}", tales.path("moved.txt").display());
        let resumed = summary(&tales.resume(&run).args(["--set", &moved]).output().unwrap());
        assert_eq!((&resumed["digest"], &resumed["metrics"]), (&whole["digest"], &whole["metrics"]), "{stage}");
        fs::rename(tales.path("moved.txt"), tales.path("names.txt")).unwrap();
    }
    let paused = tales.train("other", &[&tales.names()]).args(["--stop-after", "3"]).output().unwrap();
    assert_eq!(paused.status.code(), Some(75));
    let none = tales.resume("other").args(["--set", "data.label_texts="]).output().unwrap();
    assert_fails(&none, 2, &["data", "cannot change"]);
    let names = fs::read_to_string(tales.path("names.txt")).unwrap();
    tales.write("names.txt", names.replacen("ant of alps", "ant of alps\nant of mars", 1));
    assert_fails(&tales.resume("other").output().unwrap(), 4, &["names.txt", "is not what", "its texts"]);
}

const WITH_NAMES: &[&str] = &["model.parts=auto", "train.save_every=2", "data.label_texts=names"];

#[test]
fn the_number_of_threads_changes_no_bit() {
    runs::the_number_of_threads_changes_no_bit(&Tales::new(800), WITH_NAMES);
}

#[test]
fn checkpoints_are_the_same_whether_steps_wait_for_them_or_not() {
    runs::checkpoints_are_the_same_whether_steps_wait_for_them_or_not(&Tales::new(800), WITH_NAMES);
}

#[test]
fn a_run_that_was_killed_has_the_bits_of_one_that_was_not() {
    runs::a_run_that_was_killed_has_the_bits_of_one_that_was_not(&Tales::new(3000), WITH_NAMES, 4, 5);
}

#[test]
fn a_run_that_was_asked_to_stop_goes_on_with_the_same_bits() {
    let sets = [WITH_NAMES, &["train.save_every=1000"]].concat();
    runs::a_run_that_was_asked_to_stop_goes_on_with_the_same_bits(&Tales::new(20_000), &sets);
}
