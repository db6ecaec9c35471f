//! One token, drawn from the scores of all.

use rand::{Rng, RngExt};

use crate::error::{Error, Result};

/// How a token is drawn.
///
/// ```
/// use hotrow::{generate::Sampling, rng::rng};
/// let greedy = Sampling { temperature: 0.0, ..Sampling::default() };
/// assert_eq!(greedy.draw(&[0.5, 2.0, 1.0], &mut rng(1, "draw", 0)), Some(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Scores are divided by it: above 1 draws are bolder, at 0 the best token is always taken.
    pub temperature: f32,
    /// Only so many of the best tokens are drawn from; 0 for all.
    pub top_k: usize,
    /// Only the best tokens that together have at least this probability are drawn from (Holtzman et al. 2020): always one, at 1 all.
    pub top_p: f32,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.8, top_k: 0, top_p: 0.95 }
    }
}

impl Sampling {
    /// Whether each value is in its range.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with the first option that cannot be.
    pub fn check(&self) -> Result<()> {
        let Self { temperature, top_p, .. } = *self;
        if !(temperature.is_finite() && temperature >= 0.0) {
            return Err(Error::config("--temperature", format!("{temperature} is not at least 0")));
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(Error::config("--top-p", format!("{top_p} is not above 0 and at most 1")));
        }
        Ok(())
    }

    /// A token, as a place in `scores`; of equal scores the first counts as the best. `None` if a score is NaN, or none is finite.
    pub fn draw(&self, scores: &[f32], rng: &mut impl Rng) -> Option<u32> {
        let (best, most) = best(scores)?;
        if self.temperature == 0.0 || self.top_k == 1 {
            return Some(best);
        }
        let weight = |token: u32| (f64::from(scores[token as usize] - most) / f64::from(self.temperature)).exp();
        let mut tokens: Vec<(u32, f64)> = (0..scores.len() as u32).map(|token| (token, weight(token))).collect();
        if self.top_k > 0 && self.top_k < tokens.len() {
            tokens.select_nth_unstable_by(self.top_k - 1, better);
            tokens.truncate(self.top_k);
        }
        let total: f64 = tokens.iter().map(|&(_, weight)| weight).sum();
        let kept = if self.top_p < 1.0 { nucleus(&mut tokens, f64::from(self.top_p) * total) } else { tokens.len() };
        tokens.truncate(kept);
        // Whichever way they were selected, they are drawn from in one order.
        tokens.sort_unstable_by_key(|&(token, _)| token);
        let mut left = rng.random::<f64>() * tokens.iter().map(|&(_, weight)| weight).sum::<f64>();
        let drawn = tokens.iter().find(|&&(_, weight)| {
            left -= weight;
            left < 0.0
        });
        // Rounding may leave something at the end of a draw of nearly 1.
        drawn.or(tokens.iter().rev().find(|&&(_, weight)| weight > 0.0)).map(|&(token, _)| token)
    }
}

/// The best token and its score.
fn best(scores: &[f32]) -> Option<(u32, f32)> {
    let mut best: Option<(u32, f32)> = None;
    for (token, &score) in (0..).zip(scores) {
        if score.is_nan() {
            return None;
        }
        if best.is_none_or(|(_, most)| score > most) {
            best = Some((token, score));
        }
    }
    best.filter(|(_, most)| most.is_finite())
}

fn better(a: &(u32, f64), b: &(u32, f64)) -> std::cmp::Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

/// Moves the best tokens to the front, and counts how many of them weigh `enough` together. Mostly these are few of very many, so
/// ever larger numbers of them are sorted, and not all.
fn nucleus(tokens: &mut [(u32, f64)], enough: f64) -> usize {
    let (mut sorted, mut sum) = (0, 0.0);
    while sorted < tokens.len() {
        let rest = &mut tokens[sorted..];
        let next = (7 * sorted).max(64).min(rest.len());
        if next < rest.len() {
            rest.select_nth_unstable_by(next - 1, better);
        }
        rest[..next].sort_unstable_by(better);
        for (_, weight) in &rest[..next] {
            sorted += 1;
            sum += weight;
            if sum >= enough {
                return sorted;
            }
        }
    }
    sorted
}
