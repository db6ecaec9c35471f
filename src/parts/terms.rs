//! What the parts of a classifier say of a label, and the terms that a score is made of.

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
    /// Of [`TextMemory`](super::TextMemory).
    pub text: f32,
    /// Of [`NetworkPart`](super::NetworkPart).
    pub logit: f32,
}

/// Parts that a score can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// [`CountMemory`](super::CountMemory).
    pub counts: bool,
    /// [`NeighbourMemory`](super::NeighbourMemory).
    pub neighbours: bool,
    /// [`SparseLinear`](super::SparseLinear).
    pub linear: bool,
    /// [`TextMemory`](super::TextMemory).
    pub texts: bool,
    /// [`NetworkPart`](super::NetworkPart).
    pub network: bool,
}

impl Present {
    /// All parts.
    pub const ALL: Self = Self { counts: true, neighbours: true, linear: true, texts: true, network: true };

    /// Whether a part names labels. A network does not: it scores what the others name.
    pub(super) fn names_labels(self) -> bool {
        self.counts || self.neighbours || self.linear || self.texts
    }
}

/// Terms of a score, but for those of texts and of the network.
pub const TERMS: usize = 44;

/// Numbers that all terms of a candidate follow from: see [`raw`].
pub(super) const RAW: usize = 12;

/// One candidate's.
pub(super) type Raw = [f32; RAW];

/// Where each of [`BENT`] bends.
pub(super) type Knots = [[f64; 3]; 4];

/// Quantiles, over all candidates, at which knots are.
const QUANTILES: [f64; 3] = [0.8, 0.95, 0.99];

/// Among the raw numbers.
pub(super) const COUNTED: usize = 1;
pub(super) const NEAR: usize = 4;
pub(super) const MARGIN: usize = 5;
const HINGE: usize = 6;
pub(super) const FREQUENT: usize = 8;
const RANKED: [usize; 3] = [COUNTED, NEAR, MARGIN];

/// Numbers that count differently where they are large.
const BENT: [usize; 4] = [MARGIN, COUNTED, NEAR, FREQUENT];
/// Numbers of a candidate that count differently by what the best candidate of the sample has.
const BESIDE: [usize; 4] = [MARGIN, COUNTED, NEAR, FREQUENT];
/// Two numbers of a candidate that count differently together.
const TOGETHER: [(usize, usize); 8] = [
    (MARGIN, COUNTED),
    (MARGIN, NEAR),
    (COUNTED, NEAR),
    (MARGIN, FREQUENT),
    (COUNTED, FREQUENT),
    (NEAR, FREQUENT),
    (HINGE, COUNTED),
    (HINGE, NEAR),
];

/// The part that gives each raw number, if one does.
const GIVEN_BY: [Option<usize>; RAW] =
    [Some(0), Some(0), Some(1), Some(1), Some(1), Some(2), Some(2), Some(2), None, Some(0), Some(1), Some(2)];

/// Which terms a mixture may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The raw numbers without ranks.
    Plain,
    /// These with bends.
    Bent,
    /// All.
    Crossed,
}

impl Shape {
    /// From few terms to many.
    pub const ALL: [Shape; 3] = [Shape::Plain, Shape::Bent, Shape::Crossed];
}

