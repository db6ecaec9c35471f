//! What a rule keeps for the rows of a matrix, and its step on a piece of them.
//!
//! A new rule is one line in [`columns`] and one arm in [`apply`].

use super::Step;
use super::rule::Rule;
use super::split::Splitter;
use super::stored::zeros;
use crate::config::OptimizerName;
use crate::error::Result;
use crate::kernels::optim::{
    self as kernel, Adam, BLOCK, Moments, Momentum, RowGrads, RowwiseAdagrad, RowwiseRmsprop, Sgd, Weights,
};
use crate::kernels::{Level, MatMut};
use crate::matrix::Matrix;
use crate::tensor::{Elements, ElementsMut, Tensor, TensorMut};

/// The type of a column's numbers.
#[derive(Clone, Copy)]
enum Kind {
    F32,
    U8,
    U32,
}

/// What `rule` keeps for each row of `cols` weights: names, types and lengths.
fn columns(rule: &Rule, cols: usize) -> Vec<(&'static str, Kind, usize)> {
    use Kind::{F32, U8, U32};
    let blocks = cols.div_ceil(BLOCK);
    match rule.name {
        OptimizerName::Sgd => vec![],
        OptimizerName::Momentum => vec![("velocity", F32, cols)],
        OptimizerName::RowwiseAdagrad | OptimizerName::RowwiseRmsprop => vec![("squares", F32, 1)],
        _ if !rule.eight_bit => vec![("m", F32, cols), ("v", F32, cols), ("steps", U32, 1)],
        _ => vec![
            ("m", U8, cols),
            ("v", U8, cols),
            ("m_scales", F32, blocks),
            ("v_scales", F32, blocks),
            ("steps", U32, 1),
        ],
    }
}

/// The state of all rows. It starts as zeros.
#[derive(Debug)]
pub(super) struct State {
    columns: Vec<(&'static str, Column)>,
}

#[derive(Debug)]
enum Column {
    F32(Matrix<f32>),
    U8(Matrix<u8>),
    U32(Matrix<u32>),
}

/// The state of a piece of the rows, a slice for each column.
pub(super) type StatePiece<'a> = Vec<Slice<'a>>;

pub(super) enum Slice<'a> {
    F32(&'a mut [f32]),
    U8(&'a mut [u8]),
    U32(&'a mut [u32]),
}

enum Cut<'a> {
    F32(Splitter<'a, f32>),
    U8(Splitter<'a, u8>),
    U32(Splitter<'a, u32>),
}

impl State {
    /// Zeros for the parameter `name`, or no numbers at all.
    pub fn try_new(name: &str, rule: &Rule, (rows, cols): (usize, usize), planned: bool) -> Result<Self> {
        let column = |(of, kind, cols): (&'static str, Kind, usize)| {
            let what = format!("{name}.{of}");
            let zeros = match kind {
                Kind::F32 => Column::F32(zeros(&what, rows, cols, planned)?),
                Kind::U8 => Column::U8(zeros(&what, rows, cols, planned)?),
                Kind::U32 => Column::U32(zeros(&what, rows, cols, planned)?),
            };
            Ok((of, zeros))
        };
        Ok(Self { columns: columns(rule, cols).into_iter().map(column).collect::<Result<_>>()? })
    }

    /// Bytes of all columns.
    pub fn bytes(&self) -> usize {
        let bytes = |(_, column): &(&str, Column)| match column {
            Column::F32(matrix) => matrix.bytes(),
            Column::U8(matrix) => matrix.bytes(),
            Column::U32(matrix) => matrix.bytes(),
        };
        self.columns.iter().map(bytes).sum()
    }

    /// Pieces of `rows[0]`, `rows[1]`, ... rows.
    pub fn split<'a>(&'a mut self, rows: impl Iterator<Item = usize>) -> Vec<StatePiece<'a>> {
        let cut = |(_, column): &'a mut (&'static str, Column)| match column {
            Column::F32(matrix) => Cut::F32(Splitter::new(matrix)),
            Column::U8(matrix) => Cut::U8(Splitter::new(matrix)),
            Column::U32(matrix) => Cut::U32(Splitter::new(matrix)),
        };
        let mut cuts: Vec<Cut> = self.columns.iter_mut().map(cut).collect();
        let take = |cut: &mut Cut<'a>, rows: usize| match cut {
            Cut::F32(numbers) => Slice::F32(numbers.take_slice(rows)),
            Cut::U8(numbers) => Slice::U8(numbers.take_slice(rows)),
            Cut::U32(numbers) => Slice::U32(numbers.take_slice(rows)),
        };
        rows.map(|rows| cuts.iter_mut().map(|cut| take(cut, rows)).collect()).collect()
    }

    pub fn tensors<'a>(&'a self, name: &str) -> Vec<Tensor<'a>> {
        let tensor = |(of, column): &'a (&'static str, Column)| {
            let (shape, elements) = match column {
                Column::F32(m) => ([m.rows(), m.cols()], Elements::F32(m.as_slice())),
                Column::U8(m) => ([m.rows(), m.cols()], Elements::U8(m.as_slice())),
                Column::U32(m) => ([m.rows(), m.cols()], Elements::U32(m.as_slice())),
            };
            Tensor { name: format!("{name}.{of}"), shape: shape.to_vec(), elements }
        };
        self.columns.iter().map(tensor).collect()
    }

    pub fn tensors_mut<'a>(&'a mut self, name: &str) -> Vec<TensorMut<'a>> {
        let tensor = |(of, column): &'a mut (&'static str, Column)| {
            let (shape, elements) = match column {
                Column::F32(m) => ([m.rows(), m.cols()], ElementsMut::F32(m.as_mut_slice())),
                Column::U8(m) => ([m.rows(), m.cols()], ElementsMut::U8(m.as_mut_slice())),
                Column::U32(m) => ([m.rows(), m.cols()], ElementsMut::U32(m.as_mut_slice())),
            };
            TensorMut { name: format!("{name}.{of}"), shape: shape.to_vec(), elements }
        };
        self.columns.iter_mut().map(tensor).collect()
    }
}

