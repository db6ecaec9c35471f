//! Keys of slots, and which of them are nearest to a query.

use std::ops::Range;

use rayon::prelude::*;

use crate::config::IndexName;
use crate::config::lm::Memory;
use crate::config::lm::model::Precision;
use crate::error::Result;
use crate::flops::Phase;
use crate::kernels::reduce::top_k;
use crate::kernels::{Level, MatMut, MatRef};
use crate::layer::{Buffer, Dense, RowIndex, RowTable, Workspace};
use crate::module::{Demand, Module, Part, PartMut};
use crate::optim::{Init, Scope, Step};
use crate::ragged::Ragged;

/// Queries of one piece of work.
const QUERIES: usize = 64;

/// Queries of tokens, those of a token's heads one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Queries<'a> {
    /// (T, heads, key width).
    data: &'a [f32],
    tokens: usize,
    heads: usize,
}

impl<'a> Queries<'a> {
    /// `data` (T, heads, key width).
    ///
    /// # Panics
    ///
    /// If `data` does not divide into so many.
    #[track_caller]
    pub fn new(data: &'a [f32], tokens: usize, heads: usize) -> Self {
        let count = tokens * heads;
        assert!(data.len().is_multiple_of(count.max(1)), "{} numbers are not {count} queries", data.len());
        Self { data, tokens, heads }
    }

    fn cols(self) -> usize {
        self.data.len() / (self.tokens * self.heads).max(1)
    }

    /// (T * heads, key width).
    fn each(self) -> MatRef<'a, f32> {
        MatRef::new(self.data, self.tokens * self.heads, self.cols())
    }

    /// A half of the queries of one head: (T, key width / 2).
    fn half(self, head: usize, side: usize) -> MatRef<'a, f32> {
        let all = MatRef::new(self.data, self.tokens, self.heads * self.cols());
        all.window(0..self.tokens, columns(self.cols(), head, side))
    }
}

/// Where a half of a head's query stands among those of its token.
fn columns(cols: usize, head: usize, side: usize) -> Range<usize> {
    let from = head * cols + side * cols / 2;
    from..from + cols / 2
}

/// Keys of either kind.
#[derive(Debug)]
pub enum Keys {
    /// Pairs of halves.
    Product(ProductKeys),
    /// A key for each slot.
    Table(Box<KeyTable>),
}

/// Slot `i * halves + j` has the key (first half `i`, second half `j`), so that its score is a sum of two: its best are among
/// the pairs of the best of each (Lample et al. 2019). Each head has halves of its own.
#[derive(Debug)]
pub struct ProductKeys {
    /// First and second (halves, key width / 2) of each head.
    pub halves: Vec<[Dense; 2]>,
}

/// A key for each slot, which all heads share, and the index that names candidates.
#[derive(Debug)]
pub struct KeyTable {
    /// (slots, key width).
    pub table: RowTable,
    index: RowIndex,
    heads: usize,
}

crate::module!(KeyTable { table, index } then follow takes demand);

impl Keys {
    /// Keys that start as normal numbers, so that scores of normalised queries have a variance of about 1 (halves) or 1 (whole
    /// keys). An index is built from them.
    ///
    /// # Errors
    ///
    /// See [`Scope::parameter`] and [`Scope::index`].
    pub fn new(scope: &Scope, precision: Precision, config: &Memory) -> Result<Self> {
        let Some(index) = config.index_options() else {
            let (halves, half) = (config.halves(), config.key_width / 2);
            let deviation = (half as f32).sqrt().recip();
            let dense = |head: usize, side: &str| {
                Dense::new(&scope.child(&format!("keys.{head}.{side}")), halves, half, deviation, precision)
            };
            let halves = (0..config.heads).map(|head| Ok([dense(head, "first")?, dense(head, "second")?]));
            return Ok(Keys::Product(ProductKeys { halves: halves.collect::<Result<_>>()? }));
        };
        let (slots, cols) = (config.slots, config.key_width);
        let init = Init::Normal((cols as f32).sqrt().recip());
        let keys = scope.child("keys").parameter("weight", slots, cols, config.storage, init)?;
        let index = RowIndex::new(scope, &index, slots, cols, config.rebuild_every);
        let index = index.map_err(|error| error.of_section("memory"))?;
        let mut keys = KeyTable { table: RowTable::new(keys), index, heads: config.heads };
        if scope.builds_indexes() {
            keys.rebuild(&mut Workspace::new(scope.level()));
        }
        Ok(Keys::Table(Box::new(keys)))
    }

