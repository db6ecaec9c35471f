//! Finds the density below which sparse products cost less than dense ones. Training chooses between them by a rule
//! that rests on this.

use std::collections::BTreeMap;

use serde::Serialize;

use super::products::{Found, Shape, contest};
use super::timing::{Effort, Heading};
use hotrow::kernels::gemm::Precision;
use hotrow::train::xmc::PACKED_FROM;

/// One density of one setting.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DensityRow {
    /// Instruction set.
    pub level: String,
    /// `f32`, or `bf16` if weights are stored so.
    pub dtype: String,
    /// In words.
    pub shape: String,
    /// The wanted share of all pairs of a sample and a row.
    pub density: f64,
    /// The same share among the rows that any sample wants.
    pub fill: f64,
    /// Rows that any sample wants.
    pub union_rows: usize,
    /// Median time of forward, backward to the input and gradient of the weights, by method: `sampled_seconds`,
    /// `packed_seconds`,
    /// `dense_seconds`, `matmul_seconds`.
    #[serde(flatten)]
    pub seconds: BTreeMap<String, f64>,
}

/// Where two methods cost the same, for one setting.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Crossing {
    /// Instruction set.
    pub level: String,
    /// `f32` or `bf16`.
    pub dtype: String,
    /// In words.
    pub shape: String,
    /// The density below which sampled products are faster than those of all rows.
    pub sampled_beats_dense_below: Option<f64>,
    /// The density below which they are faster than a product of all rows with packed weights.
    pub sampled_beats_matmul_below: Option<f64>,
    /// The density below which it is faster to gather the rows that any sample wants than to compute all.
    pub packed_beats_dense_below: Option<f64>,
    /// The fill below which sampled products are faster than gathered ones. The rule of training uses it.
    pub sampled_beats_packed_below_fill: Option<f64>,
}

/// The rule of training, and whether the measurement agrees.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rule {
    /// The fill from which training packs: [`PACKED_FROM`].
    pub packed_from: f64,
    /// The smallest and the largest fill at which the best level broke even.
    pub measured: Option<[f64; 2]>,
    /// Whether the constant lies between them.
    pub agrees: bool,
    /// The worst cost of the constant, over all densities of the best level: a factor of the better method's time.
    pub worst_factor: f64,
}

/// The whole measurement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BreakEven {
    /// Machine, versions and command.
    #[serde(flatten)]
    pub heading: Heading,
    /// All measurements.
    pub rows: Vec<DensityRow>,
    /// Where the methods cross.
    pub crossings: Vec<Crossing>,
    /// The rule of training.
    pub rule: Rule,
}

/// Times the methods for an output layer's products over densities, for each level, type and shape, on one thread.
///
/// # Panics
///
/// If a kernel gives a wrong answer, or `effort` has no level.
///
/// ```no_run
/// use hotrow::kernels::Level;
/// use hotrow_cli::bench::{Effort, breakeven};
/// let effort = Effort { repeats: 5, quick: false, levels: Level::available().collect(), command: Vec::new() };
/// assert!(!breakeven(&effort).crossings.is_empty());
/// ```
pub fn breakeven(effort: &Effort) -> BreakEven {
    let mut heading = Heading::new("breakeven", effort);
    let (shapes, densities) = match effort.quick {
        true => (vec![(128, 32, 32)], vec![0.02, 0.2, 1.0]),
        false => (
            vec![(2048, 64, 128), (2048, 256, 128), (2048, 256, 512)],
            vec![0.005, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.6, 1.0],
        ),
    };
    let (mut rows, mut crossings, mut best) = (Vec::new(), Vec::new(), Vec::new());
    let last = effort.levels.last().expect("there is a level");
    for level in &effort.levels {
        for (dtype, precision) in [("f32", Precision::F32), ("bf16", Precision::Bf16)] {
            for &(labels, batch, dim) in &shapes {
                let shape = Shape { labels, batch, dim };
                let at = |&density: &f64| (density, contest(*level, precision, shape, density, effort.repeats));
                let found: Vec<(f64, Found)> = densities.iter().map(at).collect();
                let crossing = crossing(level.name(), dtype, shape, &found);
                rows.extend(found.iter().map(|(density, found)| row(level.name(), dtype, shape, *density, found)));
                if level.name() == last.name() {
                    best.extend(found.iter().map(|(_, found)| (found.fill, found.of("sampled"), found.of("packed"))));
                }
                crossings.push(crossing);
            }
        }
    }
    heading.end();
    let fills = crossings.iter().filter(|crossing| crossing.level == last.name());
    let fills: Vec<f64> = fills.filter_map(|crossing| crossing.sampled_beats_packed_below_fill).collect();
    let rule = rule(&fills, &best);
    BreakEven { heading, rows, crossings, rule }
}

