//! What is damaged is refused, and says what is left; the plug may be pulled at any time (`kill`).

mod damage;
mod kill;
mod saver;

use std::fs;
use std::path::{Path, PathBuf};

use half::bf16;
use serde_json::json;

use super::*;
use crate::error::{Error, Result};
use crate::tensor::{Elements, ElementsMut, Tensor, TensorMut};

const MODEL: &str = "model.safetensors";
const INDEX: &str = "index.safetensors";

/// A little of everything; different for every step.
#[derive(Clone, Debug, PartialEq)]
struct Network {
    table: Vec<f32>,
    output: Vec<bf16>,
    moments: Vec<u8>,
    ids: Vec<u32>,
    counts: Vec<u64>,
}

impl Network {
    fn at(step: u64) -> Self {
        let x = step as f32;
        Self {
            table: vec![x, -0.0, f32::NAN.copysign(-1.0), 1e-42, f32::MAX, x],
            output: vec![bf16::from_f32(x), bf16::NEG_INFINITY, bf16::ONE],
            moments: vec![step as u8; 5],
            ids: vec![u32::MAX, step as u32],
            counts: vec![step],
        }
    }

    fn zeros() -> Self {
        let zero = Self::at(0);
        Self { table: vec![0.0; 6], output: vec![bf16::ZERO; 3], moments: vec![0; 5], ids: vec![0; 2], ..zero }
    }

    fn model(&self) -> Vec<Tensor<'_>> {
        let tensor =
            |name: &str, shape: &[usize], elements| Tensor { name: name.into(), shape: shape.into(), elements };
        vec![
            tensor("moments", &[5], Elements::U8(&self.moments)),
            tensor("table", &[2, 3], Elements::F32(&self.table)),
            tensor("empty", &[0, 3], Elements::F32(&[])),
            tensor("output", &[3, 1], Elements::Bf16(&self.output)),
            tensor("count", &[], Elements::U64(&self.counts)),
        ]
    }

    fn model_mut(&mut self) -> Vec<TensorMut<'_>> {
        let tensor =
            |name: &str, shape: &[usize], elements| TensorMut { name: name.into(), shape: shape.into(), elements };
        // Another order than in `model`.
        vec![
            tensor("count", &[], ElementsMut::U64(&mut self.counts)),
            tensor("output", &[3, 1], ElementsMut::Bf16(&mut self.output)),
            tensor("table", &[2, 3], ElementsMut::F32(&mut self.table)),
            tensor("moments", &[5], ElementsMut::U8(&mut self.moments)),
            tensor("empty", &[0, 3], ElementsMut::F32(&mut [])),
        ]
    }

    fn index(&self) -> Vec<Tensor<'_>> {
        vec![Tensor { name: "ids".into(), shape: vec![2], elements: Elements::U32(&self.ids) }]
    }

    /// Of the checkpoint of a step.
    fn contents(&self, step: u64) -> Contents<'_> {
        let tensors = vec![(MODEL, self.model()), (INDEX, self.index())];
        Contents { tensors, ..Contents::new(state_at(step), json!({"step": step})) }
    }
}

fn state_at(step: u64) -> TrainerState {
    let mut state = TrainerState::new(step, 2, u64::MAX);
    state.counters.insert("flops".into(), u64::MAX - step);
    state.other = json!({"loss": 0.1 + 0.2, "best": 1e-300, "names": ["a\n\"b\""]});
    state
}

fn save_step(run: &Path, step: u64, keep: usize) -> PathBuf {
    save(run, &Network::at(step).contents(step), keep).unwrap()
}

/// The step of the checkpoint that `path` opens; all of it is as it was written.
fn opened(path: &Path) -> Result<u64> {
    let loaded = open(path)?;
    let step = loaded.state().step;
    let (mut network, want) = (Network::zeros(), Network::at(step));
    loaded.fill(MODEL, &mut network.model_mut())?;
    // By digest, which compares bits: NaN differs from itself.
    assert_eq!(digest(&network.model()), digest(&want.model()));
    let index = loaded.tensors(INDEX)?;
    assert_eq!(index.iter().map(OwnedTensor::view).collect::<Vec<_>>(), want.index());
    assert_eq!((loaded.state(), loaded.config()), (&state_at(step), &json!({"step": step})));
    Ok(step)
}

