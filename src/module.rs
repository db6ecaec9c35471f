//! The walk over a network: its parameters, indexes and counters, always in the same order.
//!
//! A layer or a network implements [`Module`] with [`module!`](crate::module!) and a list of its fields, or by hand.
//! What holds for every network is written once over the walk: a step, the gradient's norm, settling, counting, tensors
//! of checkpoints, freezing.
//!
//! ```
//! use hotrow::config::{Optim, lm::model::Precision};
//! use hotrow::layer::{Dense, RmsNorm};
//! use hotrow::module::Module;
//! use hotrow::{kernels::Level, optim::Scope};
//!
//! struct Projection {
//!     norm: RmsNorm,
//!     down: Dense,
//! }
//!
//! hotrow::module!(Projection { norm, down });
//!
//! let scope = Scope::fresh(&Optim::default(), 7, Level::detect());
//! let norm = RmsNorm::new(&scope.child("norm"), 4)?;
//! let mut network = Projection { norm, down: Dense::new(&scope.child("down"), 2, 4, 0.02, Precision::F32)? };
//! let names: Vec<&str> = network.parameters().iter().map(|parameter| parameter.name()).collect();
//! assert_eq!((names, network.parameter_count()), (vec!["norm.gain", "down.weight"], 12));
//! assert_eq!(network.freeze("down.*"), 1);
//! # Ok::<(), hotrow::error::Error>(())
//! ```

use crate::index::Index;
use crate::optim::{Parameter, Step, matches};
use crate::tensor::{Tensor, TensorMut};
use crate::work::Workspace;

