//! One step along the gradients of any network: rates, clipping, and what a step is refused for.

use super::network::{Loss, Network, StepReport};
use crate::config::Optim;
use crate::error::{Error, Result};
use crate::module::Module;
use crate::optim::{Step, learning_rate};
use crate::work::Workspace;

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
