//! Writes a report as Markdown, in GitHub's dialect for its tables.

use super::block::{Block, Figure, Table};
use super::number::one_line;
use super::page::caption;

/// The whole document. Pictures are links into the folder `images`; without one they are left out.
pub(super) fn markdown(blocks: &[Block], images: Option<&str>) -> String {
    let mut text = String::new();
    for block in blocks {
        match block {
            Block::Heading(level, heading) => {
                text += &format!("{} {}\n\n", "#".repeat(usize::from(*level)), escape(heading));
            }
            Block::Text(words) | Block::Remark(words) => text += &format!("{}\n\n", escape(words)),
            Block::Code(words) => {
                let fence = "`".repeat(longest_run(words, '`').max(2) + 1);
                text += &format!("{fence}text\n{}\n{fence}\n\n", one_line(words));
            }
            Block::Table(own) => text += &(table(own) + "\n"),
            Block::Figures(figures) => {
                for figure in figures {
                    text += &picture(figure, images);
                }
            }
        }
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

fn picture(figure: &Figure, images: Option<&str>) -> String {
    let Some(folder) = images else { return String::new() };
    let folder = folder.trim_end_matches('/');
    let caption = escape(&caption(&figure.origins));
    let source = if caption.is_empty() { String::new() } else { format!("{caption}\n\n") };
    format!("![{}](<{}/{}.png>)\n\n{source}", escape(&figure.title), folder.replace(['<', '>', '\n'], "_"), figure.file)
}

/// A table. No cell can end it.
pub(super) fn table(table: &Table) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(table.head.iter().map(|name| escape(name)).collect());
    let rule = |column: usize| if column == 0 || table.prose { "---" } else { "---:" };
    text += &line((0..table.head.len()).map(|column| rule(column).to_owned()).collect());
    for row in &table.rows {
        let cell = |cell: &super::block::Cell| match &cell.small {
            Some(small) => format!("{} ({})", escape(&cell.text), escape(small)),
            None => escape(&cell.text),
        };
        text += &line(row.iter().map(cell).collect());
    }
    text
}

/// A line of text without any markup.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' => escaped.extend(['\\', c]),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn longest_run(text: &str, of: char) -> usize {
    text.split(|c| c != of).map(|run| run.chars().count()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::block::Cell;

    #[test]
    fn a_cell_cannot_end_a_table_and_numbers_stay_as_they_are() {
        let cell = |text: &str, small: &str| Cell { text: text.into(), small: Some(small.into()) };
        let rows = vec![vec!["a|b\nc".into(), cell("1.5 s", "1, 2")]];
        let made = table(&Table { head: vec!["<name>".into(), "time".into()], rows, prose: false });
        assert_eq!(made, "| &lt;name&gt; | time |\n| --- | ---: |\n| a\\|b c | 1.5 s (1, 2) |\n");
    }

    #[test]
    fn code_is_fenced_by_more_quotes_than_it_has() {
        let made = markdown(&[Block::Code("a ```` b".into())], None);
        assert_eq!(made, "`````text\na ```` b\n`````\n");
    }
}
