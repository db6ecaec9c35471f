//! One head over one sequence, in blocks of queries and keys: scores exist for one block at a time (Dao et al. 2022).
//!
//! Softmax of a block is taken by itself. What the blocks of a query put out is then mixed by their log-sum-exps, which is the
//! softmax over all of them; the backward pass computes scores again and mixes them the same way.

use std::ops::Range;

use crate::kernels::gemm::{Operand, Output, PackedPanel, Precision, gemm};
use crate::kernels::reduce::{dot, softmax};
use crate::kernels::{Level, MatMut, MatRef};

/// Queries of a block.
const QUERIES: usize = 64;
/// Keys of a block: with 64 queries, scores and what is computed from them stay in the second-level cache.
const KEYS: usize = 128;

/// How scores are computed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Core {
    pub level: Level,
    pub precision: Precision,
    /// Keys that a query sees: its own and those before.
    pub window: usize,
    /// Factor of the scores.
    pub scale: f32,
}

/// Memory of a thread.
#[derive(Default)]
pub(super) struct Scratch {
    /// Of each block of keys: K^T and V, or of one: K^T, V^T and K.
    keys: Vec<PackedPanel>,
    values: Vec<PackedPanel>,
    /// Of each block of queries: Q and dO as left and as right factors.
    queries: [Vec<PackedPanel>; 4],
    left: PackedPanel,
    scores: Vec<f32>,
    dscores: Vec<f32>,
    deltas: Vec<f32>,
}

impl Core {
    /// The keys, of the block `keys`, that the query at `position` sees, counted from the block's first.
    fn seen(&self, position: usize, keys: &Range<usize>) -> Range<usize> {
        let first = (position + 1).saturating_sub(self.window).max(keys.start);
        let end = (position + 1).min(keys.end);
        first.min(end) - keys.start.min(end)..end - keys.start.min(end)
    }

    /// The blocks of keys that a block of queries sees something of.
    fn blocks(&self, queries: &Range<usize>) -> Range<usize> {
        let first = (queries.start + 1).saturating_sub(self.window);
        first / KEYS..queries.end.div_ceil(KEYS)
    }

    /// `o` (T, D) and the log-sum-exp of each query's scores (T) for queries, keys and values (T, D).
    pub fn forward(
        &self,
        scratch: &mut Scratch,
        [q, k, v]: [MatRef<f32>; 3],
        mut o: MatMut<f32>,
        log_sums: &mut [f32],
    ) {
        let &Core { level, precision, scale, .. } = self;
        let (tokens, head) = (q.rows(), q.cols());
        let Scratch { keys, values, left, scores, .. } = scratch;
        for panels in [&mut *keys, &mut *values] {
            panels.resize_with(tokens.div_ceil(KEYS).max(panels.len()), PackedPanel::new);
        }
        for (b, block) in pieces(tokens, KEYS).enumerate() {
            keys[b].pack_right(level, precision, Operand::new(k.window(block.clone(), 0..head)).transposed());
            values[b].pack_right(level, precision, Operand::new(v.window(block, 0..head)));
        }
        scores.resize(QUERIES * KEYS, 0.0);
        for queries in pieces(tokens, QUERIES) {
            let rows = queries.len();
            for (row, i) in queries.clone().enumerate() {
                o.row_mut(i).fill(0.0);
                log_sums[queries.start + row] = f32::NEG_INFINITY;
            }
            for b in self.blocks(&queries) {
                let block = b * KEYS..tokens.min((b + 1) * KEYS);
                let scores = &mut scores[..rows * block.len()];
                left.pack_left(level, precision, Operand::new(q.window(queries.clone(), 0..head)));
                let out = Output::new(MatMut::new(scores, rows, block.len())).scaled(scale);
                gemm(level, out, left, &keys[b]);
                for (scores, i) in scores.chunks_mut(block.len()).zip(queries.clone()) {
                    let seen = self.seen(i, &block);
                    let (of_block, before) = (self.softmax(scores, seen.clone()), log_sums[i]);
                    if before == f32::NEG_INFINITY {
                        log_sums[i] = of_block;
                    } else if of_block != f32::NEG_INFINITY {
                        let all = log_add_exp(before, of_block);
                        scale_by(&mut scores[seen], (of_block - all).exp());
                        scale_by(o.row_mut(i), (before - all).exp());
                        log_sums[i] = all;
                    }
                }
                left.pack_left(level, precision, Operand::new(MatRef::new(scores, rows, block.len())));
                let o = o.reborrow().window(queries.clone(), 0..head);
                gemm(level, Output::new(o).added(), left, &values[b]);
            }
        }
    }

