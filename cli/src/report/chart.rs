//! Lines, points and columns over an axis.

use plotters::prelude::*;

use super::axis::{Axis, Scale};
use super::canvas::{Area, Drawn, PIXEL, SCALE, SYMBOL, legend, mark, text, tone};
use super::number::{short, tick};
use super::theme::{GRID, INK};

/// The most points of a line. More could not be seen, so neighbours are averaged.
const MOST_POINTS: usize = 400;

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stroke {
    /// The main line, with marks.
    Bold,
    /// One of several lines behind a bold one.
    Faint,
    /// A limit.
    Dashed,
    /// Points without a line.
    Marks,
    /// Columns from `x` to `2 x`, for logarithmic axes.
    Columns,
}

/// A line of a chart.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// The name in the legend; empty for none.
    pub name: String,
    /// The series: its colour and mark.
    pub style: usize,
    pub stroke: Stroke,
    pub points: Vec<(f64, f64)>,
    /// Labels beside the points; there may be fewer.
    pub labels: Vec<String>,
}

impl Line {
    pub fn new(name: impl Into<String>, style: usize, stroke: Stroke, points: Vec<(f64, f64)>) -> Line {
        Line { name: name.into(), style, stroke, points, labels: Vec::new() }
    }
}

/// What a chart shows.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    /// The title, also for screen readers.
    pub title: String,
    /// The horizontal axis, with its unit.
    pub x: String,
    /// The vertical axis, with its unit.
    pub y: String,
    pub scales: (Scale, Scale),
    /// In pixels of the page.
    pub size: (u32, u32),
    pub lines: Vec<Line>,
    /// A name and a value of `y` to reach.
    pub target: Option<(String, f64)>,
}

impl Chart {
    /// The lines with points that can be drawn; `None` if there is none.
    pub fn drawable(mut self) -> Option<Self> {
        for line in &mut self.lines {
            line.points.retain(|&(x, y)| self.scales.0.allows(x) && self.scales.1.allows(y));
            if line.stroke != Stroke::Marks {
                line.points = averaged(&line.points);
            }
        }
        self.lines.retain(|line| !line.points.is_empty());
        self.target = self.target.filter(|&(_, y)| self.scales.1.allows(y));
        (!self.lines.is_empty()).then_some(self)
    }