/// What the walk visits.
pub enum Part<'a> {
    /// Weights with their rule, state and gradient.
    Parameter(&'a Parameter),
    /// An index of rows, with the name of its tensors in checkpoints.
    Index(String, &'a dyn Index),
    /// Anything else that a checkpoint keeps beside the optimiser's state.
    Counter(Tensor<'a>),
}

/// What a layer takes in training beside its parameters: about, and for plans. Numbers are of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Bytes, whatever a step's tokens: packed copies of weights.
    pub bytes: u64,
    /// Bytes of a piece of work: logits of a chunk.
    pub scratch_bytes: u64,
    /// Bytes for each token of a micro-batch, until its backward pass.
    pub activation_bytes: u64,
    /// Bytes for each token of the step, until the update.
    pub kept_bytes: u64,
    /// Floating-point operations for each token, forward and backward.
    pub flops: u64,
    /// The same for each pair of tokens of which one sees the other.
    pub pair_flops: u64,
    /// Tokens that a token sees, itself included, where pairs count.
    pub window: usize,
}

/// As [`Part`], to be written.
pub enum PartMut<'a> {
    /// As [`Part::Parameter`].
    Parameter(&'a mut Parameter),
    /// As [`Part::Index`].
    Index(String, &'a mut dyn Index),
    /// As [`Part::Counter`].
    Counter(TensorMut<'a>),
}

/// A layer, or a network of layers, that can be walked.
///
/// [`visit`](Self::visit) and [`visit_mut`](Self::visit_mut) visit the same parts in the same order, which is that of
/// the tensors in a checkpoint.
pub trait Module {
    /// Calls `take` with each part.
    fn visit<'a>(&'a self, take: &mut dyn FnMut(Part<'a>));

    /// The same, to be written.
    fn visit_mut<'a>(&'a mut self, take: &mut dyn FnMut(PartMut<'a>));

    /// Ends a step, once all parameters have moved: rebuilds the indexes that are due, and balances loads.
    fn after_update(&mut self, _work: &mut Workspace, _step: &Step) {}

    /// Calls `take` with what each layer takes beside its parameters, and the layer's name.
    fn demands(&self, _take: &mut dyn FnMut(&str, Demand)) {}

    /// Every parameter.
    fn parameters(&self) -> Vec<&Parameter> {
        let mut all = Vec::new();
        self.visit(&mut |part| match part {
            Part::Parameter(parameter) => all.push(parameter),
            Part::Index(..) | Part::Counter(_) => {}
        });
        all
    }

    /// Every parameter, to be written.
    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        let mut all = Vec::new();
        self.visit_mut(&mut |part| match part {
            PartMut::Parameter(parameter) => all.push(parameter),
            PartMut::Index(..) | PartMut::Counter(_) => {}
        });
        all
    }

    /// Every index, by name.
    fn indexes(&self) -> Vec<(String, &dyn Index)> {
        let mut all = Vec::new();
        self.visit(&mut |part| match part {
            Part::Index(name, index) => all.push((name, index)),
            Part::Parameter(_) | Part::Counter(_) => {}
        });
        all
    }

    /// Every index, by name, to be restored.
    fn indexes_mut(&mut self) -> Vec<(String, &mut dyn Index)> {
        let mut all = Vec::new();
        self.visit_mut(&mut |part| match part {
            PartMut::Index(name, index) => all.push((name, index)),
            PartMut::Parameter(_) | PartMut::Counter(_) => {}
        });
        all
    }

    /// The number of weights.
    fn parameter_count(&self) -> u64 {
        self.parameters().iter().map(|parameter| (parameter.rows() * parameter.cols()) as u64).sum()
    }

    /// The weights, as in `model.safetensors`.
    fn weight_tensors(&self) -> Vec<Tensor<'_>> {
        self.parameters().into_iter().flat_map(Parameter::weight_tensors).collect()
    }

    /// The weights, to be written.
    fn weight_tensors_mut(&mut self) -> Vec<TensorMut<'_>> {
        self.parameters_mut().into_iter().flat_map(Parameter::weight_tensors_mut).collect()
    }

    /// The optimiser's state and the counters, as in `optimizer.safetensors`.
    fn state_tensors(&self) -> Vec<Tensor<'_>> {
        let (mut tensors, mut counters) = (Vec::new(), Vec::new());
        self.visit(&mut |part| match part {
            Part::Parameter(parameter) => tensors.extend(parameter.state_tensors()),
            Part::Counter(tensor) => counters.push(tensor),
            Part::Index(..) => {}
        });
        tensors.extend(counters);
        tensors
    }

    /// The same, to be written.
    fn state_tensors_mut(&mut self) -> Vec<TensorMut<'_>> {
        let mut tensors = Vec::new();
        self.visit_mut(&mut |part| match part {
            PartMut::Parameter(parameter) => tensors.extend(parameter.state_tensors_mut()),
            PartMut::Counter(tensor) => tensors.push(tensor),
            PartMut::Index(..) => {}
        });
        tensors
    }

    /// The squared Euclidean length of all kept gradients.
    fn squared_gradient(&mut self, work: &mut Workspace) -> f64 {
        self.parameters_mut().into_iter().map(|parameter| parameter.squared_gradient(work)).sum()
    }

    /// Takes a step along all kept gradients, and empties them.
    fn update(&mut self, work: &mut Workspace, step: &Step) {
        self.parameters_mut().into_iter().for_each(|parameter| parameter.update(work, step));
        self.after_update(work, step);
    }

    /// Empties all gradients without a step, after one that cannot be taken.
    fn forget_gradients(&mut self) {
        self.parameters_mut().into_iter().for_each(Parameter::forget);
    }

    /// Brings all rows up to date, if their rule defers steps. Call it before weights are read as a whole.
    fn settle(&mut self, work: &Workspace, step: &Step) {
        self.parameters_mut().into_iter().for_each(|parameter| parameter.settle(work.level, step));
    }

    /// Freezes the parameters whose names match `pattern`: no step moves them. `*` stands for any characters. Returns
    /// their number.
    fn freeze(&mut self, pattern: &str) -> usize {
        let matching = self.parameters_mut().into_iter().filter(|parameter| matches(pattern, parameter.name()));
        matching.map(|parameter| parameter.freeze(true)).count()
    }
}

