//! The feed-forward half of a block, with neurons in blocks of which a token computes a few:
//!
//! ```text
//! n = norm(x)    s = router(n)    chosen: the blocks with the largest s + offset    g = c softmax(s[chosen]), c their number
//! y = x + sum over chosen blocks b of g[b] sum over neurons j of b of relu(<up[j], n>)^2 down[j]
//! ```
//!
//! Tokens are grouped by block, so that products have as many rows as a block has tokens and tiles stay full: a fine-grained
//! mixture of experts (Krajewski et al. 2024), with offsets that even out the use of blocks instead of a loss that does
//! (Wang et al. 2024).

mod route;
#[cfg(test)]
mod tests;

use std::cell::Cell;

use rayon::prelude::*;

use self::route::{Piece, add_entries, choose, pieces, scores_backward};
use super::dense::{TOKENS, copy_rows};
use super::{Buffer, Dense, RmsNorm, Stream, Workspace};
use crate::error::Result;
use crate::flops::Phase;
use crate::kernels::gemm::{Operand, Output, PackedPanel, Precision, gemm};
use crate::kernels::reduce::{Activation, dot};
use crate::kernels::{Level, MatMut, MatRef, RowIds};
use crate::module::Demand;
use crate::optim::{Init, Parameter, Scope, Step};
use crate::ragged::Ragged;
use crate::scratch::lend;
use crate::work::local;

thread_local! {
    static LOCAL: Cell<Local> = Cell::default();
}

/// Memory of a thread.
#[derive(Debug, Default)]
struct Local {
    /// Left and right factor.
    panels: [PackedPanel; 2],
    /// (tokens of a piece, neurons): what neurons say.
    a: Vec<f32>,
}

/// Norm, router, blocks of neurons, and the residual.
#[derive(Debug)]
pub struct BlockFeedForward {
    /// Before everything.
    pub norm: RmsNorm,
    /// (blocks, D).
    pub router: Dense,
    /// (inner, D): up projections.
    pub up: Dense,
    /// (inner, D): down projections.
    pub down: Dense,
    /// (blocks, 1): added to scores when blocks are chosen.
    offsets: Parameter,
    /// Tokens that chose each block since the last update.
    load: Vec<u64>,
    neurons: usize,
    chosen: usize,
    balance: f32,
}

crate::module!(BlockFeedForward { norm, router, up, down, offsets } then balance takes demand);

/// How neurons are divided and chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockFeedForwardOptions {
    /// Neurons of a block: 32 or more fill the tiles of a product.
    pub neurons: usize,
    /// Blocks that a token computes.
    pub chosen: usize,
    /// How far a step moves the offset of an over-used or under-used block; 0 for not at all.
    pub balance: f32,
}

/// What the backward pass needs of the forward pass.
#[derive(Debug, Default)]
pub struct BlockFeedForwardSaved {
    /// (T, D): normalised tokens.
    n: Buffer,
    rstd: Vec<f32>,
    /// (T, chosen): blocks, best first, and their share.
    blocks: Vec<u32>,
    shares: Vec<f32>,
    /// The entries of `blocks` by block.
    by_block: Ragged<u32>,
    /// (entries by block, neurons), before the function.
    hidden: Buffer,
}