fn adam(rule: &Rule, step: &Step) -> Adam {
    let &Rule { beta1, beta2, eps, weight_decay, lr_factor, .. } = rule;
    Adam { lr: step.lr * lr_factor, beta1, beta2, eps, weight_decay, grad_scale: step.grad_scale }
}

/// The averages of Adam, and the steps, of (rows, cols) weights.
fn moments<'a>((rows, cols): (usize, usize), slices: &'a mut [Slice]) -> (Moments<'a>, &'a mut [u32]) {
    match slices {
        [Slice::F32(m), Slice::F32(v), Slice::U32(steps)] => {
            (Moments::F32 { m: MatMut::new(m, rows, cols), v: MatMut::new(v, rows, cols) }, steps)
        }
        [Slice::U8(m), Slice::U8(v), Slice::F32(m_scales), Slice::F32(v_scales), Slice::U32(steps)] => {
            let blocks = cols.div_ceil(BLOCK);
            let [m, v] = [m, v].map(|codes| MatMut::new(codes, rows, cols));
            let [m_scales, v_scales] = [m_scales, v_scales].map(|scales| MatMut::new(scales, rows, blocks));
            (Moments::Blockwise { m, v, m_scales, v_scales }, steps)
        }
        _ => unreachable!("as `columns` says"),
    }
}

/// Moves the rows of a piece that have a gradient.
pub(super) fn apply(rule: &Rule, level: Level, weights: Weights, mut state: StatePiece, grads: RowGrads, step: &Step) {
    let &Rule { beta1, beta2, eps, weight_decay, lr_factor, .. } = rule;
    let &Step { number, grad_scale, .. } = step;
    let (lr, rows) = (step.lr * lr_factor, weights.rows());
    match (rule.name, &mut state[..]) {
        (OptimizerName::Sgd, []) => {
            kernel::sgd(level, weights, grads, &Sgd { lr, weight_decay, grad_scale }, number as u64);
        }
        (OptimizerName::Momentum, [Slice::F32(velocity)]) => {
            let params = Momentum { lr, momentum: beta1, nesterov: false, weight_decay, grad_scale };
            let velocity = MatMut::new(velocity, rows, weights.cols());
            kernel::momentum(level, weights, velocity, grads, &params, number as u64);
        }
        (OptimizerName::RowwiseAdagrad, [Slice::F32(sums)]) => {
            let params = RowwiseAdagrad { lr, eps, weight_decay, grad_scale };
            kernel::rowwise_adagrad(level, weights, sums, grads, &params, number as u64);
        }
        (OptimizerName::RowwiseRmsprop, [Slice::F32(means)]) => {
            let params = RowwiseRmsprop { lr, alpha: beta2, eps, weight_decay, grad_scale };
            kernel::rowwise_rmsprop(level, weights, means, grads, &params, number as u64);
        }
        (name, slices) => {
            let (moments, steps) = moments((rows, weights.cols()), slices);
            let params = adam(rule, step);
            match name {
                OptimizerName::AdamDense => kernel::adam_dense(level, weights, moments, grads, &params, number),
                OptimizerName::Adam => kernel::adam_catch_up(level, weights, moments, steps, grads, &params, number),
                _ => kernel::adam_lazy(level, weights, moments, steps, grads, &params),
            }
        }
    }
}

/// Brings the rows of a piece up to date that have made up for nothing yet.
pub(super) fn settle(rule: &Rule, level: Level, weights: Weights, mut state: StatePiece, step: &Step) {
    let (moments, steps) = moments((weights.rows(), weights.cols()), &mut state);
    kernel::adam_settle(level, weights, moments, steps, &adam(rule, step), step.number);
}
