//! The attention half of a block: `y = x + out(attention(qkv(norm(x))))`, causal, with rotary positions.

mod cache;
mod core;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::sync::Arc;

use rayon::prelude::*;

use self::core::{Core, Scratch};
use super::dense::{TOKENS, copy_rows};
use super::{Buffer, Dense, RmsNorm, Stream, Workspace};
use crate::config::lm::Model;
use crate::error::Result;
use crate::flops::Phase;
use crate::kernels::reduce::{RopePairs, RopeTable, rope, rope_backward};
use crate::kernels::{Level, MatMut, MatRef};
use crate::module::Demand;
use crate::optim::Scope;
use crate::scratch::lend;
use crate::work::local;

pub use cache::LayerCache;

thread_local! {
    static LOCAL: Cell<Local> = Cell::default();
}

/// What a piece of work of this thread computes with.
#[derive(Default)]
struct Local {
    /// Tokens of a piece: normalised, or gathered from the heads.
    tokens: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    rstd: Vec<f32>,
    scratch: Scratch,
}

/// Norm, the products before and after, and the heads between them.
#[derive(Debug)]
pub struct Attention {
    /// Before the products.
    pub norm: RmsNorm,
    /// (3 D, D): rows of queries, of keys and of values, each head by head.
    pub qkv: Dense,
    /// (D, D).
    pub out: Dense,
    /// Of each query and each key, shared by the heads (Henry et al. 2020).
    pub qk_norm: Option<[RmsNorm; 2]>,
    rope: Arc<RopeTable>,
    heads: usize,
    /// Tokens that a token looks back on, itself included.
    window: usize,
}

crate::module!(Attention { norm, qk_norm, qkv, out } takes demand);

/// What the backward pass needs of the forward pass.
#[derive(Debug, Default)]
pub struct AttentionSaved {
    /// (T, 3 D), before norm and rotation.
    qkv: Buffer,
    /// (T, D): what the heads put out.
    o: Buffer,
    rstd: Vec<f32>,
    /// Log-sum-exp of the scores: for each sequence each head's tokens.
    log_sums: Vec<f32>,
}

/// The angles of a model's positions, which its layers share.
pub fn rotations(model: &Model) -> Arc<RopeTable> {
    Arc::new(RopeTable::new(model.context, model.head_width(), model.rope_base as f64))
}

/// How tokens look back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionOptions {
    /// Heads, which divide the width of the stream.
    pub heads: usize,
    /// Most tokens, itself included, that a token looks back on; 0 for all.
    pub window: usize,
    /// Queries and keys of each head are normalised to a length that is learned.
    pub qk_norm: bool,
}

impl From<&Model> for AttentionOptions {
    fn from(model: &Model) -> Self {
        Self { heads: model.heads, window: model.window, qk_norm: model.qk_norm }
    }
}

impl Attention {
    /// The layer of a block. `rope` has the angles of as many positions as a sequence has at most. Weights start as those of
    /// [`FeedForward`](super::FeedForward).
    ///
    /// # Errors
    ///
    /// See [`Scope::parameter`].
    ///
    /// ```
    /// use hotrow::{config::{Optim, lm::Model}, layer::{Attention, Workspace, attention::rotations}, optim::Scope};
    /// use hotrow::kernels::{Level, MatMut, MatRef};
    /// let model = Model { width: 4, heads: 1, layers: 1, ..Model::default() };
    /// let scope = Scope::fresh(&Optim::default(), 7, Level::detect());
    /// let layer = Attention::new(&scope.child("attention"), (&model).into(), (&model).into(), rotations(&model))?;
    /// let (mut y, mut saved) = ([0.0; 8], Default::default());
    /// let work = &mut Workspace::new(Level::detect());
    /// layer.forward(work, MatRef::new(&[0.5; 8], 2, 4), 2, MatMut::new(&mut y, 2, 4), &mut saved);
    /// // The same values have the same mean, wherever they stand.
    /// assert!((y[0] - y[4]).abs() < 1e-6);
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn new(scope: &Scope, stream: Stream, options: AttentionOptions, rope: Arc<RopeTable>) -> Result<Self> {
        let (Stream { width, precision, .. }, head) = (stream, stream.width / options.heads);
        let norm = |part: &str, width: usize| RmsNorm::new(&scope.child(part), width);
        Ok(Self {
            norm: norm("norm", width)?,
            qkv: Dense::new(&scope.child("qkv"), 3 * width, width, Stream::deviation(width), precision)?,
            out: Dense::new(&scope.child("out"), width, width, stream.out_deviation(width), precision)?,
            qk_norm: if options.qk_norm { Some([norm("query_norm", head)?, norm("key_norm", head)?]) } else { None },
            rope,
            heads: options.heads,
            window: if options.window == 0 { usize::MAX } else { options.window },
        })
    }

