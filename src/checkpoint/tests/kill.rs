//! A disk that dies, or fills up, after any number of operations.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::disk::{Disk, Sink, System};
use super::super::folder::clean_on;
use super::super::save::save_on;
use super::*;

/// Does `left` operations and then, for a `dead` one, nothing ever again. A full one goes on to do what needs no space.
#[derive(Clone)]
pub(super) struct Failing {
    left: Arc<AtomicUsize>,
    full: bool,
}

struct FailingFile(Failing, Box<dyn Sink>);

impl Failing {
    pub(super) fn after(left: usize, full: bool) -> Self {
        Self { left: Arc::new(AtomicUsize::new(left)), full }
    }

    fn lives(&self) -> bool {
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    fn counted(&self) -> io::Result<()> {
        if self.full || self.lives() { Ok(()) } else { Err(io::Error::other("the plug was pulled")) }
    }
}

impl Write for FailingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.lives() {
            return self.1.write(bytes);
        }
        // Some of it may have got there.
        let _ = self.1.write(&bytes[..bytes.len() / 2]);
        Err(io::Error::from(io::ErrorKind::StorageFull))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.1.flush()
    }
}

impl Sink for FailingFile {
    fn sync(&mut self) -> io::Result<()> {
        // Whether bytes reach the disk without it is up to the system; here they do.
        self.0.counted()
    }
}

impl Disk for Failing {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.counted().and_then(|()| System.create_folder(path))
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn Sink>> {
        self.counted()?;
        Ok(Box::new(FailingFile(self.clone(), System.create_file(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.counted().and_then(|()| System.rename(from, to))
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        self.counted()
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        if self.counted().is_err() {
            // It was at it: a file is gone and the folder is there.
            let first = fs::read_dir(path)?.flatten().map(|entry| entry.path()).find(|path| path.is_file());
            return first.map_or(Ok(()), fs::remove_file).and(Err(io::Error::other("the plug was pulled")));
        }
        System.remove_folder(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.counted().and_then(|()| System.remove_file(path))
    }
}

fn save_step_on(disk: &dyn Disk, run: &Path, step: u64, keep: usize) -> Result<PathBuf> {
    save_on(disk, run, &Network::at(step).contents(step).files(), keep)
}

/// The same by a thread of its own.
fn save_step_behind(disk: &Failing, run: &Path, step: u64, keep: usize) -> Result<()> {
    let mut saver = Saver::on(Arc::new(disk.clone()), run, keep, u64::MAX);
    saver.save(&Network::at(step).contents(step))?;
    saver.finish()
}

/// Kills the save of `step` after each number of operations, in a run that has saved `before`; then the restarted program
/// after each number of operations of its clean-up.
fn kill_everywhere(before: &[u64], step: u64, keep: usize) {
    kill_each(before, step, keep, |disk, run, step, keep| save_step_on(disk, run, step, keep).map(drop));
}

fn kill_each(before: &[u64], step: u64, keep: usize, save_step_on: impl Fn(&Failing, &Path, u64, usize) -> Result<()>) {
    for operations in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path();
        before.iter().for_each(|&step| drop(save_step(run, step, keep)));
        let done = save_step_on(&Failing::after(operations, false), run, step, keep).is_ok();

        let usable = |what: &str| match opened(run) {
            Ok(found) => assert!(found == step || Some(&found) == before.last(), "{what}, {operations}: {found}"),
            Err(error) => assert!(before.is_empty(), "{what}, {operations}: {error}"),
        };
        usable("killed");
        let cleaned = clean_on(&Failing::after(operations / 2, false), run).is_ok();
        usable("killed in the clean-up");
        clean(run).unwrap();
        usable("cleaned");
        assert!(names(run).iter().all(|name| !name.starts_with('.')), "{operations}: {:?}", names(run));
        save_step(run, step, keep);
        assert_eq!(opened(run).unwrap(), step);
        if done {
            assert!(operations > 20 && cleaned, "{operations} operations are too few for five synced files");
            return;
        }
    }
}

#[test]
fn a_kill_at_any_instant_of_the_first_save_leaves_it_or_nothing() {
    kill_everywhere(&[], 500, 2);
}

#[test]
fn a_kill_at_any_instant_leaves_the_previous_checkpoint_usable() {
    kill_everywhere(&[500], 1000, 2);
}

#[test]
fn a_kill_at_any_instant_leaves_a_checkpoint_even_if_only_one_is_kept() {
    kill_everywhere(&[1, 2, 500], 1000, 1);
}

#[test]
fn a_kill_at_any_instant_leaves_a_checkpoint_that_is_being_replaced() {
    kill_everywhere(&[500], 500, 1);
    kill_everywhere(&[1000, 500], 1000, 1);
}

#[test]
fn a_kill_at_any_instant_of_a_save_behind_the_steps_leaves_the_previous_checkpoint_usable() {
    kill_each(&[1, 2, 500], 1000, 1, save_step_behind);
    kill_each(&[500], 500, 1, save_step_behind);
}

#[test]
fn a_full_disk_is_an_error_that_leaves_nothing_behind() {
    let mut failures = 0;
    for writes in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path();
        save_step(run, 500, 2);
        let before = names(run);
        match save_step_on(&Failing::after(writes, true), run, 1000, 2) {
            Ok(_) => break,
            Err(Error::Io { path, source }) => {
                assert!(path.starts_with(run), "{}", path.display());
                assert_eq!(source.kind(), io::ErrorKind::StorageFull);
                failures += 1;
            }
            Err(error) => panic!("{error}"),
        }
        // Either nothing new, or, if there was no room for `latest`, a checkpoint that it does not name.
        let new: Vec<_> = names(run).into_iter().filter(|name| !before.contains(name)).collect();
        assert!(new.is_empty() || new == ["checkpoint-001000"], "{new:?}");
        assert_eq!(opened(run).unwrap(), 500);
    }
    // Five files of at least one write each, the two of tensors with a header, and `latest`.
    assert!(failures >= 8, "{failures}");
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for run in [file, folder.path().join("missing")] {
        let error = save_step_on(&System, &run, 1, 1).unwrap_err();
        assert!(error.to_string().starts_with(&*run.to_string_lossy()), "{error}");
        assert_eq!(error.exit_code(), 1);
    }
}
