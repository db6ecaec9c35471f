//! Lines of ids: `label,label feature:value feature:value`, as in the extreme-classification repository and in svmlight.

use super::lines::Fault;
use super::records::{Entry, Records, Scratch};
use super::samples::{Limits, Policy, distinct, keep};

/// Parses lines of ids.
#[derive(Clone, Debug)]
pub(crate) struct IdParser {
    pub limits: Limits,
    pub policy: Policy,
    /// In svmlight, text after `#` is a comment, and empty lines are no samples.
    pub comments: bool,
}

impl IdParser {
    /// Adds the sample of `line`.
    pub fn line(&self, line: &[u8], scratch: &mut Scratch, out: &mut Records) -> Result<(), Fault> {
        let line = match line.iter().position(|&byte| byte == b'#') {
            Some(at) if self.comments => &line[..at],
            _ => line,
        };
        let end = line.iter().rposition(|&byte| !blank(byte)).map_or(0, |at| at + 1);
        if self.comments && end == 0 {
            return Ok(());
        }
        let mut cursor = Cursor { line: &line[..end], at: 0 };
        scratch.labels.clear();
        scratch.unknown.clear();
        if !cursor.first_is_feature() {
            match self.policy {
                Policy::Ignore => cursor.word(),
                _ => self.labels(&mut cursor, scratch)?,
            }
        }
        self.features(&mut cursor, scratch, out)?;
        let unseen = distinct(&mut scratch.unknown, &mut out.summary.duplicate_labels);
        keep(self.policy, scratch, unseen, out)
    }

    /// Adds the sample of a line of features and a line of labels, each of `id:value`. A label with value 0 is none.
    pub fn pair(&self, features: &[u8], labels: &[u8], scratch: &mut Scratch, out: &mut Records) -> Result<(), Fault> {
        scratch.labels.clear();
        scratch.unknown.clear();
        let mut cursor = Cursor { line: labels, at: 0 };
        while let Some((label, column, value)) = cursor.entry("label")? {
            match self.limits.label(label, column)? {
                _ if value == 0.0 => {}
                _ if value < 0.0 => {
                    return Err(Fault::at(column, format!("label {label} has the value {value}, below 0")));
                }
                Some(label) => scratch.labels.push(label),
                None => scratch.unknown.push(label),
            }
        }
        self.features(&mut Cursor { line: features, at: 0 }, scratch, out)?;
        let unseen = distinct(&mut scratch.unknown, &mut out.summary.duplicate_labels);
        keep(self.policy, scratch, unseen, out)
    }

    fn features(&self, cursor: &mut Cursor, scratch: &mut Scratch, out: &mut Records) -> Result<(), Fault> {
        scratch.features.clear();
        while let Some((index, column, value)) = cursor.entry("feature")? {
            match self.limits.feature(index, column)? {
                Some(index) => scratch.features.push(Entry { index, value, column: column as u32 }),
                None => out.summary.unknown_features += 1,
            }
        }
        sort(&mut scratch.features, "feature", &mut out.summary.duplicate_features)
    }

    fn labels(&self, cursor: &mut Cursor, scratch: &mut Scratch) -> Result<(), Fault> {
        loop {
            let column = cursor.at + 1;
            let label = cursor.id("label")?;
            match self.limits.label(label, column)? {
                Some(label) => scratch.labels.push(label),
                None => scratch.unknown.push(label),
            }
            match cursor.peek() {
                Some(b',') => cursor.at += 1,
                None => return Ok(()),
                Some(byte) if blank(byte) => return Ok(()),
                Some(_) => return Err(cursor.unexpected("after a label")),
            }
        }
    }
}

/// The whole numbers of a header: samples, features and labels (`N = 3`), or rows and columns (`N = 2`).
pub(crate) fn header<const N: usize>(line: &[u8]) -> Option<[u64; N]> {
    let numbers = std::str::from_utf8(line).ok()?.split_ascii_whitespace().map(str::parse);
    numbers.collect::<Result<Vec<u64>, _>>().ok()?.try_into().ok()
}

