//! A network for classification with all that its steps need.

use serde::{Deserialize, Serialize};

use super::estimate::check_network;
use super::sampling::{Sampling, active_rows};
use crate::checkpoint::{Contents, Loaded, TrainerState};
use crate::config::{Config, IndexName};
use crate::error::Result;
use crate::kernels::Level;
use crate::layer::Workspace;
use crate::model::{Activations, Gradients, Mlp};
use crate::module::Module;
use crate::optim::Scope;
use crate::run::Component;
use crate::tensor::Tensor;
use crate::train::run::View;
use crate::train::state::{MODEL, files, fill_state, fill_weights, other_kind, restore_each};
use crate::train::step::Course;

/// What has to be known to make the network that a checkpoint is of: its `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// The configuration of the run.
    pub config: Config,
    /// Length of the feature vectors.
    pub features: usize,
    /// Number of labels.
    pub labels: usize,
    /// Steps of the whole run.
    pub total_steps: u64,
}

/// A network with all that its steps need.
#[derive(Debug)]
pub struct Trainer {
    /// What decides what is computed.
    pub config: Config,
    /// The network.
    pub network: Mlp,
    /// The output layer's index; none where every row is computed.
    pub output: Option<Sampling>,
    /// The same for each hidden layer but the first.
    pub hidden: Vec<Option<Sampling>>,
    /// Counts of what has been done, and memory that is used again.
    pub work: Workspace,
    /// Steps done.
    pub steps: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
    pub(super) activations: Activations,
    pub(super) gradients: Gradients,
    /// Logits of each micro-batch, or of all rows that any sample has.
    pub(super) logits: Vec<Vec<f32>>,
    /// Logits of samples with sets of their own.
    pub(super) entries: Vec<f32>,
}

impl Trainer {
    /// A new network, before its first step.
    ///
    /// # Errors
    ///
    /// If an index cannot be made as the configuration says, or the system refuses the memory.
    ///
    /// ```
    /// use hotrow::{config::Config, kernels::Level, train::xmc::Trainer};
    /// let trainer = Trainer::new(Config::default(), 1000, 5000, 10, Level::detect())?;
    /// assert_eq!(trainer.network.output.rows(), 5000);
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn new(config: Config, features: usize, labels: usize, total_steps: u64, level: Level) -> Result<Self> {
        // Whoever knows the size of the training set has said what follows from it.
        let config = config.resolved(usize::MAX);
        Self::within(&Scope::fresh(&config.optim, config.train.seed, level), config, features, labels, total_steps)
    }

    /// The same for a checkpoint to fill.
    pub(super) fn to_restore(
        config: Config,
        features: usize,
        labels: usize,
        total_steps: u64,
        level: Level,
    ) -> Result<Self> {
        let config = config.resolved(usize::MAX);
        Self::within(&Scope::saved(&config.optim, config.train.seed, level), config, features, labels, total_steps)
    }

    fn within(scope: &Scope, config: Config, features: usize, labels: usize, total_steps: u64) -> Result<Self> {
        let (level, network) = (scope.level(), Mlp::new(scope, &config.model, features, labels)?);
        let (sparse, seed) = (&config.sparse, config.train.seed);
        let active = active_rows(sparse, labels);
        // From half of the rows on, computing all of them costs less than choosing and gathering, and is exact.
        let dense = sparse.index == IndexName::All || 2 * active >= labels;
        let output = match dense {
            true => None,
            false => Some(Sampling::new(sparse, active, seed, labels, network.width(), level)?),
        };
        let sampled = |(i, layer): (usize, &crate::layer::Linear)| {
            if !config.model.sampled_hidden.contains(&(i + 2)) || sparse.index == IndexName::All {
                return Ok(None);
            }
            let active = (sparse.hidden_active * layer.rows() as f32).ceil() as usize;
            Sampling::new(sparse, active.max(1), seed + 1 + i as u64, layer.rows(), layer.cols(), level).map(Some)
        };
        let hidden = network.hidden.iter().enumerate().map(sampled).collect::<Result<_>>()?;
        Ok(Self {
            config,
            network,
            output,
            hidden,
            work: Workspace::new(level),
            steps: 0,
            total_steps,
            activations: Activations::default(),
            gradients: Gradients::default(),
            logits: Vec::new(),
            entries: Vec::new(),
        })
    }

    /// Brings rows that slept through steps up to date, before weights are read as a whole.
    pub fn settle(&mut self) {
        let (config, steps) = (&self.config, self.total_steps);
        course(config, steps).settle(&mut self.network, &self.work, self.steps);
    }

