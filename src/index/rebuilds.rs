//! When an index is rebuilt.

/// When an index is rebuilt from rows that move: after `every` steps, then after pauses that double up to `most`, because rows move less
/// and less. With `every` equal to `most` all pauses are equal.
///
/// ```
/// use hotrow::index::Rebuilds;
/// let rebuilds = Rebuilds::new(100, 400);
/// let due: Vec<u64> = (0..=1500).filter(|&step| rebuilds.is_due(step)).collect();
/// assert_eq!(due, [0, 100, 300, 700, 1100, 1500]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilds {
    /// The step after which the next rebuild is due, and the pause after it: what checkpoints keep.
    next: [u64; 2],
    most: u64,
}

impl Rebuilds {
    /// Pauses of `every` steps at first, of `most` at last. The first rebuild is due before the first step.
    pub const fn new(every: u64, most: u64) -> Self {
        Self { next: [0, every], most }
    }

    /// Whether a rebuild is due after `step` steps.
    pub fn is_due(&self, step: u64) -> bool {
        self.seek(step).next[0] == step
    }

    /// The same schedule once all rebuilds before `step` have been.
    fn seek(mut self, step: u64) -> Self {
        while self.next[0] < step && self.next[1] < self.most {
            self = self.advance();
        }
        let [next, pause] = self.next;
        if next < step {
            self.next[0] += (step - next).div_ceil(pause.max(1)) * pause.max(1);
        }
        self
    }

    /// The same schedule once the rebuild that is due next has been.
    fn advance(self) -> Self {
        let [next, pause] = self.next;
        Self { next: [next + pause, (2 * pause).clamp(1, self.most.max(1))], ..self }
    }

    /// Whether a rebuild is due after `step` steps. If so, it counts as done.
    pub(crate) fn take(&mut self, step: u64) -> bool {
        *self = self.seek(step);
        let due = self.next[0] == step;
        if due {
            *self = self.advance();
        }
        due
    }

    /// What checkpoints keep.
    pub(crate) fn state(&self) -> &[u64; 2] {
        &self.next
    }

    /// Takes what [`state`](Self::state) gave.
    pub(crate) fn restore(&mut self, state: [u64; 2]) {
        self.next = state;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_pauses_are_multiples_whether_or_not_steps_were_counted() {
        let mut counted = Rebuilds::new(3, 3);
        for step in 0..20 {
            assert_eq!(counted.take(step), step % 3 == 0, "{step}");
            assert_eq!(Rebuilds::new(3, 3).is_due(step), step % 3 == 0, "{step}");
        }
    }

    #[test]
    fn a_schedule_goes_on_where_its_state_was_taken() {
        let (mut whole, mut before) = (Rebuilds::new(1, 6), Rebuilds::new(1, 6));
        (0..10).for_each(|step| assert_eq!(whole.take(step), before.take(step)));
        let mut after = Rebuilds::new(1, 6);
        after.restore(*before.state());
        (10..60).for_each(|step| assert_eq!(whole.take(step), after.take(step), "{step}"));
    }
}