/// Of each candidate, and of labels behind them that nobody named, logarithms of what each part says, by itself and as a share of what it says of all of them; of margins also the hinge
/// and what omikuji makes of it (`exp -max(0, 1 - margin)^2`); how frequent the label is in training; and the logarithms of its ranks by
/// counts, neighbours and margin. Shares and ranks are among the first `named`, so that their scores do not depend on what stands behind.
pub(super) fn raw(candidates: &[Candidate], named: usize, frequencies: &[u32]) -> Vec<Raw> {
    let among = &candidates[..named];
    let sum = |of: fn(&Candidate) -> f32| among.iter().map(|c| f64::from(of(c))).sum::<f64>();
    let largest = among.iter().map(|c| f64::from(c.counted)).fold(0.0, f64::max);
    let (near, squared) = (sum(|c| c.near), sum(|c| c.near_squared));
    // Features may be negative, and then so may sums; what is not above 0 says as little as can be.
    let log = |x: f32| (1e-3 + x.max(0.0)).ln();
    let share = |x: f32, all: f64| log((f64::from(x) / (1e-9 + all.max(0.0))) as f32);
    let of = |c: &Candidate| {
        let hinge = -(1.0 - c.margin).max(0.0).powi(2);
        [
            share(c.counted, largest),
            log(c.counted),
            share(c.near_squared, squared),
            share(c.near, near),
            log(c.near_squared),
            c.margin.clamp(-2.0, 3.0),
            hinge,
            hinge.exp(),
            (1.0 + frequencies[c.label as usize] as f32).ln(),
            0.0,
            0.0,
            0.0,
        ]
    };
    let mut all: Vec<Raw> = candidates.iter().map(of).collect();
    let mut ranks: Vec<u64> = Vec::with_capacity(all.len());
    for (place, number) in RANKED.into_iter().enumerate() {
        ranks.clear();
        ranks.extend((0..).zip(&all[..named]).map(|(at, raw)| descending(raw[number], at)));
        ranks.sort_unstable();
        (1..).zip(&ranks).for_each(|(rank, &at)| all[at as u32 as usize][9 + place] = (rank as f32).ln());
        for raw in &mut all[named..] {
            let before = ranks.partition_point(|&rank| rank <= descending(raw[number], u32::MAX));
            raw[9 + place] = (1.0 + before as f32).ln();
        }
    }
    all
}

/// Increases as `number` falls, and for equal ones as `at` rises. What is not a number comes first or last, by its sign.
pub(super) fn descending(number: f32, at: u32) -> u64 {
    let bits = number.to_bits();
    let ordered = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    u64::from(!ordered) << 32 | u64::from(at)
}

/// All terms of the candidates of a sample, put behind `into`.
pub(super) fn expand(all: &[Raw], knots: &Knots, into: &mut Vec<[f64; TERMS]>) {
    let most = most(all);
    into.extend(all.iter().map(|raw| {
        let (raw, mut terms) = (raw.map(f64::from), [0.0; TERMS]);
        terms[..RAW].copy_from_slice(&raw);
        let beside = BESIDE.iter().flat_map(|&number| most.iter().map(move |most| raw[number] * most));
        let together = TOGETHER.iter().map(|&(a, b)| raw[a] * raw[b]);
        let bent = |(&number, knots): (&usize, &[f64; 3])| knots.map(|knot| (raw[number] - knot).max(0.0));
        let bends = BENT.iter().zip(knots).flat_map(bent);
        terms[RAW..].iter_mut().zip(beside.chain(together).chain(bends)).for_each(|(term, value)| *term = value);
        terms
    }));
}

/// `sum_t weights_t term_t` of each candidate of a sample, without its terms one by one; the best are among the first `named`.
pub(super) fn scores(all: &[Raw], named: usize, knots: &Knots, weights: &[f64; TERMS]) -> Vec<f64> {
    let most = most(&all[..named]);
    let (raw_weights, products) = weights.split_at(RAW);
    let (beside, products) = products.split_at(BESIDE.len() * most.len());
    let (together, bends) = products.split_at(TOGETHER.len());
    let mut linear: [f64; RAW] = std::array::from_fn(|number| raw_weights[number]);
    for (&number, weights) in BESIDE.iter().zip(beside.chunks(most.len())) {
        linear[number] += weights.iter().zip(&most).map(|(weight, most)| weight * most).sum::<f64>();
    }
    let score = |raw: &Raw| {
        let raw = raw.map(f64::from);
        let bent = |((&number, knots), weights): ((&usize, &[f64; 3]), &[f64])| -> f64 {
            (0..3).map(|at| weights[at] * (raw[number] - knots[at]).max(0.0)).sum()
        };
        let plain: f64 = (0..RAW).map(|number| linear[number] * raw[number]).sum();
        let pairs: f64 = TOGETHER.iter().zip(together).map(|(&(a, b), weight)| weight * raw[a] * raw[b]).sum();
        plain + pairs + BENT.iter().zip(knots).zip(bends.chunks(3)).map(bent).sum::<f64>()
    };
    all.iter().map(score).collect()
}

/// The largest margin, counts and nearness.
pub(super) fn most(all: &[Raw]) -> [f64; 3] {
    [MARGIN, COUNTED, NEAR].map(|number| all.iter().map(|raw| f64::from(raw[number])).fold(f64::NEG_INFINITY, f64::max))
}

