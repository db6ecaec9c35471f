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
/// use hotrow::{kernels::Level, layer::Workspace, model::Gpt, optim::Scope, train::lm::evaluate};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("some.tokens");
/// let mut writer = TokenWriter::create(&path, 10, None, 7)?;
/// writer.append(&[1, 2, 3, 4, 5, 6], 12)?;
/// writer.finish()?;
/// let model = Model { width: 8, heads: 2, layers: 1, context: 4, ..Model::default() };
/// let scope = Scope::fresh(&Optim::default(), 1, Level::detect());
/// let (mut gpt, work) = (Gpt::new(&scope, &model.into(), 10, vec![])?, &mut Workspace::new(Level::detect()));
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
    try_evaluate_with(network, work, file, context, context)
}

/// As [`try_evaluate`], with windows that begin `stride` tokens apart: each token is still predicted once, but with at least
/// `context - stride` tokens before it (unless the file begins there). That costs `context / stride` times as much. A
/// stride of `context` is [`try_evaluate`] itself, to the bit.
///
/// ```
/// use hotrow::config::{Optim, lm::Model};
/// use hotrow::data::tokens::{TokenFile, Tokenizer};
/// use hotrow::{kernels::Level, layer::Workspace, model::Gpt, optim::Scope, train::lm::try_evaluate_with};
/// let tokenizer = Tokenizer::train_on("to be or not to be", 260)?;
/// let file = TokenFile::of_text("to be or not to be", &tokenizer)?;
/// let model = Model { width: 8, heads: 2, layers: 1, context: 4, ..Model::default() };
/// let scope = Scope::fresh(&Optim::default(), 1, Level::detect());
/// let (mut gpt, work) = (Gpt::new(&scope, &model.into(), 260, vec![])?, &mut Workspace::new(Level::detect()));
/// assert_eq!(try_evaluate_with(&mut gpt, work, &file, 4, 1)?.tokens, file.len() as u64 - 1);
/// # Ok::<(), hotrow::error::Error>(())
/// ```
///
/// # Errors
///
/// As [`try_evaluate`], or if `stride` is not in 1..=`context`.
pub fn try_evaluate_with(
    network: &mut Gpt,
    work: &mut Workspace,
    file: &TokenFile,
    context: usize,
    stride: usize,
) -> Result<Evaluation> {
    Ok(evaluate_until(network, work, file, (context, stride), &|| false)?.expect("nobody stops it"))
}

/// The same, unless `stop` says so before the end.
pub(super) fn evaluate_until(
    network: &mut Gpt,
    work: &mut Workspace,
    file: &TokenFile,
    (context, stride): (usize, usize),
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
    if stride == 0 || stride > context {
        return Err(Error::config("stride", format!("{stride} is not in 1..={context}, the context")));
    }
    let count = file.len() - 1;
    let together = (TOKENS / context).max(1);
    let (mut tokens, mut targets) = (Vec::new(), Vec::new());
    let (mut window, mut losses, mut nats) = (vec![0; context + 1], vec![0.0; together * context], 0.0);
    // Tokens that windows before have predicted, or those of this group.
    let (mut done, mut group) = (0, Vec::with_capacity(together));
    while done < count {
        if stop() {
            return Ok(None);
        }
        // What is seen of a window, but not predicted by it; the last window of a file is shorter.
        let seen = if done == 0 { 0 } else { context - stride };
        let length = context.min(count - done + seen);
        let read = &mut window[..=length];
        file.read(done - seen, read);
        tokens.extend_from_slice(&read[..length]);
        targets.extend_from_slice(&read[1..]);
        group.push(seen);
        done += length - seen;
        let next = context.min(count - done + context - stride);
        if group.len() < together && done < count && next == length {
            continue;
        }
        let losses = &mut losses[..tokens.len()];
        network.losses(work, &tokens, &targets, length, losses);
        let predicted = losses.chunks(length).zip(&group).flat_map(|(window, &seen)| &window[seen..]);
        nats += predicted.map(|&loss| f64::from(loss)).sum::<f64>();
        tokens.clear();
        targets.clear();
        group.clear();
    }
    Ok(Some(Evaluation { nats, tokens: count as u64, source_bytes: file.summary().source_bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Optim, lm::Model};
    use crate::data::tokens::TokenWriter;
    use crate::kernels::Level;
    use crate::optim::Scope;

    const CONTEXT: usize = 8;

    fn network() -> (Gpt, Workspace) {
        let model = Model { width: 8, heads: 2, layers: 1, context: CONTEXT, ..Model::default() };
        (
            Gpt::new(&Scope::fresh(&Optim::default(), 1, Level::detect()), &model.clone().into(), 10, vec![]).unwrap(),
            Workspace::new(Level::detect()),
        )
    }

    fn file(tokens: usize) -> TokenFile {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = TokenWriter::create(&folder.path().join("a.tokens"), 10, None, 7).unwrap();
        let tokens: Vec<u32> = (0..tokens as u32).map(|at| (at * at + at / 3) % 10).collect();
        writer.append(&tokens, 9).unwrap();
        writer.finish().unwrap();
        TokenFile::open(&folder.path().join("a.tokens")).unwrap()
    }

    /// The loss of each token by a window of its own, of all that may be seen.
    #[test]
    fn each_token_is_predicted_once_with_what_its_window_has_before_it() {
        let (mut gpt, mut work) = network();
        for count in [2, 5, 8, 9, 10, 16, 17, 23, 700] {
            let file = file(count);
            for stride in 1..=CONTEXT {
                let got = try_evaluate_with(&mut gpt, &mut work, &file, CONTEXT, stride).unwrap();
                let mut nats = 0.0;
                for target in 1..count {
                    // Windows after the first begin at multiples of the stride and predict their last tokens.
                    let windows = (target.saturating_sub(CONTEXT)).div_ceil(stride);
                    let from = windows * stride;
                    let mut tokens = vec![0; target - from + 1];
                    file.read(from, &mut tokens);
                    let (length, mut losses) = (target - from, vec![0.0; target - from]);
                    gpt.losses(&mut work, &tokens[..length], &tokens[1..], length, &mut losses);
                    nats += f64::from(losses[length - 1]);
                }
                assert_eq!(got.tokens, count as u64 - 1);
                // Products of other sizes round otherwise.
                assert!((got.nats - nats).abs() < 1e-4 * nats, "{count}, {stride}: {} {nats}", got.nats);
            }
        }
    }

    /// As it was before there were strides.
    #[test]
    fn windows_one_after_the_other_give_the_same_bits_as_ever() {
        let (mut gpt, mut work) = network();
        for count in [2, 8, 9, 17, 2049, 2050, 5000] {
            let file = file(count);
            let (predicted, mut nats) = (count - 1, 0.0);
            let whole = predicted / CONTEXT * CONTEXT;
            let groups = (0..whole).step_by(TOKENS).map(|from| (from, TOKENS.min(whole - from), CONTEXT));
            let last = (whole < predicted).then_some((whole, predicted - whole, predicted - whole));
            for (from, size, length) in groups.chain(last) {
                let (mut tokens, mut losses) = (vec![0; size + 1], vec![0.0; size]);
                file.read(from, &mut tokens);
                gpt.losses(&mut work, &tokens[..size], &tokens[1..], length, &mut losses);
                nats += losses.iter().map(|&loss| f64::from(loss)).sum::<f64>();
            }
            assert_eq!(evaluate(&mut gpt, &mut work, &file, CONTEXT).nats.to_bits(), nats.to_bits(), "{count}");
        }
    }
}
