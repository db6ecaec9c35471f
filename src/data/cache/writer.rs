//! Writes a cache while its samples are being read: memory stays small however large the file.

use super::{Cache, HEADER, Header, Meta};
use crate::data::records::Records;
use crate::error::{Error, Result};
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Files that vanish unless they are renamed.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // Nobody to tell: the failure that led here is the one to report.
        let _ = fs::remove_file(&self.0);
    }
}

/// A cache that is being written, under a name of its own.
pub(crate) struct Writer {
    path: PathBuf,
    key: u128,
    records: BufWriter<File>,
    table: BufWriter<File>,
    temporary: [Temporary; 2],
    digests: [Xxh3; 2],
    words: u64,
    meta: Meta,
}

impl Writer {
    pub fn create(path: &Path, key: u128) -> Result<Self> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let unique = format!("{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let temporary =
            ["records", "table"].map(|part| Temporary(path.with_file_name(format!("{name}.{unique}.{part}"))));
        let create = |at: &Temporary| -> Result<_> {
            let options = File::options().read(true).write(true).create(true).truncate(true).open(&at.0);
            Ok(BufWriter::with_capacity(1 << 20, options.map_err(Error::io(&at.0))?))
        };
        let (records, table) = (create(&temporary[0])?, create(&temporary[1])?);
        let digests = [Xxh3::new(), Xxh3::new()];
        let mut writer =
            Self { path: path.to_path_buf(), key, records, table, temporary, digests, words: 0, meta: Meta::default() };
        let zeros = [0; HEADER * 8];
        writer.records.write_all(&zeros).map_err(Error::io(path))?;
        writer.place(&[0])?;
        Ok(writer)
    }

    /// Adds samples.
    pub fn append(&mut self, records: &Records) -> Result<()> {
        let bytes = bytemuck::cast_slice(&records.words);
        self.records.write_all(bytes).map_err(Error::io(&self.path))?;
        self.digests[0].update(bytes);
        let ends: Vec<u64> = records.ends.iter().map(|end| self.words + end).collect();
        self.place(&ends)?;
        self.words += records.words.len() as u64;
        self.meta.summary.add(&records.summary);
        Ok(())
    }

    fn place(&mut self, ends: &[u64]) -> Result<()> {
        let bytes = bytemuck::cast_slice(ends);
        self.digests[1].update(bytes);
        self.table.write_all(bytes).map_err(Error::io(&self.path))
    }

    /// What has been added.
    pub fn summary(&mut self) -> &mut crate::data::Summary {
        &mut self.meta.summary
    }

    /// Completes the file, gives it its name and opens it.
    pub fn finish(mut self, names: Option<Vec<String>>) -> Result<Cache> {
        self.meta.names = names;
        self.complete().map_err(Error::io(&self.path))?;
        fs::rename(&self.temporary[0].0, &self.path).map_err(Error::io(&self.path))?;
        Cache::open(&self.path, self.key).map_err(|message| Error::data(&self.path, 0, 0, message))
    }

    fn complete(&mut self) -> io::Result<()> {
        if self.words % 2 == 1 {
            self.records.write_all(&[0; 4])?;
            self.digests[0].update(&[0; 4]);
        }
        self.table.flush()?;
        self.table.get_mut().seek(SeekFrom::Start(0))?;
        io::copy(self.table.get_mut(), &mut self.records)?;
        let meta = serde_json::to_vec(&self.meta)?;
        self.records.write_all(&meta)?;
        let header = Header {
            key: self.key,
            samples: self.meta.summary.samples,
            words: self.words,
            features: self.meta.summary.features,
            labels: self.meta.summary.labels,
            records_digest: self.digests[0].digest(),
            table_digest: self.digests[1].digest(),
            meta_bytes: meta.len() as u64,
            meta_digest: xxh3_64(&meta),
        };
        self.records.seek(SeekFrom::Start(0))?;
        self.records.write_all(bytemuck::cast_slice(&header.words()))?;
        self.records.flush()?;
        self.records.get_ref().sync_all()
    }
}
