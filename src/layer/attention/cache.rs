//! Attention of a few new tokens to all that came before, whose keys and values are kept.

use rayon::prelude::*;

use super::{Attention, LOCAL, local};
use crate::error::Result;
use crate::kernels::reduce::softmax;
use crate::kernels::rows::{rows_axpy, rows_dot};
use crate::kernels::{MatMut, MatRef, RowIds};
use crate::layer::Workspace;
use crate::matrix::Matrix;
use crate::scratch::lend;

/// Keys and values of one layer.
#[derive(Debug)]
pub struct LayerCache {
    /// Each (heads * capacity, head).
    keys: Matrix<f32>,
    values: Matrix<f32>,
    len: usize,
    capacity: usize,
}

impl LayerCache {
    /// Tokens in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets all tokens from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl Attention {
    /// An empty cache for as many tokens as the model's context has.
    ///
    /// # Panics
    ///
    /// If the system refuses the memory: see [`try_cache`](Self::try_cache).
    #[track_caller]
    pub fn cache(&self) -> LayerCache {
        self.try_cache().unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`cache`](Self::cache).
    ///
    /// # Errors
    ///
    /// [`Error::Memory`](crate::error::Error::Memory) if the system refuses the memory.
    pub fn try_cache(&self) -> Result<LayerCache> {
        let (capacity, head) = (self.rope.positions(), self.head_width());
        let rows = || Matrix::try_zeros("the keys and values of a context", self.heads * capacity, head);
        Ok(LayerCache { keys: rows()?, values: rows()?, len: 0, capacity })
    }

    /// `y` (T, D) for new tokens `x` (T, D), which follow those in the cache and are added to it.
    ///
    /// # Panics
    ///
    /// If the shapes disagree or the cache would be over-full.
    #[track_caller]
    pub fn extend(&self, work: &mut Workspace, cache: &mut LayerCache, x: MatRef<f32>, mut y: MatMut<f32>) {
        let (rows, width, head) = (x.rows(), x.cols(), self.head_width());
        let (first, end, capacity) = (cache.len, cache.len + rows, cache.capacity);
        assert!(end <= capacity, "{end} tokens do not fit into a cache of {capacity}");
        let level = work.level;
        let mut take = |rows, cols| work.buffer(rows, cols);
        let (mut n, mut qkv, mut heads) = (take(rows, width), take(rows, 3 * width), take(self.heads * rows, head));
        self.norm.forward(work, x, n.view_mut(), &mut vec![0.0; rows]);
        self.qkv.forward(work, n.view(), qkv.view_mut());
        let (scale, ids) = (self.core(level).scale, (0..end as u32).collect::<Vec<u32>>());
        let memory = cache.keys.as_mut_slice().par_chunks_mut(capacity * head);
        let memory = memory.zip(cache.values.as_mut_slice().par_chunks_mut(capacity * head));
        let tasks = memory.zip(heads.slice_mut().par_chunks_mut(rows * head)).enumerate();
        tasks.for_each(|(h, ((keys, values), o))| {
            lend(&LOCAL, |own| {
                let [q, k, v] = self.parts(qkv.view(), h, rows);
                let q_turned = local(&mut own.q, rows * head);
                let rstd = local(&mut own.rstd, rows);
                self.turn(level, 0, q, MatMut::new(q_turned, rows, head), first, rstd);
                self.turn(level, 1, k, MatMut::new(&mut keys[first * head..end * head], rows, head), first, rstd);
                for (r, value) in values[first * head..end * head].chunks_mut(head).enumerate() {
                    value.copy_from_slice(v.row(r));
                }
                for (r, (q, o)) in q_turned.chunks_mut(head).zip(o.chunks_mut(head)).enumerate() {
                    let seen = (first + r + 1).saturating_sub(self.window)..first + r + 1;
                    let part = seen.start * head..seen.end * head;
                    let keys = MatRef::new(&keys[part.clone()], seen.len(), head);
                    let values = MatRef::new(&values[part], seen.len(), head);
                    let ids = RowIds::new(&ids[..seen.len()], seen.len()).expect("as many rows");
                    q.iter_mut().for_each(|q| *q *= scale);
                    let scores = local(&mut own.tokens, seen.len());
                    rows_dot(level, scores, ids, keys, q);
                    softmax(level, scores, None);
                    o.fill(0.0);
                    rows_axpy(level, o, ids, scores, values);
                }
            });
        });
        cache.len = end;
        let mut o = n;
        self.gather(heads.view(), 1, 0, 0, rows, o.view_mut());
        self.out.forward(work, o.view(), y.reborrow());
        for r in 0..rows {
            y.row_mut(r).iter_mut().zip(x.row(r)).for_each(|(y, x)| *y += x);
        }
        [o, qkv, heads].into_iter().for_each(|buffer| work.give_back(buffer));
    }
}
