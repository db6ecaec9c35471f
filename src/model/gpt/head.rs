//! The two ways to train the output layer.

use crate::active::ActiveSet;
use crate::config::lm::Head as Config;
use crate::config::lm::head::HeadMode;
use crate::error::Result;
use crate::kernels::{MatMut, MatRef};
use crate::layer::{Dense, DenseHead, SampledHead, Workspace};
use crate::module::{Demand, Module, Part, PartMut};
use crate::optim::{Scope, Step};
use crate::tensor::{Elements, ElementsMut, Tensor, TensorMut};

/// The output layer.
#[derive(Debug)]
pub enum Head {
    /// Every token of the vocabulary is computed.
    Dense(DenseHead),
    /// A sample of them in training; all of them in evaluation.
    Sampled {
        /// For training.
        sampled: Box<SampledHead>,
        /// For evaluation.
        exact: DenseHead,
        /// Tokens that samples have been drawn for.
        draws: [u64; 1],
    },
}

impl Head {
    /// The one that is configured, for the rows of `output`.
    pub(super) fn new(scope: &Scope, config: &Config, hot: Vec<u32>, output: &Dense) -> Result<Self> {
        if config.mode == HeadMode::Dense {
            return Ok(Head::Dense(DenseHead::default()));
        }
        let sampled = Box::new(SampledHead::new(&scope.child("head"), config, hot, output)?);
        Ok(Head::Sampled { sampled, exact: DenseHead::default(), draws: [0] })
    }

    pub(super) fn accumulate(
        &mut self,
        work: &mut Workspace,
        output: &mut Dense,
        x: MatRef<f32>,
        targets: &[u32],
        dx: MatMut<f32>,
    ) -> f64 {
        match self {
            Head::Dense(head) => head.accumulate(work, output, x, targets, dx),
            Head::Sampled { sampled, draws: [draws], .. } => {
                let first = *draws;
                *draws += targets.len() as u64;
                sampled.accumulate(work, output, x, targets, first, dx)
            }
        }
    }

    pub(super) fn losses(
        &mut self,
        work: &mut Workspace,
        output: &Dense,
        x: MatRef<f32>,
        targets: &[u32],
        losses: &mut [f32],
    ) {
        match self {
            Head::Dense(head) | Head::Sampled { exact: head, .. } => head.losses(work, output, x, targets, losses),
        }
    }

    /// The sample that the next positions in training would have, `x` (T, D) with `targets`; `None` if all tokens are computed.
    pub(super) fn sample(
        &mut self,
        work: &mut Workspace,
        output: &Dense,
        x: MatRef<f32>,
        targets: &[u32],
    ) -> Option<ActiveSet> {
        match self {
            Head::Sampled { sampled, draws: [draws], .. } if !sampled.index().computes_all() => {
                Some(sampled.sample(work, output, x, targets, *draws))
            }
            _ => None,
        }
    }

    /// Pairs of a token and a row that training has computed since this was made; `None` if every token computes all rows.
    pub fn pairs(&self) -> Option<u64> {
        match self {
            Head::Dense(_) => None,
            Head::Sampled { sampled, .. } => Some(sampled.pairs),
        }
    }

    /// After a step.
    pub(super) fn follow(&mut self, work: &mut Workspace, output: &Dense, step: &Step) {
        if let Head::Sampled { sampled, .. } = self {
            sampled.follow(work, output, step);
        }
    }
}

/// Where checkpoints keep for how many tokens samples have been drawn.
const DRAWS: &str = "head.draws";

impl Module for Head {
    fn visit<'a>(&'a self, take: &mut dyn FnMut(Part<'a>)) {
        if let Head::Sampled { sampled, draws, .. } = self {
            sampled.visit(take);
            take(Part::Counter(Tensor { name: DRAWS.to_owned(), shape: vec![1], elements: Elements::U64(draws) }));
        }
    }

    fn visit_mut<'a>(&'a mut self, take: &mut dyn FnMut(PartMut<'a>)) {
        if let Head::Sampled { sampled, draws, .. } = self {
            sampled.visit_mut(take);
            let elements = ElementsMut::U64(draws);
            take(PartMut::Counter(TensorMut { name: DRAWS.to_owned(), shape: vec![1], elements }));
        }
    }
    fn demands(&self, take: &mut dyn FnMut(&str, Demand)) {
        if let Head::Sampled { sampled, .. } = self {
            sampled.demands(take);
        }
    }
}
