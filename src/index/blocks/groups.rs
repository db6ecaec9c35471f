//! Spherical k-means: assigns each row to a group.

use std::cell::Cell;

use rand::seq::index::sample;
use rayon::prelude::*;

use crate::flops::Meter;
use crate::index::scan::{centred, with_weights};
use crate::index::{Rows, WeightsRef};
use crate::kernels::gemm::{Operand, Output, PackedPanel, Precision, gemm};
use crate::kernels::reduce::squared_norm;
use crate::kernels::{Level, MatMut, MatRef, RowIds};
use crate::ragged::Ragged;
use crate::rng::rng;
use crate::scratch::lend;

/// Rows assigned at a time. With [`PROBES`] of 32 coarse directions each, 256 of them meet a product with the same
/// directions.
const CHUNK: usize = 4096;

/// Rows whose scores with coarse directions are one product.
const STRIP: usize = 512;

/// Coarse directions whose members a row is compared with.
const PROBES: usize = 2;

/// Rows sampled for each group. More of them hardly change the means.
const SAMPLED: usize = 64;

/// Passes over the sample for directions that start as rows.
const FIRST_PASSES: usize = 4;

/// Passes over the sample for directions that follow rows that have moved.
const PASSES: usize = 2;

#[derive(Debug, Default)]
struct Scratch {
    left: PackedPanel,
    scores: Vec<f32>,
    /// The coarse direction and the position in the chunk, for each comparison.
    pairs: Vec<(u32, u32)>,
    ids: Vec<u32>,
    best: Vec<f32>,
}

thread_local! {
    static SCRATCH: Cell<Scratch> = Cell::default();
}

/// Directions of length 1 (groups, D + 1), biases last. A row, less the mean row, belongs to the direction with the
/// largest inner product.
#[derive(Debug)]
pub struct Groups {
    pub directions: Vec<f32>,
    pub count: usize,
    /// Operations of products with directions.
    pub meter: Meter,
}

/// Some of the directions, packed as a right factor.
struct Fan {
    right: PackedPanel,
    /// What a product with rows leaves out: the directions' products with the mean, and their biases.
    shift: Vec<f32>,
    of_bias: Vec<f32>,
    /// Which directions.
    members: Vec<u32>,
}

impl Fan {
    fn new(groups: &Groups, level: Level, centre: &[f32], members: Vec<u32>) -> Self {
        let dim = centre.len() - 1;
        let along = MatRef::with_stride(&groups.directions, groups.count, dim, dim + 1);
        let ids = RowIds::new(&members, groups.count).expect("members are groups");
        let mut right = PackedPanel::new();
        right.pack_right(level, Precision::Bf16, Operand::gathered(along, ids).transposed());
        let directions = || members.iter().map(|&group| &groups.directions[group as usize * (dim + 1)..][..dim + 1]);
        let shift = directions().map(|u| u.iter().zip(centre).map(|(u, c)| u * c).sum()).collect();
        let of_bias = directions().map(|u| u[dim]).collect();
        Self { right, shift, of_bias, members }
    }

    /// The products (ids, members) of rows, less the mean row, with the members.
    fn scores<'a>(
        &self,
        rows: &Rows,
        ids: &[u32],
        left: &mut PackedPanel,
        scores: &'a mut Vec<f32>,
    ) -> std::slice::Chunks<'a, f32> {
        let (count, active) = (self.members.len(), RowIds::new(ids, rows.len()).expect("rows of the index"));
        with_weights!(rows.weights, w => left.pack_left(rows.level, Precision::Bf16, Operand::gathered(w, active)));
        scores.clear();
        for &id in ids {
            let bias = rows.biases[id as usize];
            scores.extend(self.of_bias.iter().zip(&self.shift).map(|(of_bias, shift)| bias * of_bias - shift));
        }
        let out = MatMut::new(scores, ids.len(), count);
        gemm(rows.level, Output::new(out).added(), left, &self.right);
        scores.chunks(count)
    }
}

/// The position of the largest score, the first of equal ones, and that score. NaN counts as the least.
fn largest(scores: &[f32]) -> (usize, f32) {
    let better = |best: (usize, f32), (at, &score): (usize, &f32)| if score > best.1 { (at, score) } else { best };
    scores.iter().enumerate().fold((0, f32::NEG_INFINITY), better)
}

