//! What a configuration can be: ranges, and which options exclude each other.

use std::fmt::Display;

use super::IndexName::{All, Exact, Inverted, Random};
use super::{Config, Data, Format, Model, Optim, OptimizerName, Schedule, Sparse, Train};
use crate::error::{Error, Result};

/// Largest width of a layer, batch, block or set: far above what is of use, far below where products overflow.
const MOST: usize = 1 << 24;

impl Config {
    /// Whether every value is in its range and no two contradict each other.
    ///
    /// ```
    /// let mut config = hotrow::config::Config::default();
    /// config.optim.lr = -1.0;
    /// assert_eq!(config.check().unwrap_err().to_string(), "optim.lr: -1 is not above 0");
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with the first key that cannot be, its value and the limit.
    pub fn check(&self) -> Result<()> {
        let resolved = self.resolved(usize::MAX);
        resolved.model.check()?;
        resolved.sparse.check(resolved.train.batch_size)?;
        resolved.check_sampled()?;
        resolved.optim.check()?;
        resolved.train.check()?;
        resolved.data.check()
    }

    /// Inputs of a hidden layer have no features that could name its neurons.
    fn check_sampled(&self) -> Result<()> {
        match (self.sparse.index, self.model.sampled_hidden.as_slice()) {
            (Inverted, [_, ..]) => {
                Err(wrong("sparse.index", Inverted, "for output layers; model.sampled_hidden names others"))
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn wrong(key: &str, value: impl Display, limit: impl Display) -> Error {
    Error::config(key, format!("{value} is {limit}"))
}

pub(super) fn within(key: &str, value: usize, least: usize, most: usize) -> Result<()> {
    match value {
        _ if value < least => Err(wrong(key, value, format_args!("not at least {least}"))),
        _ if value > most => Err(wrong(key, value, format_args!("not at most {most}"))),
        _ => Ok(()),
    }
}

/// TOML has no larger numbers, so a larger one could not be written out and read again.
pub(super) fn counts(key: &str, value: u64, least: u64) -> Result<()> {
    match value {
        _ if value < least => Err(wrong(key, value, format_args!("not at least {least}"))),
        _ if value > i64::MAX as u64 => Err(wrong(key, value, format_args!("not at most {}", i64::MAX))),
        _ => Ok(()),
    }
}

/// `holds` is false for NaN as comparisons are.
pub(super) fn number(key: &str, value: f32, holds: bool, limit: &str) -> Result<()> {
    if value.is_finite() && holds { Ok(()) } else { Err(wrong(key, value, limit)) }
}

fn positive(key: &str, value: f32) -> Result<()> {
    number(key, value, value > 0.0, "not above 0")
}

fn not_negative(key: &str, value: f32) -> Result<()> {
    number(key, value, value >= 0.0, "not at least 0")
}

/// A step shrinks weights by `lr * weight_decay`; by all of them or more is no decay. The rate is the largest of a run.
pub(super) fn decay(section: &str, lr: f32, weight_decay: f32) -> Result<()> {
    let key = format!("{section}.weight_decay");
    let limit = format!("not below 1 / {lr}, the largest learning rate of the run");
    number(&key, weight_decay, lr * weight_decay < 1.0, &limit)
}

impl Model {
    fn check(&self) -> Result<()> {
        self.check_parts()?;
        if self.hidden.is_empty() {
            return Err(wrong("model.hidden", "[]", "empty: the first width is that of the table's rows"));
        }
        self.hidden.iter().try_for_each(|&width| within("model.hidden", width, 1, MOST))?;
        let sampled = &self.sampled_hidden;
        if !sampled.is_sorted_by(|a, b| a < b) {
            return Err(wrong("model.sampled_hidden", format_args!("{sampled:?}"), "not strictly increasing"));
        }
        match sampled.iter().find(|&&layer| layer < 2 || layer > self.hidden.len()) {
            Some(layer) => Err(wrong(
                "model.sampled_hidden",
                layer,
                format_args!("no hidden layer from the second to the last ({})", self.hidden.len()),
            )),
            None => Ok(()),
        }
    }
}

impl Sparse {
    fn check(&self, batch_size: usize) -> Result<()> {
        within("sparse.active", self.active, 0, u32::MAX as usize)?;
        number("sparse.tail", self.tail, (0.0..=1.0).contains(&self.tail), "not from 0 to 1")?;
        within("sparse.hits", self.hits, 0, MOST)?;
        if self.micro_batch > batch_size {
            return Err(wrong(
                "sparse.micro_batch",
                self.micro_batch,
                format_args!("above train.batch_size ({batch_size})"),
            ));
        }
        self.options().check("sparse")?;
        counts("sparse.rebuild_every", self.rebuild_every, 1)?;
        counts("sparse.rebuild_most", self.rebuild_most, 1)?;
        if self.rebuild_most < self.rebuild_every {
            let limit = format!("below sparse.rebuild_every ({})", self.rebuild_every);
            return Err(wrong("sparse.rebuild_most", self.rebuild_most, limit));
        }
        if self.frozen && matches!(self.index, All | Random | Exact | Inverted) {
            let limit = "for an index that labels can be inserted into; sparse.index names one without";
            return Err(wrong("sparse.frozen", "true", limit));
        }
        let share = self.hidden_active;
        number("sparse.hidden_active", share, share > 0.0 && share <= 1.0, "not above 0 and at most 1")?;
        counts("sparse.inspect_every", self.inspect_every, 0)
    }
}

impl Optim {
    pub(crate) fn check(&self) -> Result<()> {
        positive("optim.lr", self.lr)?;
        not_negative("optim.final_lr", self.final_lr)?;
        if self.schedule != Schedule::Constant && self.final_lr > self.lr {
            return Err(wrong("optim.final_lr", self.final_lr, format_args!("above optim.lr ({})", self.lr)));
        }
        counts("optim.warmup_steps", self.warmup_steps, 0)?;
        not_negative("optim.clip", self.clip)?;
        self.check_rule()?;
        decay("optim", self.lr, self.weight_decay)?;
        let adam = matches!(self.name, OptimizerName::Adam | OptimizerName::AdamLazy | OptimizerName::AdamDense);
        if self.eight_bit && !adam {
            return Err(wrong(
                "optim.eight_bit",
                "true",
                "for adam, adam-lazy and adam-dense only; optim.name is another",
            ));
        }
        Ok(())
    }

    /// The constants of the rule, whatever the learning rate.
    pub(crate) fn check_rule(&self) -> Result<()> {
        not_negative("optim.weight_decay", self.weight_decay)?;
        for (key, beta) in [("optim.beta1", self.beta1), ("optim.beta2", self.beta2)] {
            number(key, beta, (0.0..1.0).contains(&beta), "not at least 0 and below 1")?;
        }
        positive("optim.eps", self.eps)?;
        let adam = matches!(self.name, OptimizerName::Adam | OptimizerName::AdamLazy | OptimizerName::AdamDense);
        if adam && self.beta2 == 0.0 {
            return Err(wrong("optim.beta2", 0, "not above 0, as Adam needs it"));
        }
        if self.name == OptimizerName::Adam && self.beta1 * self.beta1 >= self.beta2 {
            let limit = format_args!(
                "not above the square of optim.beta1 ({}): what a row sleeps through has no end",
                self.beta1
            );
            return Err(wrong("optim.beta2", self.beta2, limit));
        }
        Ok(())
    }
}

impl Train {
    fn check(&self) -> Result<()> {
        counts("train.epochs", self.epochs, 1)?;
        within("train.batch_size", self.batch_size, 1, MOST)?;
        counts("train.save_every", self.save_every, 0)?;
        within("train.keep", self.keep, 1, MOST)?;
        counts("train.snapshot_bytes", self.snapshot_bytes, 0)?;
        not_negative("train.budget_seconds", self.budget_seconds as f32)?;
        counts("train.budget_bytes", self.budget_bytes, 0)?;
        counts("train.log_every", self.log_every, 1)?;
        counts("train.eval_every", self.eval_every, 0)?;
        counts("train.seed", self.seed, 0)?;
        let exponent = self.propensity_a as f32;
        number("train.propensity_a", exponent, (0.0..=10.0).contains(&exponent), "not in 0..=10")?;
        not_negative("train.propensity_b", self.propensity_b as f32)
    }
}

impl Data {
    fn check(&self) -> Result<()> {
        if self.hash_size != 0 && (!self.hash_size.is_power_of_two() || self.hash_size > 1 << 31) {
            return Err(wrong("data.hash_size", self.hash_size, "not 0 or a power of two of at most 2147483648"));
        }
        counts("data.skip_bad", self.skip_bad, 0)?;
        within("data.word_ngrams", self.word_ngrams, 0, 16)?;
        self.char_ngrams.iter().try_for_each(|&length| within("data.char_ngrams", length, 1, 64))?;
        if self.word_ngrams == 0 && self.char_ngrams.is_empty() {
            return Err(wrong("data.word_ngrams", 0, "too few where data.char_ngrams is empty: no text has a feature"));
        }
        let texts: Vec<&str> = self.texts().collect();
        let columns = texts.iter().map(|text| ("data.text", *text)).chain([("data.label", self.label.as_str())]);
        for (key, column) in columns {
            let number = column.parse::<usize>().is_ok_and(|number| number > 0);
            if self.format == Format::Tsv && !column.is_empty() && !number {
                return Err(wrong(key, format_args!("{column:?}"), "no column of a tsv file: a number from 1"));
            }
        }
        if !self.label.is_empty() && texts.contains(&self.label.as_str()) {
            return Err(wrong("data.label", format_args!("{:?}", self.label), "the column of data.text too"));
        }
        if let Some(at) = (1..texts.len()).find(|&at| texts[at].is_empty() || texts[..at].contains(&texts[at])) {
            let limit = if texts[at].is_empty() { "without a name after a comma" } else { "with a column twice" };
            return Err(wrong("data.text", format_args!("{:?}", self.text), limit));
        }
        Ok(())
    }
}