    pub(super) fn view(&self) -> View<'_> {
        View { network: &self.network, work: &self.work, steps: self.steps, seed: self.config.train.seed }
    }

    /// What a checkpoint holds of it. `state` is what the caller wants back.
    pub fn contents(&self, state: TrainerState) -> Contents<'_> {
        let shape = Shape {
            config: self.config.clone(),
            features: self.network.input.weights.rows(),
            labels: self.network.output.rows(),
            total_steps: self.total_steps,
        };
        Contents {
            tensors: self.files(),
            ..Contents::new(state, serde_json::to_value(shape).expect("options are JSON"))
        }
    }

    /// The files of its tensors.
    pub(super) fn files(&self) -> Vec<(&'static str, Vec<Tensor<'_>>)> {
        let indexes = self.samplings().map(|(name, sampling)| (name, sampling.state()));
        files(self.network.weight_tensors(), self.network.state_tensors(), indexes)
    }

    /// The trainer of a checkpoint, as it was when it was saved.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`](crate::error::Error::Checkpoint) if it is of another network than its own `config.json` says, or of another program.
    pub fn load(loaded: &Loaded, level: Level) -> Result<Self> {
        let mut trainer = Self::of_shape(loaded, level)?;
        trainer.restore(loaded)?;
        Ok(trainer)
    }

    /// The trainer of a checkpoint, to be asked and not to go on: the state of its optimiser is left where it is.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn for_inference(loaded: &Loaded, level: Level) -> Result<Self> {
        let mut trainer = Self::of_shape(loaded, level)?;
        fill_weights(loaded, &mut trainer.network)?;
        restore_each(loaded, trainer.samplings_mut(), Sampling::restore)?;
        trainer.steps = loaded.state().step;
        Ok(trainer)
    }

    /// A trainer as the checkpoint's `config.json` says, without its weights.
    fn of_shape(loaded: &Loaded, level: Level) -> Result<Self> {
        let Shape { config, features, labels, total_steps } = shape(loaded)?;
        check_network(&config, features, labels)?;
        Self::to_restore(config, features, labels, total_steps, level)
    }

    /// Takes weights, optimiser state and indexes from a checkpoint of a network of the same shape.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`](crate::error::Error::Checkpoint) if it is of another shape.
    pub fn restore(&mut self, loaded: &Loaded) -> Result<()> {
        self.restore_at(loaded, loaded.state().step)
    }

    /// The same after so many steps of its own.
    pub(super) fn restore_at(&mut self, loaded: &Loaded, steps: u64) -> Result<()> {
        loaded.fill(MODEL, &mut self.network.weight_tensors_mut())?;
        fill_state(loaded, &mut self.network.state_tensors_mut(), steps)?;
        restore_each(loaded, self.samplings_mut(), Sampling::restore)?;
        self.steps = steps;
        Ok(())
    }

    /// Where the memory of the network goes.
    pub(super) fn components(&self) -> Vec<Component> {
        let index = self.samplings().map(|(_, sampling)| sampling.index.statistics().bytes as u64).sum();
        Component::list(&self.network.weight_tensors(), &self.network.state_tensors(), index)
    }

    fn samplings(&self) -> impl Iterator<Item = (String, &Sampling)> {
        let hidden = self.hidden.iter().enumerate().map(|(i, sampling)| (format!("hidden.{}", i + 1), sampling));
        let all = hidden.chain([("output".to_owned(), &self.output)]);
        all.filter_map(|(name, sampling)| Some((name, sampling.as_ref()?)))
    }

    fn samplings_mut(&mut self) -> impl Iterator<Item = (String, &mut Sampling)> {
        let hidden = self.hidden.iter_mut().enumerate().map(|(i, sampling)| (format!("hidden.{}", i + 1), sampling));
        let all = hidden.chain([("output".to_owned(), &mut self.output)]);
        all.filter_map(|(name, sampling)| Some((name, sampling.as_mut()?)))
    }
}

/// What the steps of a run of `steps` steps follow from.
pub(super) fn course(config: &Config, steps: u64) -> Course<'_> {
    Course { optim: &config.optim, steps, seed: config.train.seed }
}

/// What a checkpoint says of the network that it is of.
///
/// # Errors
///
/// [`Error::Checkpoint`](crate::error::Error::Checkpoint) if it says nothing that this program understands.
pub fn shape(loaded: &Loaded) -> Result<Shape> {
    other_kind(loaded, loaded.config().get("task").is_some(), "lm", "xmc")?;
    let wrong = |error| loaded.refuse("config.json", format!("not the options of a network: {error}"));
    let shape: Shape = serde_json::from_value(loaded.config().clone()).map_err(wrong)?;
    shape.config.check().map_err(|error| loaded.refuse("config.json", format!("options that cannot be: {error}")))?;
    Ok(shape)
}
