//! The result of a run: `summary.json`, the output of `--json`, and a table for people.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::flops::{Cost, Costs, Phase};

/// The result of a run or an evaluation. As JSON it is a contract: keys are added, never changed, and always come in this
/// order.
///
/// ```
/// use hotrow::run::Summary;
/// let mut summary = Summary { task: "train xmc".into(), steps: 500, ..Summary::default() };
/// summary.metrics.insert("p@1".into(), 0.25);
/// let json = summary.to_json();
/// assert_eq!(serde_json::from_str::<Summary>(&json).unwrap(), summary);
/// assert!(summary.to_string().contains("p@1"));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Raised when a key is added.
    pub schema: u32,
    /// `train xmc`, `eval xmc`, `train lm`, `eval lm`.
    pub task: String,
    /// Optimiser steps of the whole run, over all resumptions.
    pub steps: u64,
    /// Passes over the training file, with the one begun last.
    pub epochs: u64,
    /// Passes over the training file; the last may be a part of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passes: Option<f64>,
    /// How the time was spent.
    pub seconds: Seconds,
    /// Samples (of language models: sequences) per second of training (or of evaluation), without loading and saving.
    pub samples_per_second: f64,
    /// The same in tokens, for language models only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    /// Measures of quality: `p@1`, `ndcg@5`, `psp@5`, `loss`, ...
    pub metrics: BTreeMap<String, f64>,
    /// Floating-point operations.
    pub flops: Flops,
    /// Bytes of weights and optimiser state that were read or written.
    pub bytes: u64,
    /// What each phase of a step has cost, by its name.
    pub phases: BTreeMap<String, PhaseCost>,
    /// Share of the pairs of a sample (in a language model, a token) and a row of the output layer that are computed.
    pub active_share: f64,
    /// Rows of the output layer that one step computes, on average; in a language model, one sample of its head.
    pub union_rows: f64,
    /// The number of trained parameters.
    pub parameters: u64,
    /// The most main memory used at once, in bytes; `null` if the system does not say.
    pub peak_memory_bytes: Option<u64>,
    /// The seed of everything random.
    pub seed: u64,
    /// The instruction set.
    pub level: String,
    /// The number of threads.
    pub threads: usize,
    /// The digest of all weights. Equal runs have equal digests.
    pub digest: String,
    /// What was left out of each data set (`train`, `valid`, or `data` of an evaluation), by kind.
    #[serde(default)]
    pub left_out: BTreeMap<String, BTreeMap<String, u64>>,
    /// What a classifier consists of that is not a network alone, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, PartUse>,
    /// How the network's memory is divided: weights by layer, optimiser, indexes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<super::Component>,
}

/// Wall-clock time, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// From start to end.
    pub total: f64,
    /// Opening and parsing data, and making or loading the network.
    pub load: f64,
    /// Training steps.
    pub train: f64,
    /// Evaluation.
    pub eval: f64,
    /// Measuring the quality of indexes. Building them is part of training.
    pub index: f64,
}

/// A part of a classifier that is not a network alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PartUse {
    /// How much it counts beside the others, from 0 to 1: see [`Mixture::shares`](crate::parts::Mixture::shares). A part of weight 0
    /// does not help, and is not kept.
    pub weight: f64,
    /// Seconds in which it was built.
    pub seconds: f64,
    /// Bytes in memory.
    pub bytes: u64,
}

/// Floating-point operations; a multiply-add is two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Flops {
    /// Operations executed.
    pub executed: u64,
    /// Operations that a network computing every row would have executed.
    pub dense_equivalent: u64,
}

/// The cost of one phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PhaseCost {
    /// Wall-clock time.
    pub seconds: f64,
    /// Floating-point operations executed.
    pub flops: u64,
    /// Operations that a network computing every row would have executed.
    #[serde(default)]
    pub dense_flops: u64,
    /// Bytes of weights and optimiser state read or written.
    pub bytes: u64,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            schema: 1,
            task: String::new(),
            steps: 0,
            epochs: 0,
            passes: None,
            seconds: Seconds::default(),
            samples_per_second: 0.0,
            tokens_per_second: None,
            metrics: BTreeMap::new(),
            flops: Flops::default(),
            bytes: 0,
            phases: BTreeMap::new(),
            active_share: 0.0,
            union_rows: 0.0,
            parameters: 0,
            peak_memory_bytes: None,
            seed: 0,
            level: String::new(),
            threads: 0,
            digest: String::new(),
            left_out: BTreeMap::new(),
            parts: BTreeMap::new(),
            components: Vec::new(),
        }
    }
}

impl Summary {
    /// Sets `flops`, `bytes` and `phases`.
    ///
    /// ```
    /// use hotrow::{flops::{Costs, Phase}, run::Summary};
    /// let (mut summary, mut costs) = (Summary::default(), Costs::default());
    /// costs.count(Phase::Gemm, 20, 2000, 64);
    /// summary.set_costs(&costs);
    /// assert_eq!((summary.flops.executed, summary.flops.dense_equivalent, summary.phases["gemm"].bytes), (20, 2000, 64));
    /// ```
    pub fn set_costs(&mut self, costs: &Costs) {
        let total = costs.total();
        self.flops = Flops { executed: total.flops, dense_equivalent: total.dense_flops };
        self.bytes = total.bytes;
        let cost = |phase| {
            let Cost { seconds, flops, dense_flops, bytes } = *costs.of(phase);
            PhaseCost { seconds, flops, dense_flops, bytes }
        };
        self.phases = Phase::ALL.iter().map(|&phase| (phase.name().to_owned(), cost(phase))).collect();
    }

