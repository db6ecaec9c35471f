//! Reads checkpoints. They are verified first, and then read straight into their tensors.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::folder;
use super::header::Header;
use super::manifest::{MANIFEST, Manifest};
use super::mapping::Mapping;
use super::owned::OwnedTensor;
use super::{CONFIG, STATE, TrainerState};
use crate::error::{Error, Result};
use crate::tensor::TensorMut;

/// A complete, undamaged checkpoint.
#[derive(Clone, Debug)]
pub struct Loaded {
    path: PathBuf,
    state: TrainerState,
    config: serde_json::Value,
    manifest: Manifest,
}

/// Opens a checkpoint: a folder `checkpoint-..`, or the one that `latest` of a run names. A run without `latest` was
/// killed just before its first was written; its newest complete one is opened. All bytes are read once to compare
/// their digests.
///
/// See [`save`](super::save) for an example.
///
/// # Errors
///
/// [`Error::Checkpoint`] if there is none, or a file is missing or has another length or other bytes. It names the
/// file, the fault, and the newest other complete checkpoint of the run.
pub fn open(path: &Path) -> Result<Loaded> {
    open_without(path, &[])
}

/// As [`open`], for whoever needs only the weights: the files `optional` may be absent. If present, they are verified
/// as all others.
///
/// ```no_run
/// let loaded = hotrow::checkpoint::open_without("runs/first".as_ref(), &["optimizer.safetensors"])?;
/// # Ok::<(), hotrow::error::Error>(())
/// ```
///
/// # Errors
///
/// As [`open`].
pub fn open_without(path: &Path, optional: &[&str]) -> Result<Loaded> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if folder::has_checkpoint_name(path) || path.join(MANIFEST).exists() {
        let path = path.parent().map_or_else(|| path.to_owned(), |run| folder::locate(run, name));
        return Loaded::open(path, optional);
    }
    let none = |message: String, previous| Error::Checkpoint { path: path.to_owned(), message, previous };
    match folder::latest(path) {
        Ok(Some(name)) => Loaded::open(folder::locate(path, &name), optional),
        Ok(None) if !path.is_dir() => Err(none("there is no such folder".into(), None)),
        Ok(None) => match folder::newest_complete(path, None) {
            Some(path) => Loaded::open(path, optional),
            None if folder::contains(path) => Err(none("no checkpoint in this folder is complete".into(), None)),
            None => Err(none("there is no checkpoint in this folder".into(), None)),
        },
        Err(message) => {
            let previous = folder::newest_complete(path, None);
            Err(Error::Checkpoint { path: path.join(folder::LATEST), message, previous })
        }
    }
}

impl Loaded {
    fn open(path: PathBuf, optional: &[&str]) -> Result<Self> {
        let refuse = |(file, message)| refusal(&path, file, message);
        let manifest = if path.is_dir() {
            Manifest::verify_without(&path, optional).map_err(refuse)?
        } else {
            return Err(refuse((path.clone(), "there is no such checkpoint".into())));
        };
        let json = |name: &str| {
            let file = path.join(name);
            let listed = manifest.files.iter().any(|entry| entry.name == name);
            let bytes = if listed { std::fs::read(&file).map_err(|error| error.to_string()) } else { Err(unlisted()) };
            bytes.map_err(|message| refuse((file.clone(), message))).map(|bytes| (file, bytes))
        };
        let wrong = |file, error: serde_json::Error| refuse((file, error.to_string()));
        let (file, bytes) = json(STATE)?;
        let state = serde_json::from_slice(&bytes).map_err(|error| wrong(file, error))?;
        let (file, bytes) = json(CONFIG)?;
        let config = serde_json::from_slice(&bytes).map_err(|error| wrong(file, error))?;
        Ok(Self { state, config, manifest, path })
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The position of the run.
    pub fn state(&self) -> &TrainerState {
        &self.state
    }

    /// As [`Contents::config`](super::Contents::config).
    pub fn config(&self) -> &serde_json::Value {
        &self.config
    }

    /// The names of its files.
    ///
    /// ```no_run
    /// let loaded = hotrow::checkpoint::open("runs/first".as_ref())?;
    /// assert!(loaded.files().any(|name| name == "model.safetensors"));
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.manifest.files.iter().map(|entry| entry.name.as_str())
    }

    /// Reads the tensors of `file` into `tensors`: the same names with the same shapes and types, in any order. All are
    /// compared before any is written.
    ///
    /// See [`save`](super::save) for an example.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] with the tensor that is missing, left over, or of another shape or type, and the newest
    /// other complete checkpoint.
    pub fn fill(&self, file: &str, tensors: &mut [TensorMut]) -> Result<()> {
        self.fill_all_but(&HashSet::new(), file, tensors)
    }

