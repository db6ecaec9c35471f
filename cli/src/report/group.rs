//! Groups runs by workload, and those by all but the seed.

use super::{Point, RunReport};

/// The runs of one workload.
#[derive(Debug)]
pub(super) struct Workload<'a> {
    pub name: &'a str,
    pub title: &'a str,
    pub contenders: Vec<Contender<'a>>,
}

/// Runs that differ in their seed only.
#[derive(Debug)]
pub(super) struct Contender<'a> {
    pub name: &'a str,
    /// Colour and mark: the same in all drawings of a workload.
    pub style: usize,
    pub runs: Vec<&'a RunReport>,
}

/// The workloads, in the order of their first runs.
pub(super) fn workloads(runs: &[RunReport]) -> Vec<Workload<'_>> {
    let mut workloads: Vec<Workload> = Vec::new();
    for run in runs {
        let at = workloads.iter().position(|workload| workload.name == run.workload).unwrap_or_else(|| {
            workloads.push(Workload { name: &run.workload, title: &run.workload_title, contenders: Vec::new() });
            workloads.len() - 1
        });
        let contenders = &mut workloads[at].contenders;
        let name = if run.contender.is_empty() { &run.name } else { &run.contender };
        // A run without a contender's name is a contender of its own.
        let known = (!run.contender.is_empty()).then(|| contenders.iter().position(|c| c.name == name)).flatten();
        let at = known.unwrap_or_else(|| {
            contenders.push(Contender { name, style: contenders.len(), runs: Vec::new() });
            contenders.len() - 1
        });
        contenders[at].runs.push(run);
    }
    workloads
}

impl<'a> Workload<'a> {
    pub fn runs(&self) -> impl Iterator<Item = &'a RunReport> + Clone {
        self.contenders.iter().flat_map(|contender| contender.runs.iter().copied())
    }

    /// Whether the runs had a target.
    pub fn is_contest(&self) -> bool {
        self.runs().any(|run| run.target.is_some())
    }

    /// What the others are compared with: the fastest of the contenders on a CPU that compute every row and reach the
    /// target. `None` if there is none.
    pub fn reference(&self) -> Option<&Contender<'a>> {
        let dense = self.contenders.iter().filter(|contender| contender.is_dense() && contender.device() != "cuda");
        let timed = dense.filter_map(|contender| Some((contender.seconds_to_target()?, contender)));
        timed.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, contender)| contender)
    }
}

impl Contender<'_> {
    pub fn device(&self) -> &str {
        &self.runs[0].device
    }

    /// How many of the runs reached the target.
    pub fn reached(&self) -> usize {
        self.runs.iter().filter(|run| run.target.as_ref().is_some_and(|target| target.reached)).count()
    }

    /// The time of each run to the target, fastest first; infinite for those that missed it.
    pub fn times_to_target(&self) -> Vec<f64> {
        let time = |run: &&RunReport| {
            let target = run.target.as_ref().filter(|target| target.reached);
            target.and_then(|target| target.seconds).filter(|s| s.is_finite()).unwrap_or(f64::INFINITY)
        };
        let mut times: Vec<f64> = self.runs.iter().map(time).collect();
        times.sort_by(f64::total_cmp);
        times
    }

    /// The median of these; `None` if it is infinite.
    pub fn seconds_to_target(&self) -> Option<f64> {
        median(&self.times_to_target()).filter(|seconds| seconds.is_finite())
    }

    /// The median over the runs that have the figure.
    pub fn median(&self, figure: impl Fn(&RunReport) -> Option<f64>) -> Option<f64> {
        let mut values: Vec<f64> = self.runs.iter().filter_map(|run| figure(run)).filter(|v| v.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        median(&values)
    }

    /// How many times more operations a network computing every row would have executed.
    pub fn flop_reduction(&self) -> Option<f64> {
        let ratio = self.median(|run| Some(run.dense_flops? / run.flops.filter(|&flops| flops > 0.0)?))?;
        (ratio > 0.0).then_some(ratio)
    }

    /// Whether it computed every row, spent nothing on choosing rows, and was not tuned into another network.
    pub fn is_dense(&self) -> bool {
        let tuned = self.runs.iter().any(|run| run.division == "tuned");
        !tuned && self.flop_reduction().is_some_and(|ratio| (0.99..1.01).contains(&ratio))
    }

    /// The run with the median time of training; of two, the shorter.
    pub fn middle_run(&self) -> &RunReport {
        let mut runs = self.runs.clone();
        let seconds = |run: &RunReport| run.seconds.filter(|seconds| seconds.is_finite()).unwrap_or(f64::INFINITY);
        runs.sort_by(|a, b| seconds(a).total_cmp(&seconds(b)));
        runs[(runs.len() - 1) / 2]
    }

    /// The medians of place and quality over all runs, at the steps that all evaluated. Empty for a single run.
    pub fn median_curve(&self, place: impl Fn(&Point) -> Option<f64>) -> Vec<(f64, f64)> {
        let [first, others @ ..] = self.runs.as_slice() else { return Vec::new() };
        if others.is_empty() {
            return Vec::new();
        }
        let at_step = |run: &RunReport, step| {
            let found = run.curve.iter().find(|point| point.step == step && point.quality.is_some())?;
            Some((place(found)?, found.quality?))
        };
        let evaluated = first.curve.iter().filter(|point| point.quality.is_some());
        let medians = evaluated.filter_map(|point| {
            let points: Option<Vec<(f64, f64)>> = self.runs.iter().map(|run| at_step(run, point.step)).collect();
            let (mut x, mut y): (Vec<f64>, Vec<f64>) = points?.into_iter().unzip();
            x.sort_by(f64::total_cmp);
            y.sort_by(f64::total_cmp);
            Some((median(&x)?, median(&y)?))
        });
        medians.collect()
    }
}

