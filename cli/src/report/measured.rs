//! Measurements other than training runs: what the machine allows, where sparse products win, how time grows.

use super::Origin;
use super::axis::Scale;
use super::block::{Block, Cell, Figure, Table};
use super::chart::{Chart, Line, Stroke};
use super::drawing::Drawing;
use super::number::{one_line, percent, quantity};

const WHOLE: (u32, u32) = (760, 480);
const HALF: (u32, u32) = (460, 330);

/// What the machine allows and what kernels reach of it (Williams, Waterman and Patterson, "Roofline", 2009).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Roofline {
    /// Machine, commit and command.
    pub origin: Origin,
    /// Operations a second, by instruction set and type.
    pub peaks: Vec<Peak>,
    /// The bandwidth of main memory, in bytes a second.
    pub bandwidth: Option<f64>,
    /// All kernels that were measured.
    pub kernels: Vec<Kernel>,
}

/// The most operations a second of one instruction set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Peak {
    /// `avx2`, ...
    pub level: String,
    /// `f32` or `bf16`.
    pub dtype: String,
    /// 10^9 floating-point operations a second.
    pub gflops: f64,
}

/// One kernel on one shape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kernel {
    /// `rows_dot`, ...
    pub name: String,
    /// As in [`Peak`].
    pub level: String,
    /// As in [`Peak`].
    pub dtype: String,
    /// In words.
    pub shape: String,
    /// Operations for each byte read or written.
    pub flops_per_byte: f64,
    /// 10^9 floating-point operations a second; 0 for kernels of integers and comparisons.
    pub gflops: f64,
    /// 10^9 bytes a second.
    pub gbytes: Option<f64>,
}

/// The time of a product by its wanted share.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BreakEven {
    /// Machine, commit and command.
    pub origin: Origin,
    /// In the order of the file.
    pub rows: Vec<BreakEvenRow>,
    /// The rule of training.
    pub rule: Option<PackingRule>,
}

/// The constant by which training chooses between sampled and packed products.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PackingRule {
    /// The fill from which training packs: the wanted share of the pairs of a sample and a row of the union.
    pub packed_from: f64,
    /// The smallest and the largest fill at which both methods took equally long.
    pub measured: Option<(f64, f64)>,
    /// The worst cost of the constant: the time relative to the better method.
    pub worst_factor: Option<f64>,
}

/// One density.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BreakEvenRow {
    /// Instruction set.
    pub level: String,
    /// `f32` or `bf16`.
    pub dtype: String,
    /// In words.
    pub shape: String,
    /// The wanted share of all pairs of a sample and a row.
    pub density: f64,
    /// Seconds by method: `sampled`, `packed`, `dense`, ...
    pub seconds: Vec<(String, f64)>,
}

/// How time grows with one quantity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sweep {
    /// Machine, commit and command.
    pub origin: Origin,
    /// In the order of the file.
    pub rows: Vec<SweepRow>,
}

/// One value of the quantity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SweepRow {
    /// `density`, `labels`, `threads`, ...
    pub axis: String,
    /// The quantity's value.
    pub value: f64,
    /// What was measured.
    pub contender: String,
    /// What stays the same, in words.
    pub setting: String,
    /// Seconds of a step or a product.
    pub seconds: f64,
}

impl Roofline {
    /// The most operations a second at an intensity, by the best peak of the level and type, or of any.
    fn roof(&self, level: &str, dtype: &str, flops_per_byte: f64) -> Option<f64> {
        let own = self.peaks.iter().filter(|peak| peak.level == level && peak.dtype == dtype);
        let peak = own.map(|peak| peak.gflops).fold(0.0, f64::max);
        let memory = self.bandwidth.map_or(f64::INFINITY, |bandwidth| bandwidth * flops_per_byte / 1e9);
        let roof = if peak > 0.0 { peak.min(memory) } else { memory };
        (roof.is_finite() && roof > 0.0).then_some(roof)
    }

