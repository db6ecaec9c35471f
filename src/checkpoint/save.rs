//! Writes checkpoints: all or nothing, and without a second copy of the tensors.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3Default;

use super::contents::{Contents, Files};
use super::digest;
use super::disk::{Disk, Sink, System, replace_file};
use super::folder::{self, LATEST, REPLACED, TEMPORARY};
use super::manifest::{Entry, MANIFEST, Manifest};
use crate::error::{Error, Result};
use crate::files;
use crate::tensor::Tensor;

/// Bytes that are hashed and then written while still in the cache.
const CHUNK: usize = 1 << 18;

/// Saves a checkpoint in the folder `run`, which is made if needed. Then `latest` names it, and of the checkpoints up
/// to this step only the newest `keep` stay. Returns its folder, which is named after the step.
///
/// Tensors go to the file from where they are, so this takes no memory of their size. A [`Saver`](super::Saver) writes
/// smaller ones while training continues.
///
/// ```
/// use hotrow::checkpoint::{Contents, TrainerState, open, save};
/// use hotrow::tensor::{Elements, ElementsMut, Tensor, TensorMut};
/// # let folder = tempfile::tempdir().unwrap();
/// # let run = folder.path();
/// let weights = Tensor { name: "w".into(), shape: vec![1, 2], elements: Elements::F32(&[1.0, 2.0]) };
/// let mut contents = Contents::new(TrainerState::new(500, 1, 7), serde_json::json!({"hidden": [2]}));
/// contents.tensors.push(("model.safetensors", vec![weights]));
/// save(run, &contents, 2)?;
///
/// let (loaded, mut w) = (open(run)?, [0.0; 2]);
/// let place = TensorMut { name: "w".into(), shape: vec![1, 2], elements: ElementsMut::F32(&mut w) };
/// loaded.fill("model.safetensors", &mut [place])?;
/// assert_eq!((w, loaded.state().step), ([1.0, 2.0], 500));
/// # Ok::<(), hotrow::error::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Io`] with the file that could not be written, under its final name. Then `latest` is unchanged, and nothing
/// of the new checkpoint is left.
///
/// # Panics
///
/// If two files, or two tensors of a file, have one name; if a tensor's elements disagree with its shape.
#[track_caller]
pub fn save(run: &Path, contents: &Contents, keep: usize) -> Result<PathBuf> {
    std::fs::create_dir_all(run).map_err(Error::io(run))?;
    save_on(&System, run, &contents.files(), keep)
}

pub(super) fn save_on(disk: &dyn Disk, run: &Path, contents: &Files, keep: usize) -> Result<PathBuf> {
    let name = folder::name(contents.step);
    let temporary = run.join(format!("{TEMPORARY}{name}"));
    // The run belongs to this program, so the name need not be random.
    let _listed = files::Registered::new(&temporary, true)?;
    let reported = run.join(&name);
    let written = write(disk, &temporary, &reported, contents).and_then(|()| publish(disk, run, &temporary, &name));
    if written.is_err() && temporary.exists() {
        // The first error is the one to report.
        let _ = disk.remove_folder(&temporary);
    }
    let path = written?;
    replace_file(disk, run, LATEST, format!("{name}\n").as_bytes())?;
    prune(disk, run, contents.step, keep)?;
    Ok(path)
}

/// Writes a safetensors file that belongs to no checkpoint, all at once.
pub(crate) fn write_tensors(folder: &Path, name: &str, tensors: &[Tensor]) -> Result<()> {
    let (mut bytes, ordered) = super::header::plan(tensors);
    ordered.iter().for_each(|tensor| bytes.extend_from_slice(tensor.elements.bytes()));
    files::write(&folder.join(name), &bytes)
}

/// Writes the complete checkpoint to an unknown folder, and syncs it. Errors name the folder `reported` that it
/// becomes.
fn write(disk: &dyn Disk, folder: &Path, reported: &Path, Files { step, files }: &Files) -> Result<()> {
    if folder.exists() {
        disk.remove_folder(folder).map_err(Error::io(reported))?;
    }
    disk.create_folder(folder).map_err(Error::io(reported))?;
    let written = files.iter().map(|(name, pieces)| write_file(disk, folder, reported, name, pieces));
    let manifest = Manifest::new(*step, written.collect::<Result<_>>()?).to_bytes();
    write_file(disk, folder, reported, MANIFEST, &[manifest.into()])?;
    disk.sync_folder(folder).map_err(Error::io(reported))
}

fn write_file(disk: &dyn Disk, folder: &Path, reported: &Path, name: &str, pieces: &[Cow<[u8]>]) -> Result<Entry> {
    let path = folder.join(name);
    let write = || -> io::Result<Entry> {
        let mut file: Box<dyn Sink> = disk.create_file(&path)?;
        let (mut hash, mut bytes) = (Xxh3Default::new(), 0);
        for chunk in pieces.iter().flat_map(|piece| piece.chunks(CHUNK)) {
            hash.update(chunk);
            file.write_all(chunk)?;
            bytes += chunk.len() as u64;
        }
        file.sync()?;
        Ok(Entry { name: name.to_owned(), bytes, xxh3_128: digest::hex(&hash) })
    };
    write().map_err(Error::io(reported.join(name)))
}

/// Gives the folder its name. If the run was resumed from an older checkpoint, one of this name may exist. It is first
/// moved to where
/// `open` finds it until the new one is there.
fn publish(disk: &dyn Disk, run: &Path, temporary: &Path, name: &str) -> Result<PathBuf> {
    let (path, replaced) = (run.join(name), run.join(format!("{REPLACED}{name}")));
    if path.exists() {
        if replaced.exists() {
            folder::remove(disk, run, &replaced)?;
        }
        disk.rename(&path, &replaced).map_err(Error::io(&path))?;
    }
    if let Err(error) = disk.rename(temporary, &path) {
        if replaced.exists() {
            let _ = disk.rename(&replaced, &path);
        }
        return Err(Error::io(path)(error));
    }
    disk.sync_folder(run).map_err(Error::io(run))?;
    if replaced.exists() {
        folder::remove(disk, run, &replaced)?;
    }
    Ok(path)
}

/// Keeps `step` and the newest `keep` of the checkpoints up to it. Later ones belong to a run that was resumed from an
/// older checkpoint; they are replaced when it gets there.
pub(super) fn prune(disk: &dyn Disk, run: &Path, step: u64, keep: usize) -> Result<()> {
    let old = folder::steps(run).into_iter().filter(|&other| other <= step).skip(keep.max(1));
    old.map(|step| folder::locate(run, &folder::name(step))).try_for_each(|path| folder::remove(disk, run, &path))
}

/// Removes the checkpoint of `step`, if it exists. `latest` then names the newest other complete one, or goes too.
pub(super) fn withdraw(disk: &dyn Disk, run: &Path, step: u64) -> Result<()> {
    let path = folder::locate(run, &folder::name(step));
    if !path.exists() {
        return Ok(());
    }
    let before = folder::newest_complete(run, Some(&path));
    match before.as_deref().and_then(Path::file_name) {
        Some(name) => replace_file(disk, run, LATEST, format!("{}\n", name.to_string_lossy()).as_bytes())?,
        None => disk.remove_file(&run.join(LATEST)).map_err(Error::io(run.join(LATEST)))?,
    }
    folder::remove(disk, run, &path)
}
