//! Training samples with the labels that an index of the data names for them.

use std::sync::Arc;

use super::Trainer;
use crate::data::{Batch, Samples};
use crate::index::Index;
use crate::ragged::Ragged;

/// Samples that are named labels for at a time.
const SAMPLES: usize = 4096;

/// Up to `k` labels that `index` names for each sample of `batch`. Its own labels are not among them: they are active in any case, and
/// each of its features has come with them.
pub(super) fn named(index: &dyn Index, batch: &Batch, k: usize) -> Ragged<u32> {
    let own = batch.labels.iter().map(<[u32]>::len).max().unwrap_or(0);
    let found = index.select_by_inputs(&batch.features, k + own);
    let others = |(found, own): (&[u32], &[u32])| -> Vec<u32> {
        found.iter().copied().filter(|label| own.binary_search(label).is_err()).take(k).collect()
    };
    found.iter().zip(batch.labels.iter()).map(others).collect()
}

/// Samples with hits that stay the same for the whole run.
struct Named {
    samples: Arc<dyn Samples>,
    hits: Ragged<u32>,
}

impl Samples for Named {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn features(&self) -> usize {
        self.samples.features()
    }

    fn labels(&self) -> usize {
        self.samples.labels()
    }

    fn read(&self, sample: usize, batch: &mut Batch) {
        self.samples.read(sample, batch);
        batch.hits.push(self.hits.row(sample).iter().copied());
    }
}

impl Trainer {
    /// Shows all of `train` to the index of the output, if that follows the data. A trainer that is restored has its index already.
    pub fn learn_index(&mut self, train: &dyn Samples) {
        if let Some(sampling) = self.output.as_mut().filter(|sampling| sampling.index.follows_data()) {
            let all = Batch::whole(train);
            sampling.index.learn(&all.features, &all.labels);
        }
    }

    /// `train`, with its hits if these never change: a step then has nothing to select.
    pub fn with_hits(&self, train: Arc<dyn Samples>) -> Arc<dyn Samples> {
        let Some(sampling) = self.output.as_ref().filter(|sampling| sampling.index.follows_data()) else {
            return train;
        };
        let (mut hits, mut batch) = (Ragged::new(), Batch::new(train.features()));
        for from in (0..train.len()).step_by(SAMPLES) {
            batch.clear();
            (from..train.len().min(from + SAMPLES)).for_each(|sample| train.read(sample, &mut batch));
            let found = named(&*sampling.index, &batch, self.config.sparse.hits);
            found.iter().for_each(|row| hits.push(row.iter().copied()));
        }
        Arc::new(Named { samples: train, hits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, IndexName};
    use crate::kernels::Level;
    use crate::module::Module;

    /// 40 samples of three features, and of one to three labels of 400 that follow from them.
    struct Small;

    impl Samples for Small {
        fn len(&self) -> usize {
            40
        }

        fn features(&self) -> usize {
            30
        }

        fn labels(&self) -> usize {
            400
        }

        fn read(&self, sample: usize, batch: &mut Batch) {
            let first = sample as u32 % 7;
            batch.features.push(&[first, first + 8, 20 + sample as u32 % 10], &[1.0, 2.0, 0.5]).unwrap();
            let labels = (0..=sample as u32 % 3).map(|label| 50 * first + 7 * label * (sample as u32 % 4));
            let mut labels: Vec<u32> = labels.collect();
            labels.dedup();
            batch.labels.push(labels);
        }
    }

    fn trainer() -> Trainer {
        let mut config = Config::default();
        (config.sparse.index, config.sparse.active, config.model.hidden) = (IndexName::Inverted, 150, vec![8]);
        let mut trainer = Trainer::new(config, 30, 400, 3, Level::detect()).unwrap();
        trainer.learn_index(&Small);
        trainer
    }

    fn first(samples: &dyn Samples, count: usize) -> Batch {
        let mut batch = Batch::new(30);
        (0..count).for_each(|sample| samples.read(sample, &mut batch));
        batch
    }

    #[test]
    fn hits_from_before_are_those_of_the_step_and_lead_to_the_same_bits() {
        let [mut before, mut now] = [trainer(), trainer()];
        // The first few: every hit is a label of some sample.
        let (with, without) = (first(&*before.with_hits(Arc::new(Small)), 5), first(&Small, 5));
        let (found, labels) = (with.hits.iter(), without.labels.iter());
        assert!(found.clone().any(|hits| !hits.is_empty()), "nothing is tested");
        assert!(found.zip(labels).all(|(hits, own)| hits.iter().all(|hit| !own.contains(hit))));
        for _ in 0..3 {
            let reports = (before.step(&with).unwrap(), now.step(&without).unwrap());
            assert_eq!(reports.0, reports.1);
            assert!(reports.0.sources.hits > 0);
        }
        let bytes = |trainer: &Trainer| -> Vec<Vec<u8>> {
            trainer.network.weight_tensors().iter().map(|tensor| tensor.elements.bytes().to_vec()).collect()
        };
        assert_eq!(bytes(&before), bytes(&now));
    }

    #[test]
    fn a_restored_index_names_the_same() {
        let (trainer, mut restored) = (trainer(), trainer());
        let sampling = restored.output.as_mut().unwrap();
        sampling.index.learn(&crate::sparse::SparseBatch::new(30), &Ragged::new());
        sampling.restore(&trainer.output.as_ref().unwrap().state()).unwrap();
        let named = |trainer: &Trainer| first(&*trainer.with_hits(Arc::new(Small)), 40).hits;
        assert_eq!(named(&restored), named(&trainer));
    }
}