    /// Two products forward and five backward, which computes the scores anew.
    fn demand(&self) -> (&str, Demand) {
        let width = self.out.inputs() as u64;
        let demand =
            Demand { activation_bytes: 32 * width, pair_flops: 14 * width, window: self.window, ..Demand::default() };
        (self.out.parameter().name(), demand)
    }

    /// Numbers of a head.
    fn head_width(&self) -> usize {
        self.out.inputs() / self.heads
    }

    fn core(&self, level: Level) -> Core {
        let scale = 1.0 / (self.head_width() as f32).sqrt();
        Core { level, precision: self.qkv.precision(), window: self.window, scale }
    }

    /// `y` (T, D) for `x` (T, D): sequences of `length` tokens, one after the other.
    ///
    /// # Panics
    ///
    /// If the shapes disagree, or `length` is above the model's context or does not divide the tokens.
    #[track_caller]
    pub fn forward(
        &self,
        work: &mut Workspace,
        x: MatRef<f32>,
        length: usize,
        y: MatMut<f32>,
        saved: &mut AttentionSaved,
    ) {
        let (tokens, width, head) = (x.rows(), x.cols(), self.head_width());
        self.check(tokens, length);
        assert_eq!((y.rows(), y.cols()), (tokens, width), "y and x differ in shape");
        saved.qkv.shape(tokens, 3 * width);
        saved.o.shape(tokens, width);
        saved.rstd.resize(tokens, 0.0);
        saved.log_sums.resize(tokens * self.heads, 0.0);
        self.count(work, Phase::Forward, tokens, length);
        let (level, mut heads) = (work.level, work.buffer(tokens * self.heads, head));
        work.timed(Phase::Forward, |_| {
            let qkv = self.qkv.transposed(level);
            let chunks = saved.qkv.view_mut().into_chunks(TOKENS).zip(saved.rstd.chunks_mut(TOKENS));
            let chunks: Vec<_> = chunks.collect();
            chunks.into_par_iter().enumerate().for_each(|(c, (out, rstd))| {
                let rows = out.rows();
                let x = x.window(c * TOKENS..c * TOKENS + rows, 0..width);
                lend(&LOCAL, |own| {
                    let n = local(&mut own.tokens, rows * width);
                    self.norm.rows(level, x, MatMut::new(n, rows, width), rstd);
                    qkv.multiply(MatRef::new(n, rows, width), out, false);
                });
            });
        });
        work.timed(Phase::Forward, |_| {
            let (core, qkv) = (self.core(level), saved.qkv.view());
            let tasks = heads.slice_mut().par_chunks_mut(length * head);
            tasks.zip(saved.log_sums.par_chunks_mut(length)).enumerate().for_each(|(task, (o, log_sums))| {
                lend(&LOCAL, |own| {
                    let [q, k, v] = self.parts(qkv, task, length);
                    let q = self.turned(level, 0, q, &mut own.q, &mut own.rstd);
                    let k = self.turned(level, 1, k, &mut own.k, &mut own.rstd);
                    core.forward(&mut own.scratch, [q, k, v], MatMut::new(o, length, head), log_sums);
                });
            });
        });
        work.timed(Phase::Forward, |_| {
            let (out, heads) = (self.out.transposed(level), heads.view());
            let chunks: Vec<_> = y.into_chunks(TOKENS).zip(saved.o.view_mut().into_chunks(TOKENS)).collect();
            chunks.into_par_iter().enumerate().for_each(|(c, (mut y, mut o))| {
                let first = c * TOKENS;
                self.gather(heads, 1, 0, first, length, o.reborrow());
                copy_rows(x.window(first..first + y.rows(), 0..width), &mut y);
                out.multiply(o.as_ref(), y, true);
            });
        });
        work.give_back(heads);
    }

