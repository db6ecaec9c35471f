//! The terms of a score that texts of labels or a network give: they stand behind those of the other parts, and are not there without them.

use super::terms::{COUNTED, Candidate, FREQUENT, MARGIN, NEAR, Present, Raw, Shape, descending, most};

/// Terms of each part that gives further ones.
pub const FURTHER_TERMS: usize = 22;

/// Of them, those that a mixture without bends and products has.
const PLAIN: usize = 10;

/// A part with further terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Further {
    Texts,
    Network,
}

impl Further {
    /// In the order of their terms.
    pub const ALL: [Further; 2] = [Further::Texts, Further::Network];

    /// Whether it is one of `parts`.
    pub fn is_of(self, parts: Present) -> bool {
        match self {
            Further::Texts => parts.texts,
            Further::Network => parts.network,
        }
    }
}

/// The largest score, and the sum of the exponentials of how far the others lie below.
pub(super) fn softmax(scores: &[f64]) -> (f64, f64) {
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (most, scores.iter().map(|score| (score - most).exp()).sum())
}

/// What all further terms of a candidate follow from.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct FurtherRaw {
    /// The product with the text, or the probability by the network; its logarithm, and that of its share of the best.
    product: f32,
    log: f32,
    share: f32,
    /// The logarithm of its rank.
    rank: f32,
    /// `1 / (1 + n)` for a label with a text that `n` training samples have. A network has no use for it: on delicious, of whose labels all
    /// are frequent, a weight of 186 for its product with a probability made the 0.1 % of rare ones win, and took 10 points of P@1.
    rare: f32,
}

/// The smallest logarithm of a probability.
const UNLIKELY: f32 = -15.0;

/// Of each candidate of a sample, and of labels behind them: shares, ranks and probabilities are among the first `named`.
pub(super) fn further_raw(of: Further, candidates: &[Candidate], named: usize, frequencies: &[u32]) -> Vec<FurtherRaw> {
    let mut all: Vec<FurtherRaw> = match of {
        Further::Texts => {
            let best = candidates[..named].iter().map(|c| c.text).fold(0.0, f32::max);
            let log = |x: f32| (1e-3 + x.max(0.0)).ln();
            let of = |c: &Candidate| FurtherRaw {
                product: c.text.max(0.0),
                log: log(c.text),
                share: log(c.text / (1e-9 + best)),
                rank: 0.0,
                rare: 1.0 / (1.0 + frequencies[c.label as usize] as f32),
            };
            candidates.iter().map(of).collect()
        }
        Further::Network => {
            let logits: Vec<f64> = candidates[..named].iter().map(|c| c.logit.into()).collect();
            let (most, total) = softmax(&logits);
            let of = |c: &Candidate| {
                let below = if named > 0 { f64::from(c.logit) - most } else { 0.0 };
                let log = if named > 0 { below - total.ln() } else { 0.0 };
                FurtherRaw {
                    product: log.exp() as f32,
                    log: (log as f32).max(UNLIKELY),
                    share: (below as f32).max(UNLIKELY),
                    ..FurtherRaw::default()
                }
            };
            candidates.iter().map(of).collect()
        }
    };
    // Probabilities of very unlikely labels are all 0.
    let ranked = |raw: &FurtherRaw| if of == Further::Network { raw.share } else { raw.product };
    let mut ranks: Vec<u64> = (0..).zip(&all[..named]).map(|(at, raw)| descending(ranked(raw), at)).collect();
    ranks.sort_unstable();
    (1..).zip(&ranks).for_each(|(rank, &at)| all[at as u32 as usize].rank = (rank as f32).ln());
    for raw in &mut all[named..] {
        let before = ranks.partition_point(|&rank| rank <= descending(ranked(raw), u32::MAX));
        raw.rank = (1.0 + before as f32).ln();
    }
    all
}

/// All further terms of the candidates of a sample, put behind `into`. `raw` is what the other parts say of the same candidates.
pub(super) fn expand_further(raw: &[Raw], all: &[FurtherRaw], named: usize, into: &mut Vec<[f64; FURTHER_TERMS]>) {
    let [margin, counted, near] = most(&raw[..named]);
    into.extend(raw.iter().zip(all).map(|(raw, of)| {
        let [product, log, share, rank, rare] = [of.product, of.log, of.share, of.rank, of.rare].map(f64::from);
        let unseen = f64::from(u8::from(of.rare == 1.0));
        let raw = raw.map(f64::from);
        [
            product,
            log,
            share,
            rank,
            unseen,
            unseen * product,
            unseen * log,
            rare * product,
            rare * log,
            log * raw[FREQUENT],
            // Not plain.
            product * raw[FREQUENT],
            product * raw[MARGIN],
            product * raw[COUNTED],
            product * raw[NEAR],
            log * raw[MARGIN],
            log * raw[COUNTED],
            log * raw[NEAR],
            log * margin,
            log * counted,
            log * near,
            unseen * margin,
            unseen * near,
        ]
    }));
}

/// The further terms of a part in a mixture of a shape.
pub(super) fn used_of_further(shape: Shape) -> usize {
    if shape == Shape::Crossed { FURTHER_TERMS } else { PLAIN }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_and_ranks_are_among_the_named_and_others_stand_beside_them() {
        let logits = [2.0, -40.0, 3.5, 2.0, 0.5];
        let candidate = |(label, &logit): (u32, &f32)| Candidate { label, logit, ..Candidate::default() };
        let candidates: Vec<Candidate> = (0..).zip(&logits).map(candidate).collect();
        let named = further_raw(Further::Network, &candidates[..4], 4, &[1; 5]);
        let all = further_raw(Further::Network, &candidates, 4, &[1; 5]);
        assert_eq!(all[..4], named);
        assert!((named.iter().map(|raw| raw.product).sum::<f32>() - 1.0).abs() < 1e-6);
        assert_eq!(named.iter().map(|raw| raw.rank).collect::<Vec<_>>(), [2_f32.ln(), 4_f32.ln(), 0.0, 3_f32.ln()]);
        assert_eq!((named[1].log, named[1].share, named[2].share), (UNLIKELY, UNLIKELY, 0.0));
        // As if it had been named too, but for the sum.
        assert_eq!((all[4].rank, all[4].share), (4_f32.ln(), -3.0));
        assert!((all[4].log - (all[0].log - 1.5)).abs() < 1e-6);
        assert!(further_raw(Further::Network, &candidates, 0, &[1; 5]).iter().all(|raw| raw.product == 1.0));
    }
}
