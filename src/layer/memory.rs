//! Associative memory: each token reads the values of a few tens of slots, those whose keys are nearest to its queries
//! (Lample et al. 2019; gate and shared values of Berges et al. 2024):
//!
//! ```text
//! n = norm(x)    q[h] = query_norm(query(n)[h])    score[h, slot] = <key[slot], q[h]>
//! m = sum over heads h and their best slots of softmax(score[h])[slot] * value[slot]
//! y = x + out(m * silu(gate(n)))
//! ```
//!
//! Which slots are best has no gradient. Through their scores gradients reach keys and queries.

mod keys;
#[cfg(test)]
mod tests;
mod values;

use rayon::prelude::*;

pub use keys::{KeyTable, Keys, ProductKeys, Queries};
pub use values::{Usage, ValueTable};

use super::dense::{TOKENS, copy_rows};
use super::stream::touch_bytes;
use super::{Buffer, Dense, RmsNorm, Stream, Workspace};
use crate::config::lm::Memory;
use crate::error::Result;
use crate::flops::Phase;
use crate::kernels::reduce::{Activation, dot, softmax};
use crate::kernels::{Level, MatMut, MatRef};
use crate::module::Demand;
use crate::optim::Scope;
use crate::ragged::Ragged;

/// Everything of the memory that belongs to one block. The values belong to all of them.
#[derive(Debug)]
pub struct MemoryLayer {
    /// Before everything.
    pub norm: RmsNorm,
    /// (heads * key width, D).
    pub query: Dense,
    /// Of each head's query.
    pub query_norm: RmsNorm,
    /// Where slots are.
    pub keys: Keys,
    /// (value width, D).
    pub gate: Dense,
    /// (D, value width).
    pub out: Dense,
    heads: usize,
    reads: usize,
}

crate::module!(MemoryLayer { norm, query_norm, query, gate, out, keys } takes demand);

/// What the backward pass needs of the forward pass.
#[derive(Debug, Default)]
pub struct MemorySaved {
    /// (T, D): normalised tokens.
    n: Buffer,
    rstd: Vec<f32>,
    /// (T, heads * key width), before their norm and after.
    queries: [Buffer; 2],
    query_rstd: Vec<f32>,
    /// The slots of each token and head, and those of each token.
    slots: Ragged<u32>,
    by_token: Ragged<u32>,
    /// The softmax of the scores of each token and head.
    weights: Vec<f32>,
    /// (T, value width).
    read: Buffer,
    gate: Buffer,
}

impl MemorySaved {
    /// The slots of each token and head, best first.
    pub fn slots(&self) -> &Ragged<u32> {
        &self.slots
    }
}

impl MemoryLayer {
    /// The layer of a block. Weights start as those of a [`FeedForward`](super::FeedForward) layer; scores start with a variance of
    /// about 1, those of product keys of 2. An index of keys is built.
    ///
    /// # Errors
    ///
    /// See [`Scope::parameter`] and [`Scope::index`].
    ///
    /// # Panics
    ///
    /// If there is no slot.
    ///
    /// ```
    /// use hotrow::config::{Optim, lm::{Memory, model::Precision}};
    /// use hotrow::layer::{MemoryLayer, Stream, ValueTable, Workspace};
    /// use hotrow::{kernels::{Level, MatMut, MatRef}, optim::Scope};
    /// let config = Memory { slots: 64, key_width: 2, ..Memory::default() };
    /// let scope = Scope::fresh(&Optim::default(), 7, Level::detect());
    /// let stream = Stream { width: 4, depth: 1, precision: Precision::F32 };
    /// let layer = MemoryLayer::new(&scope.child("memory"), stream, &config)?;
    /// let values = ValueTable::new(&scope.child("values"), &config, 4)?;
    /// let (mut y, mut saved, work) = ([0.0; 4], Default::default(), &mut Workspace::new(Level::detect()));
    /// layer.forward(work, &values, MatRef::new(&[1.0; 4], 1, 4), MatMut::new(&mut y, 1, 4), &mut saved);
    /// // Four heads read eight slots each, but nothing has been written to them.
    /// assert_eq!((saved.slots().items().len(), y), (32, [1.0; 4]));
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    #[track_caller]
    pub fn new(scope: &Scope, stream: Stream, config: &Memory) -> Result<Self> {
        assert!(config.is_on(), "a memory without slots");
        let Stream { width, precision, .. } = stream;
        let (values, queries) = (config.values(width), config.heads * config.key_width);
        let dense = |part: &str, outputs: usize, inputs: usize, deviation: f32| {
            Dense::new(&scope.child(part), outputs, inputs, deviation, precision)
        };
        Ok(Self {
            norm: RmsNorm::new(&scope.child("norm"), width)?,
            query: dense("query", queries, width, Stream::deviation(width))?,
            query_norm: RmsNorm::new(&scope.child("query_norm"), config.key_width)?,
            keys: Keys::new(scope, precision, config)?,
            gate: dense("gate", values, width, Stream::deviation(width))?,
            out: dense("out", width, values, stream.out_deviation(values))?,
            heads: config.heads,
            reads: config.reads,
        })
    }

