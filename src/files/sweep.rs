//! Removing what killed programs have left.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::temporary::{DIGITS, START, is_at};

/// File systems of which a lock may be known on one machine only, by the number that `statfs` tells: NFS, SMB (three), 9p, FUSE
/// (sshfs and many others), Ceph, Lustre, GPFS, AFS, BeeGFS, folders of a virtual machine's host, AUFS.
const SHARED: [u64; 13] = [
    0x6969,
    0x517B,
    0xFF53_4D42,
    0xFE53_4D42,
    0x0102_1997,
    0x6573_5546,
    0x00C3_6400,
    0x0BD0_0BD0,
    0x4750_4653,
    0x5346_414F,
    0x1983_0326,
    0x786F_4256,
    0x6175_6673,
];

/// What the temporary `name` was made for, if it is one.
///
/// ```
/// use hotrow::files::left_by_killed;
/// assert_eq!(left_by_killed(".tmp-00c0ffee00c0ffee-env.json"), Some("env.json"));
/// assert_eq!(left_by_killed("env.json"), None);
/// ```
pub fn left_by_killed(name: &str) -> Option<&str> {
    let (number, rest) = name.strip_prefix(START)?.split_once('-')?;
    let digits = number.len() == DIGITS && number.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    digits.then_some(rest)
}

/// Removes the temporaries in `folder` that no program is at work on, of those made for names that `of` accepts. What cannot be
/// removed stays: it is in nobody's way.
///
/// Why this takes nothing from anybody. A temporary is locked from just after its making to its end, and the system gives the lock
/// back only when its program is gone, wherever that runs: process numbers, which say nothing of other containers, are not asked.
/// Whoever makes one and is not yet at its lock sees afterwards that a sweep was faster, and makes another. A name is random and
/// never used again, so a file that has got its last name in between is not removed under the old one. On file systems
/// that other machines share, a lock may not be seen from here: nothing is removed there.
///
/// ```
/// use hotrow::files::{Temporary, sweep};
/// let folder = tempfile::tempdir()?;
/// let left = folder.path().join(".tmp-00c0ffee00c0ffee-a.samples");
/// std::fs::write(&left, "of a killed program")?;
/// let used = Temporary::file(&folder.path().join("b.samples"))?;
/// sweep(folder.path(), |name| name.ends_with(".samples"));
/// assert!(!left.exists() && used.path().exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn sweep(folder: &Path, of: impl Fn(&str) -> bool) {
    if !rustix::fs::statfs(folder).is_ok_and(|system| !SHARED.contains(&(system.f_type as u64 & 0xFFFF_FFFF))) {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_str().and_then(left_by_killed).is_some_and(&of);
        if ours {
            remove_unheld(&entry.path());
        }
    }
}

fn remove_unheld(path: &Path) {
    let Some(file) = opened(path) else { return };
    if file.try_lock().is_ok() && is_at(&file, path) {
        let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    }
}

/// Whether a program is at work on the temporary at `path`.
pub(crate) fn is_held(path: &Path) -> bool {
    opened(path).is_some_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// What is locked of a file or folder. A link, or a pipe that somebody has put there, is not followed and not waited for.
fn opened(path: &Path) -> Option<File> {
    let kind = path.symlink_metadata().ok()?.file_type();
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = || rustix::fs::open(path, flags, Mode::empty()).ok().map(File::from);
    if kind.is_file() || kind.is_dir() { open() } else { None }
}
