//! Pairs of CSR arrays in npz files, as `scipy.sparse.save_npz` writes them.

use super::Vocabulary;
use super::cache::Writer;
use super::samples::Policy;
use crate::error::{Error, Result};
use std::path::PathBuf;

/// Reads the features of the first file, and the labels of the second.
pub(crate) fn fill(paths: &[PathBuf], _: Policy, _: Option<&Vocabulary>, _: &mut Writer) -> Result<()> {
    Err(Error::data(&paths[0], 0, 0, "arrays cannot be read"))
}
