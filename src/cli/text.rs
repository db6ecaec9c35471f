//! `hotrow generate`: text that a language model goes on with.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use hotrow::checkpoint;
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
    /// What the text begins with; without it, the beginning of a document
    #[arg(long, value_name = "TEXT", default_value = "")]
    prompt: String,
    /// Most tokens
    #[arg(long, value_name = "N", default_value_t = 256)]
    max_tokens: usize,
    /// Above 1 draws are bolder; at 0 the best token is always taken
    #[arg(long, value_name = "X", default_value_t = Sampling::default().temperature)]
    temperature: f32,
    /// Draws from so many of the best tokens; 0 for all
    #[arg(long, value_name = "K", default_value_t = Sampling::default().top_k)]
    top_k: usize,
    /// Draws from the best tokens that together have this probability
    #[arg(long, value_name = "P", default_value_t = Sampling::default().top_p)]
    top_p: f32,
    /// The same seed gives the same text
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Ends before this text (repeatable)
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Prints one JSON object at the end instead of text as it comes
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    threads: Threads,
}

pub fn run(arguments: &Arguments, level: Level, out: &mut impl Write) -> Result<(), Failure> {
    let sampling = Sampling { temperature: arguments.temperature, top_k: arguments.top_k, top_p: arguments.top_p };
    sampling.check()?;
    arguments.threads.start()?;
    let (mut trainer, tokenizer) = Trainer::load(&checkpoint::open(&arguments.checkpoint)?, level)?;
    trainer.settle();
    let Arguments { prompt, seed, max_tokens, stop, .. } = arguments;
    let options = Generation { sampling, seed: *seed, max_tokens: *max_tokens, stop: stop.clone() };
    let (network, work) = (&trainer.network, &mut trainer.work);
    // The prompt comes first, once it is known to be one that the network can read.
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
