//! One step: forward, choice of active rows, loss, backward, update.

use std::ops::Range;

use super::Trainer;
use super::named::named;
use super::trainer::course;
use crate::active::{ActiveSet, Sources};
use crate::config::Mode;
use crate::data::Batch;
use crate::error::{Error, Result};
use crate::flops::Phase;
use crate::kernels::{MatMut, MatRef};
use crate::layer::LinearGradient;
use crate::loss;
use crate::model::Activations;
use crate::optim::Step;
use crate::order::Sets;
use crate::ragged::Ragged;
use crate::rng::rng;
use crate::train::step::diverged;

/// The share of the pairs of a sample and a row that any sample has from which one packed product of all of these pairs costs
/// less than sampled products of those that are wanted: the latter ran at 24 - 34 GFLOP/s (16 or more samples a row, `sddmm` in
/// `benches/results/kernels.json`, one core of Zen 4, medians) beside 100 or so for packed ones. `hotrow bench breakeven` measures
/// it anew, for every level, type and shape, and says whether this number agrees.
pub const PACKED_FROM: f64 = 0.25;

/// What a step has done.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepReport {
    /// Mean over the samples, in nats.
    pub loss: f64,
    /// Learning rate.
    pub lr: f32,
    /// Samples of the batch.
    pub samples: usize,
    /// Pairs of a sample and a label that were computed.
    pub pairs: u64,
    /// Labels that any sample computed.
    pub union_rows: usize,
    /// Where active rows came from, added up over the active sets.
    pub sources: Sources,
    /// With a set for each sample: the share of the pairs of a sample and a row of the union that were wanted. All of them
    /// were computed if it is `PACKED_FROM` or more.
    pub fill: Option<f64>,
}

impl Trainer {
    /// One step on `batch`.
    ///
    /// # Errors
    ///
    /// [`Error::Diverged`] if a number is not finite; the weights are those of before the step.
    pub fn step(&mut self, batch: &Batch) -> Result<StepReport> {
        self.rebuild();
        let step = course(&self.config, self.total_steps).step(self.steps + 1, 1.0 / batch.len() as f32);
        let mut report = StepReport { lr: step.lr, samples: batch.len(), ..StepReport::default() };
        if batch.is_empty() {
            return Ok(report);
        }
        self.forward(batch);
        let labels: Vec<&[u32]> = batch.labels.iter().collect();
        let mut dlast = vec![0.0; batch.len() * self.network.width()];
        let named = self.hits(batch);
        let hits = if batch.hits.is_empty() { &named } else { &batch.hits };
        let choice = match (&self.output, self.config.sparse.mode) {
            (Some(_), Mode::PerSample) => self.per_sample(&labels, hits, &mut dlast, &mut report),
            _ => Choice::Shared(self.shared(&labels, hits, &mut dlast, &mut report)),
        };
        report.loss /= batch.len() as f64;
        if !report.loss.is_finite() {
            return Err(self.diverged());
        }
        self.network.backward(&mut self.work, &batch.features, &self.activations, dlast, &mut self.gradients);
        self.update(choice, step, &mut report, &labels);
        self.steps += 1;
        Ok(report)
    }

    /// Indexes that are due.
    fn rebuild(&mut self) {
        let (network, hidden, output, steps) = (&self.network, &mut self.hidden, &mut self.output, self.steps);
        self.work.timed(Phase::Hash, |work| {
            let layers = network.hidden.iter().chain([&network.output]);
            for (layer, sampling) in layers.zip(hidden.iter_mut().chain([output])) {
                if let Some(sampling) = sampling {
                    let before = sampling.index.flops();
                    sampling.rebuild(&layer.view(work.level), steps);
                    work.costs.count(Phase::Hash, sampling.index.flops() - before, 0, 0);
                }
            }
        });
    }

    pub(super) fn forward(&mut self, batch: &Batch) {
        let (steps, seed, hidden) = (self.steps, self.config.train.seed, &mut self.hidden);
        let (level, mut flops) = (self.work.level, 0);
        self.network.forward(&mut self.work, &batch.features, &mut self.activations, |layer, x, linear| {
            let Some(sampling) = &mut hidden[layer - 1] else { return ActiveSet::all(linear.rows()) };
            let before = sampling.index.flops();
            let hits = sampling.index.select(&linear.view(level), x, linear.rows(), steps);
            flops += sampling.index.flops() - before;
            let hits: Vec<&[u32]> = hits.iter().collect();
            let mut set = sampling.selector.shared([], &hits, &mut rng(seed, &format!("hidden/{layer}"), steps));
            set.uncorrected();
            set
        });
        self.work.costs.count(Phase::Select, flops, 0, 0);
    }

