//! What is asked of a network beside training: exact losses, and how good samples of the head are.

use super::Gpt;
use super::block::BlockSaved;
use super::head::Head;
use crate::active::ActiveSet;
use crate::kernels::{MatMut, MatRef};
use crate::layer::{Buffer, Workspace};

impl Gpt {
    /// The exact loss of each target, in nats, into `losses`.
    ///
    /// # Panics
    ///
    /// As [`accumulate`](Self::accumulate), or if there is no loss for each target.
    #[track_caller]
    pub fn losses(&mut self, work: &mut Workspace, tokens: &[u32], targets: &[u32], length: usize, losses: &mut [f32]) {
        self.check(tokens, targets, length);
        let x = self.last(work, tokens, length);
        self.head.losses(work, &self.output, x.view(), targets, losses);
        work.give_back(x);
    }

    /// For a look at how good samples of the head are: the one that the first tokens of a chunk in training would share if `tokens`
    /// came next, and the logits of `places` of these tokens, spread evenly, or of all of them if there are fewer: (places,
    /// vocabulary). Nothing of a training changes. `None` if the head makes no samples.
    ///
    /// # Panics
    ///
    /// As [`accumulate`](Self::accumulate).
    #[track_caller]
    pub fn look(
        &mut self,
        work: &mut Workspace,
        tokens: &[u32],
        targets: &[u32],
        length: usize,
        places: usize,
    ) -> Option<(ActiveSet, Vec<f32>)> {
        self.check(tokens, targets, length);
        let Head::Sampled { sampled, .. } = &self.head else { return None };
        if sampled.index().computes_all() {
            return None;
        }
        let (count, width) = (tokens.len().min(sampled.config().chunk), self.model.width);
        let places = places.min(count);
        let x = self.last(work, tokens, length);
        let chunk = x.view().window(0..count, 0..width);
        let set = self.head.sample(work, &self.output, chunk, &targets[..count]);
        let looked = set.map(|set| {
            let some: Vec<f32> = (0..places).flat_map(|place| chunk.row(place * count / places).to_vec()).collect();
            let mut logits = vec![0.0; places * self.vocabulary()];
            let out = MatMut::new(&mut logits, places, self.vocabulary());
            self.output.forward(work, MatRef::new(&some, places, width), out);
            (set, logits)
        });
        work.give_back(x);
        looked
    }

    /// What the head sees of `tokens` (T, D), sequences of `length`; nothing is kept for a backward pass.
    fn last(&mut self, work: &mut Workspace, tokens: &[u32], length: usize) -> Buffer {
        let (count, width) = (tokens.len(), self.model.width);
        let (mut x, mut y) = (work.buffer(count, width), work.buffer(count, width));
        self.look_up(work, tokens, x.view_mut());
        self.saved.saved.resize_with(self.blocks.len(), BlockSaved::default);
        self.memories.look_up(work, tokens, length, &mut self.saved.memories);
        for (at, block) in self.blocks.iter().enumerate() {
            self.memories.forward(work, at, &mut x, &mut self.saved.memories);
            // The same memory for all blocks: nothing comes back.
            block.forward(work, x.view(), length, y.view_mut(), &mut self.saved.saved[0]);
            std::mem::swap(&mut x, &mut y);
        }
        self.saved.rstd.resize(count, 0.0);
        self.norm.forward(work, x.view(), y.view_mut(), &mut self.saved.rstd);
        work.give_back(x);
        y
    }
}
