//! What the parts of a classifier say of a label, and how much each of them counts.

use std::ops::Range;

use rayon::prelude::*;

/// What the parts say of a label for a sample. A part that is not there says 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Candidate {
    /// The label.
    pub label: u32,
    /// Of [`CountMemory`](super::CountMemory).
    pub counted: f32,
    /// The inner products with the nearest samples that have the label, added up.
    pub near: f32,
    /// Their squares, added up.
    pub near_squared: f32,
    /// Of [`SparseLinear`](super::SparseLinear).
    pub margin: f32,
}

/// Terms of a score.
pub const TERMS: usize = 9;

/// Parts that a score can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Present {
    /// [`CountMemory`](super::CountMemory).
    pub counts: bool,
    /// [`NeighbourMemory`](super::NeighbourMemory).
    pub neighbours: bool,
    /// [`SparseLinear`](super::SparseLinear).
    pub linear: bool,
}

impl Present {
    /// Which terms are those of parts that are there.
    fn terms(self) -> [bool; TERMS] {
        let mut terms = [true; TERMS];
        for (range, present) in PART_TERMS.into_iter().zip([self.counts, self.neighbours, self.linear]) {
            terms[range].fill(present);
        }
        terms
    }
}

/// The terms of each part; the last one is of no part.
const PART_TERMS: [Range<usize>; 3] = [0..2, 2..5, 5..8];

/// The terms of all candidates of a sample: logarithms of what each part says, by itself and as a share of what it says of all of them; of
/// margins also the hinge and what omikuji makes of it (`exp -max(0, 1 - margin)^2`); and how frequent the label is in training.
fn terms(candidates: &[Candidate], frequencies: &[u32]) -> Vec<[f64; TERMS]> {
    let sum = |of: fn(&Candidate) -> f32| candidates.iter().map(|c| f64::from(of(c))).sum::<f64>();
    let largest = candidates.iter().map(|c| f64::from(c.counted)).fold(0.0, f64::max);
    let (near, squared) = (sum(|c| c.near), sum(|c| c.near_squared));
    // Features may be negative, and then so may sums; what is not above 0 says as little as can be.
    let log = |x: f64| (1e-3 + x.max(0.0)).ln();
    let share = |x: f32, all: f64| log(f64::from(x) / (1e-9 + all.max(0.0)));
    let of = |c: &Candidate| {
        let margin = f64::from(c.margin);
        let hinge = -(1.0 - margin).max(0.0).powi(2);
        [
            share(c.counted, largest),
            log(c.counted.into()),
            share(c.near_squared, squared),
            share(c.near, near),
            log(c.near_squared.into()),
            margin.clamp(-2.0, 3.0),
            hinge,
            hinge.exp(),
            f64::from(frequencies[c.label as usize]).ln_1p(),
        ]
    };
    candidates.iter().map(of).collect()
}

/// Weights of terms: `score = sum_t w_t term_t`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mixture {
    /// Of each term, 0 for those of parts that are not there.
    pub weights: [f64; TERMS],
}

/// A training sample that no part has seen.
#[derive(Clone, Debug)]
pub struct Example {
    terms: Vec<[f64; TERMS]>,
    /// The share of the sample that each candidate is: equal shares for its labels.
    target: Vec<f64>,
}

impl Example {
    /// A sample with these candidates and labels (increasing); nothing if no candidate is one of its labels.
    pub fn new(candidates: &[Candidate], labels: &[u32], frequencies: &[u32]) -> Option<Self> {
        let hits = candidates.iter().filter(|c| labels.binary_search(&c.label).is_ok()).count();
        let target = |c: &Candidate| if labels.binary_search(&c.label).is_ok() { 1.0 / hits as f64 } else { 0.0 };
        (hits > 0)
            .then(|| Self { terms: terms(candidates, frequencies), target: candidates.iter().map(target).collect() })
    }
}

impl Example {
    /// With each term in units of its scale.
    fn scaled(&self, scale: &[f64; TERMS]) -> Self {
        let scaled = |terms: &[f64; TERMS]| std::array::from_fn(|t| terms[t] / scale[t]);
        Self { terms: self.terms.iter().map(scaled).collect(), target: self.target.clone() }
    }
}

/// Examples whose sums are taken together, by one thread.
const EXAMPLES: usize = 64;
/// Keeps weights of terms finite that say the same, in units of terms of deviation 1.
const RIDGE: f64 = 1e-3;
/// Steps of Newton's method, at most; it needs about ten.
const STEPS: usize = 50;