#[track_caller]
fn refused(result: Result<impl std::fmt::Debug>) -> (PathBuf, String, Option<PathBuf>) {
    match result {
        Err(Error::Checkpoint { path, message, previous }) => (path, message, previous),
        other => panic!("{other:?}"),
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_saved_comes_back_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = save_step(folder.path(), 500, 2);
    assert_eq!(path, folder.path().join("checkpoint-000500"));
    assert_eq!(opened(folder.path()).unwrap(), 500);
    assert_eq!(opened(&path).unwrap(), 500);
    assert_eq!(fs::read_to_string(folder.path().join("latest")).unwrap(), "checkpoint-000500\n");
    let files = ["config.json", "index.safetensors", "manifest.json", "model.safetensors", "trainer_state.json"];
    assert_eq!(names(&path), files);
    assert_eq!(open(&path).unwrap().files().count(), 4);
}

#[test]
fn other_software_reads_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(save_step(folder.path(), 7, 1).join(MODEL)).unwrap();
    let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let network = Network::at(7);
    for tensor in network.model() {
        let view = read.tensor(&tensor.name).unwrap();
        assert_eq!((view.shape(), view.data()), (tensor.shape.as_slice(), tensor.elements.bytes()), "{}", tensor.name);
        assert_eq!(view.dtype().to_string(), tensor.elements.type_name());
        let offset = view.data().as_ptr() as usize - bytes.as_ptr() as usize;
        assert!(
            tensor.elements.bytes().is_empty() || offset.is_multiple_of(view.dtype().bitsize() / 8),
            "{}",
            tensor.name
        );
    }
}

#[test]
fn a_checkpoint_copied_elsewhere_opens_too() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = save_step(folder.path(), 500, 2);
    let copy = other.path().join("best");
    fs::rename(path, &copy).unwrap();
    assert_eq!(opened(&copy).unwrap(), 500);
}

#[test]
fn the_newest_are_kept_and_the_latest_always() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = || names(folder.path()).into_iter().filter(|name| name != "latest").collect::<Vec<_>>();
    for step in [1, 2, 3, 4] {
        save_step(folder.path(), step, 2);
    }
    assert_eq!(checkpoints(), ["checkpoint-000003", "checkpoint-000004"]);
    // Resumed from an older one: what comes later is replaced when the run gets there.
    fs::remove_dir_all(folder.path().join("checkpoint-000003")).unwrap();
    save_step(folder.path(), 2, 1);
    assert_eq!(checkpoints(), ["checkpoint-000002", "checkpoint-000004"]);
    assert_eq!(opened(folder.path()).unwrap(), 2);
    save_step(folder.path(), 4, 1);
    assert_eq!(checkpoints(), ["checkpoint-000004"]);
    save_step(folder.path(), 4, 1);
    assert_eq!((checkpoints().len(), opened(folder.path()).unwrap()), (1, 4));
    save_step(folder.path(), 5, 1);
    assert_eq!(checkpoints(), ["checkpoint-000005"]);
}

#[test]
#[should_panic(expected = "two tensors have the same name")]
fn two_tensors_of_one_name_are_a_wrong_call() {
    let folder = tempfile::tempdir().unwrap();
    let network = Network::at(1);
    let twice = [network.index(), network.index()].concat();
    let _ = save(folder.path(), &Contents { tensors: vec![(MODEL, twice)], ..network.contents(1) }, 1);
}

#[test]
#[should_panic(expected = "shape and elements of a tensor disagree")]
fn a_shape_that_is_not_that_of_the_elements_is_a_wrong_call() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = Tensor { name: "w".into(), shape: vec![3], elements: Elements::U32(&[1, 2]) };
    let _ = save(folder.path(), &Contents { tensors: vec![(MODEL, vec![wrong])], ..Network::at(1).contents(1) }, 1);
}