    fn module(&self) -> &dyn Module {
        match self {
            Keys::Product(keys) => &keys.halves,
            Keys::Table(keys) => &**keys,
        }
    }

    /// The best `reads` slots of each query, the best first as far as the index can tell, and their scores. An index may find
    /// fewer.
    pub fn find(&self, work: &mut Workspace, queries: Queries, reads: usize) -> (Ragged<u32>, Vec<f32>) {
        match self {
            Keys::Product(keys) => keys.find(work, queries, reads),
            Keys::Table(keys) => keys.find(work, queries.each(), reads),
        }
    }

    /// `dqueries` (T, heads, key width), written over, from the gradient of each score; gradients of keys are added up.
    pub fn backward(
        &mut self,
        work: &mut Workspace,
        queries: Queries,
        slots: &Ragged<u32>,
        dscores: &[f32],
        dqueries: &mut [f32],
    ) {
        match self {
            Keys::Product(keys) => keys.backward(work, queries, slots, dscores, dqueries),
            Keys::Table(keys) => {
                let queries = queries.each();
                dqueries.fill(0.0);
                keys.table.forward_add(work, slots, dscores, MatMut::new(dqueries, queries.rows(), queries.cols()));
                keys.table.accumulate(slots, dscores, queries);
            }
        }
    }

    /// Builds the index, if there is one, from the keys as they are now.
    pub fn rebuild(&mut self, work: &mut Workspace) {
        if let Keys::Table(keys) = self {
            keys.rebuild(work);
        }
    }
}

impl Module for Keys {
    fn visit<'a>(&'a self, take: &mut dyn FnMut(Part<'a>)) {
        self.module().visit(take);
    }

    fn visit_mut<'a>(&'a mut self, take: &mut dyn FnMut(PartMut<'a>)) {
        match self {
            Keys::Product(keys) => keys.halves.visit_mut(take),
            Keys::Table(keys) => keys.visit_mut(take),
        }
    }

    fn after_update(&mut self, work: &mut Workspace, step: &Step) {
        if let Keys::Table(keys) = self {
            keys.after_update(work, step);
        }
    }

    fn demands(&self, take: &mut dyn FnMut(&str, Demand)) {
        self.module().demands(take);
    }
}

impl KeyTable {
    /// The index.
    pub fn index(&self) -> &RowIndex {
        &self.index
    }

    fn rebuild(&mut self, work: &mut Workspace) {
        self.index.rebuild(work, self.table.parameter().weights());
    }

    fn follow(&mut self, work: &mut Workspace, step: &Step) {
        self.index.follow(work, self.table.parameter().weights(), step);
    }

    /// An exact index compares with every key.
    fn demand(&self) -> (&str, Demand) {
        let keys = self.table.parameter();
        let exact = self.index.get().name() == IndexName::Exact.as_str();
        let flops = if exact { (2 * self.heads * keys.rows() * keys.cols()) as u64 } else { 0 };
        (keys.name(), Demand { flops, ..Demand::default() })
    }

    fn find(&self, work: &mut Workspace, queries: MatRef<f32>, reads: usize) -> (Ragged<u32>, Vec<f32>) {
        let slots = self.index.select(work, self.table.parameter().weights(), queries, reads, 0);
        let mut scores = vec![0.0; slots.items().len()];
        self.table.dots(work, Phase::Forward, &slots, queries, &mut scores);
        (slots, scores)
    }
}

