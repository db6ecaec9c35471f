//! The canvas of drawings: sizes, text, legends and marks.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::number::short;
use super::theme::{self, INK, Tone};

/// Drawings are this much larger than shown, because plotters rounds to whole pixels.
pub(super) const SCALE: u32 = 2;
/// The same as a coordinate.
pub(super) const PIXEL: i32 = SCALE as i32;

/// The result of drawing.
pub(super) type Drawn<DB, T = ()> = Result<T, DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;
pub(super) type Area<DB> = DrawingArea<DB, Shift>;

/// A style for text of `size` points on the page.
pub(super) fn text(size: u32) -> TextStyle<'static> {
    // plotters divides by 1.24 on the way to SVG.
    ("sans-serif", f64::from(size * SCALE) * 1.24).into_font().color(&INK.light)
}

/// Half the width of a legend's symbol.
pub(super) const SYMBOL: i32 = 10 * PIXEL;

/// Writes the title, and below it the entries on as many lines as they need. Returns the height used.
pub(super) fn legend<DB: DrawingBackend, T: Copy>(
    area: &Area<DB>,
    title: &str,
    entries: &[(&str, T)],
    symbol: impl Fn(&Area<DB>, (i32, i32), T) -> Drawn<DB>,
) -> Drawn<DB, i32> {
    let (left, line) = (14 * PIXEL, 20 * PIXEL);
    let width = area.dim_in_pixel().0 as i32;
    area.draw(&Text::new(short(title, 90), (left, 8 * PIXEL), text(14)))?;
    if entries.is_empty() {
        return Ok(34 * PIXEL);
    }
    let (mut x, mut y) = (left, 38 * PIXEL);
    for &(name, style) in entries {
        let name = short(name, 48);
        // 0.6 em is wider than the mean letter of any common face. A short name may have wide letters only.
        let needed = 2 * SYMBOL + 6 * PIXEL + (name.chars().count() as i32 * 12 * PIXEL * 6) / 10 + 14 * PIXEL;
        if x > left && x + needed > width {
            (x, y) = (left, y + line);
        }
        symbol(area, (x, y), style)?;
        area.draw(&Text::new(name, (x + 2 * SYMBOL + 6 * PIXEL, y - 6 * PIXEL), text(12)))?;
        x += needed;
    }
    Ok(y + 20 * PIXEL)
}

/// The most lines that `legend` needs, for drawings that grow with it.
pub(super) fn legend_lines(names: &[String], width: u32) -> u32 {
    let letters: usize = names.iter().map(|name| short(name, 48).chars().count()).sum();
    // Each name has a symbol and gaps. A line may end before its last tenth.
    let needed = letters as u32 * 72 / 10 + 40 * names.len() as u32;
    needed.div_ceil((width - 28) * 4 / 5).max(1)
}

/// Draws a circle, a triangle, a cross or a square, by turns, at a position in pixels.
pub(super) fn mark<DB: DrawingBackend>(area: &Area<DB>, (x, y): (i32, i32), style: usize, size: i32) -> Drawn<DB> {
    let colour = tone(style).light;
    match (style + style / theme::SERIES.len()) % 4 {
        0 => area.draw(&Circle::new((x, y), size, colour.filled())),
        1 => area.draw(&TriangleMarker::new((x, y), size + PIXEL, colour.filled())),
        2 => area.draw(&Cross::new((x, y), size, colour.stroke_width(2 * SCALE))),
        _ => area.draw(&Rectangle::new([(x - size, y - size), (x + size, y + size)], colour.filled())),
    }
}

/// The colour of a series.
pub(super) fn tone(style: usize) -> &'static Tone {
    &theme::SERIES[style % theme::SERIES.len()]
}
