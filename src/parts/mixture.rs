//! The weights of what the parts of a classifier say.

use rayon::prelude::*;

use super::fit::{Example, Fit, Terms, measured, scales, solve};
use super::further::{FURTHER_TERMS, Further, FurtherRaw, expand_further, further_raw, softmax, used_of_further};
use super::terms::{Candidate, Knots, Present, Raw, Shape, TERMS, knots, of_part, raw, scores, used};
use crate::kernels::Level;

/// Weights of terms: `score = sum_t w_t term_t`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixture {
    /// Of each term, 0 for those that are not used, as those of parts that are not there.
    pub weights: [f64; TERMS],
    /// The same of the further terms of texts, and of a network; none without these.
    pub further: [Option<[f64; FURTHER_TERMS]>; 2],
    pub(super) knots: Knots,
}

impl Default for Mixture {
    fn default() -> Self {
        Self { weights: [0.0; TERMS], further: [None; 2], knots: [[0.0; 3]; 4] }
    }
}

/// The place of the first part with further terms among parts.
const FIRST: usize = 3;
/// Terms that any mixture may have.
const PLAIN: usize = 9;
/// Steps of Newton's method, at most; it needs about ten.
const STEPS: usize = 50;
/// Newton's method ends where the next step promises to lower the loss by less.
const ENOUGH: f64 = 1e-6;

impl Mixture {
    /// The weights with which a softmax over the candidates of each example fits its labels best (the mean cross-entropy of a sample, with
    /// a small ridge), by Newton's method; and that mean. Without an example the raw terms have equal weights.
    pub fn fit(examples: &[Example], present: Present, level: Level) -> (Self, f64) {
        Self::fit_shape(examples, present, Shape::Plain, level)
    }

    /// The same with the terms of a shape.
    pub(super) fn fit_shape(examples: &[Example], present: Present, shape: Shape, level: Level) -> (Self, f64) {
        let knots = knots(measured(examples).flat_map(|example| &example.raw));
        let used = all_used(present, shape);
        if examples.is_empty() {
            let weight = |t: usize, plain: usize| if used.contains(&t) && t < plain { 1.0 } else { 0.0 };
            let weights = std::array::from_fn(|t| weight(t, PLAIN));
            let further = each_further(present, |first, t| weight(first + t, first + 1));
            return (Self { weights, further, knots }, f64::NAN);
        }
        let scale = scales(examples, &knots, &used);
        let fit = Fit::new(examples, &knots, &used, &scale, level);
        let mut weights = vec![0.0; used.len()];
        let mut at = fit.moments(&weights);
        for _ in 0..STEPS {
            let step = solve(at.hessian.clone(), at.gradient.clone());
            let decrease: f64 = step.iter().zip(&at.gradient).map(|(s, g)| s * g).sum();
            if decrease <= ENOUGH {
                break;
            }
            // The loss is convex, so a short enough step along Newton's lowers it.
            let taken = (0..12).map(|halvings| 0.5_f64.powi(halvings)).find_map(|share| {
                let next: Vec<f64> = weights.iter().zip(&step).map(|(w, s)| w - share * s).collect();
                let moments = fit.moments(&next);
                (moments.loss < at.loss).then_some((next, moments))
            });
            let Some((next, moments)) = taken else { break };
            (weights, at) = (next, moments);
        }
        let mut all = [0.0; MOST];
        for (at, &term) in used.iter().enumerate() {
            all[term] = weights[at] / scale[at];
        }
        let further = each_further(present, |first, t| all[first + t]);
        (Self { weights: std::array::from_fn(|t| all[t]), further, knots }, at.loss)
    }

    /// The mean cross-entropy of the examples.
    pub fn loss(&self, examples: &[Example]) -> f64 {
        let loss = |example: &Example| {
            let scores = self.scores_of(&example.raw, &example.further, example.raw.len());
            let (most, total) = softmax(&scores);
            example.target.iter().zip(&scores).map(|(target, score)| target * (most + total.ln() - score)).sum::<f64>()
        };
        // In the order of the examples, whatever the number of threads.
        examples.par_iter().map(loss).collect::<Vec<_>>().iter().sum::<f64>() / examples.len().max(1) as f64
    }

    /// P@1, P@3 and P@5 of the examples, added up.
    pub(super) fn precision(&self, examples: &[Example]) -> f64 {
        let of_one = |example: &Example| {
            let scores = self.scores_of(&example.raw, &example.further, example.raw.len());
            let mut order: Vec<usize> = (0..scores.len()).collect();
            order.sort_unstable_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
            let hits =
                |k: usize| order.iter().take(k).filter(|&&at| example.target[at] > 0.0).count() as f64 / k as f64;
            hits(1) + hits(3) + hits(5)
        };
        examples.par_iter().map(of_one).collect::<Vec<_>>().iter().sum::<f64>() / examples.len().max(1) as f64
    }

