//! Unpacks bytes by their first few, and recognises files that no reader takes.

#[cfg(feature = "packed")]
mod packed;

use std::io::{self, Cursor, Read};

#[cfg(feature = "packed")]
use packed::{gunzip, unzstd};

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// What follows the first byte (0x50 to 0x5f) of a skippable zstd frame. `pzstd` begins its files with one.
const SKIPPED: [u8; 3] = [0x2a, 0x4d, 0x18];

/// The bytes of `packed`, unpacked if they begin as gzip or zstd does. It first reads only what tells which, so nobody
/// who types the bytes need type more.
pub(crate) fn unpacked<'a>(mut packed: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut start = Vec::with_capacity(4);
    while !is_gzip(&start) && !is_zstd(&start) && may_be_packed(&start) {
        if packed.by_ref().take(1).read_to_end(&mut start)? == 0 {
            break;
        }
    }
    let kind = (is_gzip(&start), is_zstd(&start));
    let whole = Cursor::new(start).chain(packed);
    Ok(match kind {
        (true, _) => gunzip(whole)?,
        (_, true) => unzstd(whole)?,
        _ => Box::new(whole),
    })
}

#[cfg(not(feature = "packed"))]
fn gunzip<'a>(_: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    Err(left_out("gzip"))
}

#[cfg(not(feature = "packed"))]
fn unzstd<'a>(_: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    Err(left_out("zstd"))
}

#[cfg(not(feature = "packed"))]
fn left_out(kind: &str) -> io::Error {
    let message = format!("is packed with {kind}, which this build cannot read: it is without the feature `packed`");
    io::Error::new(io::ErrorKind::Unsupported, message)
}

fn is_gzip(start: &[u8]) -> bool {
    start.starts_with(&GZIP)
}

fn is_zstd(start: &[u8]) -> bool {
    start.starts_with(&ZSTD) || (skips(start) && start.len() >= 4)
}

/// Whether `start` is the beginning of a skippable frame, as far as it goes.
fn skips(start: &[u8]) -> bool {
    match start.split_first() {
        Some((0x50..=0x5f, rest)) => SKIPPED.starts_with(&rest[..rest.len().min(3)]),
        Some(_) => false,
        None => true,
    }
}

fn may_be_packed(start: &[u8]) -> bool {
    GZIP.starts_with(start) || ZSTD.starts_with(start) || skips(start)
}

/// How files that no reader takes begin, and what they are.
const OTHERS: [(&[u8], &str); 11] = [
    (b"\x93NUMPY", "a .npy file with one dense array; arrays are read from scipy.sparse.save_npz"),
    (b"PK\x03\x04", "a .zip archive; only the arrays of scipy.sparse.save_npz are read from one (data.format=npz)"),
    (b"\xfd7zXZ\0", "packed with xz; unpack it, or pack it with gzip or zstd"),
    (b"BZh", "packed with bzip2; unpack it, or pack it with gzip or zstd"),
    (b"\x04\x22\x4d\x18", "packed with lz4; unpack it, or pack it with gzip or zstd"),
    (b"7z\xbc\xaf\x27\x1c", "a .7z archive; unpack it"),
    (b"\xff\xfe", "UTF-16; convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)"),
    (b"\xfe\xff", "UTF-16; convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)"),
    (b"PAR1", "a Parquet file; write it as JSON lines or tsv"),
    (b"ARROW1", "an Arrow file; write it as JSON lines or tsv"),
    (b"__label__", "a fastText file; put text and labels into two columns of a tsv file"),
];

/// What a file of lines is by its first line, if it is none that can be read.
pub(crate) fn other_kind(line: &[u8]) -> Option<&'static str> {
    OTHERS.iter().find(|(start, _)| line.starts_with(start)).map(|&(_, what)| what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_begins_like_a_magic_number_is_text() {
        for text in ["", "P", "P*", "P*M", "P*M?", "(", "_", "\u{1f}", "Z\n"] {
            let mut read = String::new();
            unpacked(Cursor::new(text.to_owned())).unwrap().read_to_string(&mut read).unwrap();
            assert_eq!(read, text);
        }
    }

    #[cfg(not(feature = "packed"))]
    #[test]
    fn packed_bytes_are_refused_with_the_name_of_the_feature() {
        let skipped = b"\x5f\x2a\x4d\x18\0\0\0\0";
        for (start, kind) in [(&GZIP[..], "gzip"), (&ZSTD[..], "zstd"), (&skipped[..], "zstd")] {
            let error = unpacked(Cursor::new(start.to_vec())).err().unwrap().to_string();
            assert!(error.contains(kind) && error.contains("feature `packed`"), "{error}");
        }
    }
}
