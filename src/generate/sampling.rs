//! Draws one token from the scores of all.

use rand::{Rng, RngExt};

use crate::error::{Error, Result};
use crate::kernels::Level;
use crate::kernels::reduce::{max, softmax, top_k};

/// Bins of scores by their distance from the best. In a vocabulary of 50 000 tokens, each bin that matters holds some
/// hundred to a thousand. The last bin holds what is less likely than e^-128 of the best.
const BINS_A_NAT: f32 = 64.0;
const BINS: usize = 128 * BINS_A_NAT as usize;

/// The options of a draw.
///
/// ```
/// use hotrow::{generate::Sampling, kernels::Level, rng::rng};
/// let greedy = Sampling { temperature: 0.0, ..Sampling::default() };
/// assert_eq!(greedy.draw(Level::detect(), &[0.5, 2.0, 1.0], &mut rng(1, "draw", 0)), Some(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the scores: a larger one makes draws more even; 0 always takes the best token.
    pub temperature: f32,
    /// Draws from this many of the best tokens only; 0 for all.
    pub top_k: usize,
    /// Draws from the fewest best tokens that together have at least this probability (Holtzman et al. 2020); 1 for
    /// all.
    pub top_p: f32,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.8, top_k: 0, top_p: 0.95 }
    }
}

impl Sampling {
    /// Checks that each value is in its range.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with the first option out of range.
    pub fn check(&self) -> Result<()> {
        let Self { temperature, top_p, .. } = *self;
        if !(temperature.is_finite() && temperature >= 0.0) {
            return Err(Error::config("temperature", format!("{temperature} is not at least 0")));
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(Error::config("top_p", format!("{top_p} is not above 0 and at most 1")));
        }
        Ok(())
    }

    /// Draws a token, as a position in `scores`. Of equal scores the first counts as the best. `None` if a score is
    /// NaN, or none is finite. Probabilities are those of [`softmax`](crate::kernels::reduce::softmax) in f32, and
    /// their sums are f64.
    pub fn draw(&self, level: Level, scores: &[f32], rng: &mut impl Rng) -> Option<u32> {
        let most = max(level, scores);
        if !most.is_finite() {
            return None;
        }
        if self.temperature == 0.0 || self.top_k == 1 {
            return scores.iter().position(|&score| score == most).map(|token| token as u32);
        }
        let mut weights: Vec<f32> = scores.iter().map(|score| (score - most) / self.temperature).collect();
        softmax(level, &mut weights, None);
        let last = self.last(level, scores, most, &weights);
        // In the order of tokens, whatever selected them.
        let kept = (0..).zip(scores.iter().zip(&weights)).filter(|&(token, (&score, _))| {
            last.is_none_or(|(worst, of)| score > worst || (score == worst && token <= of))
        });
        let kept = kept.map(|(token, (_, &weight))| (token, f64::from(weight)));
        let mut left = rng.random::<f64>() * kept.clone().map(|(_, weight)| weight).sum::<f64>();
        let drawn = kept.clone().find(|&(_, weight)| {
            left -= weight;
            left < 0.0
        });
        // Rounding may leave a rest at the end of a draw of nearly 1.
        drawn.or_else(|| kept.filter(|&(_, weight)| weight > 0.0).last()).map(|(token, _)| token)
    }

    /// The score and the token of the worst that may be drawn; `None` if all may.
    fn last(&self, level: Level, scores: &[f32], most: f32, weights: &[f32]) -> Option<(f32, u32)> {
        let some = self.top_k > 0 && self.top_k < scores.len();
        if !some {
            return if self.top_p < 1.0 { self.nucleus(scores, most, weights) } else { None };
        }
        let (mut ids, mut values) = (vec![0; self.top_k], vec![0.0; self.top_k]);
        top_k(level, scores, &mut ids, &mut values);
        let weight = |&token: &u32| f64::from(weights[token as usize]);
        let enough = f64::from(self.top_p) * ids.iter().map(weight).sum::<f64>();
        let kept = if self.top_p < 1.0 { fewest(ids.iter().map(weight), 0.0, enough) } else { self.top_k };
        Some((values[kept - 1], ids[kept - 1]))
    }

    /// The same for the best tokens with `top_p` together. Counting by bins comes first, so only one bin has to be
    /// sorted. In a flat distribution nearly all tokens are among the best.
    pub(super) fn nucleus(&self, scores: &[f32], most: f32, weights: &[f32]) -> Option<(f32, u32)> {
        // Saturates.
        let bin = |score: f32| (((most - score) / self.temperature * BINS_A_NAT) as usize).min(BINS - 1);
        let mut sums = vec![0.0; BINS];
        scores.iter().zip(weights).for_each(|(&score, &weight)| sums[bin(score)] += f64::from(weight));
        let enough = f64::from(self.top_p) * sums.iter().sum::<f64>();
        let (mut at, mut before) = (0, 0.0);
        while at < BINS - 1 && before + sums[at] < enough {
            before += sums[at];
            at += 1;
        }
        let mut tokens: Vec<u32> = (0..).zip(scores).filter(|&(_, &s)| bin(s) == at).map(|(token, _)| token).collect();
        let score = |token: u32| scores[token as usize];
        tokens.sort_unstable_by(|&a, &b| score(b).total_cmp(&score(a)).then(a.cmp(&b)));
        let kept = fewest(tokens.iter().map(|&token| f64::from(weights[token as usize])), before, enough);
        let last = *tokens.get(kept.checked_sub(1)?)?;
        Some((score(last), last))
    }
}

/// How many of the first `weights` reach `enough` when `before` is added; all of them if rounding keeps them below it.
fn fewest(weights: impl Iterator<Item = f64>, before: f64, enough: f64) -> usize {
    let (mut sum, mut count) = (before, 0);
    for weight in weights {
        sum += weight;
        count += 1;
        if sum >= enough {
            break;
        }
    }
    count
}
