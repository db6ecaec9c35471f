//! What a sampled layer keeps beside its weights: the index, the marks of the selector, and when to rebuild.

use crate::active::{ActiveOptions, Selector};
use crate::config::Sparse;
use crate::error::Result;
use crate::index::{self, Index, Rebuilds, Rows};
use crate::kernels::{Level, UniqueRowIds};
use crate::tensor::{Elements, Tensor};

/// The index of one layer, its marks, and its schedule.
#[derive(Debug)]
pub struct Sampling {
    /// Names rows.
    pub index: Box<dyn Index>,
    /// Makes sets of them.
    pub selector: Selector,
    schedule: Rebuilds,
    frozen: bool,
}

/// Rows of an active set for a layer of `rows`: what the configuration says, or a tenth of the rows but 1024 to 4096.
///
/// ```
/// use hotrow::config::Sparse;
/// assert_eq!(hotrow::train::xmc::active_rows(&Sparse::default(), 670_091), 4096);
/// assert_eq!(hotrow::train::xmc::active_rows(&Sparse::default(), 35_686), 3568);
/// assert_eq!(hotrow::train::xmc::active_rows(&Sparse { active: 77, ..Sparse::default() }, 670_091), 77);
/// ```
pub fn active_rows(sparse: &Sparse, rows: usize) -> usize {
    match sparse.active {
        0 => (rows / 10).clamp(1024, 4096).min(rows),
        active => active.min(rows),
    }
}

impl Sampling {
    /// For a layer of `rows` rows of `dim` numbers; nothing is built yet.
    ///
    /// # Errors
    ///
    /// If the index cannot be made with these options.
    pub fn new(sparse: &Sparse, active: usize, seed: u64, rows: usize, dim: usize, level: Level) -> Result<Self> {
        let options = ActiveOptions { rows, active, tail: sparse.tail, correction: sparse.correction };
        Ok(Self {
            index: index::new(&sparse.options(), seed, rows, dim, level)?,
            selector: Selector::new(options),
            schedule: Rebuilds::new(sparse.rebuild_every, sparse.rebuild_most),
            frozen: sparse.frozen,
        })
    }

    /// Rebuilds if it is due after `steps` steps. A frozen index is built once.
    pub fn rebuild(&mut self, rows: &Rows, steps: u64) -> bool {
        let due = self.index.follows_weights() && (!self.frozen || steps == 0) && self.schedule.take(steps);
        if due {
            self.index.rebuild(rows);
        }
        due
    }

    /// Tells the index which rows have moved.
    pub fn update(&mut self, rows: &Rows, touched: &[u32]) {
        if self.index.follows_weights() && !self.frozen {
            let touched = UniqueRowIds::new(touched, rows.len()).expect("touched rows are rows, increasing");
            self.index.mark_moved(rows, touched);
        }
    }

    /// The index's tensors, and the schedule's.
    pub fn state(&self) -> Vec<Tensor<'_>> {
        let mut tensors = self.index.state();
        tensors.push(Tensor {
            name: "schedule".into(),
            shape: vec![2],
            elements: Elements::U64(self.schedule.state()),
        });
        tensors
    }

    /// Takes what `state` gave, for the same options.
    ///
    /// # Errors
    ///
    /// A message that names the tensor which is missing or of another shape.
    pub fn restore(&mut self, tensors: &[Tensor]) -> std::result::Result<(), String> {
        let (schedule, index): (Vec<&Tensor>, Vec<&Tensor>) = tensors.iter().partition(|t| t.name == "schedule");
        let Some(&Elements::U64(&[next, pause])) = schedule.first().map(|tensor| &tensor.elements) else {
            return Err("schedule: not two numbers".to_owned());
        };
        self.schedule.restore([next, pause]);
        self.index.restore(&index.into_iter().cloned().collect::<Vec<_>>())
    }
}
