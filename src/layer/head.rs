//! The output layer of a language model, computed in full: softmax and cross-entropy over all tokens of the vocabulary, for
//! a piece of the batch at a time.
//!
//! A thread owns blocks of the vocabulary. It multiplies them with the tokens of a piece and takes the softmax of each block
//! by itself while it is in the cache. The log-sum-exps of the blocks are put together; then the same thread multiplies what it
//! has by each token's share, and uses it for both backward products. Logits are written once and read once.

use std::cell::Cell;
use std::ops::Range;

use rayon::prelude::*;

use super::dense::{Dense, PANEL_ROWS, TOKENS};
use super::{Buffer, Workspace};
use crate::flops::Phase;
use crate::kernels::gemm::{Operand, Output, PackedPanel, Precision, gemm};
use crate::kernels::reduce::{log_sum_exp, softmax};
use crate::kernels::{Level, MatMut, MatRef};
use crate::scratch::lend;
use crate::work::local;

/// Tokens whose logits exist at the same time. The weights are read, and their gradient read and written, once for each piece:
/// at 512 that is less traffic than the logits are.
const PIECE: usize = 512;

/// Blocks of the vocabulary that one thread goes through after the other, so that their sums into `dx` are one.
const BLOCKS: usize = 2;

thread_local! {
    static LOCAL: Cell<(PackedPanel, Vec<f32>)> = Cell::default();
}

/// Memory of the dense head; its weights (vocabulary, D) are a [`Dense`] layer's, which may be the token table too.
#[derive(Debug, Default)]
pub struct DenseHead {
    /// (blocks, PIECE * PANEL_ROWS): the logits of a block, (tokens, rows of the block).
    logits: Buffer,
    /// (blocks, PIECE): log-sum-exp of a block, and the target's logit where the block has it.
    log_sums: Buffer,
    targets: Buffer,
    /// (groups of blocks * PIECE, D).
    dx: Buffer,
}

/// A piece of the tokens as the blocks read it.
struct Piece<'a> {
    level: Level,
    precision: Precision,
    /// Left factors of [`TOKENS`] tokens each.
    lefts: &'a [PackedPanel],
    targets: &'a [u32],
}

impl Piece<'_> {
    fn len(&self) -> usize {
        self.targets.len()
    }

    /// The tokens of each left factor.
    fn parts(&self) -> impl Iterator<Item = Range<usize>> {
        let len = self.len();
        (0..len).step_by(TOKENS).map(move |from| from..len.min(from + TOKENS))
    }

    /// Logits (tokens, rows) of a block whose first row is `first`; `each(token, logits)` for each token.
    fn logits(&self, panel: &PackedPanel, out: &mut [f32], mut each: impl FnMut(usize, &mut [f32])) {
        let rows = panel.outer();
        for (left, part) in self.lefts.iter().zip(self.parts()) {
            let out = &mut out[part.start * rows..part.end * rows];
            gemm(self.level, Output::new(MatMut::new(out, part.len(), rows)), left, panel);
            out.chunks_mut(rows).zip(part).for_each(|(logits, token)| each(token, logits));
        }
    }
}

impl DenseHead {
    /// Bytes that training takes: the logits of a piece, and sums of the gradient of its input, one for each group of blocks.
    pub(crate) fn bytes(vocabulary: usize, width: usize) -> u64 {
        4 * (PIECE * (vocabulary + vocabulary.div_ceil(BLOCKS * PANEL_ROWS) * width)) as u64
    }

