//! What a rule keeps for the rows of a matrix, and its step on a piece of them.

use super::StepOptions;
use super::split::Splitter;
use crate::config::{Optim, OptimizerName};
use crate::error::Result;
use crate::kernels::optim::{
    self as kernel, Adam, BLOCK, Moments, Momentum, RowGrads, RowwiseAdagrad, RowwiseRmsprop, Sgd, Weights,
};
use crate::kernels::{Level, MatMut};
use crate::matrix::Matrix;
use crate::tensor::{Elements, ElementsMut, Tensor, TensorMut};

/// The state of all rows. It starts as zeros.
#[derive(Debug)]
pub(super) enum State {
    None,
    Velocity(Matrix<f32>),
    Rowwise(Matrix<f32>),
    Adam { m: Matrix<f32>, v: Matrix<f32>, steps: Matrix<u32> },
    Adam8 { m: Matrix<u8>, v: Matrix<u8>, m_scales: Matrix<f32>, v_scales: Matrix<f32>, steps: Matrix<u32> },
}

/// The state of a piece of the rows.
pub(super) enum StatePiece<'a> {
    None,
    Velocity(MatMut<'a, f32>),
    Rowwise(&'a mut [f32]),
    Adam { moments: Moments<'a>, steps: &'a mut [u32] },
}

enum StateSplitter<'a> {
    None,
    Velocity(Splitter<'a, f32>),
    Rowwise(Splitter<'a, f32>),
    Adam { m: Splitter<'a, f32>, v: Splitter<'a, f32>, steps: Splitter<'a, u32> },
    Adam8 { codes: [Splitter<'a, u8>; 2], scales: [Splitter<'a, f32>; 2], steps: Splitter<'a, u32> },
}

impl State {
    /// Zeros for the parameter `name`.
    pub fn try_new(name: &str, optim: &Optim, rows: usize, cols: usize) -> Result<Self> {
        fn zeros<T: bytemuck::Pod>(name: &str, of: &str, rows: usize, cols: usize) -> Result<Matrix<T>> {
            Matrix::try_zeros(&format!("{name}.{of}"), rows, cols)
        }
        Ok(match optim.name {
            OptimizerName::Sgd => State::None,
            OptimizerName::Momentum => State::Velocity(zeros(name, "velocity", rows, cols)?),
            OptimizerName::RowwiseAdagrad | OptimizerName::RowwiseRmsprop => {
                State::Rowwise(zeros(name, "squares", rows, 1)?)
            }
            OptimizerName::Adam | OptimizerName::AdamLazy | OptimizerName::AdamDense => {
                let steps = zeros(name, "steps", rows, 1)?;
                if !optim.eight_bit {
                    let (m, v) = (zeros(name, "m", rows, cols)?, zeros(name, "v", rows, cols)?);
                    return Ok(State::Adam { m, v, steps });
                }
                let (m, v, blocks) =
                    (zeros(name, "m", rows, cols)?, zeros(name, "v", rows, cols)?, cols.div_ceil(BLOCK));
                let m_scales = zeros(name, "m_scales", rows, blocks)?;
                State::Adam8 { m, v, m_scales, v_scales: zeros(name, "v_scales", rows, blocks)?, steps }
            }
        })
    }

    /// Pieces of `rows[0]`, `rows[1]`, ... rows.
    pub fn split<'a>(&'a mut self, rows: impl Iterator<Item = usize>) -> Vec<StatePiece<'a>> {
        let mut splitter = match self {
            State::None => StateSplitter::None,
            State::Velocity(velocity) => StateSplitter::Velocity(Splitter::new(velocity)),
            State::Rowwise(sums) => StateSplitter::Rowwise(Splitter::new(sums)),
            State::Adam { m, v, steps } => {
                StateSplitter::Adam { m: Splitter::new(m), v: Splitter::new(v), steps: Splitter::new(steps) }
            }
            State::Adam8 { m, v, m_scales, v_scales, steps } => StateSplitter::Adam8 {
                codes: [Splitter::new(m), Splitter::new(v)],
                scales: [Splitter::new(m_scales), Splitter::new(v_scales)],
                steps: Splitter::new(steps),
            },
        };
        rows.map(|rows| splitter.take(rows)).collect()
    }

    pub fn tensors<'a>(&'a self, name: &str) -> Vec<Tensor<'a>> {
        fn tensor<'a, T: bytemuck::Pod>(
            name: String,
            matrix: &'a Matrix<T>,
            elements: impl Fn(&'a [T]) -> Elements<'a>,
        ) -> Tensor<'a> {
            Tensor { name, shape: vec![matrix.rows(), matrix.cols()], elements: elements(matrix.as_slice()) }
        }
        match self {
            State::None => vec![],
            State::Velocity(velocity) => vec![tensor(format!("{name}.velocity"), velocity, Elements::F32)],
            State::Rowwise(sums) => vec![tensor(format!("{name}.squares"), sums, Elements::F32)],
            State::Adam { m, v, steps } => vec![
                tensor(format!("{name}.m"), m, Elements::F32),
                tensor(format!("{name}.v"), v, Elements::F32),
                tensor(format!("{name}.steps"), steps, Elements::U32),
            ],
            State::Adam8 { m, v, m_scales, v_scales, steps } => vec![
                tensor(format!("{name}.m"), m, Elements::U8),
                tensor(format!("{name}.v"), v, Elements::U8),
                tensor(format!("{name}.m_scales"), m_scales, Elements::F32),
                tensor(format!("{name}.v_scales"), v_scales, Elements::F32),
                tensor(format!("{name}.steps"), steps, Elements::U32),
            ],
        }
    }

    pub fn tensors_mut<'a>(&'a mut self, name: &str) -> Vec<TensorMut<'a>> {
        fn tensor<'a, T: bytemuck::Pod>(
            name: String,
            matrix: &'a mut Matrix<T>,
            elements: impl Fn(&'a mut [T]) -> ElementsMut<'a>,
        ) -> TensorMut<'a> {
            TensorMut { name, shape: vec![matrix.rows(), matrix.cols()], elements: elements(matrix.as_mut_slice()) }
        }
        match self {
            State::None => vec![],
            State::Velocity(velocity) => vec![tensor(format!("{name}.velocity"), velocity, ElementsMut::F32)],
            State::Rowwise(sums) => vec![tensor(format!("{name}.squares"), sums, ElementsMut::F32)],
            State::Adam { m, v, steps } => vec![
                tensor(format!("{name}.m"), m, ElementsMut::F32),
                tensor(format!("{name}.v"), v, ElementsMut::F32),
                tensor(format!("{name}.steps"), steps, ElementsMut::U32),
            ],
            State::Adam8 { m, v, m_scales, v_scales, steps } => vec![
                tensor(format!("{name}.m"), m, ElementsMut::U8),
                tensor(format!("{name}.v"), v, ElementsMut::U8),
                tensor(format!("{name}.m_scales"), m_scales, ElementsMut::F32),
                tensor(format!("{name}.v_scales"), v_scales, ElementsMut::F32),
                tensor(format!("{name}.steps"), steps, ElementsMut::U32),
            ],
        }
    }
}