    /// The gradients (T, D) at queries, keys and values, written over, from that at the output. Returns the first two.
    pub fn backward<'a>(
        &self,
        scratch: &mut Scratch,
        [q, k, v]: [MatRef<f32>; 3],
        o: MatRef<f32>,
        d_o: MatRef<f32>,
        log_sums: &[f32],
        [mut dq, mut dk, mut dv]: [MatMut<'a, f32>; 3],
    ) -> [MatMut<'a, f32>; 2] {
        let &Core { level, precision, scale, .. } = self;
        let (tokens, head) = (q.rows(), q.cols());
        let Scratch { keys, queries: panels, left, scores, dscores, deltas, .. } = scratch;
        for panels in panels.iter_mut() {
            panels.resize_with(tokens.div_ceil(QUERIES).max(panels.len()), PackedPanel::new);
        }
        let [q_left, do_left, q_right, do_right] = panels;
        for (b, block) in pieces(tokens, QUERIES).enumerate() {
            let [q, d_o] = [q, d_o].map(|m| Operand::new(m.window(block.clone(), 0..head)));
            q_left[b].pack_left(level, precision, q);
            do_left[b].pack_left(level, precision, d_o);
            q_right[b].pack_right(level, precision, q);
            do_right[b].pack_right(level, precision, d_o);
        }
        deltas.clear();
        deltas.extend((0..tokens).map(|i| dot(level, o.row(i), d_o.row(i))));
        (0..tokens).for_each(|i| dq.row_mut(i).fill(0.0));
        for d in [&mut dk, &mut dv] {
            (0..tokens).for_each(|i| d.row_mut(i).fill(0.0));
        }
        keys.resize_with(keys.len().max(3), PackedPanel::new);
        let [k_across, v_across, k_right] = &mut keys[..3] else { unreachable!("three panels") };
        for buffer in [&mut *scores, &mut *dscores] {
            buffer.resize(QUERIES * KEYS, 0.0);
        }
        for (b, block) in pieces(tokens, KEYS).enumerate() {
            let [k, v] = [k, v].map(|m| Operand::new(m.window(block.clone(), 0..head)));
            k_across.pack_right(level, precision, k.transposed());
            v_across.pack_right(level, precision, v.transposed());
            k_right.pack_right(level, precision, k);
            for (a, queries) in pieces(tokens, QUERIES).enumerate().skip(block.start / QUERIES) {
                if !self.blocks(&queries).contains(&b) {
                    continue;
                }
                let (rows, cols) = (queries.len(), block.len());
                let [p, ds] = [&mut *scores, &mut *dscores].map(|buffer| &mut buffer[..rows * cols]);
                gemm(level, Output::new(MatMut::new(p, rows, cols)).scaled(scale), &q_left[a], k_across);
                gemm(level, Output::new(MatMut::new(ds, rows, cols)), &do_left[a], v_across);
                for ((p, ds), i) in p.chunks_mut(cols).zip(ds.chunks_mut(cols)).zip(queries.clone()) {
                    let seen = self.seen(i, &block);
                    let of_block = self.softmax(p, seen.clone());
                    ds[..seen.start].fill(0.0);
                    ds[seen.end..].fill(0.0);
                    let (share, delta) = ((of_block - log_sums[i]).exp(), deltas[i]);
                    for (p, ds) in p[seen.clone()].iter_mut().zip(&mut ds[seen]) {
                        *p *= share;
                        *ds = *p * (*ds - delta);
                    }
                }
                let [p, ds] = [p, ds].map(|m| Operand::new(MatRef::new(m, rows, cols)));
                left.pack_left(level, precision, p.transposed());
                let dv = dv.reborrow().window(block.clone(), 0..head);
                gemm(level, Output::new(dv).added(), left, &do_right[a]);
                left.pack_left(level, precision, ds.transposed());
                let dk = dk.reborrow().window(block.clone(), 0..head);
                gemm(level, Output::new(dk).added().scaled(scale), left, &q_right[a]);
                left.pack_left(level, precision, ds);
                let dq = dq.reborrow().window(queries, 0..head);
                gemm(level, Output::new(dq).added().scaled(scale), left, k_right);
            }
        }
        [dq, dk]
    }

    /// The softmax of what is seen, zeros elsewhere; returns the log-sum-exp.
    fn softmax(&self, scores: &mut [f32], seen: Range<usize>) -> f32 {
        scores[..seen.start].fill(0.0);
        scores[seen.end..].fill(0.0);
        if seen.is_empty() { f32::NEG_INFINITY } else { softmax(self.level, &mut scores[seen], None) }
    }
}

/// `ln(exp(a) + exp(b))`
pub(crate) fn log_add_exp(a: f32, b: f32) -> f32 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    high + (low - high).exp().ln_1p()
}

fn scale_by(x: &mut [f32], factor: f32) {
    x.iter_mut().for_each(|x| *x *= factor);
}

fn pieces(tokens: usize, length: usize) -> impl Iterator<Item = Range<usize>> {
    (0..tokens).step_by(length).map(move |from| from..tokens.min(from + length))
}
