//! Losses over active sets, with their gradients.

use rayon::prelude::*;

use crate::active::ActiveSet;
use crate::config::Loss;
use crate::flops::Phase;
use crate::kernels::reduce::{sigmoid_cross_entropy, softmax_cross_entropy};
use crate::kernels::{Level, MatMut, RowIds, UniqueRowIds};
use crate::layer::Workspace;

/// Samples in one piece of parallel work.
const SAMPLES: usize = 16;

/// The summed loss of samples that share an active set. `z` (samples, active rows) holds the logits and becomes the
/// gradient of that sum. `labels[s]` are the labels of sample `s`, increasing.
///
/// A label outside the set is left out. A sample without any label has no softmax loss. The logits of random rows are
/// corrected as [`active`](crate::active) says; in the logistic loss their terms are multiplied instead.
///
/// # Panics
///
/// If `z` and `labels` differ in samples, or `z` and `active` in rows.
///
/// ```
/// use hotrow::{active::ActiveSet, config::Loss, layer::Workspace, loss};
/// use hotrow::kernels::{Level, MatMut};
/// let (mut z, work) = ([0.0; 4], &mut Workspace::new(Level::detect()));
/// let labels = [&[2][..]];
/// let total = loss::gradient(Loss::Softmax, work, MatMut::new(&mut z, 1, 4), &ActiveSet::all(4), &labels);
/// assert!((total - 4f64.ln()).abs() < 1e-6);
/// assert_eq!(z, [0.25, 0.25, -0.75, 0.25]);
/// ```
#[track_caller]
pub fn gradient(loss: Loss, work: &mut Workspace, z: MatMut<f32>, active: &ActiveSet, labels: &[&[u32]]) -> f64 {
    assert_eq!(z.rows(), labels.len(), "z and labels differ in samples");
    assert_eq!(z.cols(), active.len(), "z and the active set differ in rows");
    // Maximum, exponential, sum, scaling: about 20 operations an element.
    let pairs = (z.rows() * z.cols()) as u64;
    let dense = (z.rows() * active.rows_of_layer()) as u64;
    work.costs.count(Phase::Softmax, 20 * pairs, 20 * dense, 0);
    work.timed(Phase::Softmax, |work| {
        let weights: Option<Vec<f32>> = match (loss, active.log_weights()) {
            (_, None) => None,
            (Loss::Softmax, Some(weights)) => Some(weights.to_vec()),
            (Loss::Bce, Some(weights)) => Some(weights.iter().map(|weight| weight.exp()).collect()),
        };
        let chunks: Vec<MatMut<f32>> = z.into_chunks(SAMPLES).collect();
        let losses: Vec<f64> = chunks
            .into_par_iter()
            .zip(labels.par_chunks(SAMPLES))
            .map(|(mut z, labels)| {
                let rows = active.rows();
                let mut total = 0.0;
                for (r, sample) in labels.iter().enumerate() {
                    let positions: Vec<u32> =
                        sample.iter().filter_map(|&label| rows.position(label)).map(|at| at as u32).collect();
                    total += one(loss, work.level, z.row_mut(r), weights.as_deref(), &positions) as f64;
                }
                total
            })
            .collect();
        losses.iter().sum()
    })
}

/// As [`gradient`] if each sample has its own set. `z` holds the logits of all entries, sample after sample.
///
/// # Panics
///
/// If the sets have more or fewer entries than `z`.
#[track_caller]
pub fn gradient_per_sample(
    loss: Loss,
    work: &mut Workspace,
    z: &mut [f32],
    active: &[ActiveSet],
    labels: &[&[u32]],
) -> f64 {
    let dense: u64 = active.iter().map(|set| set.rows_of_layer() as u64).sum();
    work.costs.count(Phase::Softmax, 20 * z.len() as u64, 20 * dense, 0);
    work.timed(Phase::Softmax, |work| {
        let mut rest = z;
        let mut pieces = Vec::with_capacity(active.len());
        for set in active {
            let (piece, tail) = std::mem::take(&mut rest).split_at_mut(set.len());
            pieces.push(piece);
            rest = tail;
        }
        assert!(rest.is_empty(), "the sets are shorter than z");
        let samples = pieces.into_par_iter().zip(active).zip(labels);
        let losses: Vec<f64> = samples
            .map(|((z, set), labels)| {
                let weights: Option<Vec<f32>> = set.log_weights().map(|weights| match loss {
                    Loss::Softmax => weights.to_vec(),
                    Loss::Bce => weights.iter().map(|weight| weight.exp()).collect(),
                });
                let rows = set.rows();
                let positions = labels.iter().filter_map(|&label| rows.position(label));
                let positions: Vec<u32> = positions.map(|at| at as u32).collect();
                one(loss, work.level, z, weights.as_deref(), &positions) as f64
            })
            .collect();
        losses.iter().sum()
    })
}

/// The loss of one sample; `z` becomes its gradient. `weights` are logarithms for the softmax and factors for the
/// logistic loss. `positions` are those of the labels, increasing.
fn one(loss: Loss, level: Level, z: &mut [f32], weights: Option<&[f32]>, positions: &[u32]) -> f32 {
    match loss {
        Loss::Softmax => {
            let targets = RowIds::new(positions, z.len()).expect("positions in the set");
            softmax_cross_entropy(level, z, weights, targets, None).loss
        }
        Loss::Bce => {
            let targets = UniqueRowIds::new(positions, z.len()).expect("positions in the set, increasing");
            sigmoid_cross_entropy(level, z, weights, targets)
        }
    }
}
