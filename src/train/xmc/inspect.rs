//! How good the active sets are: a look at some samples with all rows computed.

use super::Trainer;
use crate::data::Batch;
use crate::kernels::{MatMut, MatRef};
use crate::optim::RowSet;
use crate::train::inspect::{Health, SAMPLES};

impl Trainer {
    /// Looks at the active sets that the next step on `batch` would use; nothing of the run changes by it. `None` where
    /// every row is computed, or the batch is empty.
    pub fn inspect(&mut self, batch: &Batch) -> Option<Health> {
        let (sampling, samples) = (self.output.as_ref()?, batch.len().min(SAMPLES));
        let index = sampling.index.statistics();
        if samples == 0 {
            return None;
        }
        let costs = self.work.costs;
        self.forward(batch);
        let labels: Vec<&[u32]> = batch.labels.iter().collect();
        let named = self.hits(batch);
        let sets = self.choose(&labels, if batch.hits.is_empty() { &named } else { &batch.hits });
        let (layer, width) = (&self.network.output, self.network.width());
        let (x, rows, level) = (self.activations().last(), layer.rows(), self.work.level);
        let mut all = vec![0.0; samples * rows];
        let x: Vec<f32> = (0..samples).flat_map(|sample| x.row(sample).to_vec()).collect();
        let x = MatRef::new(&x, samples, width);
        self.network.output.forward(&mut self.work, x, RowSet::All(rows), MatMut::new(&mut all, samples, rows));

        let health = Health::of((self.steps, index), level, (&all, rows), &sets);
        // What it has cost is no cost of training.
        self.work.costs = costs;
        Some(health)
    }
}
