//! Data files to samples, as a user calls it.

#[path = "data/cache.rs"]
mod cache;
#[path = "data/faults.rs"]
mod faults;
#[path = "data/formats.rs"]
mod formats;
#[path = "data/kinds.rs"]
mod kinds;
#[path = "data/laws.rs"]
mod laws;
#[path = "data/loader.rs"]
mod loader;
#[path = "data/stream.rs"]
mod stream;
#[path = "data/text.rs"]
mod text;
#[path = "data/unseen.rs"]
mod unseen;

use hotrow::config::{Data, Format};
use hotrow::data::{Batch, Samples};
use std::fs;
use std::io::Write;
use std::path::Path;

/// One sample: labels, then features.
type Sample = (Vec<u32>, Vec<(u32, f32)>);

/// The samples of `batch`.
fn samples(batch: &Batch) -> Vec<Sample> {
    let features = |at| {
        let row = batch.features.row(at);
        row.indices().iter().copied().zip(row.values().iter().copied()).collect()
    };
    (0..batch.len()).map(|at| (batch.labels.row(at).to_vec(), features(at))).collect()
}

/// All samples of a set.
fn all(set: &dyn Samples) -> Vec<Sample> {
    let mut batch = Batch::new(set.features());
    (0..set.len()).for_each(|sample| set.read(sample, &mut batch));
    samples(&batch)
}

/// Options for files of `format`, with text in column 1 or `text` and labels in column 2 or `labels`.
fn options(format: Format) -> Data {
    let (text, label) = if format == Format::Tsv { ("1", "2") } else { ("text", "labels") };
    Data { format, text: text.into(), label: label.into(), hash_size: 1 << 10, ..Data::default() }
}

/// Writes `bytes` to a file in `folder` and returns its path.
fn file(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().into()
}

/// An npz file whose arrays have these headers and bytes.
fn npz(arrays: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, header, content) in arrays {
        archive.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        let len = (header.len() as u16).to_le_bytes();
        archive.write_all(&[b"\x93NUMPY\x01\0", &len[..], header.as_bytes(), content].concat()).unwrap();
    }
    archive.finish().unwrap().into_inner()
}