    /// How far what each part (counts, neighbours, linear rows, texts, network) has to do with in a score lies from its mean over the candidates
    /// of a sample, as a share of the sum over parts.
    pub fn shares(&self, examples: &[Example]) -> [f64; 5] {
        let (mut squares, mut terms) = ([0.0; 5], Terms::default());
        let has = self.further.map(|weights| weights.is_some());
        let of_parts: [Vec<usize>; 5] = std::array::from_fn(|part| match part.checked_sub(FIRST) {
            Some(part) if has[part] => (first(part)..first(part + 1)).collect(),
            Some(_) => Vec::new(),
            None => (0..TERMS).filter(|&t| of_part(part)[t]).collect(),
        });
        let further = self.further.iter().flat_map(|weights| weights.unwrap_or([0.0; FURTHER_TERMS]));
        let weights: Vec<f64> = self.weights.into_iter().chain(further).collect();
        for example in examples {
            terms.clear();
            terms.push(example, &self.knots, has);
            for (of_part, square) in of_parts.iter().zip(&mut squares) {
                let adds = |at: usize| of_part.iter().map(|&t| weights[t] * terms.get(at, t)).sum::<f64>();
                let all: Vec<f64> = (0..terms.len()).map(adds).collect();
                let mean = all.iter().sum::<f64>() / all.len() as f64;
                *square += all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / all.len() as f64;
            }
        }
        let deviations = squares.map(f64::sqrt);
        let sum: f64 = deviations.iter().sum();
        deviations.map(|deviation| if sum > 0.0 { deviation / sum } else { 0.0 })
    }

    /// The scores of all candidates of a sample.
    pub fn scores(&self, candidates: &[Candidate], frequencies: &[u32]) -> Vec<f32> {
        self.scores_beside(candidates, candidates.len(), frequencies)
    }

    /// The scores of the first `named` candidates, and of labels behind them as if each of these had been named too.
    pub(super) fn scores_beside(&self, candidates: &[Candidate], named: usize, frequencies: &[u32]) -> Vec<f32> {
        let raw_of = |of: Further| match self.further[of as usize] {
            Some(_) => further_raw(of, candidates, named, frequencies),
            None => Vec::new(),
        };
        let scores = self.scores_of(&raw(candidates, named, frequencies), &Further::ALL.map(raw_of), named);
        scores.into_iter().map(|score| score as f32).collect()
    }

    fn scores_of(&self, all: &[Raw], further: &[Vec<FurtherRaw>; 2], named: usize) -> Vec<f64> {
        let mut scores = scores(all, named, &self.knots, &self.weights);
        let mut terms = Vec::new();
        for (weights, raw) in self.further.iter().zip(further) {
            let Some(weights) = weights else { continue };
            terms.clear();
            expand_further(all, raw, named, &mut terms);
            let sum = |terms: &[f64; FURTHER_TERMS]| terms.iter().zip(weights).map(|(t, w)| t * w).sum::<f64>();
            scores.iter_mut().zip(&terms).for_each(|(score, terms)| *score += sum(terms));
        }
        scores
    }
}

/// Terms that there can be.
const MOST: usize = TERMS + 2 * FURTHER_TERMS;

/// Where the further terms of texts begin, or those of the network.
fn first(part: usize) -> usize {
    TERMS + part * FURTHER_TERMS
}

/// A number for each further term of each of the parts, by where its terms begin and which it is.
fn each_further(present: Present, number: impl Fn(usize, usize) -> f64) -> [Option<[f64; FURTHER_TERMS]>; 2] {
    Further::ALL.map(|of| of.is_of(present).then(|| std::array::from_fn(|t| number(first(of as usize), t))))
}

