//! Spherical k-means: which group each row belongs to.

use std::cell::RefCell;

use rand::seq::index::sample;
use rayon::prelude::*;

use crate::index::Rows;
use crate::index::scan::{centred, with_weights};
use crate::kernels::gemm::{Operand, Output, PackedPanel, Precision, gemm};
use crate::kernels::reduce::{squared_norm, top_k};
use crate::kernels::{MatMut, MatRef, RowIds};
use crate::rng::rng;

/// Rows assigned at a time: their scores for 256 groups are 512 KiB, half of a second-level cache.
const CHUNK: usize = 512;

/// Rows of the sample that first groups are made from, for each group, and passes over it: enough for means that do not
/// change much any more.
const SAMPLED: usize = 64;

/// As above.
const PASSES: usize = 4;

thread_local! {
    static SCRATCH: RefCell<(PackedPanel, Vec<f32>)> = RefCell::default();
}

/// Directions of length 1 (groups, D + 1), biases last. A row belongs to the direction with which it has, less the mean row,
/// the largest inner product.
#[derive(Debug)]
pub struct Groups {
    pub directions: Vec<f32>,
    pub count: usize,
}

impl Groups {
    /// The group of each of `ids`.
    pub fn assign(&self, rows: &Rows, centre: &[f32], ids: &[u32]) -> Vec<u32> {
        let (dim, count) = (rows.dim(), self.count);
        let along = MatRef::with_stride(&self.directions, count, dim, dim + 1);
        let mut right = PackedPanel::new();
        right.pack_right(rows.level, Precision::Bf16, Operand::new(along).transposed());
        let directions = self.directions.chunks(dim + 1);
        let shift: Vec<f32> = directions.map(|u| u.iter().zip(centre).map(|(u, c)| u * c).sum()).collect();
        let of_bias: Vec<f32> = self.directions.chunks(dim + 1).map(|u| u[dim]).collect();
        let mut groups = vec![0; ids.len()];
        groups.par_chunks_mut(CHUNK).zip(ids.par_chunks(CHUNK)).for_each(|(groups, ids)| {
            SCRATCH.with_borrow_mut(|(left, scores)| {
                let active = RowIds::new(ids, rows.len()).expect("rows of the index");
                with_weights!(rows.weights, w => left.pack_left(rows.level, Precision::Bf16, Operand::gathered(w, active)));
                scores.resize(CHUNK * count, 0.0);
                let scores = &mut scores[..ids.len() * count];
                // What the product leaves out: the bias, and the mean, whose part is the same for all rows.
                for (&id, scores) in ids.iter().zip(scores.chunks_mut(count)) {
                    let bias = rows.biases[id as usize];
                    for ((score, of_bias), shift) in scores.iter_mut().zip(&of_bias).zip(&shift) {
                        *score = bias * of_bias - shift;
                    }
                }
                gemm(rows.level, Output::new(MatMut::new(scores, ids.len(), count)).added(), left, &right);
                for (group, scores) in groups.iter_mut().zip(scores.chunks(count)) {
                    let mut best = [0];
                    top_k(rows.level, scores, &mut best, &mut [0.0]);
                    *group = best[0];
                }
            });
        });
        groups
    }

    /// Directions from a sample of the rows.
    pub fn found(rows: &Rows, centre: &[f32], count: usize, seed: u64) -> Self {
        let random = &mut rng(seed, "index/blocks", 0);
        let sampled = sample(random, rows.len(), rows.len().min(SAMPLED * count));
        let sampled: Vec<u32> = sampled.into_iter().map(|row| row as u32).collect();
        // As the sample is in random order, its first rows are random ones.
        let mut groups = Self { directions: vec![0.0; count * (rows.dim() + 1)], count };
        let first: Vec<u32> = (0..sampled.len()).map(|at| (at % count) as u32).collect();
        groups.move_to_means(rows, centre, &sampled[..count.min(sampled.len())], &first[..count.min(sampled.len())]);
        for _ in 0..PASSES {
            let of = groups.assign(rows, centre, &sampled);
            groups.move_to_means(rows, centre, &sampled, &of);
        }
        groups
    }

    /// Each direction becomes that of the sum of its rows, less the mean row and each scaled to length 1. `of` is the group of
    /// each of `ids`. A group without rows takes the direction of one of them.
    pub fn move_to_means(&mut self, rows: &Rows, centre: &[f32], ids: &[u32], of: &[u32]) {
        let len = rows.dim() + 1;
        let members = crate::ragged::Ragged::group(
            self.count,
            &ids.iter().copied().zip(of.iter().copied()).collect::<Vec<_>>(),
            |&(_, group)| group as usize,
        );
        self.directions.par_chunks_mut(len).enumerate().for_each(|(group, direction)| {
            let mut x = vec![0.0; len];
            let mut add = |id: u32, direction: &mut [f32]| {
                centred(rows, id as usize, centre, &mut x);
                let scale = inverse_length(rows, &x);
                direction.iter_mut().zip(&x).for_each(|(u, x)| *u += scale * x);
            };
            direction.fill(0.0);
            members.row(group).iter().for_each(|&(id, _)| add(id, direction));
            if members.row(group).is_empty() && !ids.is_empty() {
                add(ids[group * ids.len() / members.len()], direction);
            }
            let scale = inverse_length(rows, direction);
            direction.iter_mut().for_each(|u| *u *= scale);
        });
    }
}

/// `1 / |x|`, 0 for a vector without a direction.
pub fn inverse_length(rows: &Rows, x: &[f32]) -> f32 {
    let length = squared_norm(rows.level, x).sqrt();
    if length > 0.0 && length.is_finite() { 1.0 / length } else { 0.0 }
}
