//! Rows in buckets by a key that you choose.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};

use super::saved::Saved;
use super::scan::{scores, with_weights};
use super::{Index, Rows, Statistics};
use crate::kernels::{MatRef, Weight};
use crate::ragged::Ragged;
use crate::tensor::{Elements, Tensor};

/// Names the rows that have the query's key, best first. The key is any function of a vector, so this is the shortest way to an index of
/// your own.
///
/// ```
/// use hotrow::index::{Buckets, conformance};
/// let largest = |x: &[f32]| (0..x.len()).max_by(|&a, &b| x[a].total_cmp(&x[b])).unwrap_or(0) as u32;
/// let make = |_, _, _| -> Box<dyn hotrow::index::Index> { Box::new(Buckets::new("largest", largest)) };
/// conformance::check(make, conformance::Claims { found: 0.5, inserts: false });
/// ```
pub struct Buckets<K> {
    name: &'static str,
    key: K,
    /// Of each row. Empty before the first rebuild.
    keys: Vec<u32>,
    rows: BTreeMap<u32, Vec<u32>>,
}

impl<K: Fn(&[f32]) -> u32 + Send + Sync> Buckets<K> {
    /// An index called `name`; nothing is built yet.
    pub fn new(name: &'static str, key: K) -> Self {
        Self { name, key, keys: Vec::new(), rows: BTreeMap::new() }
    }

    fn sort(&mut self, keys: Vec<u32>) {
        self.rows.clear();
        for (row, &key) in keys.iter().enumerate() {
            self.rows.entry(key).or_default().push(row as u32);
        }
        self.keys = keys;
    }
}

impl<K> Debug for Buckets<K> {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        f.debug_struct(self.name).field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

impl<K: Fn(&[f32]) -> u32 + Send + Sync> Index for Buckets<K> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn select(&self, rows: &Rows, queries: MatRef<f32>, k: usize, _: u64) -> Ragged<u32> {
        let best = |q: usize| {
            let same = self.rows.get(&(self.key)(queries.row(q))).map_or(&[][..], Vec::as_slice);
            let mut found = vec![0.0; same.len()];
            scores(rows, queries.row(q), same, &mut found);
            let mut ranked: Vec<(f32, u32)> = found.into_iter().zip(same.iter().copied()).collect();
            ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            ranked.into_iter().take(k).map(|(_, row)| row)
        };
        (0..queries.rows()).map(best).collect()
    }

    fn rebuild(&mut self, rows: &Rows) {
        let widened =
            |r: usize| -> Vec<f32> { with_weights!(rows.weights, w => w.row(r).iter().map(|w| w.to_f32()).collect()) };
        self.sort((0..rows.len()).map(|r| (self.key)(&widened(r))).collect());
    }

    fn statistics(&self) -> Statistics {
        let bytes = 2 * size_of_val(&self.keys[..]);
        Statistics { tables: 1, bytes, ..Statistics::of_buckets(self.rows.values().map(Vec::len)) }
    }

    fn state(&self) -> Vec<Tensor<'_>> {
        vec![Tensor { name: "keys".into(), shape: vec![self.keys.len()], elements: Elements::U32(&self.keys) }]
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<(), String> {
        self.sort(Saved(state).u32s("keys", None)?.to_vec());
        Ok(())
    }
}