    pub(super) fn blocks(&self, file: &str) -> Vec<Block> {
        let mut levels: Vec<(&str, &str)> = Vec::new();
        let named = self.peaks.iter().map(|peak| (peak.level.as_str(), peak.dtype.as_str()));
        for key in named.chain(self.kernels.iter().map(|kernel| (kernel.level.as_str(), kernel.dtype.as_str()))) {
            if !levels.contains(&key) {
                levels.push(key);
            }
        }
        let places = self.kernels.iter().map(|kernel| kernel.flops_per_byte).filter(|&x| Scale::Log.allows(x));
        let ridges =
            self.peaks.iter().filter_map(|peak| Some(1e9 * peak.gflops / self.bandwidth.filter(|&b| b > 0.0)?));
        let ends = || places.clone().chain(ridges.clone()).filter(|&x| Scale::Log.allows(x));
        let (from, to) = (ends().fold(f64::INFINITY, f64::min) / 2.0, 3.0 * ends().fold(0.0, f64::max));
        let mut lines = Vec::new();
        for (style, &(level, dtype)) in levels.iter().enumerate() {
            let own = |name: &str, of: &str| name == level && of == dtype;
            let mut name = format!("{level} {dtype}");
            if self.peaks.iter().any(|peak| own(&peak.level, &peak.dtype)) {
                let ridge = ridges.clone().chain([from, to]);
                let mut bends: Vec<f64> = ridge.filter(|&x| (from..=to).contains(&x)).collect();
                bends.sort_by(f64::total_cmp);
                let roof = bends.iter().filter_map(|&x| Some((x, self.roof(level, dtype, x)?))).collect();
                lines.push(Line::new("", style, Stroke::Faint, roof));
            }
            let own: Vec<(usize, &Kernel)> =
                self.kernels.iter().enumerate().filter(|(_, kernel)| own(&kernel.level, &kernel.dtype)).collect();
            if own.is_empty() {
                // A roof without kernels below it still needs a name.
                lines.last_mut().expect("the peak's line").name = std::mem::take(&mut name);
            }
            // Points that cannot be drawn must not shift the labels.
            let drawn = own.iter().filter(|(_, k)| Scale::Log.allows(k.flops_per_byte) && Scale::Log.allows(k.gflops));
            let (points, labels) = drawn.map(|(i, k)| ((k.flops_per_byte, k.gflops), (i + 1).to_string())).unzip();
            lines.push(Line { labels, ..Line::new(name, style, Stroke::Marks, points) });
        }
        let title = "Roofline";
        let chart = Chart {
            title: title.to_owned(),
            x: "operations for each byte of memory traffic".to_owned(),
            y: "GFLOP/s".to_owned(),
            scales: (Scale::Log, Scale::Log),
            size: WHOLE,
            lines,
            target: None,
        };
        let figure = chart.drawable().map(|drawing| vec![figure(file, title, drawing, &self.origin)]);
        let row = |(i, kernel): (usize, &Kernel)| -> Vec<Cell> {
            let roof = self.roof(&kernel.level, &kernel.dtype, kernel.flops_per_byte);
            // Without operations, only memory limits.
            let memory = kernel.gbytes.zip(self.bandwidth).map(|(gbytes, bandwidth)| 1e9 * gbytes / bandwidth);
            let share = if kernel.gflops > 0.0 { roof.map(|roof| kernel.gflops / roof) } else { memory };
            vec![
                format!("{}: {}", i + 1, one_line(&kernel.name)).into(),
                one_line(&format!("{} {}", kernel.level, kernel.dtype)).into(),
                one_line(&kernel.shape).into(),
                quantity(kernel.flops_per_byte, "").into(),
                quantity(1e9 * kernel.gflops, "FLOP/s").into(),
                kernel.gbytes.map(|gbytes| quantity(1e9 * gbytes, "B/s")).into(),
                share.filter(|share| share.is_finite()).map(percent).into(),
            ]
        };
        let head = ["kernel", "level", "shape", "FLOP for each byte", "speed", "bytes", "of what is possible"];
        let table = Table::block(&head, self.kernels.iter().enumerate().map(row).collect());
        let remark = Block::Remark(
            "Numbers are those of the table. What is possible: the lower of the peak and of memory traffic at the rate of main \
             memory; what stays in a cache may be above. Kernels of whole numbers and comparisons are in the table only."
                .to_owned(),
        );
        figure.map(Block::Figures).into_iter().chain([remark]).chain(table).collect()
    }
}

