//! What a run adds up, and what a checkpoint remembers of that.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::checkpoint::Loaded;
use crate::error::Result;
use crate::flops::Costs;
use crate::run::{MetricsLog, Seconds};

/// What a task counts in its steps.
pub trait Counts: AddAssign + Copy + Default + Serialize + DeserializeOwned {
    /// Samples or tokens.
    fn samples(&self) -> u64;
}

/// Sums over steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sums<C> {
    /// Of all samples, or tokens.
    pub loss: f64,
    pub steps: u64,
    pub seconds: f64,
    #[serde(flatten)]
    pub counts: C,
}

impl<C: Counts> Sums<C> {
    pub fn add(&mut self, loss: f64, seconds: f64, counts: C) {
        self.loss += loss;
        self.steps += 1;
        self.seconds += seconds;
        self.counts += counts;
    }

    pub fn mean_loss(&self) -> f64 {
        self.loss / self.counts.samples() as f64
    }
}

/// Keys of an `eval` event that are no metrics.
const NO_METRICS: [&str; 9] = ["schema", "event", "step", "epoch", "seconds", "clock", "samples", "tokens", "flops"];

/// What the reports of a resumed run need of the time before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunTotals<C> {
    /// Since the run began.
    pub total: Sums<C>,
    /// Since the last line of the log.
    pub recent: Sums<C>,
    pub seconds: Seconds,
    pub metrics: BTreeMap<String, f64>,
    pub costs: Costs,
    /// Whether the evaluation of this step was still to come.
    #[serde(default)]
    pub owes_evaluation: bool,
}

impl<C: Counts> RunTotals<C> {
    /// For a checkpoint.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("numbers are JSON")
    }

    /// What a checkpoint remembers.
    pub fn recall(loaded: &Loaded) -> Result<Self> {
        let wrong = |error: serde_json::Error| loaded.refuse("trainer_state.json", error.to_string());
        serde_json::from_value(loaded.state().other.clone()).map_err(wrong)
    }

    /// Takes the metrics of an evaluation that was logged after its checkpoint had been written.
    pub fn recall_evaluation(&mut self, log: &MetricsLog, step: u64) -> Result<()> {
        if self.owes_evaluation
            && let Some(event) = log.find("eval", step)?
        {
            let metric = |(key, value): (String, Value)| Some((key, value.as_f64()?));
            let numbers = event.into_iter().filter(|(key, _)| !NO_METRICS.contains(&key.as_str()));
            self.metrics = numbers.filter_map(metric).collect();
            self.owes_evaluation = false;
        }
        Ok(())
    }
}
