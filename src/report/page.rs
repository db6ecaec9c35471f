//! The page.

use std::fmt::Write as _;

use super::number::{escape, one_line, percent, quantity};
use super::{Report, RunReport, bars, compare, figures};

/// The whole document.
pub(super) fn page(report: &Report) -> String {
    let title = match one_line(&report.title) {
        title if title.is_empty() => "Training report".to_string(),
        title => title,
    };
    let mut body = tag("h1", &escape(&title));
    if !report.subtitle.is_empty() {
        body += &paragraph("dim", &report.subtitle);
    }
    if !report.command.is_empty() {
        body += &tag("pre", &escape(&report.command));
    }
    body += &section("Comparison", comparison(&report.runs), "No run has a figure to compare.");
    body +=
        &section("Quality", figures::quality(&report.runs).map(figure), "No run has evaluated P@1 while it trained.");
    body += &section("Loss", figures::loss(&report.runs).map(figure), "No run has logged its loss.");
    body += &section("Where the time goes", phases(&report.runs), "No run has logged the time of its phases.");
    body += &section("Index health", health(&report.runs), "No run has measured its index, or none has one.");
    body += &section("Environment", environment(report), "Nothing is known of the machine.");
    if !report.notes.is_empty() {
        body += &tag("h2", "Notes");
        report.notes.iter().for_each(|note| body += &paragraph("", note));
    }
    let title = escape(&title);
    let style = include_str!("style.css");
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// A heading, and what there is to see or the sentence that says why there is nothing.
fn section(heading: &str, content: Option<String>, missing: &str) -> String {
    tag("h2", heading) + &content.unwrap_or_else(|| paragraph("dim", missing))
}

fn comparison(runs: &[RunReport]) -> Option<String> {
    let rows = compare::rows(runs);
    if rows.is_empty() {
        return None;
    }
    let head: String = runs.iter().map(|run| cell("th", &escape(&one_line(&run.name)))).collect();
    let mut lines = String::new();
    for row in rows {
        lines += &format!("<tr><th scope=\"row\">{}</th>", escape(&row.name));
        for figure in row.cells {
            let against = figure.against_first.map(|text| format!("<small>{text}</small>")).unwrap_or_default();
            lines += &cell("td", &(figure.value.unwrap_or("–".to_string()) + &against));
        }
        lines += "</tr>\n";
    }
    let note = match runs.len() {
        0 | 1 => String::new(),
        _ => paragraph("dim", &format!("Small print: against {}.", one_line(&runs[0].name))),
    };
    Some(table("", &format!("<th></th>{head}"), &lines) + &note)
}

fn phases(runs: &[RunReport]) -> Option<String> {
    let mut content = figure(bars::svg("Where the time goes, by phase", runs)?);
    for run in runs {
        let (timed, total) = bars::timed(run);
        if timed.is_empty() {
            continue;
        }
        let mut lines = String::new();
        for phase in &run.phases {
            let rate = |amount: f64, unit| match amount / phase.seconds {
                rate if rate.is_finite() && rate > 0.0 => quantity(rate, unit),
                _ => "–".to_string(),
            };
            write!(lines, "<tr><th scope=\"row\">{}</th>", escape(&one_line(&phase.name))).expect("a String grows");
            let cells = [
                quantity(phase.seconds, "s"),
                percent(phase.seconds / total),
                quantity(phase.flops, "FLOP"),
                rate(phase.flops, "FLOP/s"),
                quantity(phase.bytes, "B"),
                rate(phase.bytes, "B/s"),
            ];
            cells.iter().for_each(|text| lines += &cell("td", text));
            lines += "</tr>\n";
        }
        let head = ["phase", "time", "share", "arithmetic", "a second", "memory traffic", "a second"];
        let head: String = head.iter().map(|text| cell("th", text)).collect();
        content += &(tag("h3", &escape(&one_line(&run.name))) + &table("", &head, &lines));
    }
    Some(content)
}

fn health(runs: &[RunReport]) -> Option<String> {
    let drawings = figures::health(runs);
    (!drawings.is_empty())
        .then(|| format!("<div class=\"pair\">\n{}</div>\n", drawings.into_iter().map(figure).collect::<String>()))
}

fn environment(report: &Report) -> Option<String> {
    let line = |(name, value): &(String, String)| {
        format!("<tr><th scope=\"row\">{}</th>{}</tr>\n", escape(name), cell("td", &escape(value)))
    };
    let lines: String = report.environment.iter().map(line).collect();
    (!lines.is_empty())
        .then(|| format!("<div class=\"wide\"><table class=\"facts\"><tbody>\n{lines}</tbody></table></div>\n"))
}

fn table(class: &str, head: &str, lines: &str) -> String {
    format!(
        "<div class=\"wide\"><table class=\"{class}\"><thead><tr>{head}</tr></thead>\n<tbody>\n{lines}</tbody></table></div>\n"
    )
}

fn figure(svg: String) -> String {
    format!("<figure>\n{svg}</figure>\n")
}

fn paragraph(class: &str, text: &str) -> String {
    format!("<p class=\"{class}\">{}</p>\n", escape(text))
}

fn cell(name: &str, content: &str) -> String {
    format!("<{name}>{content}</{name}>")
}

fn tag(name: &str, content: &str) -> String {
    format!("<{name}>{content}</{name}>\n")
}