impl BlockFeedForward {
    /// The layer of a block, with `inner` neurons. Neurons start as those of a [`FeedForward`](super::FeedForward) layer.
    ///
    /// # Errors
    ///
    /// See [`Scope::parameter`].
    ///
    /// # Panics
    ///
    /// If neurons do not divide into blocks or there are fewer than a token chooses.
    ///
    /// ```
    /// use hotrow::config::{Optim, lm::model::Precision};
    /// use hotrow::layer::{BlockFeedForward, BlockFeedForwardOptions, Stream, Workspace};
    /// use hotrow::{kernels::{Level, MatMut, MatRef}, optim::Scope};
    /// let scope = Scope::fresh(&Optim::default(), 7, Level::detect());
    /// let stream = Stream { width: 4, depth: 1, precision: Precision::F32 };
    /// let options = BlockFeedForwardOptions { neurons: 4, chosen: 2, balance: 0.001 };
    /// let layer = BlockFeedForward::new(&scope.child("feed_forward"), stream, 16, options)?;
    /// let (mut y, mut saved, work) = ([0.0; 4], Default::default(), &mut Workspace::new(Level::detect()));
    /// layer.forward(work, MatRef::new(&[0.0; 4], 1, 4), MatMut::new(&mut y, 1, 4), &mut saved);
    /// assert_eq!(y, [0.0; 4]);
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    #[track_caller]
    pub fn new(scope: &Scope, stream: Stream, inner: usize, options: BlockFeedForwardOptions) -> Result<Self> {
        let (width, BlockFeedForwardOptions { neurons, chosen, balance }) = (stream.width, options);
        assert!(inner.is_multiple_of(neurons), "{inner} neurons are no blocks of {neurons}");
        let blocks = inner / neurons;
        assert!((1..=blocks).contains(&chosen), "{chosen} of {blocks} blocks");
        let dense = |part: &str, outputs: usize, deviation: f32| {
            Dense::new(&scope.child(part), outputs, width, deviation, stream.precision)
        };
        let of_blocks = |layer: Dense| layer.in_panels_of(neurons).of_which_a_token_has(chosen * neurons);
        Ok(Self {
            norm: RmsNorm::new(&scope.child("norm"), width)?,
            router: dense("router", blocks, Stream::deviation(width))?,
            up: of_blocks(dense("up", inner, Stream::deviation(width))?),
            down: of_blocks(dense("down", inner, stream.out_deviation(inner))?),
            // They have no gradient: `balance` moves them.
            offsets: scope.ruleless("offsets", blocks, 1, Init::Zeros)?,
            load: vec![0; blocks],
            neurons,
            chosen,
            balance,
        })
    }

    fn demand(&self) -> (&str, Demand) {
        let numbers = 2 * self.down.inputs() + self.down.outputs();
        (self.down.parameter().name(), Demand { activation_bytes: 4 * numbers as u64, ..Demand::default() })
    }

    fn blocks(&self) -> usize {
        self.router.outputs()
    }

    /// `y` (T, D) for `x` (T, D).
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    #[track_caller]
    pub fn forward(&self, work: &mut Workspace, x: MatRef<f32>, mut y: MatMut<f32>, saved: &mut BlockFeedForwardSaved) {
        let (tokens, width, chosen) = (x.rows(), x.cols(), self.chosen);
        assert_eq!((y.rows(), y.cols()), (tokens, width), "y and x differ in shape");
        saved.n.shape(tokens, width);
        saved.rstd.resize(tokens, 0.0);
        self.norm.forward(work, x, saved.n.view_mut(), &mut saved.rstd);
        let mut scores = work.buffer(tokens, self.blocks());
        self.router.forward(work, saved.n.view(), scores.view_mut());
        let level = work.level;
        work.timed(Phase::Select, |_| {
            (saved.blocks, saved.shares) = choose(level, scores.view(), self.offsets.f32(), chosen);
            let entries: Vec<u32> = (0..saved.blocks.len() as u32).collect();
            saved.by_block = Ragged::group(self.blocks(), &entries, |&entry| saved.blocks[entry as usize] as usize);
        });
        work.give_back(scores);
        self.count(work, Phase::Forward, tokens);
        saved.hidden.shape(tokens * chosen, self.neurons);
        let mut outputs = work.buffer(tokens * chosen, width);
        work.timed(Phase::Forward, |_| {
            let (n, with) = (saved.n.view(), (level, self.up.precision()));
            let (up, down) = (self.up.transposed(level).panels, self.down.plain(level).panels);
            let pieces = pieces(&saved.by_block, [&mut saved.hidden, &mut outputs]);
            pieces.into_par_iter().for_each(|Piece { block, entries, parts, .. }| {
                let [mut hidden, outputs] = parts;
                lend(&LOCAL, |Local { panels: [left, _], a }| {
                    let ids = tokens_of(entries, chosen);
                    multiply(with, left, gathered(n, &ids), &up[block], hidden.reborrow());
                    let a = local(a, entries.len() * self.neurons);
                    a.chunks_mut(self.neurons).zip(entries).enumerate().for_each(|(r, (a, &entry))| {
                        scaled_activation(level, saved.shares[entry as usize], hidden.as_ref().row(r), a);
                    });
                    let a = Operand::new(MatRef::new(a, entries.len(), self.neurons));
                    multiply(with, left, a, &down[block], outputs);
                });
            });
            copy_rows(x, &mut y);
            add_entries(&saved.by_block, chosen, outputs.view(), y);
        });
        work.give_back(outputs);
    }

