//! The output layer of a language model, computed for a sample of the vocabulary that the tokens of a chunk share.
//!
//! A sample is the most frequent tokens, the targets of the chunk, tokens that an index names for its positions, and random
//! tokens of all others ([`active`](crate::active)). These count for as many as they were drawn from, so that, given the rest,
//! the sum of exponentials has the right mean; the loss, its logarithm, is then low by about half of its relative variance.

use std::cell::Cell;
use std::ops::Range;

use rayon::prelude::*;

use super::dense::{Dense, TOKENS};
use super::head::{add_groups, check, join};
use super::pack::{Side, blocks, pack_rows};
use super::{Buffer, RowIndex, Workspace};
use crate::active::{ActiveOptions, ActiveSet, Selector, Sources};
use crate::config::IndexName;
use crate::config::lm::Head;
use crate::error::{Error, Result};
use crate::flops::Phase;
use crate::index::{Index, WeightsRef};
use crate::kernels::gemm::{Operand, Output, PackedPanel, gemm};
use crate::kernels::reduce::softmax;
use crate::kernels::{Level, MatMut, MatRef, UniqueRowIds};
use crate::module::Demand;
use crate::optim::{RowSet, Scope, Step};
use crate::rng::rng;
use crate::scratch::lend;

thread_local! {
    static LEFT: Cell<PackedPanel> = Cell::default();
}

/// Samples the vocabulary; the weights (vocabulary, D) are a [`Dense`] layer's, which may be the token table too. Losses for
/// evaluation are those of a [`DenseHead`](super::DenseHead).
#[derive(Debug)]
pub struct SampledHead {
    config: Head,
    hot: Vec<u32>,
    index: RowIndex,
    selector: Selector,
    seed: u64,
    width: usize,
    /// Where the tokens of all samples came from, since the head was made.
    pub sources: Sources,
    /// Pairs of a token and a row that were computed, since then.
    pub pairs: u64,
    /// (blocks, chunk * rows of a block): the logits of a block, (tokens, rows of the block).
    logits: Buffer,
    /// (blocks, chunk): log-sum-exp of a block, and the target's logit where the block has it.
    log_sums: Buffer,
    targets: Buffer,
    /// (blocks * chunk, D).
    dx: Buffer,
}

crate::module!(SampledHead { index } takes demand);

/// A chunk and its sample, as the blocks read them.
struct Chunk<'a> {
    level: Level,
    ids: &'a [u32],
    log_weights: Option<&'a [f32]>,
    /// Where the targets stand in `ids`.
    targets: &'a [u32],
}

impl Chunk<'_> {
    /// The place of a token's target in a block.
    fn target(&self, token: usize, block: &Range<usize>) -> Option<usize> {
        let at = self.targets[token] as usize;
        block.contains(&at).then(|| at - block.start)
    }
}

