//! A trained network, to be asked.

use std::path::{Path, PathBuf};

use super::Trainer;
use super::xmc::seen::{LABEL_COUNTS, Seen};
use super::xmc::{VOCABULARY, known};
use crate::checkpoint::{self, Loaded};
use crate::data::{Batch, Vocabulary};
use crate::error::{Error, Result};
use crate::index::WeightsRef;
use crate::kernels::reduce::dot;
use crate::kernels::{Level, MatRef};

/// A network with the vocabulary it was trained with.
#[derive(Debug)]
pub struct Predictor {
    trainer: Trainer,
    vocabulary: Vocabulary,
    run: PathBuf,
    loaded: Loaded,
}

impl Predictor {
    /// Opens the last checkpoint of a run, or the checkpoint `path`.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`](crate::error::Error::Checkpoint) if it is damaged, or an error of the run's vocabulary.
    pub fn open(path: &Path, level: Level) -> Result<Self> {
        let loaded = checkpoint::open(path)?;
        let run = loaded.path().parent().unwrap_or(Path::new(".")).to_owned();
        let (file, bytes) = known::read(&loaded, VOCABULARY)?;
        let vocabulary = Vocabulary::from_json(&file, &bytes)?;
        let mut trainer = Trainer::load(&loaded, level)?;
        let (features, labels) = (trainer.network.input.weights.rows(), trainer.network.output.rows());
        if (vocabulary.features(), vocabulary.labels()) != (features, labels) {
            let (named_features, named_labels) = (vocabulary.features(), vocabulary.labels());
            let message = format!(
                "is of {named_features} features and {named_labels} labels, where the network of {} has {features} and {labels}",
                loaded.path().display()
            );
            return Err(Error::data(file, 0, 0, message));
        }
        trainer.settle();
        Ok(Self { trainer, vocabulary, run, loaded })
    }

    /// The folder of the run that the checkpoint is of.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// How often the labels came in training.
    pub(super) fn seen(&self) -> Result<Seen> {
        let (file, bytes) = known::read(&self.loaded, LABEL_COUNTS)?;
        Seen::from_json(&file, &bytes, self.vocabulary.labels())
    }

    /// What names features and labels.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The trainer that the checkpoint is of, its weights settled.
    pub fn trainer_mut(&mut self) -> &mut Trainer {
        &mut self.trainer
    }

    /// Whether there is an index that names labels.
    pub fn has_index(&self) -> bool {
        self.trainer.output.as_ref().is_some_and(|sampling| !matches!(sampling.index.name(), "random" | "all"))
    }

    /// The `k` best labels of each sample and their scores, best first: of all labels, or (`sparse`) of those that the index
    /// names, which may be fewer.
    pub fn best(&mut self, batch: &Batch, k: usize, sparse: bool) -> Vec<Vec<(u32, f32)>> {
        let Trainer { network, work, output, steps, config, .. } = &mut self.trainer;
        let x = network.embed(work, &batch.features);
        let x = MatRef::new(&x, batch.len(), network.width());
        let Some(sampling) = output.as_ref().filter(|_| sparse) else {
            let best = network.output.top_k(work, x, k);
            let rows = best.ids.chunks(best.k.max(1)).zip(best.scores.chunks(best.k.max(1)));
            return rows.map(|(ids, scores)| ids.iter().copied().zip(scores.iter().copied()).collect()).collect();
        };
        let view = network.output.view(work.level);
        let hits = sampling.index.select(&view, x, k.max(config.sparse.hits), *steps);
        let score = |sample: usize, row: u32| {
            let product = match view.weights {
                WeightsRef::F32(w) => dot(work.level, w.row(row as usize), x.row(sample)),
                WeightsRef::Bf16(w) => dot(work.level, w.row(row as usize), x.row(sample)),
            };
            product + view.biases[row as usize]
        };
        let ranked = hits.iter().enumerate().map(|(sample, rows)| {
            let mut scored: Vec<(u32, f32)> = rows.iter().map(|&row| (row, score(sample, row))).collect();
            scored.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            scored.truncate(k);
            scored
        });
        ranked.collect()
    }
}