    /// `dx` (T, D), written over, for `dy` (T, D), the gradient at the output; `x` is the input that `saved` is of. Gradients of
    /// weights are added up.
    ///
    /// # Panics
    ///
    /// As [`forward`](Self::forward).
    #[track_caller]
    pub fn backward(
        &mut self,
        work: &mut Workspace,
        x: MatRef<f32>,
        length: usize,
        saved: &AttentionSaved,
        dy: MatRef<f32>,
        dx: MatMut<f32>,
    ) {
        let (tokens, width, head) = (x.rows(), x.cols(), self.head_width());
        self.check(tokens, length);
        assert_eq!((dy.rows(), dy.cols()), (tokens, width), "dy and x differ in shape");
        assert_eq!((dx.rows(), dx.cols()), (tokens, width), "dx and x differ in shape");
        assert_eq!(saved.rstd.len(), tokens, "the forward pass was of other tokens");
        self.count(work, Phase::Backward, tokens, length);
        let level = work.level;
        // The gradient at the heads' output, which then serves for the normalised input.
        let mut d_o = work.buffer(tokens, width);
        self.out.backward(work, dy, d_o.view_mut());
        self.out.accumulate(work, saved.o.view(), dy);
        let mut dheads = work.buffer(3 * tokens * self.heads, head);
        let mut dgains = work.buffer(2 * tokens / length * self.heads, head);
        work.timed(Phase::Backward, |_| {
            let (core, qkv, o, d_o) = (self.core(level), saved.qkv.view(), saved.o.view(), d_o.view());
            let tasks = dheads.slice_mut().par_chunks_mut(3 * length * head);
            let tasks = tasks.zip(dgains.slice_mut().par_chunks_mut(2 * head));
            tasks.zip(saved.log_sums.par_chunks(length)).enumerate().for_each(|(task, ((d, dgains), log_sums))| {
                lend(&LOCAL, |own| {
                    let raw = self.parts(qkv, task, length);
                    let q = self.turned(level, 0, raw[0], &mut own.q, &mut own.rstd);
                    let k = self.turned(level, 1, raw[1], &mut own.k, &mut own.rstd);
                    let [o, d_o] = [o, d_o].map(|m| self.head(m, task, length));
                    let (dq, rest) = d.split_at_mut(length * head);
                    let (dk, dv) = rest.split_at_mut(length * head);
                    let [dq, dk, dv] = [dq, dk, dv].map(|d| MatMut::new(d, length, head));
                    let d = core.backward(&mut own.scratch, [q, k, raw[2]], o, d_o, log_sums, [dq, dk, dv]);
                    let memory = (&mut own.q, &mut own.rstd);
                    self.turned_backward(level, [raw[0], raw[1]], d, dgains, memory);
                });
            });
        });
        if let Some([query, key]) = &mut self.qk_norm {
            let parts = dgains.view();
            for task in 0..parts.rows() / 2 {
                query.accumulate(parts.window(2 * task..2 * task + 1, 0..head));
                key.accumulate(parts.window(2 * task + 1..2 * task + 2, 0..head));
            }
        }
        let (mut n, mut dqkv) = (d_o, work.buffer(tokens, 3 * width));
        dgains.shape(tokens.div_ceil(TOKENS), width);
        work.timed(Phase::Backward, |_| {
            let (qkv, dheads) = (self.qkv.plain(level), dheads.view());
            let parts = n.view_mut().into_chunks(TOKENS).zip(dqkv.view_mut().into_chunks(TOKENS));
            let chunks: Vec<_> = dx.into_chunks(TOKENS).zip(parts).zip(dgains.view_mut().into_chunks(1)).collect();
            chunks.into_par_iter().enumerate().for_each(|(c, ((mut dx, (n, mut dqkv)), mut dgain))| {
                let (first, rows) = (c * TOKENS, dx.rows());
                let range = first..first + rows;
                (0..3).for_each(|part| {
                    let columns = part * width..(part + 1) * width;
                    self.gather(dheads, 3, part, first, length, dqkv.reborrow().window(0..rows, columns));
                });
                lend(&LOCAL, |own| {
                    let dn = local(&mut own.tokens, rows * width);
                    qkv.multiply(dqkv.as_ref(), MatMut::new(dn, rows, width), false);
                    let (x, mut rstd) = (x.window(range.clone(), 0..width), [0.0; TOKENS]);
                    // Again, so that the forward pass need not keep it.
                    self.norm.rows(level, x, n, &mut rstd[..rows]);
                    copy_rows(dy.window(range.clone(), 0..width), &mut dx);
                    dgain.row_mut(0).fill(0.0);
                    let dn = MatRef::new(dn, rows, width);
                    self.norm.rows_backward(level, dx, dgain.row_mut(0), dn, x, &saved.rstd[range]);
                });
            });
        });
        self.norm.accumulate(dgains.view());
        self.qkv.accumulate(work, n.view(), dqkv.view());
        [n, dqkv, dheads, dgains].into_iter().for_each(|buffer| work.give_back(buffer));
    }

