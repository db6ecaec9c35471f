//! The checkpoint folders of a run: their names, which ones exist, and which one `latest` names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Disk, System};
use super::manifest::{MANIFEST, Manifest};
use crate::error::{Error, Result};
use crate::files;

/// The file that names the latest complete checkpoint.
pub(super) const LATEST: &str = "latest";
/// The beginning of the name of what is being written or removed. Nobody misses it.
pub(super) const TEMPORARY: &str = ".tmp-";
/// The beginning of the name of a checkpoint that one of the same step is replacing.
pub(super) const REPLACED: &str = ".old-";

/// `checkpoint-000500`
pub(super) fn name(step: u64) -> String {
    format!("checkpoint-{step:06}")
}

/// The step in a checkpoint's name; `None` for any other name.
pub(super) fn step(folder: &str) -> Option<u64> {
    let step = folder.strip_prefix("checkpoint-")?.parse().ok()?;
    (name(step) == folder).then_some(step)
}

/// Whether `path` has the name of a checkpoint.
pub(crate) fn has_checkpoint_name(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).and_then(step).is_some()
}

/// The folder of checkpoint `name`. Between the two renames of a replacement, it is where the first has put it.
pub(super) fn locate(run: &Path, name: &str) -> PathBuf {
    let (path, replaced) = (run.join(name), run.join(format!("{REPLACED}{name}")));
    if !path.exists() && replaced.exists() { replaced } else { path }
}

/// The checkpoint that `latest` names; `None` if there is no such file.
///
/// # Errors
///
/// A message if it names no checkpoint, or cannot be read.
pub(super) fn latest(run: &Path) -> Result<Option<String>, String> {
    match files::read(&run.join(LATEST)) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(Error::Io { source, .. }) => Err(source.to_string()),
        Err(error) => Err(error.to_string()),
        Ok(bytes) => {
            let name = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n'));
            let name = name.filter(|name| step(name).is_some());
            let shown = || {
                format!("{:?} is not the name of a checkpoint", String::from_utf8_lossy(&bytes[..bytes.len().min(40)]))
            };
            name.map(|name| Some(name.to_owned())).ok_or_else(shown)
        }
    }
}

/// The steps of all checkpoints of `run`, complete or not, newest first.
pub(super) fn steps(run: &Path) -> Vec<u64> {
    let names = fs::read_dir(run).into_iter().flatten().flatten();
    let of = |name: &str| step(name.strip_prefix(REPLACED).unwrap_or(name));
    let mut steps: Vec<u64> = names.filter_map(|entry| of(entry.file_name().to_str()?)).collect();
    steps.sort_unstable_by(|a, b| b.cmp(a));
    steps.dedup();
    steps
}

/// The newest checkpoint that is complete and undamaged, other than `except`.
pub(super) fn newest_complete(run: &Path, except: Option<&Path>) -> Option<PathBuf> {
    let paths = steps(run).into_iter().map(|step| locate(run, &name(step)));
    let excepted = except.and_then(Path::file_name);
    paths.filter(|path| path.file_name() != excepted).find(|path| Manifest::verify(path).is_ok())
}

/// Whether `path` is a checkpoint, of any name, complete or not.
pub(crate) fn is_checkpoint(path: &Path) -> bool {
    path.join(MANIFEST).exists() || (has_checkpoint_name(path) && path.exists())
}

/// Whether `run` has a checkpoint, complete or not.
///
/// ```
/// assert!(!hotrow::checkpoint::contains("no/such/folder".as_ref()));
/// ```
pub fn contains(run: &Path) -> bool {
    run.join(LATEST).exists() || !steps(run).is_empty()
}

/// Removes what a killed program left in `run`, and finishes its replacement of a checkpoint. Only the program that
/// holds the run may call this. A [locked](crate::files::Temporary) temporary stays.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let run = folder.path();
/// std::fs::create_dir(run.join(".tmp-checkpoint-000500")).unwrap();
/// hotrow::checkpoint::clean(run)?;
/// assert!(!run.join(".tmp-checkpoint-000500").exists());
/// # Ok::<(), hotrow::error::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Io`] if the system refuses.
pub fn clean(run: &Path) -> Result<()> {
    clean_on(&System, run)
}

pub(super) fn clean_on(disk: &dyn Disk, run: &Path) -> Result<()> {
    // Listed before anything is renamed.
    let entries: Vec<_> = fs::read_dir(run).and_then(Iterator::collect).map_err(Error::io(run))?;
    for path in entries.into_iter().map(|entry: fs::DirEntry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if let Some(replaced) = name.strip_prefix(REPLACED).filter(|name| step(name).is_some()) {
            let original = run.join(replaced);
            if original.exists() {
                remove(disk, run, &path)?;
            } else {
                disk.rename(&path, &original).map_err(Error::io(original))?;
            }
        } else if name.starts_with(TEMPORARY) && !files::is_held(&path) {
            // (A held one may be a report on its way into this folder. Its writer does not hold the run.)
            let removed = if path.is_dir() { disk.remove_folder(&path) } else { disk.remove_file(&path) };
            removed.map_err(Error::io(path))?;
        }
    }
    disk.sync_folder(run).map_err(Error::io(run))
}

/// Removes a checkpoint. It is renamed first, so half of it never passes for one.
pub(super) fn remove(disk: &dyn Disk, run: &Path, path: &Path) -> Result<()> {
    let name = path.file_name().expect("a folder in the run has a name").to_string_lossy();
    let doomed = run.join(format!("{TEMPORARY}removed-{name}"));
    if doomed.exists() {
        disk.remove_folder(&doomed).map_err(Error::io(&doomed))?;
    }
    disk.rename(path, &doomed).and_then(|()| disk.remove_folder(&doomed)).map_err(Error::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_names_of_folders_are_one_to_one() {
        for (folder, want) in [
            ("checkpoint-000500", Some(500)),
            ("checkpoint-1234567", Some(1_234_567)),
            ("checkpoint-000000", Some(0)),
            ("checkpoint-500", None),
            ("checkpoint-+00500", None),
            ("checkpoint-0000500", None),
            ("checkpoint-", None),
            ("../checkpoint-000500", None),
            (".tmp-checkpoint-000500", None),
        ] {
            assert_eq!(step(folder), want, "{folder}");
            assert!(want.is_none_or(|step| name(step) == folder));
        }
    }
}
