//! Bars of parts: a bar for each run, a piece for each part.

use plotters::prelude::*;

use super::canvas::{Area, Drawn, PIXEL, SYMBOL, legend, legend_lines, text};
use super::number::{one_line, percent, quantity, short};
use super::theme::{BLACK, GRID, PIECES, Tone, WHITE, light};

/// In pixels of the page.
const WIDTH: u32 = 760;
const BAR: i32 = 44 * PIXEL;

/// A bar for each run. Lengths are proportional to amounts.
#[derive(Clone, Debug)]
pub(super) struct Bars {
    pub title: String,
    /// The unit of the amounts: `s`, `B`.
    pub unit: &'static str,
    /// The pieces, in the order they are drawn. Their positions choose colours.
    pub pieces: Vec<String>,
    /// The name of each bar, and the amount of each piece.
    pub bars: Vec<(String, Vec<f64>)>,
}

impl Bars {
    /// Bars from parts by name. The names in `order` come first.
    pub fn new(title: &str, unit: &'static str, order: &[&str], bars: Vec<(String, Vec<(String, f64)>)>) -> Bars {
        let mut pieces: Vec<String> = Vec::new();
        for (name, amount) in bars.iter().flat_map(|(_, parts)| parts) {
            if drawn(*amount) && !pieces.contains(name) {
                pieces.push(name.clone());
            }
        }
        pieces.sort_by_key(|name| order.iter().position(|known| known == name).unwrap_or(usize::MAX));
        let amount = |parts: &[(String, f64)], piece: &String| -> f64 {
            parts.iter().filter(|(name, amount)| name == piece && drawn(*amount)).map(|(_, amount)| amount).sum()
        };
        let amounts = |parts: &[(String, f64)]| pieces.iter().map(|piece| amount(parts, piece)).collect();
        let bars = bars.iter().map(|(name, parts)| (one_line(name), amounts(parts))).collect();
        Bars { title: title.to_owned(), unit, pieces, bars }
    }

    /// The bars with any amount; `None` if there is none.
    pub fn drawable(mut self) -> Option<Self> {
        self.bars.retain(|(_, amounts)| amounts.iter().sum::<f64>() > 0.0);
        (!self.bars.is_empty()).then_some(self)
    }

    pub fn size(&self) -> (u32, u32) {
        (WIDTH, 40 + 20 * legend_lines(&self.pieces, WIDTH) + 62 * self.bars.len() as u32)
    }

    pub fn draw<DB: DrawingBackend>(&self, area: &Area<DB>) -> Drawn<DB> {
        let longest = self.bars.iter().map(|(_, amounts)| amounts.iter().sum()).fold(0.0, f64::max);
        let entries: Vec<_> = self.pieces.iter().enumerate().map(|(i, name)| (name.as_str(), colour(i))).collect();
        let top = legend(area, &self.title, &entries, |area, (x, y), colour| {
            let corners = [(x + 4 * PIXEL, y - 6 * PIXEL), (x + 2 * SYMBOL, y + 6 * PIXEL)];
            area.draw(&Rectangle::new(corners, colour.light.filled()))
        })?;
        let (left, right) = (14 * PIXEL, (WIDTH as i32 - 14) * PIXEL);
        for (i, (bar, amounts)) in self.bars.iter().enumerate() {
            let y = top + i as i32 * (BAR + 18 * PIXEL);
            let total: f64 = amounts.iter().sum();
            let head = format!("{}: {}", short(bar, 60), quantity(total, self.unit));
            area.draw(&Text::new(head, (left, y), text(12)))?;
            let at = |amount: f64| left + (f64::from(right - left) * (amount / longest)).round() as i32;
            let mut from = 0.0;
            for (i, &amount) in amounts.iter().enumerate().filter(|(_, amount)| **amount > 0.0) {
                let ends = (at(from), at(from + amount));
                piece(area, ends, y + 18 * PIXEL, (colour(i), &self.pieces[i]), amount / total)?;
                from += amount;
            }
        }
        Ok(())
    }
}

/// Whether an amount can be drawn.
fn drawn(amount: f64) -> bool {
    amount > 0.0 && amount < 1e30
}

/// Draws one piece of a bar, with its name and share if there is room.
fn piece<DB: DrawingBackend>(
    area: &Area<DB>,
    (from, to): (i32, i32),
    top: i32,
    (tone, name): (&'static Tone, &str),
    share: f64,
) -> Drawn<DB> {
    let bottom = top + BAR - 18 * PIXEL;
    let corners = [(from, top), (to, bottom)];
    area.draw(&Rectangle::new(corners, tone.light.filled()))?;
    area.draw(&Rectangle::new(corners, GRID.light.mix(0.6).stroke_width(1)))?;
    let label = format!("{} {}", short(name, 12), percent(share).replace(".00 %", " %"));
    if label.chars().count() as i32 * 7 * PIXEL > to - from {
        return Ok(());
    }
    let ink = if light(tone) { BLACK.light } else { WHITE.light };
    let style = text(11).color(&ink);
    area.draw(&Text::new(label, (from + 5 * PIXEL, (top + bottom) / 2 - 5 * PIXEL), style))
}

fn colour(piece: usize) -> &'static Tone {
    &PIECES[piece.min(PIECES.len() - 1)]
}
