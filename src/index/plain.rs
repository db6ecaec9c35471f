//! Indexes that guess nothing: no row, and all rows.

use super::{Index, Rows, Statistics};
use crate::kernels::{MatRef, UniqueRowIds};
use crate::ragged::Ragged;
use crate::tensor::Tensor;

/// Names no row: active rows are the labels and the random tail. What an index has to beat.
///
/// ```
/// use hotrow::index::{Index, Random};
/// assert_eq!(Random.name(), "random");
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Random;

/// Marks a network that computes all rows, as [`Index::computes_all`] says; `select` names none.
///
/// ```
/// use hotrow::index::{All, Index};
/// assert!(All.computes_all());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct All;

macro_rules! selects_nothing {
    ($index:ty, $name:literal, $all:literal) => {
        impl Index for $index {
            fn name(&self) -> &'static str {
                $name
            }

            fn computes_all(&self) -> bool {
                $all
            }

            fn select(&self, _: &Rows, queries: MatRef<f32>, _: usize, _: u64) -> Ragged<u32> {
                (0..queries.rows()).map(|_| []).collect()
            }

            fn update(&mut self, _: &Rows, _: UniqueRowIds) {}

            fn insert(&mut self, _: MatRef<f32>, _: &Ragged<u32>) {}

            fn rebuild(&mut self, _: &Rows) {}

            fn statistics(&self) -> Statistics {
                Statistics::default()
            }

            fn state(&self) -> Vec<Tensor<'_>> {
                Vec::new()
            }

            fn restore(&mut self, _: &[Tensor]) -> Result<(), String> {
                Ok(())
            }
        }
    };
}

selects_nothing!(Random, "random", false);
selects_nothing!(All, "all", true);
