//! The configuration of a language model's run.

use std::path::Path;

use serde::{Deserialize, Serialize};

pub mod feed_forward;
pub mod head;
pub mod memory;
pub mod model;
pub mod ngram;
pub mod presets;
mod rows;

pub use feed_forward::FeedForwardOptions;
pub use head::Head;
pub use memory::Memory;
pub use model::{Model, PRESETS};
pub use ngram::Ngram;
pub use presets::{MEMORY_PRESETS, Parts};

use super::check::{counts, decay, within, wrong};
use super::{Optim, OptimizerName, RunConfig, Schedule, load};
use crate::error::{Error, Result};

/// Most tokens of a step, and most sequences that are computed together.
const MOST: usize = 1 << 24;

/// Everything that decides what a language model's run computes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lm {
    /// The trunk.
    pub model: Model,
    /// Which neurons a token computes.
    pub feed_forward: FeedForwardOptions,
    /// Tables of n-grams.
    pub ngram: Ngram,
    /// Keys and values.
    pub memory: Memory,
    /// How the output layer is trained.
    pub head: Head,
    /// How weights move: AdamW, unless said otherwise.
    pub optim: Optim,
    /// How long, in which steps, and what is saved.
    pub train: Train,
    /// What a sequence is.
    pub data: Data,
}

/// `[train]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Train {
    /// Steps of the run; 0 means as many as `tokens` take.
    pub steps: u64,
    /// Tokens that the run trains on, where `steps` is 0; 0 means one pass over the training file.
    pub tokens: u64,
    /// Tokens of a step: a multiple of the sequences' length.
    pub batch_tokens: usize,
    /// Sequences that go through the network together; the gradients of a step's are added up. 0 means about 4096 tokens.
    pub micro_batch: usize,
    /// Steps between checkpoints, 0 for one at the end only.
    pub save_every: u64,
    /// Newest checkpoints that are kept.
    pub keep: usize,
    /// Most bytes of a checkpoint that is copied in memory and written while training goes on. A larger one is written from where
    /// the tensors are, and training waits; 0 makes all of them wait.
    pub snapshot_bytes: u64,
    /// Steps between evaluations on the validation file, 0 for one at the end only. Before each, rows that sleep (`adam`) are brought
    /// up to date, which enters the last bits of weights.
    pub eval_every: u64,
    /// Steps between lines of the metrics log.
    pub log_every: u64,
    /// Everything random follows from it.
    pub seed: u64,
    /// What the sample begins with that is generated at each evaluation.
    pub sample: String,
    /// Tokens of that sample, 0 for none.
    pub sample_tokens: usize,
}

impl Default for Train {
    fn default() -> Self {
        Self {
            steps: 0,
            tokens: 0,
            batch_tokens: 16_384,
            micro_batch: 0,
            save_every: 500,
            keep: 2,
            snapshot_bytes: super::SNAPSHOT_BYTES,
            eval_every: 500,
            log_every: 10,
            seed: 1,
            sample: String::new(),
            sample_tokens: 64,
        }
    }
}

/// `[data]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// Tokens of the sequences that are trained and evaluated on; 0 means `model.context`.
    pub context: usize,
}

impl Default for Lm {
    fn default() -> Self {
        let optim = Optim {
            name: OptimizerName::AdamDense,
            lr: 2e-3,
            final_lr: 2e-4,
            schedule: Schedule::Cosine,
            warmup_steps: 100,
            weight_decay: 0.1,
            clip: 1.0,
            beta2: 0.95,
            ..Optim::default()
        };
        let Parts { model, feed_forward, ngram, memory, head } = Parts::default();
        Self { model, feed_forward, ngram, memory, head, optim, train: Train::default(), data: Data::default() }
    }
}

impl Lm {
    /// The run called `name` (see [`Parts::preset`]), with a learning rate for its width.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with the names there are, if `name` is none of them.
    ///
    /// ```
    /// let small = hotrow::config::lm::Lm::preset("small")?;
    /// assert_eq!((small.model.width, small.optim.lr), (384, 0.002));
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn preset(name: &str) -> Result<Self> {
        let Parts { model, feed_forward, ngram, memory, head } = Parts::preset(name)?;
        // Wider networks take smaller steps (Kaplan et al. 2020, appendix D.6); a few hundred steps need larger ones.
        let (lr, batch_tokens) = match name {
            "tiny" => (4e-3, 4_096),
            "small" => (2e-3, 16_384),
            "gpt2-124m" => (6e-4, 65_536),
            _ => (1.5e-3, 32_768),
        };
        let (defaults, train) = (Self::default(), Train { batch_tokens, ..Train::default() });
        let optim = Optim { lr, final_lr: 0.1 * lr, ..defaults.optim };
        Ok(Self { model, feed_forward, ngram, memory, head, optim, train, data: defaults.data })
    }