    /// Each token touches its slots, and keys of their own are rows like values.
    fn demand(&self) -> (&str, Demand) {
        let (reads, values, queries) = (self.heads * self.reads, self.gate.outputs(), self.query.outputs());
        let keys = if let Keys::Table(_) = self.keys { touch_bytes(reads, queries) } else { 0 };
        let demand = Demand { kept_bytes: touch_bytes(reads, values) + keys, ..Demand::default() };
        (self.out.parameter().name(), demand)
    }

    /// `y` (T, D) for `x` (T, D). Tokens are independent, so this is generation's step, too.
    ///
    /// # Panics
    ///
    /// If the shapes disagree, or the values are of another memory.
    #[track_caller]
    pub fn forward(
        &self,
        work: &mut Workspace,
        values: &ValueTable,
        x: MatRef<f32>,
        mut y: MatMut<f32>,
        saved: &mut MemorySaved,
    ) {
        let (tokens, width, heads, keys) = (x.rows(), x.cols(), self.heads, self.query_norm.gain.cols());
        assert_eq!((y.rows(), y.cols()), (tokens, width), "y and x differ in shape");
        assert_eq!(values.table.parameter().cols(), self.gate.outputs(), "values of another memory");
        saved.n.shape(tokens, width);
        saved.rstd.resize(tokens, 0.0);
        self.norm.forward(work, x, saved.n.view_mut(), &mut saved.rstd);
        saved.query_rstd.resize(tokens * heads, 0.0);
        saved.queries.iter_mut().for_each(|queries| queries.shape(tokens * heads, keys));
        let [raw, queries] = &mut saved.queries;
        self.query.forward(work, saved.n.view(), MatMut::new(raw.slice_mut(), tokens, heads * keys));
        self.query_norm.forward(work, raw.view(), queries.view_mut(), &mut saved.query_rstd);
        (saved.slots, saved.weights) = self.keys.find(work, Queries::new(queries.slice(), tokens, heads), self.reads);
        let level = work.level;
        let offsets = saved.slots.offsets();
        work.timed(Phase::Forward, |_| {
            offsets.windows(2).for_each(|range| {
                softmax(level, &mut saved.weights[range[0]..range[1]], None);
            });
        });
        let by_token = offsets.iter().step_by(heads).copied().collect();
        saved.by_token = Ragged::from_parts(by_token, saved.slots.items().to_vec()).expect("heads of each token");
        saved.read.shape(tokens, self.gate.outputs());
        saved.read.slice_mut().fill(0.0);
        values.table.forward_add(work, &saved.by_token, &saved.weights, saved.read.view_mut());
        saved.gate.shape(tokens, self.gate.outputs());
        self.gate.forward(work, saved.n.view(), saved.gate.view_mut());
        let mut gated = work.buffer(tokens, self.gate.outputs());
        work.timed(Phase::Forward, |_| gate(level, gated.view_mut(), saved.read.view(), saved.gate.view()));
        self.out.forward(work, gated.view(), y.reborrow());
        add(&mut y, x);
        work.give_back(gated);
    }

