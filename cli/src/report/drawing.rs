//! A drawing as an SVG element for pages, and as a PNG file.

use std::io;
use std::sync::Once;

use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use super::bars::Bars;
use super::canvas::{Area, Drawn, SCALE};
use super::chart::Chart;
use super::number::{escape, one_line};
use super::theme;

/// A picture as data, so that pages and files show the same one.
#[derive(Clone, Debug)]
pub(super) enum Drawing {
    Chart(Chart),
    Bars(Bars),
}

impl From<Chart> for Drawing {
    fn from(chart: Chart) -> Self {
        Self::Chart(chart)
    }
}

impl From<Bars> for Drawing {
    fn from(bars: Bars) -> Self {
        Self::Bars(bars)
    }
}

impl Drawing {
    /// In pixels of the page.
    pub fn size(&self) -> (u32, u32) {
        match self {
            Drawing::Chart(chart) => chart.size,
            Drawing::Bars(bars) => bars.size(),
        }
    }

    fn title(&self) -> &str {
        match self {
            Drawing::Chart(chart) => &chart.title,
            Drawing::Bars(bars) => &bars.title,
        }
    }

    fn draw<DB: DrawingBackend>(&self, area: &Area<DB>) -> Drawn<DB> {
        match self {
            Drawing::Chart(chart) => chart.draw(area),
            Drawing::Bars(bars) => bars.draw(area),
        }
    }

    /// The drawing as an SVG element, self-contained, in the colours of the page.
    pub fn svg(&self) -> String {
        load_font();
        let (width, height) = (self.size().0 * SCALE, self.size().1 * SCALE);
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
            self.draw(&area).and_then(|()| area.present()).expect("writing to a String does not fail");
        }
        let rest = theme::themed(svg.split_once('>').map_or("", |(_, rest)| rest));
        let title = escape(&one_line(self.title()));
        format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">{rest}")
    }

    /// The drawing as a PNG file on white, [`SCALE`] times as large as on the page.
    pub fn png(&self) -> Vec<u8> {
        load_font();
        let (width, height) = (self.size().0 * SCALE, self.size().1 * SCALE);
        let mut pixels = vec![u8::MAX; (width * height * 3) as usize];
        {
            let area = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
            self.draw(&area).and_then(|()| area.present()).expect("drawing on memory does not fail");
        }
        // Smooth edges in 16 steps: nobody sees the difference, and the file is half as large.
        pixels.iter_mut().for_each(|value| *value = (*value / 16) * 17);
        encode(&pixels, width, height).expect("writing to memory does not fail")
    }
}

fn encode(pixels: &[u8], width: u32, height: u32) -> Result<Vec<u8>, png::EncodingError> {
    let mut file = io::Cursor::new(Vec::new());
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(file.into_inner())
}

/// PNG files need a font; pages use the reader's.
fn load_font() {
    static LOADED: Once = Once::new();
    LOADED.call_once(|| {
        let font = include_bytes!("font/dejavu-sans-part.ttf");
        assert!(register_font("sans-serif", FontStyle::Normal, font).is_ok(), "the font is in the program");
    });
}
