//! A run that builds memories and linear rows, and a network beside them if one is named: each stage is a step.

use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ask_parts::{LEAST, NoNetwork, PARTS, bytes_of_parts, chosen, evaluate, learn_options, summary_of};
use super::beside::{Beside, network_of};
use super::known::{self, Digests};
use super::label_counts::{LABEL_COUNTS, LabelCounts};
use super::parts_estimate::check_memory;
use super::start::{note_left_out, read_sets};
use super::trainer::{Shape, shape};
use super::{KS, Scored, VOCABULARY, left_out};
use crate::checkpoint::{Contents, Loaded, OwnedTensor, TrainerState};
use crate::config::{Config, Data, Model, PartName, RunConfig, Weighing};
use crate::data::{Batch, Dataset, Datasets, LabelTexts, Samples};
use crate::error::{Error, Result};
use crate::flops::Cost;
use crate::kernels::Level;
use crate::layer::Workspace;
use crate::metrics::Inverse;
use crate::parts::{Kept, Learner, PartCosts, Stage};
use crate::run::{Flops, MetricsLog, Observer, Report, Summary};
use crate::sparse::SparseBatch;
use crate::tensor::Tensor;
use crate::train::network::{Plan, Schedule};
use crate::train::run::{Evaluated, Task, View};
use crate::train::start::{FromFiles, Inputs, Options, check_steps};
use crate::train::state::MODEL;
use crate::train::totals::{Counts, Sums};

/// The configuration of a run that is not of a network alone: `model.parts` names memories, linear rows or texts. Its defaults of `[data]` are for
/// them: of text words and pairs of words, weighed by how rare they are; and samples of length 1.
///
/// ```
/// use hotrow::train::xmc::Mixed;
/// let Mixed(config) = Mixed::load(None, &["model.parts=auto".into()])?;
/// assert!(config.data.normalize && !config.model.is_network());
/// assert!(Mixed::load(None, &["model.parts=network".into()]).is_err());
/// assert!(Mixed::load(None, &["model.parts=[\"counts\", \"network\"]".into(), "optim.lr=0.1".into()]).is_ok());
/// # Ok::<(), hotrow::error::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mixed(pub Config);

impl Default for Mixed {
    fn default() -> Self {
        let data = Data { hash_size: 0, word_ngrams: 2, tf_idf: Weighing::Auto, normalize: true, ..Data::default() };
        Self(Config { model: Model { parts: vec![PartName::Auto], ..Model::default() }, data, ..Config::default() })
    }
}

impl Mixed {
    /// The defaults, changed by `file`, then by each of `sets`, and checked: see [`Config::load`].
    ///
    /// # Errors
    ///
    /// As [`Config::load`], or if `model.parts` is a network.
    pub fn load(file: Option<&Path>, sets: &[String]) -> Result<Self> {
        crate::config::load(Self::default(), file, sets)
    }
}

impl Mixed {
    /// Whether a run of these parts can begin on these sets.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if texts are asked for and there are none, or there are some that are not asked for.
    pub fn check_data(&self, data: &Datasets) -> Result<()> {
        check_texts(&self.0, data)
    }
}

impl RunConfig for Mixed {
    const TASK: &'static str = "train xmc";

    fn check(&self) -> Result<()> {
        self.0.check()?;
        let model = &self.0.model;
        if model.is_network() {
            return Err(Error::config("model.parts", "is a network, where memories and linear rows are meant"));
        }
        let (key, why) = match model.has_network() {
            true => (self.0.key_of_either(), "cannot be set where model.parts has a network and other parts"),
            false => (self.0.key_of_network(), "is for a network, and model.parts names none"),
        };
        key.map_or(Ok(()), |key| Err(Error::config(key, why)))
    }

    fn check_resumed(&self, new: &Self) -> Result<()> {
        self.0.check_resumed(&new.0)
    }
}

/// Parts in a run.
pub struct MixedTask {
    config: Config,
    data: Datasets,
    samples: Batch,
    kept: Kept,
    inverse: Inverse,
    learner: Learner,
    /// Until it is trained.
    network: Option<Beside>,
    /// In the step before.
    diverged: bool,
    files: [(&'static str, Vec<u8>); 2],
    digests: Digests,
    work: Workspace,
    /// What was decided by the data.
    chosen: Value,
    /// The last one.
    stage: Option<&'static str>,
}

/// What steps are counted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    samples: u64,
    parts: PartCosts,
}

impl Counts for Counted {
    fn samples(&self) -> u64 {
        self.samples
    }

    fn add(&mut self, more: Self) {
        self.samples += more.samples;
        self.parts += more.parts;
    }
}

impl FromFiles for Mixed {
    type Data = Datasets;
    type Task = MixedTask;

    fn seed(&self) -> u64 {
        self.0.train.seed
    }

