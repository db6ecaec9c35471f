//! Pairs of CSR arrays in npz files, as `scipy.sparse.save_npz` writes them and PECOS uses them.
//!
//! The arrays are read side by side as streams: the files may be larger than memory.

mod csr;

use super::Vocabulary;
use super::input::Input;
use super::open::dimensions;
use super::records::{Records, Scratch};
use super::samples::{Limits, Policy, keep};
use super::sink::Sink;
use crate::error::{Error, Result};
use csr::{Archives, Csr};

/// Samples that are handed on together.
const PIECE: usize = 4096;

/// Reads the features of the first file, and the labels of the second; without a second, there are none.
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
    let known = (features.columns, labels.as_ref().map_or(0, |labels| labels.columns));
    let (mut scratch, mut out, mut of_row) = (Scratch::default(), Records::default(), Vec::new());
    for row in 0..features.rows {
        features.row(&mut scratch.features)?;
        if let Some(labels) = &mut labels {
            labels.row(&mut of_row)?;
        }
        scratch.labels.clear();
        // A stored 0 is no label.
        scratch.labels.extend(of_row.iter().filter(|entry| entry.value != 0.0).map(|entry| entry.index));
        keep(policy, &mut scratch, &mut out)
            .map_err(|fault| features.wrong(format!("row {row}: {}", fault.message)))?;
        if out.len() == PIECE {
            sink.append(&std::mem::take(&mut out))?;
        }
    }
    sink.append(&out)?;
    features.end()?;
    labels.map_or(Ok(()), Csr::end)?;
    dimensions(vocabulary, sink, Some(known));
    Ok(())
}

fn check(csr: &Csr, what: &str, limit: u64) -> Result<(), Error> {
    if csr.columns > limit {
        return Err(csr.wrong(format!("{} {what} are more than {limit}", csr.columns)));
    }
    Ok(())
}
