//! `[ngram]` of a language model: tables of hashed n-grams.

use serde::{Deserialize, Serialize};

use super::rows;
use crate::config::check::{within, wrong};
use crate::config::lm::Model;
use crate::config::{Optim, OptimizerName, Storage};
use crate::error::Result;

/// How what was read is added to the residual stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateKind {
    /// With a learned factor for each block.
    Scale,
    /// The same, times a factor between 0 and 2 for each token, which depends on how the stream and what was read agree (Engram
    /// 2026).
    Gate,
}

/// `[ngram]`: rows that are found by hashing the last tokens, and added to the residual stream (Engram; Over-Encoding). Off
/// unless `rows` is set.
///
/// ```
/// use hotrow::config::lm::{Model, Ngram};
/// let ngram = Ngram { rows: 1 << 20, ..Ngram::default() };
/// let model = Model::preset("base")?;
/// ngram.check(&model)?;
/// assert_eq!(ngram.all_rows(), 4 << 20);
/// # Ok::<(), hotrow::error::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ngram {
    /// Rows of each table, of which each order has `heads`; 0 for no n-gram memory.
    pub rows: usize,
    /// Lengths of n-grams. What their rows say is added.
    pub orders: Vec<usize>,
    /// Tables of each order, with a hash of their own and rows of `model.width / heads` numbers, one beside the other: two
    /// n-grams that share all of their rows are then rare.
    pub heads: usize,
    /// Blocks (from 0) before which the rows are added, each with a learned scale; empty for all.
    pub layers: Vec<usize>,
    /// `scale`, or `gate`: each token decides how much it takes. Gates start wide open, as the scale alone would be.
    pub gate: GateKind,
    /// A second hash decides whether a row is added or subtracted: n-grams that share a row disturb each other less.
    pub signs: bool,
    /// How rows are stored.
    pub storage: Storage,
    /// The rule that moves rows.
    pub optimizer: OptimizerName,
    /// Rows move with this multiple of the trunk's learning rate. A row's first step is as long as the learning rate says, whatever
    /// its gradient (Adagrad), and most n-grams are rare. Losses with a sampled head and one seed: `tiny`, 200 000 tokens, 60 of 195
    /// steps warm-up, without tables 6.460, factor 3: 6.415, 6: 6.399, 12: 6.385, 25: 6.393; `small`, 400 000 tokens, 3: 6.099, 12: 6.090.
    pub lr_factor: f32,
    /// Decoupled weight decay of rows.
    pub weight_decay: f32,
    /// Adam's averages of rows take 1 byte each instead of 4.
    pub eight_bit: bool,
}

impl Default for Ngram {
    fn default() -> Self {
        Self {
            rows: 0,
            orders: vec![2, 3],
            heads: 2,
            layers: Vec::new(),
            gate: GateKind::Scale,
            signs: true,
            storage: Storage::Bf16,
            optimizer: OptimizerName::RowwiseAdagrad,
            lr_factor: 12.0,
            weight_decay: 0.0,
            eight_bit: false,
        }
    }
}

impl Ngram {
    /// Whether there is one.
    ///
    /// ```
    /// assert!(!hotrow::config::lm::Ngram::default().is_on());
    /// ```
    pub fn is_on(&self) -> bool {
        self.rows > 0
    }

    /// Rows of all tables together.
    ///
    /// ```
    /// let ngram = hotrow::config::lm::Ngram { rows: 10, heads: 2, ..Default::default() };
    /// assert_eq!(ngram.all_rows(), 40);
    /// ```
    pub fn all_rows(&self) -> usize {
        self.rows * self.heads * self.orders.len()
    }

    /// The blocks of a `model` before which rows are added, increasing.
    ///
    /// ```
    /// use hotrow::config::lm::{Model, Ngram};
    /// assert_eq!(Ngram::default().blocks(&Model::default()), [0, 1, 2, 3, 4, 5]);
    /// ```
    pub fn blocks(&self, model: &Model) -> Vec<usize> {
        if self.layers.is_empty() { (0..model.layers).collect() } else { self.layers.clone() }
    }

    /// The rule that moves rows.
    pub fn rule(&self) -> Optim {
        rows::rule(self.optimizer, self.eight_bit, self.weight_decay)
    }

    /// Whether every value is in its range and fits the `model`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::error::Error::Config) with the first key that cannot be, its value and the limit.
    pub fn check(&self, model: &Model) -> Result<()> {
        within("ngram.rows", self.rows, 0, 1 << 28)?;
        within("ngram.heads", self.heads, 1, 64)?;
        if !model.width.is_multiple_of(self.heads) {
            let limit = format_args!("no divisor of model.width ({})", model.width);
            return Err(wrong("ngram.heads", self.heads, limit));
        }
        if self.orders.is_empty() || !self.orders.is_sorted_by(|a, b| a < b) {
            let limit = "not a list of different, increasing lengths";
            return Err(wrong("ngram.orders", format_args!("{:?}", self.orders), limit));
        }
        self.orders.iter().try_for_each(|&order| within("ngram.orders", order, 1, 64))?;
        if self.rows.checked_mul(self.heads * self.orders.len()).is_none_or(|all| all >= u32::MAX as usize) {
            let limit = format_args!(
                "too many for {} tables: all together have {} at most",
                self.heads * self.orders.len(),
                u32::MAX
            );
            return Err(wrong("ngram.rows", self.rows, limit));
        }
        layers("ngram.layers", &self.layers, model)?;
        rows::check("ngram", self.optimizer, self.eight_bit, self.lr_factor, self.weight_decay)
    }
}

/// Blocks of the model, increasing.
pub(super) fn layers(key: &str, layers: &[usize], model: &Model) -> Result<()> {
    let shown = format_args!("{layers:?}");
    if !layers.is_sorted_by(|a, b| a < b) {
        return Err(wrong(key, shown, "not strictly increasing"));
    }
    match layers.last() {
        Some(last) if *last >= model.layers => {
            Err(wrong(key, last, format_args!("not below model.layers ({})", model.layers)))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let wrong = |change: fn(&mut Ngram)| {
            let mut ngram = Ngram { rows: 100, ..Ngram::default() };
            change(&mut ngram);
            ngram.check(&Model::default()).unwrap_err().to_string()
        };
        assert_eq!(wrong(|ngram| ngram.heads = 5), "ngram.heads: 5 is no divisor of model.width (384)");
        assert!(wrong(|ngram| ngram.orders.clear()).starts_with("ngram.orders: []"));
        assert!(wrong(|ngram| ngram.orders = vec![3, 2]).starts_with("ngram.orders: [3, 2]"));
        assert!(wrong(|ngram| (ngram.rows, ngram.heads) = (1 << 28, 16)).starts_with("ngram.rows: 268435456"));
        assert_eq!(wrong(|ngram| ngram.layers = vec![6]), "ngram.layers: 6 is not below model.layers (6)");
        assert!(wrong(|ngram| ngram.layers = vec![1, 1]).contains("strictly increasing"));
        assert!(wrong(|ngram| ngram.eight_bit = true).starts_with("ngram.eight_bit: true is for adam"));
        assert!(wrong(|ngram| ngram.lr_factor = 0.0).starts_with("ngram.lr_factor"));
        assert!(wrong(|ngram| ngram.weight_decay = f32::NAN).starts_with("ngram.weight_decay"));
    }
}
