//! Tells one state of a file from another.

use crate::error::{Error, Result};
use crate::files;
use serde::Serialize;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use xxhash_rust::xxh3::Xxh3;

/// Bytes hashed at each end.
const END: u64 = 64 << 10;
/// Places in between, and the bytes hashed at each.
const PLACES: u64 = 16;
const PLACE: u64 = 4 << 10;

/// The state of a file that a cache is valid for. Times alone are not enough: archives and image layers give all files
/// one time. So it includes the time of the last change of the file's inode, which no program can set, and a hash of
/// some of the bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Identity {
    /// Without symbolic links.
    pub path: String,
    bytes: u64,
    inode: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
    sample: u64,
}

impl Identity {
    /// The state of the file at `path`.
    pub fn of(path: &Path) -> Result<Self> {
        let mut file = files::open(path)?;
        let read = |file: &mut File| -> io::Result<Self> {
            let (full, meta) = (path.canonicalize()?, file.metadata()?);
            Ok(Self {
                path: full.to_string_lossy().into_owned(),
                bytes: meta.len(),
                inode: meta.ino(),
                modified: (meta.mtime(), meta.mtime_nsec()),
                changed: (meta.ctime(), meta.ctime_nsec()),
                sample: sample(file, meta.len())?,
            })
        };
        read(&mut file).map_err(Error::io(path))
    }
}

/// Hashes both ends and some places in between, or all of a small file.
fn sample(file: &mut File, length: u64) -> io::Result<u64> {
    let mut hash = Xxh3::new();
    let mut bytes = Vec::new();
    let mut add = |start: u64, count: u64| {
        bytes.clear();
        file.seek(SeekFrom::Start(start))?;
        file.take(count).read_to_end(&mut bytes)?;
        hash.update(&bytes);
        io::Result::Ok(())
    };
    if length <= 2 * END + PLACES * PLACE {
        add(0, length)?;
    } else {
        add(0, END)?;
        let step = (length - 2 * END) / PLACES;
        (0..PLACES).try_for_each(|place| add(END + place * step, PLACE))?;
        add(length - END, END)?;
    }
    Ok(hash.digest())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_change_at_either_end_or_at_a_place_in_between_is_another_sample() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.svm");
        for length in [1, 1000, 2 * END + PLACES * PLACE, 1 << 20] {
            fs::write(&path, vec![b'x'; length as usize]).unwrap();
            let mut file = File::options().read(true).write(true).open(&path).unwrap();
            let before = sample(&mut file, length).unwrap();
            assert_eq!(sample(&mut file, length).unwrap(), before);
            let between = END + 3 * (length.saturating_sub(2 * END) / PLACES) + 5;
            for at in [0, length / 100, length - 1, between.min(length - 1)] {
                file.write_all_at(b"y", at).unwrap();
                assert_ne!(sample(&mut file, length).unwrap(), before, "byte {at} of {length}");
                file.write_all_at(b"x", at).unwrap();
            }
        }
    }
}
