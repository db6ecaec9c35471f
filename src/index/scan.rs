//! Walks rows in either storage type, and queries in parallel, for all indexes.

use std::cell::Cell;

use rayon::prelude::*;

use super::{Rows, WeightsRef};
use crate::kernels::rows::rows_dot;
use crate::kernels::{MatRef, RowIds, Weight};
use crate::ragged::Ragged;
use crate::scratch::lend;

/// Queries in one piece of parallel work: enough to pay for handing it out, and few enough to spread a small batch.
const QUERIES: usize = 8;

/// Runs an expression with the weights as a `MatRef`, in whichever type they are stored.
macro_rules! with_weights {
    ($weights:expr, $w:ident => $body:expr) => {
        match $weights {
            $crate::index::WeightsRef::F32($w) => $body,
            $crate::index::WeightsRef::Bf16($w) => $body,
        }
    };
}
pub(super) use with_weights;

/// `out[a] = <weights[ids[a]], query> + biases[ids[a]]`.
///
/// # Panics
///
/// If an id is not below the number of rows.
#[track_caller]
pub(super) fn scores(rows: &Rows, query: &[f32], ids: &[u32], out: &mut [f32]) {
    let active = RowIds::new(ids, rows.len()).unwrap_or_else(|error| panic!("rows of the index: {error}"));
    with_weights!(rows.weights, w => rows_dot(rows.level, out, active, w, query));
    for (score, &id) in out.iter_mut().zip(ids) {
        *score += rows.biases[id as usize];
    }
}

/// Writes row `r` and its bias, less `centre` (D + 1), to `out` (D + 1).
pub(super) fn centred(rows: &Rows, r: usize, centre: &[f32], out: &mut [f32]) {
    fn subtract<W: Weight>(row: &[W], centre: &[f32], out: &mut [f32]) {
        for ((out, w), centre) in out.iter_mut().zip(row).zip(centre) {
            *out = w.to_f32() - centre;
        }
    }
    with_weights!(rows.weights, w => subtract(w.row(r), centre, out));
    let dim = rows.dim();
    out[dim] = rows.biases[r] - centre[dim];
}

/// Checks that a matrix has the shape that the index was made for.
///
/// # Panics
///
/// If it has not.
#[track_caller]
pub(super) fn check(rows: &Rows, len: usize, dim: usize) {
    let stored = match rows.weights {
        WeightsRef::F32(w) => w.rows(),
        WeightsRef::Bf16(w) => w.rows(),
    };
    assert_eq!(stored, rows.len(), "weights and biases differ in rows");
    assert!(
        (rows.len(), rows.dim()) == (len, dim),
        "{} rows of {} for an index over {len} rows of {dim}",
        rows.len(),
        rows.dim()
    );
}

/// Answers each query: `find(scratch, q, query, out)` writes at most `out.len()` = `k` rows, and returns how many. Each
/// thread keeps one scratch, so answering allocates nothing once warm. The answer may not depend on what the scratch
/// held.
pub(super) fn each_query<S: Default + 'static>(
    queries: MatRef<f32>,
    k: usize,
    scratch: &'static std::thread::LocalKey<Cell<S>>,
    find: impl Fn(&mut S, usize, &[f32], &mut [u32]) -> usize + Sync,
) -> Ragged<u32> {
    if k == 0 {
        return (0..queries.rows()).map(|_| []).collect();
    }
    let (mut found, mut counts) = (vec![0; queries.rows() * k], vec![0; queries.rows()]);
    found.par_chunks_mut(QUERIES * k).zip(counts.par_chunks_mut(QUERIES)).enumerate().for_each(
        |(c, (found, counts))| {
            lend(scratch, |scratch| {
                for (i, (found, count)) in found.chunks_mut(k).zip(counts).enumerate() {
                    let q = c * QUERIES + i;
                    *count = find(scratch, q, queries.row(q), found);
                }
            });
        },
    );
    compact(found, k, &counts)
}

/// Removes the gaps from rows of `k` places of which the first `counts` are in use.
pub(super) fn compact(mut found: Vec<u32>, k: usize, counts: &[usize]) -> Ragged<u32> {
    let (mut offsets, mut end) = (vec![0; counts.len() + 1], 0);
    for (q, &count) in counts.iter().enumerate() {
        found.copy_within(q * k..q * k + count, end);
        end += count;
        offsets[q + 1] = end;
    }
    found.truncate(end);
    Ragged::from_parts(offsets, found).expect("offsets are sums of counts")
}
