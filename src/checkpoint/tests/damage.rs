//! Truncated, flipped, missing, of another shape: each is told apart and refused.

use std::io::{Seek, SeekFrom, Write};

use super::super::manifest::{Entry, MANIFEST, Manifest};
use super::*;
use proptest::prelude::*;

/// A run with checkpoints 500 and 1000.
fn run() -> (tempfile::TempDir, PathBuf, Option<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let previous = save_step(folder.path(), 500, 2);
    let newest = save_step(folder.path(), 1000, 2);
    (folder, newest, Some(previous))
}

/// In place: file systems wait for the disk when a file is cut to nothing and written again.
fn overwrite(path: &Path, at: usize, byte: u8) {
    let mut file = fs::File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at as u64)).unwrap();
    file.write_all(&[byte]).unwrap();
}

#[test]
fn every_flipped_bit_is_detected_and_the_previous_checkpoint_named() {
    let (folder, newest, previous) = run();
    for name in names(&newest) {
        let path = newest.join(name);
        let bytes = fs::read(&path).unwrap();
        for bit in 0..8 * bytes.len() {
            overwrite(&path, bit / 8, bytes[bit / 8] ^ (1 << (bit % 8)));
            let (file, message, named) = refused(open(folder.path()));
            // A damaged manifest may be refused for what it says of another file.
            assert!(file == path || path.ends_with(MANIFEST), "{}, bit {bit}", file.display());
            assert_eq!(named, previous, "{message}");
            overwrite(&path, bit / 8, bytes[bit / 8]);
        }
    }
    assert_eq!(opened(folder.path()).unwrap(), 1000);
}

#[test]
fn every_length_but_the_right_one_is_refused() {
    let (folder, newest, previous) = run();
    for name in names(&newest) {
        let path = newest.join(name);
        let bytes = fs::read(&path).unwrap();
        let longer = [bytes.as_slice(), b" "].concat();
        fs::write(&path, &longer).unwrap();
        for length in (0..=longer.len()).rev().filter(|&length| length != bytes.len()) {
            fs::File::options().write(true).open(&path).unwrap().set_len(length as u64).unwrap();
            let (file, message, named) = refused(open(folder.path()));
            assert_eq!((file, &named), (path.clone(), &previous));
            assert!(path.ends_with(MANIFEST) || message == format!("{length} bytes, not {}", bytes.len()), "{message}");
        }
        fs::remove_file(&path).unwrap();
        let (file, _, named) = refused(open(folder.path()));
        assert_eq!((file, named), (path.clone(), previous.clone()), "missing");
        fs::write(&path, bytes).unwrap();
    }
    let error = {
        fs::write(newest.join(MODEL), "").unwrap();
        open(folder.path()).unwrap_err()
    };
    assert_eq!(error.exit_code(), 4);
    let shown = error.to_string();
    assert!(
        shown.contains("model.safetensors: 0 bytes, not ") && shown.ends_with("checkpoint-000500 is complete"),
        "{shown}"
    );
}

#[test]
fn a_previous_checkpoint_that_is_damaged_too_is_not_named() {
    let (folder, newest, previous) = run();
    for path in [newest, previous.unwrap()] {
        fs::write(path.join(MODEL), "").unwrap();
    }
    assert_eq!(refused(open(folder.path())).2, None);
}

#[test]
fn networks_of_another_shape_are_refused_before_anything_is_read() {
    type Change = fn(&mut Vec<TensorMut>);
    let cases: [(Change, &str); 5] = [
        (|tensors| tensors[2].shape = vec![3, 2], "tensor table has the shape [2, 3], not [3, 2]"),
        (|tensors| tensors[2].elements = ElementsMut::U32(&mut []), "tensor table is F32, not U32"),
        (|tensors| tensors[2].name = "tables".into(), "tensor table belongs to another network"),
        (|tensors| drop(tensors.remove(2)), "tensor table belongs to another network"),
        (
            |tensors| {
                tensors.push(TensorMut { name: "bias".into(), shape: vec![0], elements: ElementsMut::F32(&mut []) })
            },
            "tensor bias is missing",
        ),
    ];
    let (folder, newest, previous) = run();
    let loaded = open(folder.path()).unwrap();
    for (change, want) in cases {
        let mut network = Network::zeros();
        let mut tensors = network.model_mut();
        change(&mut tensors);
        let (file, message, named) = refused(loaded.fill(MODEL, &mut tensors));
        assert!(message.starts_with(want), "{message}");
        assert_eq!((file, named), (newest.join(MODEL), previous.clone()));
        assert_eq!(network, Network::zeros());
    }
    let (file, message, _) = refused(loaded.tensors("optimizer.safetensors"));
    assert_eq!((file, message.as_str()), (newest.join("optimizer.safetensors"), "manifest.json has no such file"));
}

