//! Sparse input, hidden layers, and an output of very many labels: the network of extreme classification.
//!
//! ```text
//! features (sparse) -> Table -> ReLU -> [Linear -> ReLU]* -> Linear -> one logit a label
//! ```

use crate::active::ActiveSet;
use crate::config::{Model, Precision, Storage};
use crate::error::{Error, Result};
use crate::flops::Phase;
use crate::kernels::gemm;
use crate::kernels::reduce::Activation;
use crate::kernels::{Level, MatMut, MatRef};
use crate::layer::{Linear, LinearGradient, Table, Workspace};
use crate::module::Module;
use crate::optim::{Scope, Step};
use crate::sparse::SparseBatch;

/// The network. The output layer is computed by whoever owns the network, for the rows it wants.
#[derive(Debug)]
pub struct Mlp {
    /// Features to the first hidden layer.
    pub input: Table,
    /// The other hidden layers.
    pub hidden: Vec<Linear>,
    /// The last hidden layer to labels.
    pub output: Linear,
}

crate::module!(Mlp { input, hidden, output });

/// What the layers of a batch put out, after the ReLU.
#[derive(Debug, Default)]
pub struct Activations {
    samples: usize,
    /// (B, width) of each hidden layer.
    outputs: Vec<Vec<f32>>,
    /// The neurons of each layer but the first that were computed; the others are 0.
    active: Vec<ActiveSet>,
}

/// The gradient of the loss at each hidden layer, before the ReLU.
#[derive(Debug, Default)]
pub struct Gradients {
    /// (B, width) of the first hidden layer, (B, active) of the others.
    dz: Vec<Vec<f32>>,
}

impl Mlp {
    /// A network of `features` inputs and `labels` outputs.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if there is no hidden layer; see [`Scope::parameter`].
    ///
    /// ```
    /// use hotrow::{config::{Model, Optim}, kernels::Level, model::Mlp, optim::Scope};
    /// let scope = Scope::fresh(&Optim::default(), 1, Level::detect());
    /// let network = Mlp::new(&scope, &Model::default(), 1000, 50)?;
    /// assert_eq!((network.width(), network.output.rows()), (128, 50));
    /// let refused = Mlp::new(&scope, &Model::default(), usize::MAX, 50).unwrap_err();
    /// assert!(refused.to_string().starts_with("input.weight: the system refuses "));
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn new(scope: &Scope, model: &Model, features: usize, labels: usize) -> Result<Self> {
        let widths = &model.hidden;
        let (Some(&first), Some(&last)) = (widths.first(), widths.last()) else {
            return Err(Error::config("model.hidden", "no hidden layer: there is to be one at least"));
        };
        let linear = |name: &str, rows: usize, cols: usize, storage: Storage| -> Result<Linear> {
            let layer = Linear::new(&scope.child(name), rows, cols, storage)?;
            Ok(match model.precision {
                Precision::Bf16 => layer.with_precision(gemm::Precision::Bf16),
                Precision::F32 => layer,
            })
        };
        let hidden = widths
            .windows(2)
            .enumerate()
            .map(|(i, pair)| linear(&format!("hidden.{}", i + 1), pair[1], pair[0], Storage::F32));
        Ok(Self {
            input: Table::new(&scope.child("input"), features, first, model.pooling, model.storage)?,
            hidden: hidden.collect::<Result<_>>()?,
            output: linear("output", labels, last, model.storage)?,
        })
    }

    /// Width of the last hidden layer.
    pub fn width(&self) -> usize {
        self.output.cols()
    }

    /// The hidden layers of a batch. `choose(layer, inputs, weights)` says which neurons of hidden layer 1, 2, ... to compute.
    pub fn forward(
        &self,
        work: &mut Workspace,
        features: &SparseBatch,
        activations: &mut Activations,
        mut choose: impl FnMut(usize, MatRef<f32>, &Linear) -> ActiveSet,
    ) {
        let samples = features.len();
        activations.samples = samples;
        activations.active.clear();
        activations.outputs.resize(1 + self.hidden.len(), Vec::new());
        let width = self.input.weights.cols();
        let first = &mut activations.outputs[0];
        first.resize(samples * width, 0.0);
        self.input.forward(work, features, MatMut::new(first, samples, width));
        relu(work, first);
        for (i, layer) in self.hidden.iter().enumerate() {
            let (below, above) = activations.outputs.split_at_mut(i + 1);
            let (x, out) = (MatRef::new(&below[i], samples, layer.cols()), &mut above[0]);
            let set = choose(i + 1, x, layer);
            out.clear();
            out.resize(samples * layer.rows(), 0.0);
            if set.len() == layer.rows() {
                layer.forward(work, x, set.rows(), MatMut::new(out, samples, layer.rows()));
            } else {
                let mut z = vec![0.0; samples * set.len()];
                layer.forward(work, x, set.rows(), MatMut::new(&mut z, samples, set.len()));
                for (z, out) in z.chunks(set.len().max(1)).zip(out.chunks_mut(layer.rows())) {
                    z.iter().zip(set.listed()).for_each(|(z, &row)| out[row as usize] = *z);
                }
            }
            relu(work, out);
            activations.active.push(set);
        }
    }

