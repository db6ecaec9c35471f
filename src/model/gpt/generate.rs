//! One token after the other: keys and values of those before are kept.

use super::Gpt;
use super::memories::MemoriesSaved;
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
    pub fn cache(&self) -> KvCache {
        let layers = self.blocks.iter().map(|block| block.attention.cache()).collect();
        KvCache { layers, tokens: Vec::new(), memories: MemoriesSaved::default() }
    }

    /// Appends `tokens` to the cache; `logits` (vocabulary) are of what follows the last of them.
    ///
    /// # Panics
    ///
    /// If there is no token, one is not below the vocabulary, the cache would hold more than the context, or `logits` has
    /// another length.
    ///
    /// ```
    /// use hotrow::{config::{Optim, lm::Model}, kernels::Level, layer::Workspace, model::Gpt};
    /// let model = Model { width: 8, heads: 2, layers: 1, context: 4, ..Model::default() };
    /// let gpt = Gpt::new(&model, &Optim::default(), 10, 1);
    /// let (work, mut cache, mut logits) = (&mut Workspace::new(Level::detect()), gpt.cache(), [0.0; 10]);
    /// gpt.next(work, &mut cache, &[3, 1, 4], &mut logits);
    /// assert_eq!(cache.len(), 3);
    /// ```
    #[track_caller]
    pub fn next(&self, work: &mut Workspace, cache: &mut KvCache, tokens: &[u32], logits: &mut [f32]) {
        assert!(!tokens.is_empty(), "no token to follow");
        assert_eq!(logits.len(), self.vocabulary(), "logits are not as many as the vocabulary has tokens");
        self.check_tokens(tokens);
        // On a thread of the pool, where a product wakes others; from outside of it, each would wait for it to be woken.
        rayon::scope(|_| self.append(work, cache, tokens, logits));
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
