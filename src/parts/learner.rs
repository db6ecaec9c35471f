//! Builds a [`Classifier`] stage by stage.

mod memories;
mod negatives;

use std::time::Instant;

use rayon::prelude::*;

use super::choose::{chosen, shaped};
use super::classifier::Classifier;
use super::clock::Clock;
use super::costs::of_pairs;
use super::fit::Example;
use super::hidden::{as_if_new, hidden};
use super::mixture::Mixture;
use super::neighbours::transposed;
use super::saved::Saved;
use super::terms::Present;
use super::{LearnOptions, NetworkPart, PartCosts, SparseLinear, Stage, TextMemory};
use crate::data::Batch;
use crate::flops::Meter;
use crate::kernels::Level;
use crate::ragged::Ragged;
use crate::sparse::SparseBatch;
use crate::tensor::Tensor;

/// The name of the trial rows in checkpoints.
const TRIAL: &str = "trial";

/// Builds a classifier from training samples.
///
/// 1. Some samples are held out. Counts and neighbours remember the others.
/// 2. They say of each sample, without itself, which labels it is mistaken for: hard negatives.
/// 3. Linear rows are trained on the samples that are not held out.
/// 4. A network, if one is wanted, is trained on the same samples by whoever does the stages: see [`Stage::Network`].
/// 5. The mixture is fitted to those that are. A part that does not help is dropped. Memories are built anew of all samples.
/// 6. Linear rows are trained on all samples.
///
/// It would be shorter to remember all samples at once and to leave out the one that is asked for. But then the labels of a sample that is
/// held out make negatives of the samples near it, and its margins are worse than those of a new sample: on the titles of the demo the
/// linear rows were right for 38 % instead of 43 %, and the mixture did not trust them.
///
/// The number of threads changes nothing.
///
/// ```
/// use hotrow::parts::{LearnOptions, Learner};
/// use hotrow::{data::Batch, kernels::Level};
/// let mut samples = Batch::new(20);
/// for i in 0..200 {
///     samples.features.push(&[i % 10, 10 + i % 7], &[0.8, 0.6])?;
///     samples.labels.push([i % 10]);
/// }
/// let (level, mut learner) = (Level::detect(), Learner::new(&samples, 10, LearnOptions::default()));
/// while learner.step(&samples, level).is_some() {}
/// let classifier = learner.into_classifier();
/// let best = classifier.best((&[3, 12], &[0.8, 0.6]), 1, &mut classifier.lookup(level));
/// assert_eq!(best[0].0, 3);
/// # Ok::<(), hotrow::kernels::IndexError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Learner {
    options: LearnOptions,
    stages: Vec<Stage>,
    done: usize,
    /// Samples with each label, and samples that are taken for it.
    positives: Ragged<u32>,
    negatives: Ragged<u32>,
    held_out: Vec<bool>,
    trial: SparseLinear,
    classifier: Classifier,
    clock: Clock,
    loss: f64,
    costs: PartCosts,
}

impl Learner {
    /// Before the first stage, for `samples` whose labels are below `labels`.
    pub fn new(samples: &Batch, labels: usize, options: LearnOptions) -> Self {
        let positives = transposed(samples.labels.iter(), labels, samples.labels.items().len());
        let frequencies = positives.iter().map(|samples| samples.len() as u32).collect();
        let features = samples.features.dim();
        let (counts, neighbours, linear, texts) = (None, None, None, None);
        let options = LearnOptions { parts: Present { texts: false, ..options.parts }, ..options };
        let classifier = Classifier {
            features,
            frequencies,
            counts,
            neighbours,
            linear,
            texts,
            network: None,
            mixture: Mixture::default(),
            shares: [0.0; 5],
            searched: options.searched(&samples.labels) as u64,
        };
        Self {
            stages: options.stages(labels),
            done: 0,
            positives,
            negatives: Ragged::new(),
            held_out: options.hold_out(samples.len()),
            trial: SparseLinear::new(features),
            classifier,
            clock: Clock::new(options.seconds),
            loss: f64::NAN,
            costs: PartCosts::default(),
            options,
        }
    }

    /// With the texts of labels, before the first stage: a vector for each label, which may be empty.
    ///
    /// # Panics
    ///
    /// If a stage is done.
    #[must_use]
    #[track_caller]
    pub fn with_texts(mut self, texts: &SparseBatch) -> Self {
        assert_eq!(self.done, 0, "stages were done without texts");
        let (start, memory) = (Instant::now(), TextMemory::new(texts));
        self.options.parts.texts = !memory.is_empty();
        self.classifier.texts = Some(memory).filter(|memory| !memory.is_empty());
        self.costs.texts += of_pairs(0, start.elapsed());
        self
    }

    /// With a network that was trained on [`others`](Self::others) of the samples, before the mixture; or with the one that the mixture kept,
    /// after it.
    ///
    /// # Panics
    ///
    /// If the options have none.
    #[track_caller]
    pub fn add_network(&mut self, network: NetworkPart) {
        assert!(self.options.parts.network, "the options have no network");
        self.classifier.network = Some(network);
    }

