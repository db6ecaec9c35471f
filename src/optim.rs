//! Parameters: weights with their rule, its state and the gradient. The thread that owns a row updates it.
//!
//! | type | is |
//! |---|---|
//! | [`Scope`] | what makes the parameters of a network: new, for a checkpoint, or as a plan |
//! | [`Group`] | what a pattern on names changes about parameters |
//! | [`Parameter`] | a matrix of weights (rows, D) with rule, state and gradient |
//! | [`Rule`] | the update rule of a parameter, with its constants |
//! | [`Step`] | the number, learning rate, gradient scale and seed of one step |

mod grad;
mod parameter;
pub(crate) mod product;
mod rule;
mod schedule;
mod scope;
mod split;
mod state;
mod stored;

pub use parameter::Parameter;
pub use product::LinearGradient;
pub use rule::Rule;
pub use schedule::learning_rate;
pub(crate) use scope::matches;
pub use scope::{Group, Scope};
pub use stored::Init;

use crate::kernels::UniqueRowIds;

/// Which rows of a matrix take part.
#[derive(Clone, Copy, Debug)]
pub enum RowSet<'a> {
    /// All of so many.
    All(usize),
    /// These, increasing.
    Some(UniqueRowIds<'a>),
}

impl<'a> RowSet<'a> {
    /// How many take part.
    ///
    /// ```
    /// assert_eq!(hotrow::optim::RowSet::All(7).len(), 7);
    /// ```
    pub fn len(&self) -> usize {
        match self {
            RowSet::All(rows) => *rows,
            RowSet::Some(ids) => ids.len(),
        }
    }

    /// Whether none does.
    ///
    /// ```
    /// assert!(hotrow::optim::RowSet::All(0).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row at `position` of the set.
    ///
    /// # Panics
    ///
    /// If a listed set has no such position.
    ///
    /// ```
    /// assert_eq!(hotrow::optim::RowSet::All(7).row(3), 3);
    /// ```
    pub fn row(&self, position: usize) -> usize {
        match self {
            RowSet::All(_) => position,
            RowSet::Some(ids) => ids.as_slice()[position] as usize,
        }
    }

    /// Where `row` stands in the set.
    ///
    /// ```
    /// assert_eq!(hotrow::optim::RowSet::All(7).position(7), None);
    /// ```
    pub fn position(&self, row: u32) -> Option<usize> {
        match self {
            RowSet::All(rows) => ((row as usize) < *rows).then_some(row as usize),
            RowSet::Some(ids) => ids.as_slice().binary_search(&row).ok(),
        }
    }
}

/// One step of a run, as every rule needs it. Rules and their constants belong to parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Number of the step, from 1.
    pub number: u32,
    /// Learning rate of this step.
    pub lr: f32,
    /// Gradients are multiplied by it: 1 / samples, times the factor of clipping.
    pub grad_scale: f32,
    /// The seed of stochastic rounding.
    pub seed: u64,
}
