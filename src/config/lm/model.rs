//! `[model]` of a language model: the dense trunk.

use serde::{Deserialize, Serialize};

pub use crate::config::Precision;
use crate::config::check::{number, within, wrong};
use crate::error::{Error, Result};

/// The function between the two products of a feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `max(x, 0)^2` (So et al. 2021, Primer).
    ReluSquared,
    /// `silu(gate) * x`, with a third product for the gate (Shazeer 2020).
    Swiglu,
}

/// `[model]`
///
/// ```
/// use hotrow::config::lm::Model;
/// let model = Model { width: 100, heads: 3, ..Model::default() };
/// assert_eq!(model.check().unwrap_err().to_string(), "model.heads: 3 is no divisor of model.width (100)");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// Tokens that the model knows; 0 means as many as the tokenizer has.
    pub vocabulary: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Blocks of attention and feed-forward.
    pub layers: usize,
    /// Attention heads of `width / heads` numbers, which must be even.
    pub heads: usize,
    /// Most tokens of a sequence.
    pub context: usize,
    /// Inner width of feed-forward layers; 0 means `4 width` (ReLU squared), or `8 / 3 width` rounded up to a multiple of 64
    /// (SwiGLU), which has as many weights.
    pub feed_forward: usize,
    /// The function of feed-forward layers.
    pub activation: Activation,
    /// Most tokens, itself included, that a token looks back on; 0 for all.
    pub window: usize,
    /// Queries and keys of each head are normalised to a length that is learned.
    pub qk_norm: bool,
    /// Rotary embedding: the slowest pair of numbers turns by nearly `1 / rope_base` a position.
    pub rope_base: f32,
    /// The output layer is the token table.
    pub tied: bool,
    /// What factors of products are rounded to.
    pub precision: Precision,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            vocabulary: 0,
            width: 384,
            layers: 6,
            heads: 6,
            context: 256,
            feed_forward: 0,
            activation: Activation::ReluSquared,
            window: 0,
            qk_norm: true,
            rope_base: 10_000.0,
            tied: true,
            precision: Precision::Bf16,
        }
    }
}

/// Names of [`Model::preset`].
pub const PRESETS: [&str; 4] = ["tiny", "small", "base", "gpt2-124m"];

impl Model {
    /// The trunk called `name`: `tiny` learns something in a minute, `small` has 10.6 million weights beside its token table,
    /// `base` 25.2, `gpt2-124m` 85.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with the names there are, if `name` is none of them.
    ///
    /// ```
    /// assert_eq!(hotrow::config::lm::Model::preset("base").unwrap().width, 512);
    /// ```
    pub fn preset(name: &str) -> Result<Self> {
        let shape = |width, layers, heads, context| Self { width, layers, heads, context, ..Self::default() };
        match name {
            "tiny" => Ok(shape(128, 4, 4, 128)),
            "small" => Ok(shape(384, 6, 6, 256)),
            "base" => Ok(shape(512, 8, 8, 512)),
            "gpt2-124m" => Ok(shape(768, 12, 12, 1024)),
            _ => Err(Error::config("preset", format!("{name} is none of {}", PRESETS.join(", ")))),
        }
    }

    /// Inner width of feed-forward layers.
    ///
    /// ```
    /// assert_eq!(hotrow::config::lm::Model::preset("base").unwrap().inner(), 2048);
    /// ```
    pub fn inner(&self) -> usize {
        match (self.feed_forward, self.activation) {
            (0, Activation::ReluSquared) => 4 * self.width,
            (0, Activation::Swiglu) => (8 * self.width).div_ceil(3).next_multiple_of(64),
            (inner, _) => inner,
        }
    }

    /// Numbers of a head.
    ///
    /// ```
    /// assert_eq!(hotrow::config::lm::Model::preset("base").unwrap().head_width(), 64);
    /// ```
    pub fn head_width(&self) -> usize {
        self.width / self.heads
    }

    /// Whether every value is in its range and no two contradict each other.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with the first key that cannot be, its value and the limit.
    pub fn check(&self) -> Result<()> {
        within("model.vocabulary", self.vocabulary, 0, 1 << 31)?;
        within("model.width", self.width, 2, 1 << 16)?;
        within("model.layers", self.layers, 1, 1 << 10)?;
        within("model.heads", self.heads, 1, 1 << 10)?;
        within("model.context", self.context, 1, 1 << 20)?;
        within("model.feed_forward", self.feed_forward, 0, 1 << 20)?;
        within("model.window", self.window, 0, 1 << 20)?;
        number("model.rope_base", self.rope_base, self.rope_base >= 1.0, "not at least 1")?;
        if !self.width.is_multiple_of(self.heads) {
            return Err(wrong("model.heads", self.heads, format_args!("no divisor of model.width ({})", self.width)));
        }
        if !self.head_width().is_multiple_of(2) {
            let limit = format_args!("too many: heads of {} numbers do not split into pairs", self.head_width());
            return Err(wrong("model.heads", self.heads, limit));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid_and_have_the_weights_they_are_named_for() {
        for name in PRESETS {
            Model::preset(name).unwrap().check().unwrap();
        }
        let matrices = |name| {
            let model = Model::preset(name).unwrap();
            model.layers * model.width * (4 * model.width + 2 * model.inner())
        };
        assert_eq!([matrices("small"), matrices("base")], [10_616_832, 25_165_824]);
        assert_eq!(matrices("gpt2-124m") + 50_257 * 768, 123_532_032);
        assert!(Model::preset("huge").unwrap_err().to_string().contains("tiny, small"));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let wrong = |change: fn(&mut Model)| {
            let mut model = Model::default();
            change(&mut model);
            model.check().unwrap_err().to_string()
        };
        assert!(wrong(|model| model.heads = 0).starts_with("model.heads: 0"));
        assert!(wrong(|model| (model.width, model.heads) = (9, 3)).contains("do not split into pairs"));
        assert!(wrong(|model| model.rope_base = f32::NAN).starts_with("model.rope_base"));
        assert!(wrong(|model| model.context = 0).starts_with("model.context: 0"));
    }

    #[test]
    fn swiglu_has_about_as_many_weights() {
        let model = Model { activation: Activation::Swiglu, width: 384, ..Model::default() };
        assert_eq!(model.inner(), 1024);
    }
}