impl BreakEven {
    pub(super) fn blocks(&self, file: &str) -> Vec<Block> {
        let mut groups: Vec<(String, Vec<&BreakEvenRow>)> = Vec::new();
        for row in &self.rows {
            let name = one_line(&format!("{} {}, {}", row.level, row.dtype, row.shape));
            match groups.iter_mut().find(|(known, _)| *known == name) {
                Some((_, rows)) => rows.push(row),
                None => groups.push((name, vec![row])),
            }
        }
        let (mut figures, mut rows) = (Vec::new(), Vec::new());
        for (i, (name, group)) in groups.iter_mut().enumerate() {
            group.sort_by(|a, b| a.density.total_cmp(&b.density));
            let ways = ways(group);
            let line = |(style, way): (usize, &&str)| {
                let points = group.iter().filter_map(|row| Some((row.density, row.of(way)?))).collect();
                Line::new(*way, style, Stroke::Bold, points)
            };
            let chart = Chart {
                title: name.clone(),
                x: "share of all pairs that is wanted".to_owned(),
                y: "seconds".to_owned(),
                scales: (Scale::Log, Scale::Log),
                size: HALF,
                lines: ways.iter().enumerate().map(line).collect(),
                target: None,
            };
            let drawing = chart.drawable();
            figures.extend(drawing.map(|drawing| figure(&format!("{file}-{}", i + 1), name, drawing, &self.origin)));
            let below = |sparse: &str, dense: &str| below(group, sparse, dense).into();
            rows.push(vec![
                name.clone().into(),
                below("sampled", "dense"),
                below("packed", "dense"),
                below("sampled", "packed"),
                below("sampled", "matmul"),
            ]);
        }
        let head = [
            "product",
            "sampled beats dense below",
            "packed beats dense below",
            "sampled beats packed below",
            "sampled beats a plain matmul below",
        ];
        let figures = (!figures.is_empty()).then_some(Block::Figures(figures));
        let rule = self.rule.map(|rule| Block::Remark(rule.sentence()));
        figures.into_iter().chain(Table::block(&head, rows)).chain(rule).collect()
    }
}

impl PackingRule {
    fn sentence(&self) -> String {
        let mut text = format!("Training packs from a fill of {} on", percent(self.packed_from));
        if let Some((low, high)) = self.measured {
            text += &format!("; both ways took the same time at fills from {} to {}", percent(low), percent(high));
        }
        if let Some(times) = self.worst_factor.and_then(super::number::times) {
            text += &format!("; at worst the choice takes {times} times the time of the better way");
        }
        text + "."
    }
}

impl BreakEvenRow {
    fn of(&self, way: &str) -> Option<f64> {
        self.seconds.iter().find(|(name, _)| name == way).map(|&(_, seconds)| seconds)
    }
}

fn ways<'a>(rows: &[&'a BreakEvenRow]) -> Vec<&'a str> {
    let mut ways: Vec<&str> = Vec::new();
    for (way, _) in rows.iter().flat_map(|row| &row.seconds) {
        if !ways.contains(&way.as_str()) {
            ways.push(way);
        }
    }
    ways
}

/// The density at which the times cross, interpolated over logarithms. `rows` come with growing density.
fn below(rows: &[&BreakEvenRow], sparse: &str, dense: &str) -> Option<String> {
    let ratio = |row: &&BreakEvenRow| Some((row.density, (row.of(sparse)? / row.of(dense)?).ln()));
    let ratios: Vec<(f64, f64)> = rows.iter().filter_map(ratio).filter(|(d, r)| *d > 0.0 && r.is_finite()).collect();
    let (first, last) = (ratios.first()?, ratios.last()?);
    if first.1 >= 0.0 {
        return Some(format!("never (from {} up)", percent(first.0)));
    }
    let Some(at) = ratios.iter().position(|&(_, ratio)| ratio >= 0.0) else {
        return Some(format!("always (up to {})", percent(last.0)));
    };
    let ((a, x), (b, y)) = (ratios[at - 1], ratios[at]);
    Some(percent((a.ln() + (b.ln() - a.ln()) * -x / (y - x)).exp()))
}