    /// One JSON object, on several lines.
    ///
    /// ```
    /// let json = hotrow::run::Summary::default().to_json();
    /// assert!(json.starts_with("{\n  \"schema\": 1,") && json.ends_with("}\n"));
    /// ```
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("names and numbers are JSON") + "\n"
    }
}

/// A table for people. It leaves out zeros and unknowns.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut line = |name: &str, value: String| writeln!(f, "{name:<18}{value}");
        line("task", self.task.clone())?;
        let passes = self.passes.map_or(self.epochs.to_string(), |passes| format!("{passes:.2}"));
        line("steps", format!("{} ({passes} epochs)", self.steps))?;
        for (name, value) in &self.metrics {
            line(name, format!("{value:.4}"))?;
        }
        let Seconds { total, load, train, eval, index } = self.seconds;
        line("seconds", format!("{total:.1} (load {load:.1}, train {train:.1}, eval {eval:.1}, index {index:.1})"))?;
        match self.tokens_per_second {
            Some(tokens) => line("tokens/s", format!("{tokens:.0}"))?,
            None => line("samples/s", format!("{:.0}", self.samples_per_second))?,
        }
        if self.flops.executed > 0 && self.flops.dense_equivalent == 0 {
            line("operations", format!("{:.3e}", self.flops.executed as f64))?;
        }
        if self.flops.dense_equivalent > 0 {
            let share = 100.0 * self.flops.executed as f64 / self.flops.dense_equivalent as f64;
            line("operations", format!("{:.3e}, {share:.2} % of the dense network's", self.flops.executed as f64))?;
        }
        if self.union_rows > 0.0 {
            line("active rows", format!("{:.0} ({:.3} %)", self.union_rows, 100.0 * self.active_share))?;
        }
        for (name, PartUse { weight, seconds, bytes }) in &self.parts {
            let mib = *bytes as f64 / (1 << 20) as f64;
            line(name, format!("weight {weight:.2}, {seconds:.2} s, {mib:.1} MiB"))?;
        }
        line("parameters", self.parameters.to_string())?;
        if let Some(bytes) = self.peak_memory_bytes {
            line("peak memory", format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64))?;
        }
        let spent: f64 = self.phases.values().map(|cost| cost.seconds).sum();
        for phase in Phase::ALL.iter().filter_map(|phase| self.phases.get_key_value(phase.name())) {
            let (name, &PhaseCost { seconds, flops, bytes, .. }) = phase;
            if seconds > 0.0 {
                let (share, gflops, gigabytes) = (100.0 * seconds / spent, flops as f64 / 1e9, bytes as f64 / 1e9);
                line(
                    &format!("  {name}"),
                    format!("{share:5.1} %  {seconds:9.2} s  {gflops:11.1} GFLOP  {gigabytes:9.1} GB"),
                )?;
            }
        }
        for (set, counts) in &self.left_out {
            let parts: Vec<_> = counts.iter().filter(|&(_, &count)| count > 0).collect();
            let parts = parts.iter().map(|(what, count)| format!("{count} {}", what.replace('_', " ")));
            let text = parts.collect::<Vec<_>>().join(", ");
            if !text.is_empty() {
                line("left out", format!("{set}: {text}"))?;
            }
        }
        line("seed", self.seed.to_string())?;
        line("level, threads", format!("{}, {}", self.level, self.threads))?;
        line("digest", self.digest.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_keys_are_those_of_the_contract_in_its_order() {
        let keys: Vec<_> =
            "schema task steps epochs seconds samples_per_second metrics flops bytes phases active_share \
            union_rows parameters peak_memory_bytes seed level threads digest left_out"
                .split_whitespace()
                .collect();
        let tokens = Summary { tokens_per_second: Some(5.0), ..Summary::default() };
        assert!(tokens.to_json().contains("\"tokens_per_second\": 5.0") && tokens.to_string().contains("tokens/s"));
        let json = Summary::default().to_json();
        let places: Vec<_> = keys.iter().map(|key| json.find(&format!("\n  \"{key}\": ")).expect(key)).collect();
        assert!(places.is_sorted(), "{json}");
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value.as_object().unwrap().len(), keys.len());
        let inner = |key: &str| value[key].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(inner("seconds"), ["eval", "index", "load", "total", "train"]);
        assert_eq!(inner("flops"), ["dense_equivalent", "executed"]);
    }

    #[test]
    fn the_table_has_each_phase_that_took_time_in_the_order_of_a_step() {
        let mut costs = Costs::default();
        costs.time(Phase::Update, Duration::from_secs(3));
        costs.time(Phase::Read, Duration::from_secs(1));
        costs.count(Phase::Read, 2_000_000_000, 0, 500_000_000);
        let mut summary = Summary { digest: "d1".into(), peak_memory_bytes: Some(3 << 19), ..Summary::default() };
        summary.set_costs(&costs);
        let text = summary.to_string();
        let (read, update) = (text.find("  read").unwrap(), text.find("  update").unwrap());
        assert!(read < update && !text.contains("gemm"), "{text}");
        assert!(text.contains(" 25.0 %       1.00 s          2.0 GFLOP        0.5 GB\n"), "{text}");
        assert!(text.contains("1.5 MiB") && text.ends_with("d1\n"), "{text}");
    }
}
