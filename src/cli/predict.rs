//! `hotrow predict`: the best labels of each sample, a line each.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;

use clap::Args;
use hotrow::data::Batch;
use hotrow::error::Error;
use hotrow::kernels::Level;
use hotrow::train::xmc::Predictor;

use super::{Failure, Threads};

/// Lines that are scored together.
const LINES: usize = 256;

#[derive(Args)]
pub struct Arguments {
    /// Folder of the run, or one of its checkpoints
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Samples, a line each, as in the training file; labels are ignored. For text also bare text [default: standard input]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// The lines are bare text, without columns or fields
    #[arg(long)]
    text: bool,
    /// Labels of each sample
    #[arg(long, value_name = "K", default_value_t = 5)]
    top: usize,
    /// Scores only the labels that the index names, instead of all
    #[arg(long)]
    sparse: bool,
    /// A JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    threads: Threads,
}

pub fn run(arguments: &Arguments, level: Level, out: &mut impl Write) -> Result<(), Failure> {
    if arguments.top == 0 {
        return Err(Failure::Usage("--top: 0 is not above 0".to_owned()));
    }
    arguments.threads.start()?;
    let mut predictor = Predictor::open(&arguments.run, level)?;
    if arguments.sparse && !predictor.has_index() {
        return Err(Failure::Usage("--sparse: the network was trained without an index of its rows".to_owned()));
    }
    let name = arguments.input.clone().unwrap_or_else(|| "standard input".into());
    let reader: Box<dyn BufRead> = match &arguments.input {
        Some(path) => Box::new(BufReader::new(File::open(path).map_err(Error::io(path))?)),
        None => Box::new(io::stdin().lock()),
    };
    let mut batch = Batch::new(predictor.vocabulary().features());
    for (number, line) in (1..).zip(reader.lines()) {
        let line = line.map_err(Error::io(&name))?;
        let vocabulary = predictor.vocabulary();
        let added = match arguments.text {
            true => vocabulary.push_text(&line, &mut batch),
            false => vocabulary.push_line(&line, &mut batch),
        };
        added.map_err(|error| at(error, &name, number))?;
        if batch.len() == LINES {
            write_batch(&mut predictor, &mut batch, arguments, out)?;
        }
    }
    write_batch(&mut predictor, &mut batch, arguments, out)
}

/// The error with the line of the file.
fn at(error: Error, name: &std::path::Path, number: u64) -> Error {
    match error {
        Error::Data { column, message, .. } => Error::data(name, number, column, message),
        error => error,
    }
}

fn write_batch(
    predictor: &mut Predictor,
    batch: &mut Batch,
    arguments: &Arguments,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let best = predictor.best(batch, arguments.top, arguments.sparse);
    for sample in &best {
        let named = sample.iter().map(|&(label, score)| (predictor.vocabulary().name(label), score));
        if arguments.json {
            let labels: Vec<_> =
                named.map(|(label, score)| serde_json::json!({"label": label, "score": score})).collect();
            writeln!(out, "{}", serde_json::json!({ "labels": labels }))?;
        } else {
            let labels: Vec<String> = named.map(|(label, score)| format!("{label}:{score:.4}")).collect();
            writeln!(out, "{}", labels.join("\t"))?;
        }
    }
    batch.clear();
    Ok(())
}
