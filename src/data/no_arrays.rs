//! Stands in for `npz` in builds without the feature `arrays`: it refuses every array.

use std::path::Path;

use super::Vocabulary;
use super::input::Input;
use super::records::Entry;
use super::samples::Policy;
use super::sink::Sink;
use crate::error::{Error, Result};

pub(crate) fn fill(
    inputs: &[Input],
    _policy: Policy,
    _vocabulary: Option<&Vocabulary>,
    _sink: &mut impl Sink,
) -> Result<()> {
    refuse(inputs[0].path())
}

pub(crate) fn each_row(input: &Input, _limit: u64, _take: impl FnMut(Vec<Entry>, u64) -> bool) -> Result<()> {
    refuse(input.path())
}

fn refuse(path: &Path) -> Result<()> {
    Err(Error::data(path, 0, 0, "holds arrays, which this build cannot read: it is without the feature `arrays`"))
}