    fn read(
        self,
        run: &Path,
        inputs: &Inputs,
        loaded: Option<&Loaded>,
        options: &Options,
    ) -> Result<(Self, Datasets, u64)> {
        let mut config = self.0;
        config.data.locate_texts();
        let data = read_sets(&config, run, inputs, loaded, options)?;
        check_texts(&config, &data)?;
        let stages = learn_options(&config, values(&data.train)).stages(data.train.labels()).len() as u64;
        if let Some(loaded) = loaded {
            let shape = shape(loaded)?;
            shape.config.check_resumed(&config)?;
            check_steps("model.parts", loaded.state().step, stages)?;
            known::check_resumed(loaded, &shape, run, inputs, &data)?;
        }
        Ok((Self(config), data, stages))
    }

    fn plan(&self, _: &Datasets, stages: u64) -> Plan {
        let train = &self.0.train;
        let save_every = if train.save_every == 0 { SAVE_EVERY } else { train.save_every };
        let train = Schedule {
            steps: stages,
            log_every: 1,
            eval_every: 0,
            save_every,
            keep: train.keep,
            snapshot_bytes: train.snapshot_bytes,
            seed: train.seed,
        };
        Plan { optim: self.0.optim.clone(), train }
    }

    fn task(
        self,
        data: Datasets,
        _: u64,
        loaded: Option<&Loaded>,
        level: Level,
        observer: &mut dyn Observer,
    ) -> Result<MixedTask> {
        note_left_out(&data, observer);
        check_memory(&data.train)?;
        let (mut samples, labels, counts) =
            (Batch::whole(&data.train), data.train.labels(), LabelCounts::count(&data.train));
        let kept = Kept::new(&samples.features, LEAST);
        samples.features = kept.apply(&samples.features);
        let texts = data.label_texts.as_ref().filter(|_| self.0.model.may_use(PartName::Texts));
        let described = texts.map_or(0, LabelTexts::described);
        let (note, chosen) = chosen(&self.0, data.vocabulary.options(), &kept, values(&data.train), described);
        if loaded.is_none() {
            observer.note(&note);
        }
        let texts = texts.map(|texts| kept.part_of(texts.features()));
        let mut options = learn_options(&self.0, values(&data.train));
        let of_texts = texts.as_ref().map_or(0, SparseBatch::nnz);
        options.bytes = bytes_of_parts(&options, (kept.len(), labels), of_texts)?;
        let mut learner = Learner::new(&samples, labels, options);
        if let Some(texts) = texts {
            learner = learner.with_texts(&texts);
        }
        if let Some(loaded) = loaded {
            let (tensors, done) = (loaded.tensors(PARTS)?, loaded.state().step as usize);
            let views: Vec<Tensor> = tensors.iter().map(OwnedTensor::view).collect();
            let restored = learner.restore(&samples, &views, done, level);
            restored.map_err(|message| loaded.refuse(PARTS, message))?;
        }
        let network = network_of(&mut learner, &self.0, &samples, loaded, level)?;
        Ok(MixedTask {
            inverse: counts.inverse(&self.0.train),
            files: [(VOCABULARY, data.vocabulary.to_json()), (LABEL_COUNTS, counts.to_json())],
            digests: Digests::of(&data),
            work: Workspace::new(level),
            stage: None,
            chosen,
            config: self.0,
            samples,
            kept,
            data,
            learner,
            network,
            diverged: false,
        })
    }

    fn write_order(_: &mut MixedTask, _: &Path) -> Result<()> {
        Err(Error::config("model.parts", "is not a network alone, so there is no untrained one to write"))
    }
}

/// An error if texts are asked for and there are none, or there are some that are not asked for.
fn check_texts(config: &Config, data: &Datasets) -> Result<()> {
    let (model, has_file) = (&config.model, config.data.has_text_file());
    // A network names no labels.
    let texts_alone = model.parts.iter().all(|part| matches!(part, PartName::Texts | PartName::Network));
    if texts_alone && data.label_texts.is_none() {
        let message = "has nothing but texts to name labels, and the labels have none: see data.label_texts";
        return Err(Error::config("model.parts", message));
    }
    if has_file && !model.may_use(PartName::Texts) {
        return Err(Error::config("data.label_texts", "names a file, and model.parts has no texts"));
    }
    Ok(())
}

/// Stages between two checkpoints: one once the trial is done, then some in the training of a network and in the last one, and the last.
const SAVE_EVERY: u64 = 10;

/// Values of features.
fn values(train: &Dataset) -> u64 {
    train.summary().feature_entries
}

impl Task for MixedTask {
    type Counts = Counted;
    const NAME: &'static str = "train xmc";
    const LOSS: &'static str = "loss";

    fn view(&self) -> View<'_> {
        let steps = self.learner.progress().0 as u64;
        View { network: &NoNetwork, work: &self.work, steps, seed: self.config.train.seed }
    }

    fn work(&mut self) -> &mut Workspace {
        &mut self.work
    }

    fn settle(&mut self) {}

