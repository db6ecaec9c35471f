//! Formats numbers and names for people.

/// Three significant digits and a decimal prefix: `1.2 GB`, `3.4 ms`, `42.1 k`. Without prefix and unit there is no
/// space. Durations from two minutes on are in minutes and hours.
pub(super) fn quantity(value: f64, unit: &str) -> String {
    if unit == "s" && value.is_finite() && value >= 119.5 {
        return duration(value);
    }
    // A bare number has no unit for a prefix of small parts.
    if unit.is_empty() && (0.001..1.0).contains(&value.abs()) {
        return trimmed(format!("{value:.4}"));
    }
    let (number, prefix) = scaled(value, if unit == "s" { 0 } else { 6 });
    format!("{number} {prefix}{unit}").trim_end().to_string()
}

/// `0.3124` as `31.24 %`. Runs are compared to hundredths of a point.
pub(super) fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// `5x less`, `1.2x more`, or `same` below half a per cent; `None` if there is no ratio.
pub(super) fn ratio(value: f64, first: f64) -> Option<String> {
    let ratio = value / first;
    if !(ratio.is_finite() && ratio > 0.0) {
        return None;
    }
    Some(match ratio {
        r if (r - 1.0).abs() < 0.005 => "same".to_string(),
        r if r < 1.0 => format!("{}x less", times(1.0 / r)?),
        r => format!("{}x more", times(r)?),
    })
}

/// The difference of two shares in points: `+0.31 points`.
pub(super) fn points(value: f64, first: f64) -> Option<String> {
    let points = 100.0 * (value - first);
    (points.is_finite() && points.abs() < 1e6).then(|| match points {
        p if p.abs() < 0.005 => "same".to_string(),
        p => format!("{p:+.2} points"),
    })
}

/// A ratio: `0.81`, `1.04`, `5`, `12.3`, `1230`.
pub(super) fn times(ratio: f64) -> Option<String> {
    ratio.is_finite().then(|| match ratio {
        r if r < 9.995 => trimmed(format!("{r:.2}")),
        r if r < 99.95 => trimmed(format!("{r:.1}")),
        r if r < 1e9 => format!("{r:.0}"),
        r => format!("{r:.1e}"),
    })
}

/// A mark on an axis: a plain number if short, else as `quantity`, without unit and minutes.
pub(super) fn tick(value: f64) -> String {
    if (0.00095..999.5).contains(&value.abs()) {
        return trimmed(format!("{value:.4}"));
    }
    let (number, prefix) = scaled(value, 6);
    format!("{number}{prefix}")
}

/// Three digits with the prefix of the largest power of 1000 that is not above the value, up to the power `most`.
fn scaled(value: f64, most: i32) -> (String, &'static str) {
    const PREFIXES: [&str; 11] = ["p", "n", "µ", "m", "", "k", "M", "G", "T", "P", "E"];
    if value == 0.0 || !value.is_finite() {
        return (if value == 0.0 { "0".to_string() } else { value.to_string() }, "");
    }
    // Rounded to three digits first, so 999.9 becomes 1 k and not 1000.
    let rounded: f64 = format!("{value:.2e}").parse().unwrap_or(value);
    let power = ((rounded.abs().log10() + 1e-9) / 3.0).floor().clamp(-5.0, 7.0) as i32;
    if !(-4..=6).contains(&power) {
        return (format!("{value:.2e}"), "");
    }
    let power = power.min(most);
    let number = rounded / 1000f64.powi(power);
    let places = match number.abs() {
        n if n >= 100.0 => 0,
        n if n >= 10.0 => 1,
        _ => 2,
    };
    (trimmed(format!("{number:.places$}")), PREFIXES[(power + 4) as usize])
}

fn trimmed(number: String) -> String {
    match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => number,
    }
}

fn duration(seconds: f64) -> String {
    if seconds >= 1e12 {
        return format!("{seconds:.1e} s");
    }
    let seconds = seconds.round() as u64;
    match seconds {
        0..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Text for HTML, between tags and in quoted attributes. Control characters become spaces, because HTML does not allow
/// them.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' => escaped.push('\n'),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A name on one line of a table or a legend.
pub(super) fn one_line(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_string()
}

/// As `one_line`, cut to `most` characters.
pub(super) fn short(name: &str, most: usize) -> String {
    let name = one_line(name);
    match name.chars().count() > most {
        true => name.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
        false => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_three_digits_and_a_prefix() {
        let written = [
            (quantity(1.2e9, "FLOP"), "1.2 GFLOP"),
            (quantity(0.0034, "s"), "3.4 ms"),
            (quantity(38.24, "s"), "38.2 s"),
            (quantity(999.96, "B"), "1 kB"),
            (quantity(0.0, "B"), "0 B"),
            (quantity(-1234.0, ""), "-1.23 k"),
            (quantity(0.5, ""), "0.5"),
            (quantity(125.4, "s"), "2 min 05 s"),
            (quantity(3_725.0, "s"), "1 h 02 min"),
            (quantity(f64::INFINITY, "s"), "inf s"),
            (quantity(1e30, "B"), "1.00e30 B"),
            (quantity(1e-30, "s"), "1.00e-30 s"),
            (tick(40_000.0), "40k"),
            (tick(0.25), "0.25"),
            (tick(-0.001), "-0.001"),
        ];
        for (got, want) in written {
            assert_eq!(got, want);
        }
    }

    #[test]
    fn ratios_are_against_the_first_and_in_words() {
        assert_eq!(ratio(6.0, 30.0).as_deref(), Some("5x less"));
        assert_eq!(ratio(1.23, 1.0).as_deref(), Some("1.23x more"));
        assert_eq!(ratio(1.001, 1.0).as_deref(), Some("same"));
        assert_eq!(ratio(1.0, 0.0), None);
        assert_eq!(ratio(f64::NAN, 1.0), None);
        assert_eq!(points(0.3124, 0.3155).as_deref(), Some("-0.31 points"));
        assert_eq!(points(0.3124, 0.31241).as_deref(), Some("same"));
    }

    #[test]
    fn text_cannot_end_a_tag_an_attribute_or_a_line() {
        assert_eq!(escape("<a href=\"x\">'&\u{1b}"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp; ");
        assert_eq!(one_line(" a\nb\t"), "a b");
        assert_eq!(short("abcdef", 4), "abc…");
    }
}