fn row(level: &str, dtype: &str, shape: Shape, density: f64, found: &Found) -> DensityRow {
    DensityRow {
        level: level.to_owned(),
        dtype: dtype.to_owned(),
        shape: shape.to_string(),
        density,
        fill: found.fill,
        union_rows: found.union,
        seconds: found.timings.iter().map(|timing| (format!("{}_seconds", timing.name), timing.median)).collect(),
    }
}

fn crossing(level: &str, dtype: &str, shape: Shape, found: &[(f64, Found)]) -> Crossing {
    let below = |sparse: &str, dense: &str, fill: bool| {
        let point = |(density, found): &(f64, Found)| {
            (if fill { found.fill } else { *density }, found.of(sparse) / found.of(dense))
        };
        crossing_at(&found.iter().map(point).collect::<Vec<_>>())
    };
    Crossing {
        level: level.to_owned(),
        dtype: dtype.to_owned(),
        shape: shape.to_string(),
        sampled_beats_dense_below: below("sampled", "dense", false),
        sampled_beats_matmul_below: below("sampled", "matmul", false),
        packed_beats_dense_below: below("packed", "dense", false),
        sampled_beats_packed_below_fill: below("sampled", "packed", true),
    }
}

/// Where the ratio of two times crosses 1, interpolated between logarithms. Points come with growing density. `None` if
/// the ratio is above 1 from the start, or below 1 to the end.
fn crossing_at(points: &[(f64, f64)]) -> Option<f64> {
    let at = points.iter().position(|&(_, ratio)| ratio >= 1.0)?;
    let ((a, x), (b, y)) = (*points.get(at.checked_sub(1)?)?, points[at]);
    let (a, b, x, y) = (a.ln(), b.ln(), x.ln(), y.ln());
    Some((a + (b - a) * -x / (y - x)).exp())
}

/// `fills` are those of the crossings; `best` holds fill, sampled time and packed time.
fn rule(fills: &[f64], best: &[(f64, f64, f64)]) -> Rule {
    let (least, most) = fills.iter().fold((f64::INFINITY, 0.0_f64), |(a, b), &fill| (a.min(fill), b.max(fill)));
    let factor = |&(fill, sampled, packed): &(f64, f64, f64)| {
        (if fill < PACKED_FROM { sampled } else { packed }) / f64::min(sampled, packed)
    };
    Rule {
        packed_from: PACKED_FROM,
        measured: (!fills.is_empty()).then_some([least, most]),
        agrees: (least..=most).contains(&PACKED_FROM),
        worst_factor: best.iter().map(factor).fold(1.0, f64::max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_cross_between_the_densities_around_it() {
        let point = |density: f64| (density, density / 0.2);
        assert!((crossing_at(&[point(0.1), point(0.4), point(1.0)]).unwrap() - 0.2).abs() < 1e-12);
        assert_eq!(crossing_at(&[point(0.01), point(0.1)]), None);
        assert_eq!(crossing_at(&[point(0.3), point(0.4)]), None);
    }

    #[test]
    fn the_rule_is_judged_by_what_it_costs() {
        let judged = rule(&[0.2, 0.3], &[(0.1, 1.0, 2.0), (0.24, 3.0, 2.0), (0.5, 9.0, 2.0)]);
        assert!(judged.agrees && judged.worst_factor == 1.5, "{judged:?}");
        assert!(!rule(&[0.3, 0.4], &[]).agrees);
        assert_eq!(rule(&[], &[]).measured, None);
    }
}
