//! The feed-forward half of a block: `y = x + down(f(up(norm(x))))`.

use std::cell::Cell;

use rayon::prelude::*;

use super::dense::{TOKENS, copy_rows};
use super::{Buffer, Dense, RmsNorm, Stream, Workspace};
use crate::config::lm::model::Activation;
use crate::error::Result;
use crate::flops::Phase;
use crate::kernels::reduce::Activation as Function;
use crate::kernels::{Level, MatMut, MatRef};
use crate::module::Demand;
use crate::optim::Scope;
use crate::scratch::lend;
use crate::work::local;

thread_local! {
    /// Normalised tokens, and what lies between the two products, of a piece of work.
    static LOCAL: Cell<[Vec<f32>; 2]> = const { Cell::new([Vec::new(), Vec::new()]) };
}

/// Norm, two products with a function between them, and the residual. A piece of tokens goes through all of it while it is
/// in the cache.
#[derive(Debug)]
pub struct FeedForward {
    /// Before the products.
    pub norm: RmsNorm,
    /// (inner, D), or (2 inner, D) with the gate's rows first.
    pub up: Dense,
    /// (D, inner).
    pub down: Dense,
    activation: Activation,
}

crate::module!(FeedForward { norm, up, down } takes demand);

/// What the backward pass needs of the forward pass.
#[derive(Debug, Default)]
pub struct FeedForwardSaved {
    /// (T, outputs of `up`), before the function.
    hidden: Buffer,
    rstd: Vec<f32>,
}

impl FeedForward {
    /// The layer of a block, with `inner` numbers between its products. Weights start as normal numbers of standard deviation
    /// `1 / (2 sqrt(inputs))` (0.02 at width 625: GPT-2's), those of `down` divided by `sqrt(2 depth)` (Radford et al. 2019).
    ///
    /// # Errors
    ///
    /// See [`Scope::parameter`].
    ///
    /// ```
    /// use hotrow::config::{Optim, lm::model::{Activation, Precision}};
    /// use hotrow::{layer::{FeedForward, Stream, Workspace}, kernels::{Level, MatMut, MatRef}, optim::Scope};
    /// let scope = Scope::fresh(&Optim::default(), 7, Level::detect());
    /// let stream = Stream { width: 4, depth: 1, precision: Precision::F32 };
    /// let layer = FeedForward::new(&scope.child("feed_forward"), stream, 16, Activation::ReluSquared)?;
    /// let (mut y, mut saved) = ([0.0; 4], Default::default());
    /// let work = &mut Workspace::new(Level::detect());
    /// // Nothing but the residual: zeros have no direction.
    /// layer.forward(work, MatRef::new(&[0.0; 4], 1, 4), MatMut::new(&mut y, 1, 4), &mut saved);
    /// assert_eq!(y, [0.0; 4]);
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn new(scope: &Scope, stream: Stream, inner: usize, activation: Activation) -> Result<Self> {
        let Stream { width, precision, .. } = stream;
        let up = inner * if activation == Activation::Swiglu { 2 } else { 1 };
        Ok(Self {
            norm: RmsNorm::new(&scope.child("norm"), width)?,
            up: Dense::new(&scope.child("up"), up, width, Stream::deviation(width), precision)?,
            down: Dense::new(&scope.child("down"), width, inner, stream.out_deviation(inner), precision)?,
            activation,
        })
    }

    fn demand(&self) -> (&str, Demand) {
        let numbers = 2 * self.down.outputs() + self.down.inputs();
        (self.down.parameter().name(), Demand { activation_bytes: 4 * numbers as u64, ..Demand::default() })
    }

