//! What is classification's own in a run.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::evaluate::evaluate_until;
use super::known::Digests;
use super::{KS, PACKED_FROM, StepReport, Trainer, left_out, summary_of};
use crate::checkpoint::{Contents, TrainerState};
use crate::data::{Batch, Datasets, Loader, Samples};
use crate::error::Result;
use crate::flops::Phase;
use crate::layer::Workspace;
use crate::metrics::Inverse;
use crate::run::{MetricsLog, Report, Summary};
use crate::train::inspect::Health;
use crate::train::run::{Evaluated, Task, View};
use crate::train::totals::{Counts, Sums};

/// Classification in a run.
pub struct Xmc {
    pub data: Datasets,
    /// Inverse propensities of the labels.
    pub inverse: Inverse,
    pub trainer: Trainer,
    /// Vocabulary and label counts as files, for each checkpoint.
    pub files: [(&'static str, Vec<u8>); 2],
    pub digests: Digests,
    pub loader: Loader,
    /// The batch of the next step.
    pub batch: Batch,
    pub per_epoch: u64,
    pub fill: Option<f64>,
}

/// What steps are counted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    pub samples: u64,
    pub pairs: u64,
    pub union_rows: u64,
}

impl Counts for Counted {
    fn samples(&self) -> u64 {
        self.samples
    }

    fn add(&mut self, more: Self) {
        self.samples += more.samples;
        self.pairs += more.pairs;
        self.union_rows += more.union_rows;
    }
}

impl Xmc {
    /// The epoch of the step that was done last, from 1.
    fn epoch(&self) -> u64 {
        self.trainer.steps.div_ceil(self.per_epoch)
    }

    /// Pairs of a sample and a label that were computed, as a share of all.
    fn active_share(&self, counts: &Counted) -> f64 {
        counts.pairs as f64 / (counts.samples as f64 * self.data.train.labels() as f64)
    }
}

impl Task for Xmc {
    type Counts = Counted;
    const NAME: &'static str = "train xmc";
    const LOSS: &'static str = "loss";

    fn view(&self) -> View<'_> {
        self.trainer.view()
    }

    fn work(&mut self) -> &mut Workspace {
        &mut self.trainer.work
    }

    fn settle(&mut self) {
        self.trainer.settle();
    }

    fn fetch(&mut self) {
        let asked = Instant::now();
        let done = std::mem::replace(&mut self.batch, self.loader.next().expect("a batch for each step"));
        self.trainer.work.costs.time(Phase::Read, asked.elapsed());
        self.loader.recycle(done);
    }

    fn inspect_every(&self) -> u64 {
        self.trainer.config.sparse.inspect_every
    }

    fn inspect(&mut self) -> Option<Health> {
        self.trainer.inspect(&self.batch)
    }

    fn step(&mut self, log: &mut MetricsLog) -> Result<(f64, Counted)> {
        let report = self.trainer.step(&self.batch)?;
        self.fill = report.fill;
        if let (Some(fill), 1) = (report.fill, self.trainer.steps) {
            let product = if fill < PACKED_FROM { "sampled" } else { "packed" };
            log.write("product", self.trainer.steps, &json!({ "product": product, "fill": fill }))?;
        }
        let StepReport { loss, samples, pairs, union_rows, .. } = report;
        let counts = Counted { samples: samples as u64, pairs, union_rows: union_rows as u64 };
        Ok((loss * samples as f64, counts))
    }

    fn report(&self, recent: &Sums<Counted>, report: &mut Report, event: &mut Value) {
        let (epoch, share) = (self.epoch(), self.active_share(&recent.counts));
        let (rows, steps) = (recent.counts.union_rows as f64, recent.steps as f64);
        (report.epoch, report.active_share) = (epoch, Some(share));
        event["epoch"] = json!(epoch);
        event["active_share"] = json!(share);
        event["union_rows"] = json!(rows / steps);
        event["union_share"] = json!(rows / (steps * self.data.train.labels() as f64));
        event["fill"] = json!(self.fill);
    }

    fn evaluate(&mut self, stop: &dyn Fn() -> bool) -> Result<Option<Evaluated>> {
        let Some(valid) = &self.data.valid else { return Ok(Some(Evaluated::default())) };
        let (network, inverse) = (&self.trainer.network, Some(self.inverse.clone()));
        let ranking = evaluate_until(network, &mut self.trainer.work, valid, &KS, inverse, stop);
        Ok(ranking.map(|ranking| {
            let epoch = self.epoch();
            let [p1, p3, p5] = KS.map(|k| 100.0 * ranking.precision(k));
            let note = format!("epoch {epoch}: P@1 {p1:.2}  P@3 {p3:.2}  P@5 {p5:.2}");
            let more = [("epoch".to_owned(), json!(epoch))].into_iter().collect();
            Evaluated { metrics: ranking.metrics(), note: Some(note), more }
        }))
    }

    fn contents(&self, mut state: TrainerState, _: &Counted) -> Contents<'_> {
        state.epoch = self.trainer.steps / self.per_epoch;
        self.digests.insert(&mut state.counters);
        let others = self.files.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
        Contents { others, ..self.trainer.contents(state) }
    }

    fn summary(&self, total: &Sums<Counted>, summary: Summary) -> Summary {
        let sets = [("train", Some(&self.data.train)), ("valid", self.data.valid.as_ref())];
        Summary {
            active_share: self.active_share(&total.counts),
            union_rows: total.counts.union_rows as f64 / total.steps as f64,
            left_out: sets.into_iter().filter_map(|(name, set)| Some(left_out(name, set?))).collect(),
            ..summary_of(&self.trainer, summary)
        }
    }
}
