//! Packed bytes, told by how they begin, and what else a file may turn out to be.

use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, BufReader, Cursor, Read};

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// What follows the first byte (0x50 to 0x5f) of a frame of zstd that is to be skipped. `pzstd` begins its files with one.
const SKIPPED: [u8; 3] = [0x2a, 0x4d, 0x18];

/// The bytes of `packed`, unpacked if they begin like gzip or zstd.
///
/// No more is read at the start than tells which: whoever types the bytes need not type more.
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
        (true, _) => Box::new(Gunzip { member: Some(GzDecoder::new(BufReader::new(whole))), members: 0 }),
        (_, true) => Box::new(zstd::stream::read::Decoder::new(whole)?),
        _ => Box::new(whole),
    })
}

fn is_gzip(start: &[u8]) -> bool {
    start.starts_with(&GZIP)
}

fn is_zstd(start: &[u8]) -> bool {
    start.starts_with(&ZSTD) || (skips(start) && start.len() >= 4)
}

/// Whether `start` is the beginning of a frame to be skipped, as far as it goes.
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

/// Members of gzip one behind the other; zeros after one of them fill up a block of a tape and mean nothing.
struct Gunzip<R> {
    member: Option<GzDecoder<R>>,
    /// Members that are read to their end.
    members: u64,
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let count = member.read(buffer).map_err(|error| match (self.members, error.kind()) {
                (1.., io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof) => {
                    io::Error::new(error.kind(), "what follows the packed bytes is not gzip, or is cut off")
                }
                _ => error,
            })?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let rest = self.member.take().map(GzDecoder::into_inner);
            self.member = rest.map(behind_zeros).transpose()?.flatten().map(GzDecoder::new);
            self.members += 1;
        }
        Ok(0)
    }
}

/// `bytes` at the first that is not 0, if there is one.
fn behind_zeros<R: BufRead>(mut bytes: R) -> io::Result<Option<R>> {
    loop {
        let some = bytes.fill_buf()?;
        let (zeros, all) = (some.iter().take_while(|&&byte| byte == 0).count(), some.len());
        if all == 0 {
            return Ok(None);
        }
        bytes.consume(zeros);
        if zeros < all {
            return Ok(Some(bytes));
        }
    }
}

/// Beginnings of files that no reader here takes, and what they are.
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

/// What a file of lines turns out to be by its first line, if it is none that can be read.
pub(crate) fn other_kind(line: &[u8]) -> Option<&'static str> {
    OTHERS.iter().find(|(start, _)| line.starts_with(start)).map(|&(_, what)| what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn all(bytes: Vec<u8>) -> String {
        let mut text = String::new();
        unpacked(Cursor::new(bytes)).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(text.as_bytes()).unwrap();
        packed.finish().unwrap()
    }

    #[test]
    fn frames_to_be_skipped_may_begin_a_file_of_zstd_and_stand_between_others() {
        let frame = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
        for kind in 0x50..=0x5f {
            let skipped = [&[kind][..], &SKIPPED, &[3, 0, 0, 0], b"any"].concat();
            let file = [&skipped[..], &frame("one\n"), &skipped, &frame("two\n")].concat();
            assert_eq!(all(file), "one\ntwo\n", "{kind:x}");
        }
    }

    #[test]
    fn zeros_behind_gzip_are_padding_and_members_behind_them_are_read() {
        let zeros = vec![0; 20_000];
        assert_eq!(all([gzip("one\n"), zeros.clone()].concat()), "one\n");
        assert_eq!(all([gzip("one\n"), zeros.clone(), gzip("two\n"), zeros].concat()), "one\ntwo\n");
        let mut text = String::new();
        let garbage = [gzip("one\n"), b"more".to_vec()].concat();
        let error = unpacked(Cursor::new(garbage)).unwrap().read_to_string(&mut text).unwrap_err().to_string();
        assert_eq!(error, "what follows the packed bytes is not gzip, or is cut off");
    }

    #[test]
    fn text_that_begins_like_a_magic_number_is_text() {
        for text in ["", "P", "P*", "P*M", "P*M?", "(", "_", "\u{1f}", "Z\n"] {
            assert_eq!(all(text.into()), text);
        }
    }
}