impl<'a> StateSplitter<'a> {
    fn take(&mut self, rows: usize) -> StatePiece<'a> {
        match self {
            StateSplitter::None => StatePiece::None,
            StateSplitter::Velocity(velocity) => StatePiece::Velocity(velocity.take(rows)),
            StateSplitter::Rowwise(sums) => StatePiece::Rowwise(sums.take_slice(rows)),
            StateSplitter::Adam { m, v, steps } => StatePiece::Adam {
                moments: Moments::F32 { m: m.take(rows), v: v.take(rows) },
                steps: steps.take_slice(rows),
            },
            StateSplitter::Adam8 { codes: [m, v], scales: [m_scales, v_scales], steps } => StatePiece::Adam {
                moments: Moments::Blockwise {
                    m: m.take(rows),
                    v: v.take(rows),
                    m_scales: m_scales.take(rows),
                    v_scales: v_scales.take(rows),
                },
                steps: steps.take_slice(rows),
            },
        }
    }
}

fn adam(step: &StepOptions) -> Adam {
    let &Optim { beta1, beta2, eps, weight_decay, .. } = step.optim;
    Adam { lr: step.lr, beta1, beta2, eps, weight_decay, grad_scale: step.grad_scale }
}

/// Moves the rows of a piece that have a gradient.
pub(super) fn apply(weights: Weights, state: StatePiece, grads: RowGrads, step: &StepOptions) {
    let &StepOptions { optim, number, lr, grad_scale, level, .. } = step;
    let &Optim { beta1, beta2, eps, weight_decay, .. } = optim;
    match state {
        StatePiece::None => {
            kernel::sgd(level, weights, grads, &Sgd { lr, weight_decay, grad_scale }, number as u64);
        }
        StatePiece::Velocity(velocity) => {
            let params = Momentum { lr, momentum: beta1, nesterov: false, weight_decay, grad_scale };
            kernel::momentum(level, weights, velocity, grads, &params, number as u64);
        }
        StatePiece::Rowwise(means) if optim.name == OptimizerName::RowwiseRmsprop => {
            let params = RowwiseRmsprop { lr, alpha: beta2, eps, weight_decay, grad_scale };
            kernel::rowwise_rmsprop(level, weights, means, grads, &params, number as u64);
        }
        StatePiece::Rowwise(sums) => {
            let params = RowwiseAdagrad { lr, eps, weight_decay, grad_scale };
            kernel::rowwise_adagrad(level, weights, sums, grads, &params, number as u64);
        }
        StatePiece::Adam { moments, steps } => match optim.name {
            OptimizerName::AdamDense => kernel::adam_dense(level, weights, moments, grads, &adam(step), number),
            OptimizerName::Adam => kernel::adam_catch_up(level, weights, moments, steps, grads, &adam(step), number),
            _ => kernel::adam_lazy(level, weights, moments, steps, grads, &adam(step)),
        },
    }
}

/// Brings the sleeping rows of a piece up to date.
pub(super) fn settle(level: Level, weights: Weights, state: StatePiece, step: &StepOptions) {
    if let StatePiece::Adam { moments, steps } = state {
        kernel::adam_settle(level, weights, moments, steps, &adam(step), step.number);
    }
}
