//! Files: written where the user pointed, read only if they can be, and nothing half-made left behind.
//!
//! | to | there is |
//! |---|---|
//! | write a small file where the user pointed, all at once | [`write`](fn@write) |
//! | write a large one, which replaces another when it is complete | [`Output`] |
//! | keep something for a while | [`Temporary`], [`anonymous`] |
//! | take back what was made, if the work cannot begin | [`Made`] |
//! | remove what killed programs have left | [`sweep`] |
//! | end at once and leave nothing | [`remove_all`] |
//! | read a file that the user has named | [`open`], [`read`], [`read_settings`], [`regular`] |
//! | ask for room | [`free_bytes`] |
//!
//! Whatever has not got its last name yet stands in one registry of the process, so that a program that is interrupted can
//! remove it without knowing who was at what.

mod made;
mod output;
mod place;
mod read;
mod registry;
mod sweep;
mod temporary;

use std::path::{Path, PathBuf};

pub(crate) use made::note;
pub use made::{Made, begun, take_back};
pub use output::{Output, write, write_all};
pub use read::{MOST_SETTINGS, open, read, read_settings, regular};
pub use registry::{ending, remove_all};
pub(crate) use sweep::is_held;
pub use sweep::{left_by_killed, sweep};
pub(crate) use temporary::{Listed, SCRATCH, is_at};
pub use temporary::{Temporary, anonymous};

/// Bytes that this user can still write to the disk of `path`, which need not exist yet; `None` if the system does not say.
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

/// The name of a file as it stands in the names of temporaries.
fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Where a file is, without links in the folders on the way to it. It need not exist.
fn real(path: &Path) -> Option<PathBuf> {
    Some(parent(path).canonicalize().ok()?.join(path.file_name()?))
}

#[cfg(test)]
mod tests;
