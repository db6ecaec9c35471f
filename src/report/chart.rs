//! Lines over an axis, as SVG. Text, grid and background take their colours from the page's style.

use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;

use super::number::{short, tick};

/// Drawn at twice the size it is shown at, because plotters rounds to whole pixels.
pub(super) const SCALE: u32 = 2;

/// Okabe and Ito's colours for lines, without the yellow that is lost on white; black would be lost on black.
pub(super) const RUN_COLOURS: [RGBColor; 6] = [
    RGBColor(213, 94, 0),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// Replaced by the page's style: the colour of text. No other thing is drawn in it.
pub(super) const INK: RGBColor = RGBColor(1, 1, 1);

/// The lines of a grid, visible on white and on black.
pub(super) const GRID: RGBColor = RGBColor(128, 128, 128);

/// More points than this would not be seen; runs of them are averaged.
const MOST_POINTS: usize = 400;

/// A line of a chart.
pub(super) struct Line {
    pub name: String,
    /// Colour and mark.
    pub style: usize,
    pub points: Vec<(f64, f64)>,
}

/// What a chart shows.
pub(super) struct Chart<'a> {
    /// For readers and for screen readers.
    pub title: &'a str,
    /// With unit.
    pub x: &'a str,
    /// With unit.
    pub y: &'a str,
    /// As shown, in pixels.
    pub size: (u32, u32),
    /// Whether the vertical axis starts at 0.
    pub from_zero: bool,
    pub lines: Vec<Line>,
}

impl Chart<'_> {
    /// The drawing, or nothing if no line has a point that can be drawn.
    pub(super) fn svg(mut self) -> Option<String> {
        for line in &mut self.lines {
            // Beyond these a difference of two numbers may overflow; no figure of a run is that large.
            line.points.retain(|&(x, y)| x.abs() < 1e30 && y.abs() < 1e30);
            line.points = averaged(&line.points);
        }
        self.lines.retain(|line| !line.points.is_empty());
        let points = || self.lines.iter().flat_map(|line| &line.points);
        points().next()?;
        let x_axis = Axis::new(points().map(|point| point.0), true);
        let y_axis = Axis::new(points().map(|point| point.1), self.from_zero);
        Some(drawing(self.title, self.size, |area| {
            let entries: Vec<_> = self.lines.iter().map(|line| (line.name.as_str(), Some(line.style))).collect();
            let height = legend(area, self.title, &entries, |area, at, style| {
                let colour = RUN_COLOURS[style % RUN_COLOURS.len()];
                let (from, to) = ((at.0, at.1), (at.0 + 2 * SYMBOL, at.1));
                area.draw(&PathElement::new([from, to], colour.stroke_width(2 * SCALE)))?;
                area.draw(&mark((at.0 + SYMBOL, at.1), style))
            })?;
            let (_, area) = area.split_vertically(height);
            let mut chart = ChartBuilder::on(&area)
                .margin_right(18 * SCALE)
                .margin_top(4 * SCALE)
                .x_label_area_size(44 * SCALE)
                .y_label_area_size(66 * SCALE)
                .build_cartesian_2d(x_axis, y_axis)?;
            chart
                .configure_mesh()
                .x_desc(self.x)
                .y_desc(self.y)
                .x_label_formatter(&|&x| tick(x))
                .y_label_formatter(&|&y| tick(y))
                .label_style(text(11))
                .axis_desc_style(text(12))
                .axis_style(GRID.stroke_width(SCALE))
                .bold_line_style(GRID.mix(0.25).stroke_width(SCALE))
                .light_line_style(TRANSPARENT)
                .draw()?;
            for line in &self.lines {
                let colour = RUN_COLOURS[line.style % RUN_COLOURS.len()];
                chart.draw_series(LineSeries::new(line.points.iter().copied(), colour.stroke_width(2 * SCALE)))?;
                // Marks tell lines apart; a dozen on a line does it.
                let every = line.points.len().div_ceil(12);
                let marked = line.points.iter().rev().step_by(every);
                for point in marked {
                    let at = chart.backend_coord(point);
                    area.draw(&mark((at.0, at.1 - height), line.style))?;
                }
            }
            Ok(())
        }))
    }
}