    /// What the hidden layers put out.
    pub(super) fn activations(&self) -> &Activations {
        &self.activations
    }

    /// What the index names for each sample, unless the batch has it from before.
    pub(super) fn hits(&mut self, batch: &Batch) -> Ragged<u32> {
        let Some(sampling) = &self.output else { return Ragged::new() };
        if !batch.hits.is_empty() {
            return Ragged::new();
        }
        let (network, x, sparse, steps) = (&self.network, self.activations.last(), &self.config.sparse, self.steps);
        self.work.timed(Phase::Select, |work| {
            let before = sampling.index.flops();
            let hits = match sampling.index.follows_data() {
                true => named(&*sampling.index, batch, sparse.hits),
                false => sampling.index.select(&network.output.view(work.level), x, sparse.hits, steps),
            };
            work.costs.count(Phase::Select, sampling.index.flops() - before, 0, 0);
            hits
        })
    }

    /// Forward, loss and backward of the output layer, a micro-batch at a time.
    fn shared(
        &mut self,
        labels: &[&[u32]],
        hits: &Ragged<u32>,
        dlast: &mut [f32],
        report: &mut StepReport,
    ) -> Vec<(Range<usize>, ActiveSet)> {
        let sets = self.choose(labels, hits);
        let (width, layer) = (self.network.width(), &self.network.output);
        let (x, work) = (self.activations.last(), &mut self.work);
        self.logits.resize_with(sets.len().max(self.logits.len()), Vec::new);
        for ((range, set), z) in sets.iter().zip(&mut self.logits) {
            let stride = stride(set.len());
            z.resize(range.len() * stride, 0.0);
            let x = x.window(range.clone(), 0..width);
            layer.forward(work, x, set.rows(), MatMut::with_stride(z, range.len(), set.len(), stride));
            let dz = MatMut::with_stride(z, range.len(), set.len(), stride);
            report.loss += loss::gradient(self.config.model.loss, work, dz, set, &labels[range.clone()]);
            report.pairs += (range.len() * set.len()) as u64;
            report.sources += set.sources;
            let dx = MatMut::new(&mut dlast[range.start * width..range.end * width], range.len(), width);
            let dz = MatRef::with_stride(z, range.len(), set.len(), stride);
            layer.backward_add(work, dz, set.rows(), dx);
        }
        sets
    }

    /// The samples that share a set, and the set.
    pub(super) fn choose(&mut self, labels: &[&[u32]], hits: &Ragged<u32>) -> Vec<(Range<usize>, ActiveSet)> {
        let (samples, sparse) = (labels.len(), &self.config.sparse);
        let Some(sampling) = &mut self.output else {
            return vec![(0..samples, ActiveSet::all(self.network.output.rows()))];
        };
        let together = match (sparse.mode, sparse.micro_batch) {
            (Mode::PerSample, _) => 1,
            (Mode::Shared, 0) => samples,
            (Mode::Shared, micro_batch) => micro_batch.min(samples),
        };
        let (seed, steps) = (self.config.train.seed, self.steps);
        self.work.timed(Phase::Select, |_| {
            let ranges = (0..samples).step_by(together).map(|from| from..samples.min(from + together));
            let set = |range: Range<usize>| {
                let hits: Vec<&[u32]> = range.clone().map(|sample| hits.row(sample)).collect();
                let mut rng = rng(seed, "tail", steps << 20 | range.start as u64);
                let set = sampling.selector.shared(labels[range.clone()].iter().copied(), &hits, &mut rng);
                (range, set)
            };
            ranges.map(set).collect()
        })
    }

