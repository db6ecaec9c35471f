//! What a run tells whoever watches.

/// Where a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// The epoch, from 1.
    pub epoch: u64,
    /// Mean loss since the last report.
    pub loss: f64,
    /// Learning rate.
    pub lr: f64,
    /// Samples or tokens per second since the last report.
    pub rate: f64,
    /// Which of the two.
    pub unit: &'static str,
    /// Share of the output layer's rows that were computed, where that is counted.
    pub active_share: Option<f64>,
    /// Main memory in use, if the system says.
    pub memory_bytes: Option<u64>,
}

/// Watches a run. `()` does not look.
pub trait Observer {
    /// Some steps are done.
    fn step(&mut self, report: &Report) {
        let _ = report;
    }

    /// Something that people may want to know: an epoch's quality, a checkpoint, a warning.
    fn note(&mut self, text: &str) {
        let _ = text;
    }
}

impl Observer for () {}