    #[track_caller]
    fn check(&self, tokens: usize, length: usize) {
        let context = self.rope.positions();
        assert!(length > 0 && length <= context, "sequences of {length} tokens for a context of {context}");
        assert!(tokens.is_multiple_of(length), "{tokens} tokens are no whole sequences of {length}");
    }

    /// The products of a pass; scores of the backward pass are computed again.
    fn count(&self, work: &mut Workspace, phase: Phase, tokens: usize, length: usize) {
        self.qkv.count(work, phase, tokens);
        if phase == Phase::Forward {
            self.out.count(work, phase, tokens);
        }
        let seen = self.window.min(length) as u64;
        let pairs = (tokens / length) as u64 * (length as u64 * seen - seen * (seen - 1) / 2);
        let flops = pairs * self.out.inputs() as u64 * if phase == Phase::Forward { 4 } else { 10 };
        work.costs.count(phase, flops, flops, 0);
    }

    /// The rows of a sequence in the columns of a head: `task` is both.
    fn head<'a>(&self, m: MatRef<'a, f32>, task: usize, length: usize) -> MatRef<'a, f32> {
        let (sequence, at, head) = (task / self.heads, task % self.heads, self.head_width());
        m.window(sequence * length..(sequence + 1) * length, at * head..(at + 1) * head)
    }

    /// Queries, keys and values of a head.
    fn parts<'a>(&self, qkv: MatRef<'a, f32>, task: usize, length: usize) -> [MatRef<'a, f32>; 3] {
        let width = self.out.inputs();
        [0, 1, 2].map(|part| self.head(qkv.window(0..qkv.rows(), part * width..(part + 1) * width), task, length))
    }

    /// Queries (`part` 0) or keys (1) of positions from 0 on, normalised and rotated.
    fn turned<'a>(
        &self,
        level: Level,
        part: usize,
        raw: MatRef<f32>,
        memory: &'a mut Vec<f32>,
        rstd: &mut Vec<f32>,
    ) -> MatRef<'a, f32> {
        let (rows, head) = (raw.rows(), raw.cols());
        let out = local(memory, rows * head);
        self.turn(level, part, raw, MatMut::new(out, rows, head), 0, local(rstd, rows));
        MatRef::new(out, rows, head)
    }

    /// The same from position `first` on.
    fn turn(&self, level: Level, part: usize, raw: MatRef<f32>, mut out: MatMut<f32>, first: usize, rstd: &mut [f32]) {
        match &self.qk_norm {
            Some(norms) => norms[part].rows(level, raw, out.reborrow(), rstd),
            None => copy_rows(raw, &mut out),
        }
        rope(level, out, &self.rope, first, RopePairs::Halves);
    }

    /// From the gradients at the turned queries and keys to those at the raw ones, in place; gains' gradients are written into
    /// `dgains` (2, head).
    fn turned_backward(
        &self,
        level: Level,
        raw: [MatRef<f32>; 2],
        [dq, dk]: [MatMut<f32>; 2],
        dgains: &mut [f32],
        (memory, rstd): (&mut Vec<f32>, &mut Vec<f32>),
    ) {
        let head = dq.cols();
        let parts = raw.into_iter().zip([dq, dk]).zip(dgains.chunks_mut(head));
        for (part, ((raw, mut d), dgain)) in parts.enumerate() {
            rope_backward(level, d.reborrow(), &self.rope, 0, RopePairs::Halves);
            let Some(norms) = &self.qk_norm else { continue };
            let (rows, len) = (raw.rows(), raw.rows() * head);
            let (dn, rstd) = (local(memory, len), local(rstd, rows));
            // For `rstd` only.
            norms[part].rows(level, raw, MatMut::new(dn, rows, head), rstd);
            let mut dn = MatMut::new(dn, rows, head);
            copy_rows(d.as_ref(), &mut dn);
            (0..rows).for_each(|r| d.row_mut(r).fill(0.0));
            dgain.fill(0.0);
            norms[part].rows_backward(level, d, dgain, dn.as_ref(), raw, rstd);
        }
    }

    /// Tokens from `first` on into the rows of `out` (T, D), the heads side by side, from `heads`: for each sequence each head's
    /// `parts` matrices (length, head), of which `part` is wanted.
    fn gather(&self, heads: MatRef<f32>, parts: usize, part: usize, first: usize, length: usize, mut out: MatMut<f32>) {
        let head = self.head_width();
        for r in 0..out.rows() {
            let (sequence, position) = ((first + r) / length, (first + r) % length);
            for (h, out) in out.row_mut(r).chunks_mut(head).enumerate() {
                let task = sequence * self.heads + h;
                out.copy_from_slice(heads.row((task * parts + part) * length + position));
            }
        }
    }
}
