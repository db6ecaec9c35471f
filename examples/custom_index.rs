//! An index of your own: rows in buckets by their largest coordinate. The kit that checks the built-in indexes checks it, and a
//! configuration names it.

use hotrow::config::{Config, IndexOptions};
use hotrow::data::Batch;
use hotrow::error::Result as Answer;
use hotrow::index::conformance::{Claims, check};
use hotrow::index::{self, Index, Rows, Statistics, WeightsRef};
use hotrow::kernels::{Level, MatRef, reduce::dot};
use hotrow::ragged::Ragged;
use hotrow::tensor::{Elements, Tensor};
use hotrow::train::xmc::Trainer;

#[derive(Debug, Default)]
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

fn make(_: &IndexOptions, _seed: u64, _rows: usize, _dim: usize, _: Level) -> Answer<Box<dyn Index>> {
    Ok(Box::new(Largest::default()))
}

#[cfg_attr(test, test)]
fn main() {
    check(|_, _, _| -> Box<dyn Index> { Box::new(Largest::default()) }, Claims { found: 0.5, inserts: false });

    // One line, and configurations of this program can name it: in a file, or as here.
    index::register("largest", make);
    let sets = ["sparse.index=largest", "sparse.active=200", "train.batch_size=16"].map(str::to_owned);
    let config = Config::load(None, &sets).expect("the name is known");
    let mut trainer = Trainer::new(config, 30, 3000, 40, Level::detect()).expect("a small network");
    let mut batch = Batch::new(30);
    (0..16).for_each(|sample| {
        batch.features.push(&[sample], &[1.0]).expect("a feature");
        batch.labels.push([sample * 100]);
    });
    let losses: Vec<f64> = (0..40).map(|_| trainer.step(&batch).expect("finite numbers").loss).collect();
    assert!(losses[39] < 0.1 * losses[0], "{losses:?}");
    assert_eq!(trainer.output.expect("an output that is sampled").index.name(), "largest");
}
