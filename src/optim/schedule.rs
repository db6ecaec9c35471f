//! Learning rates over a run.

use crate::config::{Optim, Schedule};

/// The learning rate of step `step` (from 1) of `total`: a straight rise over the warm-up, then the schedule, which reaches
/// `final_lr` at the last step. A run of a single step has no time to fall: it takes the step at `lr`.
///
/// ```
/// use hotrow::config::{Optim, Schedule};
/// let optim = Optim { lr: 1.0, schedule: Schedule::Linear, warmup_steps: 2, ..Optim::default() };
/// let rates: Vec<f32> = (1..=6).map(|step| hotrow::optim::learning_rate(&optim, step, 6)).collect();
/// assert_eq!(rates, [0.5, 1.0, 0.75, 0.5, 0.25, 0.0]);
/// ```
pub fn learning_rate(optim: &Optim, step: u64, total: u64) -> f32 {
    if step <= optim.warmup_steps {
        return optim.lr * (step as f64 / optim.warmup_steps as f64) as f32;
    }
    let after = total.saturating_sub(optim.warmup_steps).max(1) as f64;
    let done = ((step - optim.warmup_steps) as f64 / after).min(1.0);
    let left = match optim.schedule {
        Schedule::Constant => return optim.lr,
        _ if total <= 1 => return optim.lr,
        Schedule::Linear => 1.0 - done,
        Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
    };
    (optim.final_lr as f64 + (optim.lr - optim.final_lr) as f64 * left) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_start_at_lr_and_end_at_final_lr() {
        for schedule in [Schedule::Linear, Schedule::Cosine] {
            let optim = Optim { lr: 0.5, final_lr: 0.125, schedule, ..Optim::default() };
            assert!((learning_rate(&optim, 1, 1_000_000) - 0.5).abs() < 1e-5);
            assert_eq!(learning_rate(&optim, 10, 10), 0.125);
            assert_eq!(learning_rate(&optim, 11, 10), 0.125);
            assert_eq!(learning_rate(&optim, 1, 1), 0.5);
        }
        let optim = Optim { lr: 0.5, warmup_steps: 4, ..Optim::default() };
        assert_eq!([1, 4, 5, 99].map(|step| learning_rate(&optim, step, 9)), [0.125, 0.5, 0.5, 0.5]);
    }
}