impl Sweep {
    pub(super) fn blocks(&self, file: &str) -> Vec<Block> {
        let mut axes: Vec<&str> = Vec::new();
        let mut contenders: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !axes.contains(&row.axis.as_str()) {
                axes.push(&row.axis);
            }
            if !contenders.contains(&row.contender.as_str()) {
                contenders.push(&row.contender);
            }
        }
        let figures = axes.iter().filter_map(|axis| {
            let line = |(style, contender): (usize, &&str)| {
                let own = self.rows.iter().filter(|row| row.axis == **axis && row.contender == *contender);
                let mut points: Vec<(f64, f64)> = own.map(|row| (row.value, row.seconds)).collect();
                points.sort_by(|a, b| a.0.total_cmp(&b.0));
                Line::new(*contender, style, Stroke::Bold, points)
            };
            let lines: Vec<Line> = contenders.iter().enumerate().map(line).collect();
            let places: Vec<f64> = lines.iter().flat_map(|line| line.points.iter().map(|point| point.0)).collect();
            let title = format!("Time by {}", one_line(axis));
            let chart = Chart {
                title: title.clone(),
                x: one_line(axis),
                y: "seconds".to_owned(),
                scales: (Scale::fitting(places.into_iter(), 8.0), Scale::Log),
                size: HALF,
                lines,
                target: None,
            };
            Some(figure(&format!("{file}-{}", super::slug(axis)), &title, chart.drawable()?, &self.origin))
        });
        let figures: Vec<Figure> = figures.collect();
        let row = |row: &SweepRow| -> Vec<Cell> {
            vec![
                one_line(&row.axis).into(),
                quantity(row.value, "").into(),
                one_line(&row.contender).into(),
                one_line(&row.setting).into(),
                quantity(row.seconds, "s").into(),
            ]
        };
        let table =
            Table::block(&["quantity", "value", "contender", "the rest", "time"], self.rows.iter().map(row).collect());
        (!figures.is_empty()).then_some(Block::Figures(figures)).into_iter().chain(table).collect()
    }
}

fn figure(file: &str, title: &str, drawing: impl Into<Drawing>, origin: &Origin) -> Figure {
    let origins = if *origin == Origin::default() { Vec::new() } else { vec![origin.clone()] };
    Figure { file: file.to_owned(), title: title.to_owned(), drawing: drawing.into(), origins }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_cross_between_the_densities_around_them() {
        let row = |density, sampled: f64| BreakEvenRow {
            density,
            seconds: vec![("sampled".into(), sampled), ("dense".into(), 1.0)],
            ..BreakEvenRow::default()
        };
        let rows = [row(0.01, 0.1), row(0.1, 1.0), row(1.0, 10.0)];
        let all: Vec<&BreakEvenRow> = rows.iter().collect();
        assert_eq!(below(&all, "sampled", "dense").as_deref(), Some("10.00 %"));
        assert_eq!(below(&all[..1], "sampled", "dense").as_deref(), Some("always (up to 1.00 %)"));
        assert_eq!(below(&all[1..], "sampled", "dense").as_deref(), Some("never (from 10.00 % up)"));
        assert_eq!(below(&all, "packed", "dense"), None);
    }

    #[test]
    fn a_roof_is_the_lower_of_memory_and_arithmetic() {
        let peaks = vec![Peak { level: "avx2".into(), dtype: "f32".into(), gflops: 100.0 }];
        let roofline = Roofline { peaks, bandwidth: Some(20e9), ..Roofline::default() };
        assert_eq!(roofline.roof("avx2", "f32", 0.5), Some(10.0));
        assert_eq!(roofline.roof("avx2", "f32", 50.0), Some(100.0));
        assert_eq!(Roofline::default().roof("avx2", "f32", 1.0), None);
    }
}