impl SampledHead {
    /// For the rows of `weights`. `hot` are tokens that are in every sample, such as the most frequent ones (see
    /// [`Head::hot`](Head::hot())). The index is built from the rows as they are now.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::error::Error::Config) if the configuration cannot be; see [`Scope::index`].
    ///
    /// # Panics
    ///
    /// If a hot token is not below the vocabulary.
    ///
    /// ```
    /// use hotrow::config::{IndexName, Optim, lm::{Head, head::HeadMode, model::Precision}};
    /// use hotrow::layer::{Dense, SampledHead, Workspace};
    /// use hotrow::{kernels::{Level, MatMut, MatRef}, optim::Scope};
    /// let config = Head { mode: HeadMode::Sampled, active: 20, tail: 0.5, index: IndexName::Random, ..Head::default() };
    /// let scope = Scope::fresh(&Optim::default(), 7, Level::detect()).child("head");
    /// let mut weights = Dense::new(&scope, 50, 2, 0.0, Precision::F32)?;
    /// let mut head = SampledHead::new(&scope, &config, vec![0, 1], &weights)?;
    /// let (work, mut dx) = (&mut Workspace::new(Level::detect()), [1.0; 2]);
    /// let x = MatRef::new(&[1.0, 2.0], 1, 2);
    /// // All logits are zero, so any sample gives the right loss.
    /// let loss = head.accumulate(work, &mut weights, x, &[7], 0, MatMut::new(&mut dx, 1, 2));
    /// assert!((loss - 50f64.ln()).abs() < 1e-5);
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    #[track_caller]
    pub fn new(scope: &Scope, config: &Head, hot: Vec<u32>, weights: &Dense) -> Result<Self> {
        config.check()?;
        let (vocabulary, width) = (weights.outputs(), weights.inputs());
        let (rows, tail) = (config.rows(vocabulary), config.tail(vocabulary));
        if config.index != IndexName::All && rows < vocabulary && tail == 0 {
            let message =
                format!("{} of the {rows} tokens of a sample is none: nothing stands for the rest", config.tail);
            return Err(Error::config("head.tail", message));
        }
        let wrong = hot.iter().find(|&&token| token as usize >= vocabulary);
        assert!(wrong.is_none(), "hot token {wrong:?} is not below the vocabulary {vocabulary}");
        let options = ActiveOptions { rows: vocabulary, active: rows, tail: config.tail, correction: true };
        let index = RowIndex::new(scope, &config.options(), vocabulary, width, config.rebuild_every);
        let mut head = Self {
            config: config.clone(),
            hot,
            index: index.map_err(|error| error.of_section("head"))?,
            selector: Selector::new(options),
            seed: scope.seed(),
            width,
            sources: Sources::default(),
            pairs: 0,
            logits: Buffer::default(),
            log_sums: Buffer::default(),
            targets: Buffer::default(),
            dx: Buffer::default(),
        };
        if scope.builds_indexes() {
            head.rebuild(&mut Workspace::new(scope.level()), weights);
        }
        Ok(head)
    }

    /// How it is configured.
    pub fn config(&self) -> &Head {
        &self.config
    }

    /// The index, for checkpoints and statistics.
    pub fn index(&self) -> &dyn Index {
        self.index.get()
    }

    /// Builds the index from the weights as they are now.
    ///
    /// # Panics
    ///
    /// If the weights are of another vocabulary.
    #[track_caller]
    pub fn rebuild(&mut self, work: &mut Workspace, weights: &Dense) {
        assert_eq!(weights.outputs(), self.index.len(), "weights of another vocabulary");
        self.index.rebuild(work, WeightsRef::F32(weights.weights()));
    }

    /// After a step: rebuilds the index from the weights as they are now, if that is due.
    pub(crate) fn follow(&mut self, work: &mut Workspace, weights: &Dense, step: &Step) {
        self.index.follow(work, WeightsRef::F32(weights.weights()), step);
    }

    /// Logits of a chunk. An exact index compares with every row.
    fn demand(&self) -> (&str, Demand) {
        let (vocabulary, rows) = (self.index.len(), self.config.computed(self.index.len()));
        let exact = self.config.index == IndexName::Exact;
        let flops = if exact { (2 * vocabulary * self.width) as u64 } else { 0 };
        let scratch_bytes = 4 * (self.config.chunk * rows) as u64;
        ("head", Demand { scratch_bytes, flops, ..Demand::default() })
    }