#[test]
fn latest_may_be_missing_but_not_wrong() {
    let (folder, newest, previous) = run();
    let latest = folder.path().join("latest");
    for garbage in ["", "\n", "checkpoint-1000\n", "checkpoint-001000", "../checkpoint-001000\n", "\u{fffd}"] {
        fs::write(&latest, garbage).unwrap();
        let (file, message, named) = refused(open(folder.path()));
        assert_eq!((&file, named.as_ref()), (&latest, Some(&newest)), "{garbage:?}");
        assert!(message.ends_with("is not the name of a checkpoint"), "{message}");
    }
    fs::write(&latest, "checkpoint-002000\n").unwrap();
    let (file, message, named) = refused(open(folder.path()));
    assert_eq!((file, message.as_str()), (folder.path().join("checkpoint-002000"), "there is no such checkpoint"));
    assert_eq!(named, Some(newest.clone()));
    fs::remove_file(&latest).unwrap();
    assert_eq!(opened(folder.path()).unwrap(), 1000);
    fs::remove_file(newest.join(MODEL)).unwrap();
    assert_eq!(opened(folder.path()).unwrap(), 500);
    fs::remove_dir_all(previous.unwrap()).unwrap();
    assert_eq!(refused(open(folder.path())).1, "no checkpoint in this folder is complete");
    fs::remove_dir_all(newest).unwrap();
    assert_eq!(refused(open(folder.path())).1, "there is no checkpoint in this folder");
    assert_eq!(refused(open(&folder.path().join("nothing"))).1, "there is no such folder");
}

/// A checkpoint whose manifest agrees with its files, whatever they hold: somebody else's, or the fuzzer's.
fn forge(run: &Path, files: &[(&str, &[u8])]) {
    let folder = run.join("checkpoint-000001");
    let _ = fs::create_dir(&folder);
    let state = serde_json::to_vec(&state_at(1)).unwrap();
    let files: Vec<_> = [(STATE, state.as_slice()), (CONFIG, b"{}")].into_iter().chain(files.iter().copied()).collect();
    let entry = |name: &str, bytes: &[u8]| {
        fs::write(folder.join(name), bytes).unwrap();
        Entry { name: name.into(), bytes: bytes.len() as u64, xxh3_128: super::super::digest::of_bytes(bytes) }
    };
    let entries = files.iter().map(|(name, bytes)| entry(name, bytes)).collect();
    fs::write(folder.join(MANIFEST), Manifest::new(1, entries).to_bytes()).unwrap();
}

fn with_header(length: u64, json: &str, tail: usize) -> Vec<u8> {
    [&length.to_le_bytes(), json.as_bytes(), &vec![0; tail]].concat()
}

#[test]
fn files_that_are_no_safetensors_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let good = r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let len = good.len() as u64;
    let half = good.replace("F32", "F16").replace("[2]", "[4]");
    let huge = good.replace("[2]", "[4294967296,4294967296,4294967296]");
    let cases = [
        (vec![], "no safetensors header: "),
        (with_header(u64::MAX, good, 8), "a header of 18446744073709551615 bytes in a file of 70"),
        (with_header(len + 9, good, 8), "a header of 63 bytes in a file of 70"),
        (with_header(len, good, 7), "tensors up to byte 70 in a file of 69"),
        (with_header(len, good, 9), "tensors up to byte 70 in a file of 71"),
        (with_header(len - 1, good, 9), "no safetensors header: "),
        (with_header(len, &half, 8), "tensor w is F16: none of F32, BF16, U8, U32, U64"),
        (with_header(huge.len() as u64, &huge, 8), "no safetensors header: "),
    ];
    for (bytes, want) in cases {
        forge(folder.path(), &[(MODEL, &bytes)]);
        let (_, message, _) = refused(open(folder.path()).unwrap().tensors(MODEL));
        assert!(message.starts_with(want), "{message:?} is not {want:?}");
    }
    forge(folder.path(), &[(MODEL, &with_header(len, good, 8))]);
    let tensors = open(folder.path()).unwrap().tensors(MODEL).unwrap();
    assert_eq!(tensors[0].elements, OwnedElements::F32(vec![0.0; 2]));
}

proptest! {
    #[test]
    fn no_bytes_are_a_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), json in ".{0,100}", flag: bool) {
        let folder = tempfile::tempdir().unwrap();
        if flag {
            bytes = with_header(json.len() as u64, &json, bytes.len());
        }
        forge(folder.path(), &[(MODEL, &bytes)]);
        let loaded = open(folder.path()).unwrap();
        let mut network = Network::zeros();
        prop_assert!(loaded.fill(MODEL, &mut network.model_mut()).is_err());
        let _ = loaded.tensors(MODEL);
    }
}

#[test]
fn the_folder_of_a_run_is_made_and_no_error_names_what_nobody_knows_of() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("runs/a");
    let contents = Contents::new(TrainerState::new(5, 1, 7), json!({}));
    assert_eq!(save(&run, &contents, 2).unwrap(), run.join("checkpoint-000005"));

    let mut lost = Contents::new(TrainerState::new(6, 1, 7), json!({}));
    // No file can have this name: its folder is not there.
    lost.tensors.push(("no/such/folder.safetensors", vec![]));
    let error = save(&run, &lost, 2).unwrap_err().to_string();
    assert!(error.contains("checkpoint-000006/no/such/folder.safetensors") && !error.contains(".tmp-"), "{error}");
    assert_eq!(last(&run), Some(run.join("checkpoint-000005")));
}