    /// As [`fill`](Self::fill), but those that are `mapped` are only compared.
    pub(crate) fn fill_all_but(&self, mapped: &HashSet<String>, file: &str, tensors: &mut [TensorMut]) -> Result<()> {
        let fault = |message| self.refuse(file, message);
        let (mut source, header) = self.header(file)?;
        let position = |name: &str| tensors.iter().position(|tensor| tensor.name == name);
        let mut found = vec![false; tensors.len()];
        let mut places = Vec::with_capacity(header.tensors.len());
        for (name, info) in &header.tensors {
            let Some(i) = position(name) else {
                return Err(fault(format!("tensor {name} belongs to another network: this one has none of that name")));
            };
            let (type_name, tensor) = (info.dtype.to_string(), &tensors[i]);
            if info.shape != tensor.shape {
                return Err(fault(format!("tensor {name} has the shape {:?}, not {:?}", info.shape, tensor.shape)));
            }
            if type_name != tensor.elements.type_name() {
                return Err(fault(format!("tensor {name} is {type_name}, not {}", tensor.elements.type_name())));
            }
            found[i] = true;
            places.push(i);
        }
        if let Some(i) = found.iter().position(|&found| !found) {
            return Err(fault(format!("tensor {} is missing", tensors[i].name)));
        }
        for ((name, info), i) in header.tensors.iter().zip(places) {
            let bytes = tensors[i].elements.bytes_mut();
            let (start, end) = info.data_offsets;
            assert_eq!(bytes.len(), end - start, "tensor {name}: its elements and its shape disagree");
            let read = match mapped.contains(name) {
                true => source.seek_relative((end - start) as i64),
                false => source.read_exact(bytes),
            };
            read.map_err(|error| fault(format!("tensor {name}: {error}")))?;
        }
        Ok(())
    }

    /// `file` with its tensors, to be mapped.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] if the checkpoint has no such file, or it is no safetensors.
    pub(crate) fn mapping(&self, file: &str) -> Result<Mapping> {
        let (source, header) = self.header(file)?;
        Ok(Mapping::new(source, header))
    }

    /// The tensors of `file`, in its order.
    ///
    /// ```no_run
    /// let loaded = hotrow::checkpoint::open("runs/first".as_ref())?;
    /// let tensors = loaded.tensors("index.safetensors")?;
    /// let views: Vec<_> = tensors.iter().map(|tensor| tensor.view()).collect();
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] if the checkpoint has no such file, or it is no safetensors, or has a type that hotrow
    /// does not write.
    pub fn tensors(&self, file: &str) -> Result<Vec<OwnedTensor>> {
        let (mut source, header) = self.header(file)?;
        let mut read = |(name, info): (String, safetensors::tensor::TensorInfo)| {
            let unknown = format!("tensor {name} is {}: none of F32, BF16, U8, U32, U64", info.dtype);
            let mut tensor = OwnedTensor::zeros(name, info.shape, info.dtype).ok_or(unknown)?;
            let read = source.read_exact(tensor.view_mut().elements.bytes_mut());
            read.map_err(|error| format!("tensor {}: {error}", tensor.name))?;
            Ok(tensor)
        };
        header
            .tensors
            .into_iter()
            .map(&mut read)
            .collect::<Result<_, _>>()
            .map_err(|message| self.refuse(file, message))
    }

    /// The bytes of a file without tensors (see [`Contents::others`](super::Contents::others)).
    ///
    /// ```no_run
    /// let loaded = hotrow::checkpoint::open("runs/first".as_ref())?;
    /// let tokenizer = loaded.bytes("tokenizer.json")?;
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] if the checkpoint has no such file.
    pub fn bytes(&self, file: &str) -> Result<Vec<u8>> {
        if !self.files().any(|name| name == file) {
            return Err(self.refuse(file, unlisted()));
        }
        std::fs::read(self.path.join(file)).map_err(|error| self.refuse(file, error.to_string()))
    }

    /// The file, before its first tensor.
    fn header(&self, file: &str) -> Result<(File, Header)> {
        let Some(entry) = self.manifest.files.iter().find(|entry| entry.name == file) else {
            return Err(self.refuse(file, unlisted()));
        };
        let open = || {
            let mut source = File::open(self.path.join(file)).map_err(|error| error.to_string())?;
            let header = Header::read(&mut source, entry.bytes)?;
            source.seek(SeekFrom::Start(header.start)).map_err(|error| error.to_string())?;
            Ok((source, header))
        };
        open().map_err(|message| self.refuse(file, message))
    }

    /// The error for a file of this checkpoint that its reader cannot use, with the newest other complete checkpoint.
    pub fn refuse(&self, file: &str, message: String) -> Error {
        refusal(&self.path, self.path.join(file), message)
    }
}

fn unlisted() -> String {
    format!("{MANIFEST} has no such file")
}

fn refusal(checkpoint: &Path, file: PathBuf, message: String) -> Error {
    let here = Path::new(".");
    let run = checkpoint.parent().map(|run| if run.as_os_str().is_empty() { here } else { run });
    let previous = run.and_then(|run| folder::newest_complete(run, Some(checkpoint)));
    Error::Checkpoint { path: file, message, previous }
}