    /// Sum of the estimated losses of `targets` (T), in nats, for `x` (T, D); `dx` (T, D) is written over with the gradient of the
    /// sum, and that of the weights is added up. `draw` is the number of the first token in the run: random tokens follow from
    /// it and the seed.
    ///
    /// # Panics
    ///
    /// If the shapes disagree or a target is no row of the weights.
    #[track_caller]
    pub fn accumulate(
        &mut self,
        work: &mut Workspace,
        weights: &mut Dense,
        x: MatRef<f32>,
        targets: &[u32],
        draw: u64,
        mut dx: MatMut<f32>,
    ) -> f64 {
        check(weights, x, targets);
        assert_eq!(weights.outputs(), self.index.len(), "weights of another vocabulary");
        assert_eq!((dx.rows(), dx.cols()), (x.rows(), x.cols()), "dx and x differ in shape");
        let (width, mut losses, mut sum) = (x.cols(), Vec::new(), 0.0);
        for from in (0..x.rows()).step_by(self.config.chunk) {
            let range = from..x.rows().min(from + self.config.chunk);
            let (part, targets) = (x.window(range.clone(), 0..width), &targets[range.clone()]);
            let set = self.sample(work, weights, part, targets, draw + from as u64);
            self.sources += set.sources;
            let all: Vec<u32>;
            let ids = match set.rows() {
                RowSet::Some(ids) => ids.as_slice(),
                RowSet::All(rows) => {
                    all = (0..rows as u32).collect();
                    &all
                }
            };
            let at = |target: &u32| ids.binary_search(target).expect("targets are in the sample") as u32;
            let targets: Vec<u32> = targets.iter().map(at).collect();
            let chunk = Chunk { level: work.level, ids, log_weights: set.log_weights(), targets: &targets };
            self.pairs += (range.len() * ids.len()) as u64;
            let (executed, dense) = (range.len() * width * ids.len(), range.len() * width * weights.outputs());
            work.costs.count(Phase::Gemm, 6 * executed as u64, 6 * dense as u64, 4 * (ids.len() * width) as u64);
            losses.clear();
            losses.resize(range.len(), 0.0);
            self.forward(work, &chunk, weights, part, &mut losses);
            sum += losses.iter().map(|&loss| loss as f64).sum::<f64>();
            self.backward(work, &chunk, weights, part, dx.reborrow().window(range, 0..width));
        }
        sum
    }

    /// The tokens that positions `x` (T, D) with the given `targets` share as their sample; arguments as those of
    /// [`accumulate`](Self::accumulate), of one chunk.
    ///
    /// # Panics
    ///
    /// If the shapes disagree or a target is no row of the weights.
    #[track_caller]
    pub fn sample(
        &mut self,
        work: &mut Workspace,
        weights: &Dense,
        x: MatRef<f32>,
        targets: &[u32],
        draw: u64,
    ) -> ActiveSet {
        if self.index().computes_all() {
            return ActiveSet::all(weights.outputs());
        }
        let hits = self.index.select(work, WeightsRef::F32(weights.weights()), x, self.config.hits, draw);
        work.timed(Phase::Select, |_| {
            let hits: Vec<&[u32]> = hits.iter().collect();
            self.selector.shared([&self.hot[..], targets], &hits, &mut rng(self.seed, "head/tail", draw))
        })
    }

    /// The losses, and for the backward pass the softmax of each block by itself and its share.
    fn forward(&mut self, work: &mut Workspace, chunk: &Chunk, weights: &Dense, x: MatRef<f32>, losses: &mut [f32]) {
        let (level, precision, tokens) = (chunk.level, weights.precision(), x.rows());
        let ranges: Vec<Range<usize>> = blocks(0..chunk.ids.len()).collect();
        let rows = RowSet::Some(UniqueRowIds::new(chunk.ids, weights.outputs()).expect("increasing"));
        let parts = |p: usize| p * TOKENS..tokens.min((p + 1) * TOKENS);
        let lefts = tokens.div_ceil(TOKENS);
        work.timed(Phase::Gather, |work| {
            let w = weights.weights();
            pack_rows(&mut work.panels, level, precision, w, rows, 0..chunk.ids.len(), Side::Transposed);
            work.lefts.resize_with(lefts.max(work.lefts.len()), PackedPanel::new);
            work.lefts[..lefts].par_iter_mut().enumerate().for_each(|(p, left)| {
                left.pack_left(level, precision, Operand::new(x.window(parts(p), 0..x.cols())));
            });
        });
        let longest = ranges.first().map_or(0, Range::len);
        self.logits.shape(ranges.len(), tokens * longest);
        self.log_sums.shape(ranges.len(), tokens);
        self.targets.shape(ranges.len(), tokens);
        work.timed(Phase::Gemm, |work| {
            let logits: Vec<MatMut<f32>> = self.logits.view_mut().into_chunks(1).collect();
            let sums = self.log_sums.slice_mut().par_chunks_mut(tokens);
            let found = self.targets.slice_mut().par_chunks_mut(tokens);
            let all = logits.into_par_iter().zip(sums.zip(found)).zip(work.panels.par_iter().zip(&ranges));
            all.for_each(|((mut logits, (sums, found)), (panel, block))| {
                let width = block.len();
                for (p, left) in work.lefts[..lefts].iter().enumerate() {
                    let part = parts(p);
                    let out = &mut logits.row_mut(0)[part.start * width..part.end * width];
                    gemm(level, Output::new(MatMut::new(out, part.len(), width)), left, panel);
                    for (logits, token) in out.chunks_mut(width).zip(part) {
                        // Targets weigh 1.
                        found[token] = chunk.target(token, block).map_or(0.0, |at| logits[at]);
                        let log_weights = chunk.log_weights.map(|weights| &weights[block.clone()]);
                        sums[token] = softmax(level, logits, log_weights);
                    }
                }
            });
            join(&mut self.log_sums, &self.targets, losses);
        });
    }

