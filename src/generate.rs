//! Generates text with a language model: it draws token after token, and gives out the text as it comes.

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

/// The options of a generation.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// How each token is drawn.
    pub sampling: Sampling,
    /// The seed of the draws. The same seed, network and prompt give the same text.
    pub seed: u64,
    /// The most tokens to draw.
    pub max_tokens: usize,
    /// Generation ends before any of these texts. They are not given out.
    pub stop: Vec<String>,
    /// Whether a prompt longer than the network's context is cut to its last tokens. Otherwise it is an error.
    pub truncate_prompt: bool,
    /// Whether to keep the logarithm of each token's probability.
    pub logprobs: bool,
}

impl Default for Generation {
    fn default() -> Self {
        let (sampling, stop) = (Sampling::default(), Vec::new());
        Self { sampling, seed: 1, max_tokens: 256, stop, truncate_prompt: false, logprobs: false }
    }
}

/// Why generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The network drew the end-of-text token.
    EndOfText,
    /// One of the stop texts came.
    Stop,
    /// The most tokens were drawn.
    MaxTokens,
}

/// What was generated, apart from the text itself.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Generated {
    /// The number of prompt tokens that the network read.
    pub prompt_tokens: usize,
    /// The number of tokens drawn.
    pub tokens: usize,
    /// The prompt tokens that the network read.
    pub prompt_ids: Vec<u32>,
    /// The tokens drawn. The last one may be the end-of-text token.
    pub ids: Vec<u32>,
    /// The natural logarithm of the network's probability of each of `ids`, before temperature and the rest of
    /// [`Sampling`]. Empty unless [asked for](Generation::logprobs).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<f32>,
    /// Why generation ended.
    pub ended: Ended,
}

/// Generates a continuation of `prompt`, and passes its text to `write` as soon as it is final: in whole characters,
/// and without what could begin a stop text. An empty prompt stands for the beginning of a document.
///
/// A network reads at most [`Gpt::context`] tokens. When these are full, it reads the last half of them again and
/// continues.
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
/// [`Error::Config`] if an option is out of range, the tokenizer has more tokens than the network, or the prompt is too
/// long and may not be truncated; [`Error::Memory`] if the system refuses the memory for the context; [`Error::Data`]
/// if the scores are not finite; and whatever `write` returns.
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
