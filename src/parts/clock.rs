//! The time that building a classifier may take.

use super::saved::{self, Saved};
use crate::tensor::{Elements, Tensor};

/// The name in checkpoints.
const NAME: &str = "budget";

/// What has been spent of a limit, and whether linear rows were given up for it. What is decided by time is kept in checkpoints, as no
/// other run would decide the same.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    limit: f64,
    /// Seconds.
    spent: f64,
    state: [u64; 2],
}

impl Clock {
    pub fn new(limit: f64) -> Self {
        Self { limit, spent: 0.0, state: [0; 2] }
    }

    /// Whether there is a limit.
    pub fn limits(&self) -> bool {
        self.limit.is_finite()
    }

    pub fn spend(&mut self, seconds: f64) {
        self.spent += seconds;
        self.state[0] = self.spent.to_bits();
    }

    /// Whether so many more seconds are within the limit.
    pub fn allows(&self, seconds: f64) -> bool {
        self.spent + seconds <= self.limit
    }

    /// Whether linear rows were given up.
    pub fn gave_up(&self) -> bool {
        self.state[1] == 1
    }

    pub fn give_up(&mut self) {
        self.state[1] = 1;
    }

    /// What a checkpoint keeps of it: nothing without a limit, so that checkpoints do not differ by their times.
    pub fn tensors(&self) -> Option<Tensor<'_>> {
        self.limits().then(|| saved::tensor(NAME, Elements::U64(&self.state)))
    }

    /// Takes up what a checkpoint kept. A run that had no limit begins with the next stage.
    ///
    /// # Errors
    ///
    /// A message if the tensor does not fit.
    pub fn restore(&mut self, tensors: &[Tensor]) -> Result<(), String> {
        if Saved(tensors).has(NAME) {
            let state = Saved(tensors).u64s(NAME, 2)?;
            (self.state, self.spent) = ([state[0], state[1]], f64::from_bits(state[0]));
            if self.state[1] > 1 || !(0.0..f64::INFINITY).contains(&self.spent) {
                return Err(format!("{NAME}: {} seconds, {} parts given up", self.spent, self.state[1]));
            }
        }
        Ok(())
    }
}
