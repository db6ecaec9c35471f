//! The rows with the largest scores, found by computing all scores.

use std::cell::Cell;

use rayon::prelude::*;

use super::scan::{check, compact, with_weights};
use super::{Index, Rows};
use crate::flops::Meter;
use crate::kernels::gemm::{GemmScratch, Operand, Output, Precision, gemm};
use crate::kernels::reduce::top_k;
use crate::kernels::{MatMut, MatRef, RowIds, Weight};
use crate::ragged::Ragged;
use crate::scratch::lend;

/// Rows scored at a time. Their scores for [`QUERIES`] queries (1 MiB) are still in the second-level cache when the
/// best are picked.
const BLOCK: usize = 1024;

/// Rows in one piece of parallel work. It is large because each piece leaves `k` candidates a query to be merged.
const SEGMENT: usize = 16 * BLOCK;

/// Queries answered at a time.
const QUERIES: usize = 256;

/// An oracle: the `k` largest of all scores, at the cost of computing all. The lower row wins a tie; NaN scores come
/// last.
///
/// ```
/// use hotrow::index::{ExactTopK, Index, Rows, WeightsRef};
/// use hotrow::kernels::{Level, MatRef};
/// let weights = MatRef::new(&[1.0, 0.0, 0.0, 1.0, 2.0, 0.0], 3, 2);
/// let rows = Rows { weights: WeightsRef::F32(weights), biases: &[0.0; 3], level: Level::detect() };
/// let found = ExactTopK::default().select(&rows, MatRef::new(&[1.0, 0.5], 1, 2), 2, 0);
/// assert_eq!(found.row(0), &[2, 0]);
/// ```
#[derive(Debug, Default)]
pub struct ExactTopK {
    meter: Meter,
}

#[derive(Debug, Default)]
struct Scratch {
    panels: GemmScratch,
    scores: Vec<f32>,
    ids: Vec<u32>,
    line: Vec<f32>,
    found: Vec<u32>,
    values: Vec<f32>,
}

thread_local! {
    static SCRATCH: Cell<Scratch> = Cell::default();
}

/// The best of a segment; `ids` and `values` are (queries, k).
struct Best {
    ids: Vec<u32>,
    values: Vec<f32>,
}

/// The best `k` of the rows `from..to` for each query. There are at least `k` rows.
fn best_of_segment<W: Weight>(
    rows: &Rows,
    w: MatRef<W>,
    queries: MatRef<f32>,
    k: usize,
    from: usize,
    to: usize,
    scratch: &mut Scratch,
) -> Best {
    let count = queries.rows();
    let (mut best, mut held) = (Best { ids: vec![0; count * k], values: vec![0.0; count * k] }, 0);
    let Scratch { panels, scores, ids, line, found, values } = scratch;
    panels.left.pack_left(rows.level, Precision::F32, Operand::new(queries));
    for start in (from..to).step_by(BLOCK) {
        let len = BLOCK.min(to - start);
        ids.clear();
        ids.extend(start as u32..(start + len) as u32);
        let part = RowIds::new(ids, w.rows()).expect("the segment is part of the rows");
        panels.right.pack_right(rows.level, Precision::F32, Operand::gathered(w, part).transposed());
        scores.resize(count * BLOCK, 0.0);
        let out = Output::new(MatMut::new(&mut scores[..count * len], count, len));
        gemm(rows.level, out, &panels.left, &panels.right);
        let next = k.min(held + len);
        found.resize(next, 0);
        values.resize(next, 0.0);
        for (q, scores) in scores[..count * len].chunks(len).enumerate() {
            let (best_ids, best_values) = (&mut best.ids[q * k..][..k], &mut best.values[q * k..][..k]);
            line.clear();
            line.extend(&best_values[..held]);
            line.extend(scores.iter().zip(&rows.biases[start..]).map(|(score, bias)| score + bias));
            top_k(rows.level, line, found, values);
            for place in found.iter_mut() {
                let at = *place as usize;
                *place = if at < held { best_ids[at] } else { (start + at - held) as u32 };
            }
            best_ids[..next].copy_from_slice(found);
            best_values[..next].copy_from_slice(values);
        }
        held = next;
    }
    best
}

impl Index for ExactTopK {
    fn name(&self) -> &'static str {
        "exact"
    }

    fn follows_weights(&self) -> bool {
        false
    }

    fn select(&self, rows: &Rows, queries: MatRef<f32>, k: usize, _: u64) -> Ragged<u32> {
        check(rows, rows.len(), queries.cols());
        let k = k.min(rows.len());
        let segments = rows.len().div_ceil(SEGMENT);
        self.meter.add(2 * queries.rows() * queries.cols() * rows.len());
        let mut all = vec![0; queries.rows() * k];
        for first in (0..if k == 0 { 0 } else { queries.rows() }).step_by(QUERIES) {
            let count = QUERIES.min(queries.rows() - first);
            let chunk: Vec<f32> = (first..first + count).flat_map(|q| queries.row(q)).copied().collect();
            let chunk = MatRef::new(&chunk, count, queries.cols());
            let best = |segment: usize| {
                let (from, to) = (segment * SEGMENT, rows.len().min((segment + 1) * SEGMENT));
                let held = k.min(to - from);
                lend(&SCRATCH, |scratch| {
                    let best =
                        with_weights!(rows.weights, w => best_of_segment(rows, w, chunk, held, from, to, scratch));
                    (held, best)
                })
            };
            let best: Vec<(usize, Best)> = (0..segments).into_par_iter().map(best).collect();
            // Segments come in the order of their rows, so of equal scores the lower row comes first.
            all[first * k..][..count * k].par_chunks_mut(k).enumerate().for_each(|(q, out)| {
                let row = |part: &(usize, Best)| q * part.0..(q + 1) * part.0;
                let ids: Vec<u32> = best.iter().flat_map(|part| &part.1.ids[row(part)]).copied().collect();
                let values: Vec<f32> = best.iter().flat_map(|part| &part.1.values[row(part)]).copied().collect();
                top_k(rows.level, &values, out, &mut vec![0.0; k]);
                out.iter_mut().for_each(|place| *place = ids[*place as usize]);
            });
        }
        compact(all, k, &vec![k; queries.rows()])
    }

    fn flops(&self) -> u64 {
        self.meter.total()
    }
}
