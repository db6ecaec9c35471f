//! A network beside memories and linear rows.

use std::sync::Arc;

use super::scores::Vector;
use crate::index::WeightsRef;
use crate::kernels::MatRef;
use crate::kernels::reduce::dot;
use crate::model::Mlp;
use crate::module::Module;
use crate::sparse::SparseBatch;
use crate::tensor::Tensor;
use crate::work::Workspace;

/// The largest logit.
const LARGEST: f32 = 1e30;

/// A trained network that scores the labels which other parts name.
///
/// ```
/// use hotrow::config::{Model, Optim};
/// use hotrow::kernels::Level;
/// use hotrow::layer::Workspace;
/// use hotrow::model::Mlp;
/// use hotrow::{optim::Scope, parts::NetworkPart};
/// let level = Level::detect();
/// let network = Mlp::new(&Scope::fresh(&Optim::default(), 1, level), &Model::default(), 20, 10)?;
/// let part = NetworkPart::new(network);
/// assert_eq!(part.logits((&[3, 7], &[0.6, 0.8]), &[0, 9], &mut Workspace::new(level)).len(), 2);
/// # Ok::<(), hotrow::error::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct NetworkPart(Arc<Mlp>);

impl NetworkPart {
    /// Of a network that is trained.
    pub fn new(network: Mlp) -> Self {
        Self(Arc::new(network))
    }

    /// The network.
    pub fn network(&self) -> &Mlp {
        &self.0
    }

    /// The logit of each of `labels` for a sample with the features `x`.
    ///
    /// # Panics
    ///
    /// If a feature or a label is none.
    #[track_caller]
    pub fn logits(&self, x: (&[u32], &[f32]), labels: &[u32], work: &mut Workspace) -> Vec<f32> {
        let mut sample = SparseBatch::new(self.0.input.weights.rows());
        sample.push(x.0, x.1).expect("features of the network");
        let hidden = self.0.embed(work, &sample);
        let x = MatRef::new(&hidden, 1, self.0.width());
        let rows = self.0.output.view(work.level);
        let product = |label: usize| match rows.weights {
            WeightsRef::F32(w) => dot(work.level, w.row(label), x.row(0)),
            WeightsRef::Bf16(w) => dot(work.level, w.row(label), x.row(0)),
        };
        let logit = |&label: &u32| product(label as usize) + rows.biases[label as usize];
        // Of a network that has nearly diverged, some may be no numbers.
        labels
            .iter()
            .map(|label| logit(label).clamp(-LARGEST, LARGEST))
            .map(|z| if z.is_nan() { -LARGEST } else { z })
            .collect()
    }

    /// Numbers that are read for a sample with the features `x` and so many labels.
    pub(super) fn reads(&self, x: Vector, labels: usize) -> u64 {
        let hidden: usize = self.0.hidden.iter().map(|layer| layer.rows() * layer.cols()).sum();
        (x.0.len() * self.0.input.weights.cols() + hidden + labels * self.0.width()) as u64
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> u64 {
        self.tensors().iter().map(|tensor| tensor.elements.bytes().len() as u64).sum()
    }

    /// What a checkpoint keeps of it.
    pub fn tensors(&self) -> Vec<Tensor<'_>> {
        self.0.weight_tensors()
    }
}

impl PartialEq for NetworkPart {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.tensors() == other.tensors()
    }
}
