//! An index of one's own, checked by the kit that checks the built-in ones: rows in buckets by their largest coordinate.

use hotrow::index::conformance::{Claims, check};
use hotrow::index::{Index, Rows, Statistics, WeightsRef};
use hotrow::kernels::{MatRef, reduce::dot};
use hotrow::ragged::Ragged;
use hotrow::tensor::{Elements, Tensor};

#[derive(Debug)]
struct Largest {
    /// Bucket of each row: the place of its largest coordinate. Empty before the first rebuild.
    places: Vec<u32>,
    buckets: Ragged<u32>,
}

fn largest(x: &[f32]) -> u32 {
    (0..x.len()).max_by(|&a, &b| x[a].total_cmp(&x[b])).unwrap_or(0) as u32
}

fn row(rows: &Rows, r: usize) -> Vec<f32> {
    match rows.weights {
        WeightsRef::F32(w) => w.row(r).to_vec(),
        WeightsRef::Bf16(w) => w.row(r).iter().map(|w| w.to_f32()).collect(),
    }
}

impl Largest {
    fn sort(&mut self, dim: usize) {
        let rows: Vec<u32> = (0..self.places.len() as u32).collect();
        self.buckets = Ragged::group(dim, &rows, |&row| self.places[row as usize] as usize);
    }
}

impl Index for Largest {
    fn name(&self) -> &'static str {
        "largest"
    }

    fn select(&self, rows: &Rows, queries: MatRef<f32>, k: usize, _: u64) -> Ragged<u32> {
        let best = |q: usize| {
            let bucket = if self.buckets.is_empty() { &[] } else { self.buckets.row(largest(queries.row(q)) as usize) };
            let score = |&r: &u32| dot(rows.level, queries.row(q), &row(rows, r as usize)) + rows.biases[r as usize];
            let mut scored: Vec<(f32, u32)> = bucket.iter().map(|r| (score(r), *r)).collect();
            scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            scored.into_iter().take(k).map(|(_, r)| r)
        };
        (0..queries.rows()).map(best).collect()
    }

    fn rebuild(&mut self, rows: &Rows) {
        self.places = (0..rows.len()).map(|r| largest(&row(rows, r))).collect();
        self.sort(rows.dim());
    }

    fn statistics(&self) -> Statistics {
        Statistics { tables: 1, used_buckets: self.buckets.len(), ..Statistics::default() }
    }

    fn state(&self) -> Vec<Tensor<'_>> {
        vec![Tensor { name: "places".into(), shape: vec![self.places.len()], elements: Elements::U32(&self.places) }]
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<(), String> {
        let Some(Elements::U32(places)) = state.iter().find(|t| t.name == "places").map(|t| t.elements) else {
            return Err("places are missing".into());
        };
        self.places = places.to_vec();
        self.sort(places.iter().max().map_or(0, |&most| most as usize + 1));
        Ok(())
    }
}

#[cfg_attr(test, test)]
fn main() {
    let make = |_, _, _| -> Box<dyn Index> { Box::new(Largest { places: vec![], buckets: Ragged::new() }) };
    check(make, Claims { found: 0.5, inserts: false });
}