/// The terms of a mixture of these parts: further ones behind all others.
fn all_used(present: Present, shape: Shape) -> Vec<usize> {
    let (used, further) = (used(present, shape), used_of_further(shape));
    let of_parts = Further::ALL.into_iter().filter(|of| of.is_of(present));
    let behind = of_parts.flat_map(|of| first(of as usize)..first(of as usize) + further);
    (0..TERMS).filter(|&t| used[t]).chain(behind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::descent::Random;
    use crate::parts::fit::RIDGE;

    const ALL: Present = Present::ALL;

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
                    text: unit(),
                    logit: 3.0 * unit(),
                })
                .collect();
            candidates[3].margin += 0.6;
            candidates[3].counted += 0.3;
            Example::new(&candidates, &[3], &[1; 12], ALL).unwrap()
        };
        (0..count).map(example).collect()
    }

    fn fit_of(examples: &[Example], shape: Shape) -> (Fit<'_>, Vec<usize>, Vec<f64>) {
        let knots = knots(measured(examples).flat_map(|example| &example.raw));
        let used = all_used(ALL, shape);
        let scale = scales(examples, &knots, &used);
        (Fit::new(examples, &knots, &used, &scale, Level::detect()), used, scale)
    }

    #[test]
    fn derivatives_are_those_of_finite_differences() {
        let examples = examples(70);
        for shape in Shape::ALL {
            let (fit, used, _) = fit_of(&examples, shape);
            let count = used.len();
            let weights: Vec<f64> = (0..count).map(|t| 0.3 - 0.5 * t as f64 / count as f64).collect();
            let at = fit.moments(&weights);
            let moved = |t: usize, by: f64| {
                let mut weights = weights.clone();
                weights[t] += by;
                fit.moments(&weights)
            };
            for t in 0..count {
                let (up, down) = (moved(t, 1e-2), moved(t, -1e-2));
                assert!(((up.loss - down.loss) / 2e-2 - at.gradient[t]).abs() < 1e-3, "{shape:?}: gradient {t}");
                for i in 0..count {
                    let want = (up.gradient[i] - down.gradient[i]) / 2e-2;
                    assert!(
                        (want - at.hessian[t][i]).abs() < 2e-3 * (1.0 + want.abs()),
                        "{shape:?}: {t} {i}: {want} {}",
                        at.hessian[t][i]
                    );
                }
            }
        }
    }

    #[test]
    fn a_fit_is_where_no_weight_can_be_better_and_trusts_what_is_right() {
        let examples = examples(300);
        let mut losses = Vec::new();
        for shape in Shape::ALL {
            let (mixture, loss) = Mixture::fit_shape(&examples, ALL, shape, Level::detect());
            let (fit, used, scale) = fit_of(&examples, shape);
            let weight = |t: usize| {
                let all = mixture.weights.into_iter().chain(mixture.further.into_iter().flat_map(Option::unwrap));
                all.collect::<Vec<f64>>()[t]
            };
            let scaled: Vec<f64> = used.iter().zip(&scale).map(|(&t, s)| weight(t) * s).collect();
            let at = fit.moments(&scaled);
            // Scores are f32, so a loss of about 2 is known to 1e-5. Where a step promises less than `ENOUGH`, the gradient is
            // about its root, 1e-3.
            assert!((at.loss - loss).abs() < 1e-5);
            assert!(at.gradient.iter().all(|g| g.abs() < 5e-3), "{:?}", at.gradient);
            let ridge = RIDGE * scaled.iter().map(|w| w * w).sum::<f64>();
            assert!((mixture.loss(&examples) + ridge - loss).abs() < 1e-5);
            losses.push(loss);
        }
        assert!(losses.is_sorted_by(|fewer, more| fewer >= more) && losses[0] < 12_f64.ln(), "{losses:?}");
        let (mixture, loss) = Mixture::fit(&examples, ALL, Level::detect());
        let shares = mixture.shares(&examples);
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12 && shares[2] > shares[1], "{shares:?}");
        // By chance it is 0.25.
        assert!(mixture.precision(&examples) > 0.4, "{}", mixture.precision(&examples));
        let without = |present| Mixture::fit(&examples, present, Level::detect()).1 - loss;
        let linear = without(Present { linear: false, ..ALL });
        let neighbours = without(Present { neighbours: false, ..ALL });
        assert!(linear > 10.0 * neighbours && neighbours > -1e-4, "{linear} {neighbours}");
        let (counts_only, _) = Mixture::fit(&examples, Present { counts: true, ..Present::default() }, Level::detect());
        assert!(counts_only.weights[2..8].iter().all(|&w| w == 0.0));
        assert_eq!((counts_only.further, counts_only.shares(&examples)), ([None; 2], [1.0, 0.0, 0.0, 0.0, 0.0]));
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let examples = examples(300);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Mixture::fit_shape(&examples, ALL, Shape::Crossed, Level::detect()))
        };
        assert_eq!(with(1).0, with(3).0);
    }

    #[test]
    fn samples_without_a_candidate_of_theirs_teach_nothing() {
        let candidates = [Candidate { label: 4, ..Candidate::default() }];
        assert!(Example::new(&candidates, &[3, 5], &[0; 9], ALL).is_none());
        assert!(Example::new(&[], &[3], &[0; 9], ALL).is_none());
        assert_eq!(
            Mixture::fit(&[], ALL, Level::detect()).0.weights[..PLAIN + 1],
            [[1.0; PLAIN].as_slice(), &[0.0]].concat()
        );
    }
}
