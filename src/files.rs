//! Files: writes them whole, reads those that users name, and leaves nothing half-made behind.
//!
//! | to | use |
//! |---|---|
//! | write a small file to a user's path, all at once | [`write`](fn@write), [`write_all`] |
//! | write a large file that replaces another when complete | [`Output`] |
//! | keep something for a while | [`Temporary`], [`anonymous`] |
//! | remove what was made if the work cannot start | [`Rollback`] |
//! | remove what killed programs left | [`sweep`] |
//! | end at once and leave nothing | [`remove_all`] |
//! | read a file that a user has named | [`open`], [`read`], [`read_settings`], [`regular`] |
//! | find out how much room is left | [`free_bytes`] |
//!
//! One registry of the process lists every file without its final name. So an interrupted program can remove them all
//! without knowing who was writing what.

mod output;
mod place;
mod read;
mod registry;
mod rollback;
mod sweep;
mod temporary;

use std::path::{Path, PathBuf};

pub use output::{Output, write, write_all};
pub use read::{MOST_SETTINGS, open, read, read_settings, regular};
pub use registry::{ending, remove_all};
pub(crate) use rollback::record;
pub use rollback::{Rollback, keep, roll_back};
pub(crate) use sweep::is_held;
pub use sweep::{original_name, sweep};
pub(crate) use temporary::{Registered, SCRATCH, is_at};
pub use temporary::{Temporary, anonymous};

/// The bytes that this user can still write to the disk of `path`, which need not exist yet; `None` if the system does
/// not say.
///
/// ```
/// assert!(hotrow::files::free_bytes("no/such/folder".as_ref()).is_some_and(|bytes| bytes > 0));
/// ```
pub fn free_bytes(path: &Path) -> Option<u64> {
    let path = std::path::absolute(path).ok()?;
    let state = path.ancestors().find_map(|path| rustix::fs::statvfs(path).ok())?;
    Some(state.f_bavail.saturating_mul(state.f_frsize))
}

/// The folder that holds `path`.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file's name, as it appears in the names of temporaries.
fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The path without links in its folders. It need not exist.
fn real(path: &Path) -> Option<PathBuf> {
    Some(parent(path).canonicalize().ok()?.join(path.file_name()?))
}

#[cfg(test)]
mod tests;