    /// Sum of the losses of `targets` (T), in nats, for `x` (T, D); `dx` (T, D) is written over with the gradient of the sum, and
    /// that of the weights is added up.
    ///
    /// # Panics
    ///
    /// If the shapes disagree or a target is no row of the weights.
    ///
    /// ```
    /// use hotrow::config::{Optim, lm::model::Precision};
    /// use hotrow::layer::{Dense, DenseHead, Workspace};
    /// use hotrow::{kernels::{Level, MatMut, MatRef}, optim::Scope};
    /// let mut weights = Dense::new(&Scope::fresh(&Optim::default(), 1, Level::detect()), 50, 2, 0.0, Precision::F32)?;
    /// let (work, mut dx) = (&mut Workspace::new(Level::detect()), [1.0; 2]);
    /// let x = MatRef::new(&[1.0, 2.0], 1, 2);
    /// let loss = DenseHead::default().accumulate(work, &mut weights, x, &[7], MatMut::new(&mut dx, 1, 2));
    /// assert!((loss - 50f64.ln()).abs() < 1e-5);
    /// assert_eq!(dx, [0.0; 2]);
    /// assert!((weights.gradient().row(7)[1] - 2.0 * (1.0 / 50.0 - 1.0)).abs() < 1e-5);
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    #[track_caller]
    pub fn accumulate(
        &mut self,
        work: &mut Workspace,
        weights: &mut Dense,
        x: MatRef<f32>,
        targets: &[u32],
        mut dx: MatMut<f32>,
    ) -> f64 {
        check(weights, x, targets);
        assert_eq!((dx.rows(), dx.cols()), (x.rows(), x.cols()), "dx and x differ in shape");
        (0..3).for_each(|_| weights.count(work, Phase::Gemm, x.rows()));
        let mut losses = vec![0.0; PIECE.min(x.rows())];
        let mut sum = 0.0;
        for range in pieces(x.rows()) {
            let losses = &mut losses[..range.len()];
            let part = x.window(range.clone(), 0..x.cols());
            work.timed(Phase::Gemm, |work| {
                let Workspace { level, lefts, rights, .. } = work;
                let piece = pack(*level, weights, lefts, part, &targets[range.clone()]);
                self.forward(&piece, weights, losses, true);
                sum += losses.iter().map(|&loss| loss as f64).sum::<f64>();
                rights.resize_with(rights.len().max(1), PackedPanel::new);
                rights[0].pack_right(*level, piece.precision, Operand::new(part));
                self.backward(&piece, weights, &rights[0], dx.reborrow().window(range, 0..part.cols()));
            });
        }
        sum
    }

    /// The loss of each target, in nats, into `losses` (T).
    ///
    /// # Panics
    ///
    /// If the shapes disagree or a target is no row of the weights.
    #[track_caller]
    pub fn losses(
        &mut self,
        work: &mut Workspace,
        weights: &Dense,
        x: MatRef<f32>,
        targets: &[u32],
        losses: &mut [f32],
    ) {
        check(weights, x, targets);
        assert_eq!(losses.len(), targets.len(), "losses and targets differ in number");
        weights.count(work, Phase::Gemm, x.rows());
        for range in pieces(x.rows()) {
            work.timed(Phase::Gemm, |work| {
                let part = x.window(range.clone(), 0..x.cols());
                let piece = pack(work.level, weights, &mut work.lefts, part, &targets[range.clone()]);
                self.forward(&piece, weights, &mut losses[range], false);
            });
        }
    }

    /// The losses, and, if they are `kept`, for the backward pass the softmax of each block by itself and its share.
    fn forward(&mut self, piece: &Piece, weights: &Dense, losses: &mut [f32], kept: bool) {
        let (level, panels) = (piece.level, weights.transposed(piece.level).panels);
        let tokens = piece.len();
        self.logits.shape(panels.len(), if kept { tokens * PANEL_ROWS.min(weights.outputs()) } else { 0 });
        self.log_sums.shape(panels.len(), tokens);
        self.targets.shape(panels.len(), tokens);
        let logits: Vec<MatMut<f32>> = self.logits.view_mut().into_chunks(1).collect();
        let sums = self.log_sums.slice_mut().par_chunks_mut(tokens);
        let found = self.targets.slice_mut().par_chunks_mut(tokens);
        let blocks = logits.into_par_iter().zip(sums.zip(found)).zip(panels).enumerate();
        blocks.for_each(|(b, ((mut logits, (sums, found)), panel))| {
            let len = tokens * panel.outer();
            let each = |token: usize, logits: &mut [f32]| {
                let target = (piece.targets[token] as usize).checked_sub(b * PANEL_ROWS);
                found[token] = target.and_then(|at| logits.get(at)).copied().unwrap_or(0.0);
                sums[token] = if kept { softmax(level, logits, None) } else { log_sum_exp(level, logits, None) };
            };
            if kept {
                piece.logits(panel, &mut logits.row_mut(0)[..len], each);
            } else {
                lend(&LOCAL, |(_, memory)| piece.logits(panel, local(memory, len), each));
            }
        });
        join(&mut self.log_sums, &self.targets, losses);
    }

