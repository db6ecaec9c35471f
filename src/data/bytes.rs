//! Readers of bytes in memory: for small data, tests and fuzzing.

use super::cache::Cache;
use super::input::Input;
use super::records::{Record, Records};
use super::{Batch, Summary, fill, lines, source};
use crate::config::{self, Format};
use crate::error::{Error, Result};
use std::path::Path;

/// Reads a training set from the bytes of a file, or of the two files of a pair. Values are those of the file: neither
/// TF-IDF nor scaling applies.
///
/// # Errors
///
/// As [`super::open`]. The file is called `input`.
///
/// ```
/// use hotrow::{config::Data, data::read_bytes};
/// let (batch, summary) = read_bytes(&[b"2 5 3\n0,2 1:0.5 4:1\n1 0:2\n"], &Data::default())?;
/// assert_eq!(batch.labels.row(0), &[0, 2]);
/// assert_eq!(batch.features.row(0).indices(), &[1, 4]);
/// assert_eq!((summary.samples, summary.features, summary.labels), (2, 5, 3));
/// # Ok::<(), hotrow::error::Error>(())
/// ```
pub fn read_bytes(files: &[&[u8]], config: &config::Data) -> Result<(Batch, Summary)> {
    let inputs: Vec<Input> = files.iter().map(|bytes| Input::Bytes(bytes)).collect();
    let wanted = if matches!(config.format, Format::Npz | Format::Xc) { 2 } else { 1 };
    if inputs.len() > 2 || inputs.is_empty() || (inputs.len() == 2 && wanted == 1 && config.format != Format::Auto) {
        return Err(Error::data("input", 0, 0, format!("{} files, not {wanted}", inputs.len())));
    }
    let format = match config.format {
        Format::Auto => source::by_first_line(inputs[0], config)?,
        format => format,
    };
    let mut records = Records::default();
    fill::fill(&inputs, format, config, None, &mut records)?;
    lines::not_empty(Path::new("input"), &records.summary)?;
    let samples = (0..records.len()).map(|at| records.get(at));
    Ok((batch(records.summary.features as usize, samples), records.summary.clone()))
}

/// All samples of a cache from its bytes. Digests are not checked; everything else is.
///
/// # Errors
///
/// If the bytes are not those of a whole cache.
///
/// ```
/// let error = hotrow::data::read_cache(b"something else").unwrap_err();
/// assert_eq!(error.to_string(), "input: is shorter than its header");
/// ```
pub fn read_cache(bytes: &[u8]) -> Result<Batch> {
    let cache = Cache::from_bytes(bytes).map_err(|message| Error::data("input", 0, 0, message))?;
    Ok(batch(cache.features(), (0..cache.len()).map(|at| cache.get(at))))
}

fn batch<'a>(features: usize, samples: impl Iterator<Item = Record<'a>>) -> Batch {
    let mut batch = Batch::new(features);
    for sample in samples {
        batch.features.push(sample.indices, sample.values).expect("ids were checked when they were read");
        batch.labels.push(sample.labels.iter().copied());
        batch.set_unseen(sample.unseen);
    }
    batch
}
