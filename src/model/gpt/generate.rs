//! One token after the other: keys and values of those before are kept.

use super::Gpt;
use super::memories::MemoriesSaved;
use crate::error::{Error, Result};
use crate::layer::Workspace;
use crate::layer::attention::LayerCache;

/// Keys and values of all layers.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    /// What n-grams are made of.
    tokens: Vec<u32>,
    memories: MemoriesSaved,
}

impl KvCache {
    /// Tokens in it.
    pub fn len(&self) -> usize {
        self.layers.first().map_or(0, LayerCache::len)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all tokens from `len` on; 0 begins anew with the same memory.
    pub fn truncate(&mut self, len: usize) {
        self.layers.iter_mut().for_each(|layer| layer.truncate(len));
        self.tokens.truncate(len);
    }
}

impl Gpt {
    /// An empty cache for as many tokens as the context has.
    ///
    /// # Panics
    ///
    /// If the system refuses the memory: see [`try_cache`](Self::try_cache).
    #[track_caller]
    pub fn cache(&self) -> KvCache {
        self.try_cache().unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`cache`](Self::cache).
    ///
    /// # Errors
    ///
    /// [`Error::Memory`] if the system refuses the memory.
    pub fn try_cache(&self) -> Result<KvCache> {
        let layers = self.blocks.iter().map(|block| block.attention.try_cache()).collect::<Result<_>>()?;
        Ok(KvCache { layers, tokens: Vec::new(), memories: MemoriesSaved::default() })
    }

    /// Appends `tokens` to the cache; `logits` (vocabulary) are of what follows the last of them.
    ///
    /// # Panics
    ///
    /// If there is no token, one is not below the vocabulary, the cache would hold more than the context, or `logits` has
    /// another length: see [`try_next`](Self::try_next).
    ///
    /// ```
    /// use hotrow::{config::{Optim, lm::Model}, kernels::Level, layer::Workspace, model::Gpt, optim::Scope};
    /// let model = Model { width: 8, heads: 2, layers: 1, context: 4, ..Model::default() };
    /// let gpt = Gpt::new(&Scope::fresh(&Optim::default(), 1, Level::detect()), &model.into(), 10, vec![])?;
    /// let (work, mut cache, mut logits) = (&mut Workspace::new(Level::detect()), gpt.cache(), [0.0; 10]);
    /// gpt.next(work, &mut cache, &[3, 1, 4], &mut logits);
    /// assert_eq!(cache.len(), 3);
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    #[track_caller]
    pub fn next(&self, work: &mut Workspace, cache: &mut KvCache, tokens: &[u32], logits: &mut [f32]) {
        self.try_next(work, cache, tokens, logits).unwrap_or_else(|error| panic!("{error}"));
    }

    /// As [`next`](Self::next), for tokens that come from elsewhere.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if there is no token, one is not below the vocabulary, the cache would hold more than the context, or `logits`
    /// has another length. The cache is as it was then.
    ///
    /// ```
    /// use hotrow::{config::{Optim, lm::Model}, kernels::Level, layer::Workspace, model::Gpt, optim::Scope};
    /// let model = Model { width: 8, heads: 2, layers: 1, context: 4, ..Model::default() };
    /// let gpt = Gpt::new(&Scope::fresh(&Optim::default(), 1, Level::detect()), &model.into(), 10, vec![])?;
    /// let (work, mut cache, mut logits) = (&mut Workspace::new(Level::detect()), gpt.cache(), [0.0; 10]);
    /// gpt.try_next(work, &mut cache, &[3, 1, 4], &mut logits)?;
    /// let error = gpt.try_next(work, &mut cache, &[1, 5], &mut logits).unwrap_err();
    /// assert_eq!(error.to_string(), "tokens: 2 after 3 are more than the context of 4");
    /// assert_eq!(cache.len(), 3);
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn try_next(
        &self,
        work: &mut Workspace,
        cache: &mut KvCache,
        tokens: &[u32],
        logits: &mut [f32],
    ) -> Result<()> {
        let (vocabulary, context, before) = (self.vocabulary(), self.context(), cache.len());
        let wrong = |message: String| Err(Error::config("tokens", message));
        if tokens.is_empty() {
            return wrong("none, so nothing follows".into());
        }
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= vocabulary) {
            return wrong(format!("token {token} is not below the vocabulary {vocabulary}"));
        }
        if tokens.len() > context.saturating_sub(before) {
            return wrong(format!("{} after {before} are more than the context of {context}", tokens.len()));
        }
        if logits.len() != vocabulary {
            let message = format!("{} places for a vocabulary of {vocabulary} tokens", logits.len());
            return Err(Error::config("logits", message));
        }
        // On a thread of the pool, where a product wakes others; from outside of it, each would wait for it to be woken.
        rayon::scope(|_| self.append(work, cache, tokens, logits));
        Ok(())
    }

    fn append(&self, work: &mut Workspace, cache: &mut KvCache, tokens: &[u32], logits: &mut [f32]) {
        let (count, width) = (tokens.len(), self.model().width);
        let (mut x, mut y) = (work.buffer(count, width), work.buffer(count, width));
        self.look_up(work, tokens, x.view_mut());
        let KvCache { layers, tokens: all, memories } = cache;
        all.extend_from_slice(tokens);
        self.memories.look_up_last(work, all, count, memories);
        for (at, (block, cache)) in self.blocks.iter().zip(layers).enumerate() {
            self.memories.forward(work, at, &mut x, memories);
            block.extend(work, cache, x.view(), y.view_mut());
            std::mem::swap(&mut x, &mut y);
        }
        let end = x.view().window(count - 1..count, 0..width);
        y.shape(1, width);
        self.norm.forward(work, end, y.view_mut(), &mut [0.0]);
        self.output.forward(work, y.view(), crate::kernels::MatMut::new(logits, 1, self.vocabulary()));
        work.give_back(x);
        work.give_back(y);
    }
}
