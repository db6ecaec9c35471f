//! Finds out whether the labels of a training file are ids or names.

use super::Columns;
use crate::config;
use crate::data::lines::Fault;
use crate::data::samples::Policy;
use std::collections::HashMap;

/// Labels are names if the largest is at least this many times the number of distinct ones. Each id up to the largest
/// gets a row of the network. So at worst a quarter of the rows is used; codes of eight digits would ask for 10^8 rows.
const SPARSEST: u64 = 4;

/// Ids below this cost nothing, however few there are.
const FEW: u64 = 1024;

/// Counts each label, to tell ids from names, and to number the names.
#[derive(Debug, Default)]
pub(crate) struct Census {
    counts: HashMap<String, u64>,
    /// The number of lines with a label that is no canonical integer, and the first such line, from 1.
    named: u64,
    first_named: u64,
    /// The number of lines with a sample.
    lines: u64,
    /// Whether a label is a string of JSON.
    text: bool,
    largest: u64,
}

impl Census {
    /// Counts the labels of line `number` (from 1).
    pub fn line(&mut self, columns: &Columns, line: &[u8], number: u64) -> Result<(), Fault> {
        let Some(line) = columns.nonblank(line)? else { return Ok(()) };
        let tokens = columns.split(line, Policy::Skip)?.1;
        if tokens.iter().any(|token| !token.is_canonical() && !token.number) {
            self.first_named = if self.named == 0 { number } else { self.first_named };
            self.named += 1;
        }
        self.lines += 1;
        for token in tokens {
            self.text |= !token.number;
            // What does not fit 64 bits is above every limit. What is no number is a name anyway.
            self.largest =
                self.largest.max(if token.is_canonical() { token.text.parse().unwrap_or(u64::MAX) } else { 0 });
            match self.counts.get_mut(&*token.text) {
                Some(count) => *count += 1,
                None => drop(self.counts.insert(token.text.into_owned(), 1)),
            }
        }
        Ok(())
    }

    /// Adds the counts of later lines; the first of them follows line `lines`.
    pub fn add(&mut self, other: Self, lines: u64) {
        if self.named == 0 {
            self.first_named = other.first_named + lines;
        }
        self.named += other.named;
        self.lines += other.lines;
        self.text |= other.text;
        self.largest = self.largest.max(other.largest);
        for (name, count) in other.counts {
            *self.counts.entry(name).or_default() += count;
        }
    }

    /// The names by falling frequency, then by name; `None` if labels are ids.
    pub fn names(self, labels: config::Labels) -> Option<Vec<String>> {
        let sparse = self.text && self.largest >= FEW.max(SPARSEST.saturating_mul(self.counts.len() as u64));
        let named = match labels {
            config::Labels::Auto => self.named > 0 || sparse,
            config::Labels::Ids => false,
            config::Labels::Names => true,
        };
        let mut names: Vec<(String, u64)> = self.counts.into_iter().filter(|_| named).collect();
        names.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        named.then(|| names.into_iter().map(|(name, _)| name).collect())
    }

    /// A note, if only the first line makes names of all labels: it looks like names of columns.
    pub fn note(&self) -> Option<String> {
        let header = self.named == 1 && self.first_named == 1 && self.lines > 2;
        header.then(|| {
            "line 1 alone has a label that is no number: if it names the columns, set data.header=true".to_owned()
        })
    }
}
