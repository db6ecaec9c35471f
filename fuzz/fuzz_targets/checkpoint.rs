//! Checkpoints: whatever their files hold, they are refused or read, without a panic; and what was changed after it was
//! written is always refused.
#![no_main]

use std::fs;
use std::path::Path;

use hotrow::checkpoint::{Contents, OwnedElements, TrainerState, open, save};
use hotrow::tensor::{Elements, ElementsMut, Tensor, TensorMut};
use hotrow_fuzz::Input;
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128;

const MODEL: &str = "model.safetensors";

#[derive(Serialize)]
struct Entry {
    name: &'static str,
    bytes: usize,
    xxh3_128: String,
}

#[derive(Serialize)]
struct Manifest {
    schema: u32,
    step: u64,
    files: Vec<Entry>,
    digest: String,
}

fuzz_target!(|data: &[u8]| {
    let Some((&kind, bytes)) = data.split_first() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = folder.path();
    let ids = [3, 5];
    let tensor = Tensor { name: "ids".into(), shape: vec![2], elements: Elements::U32(&ids) };
    let mut contents = Contents::new(TrainerState::new(1, 0, 7), serde_json::json!({}));
    contents.tensors.push((MODEL, vec![tensor]));
    let path = save(run, &contents, 1).expect("a good checkpoint");
    match kind % 4 {
        0 => damaged(run, &path.join("manifest.json"), bytes),
        1 => damaged(run, &path.join(MODEL), bytes),
        2 => {
            fs::write(run.join("latest"), bytes).expect("to be written");
            // Any other name is no checkpoint of this run.
            assert_eq!(open(run).is_ok(), bytes == b"checkpoint-000001\n");
        }
        _ => forged(run, &path, bytes),
    }
});

/// A file with a changed byte is refused.
fn damaged(run: &Path, file: &Path, bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut contents = fs::read(file).expect("it was written");
    let change = input.bits();
    let at = input.up_to(contents.len() - 1);
    if change as u8 != 0 {
        contents[at] ^= change as u8;
        fs::write(file, contents).expect("to be written");
        assert!(open(run).is_err());
    }
}

/// A file of any bytes, with a manifest that agrees with it.
fn forged(run: &Path, path: &Path, bytes: &[u8]) {
    fs::write(path.join(MODEL), bytes).expect("to be written");
    let entry = |name| {
        let bytes = fs::read(path.join(name)).expect("it was written");
        Entry { name, bytes: bytes.len(), xxh3_128: format!("{:032x}", xxh3_128(&bytes)) }
    };
    let files = [MODEL, "config.json", "trainer_state.json"].map(entry).into();
    let mut manifest = Manifest { schema: 1, step: 1, files, digest: String::new() };
    let json = |manifest: &Manifest| serde_json::to_vec_pretty(manifest).expect("names and numbers");
    manifest.digest = format!("{:032x}", xxh3_128(&json(&manifest)));
    fs::write(path.join("manifest.json"), json(&manifest)).expect("to be written");

    let loaded = open(run).expect("the manifest agrees with the files");
    let mut ids = [0; 2];
    let place = TensorMut { name: "ids".into(), shape: vec![2], elements: ElementsMut::U32(&mut ids) };
    let filled = loaded.fill(MODEL, &mut [place]).is_ok();
    if let Ok(tensors) = loaded.tensors(MODEL) {
        assert!(tensors.iter().all(|tensor| tensor.view().elements.bytes().len() <= bytes.len()));
        let same = tensors.len() == 1 && tensors[0].elements == OwnedElements::U32(ids.to_vec());
        assert!(!filled || same);
    } else {
        assert!(!filled);
    }
}
