//! What a run adds up, and what a checkpoint remembers of that.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::checkpoint::Loaded;
use crate::error::Result;
use crate::flops::Costs;
use crate::run::{MetricsLog, Seconds};

/// What a task counts in its steps.
pub trait Counts: Copy + Default + Serialize + DeserializeOwned {
    /// Samples or tokens.
    fn samples(&self) -> u64;
    fn add(&mut self, more: Self);
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
        self.counts.add(counts);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{lm, network, xmc};
    use serde_json::json;

    /// Reads `total` within the totals of a checkpoint, and writes it.
    fn again<C: Counts>(total: Value) -> (RunTotals<C>, Value) {
        let mut totals = RunTotals::<C>::default().to_json();
        totals["total"] = total;
        totals.as_object_mut().unwrap().remove("owes_evaluation");
        let totals: RunTotals<C> = serde_json::from_value(totals).unwrap();
        let written = totals.to_json()["total"].clone();
        (totals, written)
    }

    #[test]
    fn sums_that_earlier_versions_kept_read_back_and_are_written_with_the_same_keys() {
        let xmc = json!({ "loss": 9342.396102547646, "pairs": 193192, "samples": 1800, "seconds": 0.067847314,
            "steps": 57, "union_rows": 6106 });
        let (totals, written) = again::<xmc::task::Counted>(xmc.clone());
        assert_eq!((totals.total.counts.samples(), totals.total.steps, written), (1800, 57, xmc));
        let lm = json!({ "counted": 6144, "gradient_norm": 17.25, "loss": 35021.625, "pairs": 589824, "seconds": 0.5,
            "steps": 24, "tokens": 6144 });
        let (totals, written) = again::<lm::task::Counted>(lm.clone());
        assert_eq!((totals.total.mean_loss(), written), (35021.625 / 6144.0, lm));
        let network = json!({ "gradient_norm": 0.5, "loss": 7.125, "samples": 64, "seconds": 0.25, "steps": 1 });
        assert_eq!(again::<network::Counted>(network.clone()).1, network);
        // Before pairs were counted.
        let old = json!({ "gradient_norm": 17.25, "loss": 35021.625, "seconds": 0.5, "steps": 24, "tokens": 6144 });
        assert_eq!(again::<lm::task::Counted>(old).1["pairs"], 0);
    }
}
