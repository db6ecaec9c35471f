//! Readers of gzip and zstd.

use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, BufReader, Read};

pub(super) fn gunzip<'a>(packed: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    Ok(Box::new(Gunzip { member: Some(GzDecoder::new(BufReader::new(packed))), members: 0 }))
}

pub(super) fn unzstd<'a>(packed: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    Ok(Box::new(zstd::stream::read::Decoder::new(packed)?))
}

/// Reads gzip members one after the other. Zeros after a member pad a tape block and mean nothing.
struct Gunzip<R> {
    member: Option<GzDecoder<R>>,
    /// The number of members read to their end.
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

/// `bytes` from the first that is not 0 on, if there is one.
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

#[cfg(test)]
mod tests {
    use super::super::{SKIPPED, unpacked};
    use std::io::{Cursor, Read, Write};

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
}
