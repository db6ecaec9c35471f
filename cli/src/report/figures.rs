//! The drawings of runs: which numbers go into which picture.

use super::axis::Scale;
use super::bars::Bars;
use super::block::{Figure, origins};
use super::chart::{Chart, Line, Stroke};
use super::drawing::Drawing;
use super::group::{Contender, Workload};
use super::number::{one_line, short};
use super::{Health, Origin, Point, RunReport};
use hotrow::flops::Phase;

const WHOLE: (u32, u32) = (760, 380);
const HALF: (u32, u32) = (460, 320);

/// The figures of one workload. `prefix` tells their files from those of others.
pub(super) struct Figures<'a> {
    pub workload: &'a Workload<'a>,
    pub prefix: String,
}

impl Figures<'_> {
    fn figure(
        &self,
        file: &str,
        title: &str,
        drawing: Option<impl Into<Drawing>>,
        runs: &[&RunReport],
    ) -> Option<Figure> {
        let origins = origins(runs.iter().map(|run| &run.origin).filter(|origin| **origin != Origin::default()));
        Some(Figure {
            file: format!("{}{file}", self.prefix),
            title: title.to_owned(),
            drawing: drawing?.into(),
            origins,
        })
    }

    /// The metric on the validation set against time, and against operations: all runs, the medians over seeds, and the
    /// target.
    pub fn quality(&self) -> Vec<Figure> {
        let clock = match self.workload.is_contest() {
            true => "seconds since training began, reading and evaluation included",
            false => "seconds of training",
        };
        let mut figures = Vec::new();
        for metric in metrics(self.workload) {
            type Place = fn(&Point) -> Option<f64>;
            let all: [(&str, &str, &'static str, Place); 2] = [
                ("seconds", "time", clock, |point| point.seconds),
                ("flops", "operations", "floating-point operations executed", |point| point.flops),
            ];
            for (file, against, x, place) in all {
                let (of, _) = metric.split_once('@').unwrap_or((&metric, ""));
                let title = format!("{} against {against}", shown(&metric));
                let drawing = self.quality_chart(&title, &metric, x, place).drawable();
                let runs: Vec<&RunReport> = self.workload.runs().filter(|run| run.metric == metric).collect();
                let file = match metrics(self.workload).len() {
                    1 => format!("quality-{file}"),
                    _ => format!("{of}-{file}"),
                };
                figures.extend(self.figure(&file, &title, drawing, &runs));
            }
        }
        figures
    }

    fn quality_chart(
        &self,
        title: &str,
        metric: &str,
        x: &'static str,
        place: impl Fn(&Point) -> Option<f64>,
    ) -> Chart {
        let share = metric.contains('@');
        let scale = |y: f64| if share { 100.0 * y } else { y };
        let mut lines = Vec::new();
        for contender in &self.workload.contenders {
            let runs: Vec<&RunReport> = contender.runs.iter().copied().filter(|run| run.metric == metric).collect();
            let medians = contender.median_curve(&place);
            let stroke = if medians.is_empty() { Stroke::Bold } else { Stroke::Faint };
            let mut name = legend_name(contender);
            if !medians.is_empty() {
                let medians = medians.into_iter().map(|(x, y)| (x, scale(y))).collect();
                lines.push(Line::new(std::mem::take(&mut name), contender.style, Stroke::Bold, medians));
            }
            for run in runs {
                let at = |point: &Point| Some((place(point)?, scale(point.quality?)));
                let points = run.curve.iter().filter_map(at).collect();
                lines.push(Line::new(std::mem::take(&mut name), contender.style, stroke, points));
            }
        }
        let places = lines.iter().flat_map(|line| line.points.iter().map(|&(x, _)| x)).filter(|&x| x > 0.0);
        let qualities = lines.iter().flat_map(|line| line.points.iter().map(|&(_, y)| y));
        let log = Scale::fitting(places.collect::<Vec<_>>().into_iter(), 15.0);
        let y_scale = match share {
            true => Scale::FromZero,
            false if Scale::fitting(qualities.collect::<Vec<_>>().into_iter(), 20.0) == Scale::Log => Scale::Log,
            false => Scale::Linear,
        };
        let targets = self.workload.runs().filter_map(|run| run.target.as_ref());
        let target = targets.into_iter().find(|target| target.metric == metric);
        Chart {
            title: title.to_owned(),
            x: x.to_owned(),
            y: if share { format!("{} (%)", shown(metric)) } else { shown(metric) },
            scales: (log, y_scale),
            size: WHOLE,
            lines,
            target: target.map(|target| (format!("target {}", number(metric, target.value)), scale(target.value))),
        }
    }

    /// Training loss against samples, or against steps if samples are unknown.
    pub fn loss(&self) -> Option<Figure> {
        let mut points = self.workload.runs().flat_map(|run| &run.curve).filter(|point| point.loss.is_some());
        let samples = points.all(|point| point.samples.is_some());
        let (title, x) = match samples {
            true => ("Training loss against samples", "samples (of language models: tokens) trained on"),
            false => ("Training loss against steps", "step"),
        };
        let place = |point: &Point| if samples { point.samples } else { Some(point.step as f64) };
        let lines = self.curves(|point| Some((place(point)?, point.loss?)), 1.0);
        let chart = chart(title, x, "loss (nats)", WHOLE, Scale::Linear, lines);
        self.figure("loss", title, chart.drawable(), &self.workload.runs().collect::<Vec<_>>())
    }

    /// What a step computes of the output layer, over the course of training.
    pub fn activity(&self) -> Vec<Figure> {
        type Share = fn(&Point) -> Option<f64>;
        let shares: [(&str, &str, &str, Share); 2] = [
            ("active", "Active share of samples and rows", "of all pairs (%)", |point| point.active_share),
            ("union", "Rows that any sample of a step uses", "of all rows (%)", |point| point.union_share),
        ];
        let figure = |(file, title, y, share): &(&str, &str, &str, Share)| {
            let lines = self.curves(|point| Some((point.step as f64, share(point)?)), 100.0);
            let chart = chart(title, "step", y, HALF, Scale::FromZero, lines);
            self.figure(file, title, chart.drawable(), &self.workload.runs().collect::<Vec<_>>())
        };
        shares.iter().filter_map(figure).collect()
    }

    /// Time by phase, for the middle run of each contender.
    pub fn phases(&self) -> Option<Figure> {
        let runs: Vec<(&Contender, &RunReport)> =
            self.workload.contenders.iter().map(|contender| (contender, contender.middle_run())).collect();
        let parts = |run: &RunReport| run.phases.iter().map(|phase| (one_line(&phase.name), phase.seconds)).collect();
        let bars = runs.iter().map(|(contender, run)| (contender.name.to_owned(), parts(run))).collect();
        let order = Phase::ALL.map(|phase| phase.name());
        let title = "Where the time goes, by phase";
        let drawing = Bars::new(title, "s", &order, bars).drawable();
        self.figure("phases", title, drawing, &runs.iter().map(|(_, run)| *run).collect::<Vec<_>>())
    }

    /// Memory by component, for the middle run of each contender.
    pub fn memory(&self) -> Option<Figure> {
        let runs: Vec<(&Contender, &RunReport)> =
            self.workload.contenders.iter().map(|contender| (contender, contender.middle_run())).collect();
        let bars = runs.iter().map(|(contender, run)| (contender.name.to_owned(), run.components.clone())).collect();
        let title = "Memory by component";
        let drawing = Bars::new(title, "B", &[], bars).drawable();
        self.figure("memory", title, drawing, &runs.iter().map(|(_, run)| *run).collect::<Vec<_>>())
    }

    /// The charts of the index that have points.
    pub fn health(&self) -> Vec<Figure> {
        let sources: Vec<&RunReport> = self.workload.runs().filter(|run| !run.index_health.is_empty()).collect();
        let k = sources.iter().flat_map(|run| &run.index_health).find_map(|health| health.recall_k);
        let recall = k.map_or("Recall".to_string(), |k| format!("Recall of the true top {k}"));
        // These pictures show one run each.
        let middle: Vec<(&Contender, &RunReport)> = self
            .workload
            .contenders
            .iter()
            .map(|contender| (contender, contender.middle_run()))
            .filter(|(_, run)| !run.index_health.is_empty())
            .collect();
        type Value = fn(&Health) -> Option<f64>;
        let figures: [(&str, &str, &str, Value); 6] = [
            ("recall", &recall, "in the active set (%)", |health| health.recall.map(|share| 100.0 * share)),
            ("mass", "Captured softmax mass", "in the active set (%)", |h| h.captured_mass.map(|share| 100.0 * share)),
            ("union-rows", "Union over a micro-batch", "rows", |health| health.union_rows),
            ("log-z", "log Z, sampled minus exact", "drift (nats)", |health| health.log_z_drift),
            ("occupancy-mean", "Mean occupancy of buckets", "rows a used bucket", |health| health.occupancy_mean),
            ("occupancy-largest", "Largest bucket", "rows", |health| health.occupancy_largest),
        ];
        let mut drawn = Vec::new();
        for (file, title, y, value) in figures {
            let points = |run: &RunReport| {
                let at = |health: &Health| Some((health.step as f64, value(health)?));
                run.index_health.iter().filter_map(at).collect()
            };
            let chart = chart(title, "step", y, HALF, Scale::FromZero, self.lines(points));
            drawn.extend(self.figure(file, title, chart.drawable(), &sources));
        }
        drawn.extend(self.occupancy(&middle));
        for (i, (contender, run)) in middle.iter().enumerate() {
            let shares: [(&str, Value); 3] = [
                ("index", |health| health.share_index),
                ("labels", |health| health.share_labels),
                ("random tail", |health| health.share_tail),
            ];
            let line = |(style, (name, share)): (usize, &(&str, Value))| {
                let point = |health: &Health| Some((health.step as f64, 100.0 * share(health)?));
                Line::new(*name, style, Stroke::Bold, run.index_health.iter().filter_map(point).collect())
            };
            let lines = shares.iter().enumerate().map(line).collect();
            let title = format!("Who named the active rows: {}", short(contender.name, 24));
            let chart = chart(&title, "step", "share of the active set (%)", HALF, Scale::FromZero, lines);
            drawn.extend(self.figure(&format!("shares-{}", i + 1), &title, chart.drawable(), &[run]));
        }
        drawn
    }

    /// The last count of each run.
    fn occupancy(&self, runs: &[(&Contender, &RunReport)]) -> Option<Figure> {
        let counted = runs.iter().filter_map(|&(contender, run)| {
            let counts = &run.index_health.iter().rev().find(|health| !health.occupancy.is_empty())?.occupancy;
            let column = |(power, &count): (usize, &f64)| (count > 0.0).then(|| (2f64.powi(power as i32), count));
            let columns = counts.iter().enumerate().filter_map(column).collect();
            Some((Line::new(contender.name, contender.style, Stroke::Columns, columns), run))
        });
        let (lines, sources): (Vec<Line>, Vec<&RunReport>) = counted.unzip();
        let title = "Buckets by their number of rows, at the end";
        let drawing = Chart {
            scales: (Scale::Log, Scale::FromZero),
            ..chart(title, "rows in a bucket", "buckets", HALF, Scale::FromZero, lines)
        };
        self.figure("occupancy", title, drawing.drawable(), &sources)
    }

    /// A line for each run, and an entry in the legend for each contender.
    fn lines(&self, points: impl Fn(&RunReport) -> Vec<(f64, f64)>) -> Vec<Line> {
        let mut lines = Vec::new();
        for contender in &self.workload.contenders {
            let stroke = if contender.runs.len() > 1 { Stroke::Faint } else { Stroke::Bold };
            let mut name = contender.name.to_owned();
            for points in contender.runs.iter().map(|run| points(run)).filter(|points| !points.is_empty()) {
                lines.push(Line::new(std::mem::take(&mut name), contender.style, stroke, points));
            }
        }
        lines
    }

    fn curves(&self, at: impl Fn(&Point) -> Option<(f64, f64)>, factor: f64) -> Vec<Line> {
        self.lines(|run| run.curve.iter().filter_map(&at).map(|(x, y)| (x, factor * y)).collect())
    }
}

