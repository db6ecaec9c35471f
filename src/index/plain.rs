//! Indexes that guess nothing: one names no row, one asks for all rows.

use super::{Index, Rows, Statistics};
use crate::kernels::MatRef;
use crate::ragged::Ragged;

/// Names no row, so the active rows are the labels and the random tail. An index has to beat this one.
///
/// ```
/// use hotrow::index::{Index, Random};
/// assert_eq!(Random.name(), "random");
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Random;

/// Asks the network to compute all rows ([`Index::computes_all`]). `select` names none.
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

            fn names_rows(&self) -> bool {
                false
            }

            fn follows_weights(&self) -> bool {
                false
            }

            fn select(&self, _: &Rows, queries: MatRef<f32>, _: usize, _: u64) -> Ragged<u32> {
                (0..queries.rows()).map(|_| []).collect()
            }
        }
    };
}

selects_nothing!(Random, "random", false);
selects_nothing!(All, "all", true);

/// As large as an index would be, and nothing else of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    pub name: &'static str,
    pub bytes: u64,
}

impl Index for Planned {
    fn name(&self) -> &'static str {
        self.name
    }

    fn statistics(&self) -> Statistics {
        Statistics { bytes: self.bytes as usize, ..Statistics::default() }
    }

    fn select(&self, _: &Rows, _: MatRef<f32>, _: usize, _: u64) -> Ragged<u32> {
        panic!("a planned index selects nothing")
    }
}
