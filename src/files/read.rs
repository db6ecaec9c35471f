//! Reads files that users name.

use std::fs::{File, FileType};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use crate::error::{Error, Result};

/// The most bytes of a file of settings. Real ones have some thousand; a larger one is another file.
pub const MOST_SETTINGS: u64 = 16 << 20;

/// Refuses anything but a regular file, which can be opened again and again. It opens nothing, so it does not wait.
///
/// ```
/// let error = hotrow::files::regular("/dev/null".as_ref()).unwrap_err();
/// assert_eq!(error.to_string(), "/dev/null: is a device, which cannot be read a second time; give a file");
/// ```
///
/// # Errors
///
/// [`Error::Io`] if nothing is there; [`Error::Data`] if it is a folder, a pipe, a socket or a device.
pub fn regular(path: &Path) -> Result<()> {
    check(path, path.metadata().map_err(Error::io(path))?.file_type())
}

fn check(path: &Path, kind: FileType) -> Result<()> {
    let what = match kind {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => return Err(Error::data(path, 0, 0, "is a folder, not a file")),
        kind if kind.is_fifo() => "pipe",
        kind if kind.is_socket() => "socket",
        _ => "device",
    };
    Err(Error::data(path, 0, 0, format!("is a {what}, which cannot be read a second time; give a file")))
}

/// Opens a [regular] file for reading.
///
/// # Errors
///
/// As [`regular`], and [`Error::Io`] if the system refuses.
pub fn open(path: &Path) -> Result<File> {
    regular(path)?;
    // Does not wait, in case it has become a pipe since. The flag means nothing for a file.
    let flags = OFlags::NONBLOCK.bits() as i32;
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(Error::io(path))?;
    check(path, file.metadata().map_err(Error::io(path))?.file_type())?;
    Ok(file)
}

/// All bytes of a [regular] file.
///
/// # Errors
///
/// As [`open`].
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).map_err(Error::io(path))?;
    Ok(bytes)
}

/// The text of a [regular] file of at most [`MOST_SETTINGS`] bytes.
///
/// # Errors
///
/// As [`open`]; [`Error::Data`] if it is larger, or not UTF-8 (with the line).
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("a.toml");
/// std::fs::write(&path, b"[optim]\nname = \"\xff\"")?;
/// let error = hotrow::files::read_settings(&path).unwrap_err();
/// assert!(error.to_string().ends_with("a.toml:2:9: is not UTF-8"), "{error}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_settings(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    open(path)?.take(MOST_SETTINGS + 1).read_to_end(&mut bytes).map_err(Error::io(path))?;
    if bytes.len() as u64 > MOST_SETTINGS {
        return Err(Error::data(path, 0, 0, format!("has more than {MOST_SETTINGS} bytes: is this the right file?")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
        let column = 1 + good.iter().rev().take_while(|&&byte| byte != b'\n').count();
        Error::data(path, line as u64, column as u64, "is not UTF-8")
    })
}
