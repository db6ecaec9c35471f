//! The numbers that a step of Adam has for all elements of a row.

use super::Adam;
use crate::optim::sleep::{Sleep, Slept, power};

/// The numbers of one step of one row: what is left to do for each element is in f32.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub slept: Option<Slept>,
    pub decay: f32,
    pub m_kept: f32,
    pub m_added: f32,
    pub v_kept: f32,
    pub v_added: f32,
    /// `lr / (1 - beta1^t)`
    pub lr: f32,
    /// `1 / sqrt(1 - beta2^t)`
    pub root: f32,
    pub eps: f32,
    pub grad_scale: f32,
}

impl Step {
    /// Step `t` of a row that did not sleep.
    #[inline(always)]
    pub fn new(params: &Adam, t: u32) -> Step {
        let (beta1, beta2) = (params.beta1 as f64, params.beta2 as f64);
        Step {
            slept: None,
            decay: 1.0 - params.lr * params.weight_decay,
            m_kept: params.beta1,
            m_added: (1.0 - beta1) as f32,
            v_kept: params.beta2,
            v_added: (1.0 - beta2) as f32,
            lr: (params.lr as f64 / (1.0 - power(beta1, t))) as f32,
            root: (1.0 / (1.0 - power(beta2, t)).sqrt()) as f32,
            eps: params.eps,
            grad_scale: params.grad_scale,
        }
    }

    /// The same step of a row that slept `steps` steps after step `last`.
    #[inline(always)]
    fn after_sleep(self, sleep: &Sleep, last: u32, steps: u32) -> Step {
        let (m_kept, v_kept) = sleep.kept(steps + 1);
        let slept = (steps > 0).then(|| sleep.slept(last, steps));
        Step { slept, m_kept, v_kept, ..self }
    }
}

/// One step of the run for rows that were last brought up to date at different ones. What a row gets depends on that step alone,
/// and a call meets few of them again and again; the sum over a sleep costs as much as a hundred elements.
pub(super) struct CatchUpSteps {
    sleep: Sleep,
    number: u32,
    awake: Step,
    /// What rows last at step `i` get, in place `i % KNOWN`, with that step.
    known: [(u32, Step); KNOWN],
}

/// Some 4 KiB on the stack.
const KNOWN: usize = 64;

impl CatchUpSteps {
    /// Step `number`; 0 serves calls without rows.
    #[inline(always)]
    pub fn new(params: &Adam, number: u32) -> Self {
        let awake = Step::new(params, number);
        Self { sleep: Sleep::new(params), number, awake, known: [(number.wrapping_sub(1), awake); KNOWN] }
    }

    /// The step of a row that is up to date with step `last`, before this one.
    #[inline(always)]
    pub fn after(&mut self, last: u32) -> Step {
        let (known, step) = &mut self.known[last as usize % KNOWN];
        if *known != last {
            let slept = self.number - last - 1;
            *known = last;
            *step = self.awake.after_sleep(&self.sleep, last, slept);
        }
        *step
    }
}
