//! The transform against its definition in f64.

use super::*;
use crate::testing::*;
use crate::{bf16, dispatch};

impl Rotations {
    /// All coordinates of all rotations of `x`.
    pub fn coordinates<W: Weight>(&self, level: crate::Level, x: &[W]) -> Vec<f32> {
        let (mut all, mut scratch) = (Vec::new(), vec![f32::NAN; self.n + 1]);
        let (blocks, scratch) = (0..self.blocks(), &mut scratch[1..]);
        dispatch!(level, s => self.dense(s, x, scratch, blocks.clone(), |_, y| all.extend_from_slice(y)));
        all
    }
}

/// `H D .. H D x` in f64 by the definition `H[i, j] = (-1)^popcount(i & j)`.
fn reference(rotations: &Rotations, block: usize, x: &[f64]) -> Vec<f64> {
    let n = rotations.n;
    let mut y = x.to_vec();
    y.resize(n, 0.0);
    for signs in rotations.signs(block).chunks(n) {
        let signed: Vec<f64> = y.iter().zip(signs).map(|(y, &bit)| if bit == 0 { *y } else { -y }).collect();
        let term = |i: usize, j: usize| if (i & j).count_ones().is_multiple_of(2) { signed[j] } else { -signed[j] };
        y = (0..n).map(|i| (0..n).map(|j| term(i, j)).sum()).collect();
    }
    y
}

/// Each of the `rounds * log2(n)` stages rounds once, by at most half of eps of what it yields; that error then
/// grows like the values do, so no coordinate is off by more than `rounds * log2(n) * eps` of the largest sum of
/// magnitudes, `n^(rounds - 1) * sum |x|`.
fn bound(rotations: &Rotations, x: &[f64]) -> f64 {
    let largest = (rotations.n as f64).powi(rotations.rounds as i32 - 1) * x.iter().map(|x| x.abs()).sum::<f64>();
    (rotations.rounds * rotations.n.ilog2() as usize) as f64 * f32::EPSILON as f64 * largest
}

fn rotations_agree<W: Weight>(dim: usize, rounds: usize, outputs: usize, seed: u64) {
    let x: Vec<W> = numbers(dim, seed).into_iter().map(W::from_f32).collect();
    let (x, rotations) = (Misaligned::new(&x, 1), Rotations::new(seed, dim, rounds, outputs));
    let mut of_all_levels: Vec<Vec<u32>> = Vec::new();
    for level in crate::Level::available() {
        let all = rotations.coordinates(level, &x);
        for (block, got) in all.chunks(rotations.n).enumerate() {
            let want = reference(&rotations, block, &exact(&x));
            for (&got, want) in got.iter().zip(want) {
                assert_within(got, want, bound(&rotations, &exact(&x)), format!("dim {dim}, block {block}"));
            }
        }
        of_all_levels.push(all.iter().map(|y| y.to_bits()).collect());
    }
    assert!(of_all_levels.iter().all(|bits| *bits == of_all_levels[0]), "levels differ at dim {dim}");
}

#[test]
fn a_rotation_is_the_product_of_its_matrices_with_the_same_bits_on_every_level() {
    for dim in 1..=130 {
        rotations_agree::<f32>(dim, 1 + dim % 4, 2 * dim, dim as u64);
        rotations_agree::<bf16>(dim, 1, 1, dim as u64);
    }
    for dim in [256, 511, 600, 1500] {
        rotations_agree::<f32>(dim, 2 + dim % 2, 1, dim as u64);
    }
}

#[test]
fn a_transform_twice_is_n_times_the_input() {
    for dim in [16, 100, 512, 4096] {
        let x: Vec<f32> = numbers(dim, 5).iter().map(|x| (x * 8.0).round()).collect();
        let n = padded(dim);
        at_every_level(|level| {
            let mut y = vec![0.0; n];
            y[..dim].copy_from_slice(&x);
            let none = vec![0; n];
            for _ in 0..2 {
                dispatch!(level, s => two_rounds::<_, f32>(s, &mut y, &none, &[], None, None::<&mut Nowhere>));
            }
            // Small integers throughout, hence exact.
            assert!(y.iter().zip(&x).all(|(&y, &x)| y == n as f32 * x));
            dispatch!(level, s => two_rounds::<_, f32>(s, &mut y, &none, &none, None, None::<&mut Nowhere>));
            assert!(y.iter().zip(&x).all(|(&y, &x)| y == (n * n) as f32 * x));
        });
    }
}