    /// What the network is made of.
    ///
    /// ```
    /// assert_eq!(hotrow::config::lm::Lm::default().parts().model.width, 384);
    /// ```
    pub fn parts(&self) -> Parts {
        let Self { model, feed_forward, ngram, memory, head, .. } = self.clone();
        Parts { model, feed_forward, ngram, memory, head }
    }

    /// The preset (or the defaults), changed by `file`, then by each of `sets`, and checked: as
    /// [`Config::load`](super::Config::load).
    ///
    /// ```
    /// use hotrow::config::lm::Lm;
    /// let lm = Lm::load(Some("tiny"), None, &["train.steps=50".into()])?;
    /// assert_eq!((lm.model.width, lm.train.steps), (128, 50));
    /// let error = Lm::load(None, None, &["train.step=50".into()]).unwrap_err();
    /// assert_eq!(error.to_string(), "train.step: no such key; did you mean train.steps?");
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Config::load`](super::Config::load).
    pub fn load(preset: Option<&str>, file: Option<&Path>, sets: &[String]) -> Result<Self> {
        load(preset.map_or_else(|| Ok(Self::default()), Self::preset)?, file, sets)
    }

    /// Every key with its value, as a file that [`load`](Self::load) reads to an equal configuration.
    ///
    /// ```
    /// use hotrow::config::lm::Lm;
    /// assert!(Lm::default().to_toml().contains("[optim]\nname = \"adam-dense\"\n"));
    /// ```
    pub fn to_toml(&self) -> String {
        super::to_toml(self)
    }

    /// Tokens of a sequence.
    ///
    /// ```
    /// assert_eq!(hotrow::config::lm::Lm::default().context(), 256);
    /// ```
    pub fn context(&self) -> usize {
        if self.data.context == 0 { self.model.context } else { self.data.context }
    }

    /// Sequences of a step.
    ///
    /// ```
    /// assert_eq!(hotrow::config::lm::Lm::default().sequences(), 64);
    /// ```
    pub fn sequences(&self) -> usize {
        self.train.batch_tokens / self.context()
    }

    /// Sequences that go through the network together.
    ///
    /// ```
    /// assert_eq!(hotrow::config::lm::Lm::default().micro_batch(), 16);
    /// ```
    pub fn micro_batch(&self) -> usize {
        let wanted = if self.train.micro_batch == 0 { 4096 / self.context() } else { self.train.micro_batch };
        wanted.clamp(1, self.sequences())
    }

    /// Steps of a run on a file with `windows` sequences.
    ///
    /// ```
    /// let mut lm = hotrow::config::lm::Lm::default();
    /// assert_eq!(lm.steps(6400), 100);
    /// lm.train.tokens = 5 * 16384 + 1;
    /// assert_eq!(lm.steps(6400), 6);
    /// ```
    pub fn steps(&self, windows: usize) -> u64 {
        match (self.train.steps, self.train.tokens) {
            (0, 0) => windows.div_ceil(self.sequences()) as u64,
            (0, tokens) => tokens.div_ceil((self.sequences() * self.context()) as u64),
            (steps, _) => steps,
        }
    }
}

impl RunConfig for Lm {
    const TASK: &'static str = "train lm";

    fn check(&self) -> Result<()> {
        self.parts().check()?;
        self.optim.check()?;
        for (section, lr_factor, weight_decay) in [
            ("ngram", self.ngram.lr_factor, self.ngram.weight_decay),
            ("memory", self.memory.lr_factor, self.memory.weight_decay),
        ] {
            decay(section, lr_factor * self.optim.lr, weight_decay)?;
        }
        let Train { steps, tokens, batch_tokens, micro_batch, save_every, keep, eval_every, log_every, seed, .. } =
            self.train;
        within("data.context", self.data.context, 0, self.model.context)?;
        let context = self.context();
        for (key, value, least) in [
            ("train.steps", steps, 0),
            ("train.tokens", tokens, 0),
            ("train.save_every", save_every, 0),
            ("train.snapshot_bytes", self.train.snapshot_bytes, 0),
            ("train.eval_every", eval_every, 0),
            ("train.log_every", log_every, 1),
            ("train.seed", seed, 0),
        ] {
            counts(key, value, least)?;
        }
        if steps > 0 && tokens > 0 {
            return Err(wrong("train.tokens", tokens, "given beside train.steps: one of them has to be 0"));
        }
        within("train.keep", keep, 1, MOST)?;
        within("train.micro_batch", micro_batch, 0, MOST)?;
        within("train.sample_tokens", self.train.sample_tokens, 0, MOST)?;
        within("train.batch_tokens", batch_tokens, context, MOST)?;
        if !batch_tokens.is_multiple_of(context) {
            let limit = format_args!("no multiple of the sequences' length ({context})");
            return Err(wrong("train.batch_tokens", batch_tokens, limit));
        }
        let (touched, most) = (self.parts().touched(), u32::MAX);
        if batch_tokens * touched > most as usize {
            let limit =
                format_args!("too many: tokens read {touched} rows of a table each, and a step may read {most}");
            return Err(wrong("train.batch_tokens", batch_tokens, limit));
        }
        Ok(())
    }