    /// `dx` (T, D), written over, for `dy` (T, D), the gradient at the output; `x` is the input that `saved` is of. Gradients of
    /// weights are added up, those of keys and values kept as touches.
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    #[track_caller]
    pub fn backward(
        &mut self,
        work: &mut Workspace,
        values: &mut ValueTable,
        x: MatRef<f32>,
        saved: &MemorySaved,
        dy: MatRef<f32>,
        mut dx: MatMut<f32>,
    ) {
        let (tokens, width, heads, keys) = (x.rows(), x.cols(), self.heads, self.query_norm.gain.cols());
        assert_eq!((dy.rows(), dy.cols()), (tokens, width), "dy and x differ in shape");
        assert_eq!((dx.rows(), dx.cols()), (tokens, width), "dx and x differ in shape");
        assert_eq!(saved.rstd.len(), tokens, "the forward pass was of other tokens");
        let (level, inner) = (work.level, self.gate.outputs());
        let mut take = |cols| work.buffer(tokens, cols);
        let (mut gated, mut dread, mut dgate, mut dn) = (take(inner), take(inner), take(inner), take(width));
        let (mut queries, mut dqueries) = (take(heads * keys), take(heads * keys));

        gate(level, gated.view_mut(), saved.read.view(), saved.gate.view());
        self.out.accumulate(work, gated.view(), dy);
        self.out.backward(work, dy, gated.view_mut());
        work.timed(Phase::Backward, |_| {
            let all = [dread.view_mut(), dgate.view_mut()];
            gate_backward(level, all, gated.view(), saved.read.view(), saved.gate.view());
        });
        self.gate.accumulate(work, saved.n.view(), dgate.view());
        self.gate.backward(work, dgate.view(), dn.view_mut());

        // The weights' gradient becomes that of the scores in place.
        let mut dscores = vec![0.0; saved.weights.len()];
        values.table.dots(work, Phase::Backward, &saved.by_token, dread.view(), &mut dscores);
        values.accumulate(&saved.by_token, &saved.weights, dread.view());
        for range in saved.slots.offsets().windows(2) {
            let (d, p) = (&mut dscores[range[0]..range[1]], &saved.weights[range[0]..range[1]]);
            let mean = dot(level, p, d);
            d.iter_mut().zip(p).for_each(|(d, p)| *d = p * (*d - mean));
        }
        let by_head = |buffer: &mut Buffer| buffer.shape(tokens * heads, keys);
        by_head(&mut queries);
        by_head(&mut dqueries);
        let normed = Queries::new(saved.queries[1].slice(), tokens, heads);
        self.keys.backward(work, normed, &saved.slots, &dscores, queries.slice_mut());
        dqueries.slice_mut().fill(0.0);
        let rstd = &saved.query_rstd;
        self.query_norm.backward_add(work, saved.queries[0].view(), rstd, queries.view(), dqueries.view_mut());
        let dqueries_of_tokens = MatRef::new(dqueries.slice(), tokens, heads * keys);
        self.query.accumulate(work, saved.n.view(), dqueries_of_tokens);
        let mut from_queries = work.buffer(tokens, width);
        self.query.backward(work, dqueries_of_tokens, from_queries.view_mut());
        add(&mut dn.view_mut(), from_queries.view());
        copy_rows(dy, &mut dx);
        self.norm.backward_add(work, x, &saved.rstd, dn.view(), dx);
        [gated, dread, dgate, dn, queries, dqueries, from_queries].into_iter().for_each(|b| work.give_back(b));
    }

    /// Builds the keys' index, if they have one, from the keys as they are now: before the first step, and every
    /// `rebuild_every` steps.
    pub fn rebuild(&mut self, work: &mut Workspace) {
        self.keys.rebuild(work);
    }
}

/// `a = read * silu(gate)`
fn gate(level: Level, a: MatMut<f32>, read: MatRef<f32>, gate: MatRef<f32>) {
    let chunks: Vec<MatMut<f32>> = a.into_chunks(TOKENS).collect();
    chunks.into_par_iter().enumerate().for_each(|(c, mut a)| {
        for r in 0..a.rows() {
            let (a, t) = (a.row_mut(r), c * TOKENS + r);
            a.copy_from_slice(gate.row(t));
            Activation::Silu.forward(level, a);
            a.iter_mut().zip(read.row(t)).for_each(|(a, read)| *a *= read);
        }
    });
}

/// Of [`gate`], from `da` to the gradients of `read` and `gate`.
fn gate_backward(
    level: Level,
    [dread, dgate]: [MatMut<f32>; 2],
    da: MatRef<f32>,
    read: MatRef<f32>,
    gate: MatRef<f32>,
) {
    let chunks: Vec<_> = dread.into_chunks(TOKENS).zip(dgate.into_chunks(TOKENS)).collect();
    chunks.into_par_iter().enumerate().for_each(|(c, (mut dread, mut dgate))| {
        for r in 0..dread.rows() {
            let (dread, dgate, t) = (dread.row_mut(r), dgate.row_mut(r), c * TOKENS + r);
            dread.copy_from_slice(gate.row(t));
            Activation::Silu.forward(level, dread);
            dread.iter_mut().zip(da.row(t)).for_each(|(d, da)| *d *= da);
            dgate.iter_mut().zip(da.row(t).iter().zip(read.row(t))).for_each(|(d, (da, read))| *d = da * read);
            Activation::Silu.backward(level, dgate, gate.row(t));
        }
    });
}

/// `y += x`
fn add(y: &mut MatMut<f32>, x: MatRef<f32>) {
    let chunks: Vec<MatMut<f32>> = y.reborrow().into_chunks(TOKENS).collect();
    chunks.into_par_iter().enumerate().for_each(|(c, mut y)| {
        for r in 0..y.rows() {
            y.row_mut(r).iter_mut().zip(x.row(c * TOKENS + r)).for_each(|(y, x)| *y += x);
        }
    });
}