    pub fn draw<DB: DrawingBackend>(&self, area: &Area<DB>) -> Drawn<DB> {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let columns = self.lines.iter().any(|line| line.stroke == Stroke::Columns);
        // Columns end at twice their position, and stand on the axis.
        let x_axis = Axis::new(
            points().flat_map(|&(x, _)| [x, if columns { 2.0 * x } else { x }]).collect::<Vec<_>>().into_iter(),
            self.scales.0,
        );
        let target = self.target.iter().map(|&(_, y)| y);
        let y_axis = Axis::new(points().map(|&(_, y)| y).chain(target), self.scales.1);
        let mut entries: Vec<(&str, Option<&Line>)> = Vec::new();
        for line in self.lines.iter().filter(|line| !line.name.is_empty()) {
            entries.push((&line.name, Some(line)));
        }
        entries.extend(self.target.as_ref().map(|(name, _)| (name.as_str(), None)));
        let height = legend(area, &self.title, &entries, |area, (x, y), line| match line {
            Some(line) => symbol(area, (x, y), line),
            None => {
                let ink = INK.light.stroke_width(SCALE);
                area.draw(&PathElement::new([(x, y), (x + 8 * PIXEL, y)], ink))?;
                area.draw(&PathElement::new([(x + 12 * PIXEL, y), (x + 2 * SYMBOL, y)], ink))
            }
        })?;
        let (_, area) = area.split_vertically(height);
        let ends = y_axis.clone();
        let bottom = plotters::coord::ranged1d::Ranged::range(&ends).start;
        let x_range = plotters::coord::ranged1d::Ranged::range(&x_axis);
        let mut chart = ChartBuilder::on(&area)
            .margin_right(18 * SCALE)
            .margin_left(6 * SCALE)
            .margin_top(4 * SCALE)
            .x_label_area_size(44 * SCALE)
            .y_label_area_size(66 * SCALE)
            .build_cartesian_2d(x_axis, y_axis)?;
        chart
            .configure_mesh()
            .x_desc(&self.x)
            .y_desc(&*self.y)
            .x_label_formatter(&|&x| tick(x))
            .y_label_formatter(&|&y| tick(y))
            .label_style(text(11))
            .axis_desc_style(text(12))
            .axis_style(GRID.light.stroke_width(SCALE))
            .bold_line_style(GRID.light.mix(0.25).stroke_width(SCALE))
            .light_line_style(TRANSPARENT)
            .draw()?;
        if let &Some((_, y)) = &self.target {
            let ends = [(x_range.start, y), (x_range.end, y)];
            let ink = INK.light.stroke_width(SCALE);
            chart.draw_series(DashedLineSeries::new(ends, 8 * SCALE, 5 * SCALE, ink))?;
        }
        // The main lines lie above the others.
        let order = [Stroke::Columns, Stroke::Faint, Stroke::Dashed, Stroke::Bold, Stroke::Marks];
        for line in order.iter().flat_map(|&stroke| self.lines.iter().filter(move |line| line.stroke == stroke)) {
            let colour = tone(line.style).light;
            let points = line.points.iter().copied();
            match line.stroke {
                Stroke::Bold => {
                    chart.draw_series(LineSeries::new(points, colour.stroke_width(2 * SCALE)))?;
                }
                Stroke::Faint => {
                    chart.draw_series(LineSeries::new(points, colour.mix(0.45).stroke_width(SCALE)))?;
                }
                Stroke::Dashed => {
                    let style = colour.stroke_width(2 * SCALE);
                    chart.draw_series(DashedLineSeries::new(points, 8 * SCALE, 5 * SCALE, style))?;
                }
                Stroke::Columns => {
                    let column = |(x, y)| [(x, bottom), (2.0 * x, y)];
                    let columns: Vec<_> = points.map(column).collect();
                    chart.draw_series(columns.iter().map(|&c| Rectangle::new(c, colour.mix(0.35).filled())))?;
                    chart.draw_series(columns.iter().map(|&c| Rectangle::new(c, colour.stroke_width(SCALE))))?;
                }
                Stroke::Marks => {}
            }
            let (every, size) = match line.stroke {
                // Marks tell lines apart. A dozen a line is enough.
                Stroke::Bold => (line.points.len().div_ceil(12), 4 * PIXEL),
                Stroke::Marks => (1, 3 * PIXEL),
                _ => continue,
            };
            for point in line.points.iter().rev().step_by(every) {
                let (x, y) = chart.backend_coord(point);
                mark(&area, (x, y - height), line.style, size)?;
            }
            for (point, label) in line.points.iter().zip(&line.labels) {
                let (x, y) = chart.backend_coord(point);
                area.draw(&Text::new(short(label, 30), (x + 5 * PIXEL, y - height - 13 * PIXEL), text(10)))?;
            }
        }
        Ok(())
    }
}

/// Draws the symbol beside a name in the legend.
fn symbol<DB: DrawingBackend>(area: &Area<DB>, (x, y): (i32, i32), line: &Line) -> Drawn<DB> {
    let colour = tone(line.style).light;
    let path = |from, to| PathElement::new([(x + from, y), (x + to, y)], colour.stroke_width(2 * SCALE));
    match line.stroke {
        Stroke::Columns => {
            let corners = [(x + 4 * PIXEL, y - 6 * PIXEL), (x + 2 * SYMBOL, y + 6 * PIXEL)];
            area.draw(&Rectangle::new(corners, colour.mix(0.35).filled()))?;
            return area.draw(&Rectangle::new(corners, colour.stroke_width(SCALE)));
        }
        Stroke::Dashed => {
            area.draw(&path(0, 8 * PIXEL))?;
            return area.draw(&path(12 * PIXEL, 2 * SYMBOL));
        }
        Stroke::Faint => return area.draw(&path(0, 2 * SYMBOL)),
        Stroke::Marks => {}
        Stroke::Bold => area.draw(&path(0, 2 * SYMBOL))?,
    }
    mark(area, (x + SYMBOL, y), line.style, 4 * PIXEL)
}

/// At most [`MOST_POINTS`], each the mean of as many neighbours.
fn averaged(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mean = |part: &[(f64, f64)]| {
        let sum = part.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (sum.0 / part.len() as f64, sum.1 / part.len() as f64)
    };
    points.chunks(points.len().div_ceil(MOST_POINTS).max(1)).map(mean).collect()
}