    /// `dx` (T, D), written over, for `dy` (T, D), the gradient at the output; `x` is the input that `saved` is of. Gradients of
    /// weights are added up.
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    #[track_caller]
    pub fn backward(
        &mut self,
        work: &mut Workspace,
        x: MatRef<f32>,
        saved: &BlockFeedForwardSaved,
        dy: MatRef<f32>,
        mut dx: MatMut<f32>,
    ) {
        let (tokens, width, chosen, neurons) = (x.rows(), x.cols(), self.chosen, self.neurons);
        assert_eq!((dy.rows(), dy.cols()), (tokens, width), "dy and x differ in shape");
        assert_eq!((dx.rows(), dx.cols()), (tokens, width), "dx and x differ in shape");
        assert_eq!(saved.rstd.len(), tokens, "the forward pass was of other tokens");
        (0..2).for_each(|_| self.count(work, Phase::Backward, tokens));
        saved.blocks.iter().for_each(|&block| self.load[block as usize] += 1);
        let (level, precision, entries) = (work.level, self.up.precision(), tokens * chosen);
        let with = (level, precision);
        let mut take = |rows, cols| work.buffer(rows, cols);
        // Of each entry, by block: the activations of its neurons, the gradient of what they heard, of the input, and of its share.
        let (mut a, mut dhidden, mut dinput) = (take(entries, neurons), take(entries, neurons), take(entries, width));
        let (mut dshares, mut dscores, mut dn) = (take(entries, 1), take(tokens, self.blocks()), take(tokens, width));
        work.timed(Phase::Backward, |_| {
            let parts = [&mut dhidden, &mut a, &mut dinput, &mut dshares];
            let hidden = saved.hidden.view();
            let (up, down) = (self.up.plain(level).panels, self.down.transposed(level).panels);
            let pieces = pieces(&saved.by_block, parts);
            pieces.into_par_iter().for_each(|Piece { block, first, entries: some, parts }| {
                let [mut dhidden, mut a, dinput, mut dshare] = parts;
                lend(&LOCAL, |Local { panels: [left, _], .. }| {
                    let ids = tokens_of(some, chosen);
                    multiply(with, left, gathered(dy, &ids), &down[block], dhidden.reborrow());
                    for (r, &entry) in some.iter().enumerate() {
                        let (share, hidden) = (saved.shares[entry as usize], hidden.row(first + r));
                        let (a, d) = (a.row_mut(r), dhidden.row_mut(r));
                        scaled_activation(level, 1.0, hidden, a);
                        dshare.row_mut(r)[0] = dot(level, a, d);
                        a.iter_mut().zip(d.iter_mut()).for_each(|(a, d)| (*a, *d) = (share * *a, share * *d));
                        Activation::ReluSquared.backward(level, d, hidden);
                    }
                    multiply(with, left, Operand::new(dhidden.as_ref()), &up[block], dinput);
                });
            });
            dn.slice_mut().fill(0.0);
            add_entries(&saved.by_block, chosen, dinput.view(), dn.view_mut());
            let shares = [dshares.slice(), &saved.shares];
            scores_backward(&saved.by_block, &saved.blocks, shares, dscores.view_mut());
            let sum = |dense: &mut Dense, left: MatRef<f32>, right: MatRef<f32>| {
                dense.gradient_mut().par_chunks_mut(neurons * width).enumerate().for_each(|(b, gradient)| {
                    let mut gradient = MatMut::new(gradient, neurons, width);
                    for (p, some) in saved.by_block.row(b).chunks(TOKENS).enumerate() {
                        let first = saved.by_block.offsets()[b] + p * TOKENS;
                        let left = left.window(first..first + some.len(), 0..neurons);
                        lend(&LOCAL, |Local { panels: [packed_left, packed_right], .. }| {
                            packed_left.pack_left(level, precision, Operand::new(left).transposed());
                            let ids = tokens_of(some, chosen);
                            packed_right.pack_right(level, precision, gathered(right, &ids));
                            gemm(level, Output::new(gradient.reborrow()).added(), packed_left, packed_right);
                        });
                    }
                });
            };
            sum(&mut self.up, dhidden.view(), saved.n.view());
            sum(&mut self.down, a.view(), dy);
        });
        self.router.accumulate(work, saved.n.view(), dscores.view());
        let mut from_router = work.buffer(tokens, width);
        self.router.backward(work, dscores.view(), from_router.view_mut());
        dn.slice_mut().iter_mut().zip(from_router.slice()).for_each(|(sum, d)| *sum += d);
        copy_rows(dy, &mut dx);
        self.norm.backward_add(work, x, &saved.rstd, dn.view(), dx);
        [a, dhidden, dinput, dshares, dscores, dn, from_router].into_iter().for_each(|b| work.give_back(b));
    }

