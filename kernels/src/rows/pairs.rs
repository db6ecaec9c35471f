//! Vectors in *pair order*: the order in which [`Weight::load_pair`] reads a row.
//!
//! A 32-bit lane of loaded bf16 numbers holds an even element in its low half and the odd one after it in its high half.
//! Taking the halves apart costs one shift and one mask for two vectors; widening each vector costs a shuffle and a shift
//! for one. So the f32 vector that meets many bf16 rows is de-interleaved once, and no row needs a shuffle.

use crate::simd::{Simd, Weight};

/// Columns of bf16 rows worked on at a time: 4 KiB of f32 that stay in the first-level cache while rows stream past, small
/// enough that clearing them costs a call less than reading four rows.
pub(super) const BLOCK: usize = 1024;

/// Columns worked on at a time: a block where a copy is needed, otherwise all.
#[inline(always)]
pub(super) fn block_columns<W: Weight>(cols: usize) -> usize {
    if W::IS_F32 { cols.max(1) } else { BLOCK }
}

/// Room for one block in pair order.
pub(super) struct Pairs([f32; BLOCK]);

impl Pairs {
    #[inline(always)]
    pub fn new() -> Self {
        Pairs([0.0; BLOCK])
    }

    /// `x` in the pair order of `W`; what is left after whole pairs of vectors keeps its order.
    #[inline(always)]
    pub fn arrange<'a, S: Simd, W: Weight>(&'a mut self, s: S, x: &'a [f32]) -> &'a [f32] {
        if W::IS_F32 {
            return x;
        }
        let out = &mut self.0[..x.len()];
        map_pairs(
            s,
            x,
            out,
            #[inline(always)]
            |a, b| W::to_pair_order(s, a, b),
        );
        out
    }

    /// Runs `f` on `y` in the pair order of `W`, and puts what it leaves there back in order.
    #[inline(always)]
    pub fn with_arranged<S: Simd, W: Weight>(&mut self, s: S, y: &mut [f32], f: impl FnOnce(&mut [f32])) {
        if W::IS_F32 {
            return f(y);
        }
        let arranged = &mut self.0[..y.len()];
        map_pairs(
            s,
            y,
            arranged,
            #[inline(always)]
            |a, b| W::to_pair_order(s, a, b),
        );
        f(arranged);
        map_pairs(
            s,
            arranged,
            y,
            #[inline(always)]
            |a, b| W::from_pair_order(s, a, b),
        );
    }
}

#[inline(always)]
fn map_pairs<S: Simd>(s: S, from: &[f32], to: &mut [f32], f: impl Fn(S::F32, S::F32) -> (S::F32, S::F32)) {
    let (mut from, mut to) = (from.chunks_exact(2 * S::LANES), to.chunks_exact_mut(2 * S::LANES));
    for (from, to) in (&mut from).zip(&mut to) {
        let (a, b) = f(s.load(from), s.load(&from[S::LANES..]));
        s.store(a, to);
        s.store(b, &mut to[S::LANES..]);
    }
    to.into_remainder().copy_from_slice(from.remainder());
}
