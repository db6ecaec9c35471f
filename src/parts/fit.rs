//! The loss of a mixture with its derivatives.

use rayon::prelude::*;

use super::further::{FURTHER_TERMS, Further, FurtherRaw, expand_further, further_raw};
use super::terms::{Candidate, Knots, Present, Raw, TERMS, expand, raw};
use crate::kernels::gemm::{Operand, Output, PackedPanel, Precision, gemm};
use crate::kernels::{Level, MatMut, MatRef};

/// Keeps weights of terms finite that say the same, in units of terms of deviation 1.
pub(super) const RIDGE: f64 = 1e-3;
/// Examples whose sums are taken together, by one thread.
const EXAMPLES: usize = 16;

/// A training sample that no part has seen.
#[derive(Clone, Debug)]
pub struct Example {
    pub(super) raw: Vec<Raw>,
    /// Of texts, and of the network.
    pub(super) further: [Vec<FurtherRaw>; 2],
    /// The share of the sample that each candidate is: equal shares for its labels.
    pub(super) target: Vec<f64>,
}

impl Example {
    /// A sample with these candidates, of which `parts` have said something, and labels (increasing); nothing if no candidate is one of
    /// its labels.
    pub fn new(candidates: &[Candidate], labels: &[u32], frequencies: &[u32], parts: Present) -> Option<Self> {
        let hits = candidates.iter().filter(|c| labels.binary_search(&c.label).is_ok()).count();
        let target = |c: &Candidate| if labels.binary_search(&c.label).is_ok() { 1.0 / hits as f64 } else { 0.0 };
        (hits > 0).then(|| Self {
            raw: raw(candidates, candidates.len(), frequencies),
            further: Further::ALL.map(|of| match of.is_of(parts) {
                true => further_raw(of, candidates, candidates.len(), frequencies),
                false => Vec::new(),
            }),
            target: candidates.iter().map(target).collect(),
        })
    }
}

/// Which parts have further terms: texts, and the network.
pub(super) type HasFurther = [bool; 2];

/// The terms of candidates: those of texts and of the network behind those of the other parts.
#[derive(Default)]
pub(super) struct Terms {
    all: Vec<[f64; TERMS]>,
    further: [Vec<[f64; FURTHER_TERMS]>; 2],
}

impl Terms {
    /// The terms of the candidates of a sample come behind those that there are; further ones only where there are some.
    pub fn push(&mut self, example: &Example, knots: &Knots, has: HasFurther) {
        expand(&example.raw, knots, &mut self.all);
        for ((terms, raw), _) in self.further.iter_mut().zip(&example.further).zip(has).filter(|part| part.1) {
            expand_further(&example.raw, raw, example.raw.len(), terms);
        }
    }

    pub fn clear(&mut self) {
        self.all.clear();
        self.further.iter_mut().for_each(Vec::clear);
    }

    /// Number of candidates.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Term `term` of candidate `at`.
    pub fn get(&self, at: usize, term: usize) -> f64 {
        match term.checked_sub(TERMS) {
            None => self.all[at][term],
            Some(further) => self.further[further / FURTHER_TERMS][at][further % FURTHER_TERMS],
        }
    }
}

/// Which parts have further ones among the terms.
fn has_further(used: &[usize]) -> HasFurther {
    let of = |part: usize| TERMS + part * FURTHER_TERMS..TERMS + (part + 1) * FURTHER_TERMS;
    [0, 1].map(|part| used.iter().any(|term| of(part).contains(term)))
}

/// Examples whose candidates tell the deviations of terms, and where they bend, about.
const MEASURED: usize = 500;

/// Some of the examples.
pub(super) fn measured(examples: &[Example]) -> impl Iterator<Item = &Example> + Clone {
    examples.iter().step_by(examples.len().div_ceil(MEASURED).max(1))
}

/// The deviation of each of the terms `used` over candidates, 1 where it has none.
pub(super) fn scales(examples: &[Example], knots: &Knots, used: &[usize]) -> Vec<f64> {
    let (mut sums, mut terms) = (vec![[0.0_f64; 2]; used.len()], Terms::default());
    measured(examples).for_each(|example| terms.push(example, knots, has_further(used)));
    for at in 0..terms.len() {
        for (sum, &term) in sums.iter_mut().zip(used) {
            sum[0] += terms.get(at, term);
            sum[1] += terms.get(at, term).powi(2);
        }
    }
    let count = terms.len() as f64;
    let deviation = |[sum, squares]: &[f64; 2]| {
        let (mean, square) = (sum / count, squares / count);
        let deviation = (square - mean * mean).max(0.0).sqrt();
        if deviation > 1e-6 * square.sqrt().max(1e-3) { deviation } else { 1.0 }
    };
    sums.iter().map(deviation).collect()
}

/// A loss with its first and second derivatives by the weights of the terms that are used, in units of their deviations.
#[derive(Clone, Debug)]
pub(super) struct Derivatives {
    pub(super) loss: f64,
    pub(super) gradient: Vec<f64>,
    /// The lower triangle, until all is summed up.
    pub(super) hessian: Vec<Vec<f64>>,
}

impl Derivatives {
    fn zero(count: usize) -> Self {
        Self { loss: 0.0, gradient: vec![0.0; count], hessian: vec![vec![0.0; count]; count] }
    }

    fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.gradient.iter_mut().zip(&other.gradient).for_each(|(sum, x)| *sum += x);
        for (sums, row) in self.hessian.iter_mut().zip(&other.hessian) {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
    }
}

/// The terms of examples, in units of their deviations, to be fitted to.
pub(super) struct Fit<'a> {
    chunks: Vec<Chunk<'a>>,
    examples: usize,
    /// Terms that are used.
    pub(super) count: usize,
    level: Level,
}

