//! The loss of a whole token file, exact.

use std::collections::BTreeMap;

use crate::data::tokens::TokenFile;
use crate::error::{Error, Result};
use crate::layer::Workspace;
use crate::model::Gpt;

/// Tokens that go through the network together: by default no more than in training, so that a run needs no more memory for this.
const TOKENS: usize = 2048;

/// What a network loses on a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// The sum of the losses, in nats.
    pub nats: f64,
    /// Tokens that were predicted: all but the first.
    pub tokens: u64,
    /// Bytes of text that the file stands for.
    pub source_bytes: u64,
}

impl Evaluation {
    /// Mean loss of a token, in nats.
    ///
    /// ```
    /// let half = hotrow::train::lm::Evaluation { nats: 8.0, tokens: 16, source_bytes: 64 };
    /// assert_eq!((half.loss(), half.perplexity()), (0.5, 0.5_f64.exp()));
    /// ```
    pub fn loss(&self) -> f64 {
        self.nats / self.tokens as f64
    }

    /// The number of tokens among which an even choice loses as much.
    pub fn perplexity(&self) -> f64 {
        self.loss().exp()
    }

    /// Bits that the text takes, by byte of it: what networks with other vocabularies can be compared by. Tokens between
    /// documents cost bits and stand for no byte; where there are none, the first token stands for bytes and costs nothing.
    ///
    /// ```
    /// let bits = |nats| hotrow::train::lm::Evaluation { nats, tokens: 16, source_bytes: 64 }.bits_per_byte();
    /// assert_eq!(bits(64.0 * std::f64::consts::LN_2), 1.0);
    /// ```
    pub fn bits_per_byte(&self) -> f64 {
        self.nats / std::f64::consts::LN_2 / self.source_bytes as f64
    }

    /// `loss`, `perplexity` and `bits_per_byte` (unless nothing is known of bytes).
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let bits = (self.source_bytes > 0).then(|| ("bits_per_byte", self.bits_per_byte()));
        let all = [("loss", self.loss()), ("perplexity", self.perplexity())].into_iter().chain(bits);
        // JSON has no other numbers.
        all.filter(|(_, value)| value.is_finite()).map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

/// The loss of every token of `file` but the first, each with what stands before it in its window: windows of `context` tokens, one
/// after the other.
///
/// ```
/// use hotrow::config::{Optim, lm::Model};
/// use hotrow::data::tokens::{TokenFile, TokenWriter};
/// use hotrow::{kernels::Level, layer::Workspace, model::Gpt, train::lm::evaluate};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("some.tokens");
/// let mut writer = TokenWriter::create(&path, 10, None, 7)?;
/// writer.append(&[1, 2, 3, 4, 5, 6], 12)?;
/// writer.finish()?;
/// let model = Model { width: 8, heads: 2, layers: 1, context: 4, ..Model::default() };
/// let (mut gpt, work) = (Gpt::new(&model, &Optim::default(), 10, 1), &mut Workspace::new(Level::detect()));
/// let untrained = evaluate(&mut gpt, work, &TokenFile::open(&path)?, 4);
/// assert!(untrained.tokens == 5 && (untrained.loss() - 10_f64.ln()).abs() < 0.2);
/// # Ok::<(), hotrow::error::Error>(())
/// ```
///
/// # Panics
///
/// If the file has fewer than two tokens, or a vocabulary beyond the network's, or `context` is 0 or above the network's: see
/// [`try_evaluate`].
#[track_caller]
pub fn evaluate(network: &mut Gpt, work: &mut Workspace, file: &TokenFile, context: usize) -> Evaluation {
    try_evaluate(network, work, file, context).unwrap_or_else(|error| panic!("{error}"))
}

/// As [`evaluate`], for files that come from elsewhere.
///
/// # Errors
///
/// [`Error::Config`] if the file has fewer than two tokens, or a vocabulary beyond the network's, or `context` is 0 or above the
/// network's.
pub fn try_evaluate(network: &mut Gpt, work: &mut Workspace, file: &TokenFile, context: usize) -> Result<Evaluation> {
    Ok(evaluate_until(network, work, file, context, &|| false)?.expect("nobody stops it"))
}

/// The same, unless `stop` says so before the end.
pub(super) fn evaluate_until(
    network: &mut Gpt,
    work: &mut Workspace,
    file: &TokenFile,
    context: usize,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Evaluation>> {
    let (known, most) = (network.vocabulary(), network.context());
    if file.len() < 2 {
        return Err(Error::config("tokens", format!("{} leave nothing to predict", file.len())));
    }
    if file.summary().vocabulary > known {
        let message = format!("of a vocabulary of {}, where the network knows {known}", file.summary().vocabulary);
        return Err(Error::config("tokens", message));
    }
    if context == 0 || context > most {
        return Err(Error::config("context", format!("{context} is not in 1..={most}, which the network reads")));
    }
    let count = file.len() - 1;
    let (whole, together) = (count / context * context, (TOKENS / context).max(1) * context);
    let groups = (0..whole).step_by(together).map(|from| (from, together.min(whole - from), context));
    // The last window is shorter.
    let last = (whole < count).then_some((whole, count - whole, count - whole));
    let (mut tokens, mut losses, mut nats) = (vec![0; together + 1], vec![0.0; together], 0.0);
    for (from, size, length) in groups.chain(last) {
        if stop() {
            return Ok(None);
        }
        file.read(from, &mut tokens[..=size]);
        network.losses(work, &tokens[..size], &tokens[1..=size], length, &mut losses[..size]);
        nats += losses[..size].iter().map(|&loss| f64::from(loss)).sum::<f64>();
    }
    Ok(Some(Evaluation { nats, tokens: count as u64, source_bytes: file.summary().source_bytes }))
}