    /// The same with a set for each sample: by sampled products, or, where samples have much in common, by one product of all
    /// samples and all rows, of which the pairs that are not wanted are left out of the loss and have no gradient.
    fn per_sample(
        &mut self,
        labels: &[&[u32]],
        hits: &Ragged<u32>,
        dlast: &mut [f32],
        report: &mut StepReport,
    ) -> Choice {
        let chosen: Vec<ActiveSet> = self.choose(labels, hits).into_iter().map(|(_, set)| set).collect();
        let (layer, work) = (&self.network.output, &mut self.work);
        let sets = Sets::new(chosen.iter().map(|set| set.listed().iter().copied()).collect());
        let (x, entries, samples) = (self.activations.last(), &mut self.entries, labels.len());
        entries.resize(sets.entries(), 0.0);
        report.pairs = sets.entries() as u64;
        report.fill = Some(sets.fill());
        chosen.iter().for_each(|set| report.sources += set.sources);
        let dx = MatMut::new(dlast, samples, layer.cols());
        if sets.fill() < PACKED_FROM {
            layer.forward_per_sample(work, x, &sets, entries);
            report.loss += loss::gradient_per_sample(self.config.model.loss, work, entries, &chosen, labels);
            layer.backward_per_sample_add(work, entries, &sets, dx);
            return Choice::Own(sets);
        }
        let union = ActiveSet::of(sets.rows().to_vec(), layer.rows());
        let stride = stride(union.len());
        self.logits.resize_with(self.logits.len().max(1), Vec::new);
        let z = &mut self.logits[0];
        z.resize(samples * stride, 0.0);
        layer.forward(work, x, union.rows(), MatMut::with_stride(z, samples, union.len(), stride));
        sets.gather(MatRef::with_stride(z, samples, union.len(), stride), entries);
        report.loss += loss::gradient_per_sample(self.config.model.loss, work, entries, &chosen, labels);
        sets.scatter(entries, MatMut::with_stride(z, samples, union.len(), stride));
        layer.backward_add(work, MatRef::with_stride(z, samples, union.len(), stride), union.rows(), dx);
        Choice::Shared(vec![(0..samples, union)])
    }

    fn update(&mut self, choice: Choice, mut step: Step, report: &mut StepReport, labels: &[&[u32]]) {
        let (width, x, work) = (self.network.width(), self.activations.last(), &mut self.work);
        let groups: Vec<LinearGradient> = match &choice {
            Choice::Own(_) => Vec::new(),
            Choice::Shared(sets) => sets
                .iter()
                .zip(&self.logits)
                .map(|((range, set), z)| LinearGradient {
                    active: set.rows(),
                    dz: MatRef::with_stride(z, range.len(), set.len(), stride(set.len())),
                    x: x.window(range.clone(), 0..width),
                })
                .collect(),
        };
        if self.config.optim.clip > 0.0 {
            let network = &mut self.network;
            let squares = match &choice {
                Choice::Shared(_) => network.output.squared_along(work, &groups),
                Choice::Own(sets) => network.output.squared_gradient_per_sample(work, x, &self.entries, sets),
            } + network.squared_layers(work, &self.activations, &self.gradients);
            let length = squares.sqrt() as f32 * step.grad_scale;
            step.grad_scale *= if length > self.config.optim.clip { self.config.optim.clip / length } else { 1.0 };
        }
        let touched = match &choice {
            Choice::Shared(_) => self.network.output.step_along(work, &groups, &step),
            Choice::Own(sets) => {
                self.network.output.update_per_sample(work, x, &self.entries, sets, &step);
                sets.rows().to_vec()
            }
        };
        report.union_rows = touched.len();
        if let Some(sampling) = &mut self.output {
            let (network, frozen) = (&self.network, self.config.sparse.frozen);
            work.timed(Phase::Hash, |work| {
                sampling.update(&network.output.view(work.level), &touched);
                if frozen {
                    let before = sampling.index.flops();
                    sampling.index.insert(x, &labels.iter().map(|labels| labels.iter().copied()).collect());
                    work.costs.count(Phase::Hash, sampling.index.flops() - before, 0, 0);
                }
            });
        }
        self.network.update_layers(work, &self.activations, &self.gradients, &step);
        for (layer, sampling) in self.network.hidden.iter().zip(&mut self.hidden) {
            if let Some(sampling) = sampling {
                let all: Vec<u32> = (0..layer.rows() as u32).collect();
                sampling.update(&layer.view(work.level), &all);
            }
        }
    }

    /// Which layer went wrong.
    fn diverged(&self) -> Error {
        let layer = match self.activations.not_finite() {
            Some(0) => "the input layer".to_owned(),
            Some(layer) => format!("hidden layer {layer}"),
            None => "the output layer".to_owned(),
        };
        diverged(self.steps + 1, &layer)
    }
}

/// Numbers from one sample's logits to the next's: whole cache lines, and no multiple of 2 KiB, which would put the same
/// column of all samples into the same few places of the first-level cache. (With 4096 rows and no gap, products ran at a
/// fifth of the speed.)
fn stride(rows: usize) -> usize {
    let stride = rows.next_multiple_of(16);
    if stride.is_multiple_of(512) { stride + 16 } else { stride }
}

/// Who shares active rows in this step.
enum Choice {
    Shared(Vec<(Range<usize>, ActiveSet)>),
    Own(Sets),
}
