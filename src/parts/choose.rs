//! Which parts a mixture is better without.

use super::mixture::{Example, Mixture, Present};

/// Examples by which parts are chosen: a fit to half of them and a look at the others for each part.
const CHOOSING: usize = 1500;

/// The parts without which examples are predicted worse that the mixture was not fitted to.
pub(super) fn chosen(examples: &[Example], parts: Present) -> Present {
    let every = examples.len().div_ceil(CHOOSING).max(1);
    let half = |odd: usize| -> Vec<Example> { examples.iter().step_by(every).skip(odd).step_by(2).cloned().collect() };
    let halves = [half(0), half(1)];
    let loss = |parts: Present| -> f64 {
        let of = |fitted: &[Example], seen: &[Example]| Mixture::fit(fitted, parts).0.loss(seen);
        of(&halves[0], &halves[1]) + of(&halves[1], &halves[0])
    };
    if halves[1].is_empty() {
        return parts;
    }
    let (mut used, mut least) = (parts, loss(parts));
    let drops: [fn(&mut Present); 3] = [|p| p.neighbours = false, |p| p.counts = false, |p| p.linear = false];
    for drop in drops {
        let mut fewer = used;
        drop(&mut fewer);
        if fewer != used && (fewer.counts || fewer.neighbours || fewer.linear) {
            let loss = loss(fewer);
            if loss <= least {
                (used, least) = (fewer, loss);
            }
        }
    }
    used
}
