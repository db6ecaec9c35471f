//! Operations and memory traffic by phase of a step, counted where they happen.
//!
//! Products, sums of rows and losses are counted. A loss counts 20 operations a logit, if all logits exist at once.
//! Norms, activations, rotations, the softmax of attention and the optimiser's rule are not counted: they take a few
//! operations a number. `tests/flops.rs` compares the count of every layer with numbers found by hand.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The phases of a training step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Waiting for the next batch.
    Read,
    /// Forward of everything below the output layer.
    Forward,
    /// Hashing queries, and rows that have changed.
    Hash,
    /// Choosing rows: candidates, union, random tail.
    Select,
    /// Gathering and packing active rows.
    Gather,
    /// Products of the output layer.
    Gemm,
    /// Loss and gradient of the logits.
    Softmax,
    /// Backward of everything below the output layer.
    Backward,
    /// Optimiser steps.
    Update,
}

impl Phase {
    /// All phases, in the order in which a step goes through them.
    pub const ALL: [Phase; 9] = [
        Phase::Read,
        Phase::Forward,
        Phase::Hash,
        Phase::Select,
        Phase::Gather,
        Phase::Gemm,
        Phase::Softmax,
        Phase::Backward,
        Phase::Update,
    ];

    /// The phase's name in logs.
    ///
    /// ```
    /// assert_eq!(hotrow::flops::Phase::Gemm.name(), "gemm");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Phase::Read => "read",
            Phase::Forward => "forward",
            Phase::Hash => "hash",
            Phase::Select => "select",
            Phase::Gather => "gather",
            Phase::Gemm => "gemm",
            Phase::Softmax => "softmax",
            Phase::Backward => "backward",
            Phase::Update => "update",
        }
    }
}

/// The cost of one phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Floating-point operations executed. A multiply-add is two.
    pub flops: u64,
    /// Operations that a network computing every row would have executed.
    pub dense_flops: u64,
    /// Bytes of weights and optimiser state read or written.
    pub bytes: u64,
    /// Seconds. The sum over all phases is the time of the step.
    pub seconds: f64,
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Cost) {
        self.flops += other.flops;
        self.dense_flops += other.dense_flops;
        self.bytes += other.bytes;
        self.seconds += other.seconds;
    }
}

/// The cost of each phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Costs([Cost; 9]);

impl Costs {
    /// The cost of `phase`.
    ///
    /// ```
    /// use hotrow::flops::{Costs, Phase};
    /// assert_eq!(Costs::default().of(Phase::Gemm).flops, 0);
    /// ```
    pub fn of(&self, phase: Phase) -> &Cost {
        &self.0[phase as usize]
    }

    /// Adds operations and bytes to a phase.
    ///
    /// ```
    /// use hotrow::flops::{Costs, Phase};
    /// let mut costs = Costs::default();
    /// costs.count(Phase::Gemm, 20, 2000, 64);
    /// assert_eq!(costs.total().dense_flops, 2000);
    /// ```
    pub fn count(&mut self, phase: Phase, flops: u64, dense_flops: u64, bytes: u64) {
        self.0[phase as usize] += Cost { flops, dense_flops, bytes, seconds: 0.0 };
    }

    /// Adds time to a phase.
    ///
    /// ```
    /// use hotrow::flops::{Costs, Phase};
    /// let mut costs = Costs::default();
    /// costs.time(Phase::Read, std::time::Duration::from_secs(2));
    /// assert_eq!(costs.of(Phase::Read).seconds, 2.0);
    /// ```
    pub fn time(&mut self, phase: Phase, time: Duration) {
        self.0[phase as usize].seconds += time.as_secs_f64();
    }

    /// The sum over all phases.
    ///
    /// ```
    /// assert_eq!(hotrow::flops::Costs::default().total().bytes, 0);
    /// ```
    pub fn total(&self) -> Cost {
        let mut total = Cost::default();
        self.0.iter().for_each(|&cost| total += cost);
        total
    }
}

/// A count that several threads add to. It holds whole numbers, so the order of additions changes nothing.
#[derive(Debug, Default)]
pub struct Meter(AtomicU64);

impl Meter {
    /// Adds `count` operations.
    ///
    /// ```
    /// let meter = hotrow::flops::Meter::default();
    /// meter.add(20);
    /// assert_eq!(meter.total(), 20);
    /// ```
    pub fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// The sum of everything added.
    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl AddAssign<&Costs> for Costs {
    fn add_assign(&mut self, other: &Costs) {
        for (mine, &theirs) in self.0.iter_mut().zip(&other.0) {
            *mine += theirs;
        }
    }
}
