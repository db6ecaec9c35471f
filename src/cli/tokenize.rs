//! `hotrow tokenize`: text to token files.

use std::io::Write;
use std::path::PathBuf;

use clap::{ArgGroup, Args};
use hotrow::data::tokens::{Counts, Reading, TextOptions, TokenizerSource, tokenize_with};
use hotrow::run::Progress;

use super::{Failure, Threads};

#[derive(Args)]
#[command(group(ArgGroup::new("tokens").required(true).args(["vocabulary", "tokenizer"])))]
pub struct Arguments {
    /// Text, or JSON objects a line (.jsonl), each also .gz or .zst
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Folder for train.tokens, valid.tokens and tokenizer.json, made if need be
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Learns a byte-level BPE of so many tokens from the files (from their first 2 GiB)
    #[arg(long, value_name = "N")]
    vocabulary: Option<usize>,
    /// Takes the tokenizer from here: a tokenizer.json, GPT-2's vocab.bpe beside its encoder.json, or their folder
    #[arg(long, value_name = "PATH")]
    tokenizer: Option<PathBuf>,
    /// Field of the objects that is their text
    #[arg(long, value_name = "NAME", default_value = "text")]
    field: String,
    /// Files for validation (repeatable)
    #[arg(long, value_name = "FILE")]
    valid: Vec<PathBuf>,
    /// Share of the files that goes to validation instead: of objects any, of a text file its end
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    valid_share: f64,
    /// What draws the objects for validation
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    threads: Threads,
}

pub fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Failure> {
    arguments.threads.start()?;
    let options = TextOptions {
        files: arguments.files.clone(),
        valid: arguments.valid.clone(),
        field: arguments.field.clone(),
        valid_share: arguments.valid_share,
        seed: arguments.seed,
    };
    let source = match (arguments.vocabulary, &arguments.tokenizer) {
        (Some(tokens), _) => TokenizerSource::Train(tokens),
        (None, Some(path)) => TokenizerSource::Load(path.clone()),
        (None, None) => return Err(Failure::Usage("--vocabulary or --tokenizer is needed".to_owned())),
    };
    let mut progress = Progress::stderr();
    let mut tell = |Reading { pass, bytes, of }: Reading| progress.bytes(pass, bytes, of);
    let made = tokenize_with(&options, &source, &arguments.out, &mut tell);
    progress.finish();
    let made = made?;
    if arguments.json {
        return Ok(writeln!(out, "{:#}", serde_json::to_value(&made).expect("names and numbers are JSON"))?);
    }
    for (path, counts) in [Some(&made.train), made.valid.as_ref()].into_iter().flatten().zip(&made.counts) {
        let Counts { tokens, documents, source_bytes, bytes_per_token } = counts;
        writeln!(
            out,
            "{}: {tokens} tokens of {documents} documents, {source_bytes} bytes, {bytes_per_token:.3} a token",
            path.display()
        )?;
    }
    writeln!(out, "{}: {} tokens", made.tokenizer.display(), made.vocabulary)?;
    Ok(())
}
