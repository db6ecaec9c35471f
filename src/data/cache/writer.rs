//! Writes a cache while its samples are being read, in little memory.

use super::{Cache, HEADER, Header, Meta};
use crate::data::records::Records;
use crate::error::{Error, Result};
use crate::files::{self, Rollback, Temporary};
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// A cache that is being written, under a temporary name or without one.
pub(crate) struct Writer {
    /// The path in errors.
    path: PathBuf,
    key: u128,
    records: BufWriter<File>,
    table: BufWriter<File>,
    /// Dropped before the folder that was made for it.
    named: Option<Temporary>,
    made: Option<Rollback>,
    digests: [Xxh3; 2],
    words: u64,
    meta: Meta,
}

impl Writer {
    /// Creates the cache `name` in `folder`, which is made if needed.
    pub fn create(folder: &Path, name: &str, key: u128) -> Result<Self> {
        let made = Rollback::folder(folder)?;
        let path = folder.join(name);
        let named = Temporary::file(&path)?;
        let records = named.handle().try_clone().map_err(Error::io(&path))?;
        Self::new(path, key, [records, files::anonymous(folder)?], Some(named), Some(made))
    }

    /// Creates a cache in an unnamed file of `folder`. It vanishes with the cache that [`finish`](Self::finish)
    /// returns.
    pub fn unkept(folder: &Path, key: u128) -> Result<Self> {
        Self::new(folder.to_owned(), key, [files::anonymous(folder)?, files::anonymous(folder)?], None, None)
    }

    fn new(
        path: PathBuf,
        key: u128,
        [records, table]: [File; 2],
        named: Option<Temporary>,
        made: Option<Rollback>,
    ) -> Result<Self> {
        let [records, table] = [records, table].map(|file| BufWriter::with_capacity(1 << 20, file));
        let (digests, meta) = ([Xxh3::new(), Xxh3::new()], Meta::default());
        let mut writer = Self { path, key, records, table, named, made, digests, words: 0, meta };
        writer.records.write_all(&[0; HEADER * 8]).map_err(Error::io(&writer.path))?;
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

    /// The counts of what was added.
    pub fn summary(&mut self) -> &mut crate::data::Summary {
        &mut self.meta.summary
    }

    /// Completes the file, opens it, and gives it its name, if it gets one.
    pub fn finish(mut self, names: Option<Vec<String>>) -> Result<Cache> {
        self.meta.names = names;
        self.complete().map_err(Error::io(&self.path))?;
        // From here on nobody writes to the file. It is opened by its handle: the name may belong to another program's
        // file a moment later.
        let cache = Cache::of_file(self.records.get_ref(), self.key);
        let cache = cache.map_err(|message| Error::data(&self.path, 0, 0, message))?;
        match self.named.map(|named| named.persist(&self.path)) {
            None => {}
            Some(Ok(())) => self.made.into_iter().for_each(Rollback::keep),
            Some(Err(Error::Interrupted)) => return Err(Error::Interrupted),
            // This program can use a cache without a name as well.
            Some(Err(_)) => {}
        }
        Ok(cache)
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
