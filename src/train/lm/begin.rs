//! Whether a run can begin, or go on: what would otherwise only be seen after a while, or never.

use super::estimate::check_fits;
use super::trainer::shape;
use super::{Files, plan_bytes};
use crate::checkpoint::Loaded;
use crate::config::RunConfig;
use crate::config::lm::Lm;
use crate::data::Sequences;
use crate::error::{Error, Result};
use crate::kernels::Level;
use crate::train::start;

/// Among the counters of a checkpoint: the digests of the tokens.
pub(super) const TRAIN_DIGEST: &str = "train_digest";
pub(super) const VALID_DIGEST: &str = "valid_digest";

/// An error if a run with this configuration cannot begin, or go on.
pub(super) fn check_can_start(config: &Lm, files: &Files, level: Level) -> Result<()> {
    let train = &config.train;
    let (prompt, context) = (files.tokenizer.encode(&train.sample)?.len(), config.model.context);
    if train.sample_tokens > 0 && prompt > context {
        let message = format!("has {prompt} tokens, where the network reads at most {context}");
        return Err(Error::config("train.sample", message));
    }
    check_fits("the run", &plan_bytes(config, config.model.vocabulary, level)?)
}

/// The sequences of a run on `files`.
pub(super) fn sequences(config: &Lm, files: &Files) -> Result<Sequences> {
    Sequences::new(files.train.clone(), config.context(), config.sequences(), config.train.seed)
}

/// Steps of a run with this configuration on `files`.
pub(super) fn steps(config: &Lm, files: &Files) -> Result<u64> {
    let steps = config.steps(sequences(config, files)?.windows());
    check_steps(config, steps)?;
    Ok(steps)
}

/// An error if a run of `steps` steps is too long.
///
/// # Errors
///
/// [`Error::Config`] with the key that the steps follow from.
pub fn check_steps(config: &Lm, steps: u64) -> Result<()> {
    if steps > u32::MAX.into() {
        let message = format!("makes a run of {steps} steps, where {} is the most", u32::MAX);
        return Err(Error::config(steps_key(config), message));
    }
    Ok(())
}

/// The key that the number of steps follows from.
fn steps_key(config: &Lm) -> &'static str {
    if config.train.steps == 0 && config.train.tokens > 0 { "train.tokens" } else { "train.steps" }
}

/// An error if the run of a checkpoint cannot continue with this configuration of `steps` steps on these files.
pub(super) fn check_resumed(loaded: &Loaded, config: &Lm, files: &Files, steps: u64) -> Result<()> {
    shape(loaded)?.config.check_resumed(config)?;
    start::check_steps(steps_key(config), loaded.state().step, steps)?;
    for (name, file) in [(TRAIN_DIGEST, Some(&*files.train)), (VALID_DIGEST, files.valid.as_ref())] {
        let Some((file, &known)) = file.zip(loaded.state().counters.get(name)) else { continue };
        if known != file.digest() {
            let (checkpoint, found) = (loaded.path().display(), file.digest());
            let message = format!(
                "is not what {checkpoint} was trained with: its tokens have the digest {found:016x}, not {known:016x}"
            );
            return Err(Error::data(file.path(), 0, 0, message));
        }
    }
    Ok(())
}
