//! Writes a report as HTML.

use std::fmt::Write as _;

use super::Origin;
use super::block::{Block, Figure, Table};
use super::number::{escape, one_line, short};
use super::theme;

/// The whole document.
pub(super) fn page(blocks: &[Block]) -> String {
    let heading = blocks.iter().find_map(|block| match block {
        Block::Heading(1, text) => Some(text),
        _ => None,
    });
    let title = escape(&one_line(heading.map_or("Training report", |text| text)));
    let style = include_str!("style.css").to_owned() + &theme::style();
    let body: String = blocks.iter().map(block).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

fn block(block: &Block) -> String {
    match block {
        Block::Heading(level, text) => tag(&format!("h{level}"), &escape(text)),
        Block::Text(text) => paragraph("", text),
        Block::Remark(text) => paragraph("dim", text),
        Block::Code(text) => tag("pre", &escape(text)),
        Block::Table(table) => html_table(table),
        Block::Figures(figures) => {
            let small = figures.iter().all(|figure| figure.drawing.size().0 < 600);
            let all: String = figures.iter().map(html_figure).collect();
            if small { format!("<div class=\"pair\">\n{all}</div>\n") } else { all }
        }
    }
}

fn html_figure(figure: &Figure) -> String {
    let caption = caption(&figure.origins);
    let caption = if caption.is_empty() { String::new() } else { tag("figcaption", &escape(&caption)) };
    format!("<figure id=\"{}\">\n{}{caption}</figure>\n", escape(&figure.file), figure.drawing.svg())
}

/// Machine, commit and command of a figure. What is too long for a caption stands among the sources.
pub(super) fn caption(origins: &[Origin]) -> String {
    let mut parts: Vec<String> = Vec::new();
    for (i, name) in ["machine", "commit", "command"].into_iter().enumerate() {
        let values = origins.iter().flat_map(|origin| origin.parts()).filter(|(own, _)| *own == name);
        let mut different: Vec<&str> = Vec::new();
        values.for_each(|(_, value)| {
            if !different.contains(&value) {
                different.push(value);
            }
        });
        let most = if i == 2 { 160 } else { 100 };
        match different.as_slice() {
            [] => {}
            [one] => parts.push(short(one, most)),
            [one, others @ ..] => parts.push(format!("{} and {} more under Sources", short(one, most), others.len())),
        }
    }
    parts.join(" · ")
}

fn html_table(table: &Table) -> String {
    let class = if table.prose { " class=\"facts\"" } else { "" };
    let mut lines = String::new();
    for row in &table.rows {
        lines += "<tr>";
        for (column, cell) in row.iter().enumerate() {
            let small = cell.small.as_ref().map(|text| format!("<small>{}</small>", escape(text))).unwrap_or_default();
            let (open, close) = if column == 0 { ("th scope=\"row\"", "th") } else { ("td", "td") };
            write!(lines, "<{open}>{}{small}</{close}>", escape(&cell.text)).expect("a String grows");
        }
        lines += "</tr>\n";
    }
    let head: String = table.head.iter().map(|text| format!("<th>{}</th>", escape(text))).collect();
    let head = if table.head.iter().all(String::is_empty) {
        String::new()
    } else {
        format!("<thead><tr>{head}</tr></thead>\n")
    };
    format!("<div class=\"wide\"><table{class}>{head}<tbody>\n{lines}</tbody></table></div>\n")
}

fn paragraph(class: &str, text: &str) -> String {
    format!("<p class=\"{class}\">{}</p>\n", escape(text))
}

fn tag(name: &str, content: &str) -> String {
    format!("<{name}>{content}</{name}>\n")
}
