//! The workspace of computations: the instruction set, reused memory, and counts of their cost.

mod buffer;

use std::time::Instant;

pub use buffer::Buffer;
pub(crate) use buffer::local;

use crate::flops::{Costs, Phase};
use crate::kernels::Level;
use crate::kernels::gemm::PackedPanel;

/// A workspace for layers: the level, reused memory, and counts of cost.
///
/// ```
/// let work = hotrow::work::Workspace::new(hotrow::kernels::Level::detect());
/// assert_eq!(work.costs.total().flops, 0);
/// ```
#[derive(Debug)]
pub struct Workspace {
    /// The instruction set.
    pub level: Level,
    /// The cost so far.
    pub costs: Costs,
    /// Packed rows, and packed samples as left and as right factors.
    pub(crate) panels: Vec<PackedPanel>,
    pub(crate) lefts: Vec<PackedPanel>,
    pub(crate) rights: Vec<PackedPanel>,
    /// Activations and gradients that live as long as a layer computes.
    pool: buffer::Pool,
}

impl Workspace {
    /// A workspace with no cost yet.
    pub fn new(level: Level) -> Self {
        Self {
            level,
            costs: Costs::default(),
            panels: Vec::new(),
            lefts: Vec::new(),
            rights: Vec::new(),
            pool: buffer::Pool::default(),
        }
    }

    /// A buffer (rows, cols) of unspecified numbers, from those given back.
    ///
    /// # Panics
    ///
    /// If it has to grow and the system refuses the memory.
    #[track_caller]
    pub fn buffer(&mut self, rows: usize, cols: usize) -> Buffer {
        self.pool.take(rows, cols)
    }

    /// Takes a buffer back, to reuse its memory.
    pub fn give_back(&mut self, buffer: Buffer) {
        self.pool.give(buffer);
    }

    /// Runs `f` and adds its time to `phase`.
    pub fn timed<R>(&mut self, phase: Phase, f: impl FnOnce(&mut Self) -> R) -> R {
        let start = Instant::now();
        let result = f(self);
        self.costs.time(phase, start.elapsed());
        result
    }
}
