//! Memory of n-grams: rows that the last tokens name by their hash, added to the residual stream `x[t] += scale * e[t]`, with
//! `e[t] = sum over orders of sign * (row of head 0, row of head 1, ...)`.
//!
//! Rows start as zeros, scales as ones. Engram (2026) has a gate for each token, too, where the speed runs of modded-nanogpt did
//! better without one: [`Gates`] are there for who asks for them. Row numbers depend on tokens alone, so all of them are known
//! before the forward pass, and what is read does not wait for it.

mod gate;

pub use gate::Gates;

use rayon::prelude::*;

use self::gate::GateSaved;
use super::dense::TOKENS;
use super::stream::touch_bytes;
use super::{Buffer, RowTable, Workspace};
use crate::config::Storage;
use crate::config::lm::Ngram;
use crate::config::lm::ngram::GateKind;
use crate::error::Result;
use crate::flops::Phase;
use crate::kernels::hash::NgramHash;
use crate::kernels::reduce::dot;
use crate::kernels::{Level, MatMut, MatRef};
use crate::module::Demand;
use crate::optim::{Init, Parameter, Scope};
use crate::ragged::Ragged;

/// Tables of all orders and heads, and a scale for each layer that they are added at.
///
/// Another program finds the same rows so. With `mix` the output function of SplitMix64 and all numbers modulo 2^64, the
/// coefficients of an order `n` are the words `mix(s + g), mix(s + 2 g), ..` with `g = 0x9e3779b97f4a7c15` and
/// `s = mix(seed ^ n g ^ mix(0x96))`, where `seed` is that of the run (`train.seed`): for each head `b, a_0, .., a_(n-1)`.
/// The n-gram of the tokens `t_0` (newest) to `t_(n-1)` has the row `((b + sum_j a_j t_j) >> 32) * rows >> 32` of its head, where
/// 2^32 - 1 stands for a token before the first. Its sign is that of the same hash to two buckets with `seed ^ 2^63` for `seed`.
#[derive(Debug)]
pub struct NgramMemory {
    /// (orders * heads * rows, width / heads): the rows of the first order's first head, those of its second head, ...
    pub table: RowTable,
    /// (layers, 1), from ones.
    pub scales: Parameter,
    /// With `ngram.gate = "gate"`.
    pub gates: Option<Gates>,
    orders: Vec<Order>,
    config: Ngram,
    width: usize,
}

crate::module!(NgramMemory { table, scales, gates } takes demand);

#[derive(Debug)]
struct Order {
    rows: NgramHash,
    signs: Option<NgramHash>,
}

/// What has been read for a batch, and its gradient.
#[derive(Debug, Default)]
pub struct NgramSaved {
    /// For each token and head the row of each order.
    ids: Ragged<u32>,
    signs: Vec<f32>,
    /// (T, D).
    read: Buffer,
    /// (T, D), once a layer has added to it.
    dread: Option<Buffer>,
    /// Of each layer, where there are gates.
    gates: Vec<GateSaved>,
}

impl NgramSaved {
    /// What was read: (T, D).
    pub fn read(&self) -> MatRef<'_, f32> {
        self.read.view()
    }

    /// The rows of each token and head, one of each order.
    pub fn ids(&self) -> &Ragged<u32> {
        &self.ids
    }
}