    /// From what [`forward`](Self::forward) kept: the gradient of the weights, added to, and `dx`, written over.
    fn backward(&mut self, piece: &Piece, weights: &mut Dense, x: &PackedPanel, dx: MatMut<f32>) {
        let &Piece { level, precision, targets, .. } = piece;
        let (tokens, width, parts) = (piece.len(), dx.cols(), weights.parts(piece.level));
        let groups = parts.panels.len().div_ceil(BLOCKS);
        self.dx.shape(groups * tokens, width);
        let shares = self.log_sums.view();
        let gradients = parts.gradient.into_chunks(BLOCKS * PANEL_ROWS);
        let groups = self.logits.view_mut().into_chunks(BLOCKS).zip(gradients);
        let groups: Vec<_> = groups.zip(self.dx.view_mut().into_chunks(tokens)).collect();
        groups.into_par_iter().enumerate().for_each(|(g, ((mut logits, mut gradient), mut dx))| {
            let first = g * BLOCKS;
            for b in first..first + logits.rows() {
                let panel = &parts.panels[b];
                let rows = panel.depth();
                let dz = &mut logits.row_mut(b - first)[..tokens * rows];
                for (token, dz) in dz.chunks_mut(rows).enumerate() {
                    let share = shares.row(b)[token];
                    dz.iter_mut().for_each(|dz| *dz *= share);
                    let target = (targets[token] as usize).checked_sub(b * PANEL_ROWS);
                    target.and_then(|at| dz.get_mut(at)).into_iter().for_each(|dz| *dz -= 1.0);
                }
                let dz = MatRef::new(dz, tokens, rows);
                lend(&LOCAL, |(left, _)| {
                    for part in piece.parts() {
                        left.pack_left(level, precision, Operand::new(dz.window(part.clone(), 0..rows)));
                        let out = Output::new(dx.reborrow().window(part, 0..width));
                        gemm(level, if b > first { out.added() } else { out }, left, panel);
                    }
                    for from in (0..rows).step_by(TOKENS) {
                        let columns = from..rows.min(from + TOKENS);
                        left.pack_left(
                            level,
                            precision,
                            Operand::new(dz.window(0..tokens, columns.clone())).transposed(),
                        );
                        let above = (b - first) * PANEL_ROWS;
                        let rows = above + columns.start..above + columns.end;
                        let out = Output::new(gradient.reborrow().window(rows, 0..width));
                        gemm(level, if parts.added { out.added() } else { out }, left, x);
                    }
                });
            }
        });
        add_groups(self.dx.view(), dx);
    }
}

/// From the log-sum-exp of each block, (blocks, tokens), and the logits of targets, zero in all blocks but one, to the losses and
/// each block's share of the probability, in place of its sum.
pub(super) fn join(log_sums: &mut Buffer, targets: &Buffer, losses: &mut [f32]) {
    let (mut sums, found) = (log_sums.view_mut(), targets.view());
    let blocks = 0..sums.rows();
    for (token, loss) in losses.iter_mut().enumerate() {
        let of_block = |sums: &MatMut<f32>, b: usize| sums.as_ref().row(b)[token];
        let most = blocks.clone().map(|b| of_block(&sums, b)).fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = blocks.clone().map(|b| ((of_block(&sums, b) - most) as f64).exp()).sum();
        let all = (most as f64 + sum.ln()) as f32;
        // All but one are zero.
        *loss = all - blocks.clone().map(|b| found.row(b)[token]).sum::<f32>();
        for b in blocks.clone() {
            let share = &mut sums.row_mut(b)[token];
            *share = (*share - all).exp();
        }
    }
}

