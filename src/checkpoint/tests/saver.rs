//! Checkpoints that are written behind the steps are the ones that the steps would have waited for.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{ThreadId, current};

use super::super::disk::{Disk, Sink, System};
use super::kill::Failing;
use super::*;

/// Notes which thread makes which folder, and first waits for leave, if there is somebody to give it.
#[derive(Default)]
struct Watched {
    folders: Mutex<Vec<(ThreadId, PathBuf)>>,
    leave: Mutex<Option<Receiver<()>>>,
}

impl Watched {
    /// Each folder is made after something was sent.
    fn gated() -> (Arc<Self>, Sender<()>) {
        let (give, leave) = channel();
        (Arc::new(Self { leave: Mutex::new(Some(leave)), ..Self::default() }), give)
    }

    fn threads(&self) -> Vec<ThreadId> {
        self.folders.lock().unwrap().iter().map(|(thread, _)| *thread).collect()
    }
}

impl Disk for Watched {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        if let Some(leave) = &*self.leave.lock().unwrap() {
            leave.recv().map_err(io::Error::other)?;
        }
        self.folders.lock().unwrap().push((current().id(), path.to_owned()));
        System.create_folder(path)
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn Sink>> {
        System.create_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        System.rename(from, to)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        System.sync_folder(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        System.remove_folder(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        System.remove_file(path)
    }
}

#[test]
fn both_ways_write_the_same_files_on_either_side_of_the_limit() {
    let network = Network::at(500);
    let contents = network.contents(500);
    let bytes = contents.files().bytes();
    let written = |limit: u64| {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(Watched::default());
        let mut saver = Saver::on(disk.clone(), folder.path(), 2, limit);
        saver.save(&contents).unwrap();
        saver.finish().unwrap();
        assert_eq!(opened(folder.path()).unwrap(), 500);
        let path = folder.path().join("checkpoint-000500");
        let files: Vec<_> = names(&path).into_iter().map(|name| (fs::read(path.join(&name)).unwrap(), name)).collect();
        (files, disk.threads() == [current().id()])
    };
    let (waited_for, here) = written(0);
    assert!(here);
    let all: usize = waited_for.iter().filter(|(_, name)| name != "manifest.json").map(|(bytes, _)| bytes.len()).sum();
    assert_eq!(all as u64, bytes);
    assert_eq!(written(bytes - 1), (waited_for.clone(), true));
    assert_eq!(written(bytes), (waited_for, false));
}

#[test]
fn a_checkpoint_is_of_its_step_whatever_the_tensors_become_while_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, leave) = Watched::gated();
    let mut saver = Saver::on(disk, folder.path(), 2, u64::MAX);
    let mut network = Network::at(500);
    saver.save(&network.contents(500)).unwrap();
    network.table.fill(0.5);
    network.ids.fill(0);
    assert!(open(folder.path()).is_err(), "nothing can have been written");
    leave.send(()).unwrap();
    saver.finish().unwrap();
    assert_eq!(opened(folder.path()).unwrap(), 500);
}

#[test]
fn one_checkpoint_is_complete_before_the_next_is_begun_and_the_old_ones_go_last() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, leave) = Watched::gated();
    let mut saver = Saver::on(disk.clone(), folder.path(), 1, u64::MAX);
    saver.save(&Network::at(1).contents(1)).unwrap();
    std::thread::scope(|scope| {
        // Comes back when the first is written, and has not begun the second then, for want of leave.
        scope.spawn(|| saver.save(&Network::at(2).contents(2)).unwrap());
        assert!(disk.threads().is_empty());
        leave.send(()).unwrap();
    });
    assert_eq!(opened(folder.path()).unwrap(), 1);
    leave.send(()).unwrap();
    // Whoever drops it waits too.
    drop(saver);
    assert_eq!(opened(folder.path()).unwrap(), 2);
    assert_eq!(names(folder.path()), ["checkpoint-000002", "latest"]);
}

#[test]
fn a_write_that_fails_is_told_by_the_next_save_or_by_the_end_and_once() {
    let network = Network::at(1000);
    for at_end in [true, false] {
        for operations in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let run = folder.path();
            save_step(run, 500, 2);
            let mut saver = Saver::on(Arc::new(Failing::after(operations, true)), run, 2, u64::MAX);
            saver.save(&network.contents(1000)).unwrap();
            let next = network.contents(1500);
            let told = if at_end { saver.finish() } else { saver.save(&next) };
            assert!(saver.finish().is_ok() || told.is_ok());
            match told {
                Ok(()) => break,
                Err(Error::Io { path, source }) => {
                    assert!(path.starts_with(run), "{}", path.display());
                    assert_eq!(source.kind(), io::ErrorKind::StorageFull);
                }
                Err(error) => panic!("{error}"),
            }
            assert_eq!(opened(run).unwrap(), 500);
            assert!(!run.join("checkpoint-001500").exists());
        }
    }
}

#[test]
#[should_panic(expected = "two files have the same name")]
fn a_wrong_call_panics_where_it_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let mut saver = Saver::new(folder.path(), 1, u64::MAX);
    let _ = saver.save(&Contents { others: vec![(MODEL, b"")], ..Network::at(1).contents(1) });
}