/// The median of sorted values: the mean of the two in the middle, if their number is even.
pub(super) fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Target;

    fn run(contender: &str, seconds: Option<f64>, flops: f64) -> RunReport {
        let target = Target { value: 0.3, reached: seconds.is_some(), seconds, ..Target::default() };
        RunReport {
            contender: contender.into(),
            workload: "w".into(),
            target: Some(target),
            flops: Some(flops),
            dense_flops: Some(100.0),
            ..RunReport::default()
        }
    }

    #[test]
    fn the_reference_is_the_fastest_dense_contender_and_a_run_that_did_not_arrive_took_for_ever() {
        let runs = [
            run("slow dense", Some(9.0), 100.0),
            run("sparse", Some(1.0), 10.0),
            run("sparse", None, 10.0),
            run("sparse", Some(3.0), 10.0),
            run("dense", Some(7.0), 100.0),
            run("lost", None, 100.0),
            // What an index computes comes on top of every row; another network is no measure of this one.
            run("index", Some(0.5), 105.0),
            RunReport { division: "tuned".into(), ..run("other", Some(0.5), 100.0) },
        ];
        let workloads = workloads(&runs);
        let [workload] = workloads.as_slice() else { panic!("one workload") };
        assert_eq!(workload.reference().map(|contender| contender.name), Some("dense"));
        let sparse = &workload.contenders[1];
        assert_eq!((sparse.runs.len(), sparse.reached()), (3, 2));
        assert_eq!((sparse.seconds_to_target(), sparse.flop_reduction()), (Some(3.0), Some(10.0)));
        assert_eq!(workload.contenders[3].seconds_to_target(), None);
    }

    #[test]
    fn a_median_curve_has_the_steps_that_all_runs_evaluated() {
        let point = |step, seconds, quality| Point { step, seconds: Some(seconds), quality, ..Point::default() };
        let mut runs = [run("a", None, 1.0), run("a", None, 1.0), run("a", None, 1.0)];
        runs[0].curve = vec![point(10, 1.0, Some(0.1)), point(20, 2.0, Some(0.2)), point(30, 3.0, Some(0.3))];
        runs[1].curve = vec![point(10, 5.0, Some(0.2)), point(20, 6.0, None), point(30, 7.0, Some(0.5))];
        runs[2].curve = vec![point(10, 2.0, Some(0.3)), point(20, 4.0, Some(0.2)), point(30, 6.0, Some(0.4))];
        let workloads = workloads(&runs);
        assert_eq!(workloads[0].contenders[0].median_curve(|point| point.seconds), [(2.0, 0.2), (6.0, 0.4)]);
    }
}