/// `dx` (T, D), written over with the sum of `sums` (groups * T, D) over the groups.
pub(super) fn add_groups(sums: MatRef<f32>, dx: MatMut<f32>) {
    let tokens = dx.rows();
    let groups = sums.rows() / tokens;
    let chunks: Vec<MatMut<f32>> = dx.into_chunks(32).collect();
    chunks.into_par_iter().enumerate().for_each(|(c, mut dx)| {
        for r in 0..dx.rows() {
            let dx = dx.row_mut(r);
            dx.copy_from_slice(sums.row(c * 32 + r));
            for g in 1..groups {
                dx.iter_mut().zip(sums.row(g * tokens + c * 32 + r)).for_each(|(dx, part)| *dx += part);
            }
        }
    });
}

/// Packs the tokens `x` as left factors.
fn pack<'a>(
    level: Level,
    weights: &Dense,
    lefts: &'a mut Vec<PackedPanel>,
    x: MatRef<f32>,
    targets: &'a [u32],
) -> Piece<'a> {
    let precision = weights.precision();
    let count = x.rows().div_ceil(TOKENS);
    lefts.resize_with(count.max(lefts.len()), PackedPanel::new);
    lefts[..count].par_iter_mut().enumerate().for_each(|(p, left)| {
        let part = p * TOKENS..x.rows().min((p + 1) * TOKENS);
        left.pack_left(level, precision, Operand::new(x.window(part, 0..x.cols())));
    });
    Piece { level, precision, lefts: &lefts[..count], targets }
}

fn pieces(tokens: usize) -> impl Iterator<Item = Range<usize>> {
    (0..tokens).step_by(PIECE).map(move |from| from..tokens.min(from + PIECE))
}

#[track_caller]
pub(super) fn check(weights: &Dense, x: MatRef<f32>, targets: &[u32]) {
    assert_eq!(x.rows(), targets.len(), "x and targets differ in number");
    assert_eq!(x.cols(), weights.inputs(), "x and the weights differ in inputs");
    let rows = weights.outputs();
    let wrong = targets.iter().find(|&&target| target as usize >= rows);
    assert!(wrong.is_none(), "target {wrong:?} is not below the vocabulary {rows}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Optim;
    use crate::config::lm::model::Precision as Rounding;
    use crate::optim::Scope;

    #[test]
    fn memory_is_as_a_plan_says() {
        // Whole blocks: the last one has as many rows as the others.
        let (vocabulary, width) = (BLOCKS * PANEL_ROWS * 2, 4);
        let mut weights =
            Dense::new(&Scope::of("head", &Optim::default(), 7), vocabulary, width, 0.1, Rounding::F32).unwrap();
        let (work, mut head) = (&mut Workspace::new(Level::detect()), DenseHead::default());
        let (x, targets, mut dx) = (vec![1.0; PIECE * width], vec![3; PIECE], vec![0.0; PIECE * width]);
        let (x, dx) = (MatRef::new(&x, PIECE, width), MatMut::new(&mut dx, PIECE, width));
        head.accumulate(work, &mut weights, x, &targets, dx);
        assert_eq!(4 * (head.logits.slice().len() + head.dx.slice().len()) as u64, DenseHead::bytes(vocabulary, width));
        // Evaluation keeps no logits.
        head.losses(work, &weights, x, &targets, &mut vec![0.0; PIECE]);
        assert_eq!(head.logits.slice().len(), 0);
    }
}