fn chart(title: &str, x: &'static str, y: &str, size: (u32, u32), y_scale: Scale, lines: Vec<Line>) -> Chart {
    let scales = (Scale::FromZero, y_scale);
    Chart { title: title.to_owned(), x: x.to_owned(), y: y.to_owned(), scales, size, lines, target: None }
}

/// The metrics of the curves, in the order of the runs.
fn metrics(workload: &Workload) -> Vec<String> {
    let mut metrics: Vec<String> = Vec::new();
    for run in workload.runs().filter(|run| run.curve.iter().any(|point| point.quality.is_some())) {
        if !metrics.contains(&run.metric) {
            metrics.push(run.metric.clone());
        }
    }
    metrics
}

/// The name, with the number of runs that missed the target.
fn legend_name(contender: &Contender) -> String {
    let (runs, missed) = (contender.runs.len(), contender.runs.len() - contender.reached());
    match contender.runs.iter().any(|run| run.target.is_some()) && missed > 0 {
        true => format!("{} ({missed} of {runs} did not arrive)", contender.name),
        false => contender.name.to_owned(),
    }
}

/// `p@1` as `P@1`, `ndcg@5` as `nDCG@5`, `loss` in words.
pub(super) fn shown(metric: &str) -> String {
    match metric {
        "loss" => "validation loss (nats)".to_owned(),
        "bits_per_byte" => "bits per byte".to_owned(),
        other => super::compare::metric(other),
    }
}

/// A value of a metric. Shares are in per cent.
pub(super) fn number(metric: &str, value: f64) -> String {
    match metric.contains('@') {
        true => super::number::percent(value),
        false => super::number::quantity(value, ""),
    }
}
