//! The residual stream that the layers of a block read and add to.

use crate::config::lm::Model;
use crate::config::lm::model::Precision;

/// What a layer has to know of the residual stream that it reads and adds to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Numbers of a token.
    pub width: usize,
    /// Blocks of the network: the more there are, the less each of them adds at first.
    pub depth: usize,
    /// What factors of products are rounded to.
    pub precision: Precision,
}

impl From<&Model> for Stream {
    fn from(model: &Model) -> Self {
        Self { width: model.width, depth: model.layers, precision: model.precision }
    }
}

impl Stream {
    /// Standard deviation of weights with so many inputs: `1 / (2 sqrt(inputs))`, which is GPT-2's 0.02 at width 625.
    pub(super) fn deviation(inputs: usize) -> f32 {
        0.5 / (inputs as f32).sqrt()
    }

    /// The same for weights whose output is added to the stream: divided by `sqrt(2 depth)` (Radford et al. 2019).
    pub(super) fn out_deviation(self, inputs: usize) -> f32 {
        Self::deviation(inputs) / (2.0 * self.depth as f32).sqrt()
    }
}

/// Bytes that a token of a step leaves until the update for `entries` touches of rows, with an output gradient of `width` numbers: a
/// row number and a factor, and those again in the order of rows.
pub(super) fn touch_bytes(entries: usize, width: usize) -> u64 {
    (40 * entries + 4 * width) as u64
}
