//! The colours of a report. In drawings a colour is a variable of the page's style. Its value differs on light and dark
//! pages; paper takes the light one.
//!
//! Series have the colours of Okabe and Ito ("Color Universal Design", 2008), without the yellow that is lost on white,
//! and with two more. Phases have Tol's "muted" scheme ("Colour Schemes", SRON/EPS/TN/09-002, 2021). Colour-blind
//! readers can tell them apart. Series also differ in the shape of their marks.

use plotters::style::RGBColor;

/// A colour of drawings.
pub(super) struct Tone {
    /// The variable's name.
    name: &'static str,
    /// The colour on a light page, and in plotters. No two are alike, because the page's style replaces them.
    pub light: RGBColor,
    /// The colour on a dark page.
    dark: RGBColor,
}

const fn tone(name: &'static str, light: u32, dark: u32) -> Tone {
    const fn rgb(hex: u32) -> RGBColor {
        RGBColor((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
    }
    Tone { name, light: rgb(light), dark: rgb(dark) }
}

/// Text.
pub(super) const INK: Tone = tone("draw-ink", 0x1a1a1a, 0xe8e8e6);
/// Axes and the lines of a grid.
pub(super) const GRID: Tone = tone("draw-grid", 0x808080, 0x8a8a8a);
/// Text on dark and on light pieces of bars, on any page.
pub(super) const WHITE: Tone = tone("draw-white", 0xffffff, 0xffffff);
pub(super) const BLACK: Tone = tone("draw-black", 0x000000, 0x000000);

/// Series: runs, contenders.
pub(super) const SERIES: [Tone; 8] = [
    tone("series-0", 0xd55e00, 0xe8772a),
    tone("series-1", 0x0072b2, 0x4aa8e0),
    tone("series-2", 0x009e73, 0x1fb98c),
    tone("series-3", 0xcc79a7, 0xd98fb8),
    tone("series-4", 0xe69f00, 0xf0b02e),
    tone("series-5", 0x56b4e9, 0x8accf2),
    tone("series-6", 0x7a5230, 0xb98a5f),
    tone("series-7", 0x6b6b6b, 0xb4b4b4),
];

/// Pieces of a bar. The last colour is for all that are too many.
pub(super) const PIECES: [Tone; 10] = [
    tone("piece-0", 0x332288, 0x5a48c0),
    tone("piece-1", 0x88ccee, 0x88ccee),
    tone("piece-2", 0x44aa99, 0x44aa99),
    tone("piece-3", 0x117733, 0x1b8a40),
    tone("piece-4", 0x999933, 0x999933),
    tone("piece-5", 0xddcc77, 0xddcc77),
    tone("piece-6", 0xcc6677, 0xcc6677),
    tone("piece-7", 0x882255, 0xa03068),
    tone("piece-8", 0xaa4499, 0xaa4499),
    tone("piece-9", 0xa0a0a0, 0xa0a0a0),
];

fn all() -> impl Iterator<Item = &'static Tone> {
    [&INK, &GRID, &WHITE, &BLACK].into_iter().chain(&SERIES).chain(&PIECES)
}

fn hex(RGBColor(r, g, b): RGBColor) -> String {
    format!("#{r:02X}{g:02X}{b:02X}")
}

/// The variables for light pages, dark ones and paper.
pub(super) fn style() -> String {
    let values = |of: fn(&Tone) -> RGBColor| {
        let values: Vec<String> = all().map(|tone| format!("--{}: {};", tone.name, hex(of(tone)))).collect();
        format!(":root {{ {} }}", values.join(" "))
    };
    let (light, dark) = (values(|tone| tone.light), values(|tone| tone.dark));
    format!("{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}\n@media print {{ {light} }}\n")
}

/// A drawing by plotters, in the colours of the page.
pub(super) fn themed(svg: &str) -> String {
    // Text has its quotes escaped, so this changes attributes only.
    all().fold(svg.to_owned(), |svg, tone| {
        svg.replace(&format!("=\"{}\"", hex(tone.light)), &format!("=\"var(--{})\"", tone.name))
    })
}

/// Whether black is easier to read on it than white (the luma of ITU-R BT.601), on a light and on a dark page.
pub(super) fn light(tone: &Tone) -> bool {
    let RGBColor(r, g, b) = tone.light;
    299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b) > 128_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_tones_are_alike_and_each_has_three_values() {
        let mut light: Vec<String> = all().map(|tone| hex(tone.light)).collect();
        light.sort_unstable();
        light.dedup();
        assert_eq!(light.len(), all().count());
        let style = style();
        assert!(all().all(|tone| style.matches(&format!("--{}: ", tone.name)).count() == 3));
    }

    #[test]
    fn letters_on_pieces_can_be_read_on_a_dark_page_too() {
        for piece in &PIECES {
            let dark = Tone { light: piece.dark, ..*piece };
            assert_eq!(light(piece), light(&dark), "{}", piece.name);
        }
    }
}
