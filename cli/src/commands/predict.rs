//! `hotrow predict`: the best labels of each sample, one sample a line.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use hotrow::data::{Batch, Stream, Summary, Vocabulary};
use hotrow::kernels::Level;
use hotrow::train::xmc::{Predictor, Scored};

use super::{Failure, Threads};

/// Lines scored together.
const LINES: usize = 256;

#[derive(Args)]
pub struct Arguments {
    /// Folder of the run, or one of its checkpoints
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Samples in a format of the run, packed or not, or an array; labels are ignored. For text also plain text
    /// [default: standard input]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    input: Option<OsString>,
    /// Reads lines as plain text, without columns or fields
    #[arg(long)]
    text: bool,
    /// Number of labels for each sample
    #[arg(long, value_name = "K", default_value_t = 5)]
    top: usize,
    /// Scores only the labels that the index of a network names, instead of all
    #[arg(long)]
    sparse: bool,
    /// Scores all labels with all parts, instead of candidates only
    #[arg(long, conflicts_with = "sparse")]
    exhaustive: bool,
    /// Prints a JSON object a line. Without it, labels show a tab, a line end and a backslash as `\t`, `\n` or `\r`,
    /// and `\\`
    #[arg(long)]
    json: bool,
    /// Faulty lines to answer with an empty line before one is an error [default: data.skip_bad of the run]
    #[arg(long, value_name = "N")]
    skip_bad: Option<u64>,
    #[command(flatten)]
    threads: Threads,
}

pub fn run(arguments: &Arguments, level: Level, out: &mut impl Write) -> Result<(), Failure> {
    if arguments.top == 0 {
        return Err(Failure::Usage("--top: 0 is not above 0".to_owned()));
    }
    super::check_run("--run", &arguments.run)?;
    arguments.threads.start()?;
    let mut predictor = Predictor::open(&arguments.run, level)?;
    if arguments.sparse && !predictor.has_index() {
        return Err(Failure::Usage(
            "--sparse: is for networks with an index of their rows, and this run has none".to_owned(),
        ));
    }
    let scored = match (arguments.sparse, arguments.exhaustive) {
        (true, _) => Scored::Named,
        (_, true) => Scored::All,
        _ => Scored::Usual,
    };
    let vocabulary = predictor.vocabulary().clone();
    let mut stream = match &arguments.input {
        Some(path) => Stream::open(&vocabulary, path, arguments.text, arguments.skip_bad)?,
        None => Stream::new(&vocabulary, "standard input".as_ref(), io::stdin(), arguments.text, arguments.skip_bad)?,
    };
    let mut batch = Batch::new(vocabulary.features());
    while let Some(lines) = stream.next(&mut batch, LINES)? {
        let best = match batch.is_empty() {
            true => Vec::new(),
            false => predictor.best(&batch, arguments.top, scored),
        };
        let mut answers = best.iter();
        for sample in lines {
            let labels = if sample { &answers.next().expect("an answer for each sample")[..] } else { &[] };
            write_line(labels, &vocabulary, arguments.json, out)?;
        }
        // Whoever waits for these lines may send no more before.
        out.flush()?;
        batch.clear();
    }
    print_left_out(stream.summary(), arguments.json);
    Ok(())
}

fn write_line(labels: &[(u32, f32)], vocabulary: &Vocabulary, json: bool, out: &mut impl Write) -> io::Result<()> {
    let named = labels.iter().map(|&(label, score)| (vocabulary.name(label), score));
    if json {
        let labels: Vec<_> = named.map(|(label, score)| serde_json::json!({"label": label, "score": score})).collect();
        return writeln!(out, "{}", serde_json::json!({ "labels": labels }));
    }
    let labels: Vec<String> = named.map(|(label, score)| format!("{}:{score:.4}", escaped(&label))).collect();
    writeln!(out, "{}", labels.join("\t"))
}

/// The label with escapes for what would end a field or a line.
fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}

/// Prints what was left out to standard error: each line of standard output answers one of the input.
fn print_left_out(summary: &Summary, json: bool) {
    let Some(line) = summary.left_out_line() else { return };
    let line = match json {
        true => serde_json::json!({ "left_out": summary.left_out(), "notes": summary.notes }).to_string(),
        false => line,
    };
    // If standard error is closed, nobody reads this.
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_with_line_ends_or_tabs_stay_in_their_field() {
        assert_eq!(escaped("a\tb\nc\\n\rd"), r"a\tb\nc\\n\rd");
        assert_eq!(escaped("plain: label"), "plain: label");
    }
}