/// Knots for these candidates.
pub(super) fn knots<'a>(candidates: impl Iterator<Item = &'a Raw> + Clone) -> Knots {
    BENT.map(|number| {
        let mut values: Vec<f32> = candidates.clone().map(|raw| raw[number]).collect();
        values.sort_unstable_by(f32::total_cmp);
        let last = values.len().saturating_sub(1) as f64;
        QUANTILES.map(|quantile| values.get((quantile * last) as usize).map_or(0.0, |&value| value.into()))
    })
}

/// The numbers that each term is made of.
fn made_of() -> [[usize; 2]; TERMS] {
    let raw = (0..RAW).map(|number| [number; 2]);
    let beside = BESIDE.iter().flat_map(|&number| [MARGIN, COUNTED, NEAR].map(|most| [number, most]));
    let together = TOGETHER.iter().map(|&(a, b)| [a, b]);
    let bends = BENT.iter().flat_map(|&number| [[number; 2]; 3]);
    let mut all = raw.chain(beside).chain(together).chain(bends);
    std::array::from_fn(|_| all.next().expect("as many as there are terms"))
}

/// The terms of a mixture of these parts, but for those of texts and of the network.
pub(super) fn used(present: Present, shape: Shape) -> [bool; TERMS] {
    let parts = [present.counts, present.neighbours, present.linear];
    let there = made_of().map(|numbers| numbers.iter().all(|&number| GIVEN_BY[number].is_none_or(|part| parts[part])));
    let plain = |term: usize| term <= FREQUENT;
    let bend = |term: usize| term >= TERMS - 3 * BENT.len();
    std::array::from_fn(|term| {
        there[term]
            && match shape {
                Shape::Plain => plain(term),
                Shape::Bent => plain(term) || bend(term),
                Shape::Crossed => true,
            }
    })
}

/// The terms that part `part` (counts, neighbours, linear rows) has to do with.
pub(super) fn of_part(part: usize) -> [bool; TERMS] {
    made_of().map(|numbers| numbers.iter().any(|&number| GIVEN_BY[number] == Some(part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_of_parts_that_are_not_there_are_not_used() {
        let all = Present::ALL;
        assert!(used(all, Shape::Crossed).iter().all(|&used| used));
        assert_eq!(used(all, Shape::Plain).iter().filter(|&&used| used).count(), 9);
        assert_eq!(used(all, Shape::Bent).iter().filter(|&&used| used).count(), 21);
        let alone = used(Present { counts: true, ..Present::default() }, Shape::Crossed);
        for term in 0..TERMS {
            assert_eq!(alone[term], !of_part(1)[term] && !of_part(2)[term], "{term}");
        }
    }

    #[test]
    fn every_term_is_what_it_is_said_to_be_made_of() {
        let candidate = |label: u32| Candidate {
            label,
            counted: 0.1 + label as f32,
            near: 0.5,
            near_squared: 0.2 * label as f32,
            margin: label as f32 - 1.5,
            ..Candidate::default()
        };
        let all = raw(&[0, 1, 2].map(candidate), 3, &[3, 0, 7]);
        let knots = knots(all.iter());
        let mut terms = Vec::new();
        expand(&all, &knots, &mut terms);
        let (of, first) = (&all[1], &terms[1]);
        let number = |at: usize| f64::from(of[at]);
        let most = f64::from(all[2][MARGIN]);
        assert_eq!(first[RAW], number(MARGIN) * most);
        assert_eq!(first[RAW + 12], number(MARGIN) * number(COUNTED));
        assert_eq!(first[TERMS - 3], (number(FREQUENT) - knots[3][0]).max(0.0));
        assert_eq!(all.iter().map(|raw| raw[11]).collect::<Vec<_>>(), [3_f32.ln(), 2_f32.ln(), 0.0]);
        let weights = std::array::from_fn(|term| 0.7 - 0.05 * term as f64);
        for (score, terms) in scores(&all, 3, &knots, &weights).iter().zip(&terms) {
            let products = || terms.iter().zip(&weights).map(|(term, weight)| term * weight);
            assert!((score - products().sum::<f64>()).abs() <= 1e-14 * products().map(f64::abs).sum::<f64>());
        }
    }
}