    /// One pass through the chosen blocks.
    fn count(&self, work: &mut Workspace, phase: Phase, tokens: usize) {
        let flops = |neurons: usize| 4 * (tokens * self.up.inputs() * neurons) as u64;
        let bytes = 8 * (self.up.outputs() * self.up.inputs()) as u64;
        work.costs.count(phase, flops(self.chosen * self.neurons), flops(self.up.outputs()), bytes);
    }

    /// Share of the tokens since the last update that each block had, times the number of blocks: 1 for even use.
    pub fn load(&self) -> Vec<f64> {
        let all: u64 = self.load.iter().sum();
        self.load.iter().map(|&load| (load * self.load.len() as u64) as f64 / all.max(1) as f64).collect()
    }

    /// Offsets of blocks with more than their part of the tokens of a step fall, the others rise.
    fn balance(&mut self, _work: &mut Workspace, _step: &Step) {
        let load = self.load();
        if self.load.iter().any(|&load| load > 0) && !self.offsets.is_frozen() {
            let by = self.balance;
            for (offset, load) in self.offsets.f32_mut().iter_mut().zip(load) {
                *offset += by * (if load > 1.0 { -1.0 } else { f32::from(load < 1.0) });
            }
        }
        self.load.fill(0);
    }

    /// The offsets of blocks.
    pub fn offsets(&self) -> &[f32] {
        self.offsets.f32()
    }

    /// As [`offsets`](Self::offsets), to be written.
    pub fn offsets_mut(&mut self) -> &mut [f32] {
        self.offsets.f32_mut()
    }
}

/// The tokens of entries, of which each token has `chosen`.
fn tokens_of(entries: &[u32], chosen: usize) -> Vec<u32> {
    entries.iter().map(|entry| entry / chosen as u32).collect()
}

fn gathered<'a>(m: MatRef<'a, f32>, rows: &'a [u32]) -> Operand<'a, f32> {
    Operand::gathered(m, RowIds::new(rows, m.rows()).expect("tokens of the batch"))
}

/// `out = left right`, on this thread; `packed` is memory.
fn multiply(
    (level, precision): (Level, Precision),
    packed: &mut PackedPanel,
    left: Operand<f32>,
    right: &PackedPanel,
    out: MatMut<f32>,
) {
    packed.pack_left(level, precision, left);
    gemm(level, Output::new(out), packed, right);
}

/// `a = share * relu(hidden)^2`
fn scaled_activation(level: Level, share: f32, hidden: &[f32], a: &mut [f32]) {
    a.copy_from_slice(hidden);
    Activation::ReluSquared.forward(level, a);
    a.iter_mut().for_each(|a| *a *= share);
}
