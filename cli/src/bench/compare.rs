//! Compares two sets of results, in pairs of one workload, seed and device.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::outcome::Outcome;
use hotrow::error::{Error, Result};

/// Two runs of one workload with one seed on one kind of device.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// The workload.
    pub workload: String,
    /// The seed of both.
    pub seed: u64,
    /// The device of both.
    pub device: String,
    /// The first run.
    pub a: Side,
    /// The second run.
    pub b: Side,
    /// The first run's time to the target, divided by the second's: above 1 the second is faster. `None` if one of them
    /// did not reach the target.
    pub speed_ratio: Option<f64>,
    /// The first run's floating-point operations, divided by the second's. It is no speed, and the two are never
    /// multiplied.
    pub flop_ratio: Option<f64>,
}

/// One run of a pair.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Side {
    /// Engine and variant.
    pub name: String,
    /// `reached`, `not converged` or `diverged`.
    pub status: String,
    /// The target's metric at the end.
    pub quality: Option<f64>,
    /// Whether that is an estimate.
    pub quality_is_estimate: bool,
    /// Seconds to the target, from the start of training.
    pub seconds_to_target: Option<f64>,
    /// Seconds of the whole run, loading included.
    pub seconds_total: f64,
    /// Floating-point operations executed.
    pub flops: u64,
}

/// The comparison of two sets of results.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Version of this object.
    pub schema: u32,
    /// Its kind.
    pub kind: &'static str,
    /// The pairs, by workload and seed.
    pub pairs: Vec<Pair>,
    /// Results without a partner: workload, engine, variant and seed.
    pub unpaired: Vec<String>,
}

fn side(outcome: &Outcome) -> Side {
    Side {
        name: format!("{} {} {}", outcome.engine, outcome.variant, outcome.precision),
        status: outcome.status.clone(),
        quality: outcome.metrics.get(&outcome.target.metric).copied(),
        quality_is_estimate: outcome.metrics_are_estimates,
        seconds_to_target: outcome.target.seconds.filter(|_| outcome.target.reached),
        seconds_total: outcome.seconds.total,
        flops: outcome.flops.executed,
    }
}

fn title(outcome: &Outcome) -> String {
    let Outcome { workload, engine, device, variant, seed, .. } = outcome;
    format!("{workload} {engine} {device} {variant} seed {seed}")
}

/// Pairs the results of `a` with those of `b` of the same workload, seed and device. If a set has several variants of a
/// workload, the engine and variant must agree too.
///
/// # Errors
///
/// [`Error::Config`] if two results of one workload differ in the workload's hash, in division or in target, so they
/// cannot be compared; or if no result has a partner.
///
/// ```
/// use hotrow_cli::bench::{Outcome, compare};
/// let outcome = |variant: &str, seconds| {
///     let mut outcome = Outcome { variant: variant.into(), ..Outcome::default() };
///     (outcome.target.reached, outcome.target.seconds) = (true, Some(seconds));
///     outcome
/// };
/// let comparison = compare(&[outcome("dense", 12.0)], &[outcome("sparse", 4.0)])?;
/// assert_eq!(comparison.pairs[0].speed_ratio, Some(3.0));
/// # Ok::<(), hotrow::error::Error>(())
/// ```
pub fn compare(a: &[Outcome], b: &[Outcome]) -> Result<Comparison> {
    let names = |outcomes: &[Outcome], workload: &str| -> BTreeSet<(String, String)> {
        let own = outcomes.iter().filter(|outcome| outcome.workload == workload);
        own.map(|outcome| (outcome.engine.clone(), outcome.variant.clone())).collect()
    };
    let (mut pairs, mut unpaired, mut taken) = (Vec::new(), Vec::new(), BTreeSet::new());
    for first in a {
        let several = [a, b].iter().any(|set| names(set, &first.workload).len() > 1);
        let partner = b.iter().enumerate().find(|(at, second)| {
            let place = |outcome: &Outcome| (outcome.workload.clone(), outcome.seed, outcome.device.clone());
            let name = |outcome: &Outcome| (outcome.engine.clone(), outcome.variant.clone());
            !taken.contains(at) && place(first) == place(second) && (!several || name(first) == name(second))
        });
        let Some((at, second)) = partner else {
            unpaired.push(title(first));
            continue;
        };
        taken.insert(at);
        refuse_unlike(first, second)?;
        let (a, b) = (side(first), side(second));
        pairs.push(Pair {
            workload: first.workload.clone(),
            seed: first.seed,
            device: first.device.clone(),
            speed_ratio: a.seconds_to_target.zip(b.seconds_to_target).map(|(a, b)| a / b),
            flop_ratio: (a.flops > 0 && b.flops > 0).then(|| a.flops as f64 / b.flops as f64),
            a,
            b,
        });
    }
    unpaired.extend(b.iter().enumerate().filter(|(at, _)| !taken.contains(at)).map(|(_, outcome)| title(outcome)));
    if pairs.is_empty() {
        let message = format!("no two results have workload, seed and device in common: {}", unpaired.join("; "));
        return Err(Error::config("compare", message));
    }
    pairs.sort_by(|x, y| (&x.workload, &x.a.name, &x.b.name, x.seed).cmp(&(&y.workload, &y.a.name, &y.b.name, y.seed)));
    Ok(Comparison { schema: 1, kind: "hotrow-bench-comparison", pairs, unpaired })
}

