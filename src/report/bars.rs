//! Where the time goes: a bar for each run, a piece for each phase.

use plotters::prelude::*;

use super::RunReport;
use super::chart::{Drawn, GRID, INK, SCALE, SYMBOL, drawing, legend, text};
use super::number::{one_line, percent, quantity, short};

/// Tol's "muted" colours in the order of `Phase::ALL`; a tenth phase and further ones are grey.
const COLOURS: [RGBColor; 9] = [
    RGBColor(51, 34, 136),
    RGBColor(136, 204, 238),
    RGBColor(68, 170, 153),
    RGBColor(17, 119, 51),
    RGBColor(153, 153, 51),
    RGBColor(221, 204, 119),
    RGBColor(204, 102, 119),
    RGBColor(136, 34, 85),
    RGBColor(170, 68, 153),
];
const OTHER: RGBColor = RGBColor(160, 160, 160);

/// As shown, in pixels.
const WIDTH: u32 = 760;
const BAR: i32 = 44 * SCALE as i32;

/// The phases of a run that took time, and the time of all.
pub(super) fn timed(run: &RunReport) -> (Vec<(&str, f64)>, f64) {
    let positive = |seconds: f64| seconds > 0.0 && seconds < 1e30;
    let phases: Vec<_> = run.phases.iter().filter(|phase| positive(phase.seconds)).collect();
    let total = phases.iter().map(|phase| phase.seconds).sum();
    (phases.into_iter().map(|phase| (phase.name.as_str(), phase.seconds)).collect(), total)
}

/// The drawing, or nothing if no phase of any run took time. Bars are as long as the time they stand for.
pub(super) fn svg(title: &str, runs: &[RunReport]) -> Option<String> {
    let runs: Vec<_> =
        runs.iter().map(|run| (one_line(&run.name), timed(run))).filter(|(_, (_, t))| *t > 0.0).collect();
    let longest = runs.iter().map(|(_, (_, total))| *total).fold(0.0, f64::max);
    if longest == 0.0 {
        return None;
    }
    let names = phase_names(runs.iter().flat_map(|(_, (phases, _))| phases.iter().map(|(name, _)| *name)));
    let scale = SCALE as i32;
    let height = 110 + 62 * runs.len() as u32;
    Some(drawing(title, (WIDTH, height), |area| {
        let entries: Vec<_> = names.iter().map(|&name| (name, Some(colour(name)))).collect();
        let top = legend(area, title, &entries, |area, (x, y), colour| {
            let corners = [(x + 4 * scale, y - 6 * scale), (x + 2 * SYMBOL, y + 6 * scale)];
            area.draw(&Rectangle::new(corners, colour.filled()))
        })?;
        let (left, right) = (14 * scale, (WIDTH as i32 - 14) * scale);
        for (i, (run, (phases, total))) in runs.iter().enumerate() {
            let y = top + i as i32 * (BAR + 18 * scale);
            let head = format!("{}: {}", short(run, 60), quantity(*total, "s"));
            area.draw(&Text::new(head, (left, y), text(12)))?;
            let at = |seconds: f64| left + (f64::from(right - left) * (seconds / longest)).round() as i32;
            let mut from = 0.0;
            for &name in &names {
                let seconds: f64 = phases.iter().filter(|(own, _)| *own == name).map(|(_, seconds)| seconds).sum();
                piece(area, (at(from), at(from + seconds)), y + 18 * scale, name, seconds / total)?;
                from += seconds;
            }
        }
        Ok(())
    }))
}

/// One piece of a bar, with its name and share in it if there is room.
fn piece(area: &super::chart::Area, (from, to): (i32, i32), top: i32, name: &str, share: f64) -> Drawn {
    let scale = SCALE as i32;
    let bottom = top + BAR - 18 * scale;
    let corners = [(from, top), (to, bottom)];
    area.draw(&Rectangle::new(corners, colour(name).filled()))?;
    area.draw(&Rectangle::new(corners, GRID.mix(0.6).stroke_width(1)))?;
    let label = format!("{} {}", short(name, 12), percent(share).replace(".00 %", " %"));
    if label.chars().count() as i32 * 7 * scale > to - from {
        return Ok(());
    }
    let ink = if light(colour(name)) { RGBColor(0, 0, 0) } else { WHITE };
    let style = text(11).color(&ink);
    area.draw(&Text::new(label, (from + 5 * scale, (top + bottom) / 2 - 5 * scale), style))
}

/// In the order of a step; names that no phase has come last, in the order seen.
fn phase_names<'a>(seen: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    seen.for_each(|name| {
        if !names.contains(&name) {
            names.push(name)
        }
    });
    names.sort_by_key(|name| place(name));
    names
}

fn place(name: &str) -> usize {
    crate::flops::Phase::ALL.iter().position(|phase| phase.name() == name).unwrap_or(usize::MAX)
}

fn colour(name: &str) -> RGBColor {
    COLOURS.get(place(name)).copied().unwrap_or(OTHER)
}

/// Whether black is easier to read on it than white (the luma of ITU-R BT.601).
fn light(colour: RGBColor) -> bool {
    debug_assert_ne!(colour, INK, "the page replaces this colour");
    299 * u32::from(colour.0) + 587 * u32::from(colour.1) + 114 * u32::from(colour.2) > 128_000
}
