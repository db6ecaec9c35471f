//! Packing of active rows and of samples, in pieces of fixed size that threads share.

use std::cell::Cell;
use std::ops::Range;

use rayon::prelude::*;

use crate::kernels::gemm::{Operand, PackedPanel, Precision};
use crate::kernels::{Level, MatRef, RowIds, Weight};
use crate::optim::RowSet;

/// Samples of one piece of work: tall enough for the micro-kernel, small enough that a batch of 256 makes eight.
pub(super) const SAMPLES: usize = 32;

/// Rows that are packed as one panel: 512 rows of 128 numbers fit the second-level cache with what is multiplied by them.
const PANEL_ROWS: usize = 512;

/// Panels that are packed before they are multiplied: bounds the memory of a dense layer with very many rows.
const PANELS: usize = 32;

thread_local! {
    /// The left factor of a product of this thread.
    pub(super) static LEFT: Cell<PackedPanel> = Cell::default();
}

/// How rows become a right factor.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Side {
    /// (rows, D).
    Plain,
    /// (D, rows).
    Transposed,
}

/// Positions that are packed and multiplied one group after the other.
pub(super) fn groups(positions: usize) -> impl Iterator<Item = Range<usize>> {
    pieces(0..positions, PANELS * PANEL_ROWS)
}

/// The positions of each panel of a group.
pub(super) fn blocks(group: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    pieces(group, PANEL_ROWS)
}

/// The samples of each piece of work.
pub(super) fn samples(count: usize) -> impl Iterator<Item = Range<usize>> {
    pieces(0..count, SAMPLES)
}

fn pieces(range: Range<usize>, length: usize) -> impl Iterator<Item = Range<usize>> {
    range.clone().step_by(length).map(move |from| from..range.end.min(from + length))
}

/// Packs the rows at the positions `group`, a panel for each block.
pub(super) fn pack_rows<W: Weight + Sync>(
    panels: &mut Vec<PackedPanel>,
    level: Level,
    precision: Precision,
    w: MatRef<W>,
    active: RowSet,
    group: Range<usize>,
    side: Side,
) {
    let blocks: Vec<Range<usize>> = blocks(group).collect();
    panels.resize_with(blocks.len().max(panels.len()), PackedPanel::new);
    panels.par_iter_mut().zip(blocks).for_each(|(panel, block)| {
        let all: Vec<u32>;
        let rows = match active {
            RowSet::Some(ids) => &ids.as_slice()[block],
            RowSet::All(_) => {
                all = (block.start as u32..block.end as u32).collect();
                &all
            }
        };
        let rows = RowIds::new(rows, w.rows()).expect("active rows are below the number of rows");
        let factor = Operand::gathered(w, rows);
        panel.pack_right(level, precision, if side == Side::Plain { factor } else { factor.transposed() });
    });
}

/// Packs `x` as left factors, one for each piece of samples.
pub(super) fn pack_samples(panels: &mut Vec<PackedPanel>, level: Level, precision: Precision, x: MatRef<f32>) {
    let pieces: Vec<Range<usize>> = samples(x.rows()).collect();
    panels.resize_with(pieces.len().max(panels.len()), PackedPanel::new);
    panels.par_iter_mut().zip(pieces).for_each(|(panel, piece)| {
        panel.pack_left(level, precision, Operand::new(x.window(piece, 0..x.cols())));
    });
}