/// Implements [`Module`](crate::module::Module) for a struct: the walk comes upon the listed fields in this order, each of them a
/// module: a parameter, a layer, or an option, a box, an array or a vector of them. `then method` names what a step does at its end,
/// `fn(&mut self, &mut Workspace, &Step)`; `takes method` what the layer itself [takes](crate::module::Demand) beside its parameters,
/// `fn(&self) -> (&str, Demand)`.
#[macro_export]
macro_rules! module {
    ($module:ty { $($field:ident),+ $(,)? } $(then $after:ident)? $(takes $demand:ident)?) => {
        impl $crate::module::Module for $module {
            fn visit<'a>(&'a self, take: &mut dyn FnMut($crate::module::Part<'a>)) {
                $($crate::module::Module::visit(&self.$field, take);)+
            }

            fn visit_mut<'a>(&'a mut self, take: &mut dyn FnMut($crate::module::PartMut<'a>)) {
                $($crate::module::Module::visit_mut(&mut self.$field, take);)+
            }

            fn after_update(&mut self, work: &mut $crate::work::Workspace, step: &$crate::optim::Step) {
                $($crate::module::Module::after_update(&mut self.$field, work, step);)+
                $(self.$after(work, step);)?
            }

            fn demands(&self, take: &mut dyn FnMut(&str, $crate::module::Demand)) {
                $($crate::module::Module::demands(&self.$field, take);)+
                $({
                    let (name, demand) = self.$demand();
                    take(name, demand);
                })?
            }
        }
    };
}

impl Module for Parameter {
    fn visit<'a>(&'a self, take: &mut dyn FnMut(Part<'a>)) {
        take(Part::Parameter(self));
    }

    fn visit_mut<'a>(&'a mut self, take: &mut dyn FnMut(PartMut<'a>)) {
        take(PartMut::Parameter(self));
    }
}

impl<M: Module + ?Sized> Module for Box<M> {
    fn visit<'a>(&'a self, take: &mut dyn FnMut(Part<'a>)) {
        (**self).visit(take);
    }

    fn visit_mut<'a>(&'a mut self, take: &mut dyn FnMut(PartMut<'a>)) {
        (**self).visit_mut(take);
    }

    fn after_update(&mut self, work: &mut Workspace, step: &Step) {
        (**self).after_update(work, step);
    }

    fn demands(&self, take: &mut dyn FnMut(&str, Demand)) {
        (**self).demands(take);
    }
}

/// Visits each element of a collection, in order.
macro_rules! of_elements {
    ([$($generics:tt)*] $collection:ty) => {
        impl<M: Module, $($generics)*> Module for $collection {
            fn visit<'a>(&'a self, take: &mut dyn FnMut(Part<'a>)) {
                self.iter().for_each(|module| module.visit(take));
            }

            fn visit_mut<'a>(&'a mut self, take: &mut dyn FnMut(PartMut<'a>)) {
                self.iter_mut().for_each(|module| module.visit_mut(take));
            }

            fn after_update(&mut self, work: &mut Workspace, step: &Step) {
                self.iter_mut().for_each(|module| module.after_update(work, step));
            }

            fn demands(&self, take: &mut dyn FnMut(&str, Demand)) {
                self.iter().for_each(|module| module.demands(take));
            }
        }
    };
}
of_elements!([] Option<M>);
of_elements!([] Vec<M>);
of_elements!([const N: usize] [M; N]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_that_are_forgotten_move_nothing() {
        use crate::config::{Optim, Storage};
        use crate::optim::Init;
        let (optim, work) = (Optim::default(), &mut Workspace::new(crate::kernels::Level::detect()));
        let made = |name| Parameter::new(name, 1, 2, Storage::F32, &optim, Init::Constant(1.0), 7).with_few_gradients();
        let mut pair = [made("a"), made("b")];
        pair.iter_mut().for_each(|parameter| parameter.gradient_mut().fill(f32::NAN));
        pair.forget_gradients();
        assert_eq!(pair.squared_gradient(work), 0.0);
        pair.update(work, &Step { number: 1, lr: 1.0, grad_scale: 1.0, seed: 7 });
        assert!(pair.iter().all(|parameter| parameter.f32() == [1.0, 1.0]));
    }
}