impl Groups {
    /// `count` directions of length `len`, all zero.
    pub fn new(count: usize, len: usize) -> Self {
        Self { directions: vec![0.0; count * len], count, meter: Meter::default() }
    }

    /// The group of each of `ids`, found by comparing all directions.
    fn assign_flat(&self, rows: &Rows, centre: &[f32], ids: &[u32]) -> Vec<u32> {
        let fan = Fan::new(self, rows.level, centre, (0..self.count as u32).collect());
        self.meter.add(2 * ids.len() * self.count * rows.dim());
        let mut groups = vec![0; ids.len()];
        groups.par_chunks_mut(STRIP).zip(ids.par_chunks(STRIP)).for_each(|(groups, ids)| {
            lend(&SCRATCH, |Scratch { left, scores, .. }| {
                let scores = fan.scores(rows, ids, left, scores);
                groups.iter_mut().zip(scores).for_each(|(group, scores)| *group = largest(scores).0 as u32);
            });
        });
        groups
    }

    /// The group of each of `ids`. The directions themselves are clustered into about `sqrt(groups)`, and a row is
    /// compared with those of the [`PROBES`] best clusters only. With 1024 groups that is 96 products instead of 1024.
    pub fn assign(&self, rows: &Rows, centre: &[f32], ids: &[u32]) -> Vec<u32> {
        let (len, level) = (centre.len(), rows.level);
        let coarse = ((self.count as f64).sqrt() as usize).max(1);
        let (along, biases): (Vec<f32>, Vec<f32>) = (
            self.directions.chunks(len).flat_map(|u| &u[..len - 1]).copied().collect(),
            self.directions.chunks(len).map(|u| u[len - 1]).collect(),
        );
        let along = WeightsRef::F32(MatRef::new(&along, self.count, len - 1));
        let directions = Rows { weights: along, biases: &biases, level };
        let (nowhere, all) = (vec![0.0; len], Vec::from_iter(0..self.count as u32));
        // The first ones to begin with: their order has no meaning.
        let mut clusters = Self::new(coarse, len);
        let mut of: Vec<u32> = all.iter().map(|group| group % coarse as u32).collect();
        clusters.move_to_means(&directions, &nowhere, &all[..coarse], &of[..coarse]);
        for _ in 0..FIRST_PASSES {
            of = clusters.assign_flat(&directions, &nowhere, &all);
            clusters.move_to_means(&directions, &nowhere, &all, &of);
        }
        let of = clusters.assign_flat(&directions, &nowhere, &all);
        let members = Ragged::group(coarse, &all, |&group| of[group as usize] as usize);
        let fans: Vec<Fan> = members.iter().map(|members| Fan::new(self, level, centre, members.to_vec())).collect();
        let first = Fan::new(&clusters, level, centre, (0..coarse as u32).collect());
        let mut groups = vec![0; ids.len()];
        groups.par_chunks_mut(CHUNK).zip(ids.par_chunks(CHUNK)).for_each(|(groups, ids)| {
            let products = lend(&SCRATCH, |scratch| nearest(rows, &first, &fans, ids, groups, scratch));
            self.meter.add(2 * products * rows.dim());
        });
        self.meter.add(clusters.meter.total() as usize);
        groups
    }

    /// The sample of rows that directions are made from, in random order. Each rebuild draws another.
    pub fn sampled(&self, rows: &Rows, seed: u64, rebuilds: u64) -> Vec<u32> {
        let random = &mut rng(seed, "index/blocks", rebuilds);
        let sampled = sample(random, rows.len(), rows.len().min(SAMPLED * self.count));
        sampled.into_iter().map(|row| row as u32).collect()
    }

    /// Starts the directions at the first rows of a sample, and moves them to the means of all of it.
    pub fn find(&mut self, rows: &Rows, centre: &[f32], sampled: &[u32]) {
        let first: Vec<u32> = (0..self.count.min(sampled.len()) as u32).collect();
        self.move_to_means(rows, centre, &sampled[..first.len()], &first);
        self.pass(rows, centre, sampled, FIRST_PASSES);
    }

