//! When a run does what.

use serde::{Deserialize, Serialize};

use super::step::Course;
use crate::config::{Optim, RunConfig};
use crate::error::{Error, Result};

/// How a network is trained: `config.toml` of its run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// Learning rates, warm-up and clipping. (Rules belong to the network's parameters.)
    pub optim: Optim,
    /// How long, and what is saved.
    pub train: Schedule,
}

/// `[train]` of a [`Plan`]. A number of steps that is 0 means never, but at the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// Steps of the run.
    pub steps: u64,
    /// Steps between two lines of the log.
    pub log_every: u64,
    /// Steps between two evaluations.
    pub eval_every: u64,
    /// Steps between two checkpoints.
    pub save_every: u64,
    /// Checkpoints that stay.
    pub keep: usize,
    /// Bytes of tensors up to which a checkpoint is copied and written while training goes on.
    pub snapshot_bytes: u64,
    /// Of stochastic rounding; the network's own draws are its own.
    pub seed: u64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { steps: 1000, log_every: 50, eval_every: 0, save_every: 0, keep: 2, snapshot_bytes: 1 << 28, seed: 1 }
    }
}

impl Plan {
    pub(super) fn course(&self) -> Course<'_> {
        Course { optim: &self.optim, steps: self.train.steps, seed: self.train.seed }
    }
}

impl RunConfig for Plan {
    const TASK: &'static str = "train a network of its own";

    fn check(&self) -> Result<()> {
        self.optim.check()?;
        match self.train.steps {
            0 => Err(Error::config("train.steps", "0: there is nothing to do")),
            steps if steps > u32::MAX.into() => {
                Err(Error::config("train.steps", format!("{steps} is above {}, the most", u32::MAX)))
            }
            _ if self.train.keep == 0 => Err(Error::config("train.keep", "0: the last checkpoint has to stay")),
            _ => Ok(()),
        }
    }

    fn check_resumed(&self, new: &Self) -> Result<()> {
        match self.train.seed == new.train.seed {
            true => Ok(()),
            false => Err(Error::config("train.seed", "is another than the run began with")),
        }
    }
}
