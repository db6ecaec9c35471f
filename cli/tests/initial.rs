//! `--init-only` and `--stop-after`: what other programs need to train the same network on the same batches.

mod common;

use std::path::Path;
use std::process::Command;

use common::{assert_fails, hotrow, log, summary, text, with_sets};
use hotrow::data::order;
use safetensors::SafeTensors;

const TEXT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/shakespeare/part.txt");

fn xmc(folder: &Path, out: &str, sets: &[&str]) -> Command {
    let (train, valid) = (folder.join("train.txt"), folder.join("valid.txt"));
    std::fs::write(&train, "5 6 4\n0,2 1:0.5 4:1\n1 0:2\n3 2:1 5:0.25\n2 1:1\n0 3:4\n").unwrap();
    std::fs::write(&valid, "1 6 4\n1,3 0:1.5 5:2\n").unwrap();
    let mut command = hotrow(&["train", "xmc", "--train"]);
    command.arg(train).arg("--valid").arg(valid).arg("--out").arg(folder.join(out));
    with_sets(&mut command, &["sparse.index=all", "model.hidden=[8]", "train.batch_size=2", "train.epochs=3"]);
    with_sets(&mut command, sets);
    command
}

fn lm(folder: &Path, out: &str) -> Command {
    let data = folder.join("data");
    if !data.exists() {
        let tokenize = hotrow(&["tokenize", TEXT, "--vocabulary", "300", "--out"]).arg(&data).output().unwrap();
        assert!(tokenize.status.success(), "{}", text(&tokenize.stderr));
    }
    let mut command = hotrow(&["train", "lm", "--preset", "tiny", "--train"]);
    command.arg(data.join("train.tokens")).arg("--out").arg(folder.join(out));
    let size = ["model.width=16", "model.heads=2", "model.layers=1", "model.context=8"];
    with_sets(&mut command, &size);
    with_sets(&mut command, &["train.batch_tokens=24", "train.steps=4", "train.sample_tokens=0"]);
    command
}

/// The elements of a vector or a matrix of whole numbers, and its shape.
fn tensor(file: &Path, name: &str) -> (Vec<u64>, Vec<usize>) {
    let bytes = std::fs::read(file).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = file.tensor(name).unwrap();
    let width = tensor.data().len() / tensor.shape().iter().product::<usize>();
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
    (tensor.data().chunks(width).map(number).collect(), tensor.shape().to_vec())
}

/// What the run has come to when it is taken up at its first checkpoint, and when it was never stopped.
fn assert_same_end(task: &str, folder: &Path, whole: &mut Command) {
    let resume = hotrow(&["train", task, "--json", "--resume"]).arg(folder.join("first")).output().unwrap();
    let (taken_up, whole) = (summary(&resume), summary(&whole.arg("--json").output().unwrap()));
    assert_eq!(taken_up["digest"], whole["digest"]);
    assert_eq!(taken_up["steps"], whole["steps"]);
}

#[test]
fn an_initial_run_of_classification_has_its_order_and_samples_and_goes_on_as_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let output = xmc(folder, "first", &[]).arg("--init-only").output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let first = folder.join("first");
    assert_eq!(text(&output.stdout).trim(), first.join("checkpoint-000000").to_str().unwrap());
    let want: Vec<u64> = (0..3).flat_map(|epoch| order(5, 1, epoch)).map(u64::from).collect();
    assert_eq!(tensor(&first.join("order.safetensors"), "order"), (want, vec![3, 5]));
    let train = first.join("train.safetensors");
    assert_eq!(tensor(&train, "features").0, [1, 4, 0, 2, 5, 1, 3]);
    assert_eq!(tensor(&train, "feature_offsets").0, [0, 2, 3, 5, 6, 7]);
    assert_eq!(tensor(&train, "labels").0, [0, 2, 1, 3, 2, 0]);
    assert_eq!(tensor(&train, "label_offsets").0, [0, 2, 3, 4, 5, 6]);
    let bits = |values: &[f32]| values.iter().map(|value| u64::from(value.to_bits())).collect::<Vec<_>>();
    assert_eq!(tensor(&train, "values").0, bits(&[0.5, 1.0, 2.0, 1.0, 0.25, 1.0, 4.0]));
    assert_eq!(tensor(&first.join("valid.safetensors"), "values").0, bits(&[1.5, 2.0]));
    assert_same_end("xmc", folder, &mut xmc(folder, "whole", &[]));
}

#[test]
fn an_initial_run_of_a_language_model_has_its_order_and_goes_on_as_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let output = lm(folder, "first").arg("--init-only").output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let (starts, shape) = tensor(&folder.join("first/order.safetensors"), "starts");
    assert_eq!(shape, [4, 3]);
    // Windows of one epoch are all different.
    let one = |start: &u64| start % 8 == starts[0] % 8 && starts.iter().filter(|other| *other == start).count() == 1;
    assert!(starts.iter().all(one), "{starts:?}");
    assert_same_end("lm", folder, &mut lm(folder, "whole"));
}

#[test]
fn a_run_stops_after_the_step_that_was_named_and_can_be_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let output = xmc(folder, "first", &["train.save_every=100"]).args(["--stop-after", "4"]).output().unwrap();
    assert_fails(&output, 75, &["step 4"]);
    assert!(folder.join("first/checkpoint-000004").exists());
    assert_same_end("xmc", folder, &mut xmc(folder, "whole", &[]));
    assert_eq!(log(&folder.join("first")), log(&folder.join("whole")));
}
