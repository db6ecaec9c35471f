//! Sequences of a token file, in an order that follows from the seed alone.

use std::sync::Arc;

use rand::RngExt;

use super::loader::order;
use super::tokens::TokenFile;
use crate::error::{Error, Result};
use crate::rng::rng;

/// The sequences that each step trains on.
///
/// In every epoch the tokens form a ring. It is cut into windows of `context` tokens from a random position, and the
/// windows come in a random order; both are drawn again for each epoch. So an epoch predicts every token once, except
/// fewer than `context` at one position. Over the epochs each token meets contexts of every length. All steps have the
/// same size: a step that reaches the end of an epoch continues with the next one.
///
/// A step's draw depends on the seed, the file and the sizes alone, so any step can be drawn without those before it.
///
/// ```
/// use hotrow::data::{Sequences, tokens::{TokenFile, TokenWriter}};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("train.tokens");
/// let mut writer = TokenWriter::create(&path, 300, None, 7)?;
/// writer.append(&Vec::from_iter(0..100), 100)?;
/// writer.finish()?;
/// let mut sequences = Sequences::new(TokenFile::open(&path)?.into(), 10, 4, 1)?;
/// let (mut tokens, mut targets) = (Vec::new(), Vec::new());
/// sequences.read(7, &mut tokens, &mut targets); // step 7, counted from 0: 4 sequences of 10
/// assert_eq!((tokens.len(), targets.len()), (40, 40));
/// assert_eq!(targets[..9], tokens[1..10]);
/// # Ok::<(), hotrow::error::Error>(())
/// ```
#[derive(Debug)]
pub struct Sequences {
    file: Arc<TokenFile>,
    context: usize,
    per_step: usize,
    seed: u64,
    epoch: Option<Epoch>,
}

/// The order of one epoch.
#[derive(Debug)]
struct Epoch {
    number: u64,
    /// Where the ring is cut.
    offset: usize,
    windows: Vec<u32>,
}

impl Sequences {
    /// Sequences of `context` tokens with as many targets, `per_step` of them a step.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the file has no more than `context` tokens, or more than 2^32 windows.
    ///
    /// # Panics
    ///
    /// If `context` or `per_step` is 0.
    #[track_caller]
    pub fn new(file: Arc<TokenFile>, context: usize, per_step: usize, seed: u64) -> Result<Self> {
        assert!(context > 0 && per_step > 0, "{per_step} sequences of {context} tokens a step");
        if file.len() <= context {
            let message =
                format!("{context} tokens and the next one are more than the {} of the training file", file.len());
            return Err(Error::config("model.context", message));
        }
        let sequences = Self { file, context, per_step, seed, epoch: None };
        if u32::try_from(sequences.windows()).is_err() {
            let message = format!("{context} is too few: the file has more than 2^32 such sequences");
            return Err(Error::config("model.context", message));
        }
        Ok(sequences)
    }

    /// The number of sequences in an epoch.
    pub fn windows(&self) -> usize {
        (self.file.len() - 1) / self.context
    }

    /// The number of tokens in a step.
    pub fn step_tokens(&self) -> usize {
        self.context * self.per_step
    }

    /// The position of step `step` (from 0), in epochs.
    pub fn epochs(&self, step: u64) -> f64 {
        step as f64 * self.per_step as f64 / self.windows() as f64
    }

    /// Writes the sequences of step `step` (from 0) to `tokens` and `targets`, one after the other: (`per_step`,
    /// `context`).
    pub fn read(&mut self, step: u64, tokens: &mut Vec<u32>, targets: &mut Vec<u32>) {
        let size = self.step_tokens();
        tokens.resize(size, 0);
        targets.resize(size, 0);
        let context = self.context;
        let places = tokens.chunks_exact_mut(context).zip(targets.chunks_exact_mut(context));
        for (i, (tokens, targets)) in places.enumerate() {
            let start = self.start(step, i);
            self.window(start, tokens, targets);
        }
    }

    /// Where each sequence of step `step` (from 0) begins: positions in a ring of all tokens but the last.
    ///
    /// ```
    /// use hotrow::data::{Sequences, tokens::{TokenFile, TokenWriter}};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("train.tokens");
    /// let mut writer = TokenWriter::create(&path, 300, None, 7)?;
    /// writer.append(&Vec::from_iter(100..200), 100)?;
    /// writer.finish()?;
    /// let mut sequences = Sequences::new(TokenFile::open(&path)?.into(), 10, 4, 1)?;
    /// let (mut tokens, mut targets) = (Vec::new(), Vec::new());
    /// sequences.read(7, &mut tokens, &mut targets);
    /// let firsts: Vec<u64> = tokens.iter().step_by(10).map(|&token| u64::from(token) - 100).collect();
    /// assert_eq!(sequences.starts(7), firsts);
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn starts(&mut self, step: u64) -> Vec<u64> {
        let ring = self.file.len() - 1;
        (0..self.per_step).map(|i| (self.start(step, i) % ring) as u64).collect()
    }

    fn start(&mut self, step: u64, i: usize) -> usize {
        let (sequence, windows) = (step as u128 * self.per_step as u128 + i as u128, self.windows() as u128);
        let (epoch, position) = ((sequence / windows) as u64, (sequence % windows) as usize);
        let context = self.context;
        let order = self.epoch(epoch);
        order.offset + order.windows[position] as usize * context
    }

    /// Copies the tokens from position `start` of the ring on, and the token after each. The ring leaves out the last
    /// token, because nothing follows it.
    fn window(&self, start: usize, tokens: &mut [u32], targets: &mut [u32]) {
        let ring = self.file.len() - 1;
        let start = start % ring;
        let before = tokens.len().min(ring - start);
        self.file.read(start, &mut tokens[..before]);
        self.file.read(start + 1, &mut targets[..before]);
        self.file.read(0, &mut tokens[before..]);
        self.file.read(1, &mut targets[before..]);
    }

    fn epoch(&mut self, number: u64) -> &Epoch {
        if self.epoch.as_ref().is_none_or(|epoch| epoch.number != number) {
            let offset = rng(self.seed, "offset", number).random_range(0..self.file.len() - 1);
            self.epoch = Some(Epoch { number, offset, windows: order(self.windows(), self.seed, number) });
        }
        self.epoch.as_ref().expect("made if it was not there")
    }
}

#[cfg(test)]
mod tests;
