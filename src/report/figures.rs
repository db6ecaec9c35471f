//! The drawings of a report: which numbers go into which chart.

use super::chart::{Chart, Line};
use super::{Health, Point, RunReport};

const WHOLE: (u32, u32) = (760, 380);
const HALF: (u32, u32) = (460, 320);

/// P@1 on the validation part against the time of training.
pub(super) fn quality(runs: &[RunReport]) -> Option<String> {
    let lines = curves(runs, |point| Some((point.seconds?, 100.0 * point.precision_at_1?)));
    let title = "Quality against time";
    Chart { title, x: "time of training (s)", y: "P@1 (%)", size: WHOLE, from_zero: true, lines }.svg()
}

/// Training loss against samples.
pub(super) fn loss(runs: &[RunReport]) -> Option<String> {
    let lines = curves(runs, |point| Some((point.samples?, point.loss?)));
    let title = "Training loss against samples";
    Chart { title, x: "samples trained on", y: "loss (nats)", size: WHOLE, from_zero: false, lines }.svg()
}

/// The charts of the index, those that have points.
pub(super) fn health(runs: &[RunReport]) -> Vec<String> {
    type Figure = fn(&Health) -> Option<f64>;
    let k = runs.iter().flat_map(|run| &run.index_health).find_map(|health| health.recall_k);
    let recall = k.map_or("Recall".to_string(), |k| format!("Recall of the true top {k}"));
    let figures: [(&str, &str, Figure); 6] = [
        (&recall, "in the active set (%)", |health| health.recall.map(|share| 100.0 * share)),
        ("Captured softmax mass", "in the active set (%)", |health| health.captured_mass.map(|share| 100.0 * share)),
        ("Union over a micro-batch", "rows", |health| health.union_rows),
        ("log Z, sampled minus exact", "drift (nats)", |health| health.log_z_drift),
        ("Mean occupancy of buckets", "rows a used bucket", |health| health.occupancy_mean),
        ("Largest bucket", "rows", |health| health.occupancy_largest),
    ];
    let mut drawings = Vec::new();
    for (title, y, figure) in figures {
        let line = |(style, run): (usize, &RunReport)| Line {
            name: run.name.clone(),
            style,
            points: run.index_health.iter().filter_map(|health| Some((health.step as f64, figure(health)?))).collect(),
        };
        let lines = runs.iter().enumerate().map(line).collect();
        drawings.extend(Chart { title, x: "step", y, size: HALF, from_zero: true, lines }.svg());
    }
    for run in runs {
        let shares: [(&str, Figure); 3] = [
            ("index", |health| health.share_index),
            ("labels", |health| health.share_labels),
            ("random tail", |health| health.share_tail),
        ];
        let line = |(style, (name, share)): (usize, &(&str, Figure))| {
            let point = |health: &Health| Some((health.step as f64, 100.0 * share(health)?));
            Line { name: name.to_string(), style, points: run.index_health.iter().filter_map(point).collect() }
        };
        let lines = shares.iter().enumerate().map(line).collect();
        let title = format!("Who named the active rows: {}", super::number::short(&run.name, 24));
        let (x, y) = ("step", "share of the active set (%)");
        drawings.extend(Chart { title: &title, x, y, size: HALF, from_zero: true, lines }.svg());
    }
    drawings
}

fn curves(runs: &[RunReport], at: impl Fn(&Point) -> Option<(f64, f64)>) -> Vec<Line> {
    let line = |(style, run): (usize, &RunReport)| Line {
        name: run.name.clone(),
        style,
        points: run.curve.iter().filter_map(&at).collect(),
    };
    runs.iter().enumerate().map(line).collect()
}
