//! Caches: parsed samples in a memory-mapped file. It opens at once and may be larger than memory.
//!
//! ```text
//! header   (16 u64)   magic, version, key, counts, digests of the parts, digest of the header
//! records  (u32)      the samples, one behind the other (see `records`), padded to a multiple of 8 bytes
//! table    (u64)      samples + 1 places in `records`, in words
//! meta     (JSON)     summary, label names
//! ```
//!
//! Numbers are in the machine's byte order. On a machine of the other order the magic number differs, and the cache is
//! made again.

mod identity;
mod shelf;
mod writer;

use super::map::{Bytes, map};
use super::records::Record;
use super::summary::Summary;
use crate::files;
pub(crate) use identity::Identity;
use serde::{Deserialize, Serialize};
pub(crate) use shelf::Shelf;
use std::fs::File;
use std::path::Path;
pub(crate) use writer::Writer;
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: u64 = u64::from_le_bytes(*b"hotrow\0d");
/// Raise it with every change of the layout, of parsing or of feature hashing.
const VERSION: u64 = 2;
/// u64 words of the header.
const HEADER: usize = 16;
/// Up to this size, opening a cache checks every record, in tenths of a second. Above it, only the header, the lengths
/// and the table are checked.
const FULL_CHECK: usize = 1 << 30;

/// The header.
#[derive(Clone, Copy, Debug)]
struct Header {
    key: u128,
    samples: u64,
    /// u32 words of the records, without the padding.
    words: u64,
    features: u64,
    labels: u64,
    records_digest: u64,
    table_digest: u64,
    meta_bytes: u64,
    meta_digest: u64,
}

impl Header {
    fn words(&self) -> [u64; HEADER] {
        let mut words = [0; HEADER];
        words[..12].copy_from_slice(&[
            MAGIC,
            VERSION,
            self.key as u64,
            (self.key >> 64) as u64,
            self.samples,
            self.words,
            self.features,
            self.labels,
            self.records_digest,
            self.table_digest,
            self.meta_bytes,
            self.meta_digest,
        ]);
        words[HEADER - 1] = xxh3_64(bytemuck::cast_slice(&words[..HEADER - 1]));
        words
    }

    /// Bytes of the records, with the padding.
    fn padded_bytes(&self) -> u64 {
        self.words.div_ceil(2).saturating_mul(8)
    }

    fn table_bytes(&self) -> u64 {
        self.samples.saturating_add(1).saturating_mul(8)
    }

    fn read(bytes: &[u8], digest: bool) -> Result<Self, String> {
        let bytes = bytes.get(..HEADER * 8).ok_or("is shorter than its header")?;
        let words: [u64; HEADER] = bytemuck::pod_read_unaligned(bytes);
        if words[..2] != [MAGIC, VERSION] {
            return Err("is not a cache of this version".into());
        }
        if digest && words[HEADER - 1] != xxh3_64(&bytes[..(HEADER - 1) * 8]) {
            return Err("has a damaged header".into());
        }
        Ok(Self {
            key: u128::from(words[2]) | u128::from(words[3]) << 64,
            samples: words[4],
            words: words[5],
            features: words[6],
            labels: words[7],
            records_digest: words[8],
            table_digest: words[9],
            meta_bytes: words[10],
            meta_digest: words[11],
        })
    }
}

/// What is not needed to read a sample.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub summary: Summary,
    /// The labels' names, if the file names them.
    pub names: Option<Vec<String>>,
}

/// The samples of a file.
#[derive(Debug)]
pub(crate) struct Cache {
    bytes: Bytes,
    header: Header,
    pub meta: Meta,
}

impl Cache {
    /// Opens the cache at `path`, or says why it cannot be used.
    pub fn open(path: &Path, key: u128) -> Result<Self, String> {
        Self::of_file(&files::open(path).map_err(|error| error.to_string())?, key)
    }

    fn of_file(file: &File, key: u128) -> Result<Self, String> {
        let map = map(file).map_err(|error| error.to_string())?;
        let full = map.len() <= FULL_CHECK;
        Self::checked(Bytes::Map(map), Some(key), full)
    }

    /// A cache from untrusted bytes. Digests are not checked; everything else is.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        Self::checked(Bytes::copy(bytes), None, true)
    }

    fn checked(bytes: Bytes, key: Option<u128>, full: bool) -> Result<Self, String> {
        let header = Header::read(bytes.all(), key.is_some())?;
        if key.is_some_and(|key| key != header.key) {
            return Err("is of another file or of other options".into());
        }
        let lengths = [HEADER as u64 * 8, header.padded_bytes(), header.table_bytes()];
        let meta_start = lengths.iter().fold(0_u64, |sum, &length| sum.saturating_add(length));
        let end = meta_start.saturating_add(header.meta_bytes);
        if end != bytes.all().len() as u64 {
            return Err(format!("has {} bytes, not the {end} of its header", bytes.all().len()));
        }
        let meta_bytes = &bytes.all()[meta_start as usize..];
        if xxh3_64(meta_bytes) != header.meta_digest && key.is_some() {
            return Err("has damaged meta data".into());
        }
        let meta = serde_json::from_slice(meta_bytes).map_err(|error| format!("has damaged meta data: {error}"))?;
        let cache = Self { bytes, header, meta };
        cache.check(key.is_some(), full)?;
        Ok(cache)
    }

    fn check(&self, digests: bool, full: bool) -> Result<(), String> {
        let (table, header) = (self.table(), &self.header);
        if digests && xxh3_64(bytemuck::cast_slice(table)) != header.table_digest {
            return Err("has a damaged table".into());
        }
        if table[0] != 0 || !table.is_sorted() || table.last() != Some(&header.words) {
            return Err("has a damaged table".into());
        }
        if self.meta.names.as_ref().is_some_and(|names| names.len() as u64 != header.labels) {
            return Err("has not one name for each label".into());
        }
        if full {
            let table_start = HEADER * 8 + header.padded_bytes() as usize;
            if digests && xxh3_64(&self.bytes.all()[HEADER * 8..table_start]) != header.records_digest {
                return Err("has damaged records".into());
            }
            let sound = |at| self.try_get(at).is_some_and(|record| record.is_sound(header.features, header.labels));
            if let Some(at) = (0..self.len()).find(|&at| !sound(at)) {
                return Err(format!("has a damaged record, {at}"));
            }
        }
        Ok(())
    }

    fn records(&self) -> &[u32] {
        bytemuck::cast_slice(&self.bytes.all()[HEADER * 8..][..self.header.words as usize * 4])
    }

    fn table(&self) -> &[u64] {
        let start = HEADER * 8 + self.header.padded_bytes() as usize;
        bytemuck::cast_slice(&self.bytes.all()[start..][..self.header.table_bytes() as usize])
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.header.samples as usize
    }

    /// Length of the feature vectors.
    pub fn features(&self) -> usize {
        self.header.features as usize
    }

    /// Number of labels.
    pub fn labels(&self) -> usize {
        self.header.labels as usize
    }

    /// The hash of the samples.
    pub fn digest(&self) -> u64 {
        self.header.records_digest
    }

    /// Sample `at`.
    #[track_caller]
    pub fn get(&self, at: usize) -> Record<'_> {
        assert!(at < self.len(), "sample {at} is not below {}", self.len());
        self.try_get(at).expect("the cache file is as it was written")
    }

    fn try_get(&self, at: usize) -> Option<Record<'_>> {
        let table = self.table();
        Record::new(self.records().get(table[at] as usize..table[at + 1] as usize)?)
    }
}
