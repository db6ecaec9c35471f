//! Pairs of CSR arrays in npz files, as `scipy.sparse.save_npz` and PECOS write them. Both arrays are read side by side
//! as streams, so the files may be larger than memory.

mod csr;
mod npy;

use super::Vocabulary;
use super::input::Input;
use super::records::{Entry, Records, Scratch};
use super::samples::{Limits, Policy, keep};
use super::sink::{Sink, dimensions};
use crate::error::{Error, Result};
use csr::{Archives, Csr};

/// Samples that go to the sink together.
const PIECE: usize = 4096;

/// Reads the features of the first file and the labels of the second. Without a second file there are no labels.
pub(crate) fn fill(
    inputs: &[Input],
    policy: Policy,
    vocabulary: Option<&Vocabulary>,
    sink: &mut impl Sink,
) -> Result<()> {
    let mut archives: Vec<Archives> = inputs.iter().map(Archives::open).collect::<Result<_>>()?;
    let mut arrays = archives.iter_mut().map(Archives::csr);
    let mut features = arrays.next().expect("a source has a file")?;
    let mut labels = arrays.next().transpose()?;
    if labels.is_none() && vocabulary.is_none() {
        return Err(features.wrong("the file of labels is missing: features.npz,labels.npz"));
    }
    let limits = vocabulary.map_or(Limits::NONE, Vocabulary::limits);
    check(&features, "features", limits.features)?;
    if let Some(labels) = &labels {
        check(labels, "labels", limits.labels)?;
        if labels.rows != features.rows {
            return Err(labels.wrong(format!("{} rows of labels for {} of features", labels.rows, features.rows)));
        }
    }
    let shape = (features.columns, labels.as_ref().map_or(0, |labels| labels.columns));
    let (mut scratch, mut out, mut of_row) = (Scratch::default(), Records::default(), Vec::new());
    let mut whole = true;
    for row in 0..features.rows {
        features.row(&mut scratch.features, &mut out.summary.duplicate_features)?;
        out.summary.unknown_features += retain_known(&mut scratch.features, limits.known_features);
        if let Some(labels) = &mut labels {
            labels.row(&mut of_row, &mut out.summary.duplicate_labels)?;
            if let Some(Entry { index, value, .. }) = of_row.iter().find(|entry| entry.value < 0.0) {
                return Err(labels.wrong(format!("row {row}: label {index} has the value {value}, below 0")));
            }
            whole &= of_row.iter().all(|entry| entry.value.fract() == 0.0);
        }
        // A stored 0 is no label.
        of_row.retain(|entry| entry.value != 0.0);
        let unseen = retain_known(&mut of_row, limits.known_labels) as u32;
        scratch.labels.clear();
        scratch.labels.extend(of_row.iter().map(|entry| entry.index));
        let first = out.len();
        keep(policy, &mut scratch, unseen, &mut out)
            .map_err(|fault| features.wrong(format!("row {row}: {}", fault.message)))?;
        out.place(first, row + 1);
        if out.len() == PIECE {
            sink.append(&std::mem::take(&mut out))?;
        }
    }
    sink.append(&out)?;
    features.end()?;
    labels.map_or(Ok(()), Csr::end)?;
    if !whole {
        let note = "the labels have values that are no whole numbers: are the files of features and labels swapped?";
        sink.summary().notes.push(note.to_owned());
    }
    dimensions(vocabulary, sink, Some(shape));
    Ok(())
}

/// Keeps the entries below `limit`. Returns how many it removes.
fn retain_known(entries: &mut Vec<Entry>, limit: u64) -> u64 {
    let before = entries.len();
    entries.retain(|entry| u64::from(entry.index) < limit);
    (before - entries.len()) as u64
}

/// Passes the features below `limit` of each row of the first array to `take`, with the number of others, until it
/// returns false.
pub(crate) fn each_row(input: &Input, limit: u64, mut take: impl FnMut(Vec<Entry>, u64) -> bool) -> Result<()> {
    let mut archives = Archives::open(input)?;
    let mut features = archives.csr()?;
    for _ in 0..features.rows {
        let (mut row, mut twice) = (Vec::new(), 0);
        features.row(&mut row, &mut twice)?;
        let gone = retain_known(&mut row, limit);
        if !take(row, gone) {
            return Ok(());
        }
    }
    features.end()
}

fn check(csr: &Csr, what: &str, limit: u64) -> Result<(), Error> {
    if csr.columns > limit {
        return Err(csr.wrong(format!("{} {what} are more than {limit}", csr.columns)));
    }
    Ok(())
}