impl Mixture {
    /// The weights with which a softmax over the candidates of each example fits its labels best (the mean cross-entropy of a sample, with
    /// a small ridge), by Newton's method; and that mean. Without an example all weights are equal.
    pub fn fit(examples: &[Example], present: Present) -> (Self, f64) {
        let used: Vec<usize> = (0..TERMS).filter(|&t| present.terms()[t]).collect();
        let scale = scales(examples);
        let mut weights = [0.0; TERMS];
        if examples.is_empty() {
            used.iter().for_each(|&t| weights[t] = 1.0);
            return (Self { weights }, f64::NAN);
        }
        let examples: Vec<Example> = examples.iter().map(|example| example.scaled(&scale)).collect();
        let mut at = moments(&examples, &weights);
        for _ in 0..STEPS {
            let gradient: Vec<f64> = used.iter().map(|&t| at.gradient[t]).collect();
            let hessian: Vec<Vec<f64>> =
                used.iter().map(|&i| used.iter().map(|&j| at.hessian[i][j]).collect()).collect();
            let step = solve(hessian, gradient.clone());
            let decrease: f64 = step.iter().zip(&gradient).map(|(s, g)| s * g).sum();
            if decrease <= 1e-12 {
                break;
            }
            // The loss is convex, so a short enough step along Newton's lowers it.
            let taken = (0..40).map(|halvings| 0.5_f64.powi(halvings)).find_map(|share| {
                let mut next = weights;
                used.iter().zip(&step).for_each(|(&t, s)| next[t] -= share * s);
                let moments = moments(&examples, &next);
                (moments.loss < at.loss).then_some((next, moments))
            });
            let Some((next, moments)) = taken else { break };
            (weights, at) = (next, moments);
        }
        let loss = at.loss;
        (0..TERMS).for_each(|t| weights[t] /= scale[t]);
        (Self { weights }, loss)
    }

    /// The mean cross-entropy of the examples.
    pub fn loss(&self, examples: &[Example]) -> f64 {
        let with_ridge = moments(examples, &self.weights);
        with_ridge.loss - RIDGE * self.weights.iter().map(|w| w * w).sum::<f64>()
    }

    /// How far what each part (counts, neighbours, linear rows) adds to a score lies from its mean over the candidates of a sample, as a
    /// share of the sum over parts.
    pub fn shares(&self, examples: &[Example]) -> [f64; 3] {
        let mut squares = [0.0; 3];
        for example in examples {
            for (part, square) in squares.iter_mut().enumerate() {
                let terms = PART_TERMS[part].clone();
                let adds = |x: &[f64; TERMS]| terms.clone().map(|t| self.weights[t] * x[t]).sum::<f64>();
                let count = example.terms.len() as f64;
                let mean = example.terms.iter().map(adds).sum::<f64>() / count;
                *square += example.terms.iter().map(|x| (adds(x) - mean).powi(2)).sum::<f64>() / count;
            }
        }
        let deviations = squares.map(f64::sqrt);
        let sum: f64 = deviations.iter().sum();
        deviations.map(|deviation| if sum > 0.0 { deviation / sum } else { 0.0 })
    }

    /// The scores of all candidates of a sample.
    pub fn scores(&self, candidates: &[Candidate], frequencies: &[u32]) -> Vec<f32> {
        let score = |terms: [f64; TERMS]| terms.iter().zip(&self.weights).map(|(t, w)| t * w).sum::<f64>() as f32;
        terms(candidates, frequencies).into_iter().map(score).collect()
    }
}

/// The deviation of each term over all candidates, 1 where it has none.
fn scales(examples: &[Example]) -> [f64; TERMS] {
    let count = examples.iter().map(|example| example.terms.len()).sum::<usize>().max(1) as f64;
    std::array::from_fn(|t| {
        let all = || examples.iter().flat_map(|example| example.terms.iter().map(|terms| terms[t]));
        let mean = all().sum::<f64>() / count;
        let deviation = (all().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt();
        if deviation > 1e-9 { deviation } else { 1.0 }
    })
}

/// The loss with its first and second derivatives.
#[derive(Clone, Debug)]
struct Derivatives {
    loss: f64,
    gradient: [f64; TERMS],
    hessian: [[f64; TERMS]; TERMS],
}

impl Derivatives {
    const ZERO: Self = Self { loss: 0.0, gradient: [0.0; TERMS], hessian: [[0.0; TERMS]; TERMS] };

    fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        for i in 0..TERMS {
            self.gradient[i] += other.gradient[i];
            (0..TERMS).for_each(|j| self.hessian[i][j] += other.hessian[i][j]);
        }
    }

    fn add_example(&mut self, example: &Example, weights: &[f64; TERMS]) {
        let score = |terms: &[f64; TERMS]| terms.iter().zip(weights).map(|(x, w)| x * w).sum::<f64>();
        let scores: Vec<f64> = example.terms.iter().map(score).collect();
        let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = scores.iter().map(|score| (score - most).exp()).sum();
        let mut mean = [0.0; TERMS];
        for ((x, score), target) in example.terms.iter().zip(&scores).zip(&example.target) {
            let p = (score - most).exp() / total;
            self.loss -= target * (score - most - total.ln());
            for i in 0..TERMS {
                mean[i] += p * x[i];
                self.gradient[i] += (p - target) * x[i];
                (0..=i).for_each(|j| self.hessian[i][j] += p * x[i] * x[j]);
            }
        }
        for i in 0..TERMS {
            (0..=i).for_each(|j| self.hessian[i][j] -= mean[i] * mean[j]);
        }
    }
}