/// Sorts by index and adds the values of equal indices. `twice` grows by the entries that this removes. Messages call
/// an index a
/// `what`.
pub(crate) fn sort(features: &mut Vec<Entry>, what: &str, twice: &mut u64) -> Result<(), Fault> {
    if features.is_sorted_by(|a, b| a.index < b.index) {
        return Ok(());
    }
    features.sort_by_key(|entry| entry.index);
    let before = features.len();
    features.dedup_by(|next, kept| {
        let same = next.index == kept.index;
        if same {
            kept.value += next.value;
        }
        same
    });
    *twice += (before - features.len()) as u64;
    match features.iter().find(|entry| !entry.value.is_finite()) {
        Some(Entry { index, column, .. }) => {
            let message = format!("the values of {what} {index}, which is repeated, have no finite sum");
            Err(Fault::at(*column as usize, message))
        }
        None => Ok(()),
    }
}

fn blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

struct Cursor<'a> {
    line: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(blank) {
            self.at += 1;
        }
    }

    /// Skips what is no blank.
    fn word(&mut self) {
        while self.peek().is_some_and(|byte| !blank(byte)) {
            self.at += 1;
        }
    }

    /// The next `id:value` with its column, if there is one. Messages call the id a `what`.
    fn entry(&mut self, what: &str) -> Result<Option<(u64, usize, f32)>, Fault> {
        self.blanks();
        if self.peek().is_none() {
            return Ok(None);
        }
        let column = self.at + 1;
        let id = self.id(what)?;
        if self.peek() != Some(b':') {
            return Err(Fault::at(self.at + 1, format!("{what} {id} is not followed by `:` and a value")));
        }
        self.at += 1;
        Ok(Some((id, column, self.value()?)))
    }

    /// Whether the line has no labels: it begins with a blank, or with a feature.
    fn first_is_feature(&self) -> bool {
        let token = self.line.split(|&byte| blank(byte)).next().unwrap_or_default();
        token.is_empty() || token.contains(&b':')
    }

    /// Reads digits. The number saturates at `u64::MAX`, which is above every limit.
    fn id(&mut self, what: &str) -> Result<u64, Fault> {
        let (start, mut id) = (self.at, 0_u64);
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            id = id.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        if self.at > start {
            return Ok(id);
        }
        match self.peek() {
            Some(b'-') => Err(Fault::at(start + 1, format!("a {what} is negative"))),
            Some(byte) if !blank(byte) => Err(self.unexpected(&format!("where a {what} should be"))),
            _ => Err(Fault::at(start + 1, format!("a {what} is missing"))),
        }
    }

    fn value(&mut self) -> Result<f32, Fault> {
        let start = self.at;
        let (mut small, mut digits) = (0_u32, true);
        while let Some(byte) = self.peek().filter(|&byte| !blank(byte)) {
            digits &= byte.is_ascii_digit();
            small = small.wrapping_mul(10).wrapping_add(u32::from(byte.wrapping_sub(b'0')));
            self.at += 1;
        }
        let token = &self.line[start..self.at];
        // Counts and ones are the most frequent values; they need no decimal conversion.
        if digits && (1..=7).contains(&token.len()) {
            return Ok(small as f32);
        }
        let fault = |what: &str| {
            let token = String::from_utf8_lossy(&token[..token.len().min(40)]);
            Fault::at(start + 1, format!("value `{token}` is {what}"))
        };
        let value = std::str::from_utf8(token).ok().and_then(|token| token.parse::<f32>().ok());
        match value {
            None => Err(fault("not a number")),
            Some(value) if !value.is_finite() => Err(fault("not finite")),
            Some(value) => Ok(value),
        }
    }

    fn unexpected(&self, place: &str) -> Fault {
        let byte = self.peek().unwrap_or_default();
        Fault::at(self.at + 1, format!("unexpected `{}` {place}", byte.escape_ascii()))
    }
}
