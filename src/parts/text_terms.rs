//! The terms of a score that texts of labels give: they stand behind those of the other parts, and are not there without texts.

use super::terms::{COUNTED, Candidate, FREQUENT, MARGIN, NEAR, Raw, Shape, descending, most};

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

/// Of each candidate of a sample, and of labels behind them: shares and ranks are among the first `named`.
pub(super) fn text_raw(candidates: &[Candidate], named: usize, frequencies: &[u32]) -> Vec<TextRaw> {
    let best = candidates[..named].iter().map(|c| c.text).fold(0.0, f32::max);
    let log = |x: f32| (1e-3 + x.max(0.0)).ln();
    let of = |c: &Candidate| TextRaw {
        product: c.text.max(0.0),
        log: log(c.text),
        share: log(c.text / (1e-9 + best)),
        rank: 0.0,
        rare: 1.0 / (1.0 + frequencies[c.label as usize] as f32),
    };
    let mut all: Vec<TextRaw> = candidates.iter().map(of).collect();
    let mut ranks: Vec<u64> = (0..).zip(&all[..named]).map(|(at, raw)| descending(raw.product, at)).collect();
    ranks.sort_unstable();
    (1..).zip(&ranks).for_each(|(rank, &at)| all[at as u32 as usize].rank = (rank as f32).ln());
    for raw in &mut all[named..] {
        let before = ranks.partition_point(|&rank| rank <= descending(raw.product, u32::MAX));
        raw.rank = (1.0 + before as f32).ln();
    }
    all
}

/// All terms of the texts of the candidates of a sample, put behind `into`. `raw` is what the other parts say of the same candidates.
pub(super) fn expand_texts(raw: &[Raw], all: &[TextRaw], named: usize, into: &mut Vec<[f64; TEXT_TERMS]>) {
    let [margin, counted, near] = most(&raw[..named]);
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
