//! One step along the gradients of any network: rates, clipping, and what a step is refused for.

use std::collections::BTreeMap;

use crate::config::Optim;
use crate::error::{Error, Result};
use crate::module::Module;
use crate::optim::{Step, learning_rate};
use crate::work::Workspace;

/// A network that can be trained: its parameters are walked, and a batch gives them gradients.
pub trait Network: Module {
    /// What a step learns from.
    type Batch;

    /// Forward and backward of a batch. Gradients stay with the parameters until the step that follows. Whatever is random draws from
    /// `step` (counted from 0), so that a resumed run draws the same.
    fn accumulate(&mut self, work: &mut Workspace, batch: &Self::Batch, step: u64) -> Loss;

    /// Says what has broken the network, where the loss and the gradient are finite and still show it. Takes the mean loss of a batch
    /// and the length of its mean gradient. The step is then refused.
    fn broken(&self, _loss: f64, _gradient_norm: f64) -> Option<&'static str> {
        None
    }

    /// Measures of quality by name, for the log and the summary; none if there is nothing to measure.
    fn evaluate(&mut self, _work: &mut Workspace) -> BTreeMap<String, f64> {
        BTreeMap::new()
    }
}

/// The loss of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// Of all samples together, in nats.
    pub sum: f64,
    /// How many there were.
    pub samples: usize,
}

/// What a step has done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Mean over the samples, in nats.
    pub loss: f64,
    /// Samples of the step.
    pub samples: usize,
    /// Euclidean length of the mean gradient, before it was clipped.
    pub gradient_norm: f64,
}

/// What the steps of a run follow from.
#[derive(Clone, Copy, Debug)]
pub struct Course<'a> {
    pub optim: &'a Optim,
    /// Steps of the whole run.
    pub steps: u64,
    /// Of stochastic rounding.
    pub seed: u64,
}

impl Course<'_> {
    /// The learning rate of step `number`, counted from 1.
    pub fn lr(&self, number: u64) -> f32 {
        learning_rate(self.optim, number, self.steps)
    }

    /// Step `number`, counted from 1.
    pub fn step(&self, number: u64, grad_scale: f32) -> Step {
        Step { number: number as u32, lr: self.lr(number), grad_scale, seed: self.seed }
    }

    /// Brings rows up to date that have steps to make up for: of `done` steps.
    pub fn settle(&self, network: &mut impl Module, work: &Workspace, done: u64) {
        let step = Step { number: done as u32, ..self.step(done.max(1), 1.0) };
        network.settle(work, &step);
    }
}

/// Step `number` has broken the network, or would: seen in `what`.
pub fn diverged(number: u64, what: &str) -> Error {
    Error::Diverged { step: number, layer: what.to_owned(), last_good: None }
}

/// The step that follows `done` steps. If it cannot be taken, the network is as before.
pub fn step<N: Network>(
    network: &mut N,
    work: &mut Workspace,
    batch: &N::Batch,
    course: &Course,
    done: u64,
) -> Result<StepReport> {
    let Loss { sum, samples } = network.accumulate(work, batch, done);
    let count = samples as f64;
    let (loss, gradient_norm) = (sum / count, network.squared_gradient(work).sqrt() / count);
    let numbers = [("the loss", loss), ("the gradient", gradient_norm)];
    let broken = numbers.into_iter().find(|(_, number)| !number.is_finite()).map(|(what, _)| what);
    if let Some(what) = broken.or_else(|| network.broken(loss, gradient_norm)) {
        network.forget_gradients();
        return Err(diverged(done + 1, what));
    }
    let clip = f64::from(course.optim.clip);
    let factor = if clip > 0.0 && gradient_norm > clip { clip / gradient_norm } else { 1.0 };
    network.update(work, &course.step(done + 1, (factor / count) as f32));
    Ok(StepReport { loss, samples, gradient_norm })
}
