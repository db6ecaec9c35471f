//! Which parts and terms a mixture is better without.

use super::fit::Example;
use super::mixture::Mixture;
use super::terms::{Present, Shape};
use crate::kernels::Level;

/// Examples by which parts are chosen: a fit to half of them and a look at the others for each part.
const CHOOSING: usize = 1500;

/// The parts without which examples are predicted worse that the mixture was not fitted to.
pub(super) fn chosen(examples: &[Example], parts: Present, level: Level) -> Present {
    let halves = halves(examples, CHOOSING);
    let loss = |parts: Present| -> f64 {
        let of = |fitted: &[Example], seen: &[Example]| Mixture::fit(fitted, parts, level).0.loss(seen);
        of(&halves[0], &halves[1]) + of(&halves[1], &halves[0])
    };
    if halves[1].is_empty() {
        return parts;
    }
    let (mut used, mut least) = (parts, loss(parts));
    let drops: [fn(&mut Present); 5] = [
        |p| p.network = false,
        |p| p.texts = false,
        |p| p.neighbours = false,
        |p| p.counts = false,
        |p| p.linear = false,
    ];
    for drop in drops {
        let mut fewer = used;
        drop(&mut fewer);
        if fewer != used && fewer.names_labels() {
            let loss = loss(fewer);
            if loss <= least {
                (used, least) = (fewer, loss);
            }
        }
    }
    used
}

/// Examples by which terms are chosen.
const SHAPING: usize = 2500;

/// The mixture of these parts, with the terms that put the labels of examples it was not fitted to first most often; and its loss.
pub(super) fn shaped(examples: &[Example], parts: Present, level: Level) -> (Mixture, f64) {
    let halves = halves(examples, SHAPING);
    let precision = |shape: Shape| -> f64 {
        let of =
            |fitted: &[Example], seen: &[Example]| Mixture::fit_shape(fitted, parts, shape, level).0.precision(seen);
        of(&halves[0], &halves[1]) + of(&halves[1], &halves[0])
    };
    let (mut best, mut most) = (Shape::Plain, f64::NEG_INFINITY);
    if !halves[1].is_empty() {
        for shape in Shape::ALL {
            let precision = precision(shape);
            // Of equal ones the one with fewer terms.
            if precision > most {
                (best, most) = (shape, precision);
            }
        }
    }
    Mixture::fit_shape(examples, parts, best, level)
}

/// Every second of so many examples, and the others.
fn halves(examples: &[Example], most: usize) -> [Vec<Example>; 2] {
    let every = examples.len().div_ceil(most).max(1);
    [0, 1].map(|odd| examples.iter().step_by(every).skip(odd).step_by(2).cloned().collect())
}