fn refuse_unlike(a: &Outcome, b: &Outcome) -> Result<()> {
    let refuse = |what: &str, x: &str, y: &str| {
        let message = format!("{what} {x} of {} is not {y} of {}", title(a), title(b));
        Err(Error::config("compare", message))
    };
    if a.workload_hash != b.workload_hash {
        return refuse("workload hash", &a.workload_hash, &b.workload_hash);
    }
    if a.division != b.division {
        return refuse("division", &format!("{:?}", a.division), &format!("{:?}", b.division));
    }
    if (&a.target.metric, a.target.value) != (&b.target.metric, b.target.value) {
        let shown = |outcome: &Outcome| format!("{} {}", outcome.target.metric, outcome.target.value);
        return refuse("target", &shown(a), &shown(b));
    }
    Ok(())
}

/// The median of some numbers: of an even number, the mean of the two in the middle.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length.is_multiple_of(2) => Some((values[middle - 1] + values[middle]) / 2.0),
        _ => Some(values[middle]),
    }
}

/// A table for people: every pair, then the medians of each group of pairs.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let number =
            |value: Option<f64>, digits: usize| value.map_or("-".to_owned(), |value| format!("{value:.digits$}"));
        let mut at = 0;
        while at < self.pairs.len() {
            let Pair { workload, a, b, .. } = &self.pairs[at];
            let same = |pair: &&Pair| (&pair.workload, &pair.a.name, &pair.b.name) == (workload, &a.name, &b.name);
            let group: Vec<&Pair> = self.pairs[at..].iter().take_while(same).collect();
            writeln!(f, "{workload}: A = {}, B = {}, n = {}", a.name, b.name, group.len())?;
            writeln!(
                f,
                "{:>6}  {:>22}  {:>22}  {:>12}  {:>12}  {:>9}  {:>9}",
                "seed", "quality A", "quality B", "to target A", "to target B", "speed B/A", "FLOPs A/B"
            )?;
            let quality = |side: &Side| {
                let estimate = if side.quality_is_estimate { " (estimate)" } else { "" };
                let status = if side.status == "reached" { String::new() } else { format!(" {}", side.status) };
                format!("{}{estimate}{status}", number(side.quality, 4))
            };
            for pair in &group {
                let time = |side: &Side| side.seconds_to_target.map_or("-".to_owned(), |s| format!("{s:.1} s"));
                writeln!(
                    f,
                    "{:>6}  {:>22}  {:>22}  {:>12}  {:>12}  {:>9}  {:>9}",
                    pair.seed,
                    quality(&pair.a),
                    quality(&pair.b),
                    time(&pair.a),
                    time(&pair.b),
                    number(pair.speed_ratio, 2),
                    number(pair.flop_ratio, 2)
                )?;
            }
            let middle = |of: &dyn Fn(&Pair) -> Option<f64>| median(group.iter().filter_map(|pair| of(pair)).collect());
            writeln!(
                f,
                "{:>6}  {:>22}  {:>22}  {:>12}  {:>12}  {:>9}  {:>9}",
                "median",
                number(middle(&|pair| pair.a.quality), 4),
                number(middle(&|pair| pair.b.quality), 4),
                number(middle(&|pair| pair.a.seconds_to_target), 1),
                number(middle(&|pair| pair.b.seconds_to_target), 1),
                number(middle(&|pair| pair.speed_ratio), 2),
                number(middle(&|pair| pair.flop_ratio), 2)
            )?;
            at += group.len();
        }
        for name in &self.unpaired {
            writeln!(f, "no partner: {name}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(variant: &str, seed: u64) -> Outcome {
        Outcome { workload: "w".into(), variant: variant.into(), seed, workload_hash: "1".into(), ..Outcome::default() }
    }

    #[test]
    fn several_variants_are_paired_with_their_own() {
        let all = [outcome("dense", 1), outcome("sparse", 1), outcome("dense", 2)];
        let comparison = compare(&all, &all[1..]).unwrap();
        let names: Vec<_> = comparison.pairs.iter().map(|pair| (pair.a.name.as_str(), pair.seed)).collect();
        assert_eq!(names, [("hotrow dense f32", 2), ("hotrow sparse f32", 1)]);
        assert_eq!(comparison.unpaired, ["w hotrow cpu dense seed 1"]);
    }

    #[test]
    fn unlike_results_are_refused() {
        let a = outcome("dense", 1);
        for (change, word) in [("hash", "workload hash"), ("division", "division"), ("target", "target")] {
            let mut b = outcome("sparse", 1);
            match change {
                "hash" => b.workload_hash = "2".into(),
                "division" => b.division = crate::bench::Division::Tuned,
                _ => b.target.value = 0.5,
            }
            let error = compare(std::slice::from_ref(&a), &[b]).unwrap_err();
            assert!(error.exit_code() == 2 && error.to_string().contains(word), "{error}");
        }
        assert_eq!(compare(&[a], &[outcome("dense", 2)]).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn what_did_not_reach_the_target_has_no_speed() {
        let (mut a, mut b) = (outcome("dense", 1), outcome("sparse", 1));
        (a.target.reached, a.target.seconds) = (true, Some(4.0));
        (a.flops.executed, b.flops.executed) = (30, 10);
        b.target.seconds = Some(1.0);
        let comparison = compare(&[a], &[b]).unwrap();
        assert_eq!((comparison.pairs[0].speed_ratio, comparison.pairs[0].flop_ratio), (None, Some(3.0)));
        assert!(comparison.to_string().contains("not converged"));
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!([vec![], vec![3.0, 1.0, 2.0], vec![4.0, 1.0]].map(median), [None, Some(2.0), Some(2.5)]);
    }
}