    /// From the gradient at the last hidden layer (B, width) to that of every layer below. The input layer keeps its own.
    pub fn backward(
        &mut self,
        work: &mut Workspace,
        features: &SparseBatch,
        activations: &Activations,
        dlast: Vec<f32>,
        gradients: &mut Gradients,
    ) {
        let samples = activations.samples;
        gradients.dz.resize(1 + self.hidden.len(), Vec::new());
        let mut d = dlast;
        for (i, layer) in self.hidden.iter().enumerate().rev() {
            relu_backward(work, &mut d, &activations.outputs[i + 1]);
            let set = &activations.active[i];
            let dz = &mut gradients.dz[i + 1];
            dz.clear();
            if set.len() == layer.rows() {
                dz.extend_from_slice(&d);
            } else {
                d.chunks(layer.rows()).for_each(|d| dz.extend(set.listed().iter().map(|&row| d[row as usize])));
            }
            d.clear();
            d.resize(samples * layer.cols(), 0.0);
            let dz = MatRef::new(dz, samples, set.len());
            layer.backward_add(work, dz, set.rows(), MatMut::new(&mut d, samples, layer.cols()));
        }
        relu_backward(work, &mut d, &activations.outputs[0]);
        self.input.backward(work, features, MatRef::new(&d, samples, self.input.weights.cols()));
        gradients.dz[0] = d;
    }

    /// One step of every layer but the output.
    pub fn update_layers(
        &mut self,
        work: &mut Workspace,
        activations: &Activations,
        gradients: &Gradients,
        step: &Step,
    ) {
        for (i, layer) in self.hidden.iter_mut().enumerate() {
            layer.step_along(work, &[hidden_gradient(layer.cols(), i, activations, gradients)], step);
        }
        self.input.update(work, step);
    }

    /// The squared Euclidean length of the gradient that [`update_layers`](Self::update_layers) would apply.
    pub fn squared_layers(&mut self, work: &mut Workspace, activations: &Activations, gradients: &Gradients) -> f64 {
        let mut squares = self.input.squared_gradient(work);
        for (i, layer) in self.hidden.iter().enumerate() {
            squares += layer.squared_along(work, &[hidden_gradient(layer.cols(), i, activations, gradients)]);
        }
        squares
    }

    /// The last hidden layer of a batch, computed in full: (B, width).
    pub fn embed(&self, work: &mut Workspace, features: &SparseBatch) -> Vec<f32> {
        let mut activations = Activations::default();
        self.forward(work, features, &mut activations, |_, _, layer| ActiveSet::all(layer.rows()));
        activations.outputs.pop().expect("there is a hidden layer")
    }
}

impl Activations {
    /// The last hidden layer: (B, width).
    pub fn last(&self) -> MatRef<'_, f32> {
        let last = self.outputs.last().expect("forward has run");
        MatRef::new(last, self.samples, last.len() / self.samples.max(1))
    }

    /// The first hidden layer, counted from 0, with a number that is not finite.
    pub fn not_finite(&self) -> Option<usize> {
        self.outputs.iter().position(|layer| layer.iter().any(|x| !x.is_finite()))
    }
}

fn hidden_gradient<'a>(
    width: usize,
    i: usize,
    activations: &'a Activations,
    gradients: &'a Gradients,
) -> LinearGradient<'a> {
    let (samples, set) = (activations.samples, &activations.active[i]);
    LinearGradient {
        active: set.rows(),
        dz: MatRef::new(&gradients.dz[i + 1], samples, set.len()),
        x: MatRef::new(&activations.outputs[i], samples, width),
    }
}

fn relu(work: &mut Workspace, x: &mut [f32]) {
    let level: Level = work.level;
    work.timed(Phase::Forward, |_| Activation::Relu.forward(level, x));
}

/// The slope at the output is that at the input.
fn relu_backward(work: &mut Workspace, d: &mut [f32], out: &[f32]) {
    let level: Level = work.level;
    work.timed(Phase::Backward, |_| Activation::Relu.backward(level, d, out));
}
