//! Which blocks a token computes, and the tokens of a block one after the other.

use rayon::prelude::*;

use crate::kernels::reduce::{softmax, top_k};
use crate::kernels::{Level, MatMut, MatRef};
use crate::layer::Buffer;
use crate::layer::dense::TOKENS;
use crate::ragged::Ragged;

/// For each token of `scores` (T, blocks) the `chosen` blocks with the largest score and offset, best first, and the softmax of
/// their scores times `chosen`: both (T, chosen).
pub(super) fn choose(level: Level, scores: MatRef<f32>, offsets: &[f32], chosen: usize) -> (Vec<u32>, Vec<f32>) {
    let tokens = scores.rows();
    let (mut blocks, mut shares) = (vec![0; tokens * chosen], vec![0.0; tokens * chosen]);
    let pieces = blocks.par_chunks_mut(TOKENS * chosen).zip(shares.par_chunks_mut(TOKENS * chosen));
    pieces.enumerate().for_each(|(p, (blocks, shares))| {
        let mut ranks = vec![0.0; offsets.len()];
        for (t, (blocks, shares)) in blocks.chunks_mut(chosen).zip(shares.chunks_mut(chosen)).enumerate() {
            let scores = scores.row(p * TOKENS + t);
            ranks.iter_mut().zip(scores.iter().zip(offsets)).for_each(|(rank, (score, by))| *rank = score + by);
            top_k(level, &ranks, blocks, shares);
            shares.iter_mut().zip(&*blocks).for_each(|(share, &block)| *share = scores[block as usize]);
            softmax(level, shares, None);
            shares.iter_mut().for_each(|share| *share *= chosen as f32);
        }
    });
    (blocks, shares)
}

/// At most [`TOKENS`] entries of one block.
pub(super) struct Piece<'a, const N: usize> {
    pub block: usize,
    /// Where they begin among all entries by block.
    pub first: usize,
    pub entries: &'a [u32],
    /// Their rows of matrices that have one for each entry, by block.
    pub parts: [MatMut<'a, f32>; N],
}

/// All pieces.
pub(super) fn pieces<'a, const N: usize>(
    by_block: &'a Ragged<u32>,
    matrices: [&'a mut Buffer; N],
) -> Vec<Piece<'a, N>> {
    let mut rest = matrices.map(|matrix| {
        let cols = matrix.view().cols();
        (matrix.slice_mut(), cols)
    });
    let (mut pieces, mut first) = (Vec::new(), 0);
    for (block, entries) in by_block.iter().enumerate() {
        for entries in entries.chunks(TOKENS) {
            let parts = rest.each_mut().map(|(rest, cols)| {
                let (part, tail) = std::mem::take(rest).split_at_mut(entries.len() * *cols);
                *rest = tail;
                MatMut::new(part, entries.len(), *cols)
            });
            pieces.push(Piece { block, first, entries, parts });
            first += entries.len();
        }
    }
    pieces
}

/// `out` (T, D) `+=` for each token the rows of its entries, in the order of its choice. `rows` (entries by block, D).
pub(super) fn add_entries(by_block: &Ragged<u32>, chosen: usize, rows: MatRef<f32>, out: MatMut<f32>) {
    let place = places(by_block);
    let chunks: Vec<MatMut<f32>> = out.into_chunks(TOKENS).collect();
    chunks.into_par_iter().enumerate().for_each(|(c, mut out)| {
        for r in 0..out.rows() {
            let entry = (c * TOKENS + r) * chosen;
            for &at in &place[entry..entry + chosen] {
                out.row_mut(r).iter_mut().zip(rows.row(at as usize)).for_each(|(out, row)| *out += row);
            }
        }
    });
}

/// From the gradient of each entry's share, by block, to that of scores: `dscores` (T, blocks), written over.
pub(super) fn scores_backward(
    by_block: &Ragged<u32>,
    blocks: &[u32],
    [dshares, shares]: [&[f32]; 2],
    mut dscores: MatMut<f32>,
) {
    let (place, tokens) = (places(by_block), dscores.rows());
    let chosen = blocks.len() / tokens.max(1);
    for t in 0..tokens {
        let entries = t * chosen..(t + 1) * chosen;
        let (place, shares) = (&place[entries.clone()], &shares[entries.clone()]);
        let sum: f32 = shares.iter().zip(place).map(|(share, &at)| share * dshares[at as usize]).sum();
        let mean = sum / chosen as f32;
        let out = dscores.row_mut(t);
        out.fill(0.0);
        for ((&block, share), &at) in blocks[entries].iter().zip(shares).zip(place) {
            out[block as usize] = share * (dshares[at as usize] - mean);
        }
    }
}

/// Where each entry stands by block.
fn places(by_block: &Ragged<u32>) -> Vec<u32> {
    let mut places = vec![0; by_block.items().len()];
    by_block.items().iter().zip(0..).for_each(|(&entry, at)| places[entry as usize] = at);
    places
}
