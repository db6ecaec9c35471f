//! `hotrow tokenize`: text to token files.

use std::io::Write;
use std::path::PathBuf;

use clap::{ArgGroup, Args};
use hotrow::data::tokens::{
    Counts, EndOfText, LeftOut, PassProgress, TextFormat, TextOptions, TokenizerSource, tokenize_with,
};
use hotrow_cli::Progress;

use super::{Failure, Threads};

#[derive(Args)]
#[command(group(ArgGroup::new("tokens").required(true).args(["vocabulary", "tokenizer"])))]
pub struct Arguments {
    /// Files of text, or of JSON objects a line (.jsonl); also as .gz or .zst
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Folder for train.tokens, valid.tokens and tokenizer.json, made if needed
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Learns a byte-level BPE with this many tokens from the files (from their first 2 GiB)
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    vocabulary: Option<usize>,
    /// Loads the tokenizer: a tokenizer.json, GPT-2's vocab.bpe beside its encoder.json, or their folder
    #[arg(long, value_name = "PATH")]
    tokenizer: Option<PathBuf>,
    /// Token before each document, or none [default: eos_token of the files beside the tokenizer, else its special
    /// token <|endoftext|>, <|end_of_text|>, </s>, <eos> or <|eos|>]
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    end_of_text: Option<String>,
    /// Format of the files [default: jsonl if the name ends so, else text]
    #[arg(long, value_name = "KIND", value_parser = ["text", "jsonl"])]
    format: Option<String>,
    /// Field with an object's text
    #[arg(long, value_name = "NAME", default_value = "text", allow_hyphen_values = true)]
    field: String,
    /// Separates the documents of a text file, such as <|endoftext|>. It is no text, and if it has a line of its own,
    /// neither is the end of that line. \n stands for a line break, \t for a tab, \\ for a backslash
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, value_parser = super::generate::unescaped)]
    document_separator: Option<String>,
    /// Skips and counts up to N records that are no objects, lack the field or are not UTF-8 (of text: lines that are
    /// not)
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    skip_bad: u64,
    /// Brings text into the tokenizer's normal form first, such as NFC, and counts the bytes of that form
    #[arg(long)]
    normalize: bool,
    /// Files for validation (repeatable)
    #[arg(long, value_name = "FILE")]
    valid: Vec<PathBuf>,
    /// Share of the files that goes to validation instead: randomly drawn objects, or the end of a text file
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true)]
    valid_share: f64,
    /// Seed for drawing the objects for validation
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true)]
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
        format: match arguments.format.as_deref() {
            Some("text") => TextFormat::Text,
            Some(_) => TextFormat::Objects,
            None => TextFormat::ByName,
        },
        document_separator: arguments.document_separator.clone(),
        end_of_text: match arguments.end_of_text.as_deref() {
            Some("none") => EndOfText::Absent,
            Some(name) => EndOfText::Token(name.to_owned()),
            None => EndOfText::Detect,
        },
        skip_bad: arguments.skip_bad,
        normalize: arguments.normalize,
    };
    let source = match (arguments.vocabulary, &arguments.tokenizer) {
        (Some(tokens), _) => TokenizerSource::Train(tokens),
        (None, Some(path)) => TokenizerSource::Load(path.clone()),
        (None, None) => return Err(Failure::Usage("--vocabulary or --tokenizer is needed".to_owned())),
    };
    let mut progress = Progress::stderr();
    let mut show = |PassProgress { pass, bytes, of }: PassProgress| progress.bytes(pass, bytes, of);
    let made = tokenize_with(&options, &source, &arguments.out, &mut show);
    progress.finish();
    let made = made?;
    let LeftOut { bad_records, end_of_text_names, first_bad_record } = &made.left_out;
    // If standard error is closed, nobody reads this.
    let warn = |message: String| drop(writeln!(std::io::stderr(), "warning: {message}"));
    if let (true, Some(name)) = (*end_of_text_names > 0, &made.end_of_text) {
        warn(format!(
            "the text has {name} {end_of_text_names} times, which is text like any other; \
             --document-separator '{name}' takes it for the end of a document (in text files)"
        ));
    }
    if made.document_separators == Some(0) {
        warn("--document-separator: the text does not have it, so each file is one document".to_owned());
    }
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
    if arguments.valid_share > 0.0 {
        writeln!(out, "{:.3} % of the bytes are for validation", 100.0 * made.valid_share)?;
    }
    if let Some(first) = first_bad_record {
        writeln!(out, "{bad_records} bad records are left out; the first: {first}")?;
    }
    writeln!(out, "{}: {} tokens", made.tokenizer.display(), made.vocabulary)?;
    Ok(())
}