impl NgramMemory {
    /// Tables of zeros for a stream of `width` numbers, to which rows are added before `layers` blocks. Hashes follow from the seed of the
    /// scope.
    ///
    /// # Errors
    ///
    /// See [`Scope::parameter`].
    ///
    /// # Panics
    ///
    /// If there is no row, or heads do not divide the width.
    ///
    /// ```
    /// use hotrow::config::{Optim, lm::Ngram};
    /// use hotrow::layer::{NgramMemory, Workspace, ngram::NgramSaved};
    /// use hotrow::{kernels::Level, optim::Scope};
    /// let scope = Scope::fresh(&Optim::default(), 7, Level::detect());
    /// let memory = NgramMemory::new(&scope.child("ngram"), &Ngram { rows: 1000, ..Ngram::default() }, 128, 4)?;
    /// let mut saved = NgramSaved::default();
    /// memory.look_up(&mut Workspace::new(Level::detect()), &[5, 6, 5, 6], 4, &mut saved);
    /// // Token by token and head by head, a row of each order: the bigram (5, 6) is there twice.
    /// assert_eq!(saved.ids().row(2)[0], saved.ids().row(6)[0]);
    /// assert_ne!(saved.ids().row(2)[1], saved.ids().row(6)[1]);
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    #[track_caller]
    pub fn new(scope: &Scope, config: &Ngram, width: usize, layers: usize) -> Result<Self> {
        assert!(config.is_on(), "an n-gram memory without rows");
        assert!(width.is_multiple_of(config.heads), "{} heads for a width of {width}", config.heads);
        let (rows, cols) = (config.all_rows(), width / config.heads);
        let hash = |order: usize, buckets: usize, purpose: u64| {
            let seed = scope.seed() ^ (order as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ purpose;
            NgramHash::new(seed, order, config.heads, buckets as u32).expect("checked by the configuration")
        };
        let order = |&order: &usize| Order {
            rows: hash(order, config.rows, 0),
            signs: config.signs.then(|| hash(order, 2, 1 << 63)),
        };
        let gates = (config.gate == GateKind::Gate).then(|| Gates::new(&scope.child("gate"), layers, width));
        Ok(Self {
            table: RowTable::new(scope.parameter("weight", rows, cols, config.storage, Init::Zeros)?),
            scales: scope.parameter("scale", layers, 1, Storage::F32, Init::Constant(1.0))?.with_few_gradients(),
            gates: gates.transpose()?,
            orders: config.orders.iter().map(order).collect(),
            config: config.clone(),
            width,
        })
    }

    /// Each token touches a row of each table. With gates it keeps the stream before each layer, and four numbers more.
    fn demand(&self) -> (&str, Demand) {
        let layers = if self.gates.is_some() { self.scales.rows() } else { 0 };
        let demand = Demand {
            activation_bytes: 4 * (layers * (self.width + 4)) as u64,
            kept_bytes: touch_bytes(self.config.heads * self.orders.len(), self.width),
            ..Demand::default()
        };
        (self.table.parameter().name(), demand)
    }

    /// How it is configured.
    pub fn config(&self) -> &Ngram {
        &self.config
    }

    /// Reads the rows of `tokens` (T), sequences of `length` one after the other; n-grams do not reach from one into the next.
    ///
    /// # Panics
    ///
    /// If `length` is 0.
    #[track_caller]
    pub fn look_up(&self, work: &mut Workspace, tokens: &[u32], length: usize, saved: &mut NgramSaved) {
        assert!(length > 0, "sequences without tokens");
        let level = work.level;
        saved.dread = None;
        work.timed(Phase::Hash, |_| {
            let sequences = tokens.chunks(length).enumerate().map(|(s, tokens)| (s * length, tokens));
            self.hash(level, sequences, tokens.len(), saved);
        });
        self.read(work, tokens.len(), saved);
    }

    /// Reads the rows of the last `count` of `tokens`, which are one sequence: as in generation.
    ///
    /// # Panics
    ///
    /// If there are not so many tokens.
    #[track_caller]
    pub fn look_up_last(&self, work: &mut Workspace, tokens: &[u32], count: usize, saved: &mut NgramSaved) {
        // No n-gram reaches further back.
        let longest = self.config.orders.last().copied().unwrap_or(1);
        let tokens = &tokens[tokens.len().saturating_sub(count + longest - 1)..];
        let before = tokens.len() - count;
        let mut all = NgramSaved::default();
        self.hash(work.level, [(0, tokens)].into_iter(), tokens.len(), &mut all);
        let entries = self.orders.len() * self.config.heads;
        saved.dread = None;
        saved.ids.clear();
        (before * self.config.heads..all.ids.len()).for_each(|s| saved.ids.push(all.ids.row(s).iter().copied()));
        saved.signs.clear();
        saved.signs.extend_from_slice(&all.signs[before * entries..]);
        self.read(work, count, saved);
    }

    fn hash<'a>(
        &self,
        level: Level,
        sequences: impl Iterator<Item = (usize, &'a [u32])>,
        count: usize,
        saved: &mut NgramSaved,
    ) {
        let (heads, orders) = (self.config.heads, self.orders.len());
        let mut ids = vec![0; count * heads * orders];
        saved.signs.clear();
        saved.signs.resize(ids.len(), 1.0);
        let mut buckets = Vec::new();
        for (first, tokens) in sequences {
            buckets.resize(heads * tokens.len(), 0);
            let len = tokens.len();
            for (o, order) in self.orders.iter().enumerate() {
                // Entries of a token and head stand together, one of each order; buckets head by head.
                let place = |i: usize| ((first + i % len) * heads + i / len) * orders + o;
                order.rows.hash(level, MatMut::new(&mut buckets, heads, len), tokens);
                for (i, &bucket) in buckets.iter().enumerate() {
                    ids[place(i)] = ((o * heads + i / len) * self.config.rows) as u32 + bucket;
                }
                if let Some(signs) = &order.signs {
                    signs.hash(level, MatMut::new(&mut buckets, heads, len), tokens);
                    buckets.iter().enumerate().for_each(|(i, &bit)| saved.signs[place(i)] = 1.0 - 2.0 * bit as f32);
                }
            }
        }
        let offsets = (0..=count * heads).map(|sample| sample * orders).collect();
        saved.ids = Ragged::from_parts(offsets, ids).expect("as many as offsets say");
    }

    fn read(&self, work: &mut Workspace, count: usize, saved: &mut NgramSaved) {
        saved.read.shape(count, self.width);
        saved.read.slice_mut().fill(0.0);
        let heads = MatMut::new(saved.read.slice_mut(), count * self.config.heads, self.width / self.config.heads);
        self.table.forward_add(work, &saved.ids, &saved.signs, heads);
    }

    /// `x` (T, D) `+= scale * e`, with the scale of the layer that is number `at` of those that have one, and each token's gate
    /// if there are gates.
    ///
    /// # Panics
    ///
    /// If the shapes disagree or there is no such layer.
    #[track_caller]
    pub fn forward_add(&self, work: &mut Workspace, at: usize, saved: &mut NgramSaved, x: MatMut<f32>) {
        let NgramSaved { read, gates: kept, .. } = saved;
        let read = read.view();
        assert_eq!((x.rows(), x.cols()), (read.rows(), read.cols()), "x is not (tokens, width)");
        let scale = self.scales.f32()[at];
        let level = work.level;
        work.timed(Phase::Forward, |_| match &self.gates {
            None => add(x, scale, read),
            Some(gates) => {
                kept.resize_with(self.scales.rows(), GateSaved::default);
                gates.forward(level, at, scale, read, x, &mut kept[at]);
            }
        });
    }

    /// Takes `dx` (T, D), the gradient at the stream after [`forward_add`](Self::forward_add) of layer `at`, to that before it, which is
    /// the same without a gate.
    ///
    /// # Panics
    ///
    /// If the shapes disagree or there is no such layer.
    #[track_caller]
    pub fn backward_add(&mut self, work: &mut Workspace, at: usize, saved: &mut NgramSaved, dx: MatMut<f32>) {
        let NgramSaved { read, dread, gates: kept, .. } = saved;
        let read = read.view();
        assert_eq!((dx.rows(), dx.cols()), (read.rows(), read.cols()), "dx is not (tokens, width)");
        let (level, scale) = (work.level, self.scales.f32()[at]);
        let dread = dread.get_or_insert_with(|| {
            let mut dread = work.buffer(dx.rows(), dx.cols());
            dread.slice_mut().fill(0.0);
            dread
        });
        work.timed(Phase::Backward, |work| {
            if let Some(gates) = &mut self.gates {
                let dscale = gates.backward(work, (at, scale), read, &kept[at], dx, dread.view_mut());
                self.scales.gradient_mut()[at] += dscale;
                return;
            }
            let dx = dx.as_ref();
            add(dread.view_mut(), scale, dx);
            let pieces: Vec<usize> = (0..dx.rows()).step_by(TOKENS).collect();
            let piece = |from: usize| -> f64 {
                (from..dx.rows().min(from + TOKENS)).map(|t| dot(level, dx.row(t), read.row(t)) as f64).sum()
            };
            let sums: Vec<f64> = pieces.into_par_iter().map(piece).collect();
            self.scales.gradient_mut()[at] += sums.iter().sum::<f64>() as f32;
        });
    }

    /// Keeps what the layers' [`backward_add`](Self::backward_add) have added up, for the next update.
    pub fn accumulate(&mut self, work: &mut Workspace, saved: &mut NgramSaved) {
        if let Some(dread) = saved.dread.take() {
            let (samples, cols) = (saved.ids.len(), self.width / self.config.heads);
            self.table.accumulate(&saved.ids, &saved.signs, MatRef::new(dread.slice(), samples, cols));
            work.give_back(dread);
        }
    }
}

/// `x += scale * y`
fn add(x: MatMut<f32>, scale: f32, y: MatRef<f32>) {
    let chunks: Vec<MatMut<f32>> = x.into_chunks(TOKENS).collect();
    chunks.into_par_iter().enumerate().for_each(|(c, mut x)| {
        for r in 0..x.rows() {
            x.row_mut(r).iter_mut().zip(y.row(c * TOKENS + r)).for_each(|(x, y)| *x += scale * y);
        }
    });
}

#[cfg(test)]
mod tests;