    /// What a checkpoint keeps of it.
    pub fn tensors(&self) -> Vec<Tensor<'_>> {
        let mut tensors = self.classifier.tensors();
        if self.trial.labels() > 0 {
            tensors.extend(self.trial.tensors(TRIAL));
        }
        tensors.extend(self.clock.tensors());
        tensors
    }

    /// Takes up what [`tensors`](Self::tensors) gave after `done` stages on the same samples. Negatives are found again.
    ///
    /// # Errors
    ///
    /// A message with the tensor that is missing or does not fit.
    pub fn restore(&mut self, samples: &Batch, tensors: &[Tensor], done: usize, level: Level) -> Result<(), String> {
        if done > self.stages.len() {
            return Err(format!("{done} stages of {}", self.stages.len()));
        }
        let (options, labels) = (&self.options, self.classifier.frequencies.len());
        let sizes = (self.classifier.features, labels);
        let of = (&options.counts, options.neighbours);
        let classifier = Classifier::from_tensors(tensors, sizes, of)?;
        self.trial = match Saved(tensors).has(&format!("{TRIAL}.offsets")) {
            true => SparseLinear::from_tensors(tensors, TRIAL, classifier.features)?,
            false => SparseLinear::new(classifier.features),
        };
        self.clock.restore(tensors)?;
        let gave_up = self.clock.gave_up();
        self.options.parts.linear &= !gave_up;
        let (before, left) = self.stages.split_at(done);
        let last = |end: fn(&Stage) -> Option<usize>| before.iter().filter_map(end).next_back().unwrap_or(0);
        let tried = last(|stage| match stage {
            Stage::Trial(labels) => Some(labels.end),
            Stage::Mixture => Some(0),
            _ => None,
        });
        let tried = if gave_up { 0 } else { tried };
        let trained = last(|stage| if let Stage::Linear(labels) = stage { Some(labels.end) } else { None });
        let linear = classifier.linear.as_ref();
        for (name, rows, want) in [(TRIAL, Some(&self.trial), tried), ("linear", linear, trained)] {
            if let Some(rows) = rows.filter(|rows| rows.labels() != want) {
                return Err(format!("{name}: {} labels after {done} stages, not {want}", rows.labels()));
            }
        }
        if left.contains(&Stage::Mixture) && classifier.texts.is_some() != self.options.parts.texts {
            return Err("texts: there were none before, or there are none now".to_owned());
        }
        let found = before.contains(&Stage::Negatives);
        // Unless the mixture has dropped the linear rows, all further stages train some.
        let needed = !gave_up && (classifier.linear.is_some() || left.contains(&Stage::Mixture));
        if found && needed && !left.is_empty() {
            // By the memories of the first stage.
            let both = Present::ALL;
            self.remember(&self.others(samples), both);
            (self.negatives, _) = self.mistaken(samples, level);
        }
        self.costs = PartCosts::default();
        self.classifier = classifier;
        self.done = done;
        Ok(())
    }

    /// Stages done, and all there are.
    pub fn progress(&self) -> (usize, usize) {
        (self.done, self.stages.len())
    }

    /// The stage that is next.
    pub fn next_stage(&self) -> Option<&Stage> {
        self.stages.get(self.done)
    }

    /// Whether a stage like that is done.
    pub fn has_done(&self, like: impl Fn(&Stage) -> bool) -> bool {
        self.stages[..self.done].iter().any(like)
    }

    /// Does the next stage, and tells which it was; nothing after the last one. `samples` are always those that it was made for.
    ///
    /// # Panics
    ///
    /// If they are of another number or length.
    #[track_caller]
    pub fn step(&mut self, samples: &Batch, level: Level) -> Option<Stage> {
        assert_eq!(samples.len(), self.held_out.len(), "other samples than before");
        let stage = self.next_stage()?.clone();
        let start = Instant::now();
        self.do_stage(&stage, samples, level);
        self.clock.spend(start.elapsed().as_secs_f64());
        self.done += 1;
        Some(stage)
    }

    fn do_stage(&mut self, stage: &Stage, samples: &Batch, level: Level) {
        let (positives, linear, start) = (&self.positives, &self.options.linear, Instant::now());
        match stage {
            Stage::Negatives | Stage::Trial(_) if self.clock.gave_up() => {}
            Stage::Network(..) => {}
            Stage::Memories => {
                // Negatives are what both memories name, even if one of them gets no weight later.
                let all = Present::ALL;
                let parts = if self.options.parts.linear { all } else { self.options.parts };
                self.remember(&self.others(samples), parts);
            }
            Stage::Negatives => {
                // Rows are trained twice, which takes about as long as the search.
                let expected = || 2.0 * self.seconds_of_search(samples, level);
                if self.clock.limits() && !self.clock.allows(expected()) && self.give_up() {
                    return;
                }
                let pairs;
                (self.negatives, pairs) = self.mistaken(samples, level);
                self.costs.linear += of_pairs(pairs, start.elapsed());
            }
            Stage::Trial(labels) => {
                let held_out = Some(self.held_out.as_slice());
                let pairs = self.trial.train(samples, positives, &self.negatives, labels.clone(), linear, held_out);
                self.costs.linear += of_pairs(pairs, start.elapsed());
                let all = self.classifier.frequencies.len() as f64;
                let of_label = start.elapsed().as_secs_f64() / labels.len().max(1) as f64;
                // The last training has more samples, and the mixture takes its time.
                if !self.clock.allows(of_label * (all - labels.end as f64 + 1.3 * all)) {
                    self.give_up();
                }
            }
            Stage::Mixture => self.mix(samples, level),
            Stage::Linear(labels) => {
                if let Some(rows) = &mut self.classifier.linear {
                    let pairs = rows.train(samples, positives, &self.negatives, labels.clone(), linear, None);
                    self.costs.linear += of_pairs(pairs, start.elapsed());
                }
            }
            Stage::Pruning => self.classifier.prune(self.options.bytes, &samples.features, self.options.seed),
        }
    }

    /// Whether linear rows were given up, as there was not the time for them.
    pub fn gave_up(&self) -> bool {
        self.clock.gave_up()
    }

    /// Goes on without linear rows, if there is another part.
    fn give_up(&mut self) -> bool {
        let parts = self.options.parts;
        if parts.counts || parts.neighbours {
            self.options.parts.linear = false;
            (self.trial, self.negatives) = (SparseLinear::new(self.classifier.features), Ragged::new());
            self.clock.give_up();
        }
        self.clock.gave_up()
    }

    /// The mean cross-entropy of the samples that the mixture was fitted to, in nats; NaN before.
    pub fn loss(&self) -> f64 {
        self.loss
    }

    /// What the stages have cost since this was asked last.
    pub fn take_costs(&mut self) -> PartCosts {
        std::mem::take(&mut self.costs)
    }

    /// What has been built so far: all of it after the last stage.
    pub fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    /// The same, owned.
    pub fn into_classifier(self) -> Classifier {
        self.classifier
    }

    /// Fits the mixture to the samples that are held out, and drops parts that do not help.
    fn mix(&mut self, samples: &Batch, level: Level) {
        let (start, meter) = (Instant::now(), Meter::default());
        let held_out: Vec<usize> = (0..samples.len()).filter(|&sample| self.held_out[sample]).collect();
        let classifier = &self.classifier;
        let parts = Present { network: classifier.network.is_some(), ..self.options.parts };
        let trial = parts.linear.then_some(&self.trial);
        // As if those held out were new: a label is as frequent as it is without them.
        let frequency =
            |samples: &[u32]| samples.iter().filter(|&&sample| !self.held_out[sample as usize]).count() as u32;
        let frequencies: Vec<u32> = self.positives.iter().map(frequency).collect();
        // Texts make much of what only such samples tell.
        let texts = classifier.texts.as_ref();
        let hidden = texts.map(|texts| hidden(&self.positives, &frequencies, texts, self.options.seed));
        let new = texts.map(|_| as_if_new(&samples.features, &self.held_out, &held_out));
        let examples: Vec<Option<Example>> = (0..held_out.len())
            .into_par_iter()
            .map_init(
                || classifier.lookup(level),
                |lookup, at| {
                    let sample = held_out[at];
                    let x = new.as_ref().map_or_else(|| samples.features.entries(sample), |new| new.entries(at));
                    let mut candidates = classifier.candidates(x, None, trial, lookup);
                    if let Some(hidden) = &hidden {
                        candidates.retain(|candidate| !hidden[candidate.label as usize]);
                    }
                    meter.add(lookup.take_pairs());
                    Example::new(&candidates, samples.labels.row(sample), &frequencies, parts)
                },
            )
            .collect();
        let examples: Vec<Example> = examples.into_iter().flatten().collect();
        let chosen = chosen(&examples, parts, level);
        // Labels without a sample have nothing else, and are there to be found.
        let texts_stay = texts.is_some_and(|texts| texts.describes_unseen(&self.positives));
        let used = Present { texts: chosen.texts || texts_stay, ..chosen };
        (self.classifier.mixture, self.loss) = shaped(&examples, used, level);
        self.classifier.shares = self.classifier.mixture.shares(&examples);
        self.costs.mixture += of_pairs(meter.total(), start.elapsed());
        self.trial = SparseLinear::new(self.classifier.features);
        if !used.linear {
            self.negatives = Ragged::new();
        }
        self.classifier.linear = used.linear.then(|| SparseLinear::new(self.classifier.features));
        self.classifier.texts = self.classifier.texts.take().filter(|_| used.texts);
        self.classifier.network = self.classifier.network.take().filter(|_| used.network);
        self.remember(samples, Present { linear: false, ..used });
    }
}
