//! What a run begins with, for other programs that shall begin with the same.

use std::path::{Path, PathBuf};

use super::{Inputs, Options, Run};
use crate::checkpoint::{self, write_tensors};
use crate::config::lm::Lm;
use crate::error::Result;
use crate::tensor::{Elements, Tensor};
use crate::train::run::Task;

/// Makes the run that [`start`](super::start) would, but does no step: the folder `out` gets the checkpoint of step 0, from which
/// [`resume`](super::resume) goes on, and beside it `order.safetensors` with `starts` (steps, sequences of a step): where each
/// sequence begins, in a ring of all tokens of the training file but the last. Gives the checkpoint's folder.
///
/// # Errors
///
/// As [`start`](super::start).
pub fn initial(out: &Path, inputs: &Inputs, config: Lm, options: &Options) -> Result<PathBuf> {
    let mut run = Run::create(out, inputs, config, options)?;
    run.dir.keep();
    let keep = run.trainer.config.train.keep;
    let saved = checkpoint::save(out, &run.contents(), keep)?;
    let (steps, per_step) = (run.trainer.total_steps, run.trainer.config.sequences());
    let starts: Vec<u64> = (0..steps).flat_map(|step| run.sequences.starts(step)).collect();
    let starts =
        Tensor { name: "starts".to_owned(), shape: vec![steps as usize, per_step], elements: Elements::U64(&starts) };
    write_tensors(out, "order.safetensors", &[starts])?;
    Ok(saved)
}