/// Some examples.
struct Chunk<'a> {
    examples: &'a [Example],
    /// The terms of their candidates, one candidate after the other.
    x: Vec<f32>,
}

/// What one thread needs.
#[derive(Default)]
struct Scratch {
    scores: Vec<f32>,
    /// Terms times the probability of the candidate.
    weighed: Vec<f32>,
    mean: Vec<f32>,
    left: PackedPanel,
    right: PackedPanel,
    square: Vec<f32>,
}

impl<'a> Fit<'a> {
    /// The terms `used` of the examples, divided by their `scale`.
    pub(super) fn new(examples: &'a [Example], knots: &Knots, used: &[usize], scale: &[f64], level: Level) -> Self {
        let (factors, has): (Vec<f64>, _) = (scale.iter().map(|scale| 1.0 / scale).collect(), has_further(used));
        let chunk = |examples: &'a [Example]| {
            let (mut terms, mut x) = (Terms::default(), Vec::new());
            for example in examples {
                terms.clear();
                terms.push(example, knots, has);
                for at in 0..terms.len() {
                    x.extend(used.iter().zip(&factors).map(|(&term, factor)| (terms.get(at, term) * factor) as f32));
                }
            }
            Chunk { examples, x }
        };
        let chunks = examples.par_chunks(EXAMPLES).map(chunk).collect();
        Self { chunks, examples: examples.len(), count: used.len(), level }
    }

    /// Sums in the order of the examples, whatever the number of threads.
    pub(super) fn moments(&self, weights: &[f64]) -> Derivatives {
        let count = self.count;
        let rounded: Vec<f32> = weights.iter().map(|&weight| weight as f32).collect();
        let sums: Vec<Derivatives> = self
            .chunks
            .par_iter()
            .map_init(Scratch::default, |scratch, chunk| {
                let (mut sum, mut x) = (Derivatives::zero(count), &chunk.x[..]);
                scratch.weighed.clear();
                for example in chunk.examples {
                    let (of_example, rest) = x.split_at(count * example.raw.len());
                    add_example(&mut sum, of_example, &example.target, &rounded, scratch);
                    x = rest;
                }
                self.add_square(&mut sum, &chunk.x, scratch);
                sum
            })
            .collect();
        let (mut sum, examples) = (Derivatives::zero(count), self.examples as f64);
        sums.iter().for_each(|chunk| sum.add(chunk));
        sum.loss = sum.loss / examples + RIDGE * weights.iter().map(|w| w * w).sum::<f64>();
        for i in 0..count {
            sum.gradient[i] = sum.gradient[i] / examples + 2.0 * RIDGE * weights[i];
            for j in 0..=i {
                let both = sum.hessian[i][j] / examples + if i == j { 2.0 * RIDGE } else { 0.0 };
                (sum.hessian[i][j], sum.hessian[j][i]) = (both, both);
            }
        }
        sum
    }

    /// Adds the products of all terms of all candidates, weighed. Rounding to f32 changes the way of Newton's method, not its end.
    fn add_square(&self, sum: &mut Derivatives, x: &[f32], scratch: &mut Scratch) {
        let Scratch { weighed, left, right, square, .. } = scratch;
        let (count, rows) = (self.count, x.len() / self.count);
        left.pack_left(self.level, Precision::F32, Operand::new(MatRef::new(x, rows, count)).transposed());
        right.pack_right(self.level, Precision::F32, Operand::new(MatRef::new(weighed, rows, count)));
        square.resize(count * count, 0.0);
        gemm(self.level, Output::new(MatMut::new(square, count, count)), left, right);
        for (sums, row) in sum.hessian.iter_mut().zip(square.chunks(count)) {
            sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
        }
    }
}

/// Adds the loss of a sample and its derivatives, but for the sum over candidates of the second ones, for which it leaves the factors.
fn add_example(sum: &mut Derivatives, x: &[f32], target: &[f64], weights: &[f32], scratch: &mut Scratch) {
    let Scratch { scores, weighed, mean, .. } = scratch;
    let count = weights.len();
    scores.clear();
    scores.extend(x.chunks(count).map(|x| x.iter().zip(weights).map(|(x, w)| x * w).sum::<f32>()));
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = scores.iter().map(|score| f64::from(score - most).exp()).sum();
    mean.clear();
    mean.resize(count, 0.0);
    for ((x, score), &target) in x.chunks(count).zip(scores.iter()).zip(target) {
        let below = f64::from(score - most);
        let p = (below.exp() / total) as f32;
        let begin = weighed.len();
        weighed.extend(x.iter().map(|x| p * x));
        mean.iter_mut().zip(&weighed[begin..]).for_each(|(mean, x)| *mean += x);
        if target > 0.0 {
            sum.loss -= target * (below - total.ln());
            sum.gradient.iter_mut().zip(x).for_each(|(gradient, &x)| *gradient -= target * f64::from(x));
        }
    }
    for i in 0..count {
        let mean_i = f64::from(mean[i]);
        sum.gradient[i] += mean_i;
        sum.hessian[i][..=i].iter_mut().zip(mean.iter()).for_each(|(sum, &x)| *sum -= mean_i * f64::from(x));
    }
}

/// `x` with `a x = b`, of a symmetric positive definite `a`: by elimination, which needs no pivots then.
pub(super) fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for i in 0..n {
        for below in i + 1..n {
            let factor = a[below][i] / a[i][i];
            (i..n).for_each(|j| a[below][j] -= factor * a[i][j]);
            b[below] -= factor * b[i];
        }
    }
    for i in (0..n).rev() {
        let rest: f64 = (i + 1..n).map(|j| a[i][j] * b[j]).sum();
        b[i] = (b[i] - rest) / a[i][i];
    }
    b
}
