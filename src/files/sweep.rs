//! Removes what killed programs left.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::temporary::{DIGITS, START, is_at};

/// File systems on which other machines may not see a lock, by the number that `statfs` gives: NFS, SMB (three), 9p,
/// FUSE (sshfs and many others), Ceph, Lustre, GPFS, AFS, BeeGFS, folders of a virtual machine's host, AUFS.
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

/// The name of the file that the temporary `name` was made for; `None` if it is no temporary.
///
/// ```
/// use hotrow::files::original_name;
/// assert_eq!(original_name(".tmp-00c0ffee00c0ffee-env.json"), Some("env.json"));
/// assert_eq!(original_name("env.json"), None);
/// ```
pub fn original_name(name: &str) -> Option<&str> {
    let (number, rest) = name.strip_prefix(START)?.split_once('-')?;
    let digits = number.len() == DIGITS && number.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    digits.then_some(rest)
}

/// Removes the temporaries in `folder` that no program holds, if `of` accepts the names they were made for. What cannot
/// be removed stays.
///
/// This takes nothing from a running program. A temporary is locked from its making to its end, and the system releases
/// the lock only when its program is gone. Process numbers, which mean nothing in other containers, are not used. A
/// program that has just made one and finds that a sweep was faster makes another. Names are random and never reused,
/// so a file that has got its final name meanwhile is not removed under the old one. On file systems that other
/// machines share, a lock may be invisible here, so nothing is removed there.
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
        let ours = entry.file_name().to_str().and_then(original_name).is_some_and(&of);
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

/// Whether a program holds the temporary at `path`.
pub(crate) fn is_held(path: &Path) -> bool {
    opened(path).is_some_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Opens what is locked of a file or folder. It follows no link, and waits for no pipe that somebody has put there.
fn opened(path: &Path) -> Option<File> {
    let kind = path.symlink_metadata().ok()?.file_type();
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = || rustix::fs::open(path, flags, Mode::empty()).ok().map(File::from);
    if kind.is_file() || kind.is_dir() { open() } else { None }
}
