//! A trained network, to be asked.

use std::path::{Path, PathBuf};

use super::ask_parts::Lookups;
use super::label_counts::{LABEL_COUNTS, LabelCounts};
use super::trainer::shape;
use super::{KS, Trainer, VOCABULARY, ask_parts, evaluate, known, summary_of};
use crate::checkpoint::{self, Loaded};
use crate::config::Config;
use crate::data::{Batch, Dataset, Samples, Vocabulary};
use crate::error::{Error, Result};
use crate::index::WeightsRef;
use crate::kernels::reduce::dot;
use crate::kernels::{Level, MatRef};
use crate::metrics::Ranking;
use crate::parts::{Classifier, Kept};
use crate::run::Summary;
use crate::train::state::open_weights;

/// Which labels are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scored {
    /// All of a network, and the candidates that parts name.
    Usual,
    /// Those that the index of a network names, or parts.
    Named,
    /// All.
    All,
}

/// A network, or parts in its place, with the vocabulary of training.
#[derive(Debug)]
pub struct Predictor {
    model: Model,
    config: Config,
    vocabulary: Vocabulary,
    run: PathBuf,
    loaded: Loaded,
    level: Level,
}

#[derive(Debug)]
enum Model {
    Network(Box<Trainer>),
    Parts(Box<(Classifier, Kept, Lookups)>),
}

impl Predictor {
    /// Opens the last checkpoint of a run, or the checkpoint `path`. A run that is being trained may remove a checkpoint while it
    /// is read; then the newer one is.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`](crate::error::Error::Checkpoint) if it is damaged, or an error of the run's vocabulary.
    pub fn open(path: &Path, level: Level) -> Result<Self> {
        let open = || {
            let loaded = open_weights(path)?;
            let run = loaded.path().parent().unwrap_or(Path::new(".")).to_owned();
            // Before the vocabulary, which a checkpoint of another kind has none of.
            let shape = shape(&loaded)?;
            let (file, bytes) = known::read(&loaded, VOCABULARY)?;
            let vocabulary = Vocabulary::from_json(&file, &bytes)?;
            let model = match shape.config.model.is_network() {
                true => Model::Network(Box::new(Trainer::for_inference(&loaded, level)?)),
                false => {
                    let (classifier, kept) = ask_parts::open(&loaded, &shape)?;
                    Model::Parts(Box::new((classifier, kept, Lookups::default())))
                }
            };
            let (features, labels) = match &model {
                Model::Network(trainer) => (trainer.network.input.weights.rows(), trainer.network.output.rows()),
                Model::Parts(parts) => (parts.1.features(), parts.0.frequencies.len()),
            };
            if (vocabulary.features(), vocabulary.labels()) != (features, labels) {
                let message = format!(
                    "is of {} features and {} labels, where the model of {} has {features} and {labels}",
                    vocabulary.features(),
                    vocabulary.labels(),
                    loaded.path().display()
                );
                return Err(Error::data(file, 0, 0, message));
            }
            let mut predictor = Self { model, config: shape.config, vocabulary, run, loaded, level };
            if let Model::Network(trainer) = &mut predictor.model {
                trainer.settle();
            }
            Ok(predictor)
        };
        while_it_moves(|| checkpoint::last(path), open)
    }

    /// The folder of the run that the checkpoint is of.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// What names features and labels.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Whether there is an index that names labels.
    pub fn has_index(&self) -> bool {
        match &self.model {
            Model::Network(trainer) => trainer.output.as_ref().is_some_and(|sampling| sampling.index.names_rows()),
            Model::Parts(_) => false,
        }
    }

