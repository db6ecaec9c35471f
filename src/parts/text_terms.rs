//! The terms of a score that texts of labels give: they stand behind those of the other parts, and are not there without texts.

use super::terms::{COUNTED, Candidate, FREQUENT, MARGIN, NEAR, Raw, Shape};

/// Terms of texts.
pub const TEXT_TERMS: usize = 22;

/// Of them, those that a mixture without bends and products has.
const PLAIN: usize = 10;

/// What all terms of a candidate's text follow from.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct TextRaw {
    /// The product itself, its logarithm, and that of its share of the best.
    product: f32,
    log: f32,
    share: f32,
    /// The logarithm of its rank.
    rank: f32,
    /// `1 / (1 + n)` for a label that `n` training samples have.
    rare: f32,
}

/// Of each candidate of a sample.
pub(super) fn text_raw(candidates: &[Candidate], frequencies: &[u32]) -> Vec<TextRaw> {
    let best = candidates.iter().map(|c| c.text).fold(0.0, f32::max);
    let log = |x: f32| (1e-3 + x.max(0.0)).ln();
    let of = |c: &Candidate| TextRaw {
        product: c.text.max(0.0),
        log: log(c.text),
        share: log(c.text / (1e-9 + best)),
        rank: 0.0,
        rare: 1.0 / (1.0 + frequencies[c.label as usize] as f32),
    };
    let mut all: Vec<TextRaw> = candidates.iter().map(of).collect();
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_unstable_by(|&a, &b| all[b].product.total_cmp(&all[a].product).then(a.cmp(&b)));
    order.iter().enumerate().for_each(|(rank, &at)| all[at].rank = (rank as f32).ln_1p());
    all
}

/// All terms of the texts of the candidates of a sample, put behind `into`. `raw` is what the other parts say of the same candidates.
pub(super) fn expand_texts(raw: &[Raw], all: &[TextRaw], into: &mut Vec<[f64; TEXT_TERMS]>) {
    let most = |number: usize| raw.iter().map(|raw| f64::from(raw[number])).fold(f64::NEG_INFINITY, f64::max);
    let (margin, counted, near) = (most(MARGIN), most(COUNTED), most(NEAR));
    into.extend(raw.iter().zip(all).map(|(raw, text)| {
        let [product, log, share, rank, rare] =
            [text.product, text.log, text.share, text.rank, text.rare].map(f64::from);
        let unseen = f64::from(u8::from(text.rare == 1.0));
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

/// The terms of texts in a mixture of a shape.
pub(super) fn used_of_texts(shape: Shape) -> usize {
    if shape == Shape::Crossed { TEXT_TERMS } else { PLAIN }
}