/// What drawing into a string may end with: nothing, but plotters' types cannot say so.
pub(super) type Drawn<T = ()> = Result<T, DrawingAreaErrorKind<std::io::Error>>;
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// An SVG element without outside references, described by `title`.
pub(super) fn drawing(title: &str, size: (u32, u32), draw: impl FnOnce(&Area) -> Drawn) -> String {
    let (width, height) = (size.0 * SCALE, size.1 * SCALE);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
        draw(&area).and_then(|()| area.present()).expect("writing to a String does not fail");
    }
    let rest = svg.split_once('>').map_or("", |(_, rest)| rest);
    let title = super::number::escape(&super::number::one_line(title));
    format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">{rest}")
}

/// Text of `size` points on the page, in its ink.
pub(super) fn text(size: u32) -> TextStyle<'static> {
    // plotters divides by 1.24 on the way to SVG.
    ("sans-serif", f64::from(size * SCALE) * 1.24).into_font().color(&INK)
}

/// Half the width of a legend's symbol.
pub(super) const SYMBOL: i32 = 10 * SCALE as i32;

/// Writes the title and under it the entries, in as many lines as they need; gives the height that it took.
pub(super) fn legend<T: Copy>(
    area: &Area,
    title: &str,
    entries: &[(&str, Option<T>)],
    symbol: impl Fn(&Area, (i32, i32), T) -> Drawn,
) -> Drawn<i32> {
    let scale = SCALE as i32;
    let (left, line) = (14 * scale, 20 * scale);
    let width = area.dim_in_pixel().0 as i32;
    area.draw(&Text::new(title.to_string(), (left, 8 * scale), text(14)))?;
    let (mut x, mut y) = (left, 38 * scale);
    for &(name, style) in entries {
        let name = short(name, 48);
        // 0.6 em is wider than the mean letter of any common face.
        let needed = 2 * SYMBOL + 6 * scale + (name.chars().count() as i32 * 12 * scale * 6) / 10 + 8 * scale;
        if x > left && x + needed > width {
            (x, y) = (left, y + line);
        }
        if let Some(style) = style {
            symbol(area, (x, y), style)?;
        }
        area.draw(&Text::new(name, (x + 2 * SYMBOL + 6 * scale, y - 6 * scale), text(12)))?;
        x += needed;
    }
    Ok(y + 20 * scale)
}

/// A circle, a triangle or a cross at a place in pixels, by turns.
fn mark<'a>(at: (i32, i32), style: usize) -> DynElement<'static, SVGBackend<'a>, (i32, i32)> {
    let colour = RUN_COLOURS[style % RUN_COLOURS.len()];
    let size = (4 * SCALE) as i32;
    match style % 3 {
        0 => Circle::new(at, size, colour.filled()).into_dyn(),
        1 => TriangleMarker::new(at, size + SCALE as i32, colour.filled()).into_dyn(),
        _ => Cross::new(at, size, colour.stroke_width(2 * SCALE)).into_dyn(),
    }
}

/// The range of an axis and the places of its marks.
struct Axis {
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl Axis {
    /// Holds all values (there is one at least) and has marks at round numbers, six at most.
    fn new(values: impl Iterator<Item = f64> + Clone, from_zero: bool) -> Axis {
        let mut low = values.clone().fold(f64::INFINITY, f64::min);
        let mut high = values.fold(f64::NEG_INFINITY, f64::max);
        if from_zero {
            (low, high) = (low.min(0.0), high.max(0.0));
        }
        // Values that are all the same, or as good as, get some air; rounding cannot make the range empty again.
        let least = 1e-6 * low.abs().max(high.abs()).max(1e-12);
        if high - low < least {
            (low, high) = (if from_zero && low >= 0.0 { 0.0 } else { low - least }, high + least);
        }
        let rough = (high - low) / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|&s| s >= rough).unwrap_or(10.0 * power);
        let top = if from_zero || low < 0.0 { high + 0.04 * (high - low) } else { high + 0.02 * (high - low) };
        let first = (low / step).ceil();
        let ticks = (0..12).map(|i| (first + f64::from(i)) * step).take_while(|&tick| tick <= top).collect();
        Axis { low, high: top, ticks }
    }
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, &value: &f64, (from, to): (i32, i32)) -> i32 {
        from + (f64::from(to - from) * ((value - self.low) / (self.high - self.low))).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.low..self.high
    }
}

/// At most `MOST_POINTS`, each the mean of as many neighbours.
fn averaged(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mean = |part: &[(f64, f64)]| {
        let sum = part.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (sum.0 / part.len() as f64, sum.1 / part.len() as f64)
    };
    points.chunks(points.len().div_ceil(MOST_POINTS).max(1)).map(mean).collect()
}