    /// Ranks labels for every sample of `data`: all labels of a network, and of parts those that are `scored`. Gives a summary of the
    /// model too.
    ///
    /// # Errors
    ///
    /// If the checkpoint does not say how often labels came.
    pub(super) fn measure(&mut self, data: &Dataset, scored: Scored, threads: usize) -> Result<(Ranking, Summary)> {
        let (file, bytes) = known::read(&self.loaded, LABEL_COUNTS)?;
        let seen = LabelCounts::from_json(&file, &bytes, self.vocabulary.labels())?;
        let inverse = Some(seen.inverse(&self.config.train));
        Ok(match &mut self.model {
            Model::Network(trainer) => {
                let ranking = evaluate(&trainer.network, &mut trainer.work, data, &KS, inverse);
                let summary = summary_of(trainer, trainer.view().summary(threads));
                (ranking, Summary { active_share: 1.0, union_rows: data.labels() as f64, ..summary })
            }
            Model::Parts(parts) => {
                let (classifier, kept, _) = &**parts;
                let asked = (classifier, kept, scored);
                let ranking =
                    ask_parts::evaluate(asked, self.level, data, inverse, &|| false).expect("nobody stops it");
                let (steps, seed) = (self.loaded.state().step, self.config.train.seed);
                (ranking, ask_parts::asked(classifier, self.level, (steps, seed), threads))
            }
        })
    }

    /// The `k` best of the labels that are `scored`, for each sample, and their scores, best first. An index may name fewer.
    pub fn best(&mut self, batch: &Batch, k: usize, scored: Scored) -> Vec<Vec<(u32, f32)>> {
        match &mut self.model {
            Model::Network(trainer) => best_of_network(trainer, batch, k, scored == Scored::Named),
            Model::Parts(parts) => ask_parts::best((&parts.0, &parts.1, scored), self.level, batch, k, &parts.2),
        }
    }
}

fn best_of_network(trainer: &mut Trainer, batch: &Batch, k: usize, sparse: bool) -> Vec<Vec<(u32, f32)>> {
    let Trainer { network, work, output, steps, config, .. } = trainer;
    let x = network.embed(work, &batch.features);
    let x = MatRef::new(&x, batch.len(), network.width());
    let Some(sampling) = output.as_ref().filter(|_| sparse) else {
        let best = network.output.top_k(work, x, k);
        let rows = best.ids.chunks(best.k.max(1)).zip(best.scores.chunks(best.k.max(1)));
        return rows.map(|(ids, scores)| ids.iter().copied().zip(scores.iter().copied()).collect()).collect();
    };
    let view = network.output.view(work.level);
    let most = k.max(config.sparse.hits);
    let hits = match sampling.index.follows_data() {
        true => sampling.index.select_by_inputs(&batch.features, most),
        false => sampling.index.select(&view, x, most, *steps),
    };
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

/// Newer checkpoints that are turned to: a run that removes them faster than they are read would be followed for ever.
const MOVES: usize = 8;

/// What `open` opens; when it fails and `latest` is another than before, once more.
fn while_it_moves<L: PartialEq, T>(mut latest: impl FnMut() -> L, mut open: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 0..MOVES {
        let before = latest();
        let opened = open();
        if opened.is_ok() || latest() == before {
            return opened;
        }
    }
    open()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use std::cell::Cell;

    #[test]
    fn a_checkpoint_that_is_removed_meanwhile_is_left_for_the_newer_one() {
        let (latest, opened) = (Cell::new(1), Cell::new(0));
        let open = |moves: u32, good: u32| {
            latest.set(1);
            opened.set(0);
            while_it_moves(
                || latest.get(),
                || {
                    opened.set(opened.get() + 1);
                    let read = latest.get();
                    latest.set(moves.min(read + 1));
                    if read == good { Ok(read) } else { Err(Error::data("checkpoint", 0, 0, "is gone")) }
                },
            )
        };
        assert_eq!(open(9, 3).unwrap(), 3);
        assert_eq!(opened.get(), 3);
        assert!(open(1, 3).is_err());
        assert_eq!(opened.get(), 1, "a damaged one stays damaged");
        assert!(open(1000, 1000).is_err());
    }
}