    fn step(&mut self, log: &mut MetricsLog) -> Result<(f64, Counted)> {
        if self.learner.progress().0 == 0 {
            log.write("chosen", 0, &self.chosen)?;
        }
        let (start, gave_up) = (Instant::now(), self.learner.gave_up());
        let (mut network_loss, mut of_network) = (None, Cost::default());
        if let Some(&Stage::Network(piece, pieces)) = self.learner.next_stage() {
            // None if it was given up.
            if let Some(mut network) = self.network.take() {
                match network.train(piece, pieces) {
                    Ok((loss, cost)) => {
                        (network_loss, of_network) = (loss, cost);
                        match piece + 1 == pieces {
                            true => self.learner.add_network(network.finish()),
                            false => self.network = Some(network),
                        }
                    }
                    Err(Error::Diverged { step, layer, .. }) => {
                        let event = json!({ "part": "network", "diverged": layer, "network_step": step });
                        log.write("gave_up", self.learner.progress().0 as u64 + 1, &event)?;
                        self.diverged = true;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        let Some(stage) = self.learner.step(&self.samples, self.work.level) else {
            return Ok((0.0, Counted::default()));
        };
        let (done, seconds) = (self.learner.progress().0 as u64, start.elapsed().as_secs_f64());
        self.stage = Some(if self.diverged { "the network diverged and is left out" } else { stage.name() });
        self.diverged = false;
        if self.learner.gave_up() && matches!(stage, Stage::Negatives | Stage::Trial(_) | Stage::Linear(_)) {
            self.stage = Some("no time for linear rows");
            if !gave_up {
                log.write(
                    "gave_up",
                    done,
                    &json!({ "part": "linear", "budget_seconds": self.config.train.budget_seconds }),
                )?;
            }
        }
        let weights = self.learner.classifier().mixture.weights.to_vec();
        let mut event = json!({ "stage": stage.name(), "seconds": seconds, "mixture": weights });
        if let Some(loss) = network_loss {
            event["loss"] = json!(loss);
        }
        log.write("stage", done, &event)?;
        // Every stage goes over all samples, and the run over them once. One of them has a loss.
        let (samples, loss) = (self.samples.len() as u64, self.learner.loss());
        let loss = if stage == Stage::Mixture && loss.is_finite() { loss * samples as f64 } else { 0.0 };
        let mut parts = self.learner.take_costs();
        parts.network += of_network;
        Ok((loss, Counted { samples: if done == 1 { samples } else { 0 }, parts }))
    }

    fn report(&self, _: &Sums<Counted>, report: &mut Report, event: &mut Value) {
        report.stage = self.stage;
        event["stage"] = json!(self.stage);
    }

    fn evaluate(&mut self, stop: &dyn Fn() -> bool) -> Result<Option<Evaluated>> {
        let Some(valid) = &self.data.valid else { return Ok(Some(Evaluated::default())) };
        let ranking = evaluate(
            (self.learner.classifier(), &self.kept, Scored::Usual),
            self.work.level,
            valid,
            Some(self.inverse.clone()),
            stop,
        );
        Ok(ranking.map(|ranking| {
            let [p1, p3, p5] = KS.map(|k| 100.0 * ranking.precision(k));
            let note = Some(format!("P@1 {p1:.2}  P@3 {p3:.2}  P@5 {p5:.2}"));
            Evaluated { metrics: ranking.metrics(), note, ..Evaluated::default() }
        }))
    }

    fn contents(&self, mut state: TrainerState, _: &Counted) -> Contents<'_> {
        self.digests.insert(&mut state.counters);
        let classifier = self.learner.classifier();
        let shape = Shape {
            config: self.config.clone(),
            features: self.kept.features(),
            labels: classifier.frequencies.len(),
            total_steps: self.learner.progress().1 as u64,
        };
        let parts = self.learner.tensors().into_iter().chain([self.kept.tensor()]).collect();
        let mut tensors = vec![(PARTS, parts)];
        match (&self.network, &classifier.network) {
            (Some(network), _) if matches!(self.learner.next_stage(), Some(&Stage::Network(1.., _))) => {
                tensors.extend(network.files());
            }
            (_, Some(network)) => tensors.push((MODEL, network.tensors())),
            _ => {}
        }
        Contents {
            tensors,
            others: self.files.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect(),
            ..Contents::new(state, serde_json::to_value(shape).expect("options are JSON"))
        }
    }

    fn summary(&self, total: &Sums<Counted>, summary: Summary) -> Summary {
        let (costs, all) = (&total.counts.parts, total.counts.parts.total());
        let sets = [("train", Some(&self.data.train)), ("valid", self.data.valid.as_ref())];
        Summary {
            epochs: 1,
            left_out: sets.into_iter().filter_map(|(name, set)| Some(left_out(name, set?))).collect(),
            flops: Flops { executed: all.flops, dense_equivalent: 0 },
            bytes: all.bytes,
            ..summary_of(
                self.learner.classifier(),
                [costs.counts, costs.neighbours, costs.linear, costs.texts, costs.network].map(|c| c.seconds),
                summary,
            )
        }
    }
}
