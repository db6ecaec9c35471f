//! Text that a language model goes on with: draws of tokens, one after the other, given out as text while they come.

mod sampling;
mod stop;
#[cfg(all(test, feature = "text"))]
mod tests;

pub use sampling::Sampling;

use crate::data::tokens::{Tokenizer, Utf8Stream};
use crate::error::{Error, Result};
use crate::kernels::reduce::log_sum_exp;
use crate::layer::Workspace;
use crate::model::Gpt;
use crate::rng::rng;
use stop::Stop;

/// How a text goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// How each token is drawn.
    pub sampling: Sampling,
    /// What is drawn with: the same seed, network and prompt give the same text.
    pub seed: u64,
    /// Most tokens.
    pub max_tokens: usize,
    /// Texts before which it ends; they are not given out.
    pub stop: Vec<String>,
    /// Of a prompt that is longer than the network's context, the last tokens are read; else it is an error.
    pub truncate_prompt: bool,
    /// The logarithm of the probability of each token is kept.
    pub logprobs: bool,
}

impl Default for Generation {
    fn default() -> Self {
        let (sampling, stop) = (Sampling::default(), Vec::new());
        Self { sampling, seed: 1, max_tokens: 256, stop, truncate_prompt: false, logprobs: false }
    }
}

/// Why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The network said so: it drew the end-of-text token.
    EndOfText,
    /// At one of the texts to stop at.
    Stop,
    /// It has as many tokens as it may have.
    MaxTokens,
}

/// What was generated, apart from the text that was given out.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Generated {
    /// Tokens of the prompt that the network has read.
    pub prompt_tokens: usize,
    /// Tokens that were drawn.
    pub tokens: usize,
    /// The tokens of the prompt that the network has read.
    pub prompt_ids: Vec<u32>,
    /// The tokens that were drawn; the last may be the end-of-text token.
    pub ids: Vec<u32>,
    /// If [asked for](Generation::logprobs), the natural logarithm of the probability that the network gave each of `ids`: before
    /// temperature and the rest of [`Sampling`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<f32>,
    /// Why there are no more.
    pub ended: Ended,
}

/// Goes on from `prompt`, and gives the text to `write` as soon as it is certain: whole characters, and none that could be of a
/// text to stop at. An empty prompt stands for the beginning of a document.
///
/// A network reads at most [`Gpt::context`] tokens; when these are full, it reads the last half of them anew and goes on.
///
/// ```
/// use hotrow::config::{Optim, lm::Model};
/// use hotrow::data::tokens::Tokenizer;
/// use hotrow::generate::{Generation, generate};
/// use hotrow::{kernels::Level, layer::Workspace, model::Gpt, optim::Scope};
/// let tokenizer = Tokenizer::train_on("to be or not to be", 260)?;
/// let model = Model { width: 8, heads: 2, layers: 1, context: 16, ..Model::default() };
/// let scope = Scope::fresh(&Optim::default(), 1, Level::detect());
/// let network = Gpt::new(&scope, &model.into(), tokenizer.vocabulary(), vec![])?;
/// let (options, mut text) = (Generation { max_tokens: 20, ..Generation::default() }, String::new());
/// let generated = generate(&network, &mut Workspace::new(Level::detect()), &tokenizer, "to", &options, &mut |more| {
///     text += more;
///     Ok(())
/// })?;
/// assert!(generated.tokens <= 20);
/// # Ok::<(), hotrow::error::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Config`] if an option cannot be, the tokenizer has more tokens than the network, or the prompt is longer than what the
/// network can read and may not be truncated; [`Error::Memory`] if the system refuses the memory for its context; [`Error::Data`] if
/// the scores are
/// not finite; what `write` returns.
pub fn generate(
    network: &Gpt,
    work: &mut Workspace,
    tokenizer: &Tokenizer,
    prompt: &str,
    options: &Generation,
    write: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<Generated> {
    options.sampling.check()?;
    let (words, rows) = (tokenizer.vocabulary(), network.vocabulary());
    if words > rows {
        return Err(Error::config("tokenizer", format!("has {words} tokens, where the network knows {rows}")));
    }
    let mut tokens = tokenizer.encode_prompt(prompt)?;
    if tokens.is_empty() {
        let nothing = || Error::config("prompt", "is empty, and the tokenizer has no token to begin a document with");
        tokens.push(tokenizer.end_of_text().ok_or_else(nothing)?);
    }
    let context = network.context();
    if tokens.len() > context {
        if !options.truncate_prompt {
            let message = format!(
                "has {} tokens, where the network reads at most {context}; --truncate-prompt keeps the last of them",
                tokens.len()
            );
            return Err(Error::config("prompt", message));
        }
        tokens.drain(..tokens.len() - context);
    }
    let (prompt_ids, mut ids, mut logprobs) = (tokens.clone(), Vec::new(), Vec::new());
    let (mut text, mut stop) = (Utf8Stream::default(), Stop::new(&options.stop));
    let (mut cache, mut read) = (network.try_cache()?, 0);
    let mut logits = vec![0.0; network.vocabulary()];
    let mut ended = Ended::MaxTokens;
    while ids.len() < options.max_tokens {
        let drawn = ids.len();
        if cache.len() + tokens.len() - read > context {
            cache.truncate(0);
            read = tokens.len() - context.div_ceil(2);
        }
        network.try_next(work, &mut cache, &tokens[read..], &mut logits)?;
        read = tokens.len();
        // A model may have more rows than its tokenizer has tokens.
        let scores = &logits[..tokenizer.vocabulary()];
        let Some(token) = options.sampling.draw(work.level, scores, &mut rng(options.seed, "generate", drawn as u64))
        else {
            return Err(Error::data("network", 0, 0, format!("the scores of token {drawn} are not finite")));
        };
        ids.push(token);
        if options.logprobs {
            logprobs.push(scores[token as usize] - log_sum_exp(work.level, scores, None));
        }
        if tokenizer.end_of_text() == Some(token) {
            ended = Ended::EndOfText;
            break;
        }
        tokens.push(token);
        let (out, stopped) = stop.push(&text.push(tokenizer.bytes_of(token)));
        if !out.is_empty() {
            write(&out)?;
        }
        if stopped {
            return Ok(Generated::of(prompt_ids, ids, logprobs, Ended::Stop));
        }
    }
    let (mut out, stopped) = stop.push(&text.finish());
    if stopped {
        ended = Ended::Stop;
    } else {
        out += &stop.finish();
    }
    if !out.is_empty() {
        write(&out)?;
    }
    Ok(Generated::of(prompt_ids, ids, logprobs, ended))
}

impl Generated {
    fn of(prompt_ids: Vec<u32>, ids: Vec<u32>, logprobs: Vec<f32>, ended: Ended) -> Self {
        Self { prompt_tokens: prompt_ids.len(), tokens: ids.len(), prompt_ids, ids, logprobs, ended }
    }
}