    /// From what [`forward`](Self::forward) kept: the gradient of the sampled rows, added to, and `dx`, written over.
    fn backward(&mut self, work: &mut Workspace, chunk: &Chunk, weights: &mut Dense, x: MatRef<f32>, dx: MatMut<f32>) {
        let (level, precision, tokens, width) = (chunk.level, weights.precision(), x.rows(), x.cols());
        let ranges: Vec<Range<usize>> = blocks(0..chunk.ids.len()).collect();
        let rows = RowSet::Some(UniqueRowIds::new(chunk.ids, weights.outputs()).expect("increasing"));
        work.timed(Phase::Gather, |work| {
            let w = weights.weights();
            pack_rows(&mut work.panels, level, precision, w, rows, 0..chunk.ids.len(), Side::Plain);
            work.rights.resize_with(work.rights.len().max(1), PackedPanel::new);
            work.rights[0].pack_right(level, precision, Operand::new(x));
        });
        work.timed(Phase::Gemm, |work| {
            self.dx.shape(ranges.len() * tokens, width);
            let shares = self.log_sums.view();
            // Each block gets the rows from its first to its last, of which its own are written.
            let (mut rest, mut first, mut gradients) = (weights.gradient_mut(), 0, Vec::new());
            for block in &ranges {
                let end = chunk.ids[block.end - 1] as usize + 1;
                let (piece, tail) = rest.split_at_mut((end - first) * width);
                gradients.push((first as u32, MatMut::new(piece, end - first, width)));
                (rest, first) = (tail, end);
            }
            let logits: Vec<MatMut<f32>> = self.logits.view_mut().into_chunks(1).collect();
            let sums: Vec<MatMut<f32>> = self.dx.view_mut().into_chunks(tokens).collect();
            let all =
                logits.into_par_iter().zip(sums).zip(gradients).zip(work.panels.par_iter().zip(&ranges)).enumerate();
            all.for_each(|(b, (((mut logits, mut dx), (first, mut gradient)), (panel, block)))| {
                let rows = block.len();
                let dz = &mut logits.row_mut(0)[..tokens * rows];
                for (token, dz) in dz.chunks_mut(rows).enumerate() {
                    let share = shares.row(b)[token];
                    dz.iter_mut().for_each(|dz| *dz *= share);
                    chunk.target(token, block).into_iter().for_each(|at| dz[at] -= 1.0);
                }
                let dz = MatRef::new(dz, tokens, rows);
                lend(&LEFT, |left| {
                    for from in (0..tokens).step_by(TOKENS) {
                        let part = from..tokens.min(from + TOKENS);
                        left.pack_left(level, precision, Operand::new(dz.window(part.clone(), 0..rows)));
                        gemm(level, Output::new(dx.reborrow().window(part, 0..width)), left, panel);
                    }
                    for from in (0..rows).step_by(TOKENS) {
                        let part = from..rows.min(from + TOKENS);
                        left.pack_left(level, precision, Operand::new(dz.window(0..tokens, part.clone())).transposed());
                        let ids: Vec<u32> = chunk.ids[block.clone()][part].iter().map(|id| id - first).collect();
                        let ids = UniqueRowIds::new(&ids, gradient.rows()).expect("rows of this piece, increasing");
                        gemm(level, Output::scattered(gradient.reborrow(), ids).added(), left, &work.rights[0]);
                    }
                });
            });
            add_groups(self.dx.view(), dx);
        });
    }
}

#[cfg(test)]
mod tests;
