//! `hotrow generate`: text from a language model.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use hotrow::error::Error;
use hotrow::generate::{Generation, Sampling, generate};
use hotrow::kernels::Level;
use hotrow::train::lm::Trainer;
use serde_json::json;

use super::{Failure, Threads};

#[derive(Args)]
pub struct Arguments {
    /// Folder of the run, or one of its checkpoints
    #[arg(long, value_name = "DIR", visible_alias = "run")]
    checkpoint: PathBuf,
    /// Text to continue; without it, a document begins
    #[arg(long, value_name = "TEXT", default_value = "", allow_hyphen_values = true)]
    prompt: String,
    /// File with the text to continue; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "prompt")]
    prompt_file: Option<PathBuf>,
    /// Reads only the last tokens of a prompt that exceeds the network's context
    #[arg(long)]
    truncate_prompt: bool,
    /// Most tokens to generate
    #[arg(long, value_name = "N", default_value_t = 256, allow_negative_numbers = true)]
    max_tokens: usize,
    /// Divides the scores: larger values make draws more even, 0 always takes the best token
    #[arg(long, value_name = "X", default_value_t = Sampling::default().temperature, allow_negative_numbers = true)]
    temperature: f32,
    /// Draws from this many of the best tokens; 0 for all
    #[arg(long, value_name = "K", default_value_t = Sampling::default().top_k, allow_negative_numbers = true)]
    top_k: usize,
    /// Draws from the fewest best tokens that together have this probability
    #[arg(long, value_name = "P", default_value_t = Sampling::default().top_p, allow_negative_numbers = true)]
    top_p: f32,
    /// Seed of the draws: the same seed gives the same text
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true)]
    seed: u64,
    /// Ends before this text (repeatable). \n stands for a line break, \t for a tab, \\ for a backslash
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, value_parser = unescaped)]
    stop: Vec<String>,
    /// Prints one JSON object at the end, instead of text as it comes: the text, its tokens (ids) and the prompt's
    /// (prompt_ids), and the natural logarithms of their probabilities before temperature (logprobs)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    threads: Threads,
}

pub fn run(arguments: &Arguments, level: Level, out: &mut impl Write) -> Result<(), Failure> {
    let sampling = Sampling { temperature: arguments.temperature, top_k: arguments.top_k, top_p: arguments.top_p };
    sampling.check()?;
    arguments.threads.start()?;
    let prompt = &match &arguments.prompt_file {
        Some(path) => read(path)?,
        None => arguments.prompt.clone(),
    };
    super::check_run("--checkpoint", &arguments.checkpoint)?;
    let (mut trainer, tokenizer) = Trainer::open(&arguments.checkpoint, level)?;
    trainer.settle();
    let &Arguments { seed, max_tokens, truncate_prompt, json: logprobs, .. } = arguments;
    let stop = arguments.stop.clone();
    let options = Generation { sampling, seed, max_tokens, stop, truncate_prompt, logprobs };
    let (network, work) = (&trainer.network, &mut trainer.work);
    // The prompt is printed first, once the network is known to be able to read it.
    let (mut text, mut before, mut unwritten) = (String::new(), prompt.as_str(), None);
    let start = Instant::now();
    let result = generate(network, work, &tokenizer, prompt, &options, &mut |more| {
        if arguments.json {
            text += more;
            return Ok(());
        }
        // Each piece at once: somebody may be reading along.
        let before = std::mem::take(&mut before);
        let written = out.write_all(before.as_bytes()).and_then(|()| out.write_all(more.as_bytes()));
        written.and_then(|()| out.flush()).map_err(|error| {
            unwritten = Some(error.kind());
            Error::io("standard output")(error)
        })
    });
    if let Some(kind) = unwritten {
        return Err(Failure::Output(kind.into()));
    }
    let generated = result?;
    if arguments.json {
        let mut object = serde_json::to_value(generated).expect("names and numbers are JSON");
        object["text"] = json!(text);
        object["seconds"] = json!(start.elapsed().as_secs_f64());
        return Ok(writeln!(out, "{object:#}")?);
    }
    Ok(writeln!(out, "{before}")?)
}

/// The text of a file, or of standard input.
fn read(path: &Path) -> Result<String, Error> {
    let (name, bytes) = match path == Path::new("-") {
        true => {
            let mut bytes = Vec::new();
            let name = Path::new("standard input");
            std::io::stdin().lock().read_to_end(&mut bytes).map_err(Error::io(name))?;
            (name, bytes)
        }
        false => (path, std::fs::read(path).map_err(Error::io(path))?),
    };
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::data(name, 0, 0, format!("is not UTF-8 from byte {} on", at + 1))
    })
}

/// Replaces `\n`, `\t` and `\\` by a line break, a tab and a backslash.
pub(super) fn unescaped(text: &str) -> Result<String, String> {
    let (mut out, mut characters) = (String::new(), text.chars());
    while let Some(c) = characters.next() {
        out.push(match (c, (c == '\\').then(|| characters.next()).flatten()) {
            ('\\', Some('n')) => '\n',
            ('\\', Some('t')) => '\t',
            ('\\', Some('\\')) => '\\',
            ('\\', other) => {
                let other = other.map(String::from).unwrap_or_default();
                return Err(format!("\\{other} is none of \\n, \\t and \\\\ (a backslash)"));
            }
            (other, _) => other,
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::unescaped;

    #[test]
    fn escapes_stand_for_what_a_shell_makes_hard_to_write() {
        assert_eq!(unescaped(r"a\n\tb\\n-\n").as_deref(), Ok("a\n\tb\\n-\n"));
        assert_eq!(unescaped("---"), Ok("---".to_owned()));
        assert!(unescaped(r"\d").is_err_and(|error| error.starts_with(r"\d is none of")));
        assert!(unescaped("\\").is_err());
    }
}
