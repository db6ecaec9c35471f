//! Lines of ids: `label,label feature:value feature:value`, as in the extreme-classification repository and in svmlight.

use super::lines::Fault;
use super::records::{Entry, Records, Scratch};
use super::samples::{Limits, Policy, keep};

/// How a line of ids is read.
#[derive(Clone, Debug)]
pub(crate) struct IdParser {
    pub limits: Limits,
    pub policy: Policy,
    /// svmlight: text after `#` is a comment and lines without anything are no samples.
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
        scratch.features.clear();
        if !cursor.first_is_feature() {
            self.labels(&mut cursor, scratch, out)?;
        }
        loop {
            cursor.blanks();
            if cursor.peek().is_none() {
                break;
            }
            self.feature(&mut cursor, scratch, out)?;
        }
        sort(&mut scratch.features, "feature")?;
        keep(self.policy, scratch, out)
    }

    fn labels(&self, cursor: &mut Cursor, scratch: &mut Scratch, out: &mut Records) -> Result<(), Fault> {
        loop {
            let column = cursor.at + 1;
            let label = cursor.id("label")?;
            match self.limits.label(label, column)? {
                Some(label) => scratch.labels.push(label),
                None => out.summary.unknown_labels += 1,
            }
            match cursor.peek() {
                Some(b',') => cursor.at += 1,
                None => return Ok(()),
                Some(byte) if blank(byte) => return Ok(()),
                Some(_) => return Err(cursor.unexpected("after a label")),
            }
        }
    }

    fn feature(&self, cursor: &mut Cursor, scratch: &mut Scratch, out: &mut Records) -> Result<(), Fault> {
        let column = cursor.at + 1;
        let index = cursor.id("feature")?;
        if cursor.peek() != Some(b':') {
            return Err(Fault::at(cursor.at + 1, format!("feature {index} is not followed by `:` and a value")));
        }
        cursor.at += 1;
        let value = cursor.value()?;
        match self.limits.feature(index, column)? {
            Some(index) => scratch.features.push(Entry { index, value, column: column as u32 }),
            None => out.summary.unknown_features += 1,
        }
        Ok(())
    }
}

/// `N D L` of the first line: samples, features, labels.
pub(crate) fn header(line: &[u8]) -> Option<[u64; 3]> {
    let mut numbers = std::str::from_utf8(line).ok()?.split_ascii_whitespace().map(str::parse);
    let header = [numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?];
    numbers.next().is_none().then_some(header)
}

/// Sorts by index; two values of one index, which is a `what`, are refused.
pub(crate) fn sort(features: &mut [Entry], what: &str) -> Result<(), Fault> {
    if features.is_sorted_by(|a, b| a.index < b.index) {
        return Ok(());
    }
    features.sort_by_key(|entry| entry.index);
    let twice = features.windows(2).filter(|pair| pair[0].index == pair[1].index).map(|pair| pair[1]);
    match twice.min_by_key(|entry| entry.column) {
        Some(entry) => Err(Fault::at(entry.column as usize, format!("{what} {} stands twice", entry.index))),
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

    /// A line without labels begins with a blank, or with a feature.
    fn first_is_feature(&self) -> bool {
        let token = self.line.split(|&byte| blank(byte)).next().unwrap_or_default();
        token.is_empty() || token.contains(&b':')
    }

    /// Digits; the number is cut at `u64::MAX`, which is above every limit.
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
        // Counts and ones, the most frequent values, need no decimal conversion.
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