/// Sums in the order of the examples, whatever the number of threads.
fn moments(examples: &[Example], weights: &[f64; TERMS]) -> Derivatives {
    let parts: Vec<Derivatives> = examples
        .par_chunks(EXAMPLES)
        .map(|examples| {
            let mut part = Derivatives::ZERO;
            examples.iter().for_each(|example| part.add_example(example, weights));
            part
        })
        .collect();
    let (mut sum, count) = (Derivatives::ZERO, examples.len().max(1) as f64);
    parts.iter().for_each(|part| sum.add(part));
    sum.loss = sum.loss / count + RIDGE * weights.iter().map(|w| w * w).sum::<f64>();
    for i in 0..TERMS {
        sum.gradient[i] = sum.gradient[i] / count + 2.0 * RIDGE * weights[i];
        for j in 0..=i {
            let both = sum.hessian[i][j] / count + if i == j { 2.0 * RIDGE } else { 0.0 };
            (sum.hessian[i][j], sum.hessian[j][i]) = (both, both);
        }
    }
    sum
}

/// `x` with `a x = b`, of a symmetric positive definite `a`: by elimination, which needs no pivots then.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::linear::Random;

    const ALL: Present = Present { counts: true, neighbours: true, linear: true };

    fn examples(count: usize) -> Vec<Example> {
        let mut random = Random(3);
        let mut unit = move || random.below(1 << 20) as f32 / (1 << 20) as f32;
        let example = |_| {
            // The margin tells the label most of the time, counts sometimes, neighbours never.
            let mut candidates: Vec<Candidate> = (0..12)
                .map(|label| Candidate {
                    label,
                    counted: unit(),
                    near: unit(),
                    near_squared: unit(),
                    margin: 2.0 * unit() - 1.5,
                })
                .collect();
            candidates[3].margin += 0.6;
            candidates[3].counted += 0.3;
            Example::new(&candidates, &[3], &[1; 12]).unwrap()
        };
        (0..count).map(example).collect()
    }

    #[test]
    fn derivatives_are_those_of_finite_differences() {
        let examples = examples(70);
        let weights: [f64; TERMS] = std::array::from_fn(|t| 0.3 - 0.1 * t as f64);
        let at = moments(&examples, &weights);
        let moved = |t: usize, by: f64| {
            let mut weights = weights;
            weights[t] += by;
            moments(&examples, &weights)
        };
        for t in 0..TERMS {
            let (up, down) = (moved(t, 1e-4), moved(t, -1e-4));
            assert!(((up.loss - down.loss) / 2e-4 - at.gradient[t]).abs() < 1e-6, "gradient {t}");
            for i in 0..TERMS {
                let want = (up.gradient[i] - down.gradient[i]) / 2e-4;
                assert!((want - at.hessian[t][i]).abs() < 1e-6, "hessian {t} {i}: {want} {}", at.hessian[t][i]);
            }
        }
    }

    #[test]
    fn a_fit_is_where_no_weight_can_be_better_and_trusts_what_is_right() {
        let examples = examples(300);
        let (mixture, loss) = Mixture::fit(&examples, ALL);
        let scale = scales(&examples);
        let scaled: Vec<Example> = examples.iter().map(|example| example.scaled(&scale)).collect();
        let at = moments(&scaled, &std::array::from_fn(|t| mixture.weights[t] * scale[t]));
        assert!((at.loss - loss).abs() < 1e-12);
        assert!(at.gradient.iter().all(|g| g.abs() < 1e-5), "{:?}", at.gradient);
        assert!(loss < 12_f64.ln());
        let shares = mixture.shares(&examples);
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12 && shares[2] > shares[1], "{shares:?}");
        let without = |present| Mixture::fit(&examples, present).1 - loss;
        let linear = without(Present { linear: false, ..ALL });
        let neighbours = without(Present { neighbours: false, ..ALL });
        assert!(linear > 10.0 * neighbours && neighbours > -1e-9, "{linear} {neighbours}");
        let (counts_only, _) = Mixture::fit(&examples, Present { counts: true, neighbours: false, linear: false });
        assert!(counts_only.weights[2..8].iter().all(|&w| w == 0.0));
        assert_eq!(counts_only.shares(&examples), [1.0, 0.0, 0.0]);
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let examples = examples(300);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Mixture::fit(&examples, ALL))
        };
        assert_eq!(with(1).0, with(3).0);
    }

    #[test]
    fn samples_without_a_candidate_of_theirs_teach_nothing() {
        let candidates = [Candidate { label: 4, ..Candidate::default() }];
        assert!(Example::new(&candidates, &[3, 5], &[0; 9]).is_none());
        assert!(Example::new(&[], &[3], &[0; 9]).is_none());
        assert_eq!(Mixture::fit(&[], ALL).0.weights, [1.0; TERMS]);
    }
}