    fn check_resumed(&self, new: &Self) -> Result<()> {
        // To look more often changes nothing.
        let head = |lm: &Self| Head { inspect_every: 0, ..lm.head.clone() };
        for (key, changed) in [
            ("model", self.model != new.model),
            ("feed_forward", self.feed_forward != new.feed_forward),
            ("ngram", self.ngram != new.ngram),
            ("memory", self.memory != new.memory),
            ("head", head(self) != head(new)),
            ("data", self.data != new.data),
            ("train.seed", self.train.seed != new.train.seed),
            ("train.batch_tokens", self.train.batch_tokens != new.train.batch_tokens),
            ("optim.name", self.optim.name != new.optim.name),
            ("optim.eight_bit", self.optim.eight_bit != new.optim.eight_bit),
        ] {
            if changed {
                return Err(Error::config(key, "cannot change when a run is resumed"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(sets: &[&str]) -> String {
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        let error = Lm::load(None, None, &sets).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    }

    #[test]
    fn defaults_and_presets_are_allowed_and_read_back_the_same() {
        let presets = PRESETS.into_iter().chain(MEMORY_PRESETS);
        for preset in [None].into_iter().chain(presets.map(Some)) {
            let lm = Lm::load(preset, None, &[]).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("run.toml");
            std::fs::write(&path, lm.to_toml()).unwrap();
            assert_eq!(Lm::load(None, Some(&path), &[]).unwrap(), lm);
        }
        assert!(Lm::load(Some("huge"), None, &[]).unwrap_err().to_string().contains("gpt2-124m"));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_key_value_and_limit() {
        for (sets, want) in [
            (&["data.context=257"][..], "data.context: 257 is not at most 256"),
            (&["train.batch_tokens=1000"], "train.batch_tokens: 1000 is no multiple of the sequences' length (256)"),
            (&["train.batch_tokens=255"], "train.batch_tokens: 255 is not at least 256"),
            (
                &["train.batch_tokens=8388608", "feed_forward.kind=sampled", "feed_forward.active=512"],
                "train.batch_tokens: 8388608 is too many: tokens read 512 rows of a table each, and a step may read 4294967295",
            ),
            (&["train.steps=5", "train.tokens=5"], "train.tokens: 5 is given beside train.steps"),
            (&["train.log_every=0"], "train.log_every: 0 is not at least 1"),
            (&["optim.weight_decay=500"], "optim.weight_decay: 500 is not below 1 / 0.002, the largest"),
            (&["ngram.weight_decay=200"], "ngram.weight_decay: 200 is not below 1 / 0.02"),
            (&["memory.weight_decay=300"], "memory.weight_decay: 300 is not below 1 / 0.004"),
            (&["optim.beta2=0"], "optim.beta2: 0 is not above 0"),
            (&["optim.name=adam", "optim.beta2=0.8"], "optim.beta2: 0.8 is not above the square of optim.beta1 (0.9)"),
            (&["optim.lr=0"], "optim.lr: 0 is not above 0"),
            (&["sparse.index=all"], "sparse.index: no such section"),
        ] {
            assert!(message(sets).starts_with(want), "{}", message(sets));
        }
    }

    #[test]
    fn a_resumed_run_may_go_on_longer_but_not_otherwise() {
        let (old, mut new) = (Lm::default(), Lm::default());
        new.train.steps += 5;
        new.optim.lr *= 0.5;
        assert!(old.check_resumed(&new).is_ok());
        new.head.inspect_every = 1;
        assert!(old.check_resumed(&new).is_ok());
        new.head.hot += 1;
        assert!(old.check_resumed(&new).unwrap_err().to_string().starts_with("head: cannot change"));
        new = old.clone();
        new.model.layers += 1;
        assert!(old.check_resumed(&new).unwrap_err().to_string().starts_with("model: cannot change"));
    }

    #[test]
    fn a_step_is_cut_into_micro_batches() {
        let mut lm = Lm::default();
        (lm.train.batch_tokens, lm.train.micro_batch) = (1024, 3);
        assert_eq!((lm.sequences(), lm.micro_batch()), (4, 3));
        lm.train.micro_batch = 9;
        assert_eq!(lm.micro_batch(), 4);
        (lm.data.context, lm.train.micro_batch) = (128, 0);
        assert_eq!((lm.context(), lm.sequences(), lm.micro_batch()), (128, 8, 8));
    }
}
