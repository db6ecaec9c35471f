//! What cannot be read twice is refused at once, and nothing waits for a pipe.

use std::fs;

use super::common::assert_fails;
use super::{TRAIN, at, data, device, names, pipe, run, succeeds};

#[test]
fn a_pipe_or_device_as_a_file_of_samples_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    data(folder.path());
    succeeds(&mut at(folder.path(), TRAIN));
    pipe(&folder.path().join("p"));
    pipe(&folder.path().join("p.tsv"));
    let before = names(folder.path());
    let mut cases = vec!["p", "p.tsv"];
    let null = device(&folder.path().join("null"), 3);
    cases.extend(null.is_some().then_some("null"));
    for input in cases {
        for words in [
            format!("train xmc --threads 1 --train {input} --out s"),
            format!("train xmc --threads 1 --train {input} --out s --set data.format=svmlight"),
            format!("train xmc --threads 1 --train a.svm --valid {input} --out s"),
            format!("train xmc --threads 1 --train {input} --dry-run"),
            format!("eval xmc --threads 1 --run r --data {input}"),
        ] {
            let what = if input == "null" { "device" } else { "pipe" };
            let says = format!("{input}: is a {what}, which cannot be read a second time; give a file");
            assert_fails(&run(&mut at(folder.path(), &words)), 4, &[&says]);
        }
    }
    let null = folder.path().join("null");
    if null.exists() {
        fs::remove_file(null).unwrap();
    }
    assert_eq!(names(folder.path()), before);
}

#[test]
fn whatever_is_named_and_is_no_file_is_an_error_of_one_line_at_once() {
    let folder = tempfile::tempdir().unwrap();
    data(folder.path());
    succeeds(&mut at(folder.path(), TRAIN));
    pipe(&folder.path().join("p"));
    fs::create_dir(folder.path().join("d")).unwrap();
    succeeds(&mut at(folder.path(), "tokenize a.svm --vocabulary 260 --threads 1 --out t"));
    for (words, code) in [
        ("report p", 4),
        ("bench compare p p", 4),
        ("bench run p --out o", 4),
        ("bench run d --out o", 4),
        ("train xmc --train a.svm --out s --config p", 4),
        ("train xmc --train a.svm --out s --config d", 4),
        ("train xmc --resume p", 2),
        ("train xmc --resume d", 2),
        ("train lm --train p --tokenizer t/tokenizer.json --out s", 4),
        ("eval xmc --run p --data a.svm", 2),
        ("eval xmc --run d --data a.svm", 2),
        ("eval lm --run p --data a.svm", 2),
        ("tokenize a.svm --tokenizer p --out s", 4),
        ("tokenize a.svm --tokenizer d --out s", 4),
    ] {
        let output = run(&mut at(folder.path(), words));
        let message = super::text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words}: {message}");
        assert_eq!(message.lines().count(), 1, "{words}: {message}");
    }
    assert_eq!(names(folder.path()), ["a.svm", "d", "p", "r", "t"]);
}