    /// `y` (T, D) for `x` (T, D).
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    #[track_caller]
    pub fn forward(&self, work: &mut Workspace, x: MatRef<f32>, y: MatMut<f32>, saved: &mut FeedForwardSaved) {
        let (tokens, width, inner) = (x.rows(), x.cols(), self.down.inputs());
        assert_eq!((y.rows(), y.cols()), (tokens, width), "y and x differ in shape");
        saved.hidden.shape(tokens, self.up.outputs());
        saved.rstd.resize(tokens, 0.0);
        self.up.count(work, Phase::Forward, tokens);
        self.down.count(work, Phase::Forward, tokens);
        let level = work.level;
        work.timed(Phase::Forward, |_| {
            let (up, down) = (self.up.transposed(level), self.down.transposed(level));
            let chunks = y.into_chunks(TOKENS).zip(saved.hidden.view_mut().into_chunks(TOKENS));
            let chunks: Vec<_> = chunks.zip(saved.rstd.chunks_mut(TOKENS)).collect();
            chunks.into_par_iter().enumerate().for_each(|(c, ((mut y, mut hidden), rstd))| {
                let rows = y.rows();
                let x = x.window(c * TOKENS..c * TOKENS + rows, 0..width);
                lend(&LOCAL, |[n, a]| {
                    let (n, a) = (local(n, rows * width), local(a, rows * inner));
                    self.norm.rows(level, x, MatMut::new(n, rows, width), rstd);
                    up.multiply(MatRef::new(n, rows, width), hidden.reborrow(), false);
                    self.activate(level, hidden.as_ref(), MatMut::new(a, rows, inner));
                    copy_rows(x, &mut y);
                    down.multiply(MatRef::new(a, rows, inner), y, true);
                });
            });
        });
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
        saved: &FeedForwardSaved,
        dy: MatRef<f32>,
        dx: MatMut<f32>,
    ) {
        let (tokens, width, inner) = (x.rows(), x.cols(), self.down.inputs());
        assert_eq!((dy.rows(), dy.cols()), (tokens, width), "dy and x differ in shape");
        assert_eq!((dx.rows(), dx.cols()), (tokens, width), "dx and x differ in shape");
        assert_eq!(saved.rstd.len(), tokens, "the forward pass was of other tokens");
        self.up.count(work, Phase::Backward, tokens);
        self.down.count(work, Phase::Backward, tokens);
        let level = work.level;
        let mut take = |cols| work.buffer(tokens, cols);
        let (mut n, mut a, mut dh) = (take(width), take(inner), take(self.up.outputs()));
        let mut dgains = work.buffer(tokens.div_ceil(TOKENS), width);
        work.timed(Phase::Backward, |_| {
            let (up, down) = (self.up.plain(level), self.down.plain(level));
            let parts = n.view_mut().into_chunks(TOKENS).zip(a.view_mut().into_chunks(TOKENS));
            let parts = parts.zip(dh.view_mut().into_chunks(TOKENS)).zip(dgains.view_mut().into_chunks(1));
            let chunks: Vec<_> = dx.into_chunks(TOKENS).zip(parts).collect();
            chunks.into_par_iter().enumerate().for_each(|(c, (mut dx, (((n, mut a), mut dh), mut dgain)))| {
                let rows = dx.rows();
                let range = c * TOKENS..c * TOKENS + rows;
                let (x, dy) = (x.window(range.clone(), 0..width), dy.window(range.clone(), 0..width));
                let hidden = saved.hidden.view();
                let hidden = hidden.window(range.clone(), 0..hidden.cols());
                lend(&LOCAL, |[dn, da]| {
                    let dn = local(dn, rows * width);
                    self.activate(level, hidden, a.reborrow());
                    match self.activation {
                        Activation::ReluSquared => {
                            down.multiply(dy, dh.reborrow(), false);
                            (0..rows).for_each(|r| {
                                Function::ReluSquared.backward(level, dh.row_mut(r), hidden.row(r));
                            });
                        }
                        Activation::Swiglu => {
                            let da = local(da, rows * inner);
                            down.multiply(dy, MatMut::new(da, rows, inner), false);
                            da.chunks(inner).enumerate().for_each(|(r, da)| {
                                swiglu_backward(level, dh.row_mut(r), da, hidden.row(r));
                            });
                        }
                    }
                    up.multiply(dh.as_ref(), MatMut::new(dn, rows, width), false);
                    // Again, so that the forward pass need not keep it.
                    let mut rstd = [0.0; TOKENS];
                    self.norm.rows(level, x, n, &mut rstd[..rows]);
                    copy_rows(dy, &mut dx);
                    dgain.row_mut(0).fill(0.0);
                    let dn = MatRef::new(dn, rows, width);
                    self.norm.rows_backward(level, dx, dgain.row_mut(0), dn, x, &saved.rstd[range]);
                });
            });
        });
        self.norm.accumulate(dgains.view());
        self.down.accumulate(work, a.view(), dy);
        self.up.accumulate(work, n.view(), dh.view());
        [n, a, dh, dgains].into_iter().for_each(|buffer| work.give_back(buffer));
    }

    /// `y = x + ...` of a few tokens, as in generation.
    pub fn extend(&self, work: &mut Workspace, x: MatRef<f32>, mut y: MatMut<f32>) {
        let (rows, width, inner) = (x.rows(), x.cols(), self.down.inputs());
        let mut take = |cols| work.buffer(rows, cols);
        let (mut n, mut hidden, mut a) = (take(width), take(self.up.outputs()), take(inner));
        self.norm.forward(work, x, n.view_mut(), &mut vec![0.0; rows]);
        self.up.forward(work, n.view(), hidden.view_mut());
        self.activate(work.level, hidden.view(), a.view_mut());
        self.down.forward(work, a.view(), n.view_mut());
        for r in 0..rows {
            let parts = x.row(r).iter().zip(n.view().row(r));
            y.row_mut(r).iter_mut().zip(parts).for_each(|(y, (x, f))| *y = x + f);
        }
        [n, hidden, a].into_iter().for_each(|buffer| work.give_back(buffer));
    }

    /// `a` (T, inner) `= f(hidden)`.
    fn activate(&self, level: Level, hidden: MatRef<f32>, mut a: MatMut<f32>) {
        for r in 0..hidden.rows() {
            let (hidden, a) = (hidden.row(r), a.row_mut(r));
            match self.activation {
                Activation::ReluSquared => {
                    a.copy_from_slice(hidden);
                    Function::ReluSquared.forward(level, a);
                }
                Activation::Swiglu => {
                    let (gate, value) = hidden.split_at(a.len());
                    a.copy_from_slice(gate);
                    Function::Silu.forward(level, a);
                    a.iter_mut().zip(value).for_each(|(a, value)| *a *= value);
                }
            }
        }
    }
}

/// Of `a = silu(gate) * value`, with `hidden` and `dh` (gate, value).
fn swiglu_backward(level: Level, dh: &mut [f32], da: &[f32], hidden: &[f32]) {
    let (gate, value) = hidden.split_at(da.len());
    let (dgate, dvalue) = dh.split_at_mut(da.len());
    dvalue.copy_from_slice(gate);
    Function::Silu.forward(level, dvalue);
    dvalue.iter_mut().zip(da).for_each(|(d, da)| *d *= da);
    dgate.iter_mut().zip(da.iter().zip(value)).for_each(|(d, (da, value))| *d = da * value);
    Function::Silu.backward(level, dgate, gate);
}
