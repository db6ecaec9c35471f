//! What is asked for by mistake is named as what it is: runs that are not there, runs of another kind, files given twice.

mod common;

use std::fs;
use std::path::Path;
use std::process::Output;

use common::{assert_fails, hotrow, summary, with_sets};

const XMC: &[&str] = &["data.text=1", "data.label=2", "data.hash_size=64", "train.epochs=1"];
const LM: &[&str] = &[
    "model.width=16",
    "model.layers=1",
    "model.heads=2",
    "model.context=16",
    "train.steps=2",
    "train.batch_tokens=64",
    "train.sample_tokens=0",
];

/// Runs `hotrow` in `folder`; the arguments have blanks between them.
fn run(folder: &Path, arguments: &str, sets: &[&str]) -> Output {
    let mut command = hotrow(&arguments.split(' ').collect::<Vec<_>>());
    with_sets(&mut command, sets);
    command.current_dir(folder).output().unwrap()
}

/// A folder with a run of each kind, `xmc` and `lm`, and what they were trained on.
fn runs() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("t.tsv"), "red\tx\nred\tx\nblue\ty\n").unwrap();
    fs::write(at.join("a.txt"), "to be or not to be, that is the question\n".repeat(20)).unwrap();
    summary(&run(at, "tokenize a.txt --json --vocabulary 260 --out tokens", &[]));
    summary(&run(at, "train xmc --json --threads 1 --train t.tsv --out xmc", XMC));
    summary(&run(at, "train lm --json --preset tiny --threads 1 --train tokens/train.tokens --out lm", LM));
    folder
}

#[test]
fn a_run_of_the_other_kind_is_said_to_be_one() {
    let folder = runs();
    let at = folder.path();
    for arguments in [
        "predict --run lm --input a.txt",
        "eval xmc --run lm --data t.tsv",
        "train xmc --resume lm",
        "train xmc --dry-run --resume lm",
        "train xmc --dry-run --config lm/config.toml --train t.tsv",
    ] {
        assert_fails(&run(at, arguments, &[]), if arguments.starts_with("train") { 2 } else { 4 }, &["lm", "train lm"]);
    }
    for arguments in [
        "generate --run xmc --prompt a",
        "eval lm --run xmc --data tokens/train.tokens",
        "train lm --resume xmc",
        "train lm --dry-run --resume xmc",
        "train lm --dry-run --config xmc/config.toml",
    ] {
        let code = if arguments.starts_with("train") { 2 } else { 4 };
        assert_fails(&run(at, arguments, &[]), code, &["xmc", "train xmc"]);
    }
}

#[test]
fn a_run_that_is_not_there_is_a_mistake_of_usage_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::create_dir(at.join("empty")).unwrap();
    fs::write(at.join("a.txt"), "to be\n").unwrap();
    for name in ["nothing", "empty"] {
        for arguments in [
            "predict --input a.txt --run",
            "eval xmc --data a.txt --run",
            "eval lm --data a.txt --run",
            "generate --run",
            "train xmc --resume",
            "train lm --resume",
            "train xmc --dry-run --resume",
            "train lm --dry-run --resume",
        ] {
            assert_fails(&run(at, &format!("{arguments} {name}"), &[]), 2, &["there is no run in", name]);
        }
    }
    for arguments in ["train xmc --train a.txt --out a.txt", "train xmc --train a.txt --out a.txt/run"] {
        assert_fails(&run(at, arguments, XMC), 2, &["a.txt", "a file is in its place"]);
    }
}

#[test]
fn two_outputs_cannot_be_one_file() {
    let folder = runs();
    for twice in ["report xmc --out m --markdown m", "report xmc --out m --markdown ./m"] {
        assert_fails(&run(folder.path(), twice, &[]), 2, &["m", "twice"]);
        assert!(!folder.path().join("m").exists());
    }
}

#[test]
fn a_plan_of_a_language_model_compares_tokens_as_the_run_does() {
    let folder = runs();
    let at = folder.path();
    summary(&run(at, "train lm --json --dry-run --resume lm", &[]));
    fs::write(at.join("b.txt"), "that is the question, to be or not\n".repeat(20)).unwrap();
    summary(&run(at, "tokenize b.txt --json --tokenizer tokens/tokenizer.json --out other", &[]));
    for dry in ["", " --dry-run"] {
        let arguments = format!("train lm --resume lm --train other/train.tokens{dry}");
        assert_fails(&run(at, &arguments, &[]), 4, &["other/train.tokens", "digest"]);
    }
}

/// Weights are enough to ask a network, unless its rule lets rows make up for steps later.
#[test]
fn a_checkpoint_without_its_optimizer_can_be_asked() {
    let folder = runs();
    let at = folder.path();
    for path in ["lm/checkpoint-000002", "xmc/checkpoint-000001"] {
        fs::remove_file(at.join(path).join("optimizer.safetensors")).unwrap();
    }
    for arguments in [
        "generate --run lm --prompt to --max-tokens 2",
        "eval lm --run lm --data tokens/train.tokens",
        "eval xmc --run xmc --data t.tsv",
        "predict --run xmc --input t.tsv",
    ] {
        let output = run(at, arguments, &[]);
        assert!(output.status.success(), "{arguments}: {}", common::text(&output.stderr));
    }
    for arguments in ["train lm --resume lm", "train xmc --resume xmc"] {
        assert_fails(&run(at, arguments, &[]), 4, &["optimizer.safetensors"]);
    }
    let adam = [XMC, &["optim.name=adam", "optim.lr=0.01"]].concat();
    summary(&run(at, "train xmc --json --threads 1 --train t.tsv --out adam", &adam));
    summary(&run(at, "eval xmc --json --run adam --data t.tsv", &[]));
    fs::remove_file(at.join("adam/checkpoint-000001/optimizer.safetensors")).unwrap();
    assert_fails(&run(at, "eval xmc --run adam --data t.tsv", &[]), 4, &["optimizer.safetensors", "make up for"]);
}
