//! The progress of a run, for whoever watches.

/// The progress of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// The latest step.
    pub step: u64,
    /// The number of steps in all.
    pub steps: u64,
    /// The epoch, from 1.
    pub epoch: u64,
    /// The mean loss since the last report.
    pub loss: f64,
    /// Learning rate.
    pub lr: f64,
    /// Samples or tokens a second since the last report.
    pub rate: f64,
    /// What `rate` counts: samples or tokens.
    pub unit: &'static str,
    /// The share of the output layer's rows that were computed, if counted.
    pub active_share: Option<f64>,
    /// Main memory in use, in bytes, if the system says.
    pub memory_bytes: Option<u64>,
    /// What was done, where steps are stages of their own and have no loss or rate.
    pub stage: Option<&'static str>,
}

/// Watches a run. `()` ignores it.
pub trait Observer {
    /// Called after some steps.
    fn step(&mut self, report: &Report) {
        let _ = report;
    }

    /// Called with news: an epoch's quality, a checkpoint, a warning.
    fn note(&mut self, text: &str) {
        let _ = text;
    }
}

impl Observer for () {}