impl ProductKeys {
    fn find(&self, work: &mut Workspace, queries: Queries, reads: usize) -> (Ragged<u32>, Vec<f32>) {
        let Queries { tokens, heads, .. } = queries;
        let (count, keys) = (tokens * heads, self.halves[0][0].outputs());
        let (mut ids, mut scores) = (vec![0; count * reads], vec![0.0; count * reads]);
        let mut sides = [work.buffer(tokens, keys), work.buffer(tokens, keys)];
        for (head, halves) in self.halves.iter().enumerate() {
            for (side, (keys, scores)) in halves.iter().zip(&mut sides).enumerate() {
                keys.forward(work, queries.half(head, side), scores.view_mut());
            }
            let (level, [first, second]) = (work.level, &sides);
            work.timed(Phase::Select, |_| {
                let piece = QUERIES * heads * reads;
                ids.par_chunks_mut(piece).zip(scores.par_chunks_mut(piece)).enumerate().for_each(
                    |(p, (ids, scores))| {
                        let mut best = Best::new(reads);
                        let tokens = ids.chunks_mut(heads * reads).zip(scores.chunks_mut(heads * reads));
                        for (t, (ids, scores)) in tokens.enumerate() {
                            let (t, own) = (p * QUERIES + t, head * reads..(head + 1) * reads);
                            best.pairs(
                                level,
                                [first.view().row(t), second.view().row(t)],
                                &mut ids[own.clone()],
                                &mut scores[own],
                            );
                        }
                    },
                );
            });
        }
        sides.into_iter().for_each(|buffer| work.give_back(buffer));
        let offsets = (0..=count).map(|query| query * reads).collect();
        (Ragged::from_parts(offsets, ids).expect("as many as offsets say"), scores)
    }

    fn backward(
        &mut self,
        work: &mut Workspace,
        queries: Queries,
        slots: &Ragged<u32>,
        dscores: &[f32],
        dqueries: &mut [f32],
    ) {
        let (Queries { tokens, heads, .. }, cols) = (queries, queries.cols());
        let mut dense = work.buffer(tokens, self.halves[0][0].outputs());
        for (head, halves) in self.halves.iter_mut().enumerate() {
            for (side, keys) in halves.iter_mut().enumerate() {
                spread(&mut dense, [heads, head, side], slots, dscores);
                keys.accumulate(work, queries.half(head, side), dense.view());
                let dqueries = MatMut::new(dqueries, tokens, heads * cols);
                keys.backward(work, dense.view(), dqueries.window(0..tokens, columns(cols, head, side)));
            }
        }
        work.give_back(dense);
    }
}

/// `dense` (T, halves): the gradient of one side's scores, zero for halves that no chosen slot has.
fn spread(dense: &mut Buffer, [heads, head, side]: [usize; 3], slots: &Ragged<u32>, dscores: &[f32]) {
    let keys = dense.view().cols();
    dense.slice_mut().par_chunks_mut(keys).enumerate().for_each(|(t, out)| {
        out.fill(0.0);
        let query = t * heads + head;
        let dscores = &dscores[slots.offsets()[query]..];
        for (&slot, d) in slots.row(query).iter().zip(dscores) {
            let slot = slot as usize;
            out[if side == 0 { slot / keys } else { slot % keys }] += d;
        }
    });
}

/// Memory for picking the best pairs.
struct Best {
    ids: [Vec<u32>; 2],
    scores: [Vec<f32>; 2],
    /// Pairs of places among the best of each side that can be among the best pairs, and their sums.
    pairs: Vec<[u32; 2]>,
    sums: Vec<f32>,
}

impl Best {
    fn new(reads: usize) -> Self {
        let (ids, scores) = (|| vec![0; reads], || vec![0.0; reads]);
        let at = |first: usize| (0..reads / (first + 1)).map(move |second| [first as u32, second as u32]);
        let pairs: Vec<[u32; 2]> = (0..reads).flat_map(at).collect();
        Self { ids: [ids(), ids()], scores: [scores(), scores()], sums: vec![0.0; pairs.len()], pairs }
    }

    /// The best pairs of halves: one that is not among the best `reads` of a side has that many better ones with the same
    /// other half. In the same way the pair of places (i, j), counted from 0, has `(i + 1) (j + 1) - 1` before it.
    fn pairs(&mut self, level: Level, sides: [&[f32]; 2], ids: &mut [u32], scores: &mut [f32]) {
        for ((side, ids), scores) in sides.iter().zip(&mut self.ids).zip(&mut self.scores) {
            top_k(level, side, ids, scores);
        }
        let [first, second] = &self.scores;
        for (sum, [i, j]) in self.sums.iter_mut().zip(&self.pairs) {
            *sum = first[*i as usize] + second[*j as usize];
        }
        top_k(level, &self.sums, ids, scores);
        let keys = sides[0].len() as u32;
        for id in ids {
            let [i, j] = self.pairs[*id as usize];
            *id = self.ids[0][i as usize] * keys + self.ids[1][j as usize];
        }
    }
}