    /// Moves the directions to the means of a sample of the rows, which have changed since.
    pub fn follow(&mut self, rows: &Rows, centre: &[f32], sampled: &[u32]) {
        self.pass(rows, centre, sampled, PASSES);
    }

    fn pass(&mut self, rows: &Rows, centre: &[f32], sampled: &[u32], passes: usize) {
        for _ in 0..passes {
            let of = self.assign(rows, centre, sampled);
            self.move_to_means(rows, centre, sampled, &of);
        }
    }

    /// Moves each direction to the sum of its rows, each less the mean row and scaled to length 1. `of` is the group of
    /// each of `ids`. A group without rows takes the direction of one of them.
    pub fn move_to_means(&mut self, rows: &Rows, centre: &[f32], ids: &[u32], of: &[u32]) {
        let len = rows.dim() + 1;
        let places: Vec<u32> = (0..ids.len() as u32).collect();
        let members = Ragged::group(self.count, &places, |&at| of[at as usize] as usize);
        self.directions.par_chunks_mut(len).enumerate().for_each(|(group, direction)| {
            let mut x = vec![0.0; len];
            let mut add = |id: u32, direction: &mut [f32]| {
                centred(rows, id as usize, centre, &mut x);
                let scale = inverse_length(rows, &x);
                direction.iter_mut().zip(&x).for_each(|(u, x)| *u += scale * x);
            };
            direction.fill(0.0);
            members.row(group).iter().for_each(|&at| add(ids[at as usize], direction));
            if members.row(group).is_empty() && !ids.is_empty() {
                add(ids[group * ids.len() / members.len()], direction);
            }
            let scale = inverse_length(rows, direction);
            direction.iter_mut().for_each(|u| *u *= scale);
        });
    }
}

/// The group of each of `ids`: the best of the `fans` of the [`PROBES`] best directions of `first`. Returns the number
/// of products of a row and a direction.
fn nearest(rows: &Rows, first: &Fan, fans: &[Fan], ids: &[u32], groups: &mut [u32], scratch: &mut Scratch) -> usize {
    let Scratch { left, scores, pairs, ids: of_pairs, best } = scratch;
    pairs.clear();
    for (strip, ids) in ids.chunks(STRIP).enumerate() {
        for (r, scores) in first.scores(rows, ids, left, scores).enumerate() {
            let mut ends = [(0, f32::NEG_INFINITY); PROBES];
            for (at, &score) in scores.iter().enumerate() {
                let better = ends.iter().position(|end| score > end.1);
                if let Some(place) = better {
                    ends[place..].rotate_right(1);
                    ends[place] = (at as u32, score);
                }
            }
            let place = (strip * STRIP + r) as u32;
            let distinct = if ends[1].1 > f32::NEG_INFINITY { PROBES } else { 1 };
            pairs.extend(ends[..distinct].iter().map(|&(fan, _)| (fan, place)));
        }
    }
    pairs.sort_unstable();
    best.clear();
    best.resize(ids.len(), f32::NEG_INFINITY);
    groups.fill(0);
    let mut products = ids.len() * first.members.len();
    for pairs in pairs.chunk_by(|a, b| a.0 == b.0) {
        let fan = &fans[pairs[0].0 as usize];
        if fan.members.is_empty() {
            continue;
        }
        products += pairs.len() * fan.members.len();
        for pairs in pairs.chunks(STRIP) {
            of_pairs.clear();
            of_pairs.extend(pairs.iter().map(|pair| ids[pair.1 as usize]));
            for (&(_, place), scores) in pairs.iter().zip(fan.scores(rows, of_pairs, left, scores)) {
                let (at, score) = largest(scores);
                if score > best[place as usize] {
                    best[place as usize] = score;
                    groups[place as usize] = fan.members[at];
                }
            }
        }
    }
    products
}

/// `1 / |x|`; 0 for a zero vector.
pub fn inverse_length(rows: &Rows, x: &[f32]) -> f32 {
    let length = squared_norm(rows.level, x).sqrt();
    if length > 0.0 && length.is_finite() { 1.0 / length } else { 0.0 }
}
