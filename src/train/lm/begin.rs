//! Whether a run can begin, or go on: what would otherwise only be seen after a while, or never.

use super::trainer::shape;
use super::{Files, memory, sequences};
use crate::checkpoint::Loaded;
use crate::config::RunConfig;
use crate::config::lm::Lm;
use crate::config::lm::presets::Component;
use crate::error::{Error, Result};
use crate::kernels::Level;
use crate::machine::Machine;
use crate::train::run;

/// Among the counters of a checkpoint: the digest of the training tokens.
pub(super) const DIGEST: &str = "train_digest";

/// Times a machine's memory from which on a run is refused. The plan is rough, and rows that no token has come upon take nothing.
const TOO_MUCH: f64 = 1.5;

/// An error if a run with this configuration cannot do its steps on `files`.
pub(super) fn can_begin(config: &Lm, files: &Files, level: Level) -> Result<()> {
    let steps = config.steps(sequences(config, files)?.windows());
    if steps > u32::MAX.into() {
        let message = format!("makes a run of {steps} steps, where {} is the most", u32::MAX);
        return Err(Error::config(steps_key(config), message));
    }
    let train = &config.train;
    let (prompt, context) = (files.tokenizer.encode(&train.sample)?.len(), config.model.context);
    if train.sample_tokens > 0 && prompt > context {
        let message = format!("has {prompt} tokens, where the network reads at most {context}");
        return Err(Error::config("train.sample", message));
    }
    fits("the run", &memory(config, config.model.vocabulary, level))
}

/// An error if this machine has by no means the memory for `what`, which takes these parts.
pub(super) fn fits(what: &str, parts: &[Component]) -> Result<()> {
    let needed: u64 = parts.iter().map(|part| part.bytes).sum();
    let (Some(there), Some(largest)) = (Machine::read().memory_bytes, parts.iter().max_by_key(|part| part.bytes))
    else {
        return Ok(());
    };
    if (needed as f64) < TOO_MUCH * there as f64 {
        return Ok(());
    }
    let gib = |bytes: u64| bytes as f64 / (1_u64 << 30) as f64;
    let (needed, most, there) = (gib(needed), gib(largest.bytes), gib(there));
    let message = format!(
        "{what} takes about {needed:.1} GiB of memory, {most:.1} GiB of it for {}; this machine has {there:.1} GiB",
        largest.name
    );
    Err(Error::config("model", message))
}

/// The key that the number of steps follows from.
fn steps_key(config: &Lm) -> &'static str {
    if config.train.steps == 0 && config.train.tokens > 0 { "train.tokens" } else { "train.steps" }
}

/// An error if the run of a checkpoint cannot go on with this configuration of `steps` steps on these files.
pub(super) fn goes_on(loaded: &Loaded, config: &Lm, files: &Files, steps: u64) -> Result<()> {
    shape(loaded)?.config.check_resumed(config)?;
    run::check_steps(steps_key(config), loaded.state().step, steps)?;
    let known = loaded.state().counters.get(DIGEST);
    if known.is_some_and(|&digest| digest != files.train.digest()) {
        let message = format!("the run began with other tokens than those of {}", files.train.path().display());
        return Err(Error::config("--resume", message));
    }
    Ok(())
}
