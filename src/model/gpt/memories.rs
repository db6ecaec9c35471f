//! What tokens read from tables before they enter a block: rows of n-grams, and values of an associative memory.

use crate::config::Optim;
use crate::config::lm::Parts;
use crate::error::Result;
use crate::index::Index;
use crate::kernels::Level;
use crate::layer::memory::{Keys, MemorySaved};
use crate::layer::ngram::NgramSaved;
use crate::layer::{Buffer, MemoryLayer, NgramMemory, ValueTable, Workspace};
use crate::optim::{Parameter, StepOptions};
use crate::tensor::{Tensor, TensorMut};

/// The memories of a network; none of them by default.
#[derive(Debug, Default)]
pub struct Memories {
    /// Added to the stream before the blocks `ngram_blocks`.
    pub ngram: Option<NgramMemory>,
    ngram_blocks: Vec<usize>,
    /// The blocks before which the associative memory is read, each with its layer.
    pub layers: Vec<(usize, MemoryLayer)>,
    /// What they read.
    pub values: Option<ValueTable>,
    rebuild_every: u64,
}

/// What the backward pass needs of the forward pass.
#[derive(Debug, Default)]
pub(super) struct MemoriesSaved {
    ngram: NgramSaved,
    /// (T, D): the stream before each layer of the associative memory.
    inputs: Vec<Buffer>,
    layers: Vec<MemorySaved>,
}

impl Memories {
    /// Those that `parts` has. Indexes are built.
    pub(super) fn new(parts: &Parts, optim: &Optim, seed: u64, level: Level) -> Result<Self> {
        let Parts { model, ngram, memory, .. } = parts;
        let layer = |block: usize| -> Result<(usize, MemoryLayer)> {
            let name = format!("blocks.{block}.memory");
            let mut layer = MemoryLayer::new(&name, memory, model, optim, seed, level)?;
            layer.rebuild(&mut Workspace::new(level));
            Ok((block, layer))
        };
        let blocks = if memory.is_on() { memory.blocks(model) } else { Vec::new() };
        Ok(Self {
            ngram: ngram.is_on().then(|| NgramMemory::try_new("ngram", ngram, model, optim, seed)).transpose()?,
            ngram_blocks: ngram.blocks(model),
            layers: blocks.into_iter().map(layer).collect::<Result<_>>()?,
            values: memory.is_on().then(|| ValueTable::try_new("memory.values", memory, model, seed)).transpose()?,
            rebuild_every: memory.rebuild_every,
        })
    }

    /// Reads the rows of n-grams: once for all blocks.
    pub(super) fn look_up(&self, work: &mut Workspace, tokens: &[u32], length: usize, saved: &mut MemoriesSaved) {
        if let Some(ngram) = &self.ngram {
            ngram.look_up(work, tokens, length, &mut saved.ngram);
        }
    }

    /// The same of the last `count` of `tokens`.
    pub(super) fn look_up_last(&self, work: &mut Workspace, tokens: &[u32], count: usize, saved: &mut MemoriesSaved) {
        if let Some(ngram) = &self.ngram {
            ngram.look_up_last(work, tokens, count, &mut saved.ngram);
        }
    }

    /// `x` (T, D) becomes the input of `block`.
    pub(super) fn forward(&self, work: &mut Workspace, block: usize, x: &mut Buffer, saved: &mut MemoriesSaved) {
        if let (Some(ngram), Ok(at)) = (&self.ngram, self.ngram_blocks.binary_search(&block)) {
            ngram.forward(work, at, &mut saved.ngram, x.view_mut());
        }
        saved.inputs.resize_with(self.layers.len(), Buffer::default);
        saved.layers.resize_with(self.layers.len(), MemorySaved::default);
        for (at, (_, layer)) in self.layers.iter().enumerate().filter(|(_, (of, _))| *of == block) {
            let (input, values) = (&mut saved.inputs[at], self.values.as_ref().expect("layers have values"));
            std::mem::swap(x, input);
            x.shape(input.view().rows(), input.view().cols());
            layer.forward(work, values, input.view(), x.view_mut(), &mut saved.layers[at]);
        }
    }

    /// `dx` (T, D), the gradient at the input of `block`, becomes that before its memories. Gradients are added up.
    pub(super) fn backward(&mut self, work: &mut Workspace, block: usize, dx: &mut Buffer, saved: &mut MemoriesSaved) {
        for (at, (_, layer)) in self.layers.iter_mut().enumerate().filter(|(_, (of, _))| *of == block) {
            let (input, values) = (saved.inputs[at].view(), self.values.as_mut().expect("layers have values"));
            let mut below = work.buffer(input.rows(), input.cols());
            layer.backward(work, values, input, &saved.layers[at], dx.view(), below.view_mut());
            std::mem::swap(dx, &mut below);
            work.give_back(below);
        }
        if let (Some(ngram), Ok(at)) = (&mut self.ngram, self.ngram_blocks.binary_search(&block)) {
            ngram.backward(work, at, &mut saved.ngram, dx.view_mut());
        }
    }

    /// After the last block's backward.
    pub(super) fn accumulate(&mut self, work: &mut Workspace, saved: &mut MemoriesSaved) {
        if let Some(ngram) = &mut self.ngram {
            ngram.accumulate(work, &mut saved.ngram);
        }
    }

    pub(super) fn squared_gradient(&mut self, work: &mut Workspace) -> f64 {
        let ngram = self.ngram.as_mut().map_or(0.0, |ngram| ngram.squared_gradient(work));
        let layers: f64 = self.layers.iter_mut().map(|(_, layer)| layer.squared_gradient(work)).sum();
        ngram + layers + self.values.as_mut().map_or(0.0, |values| values.table.squared_gradient(work))
    }

    pub(super) fn update(&mut self, work: &mut Workspace, step: &StepOptions) {
        self.ngram.iter_mut().for_each(|ngram| ngram.update(work, step));
        self.values.iter_mut().for_each(|values| values.update(work, step));
        for (_, layer) in &mut self.layers {
            layer.update(work, step);
            if u64::from(step.number).is_multiple_of(self.rebuild_every) {
                layer.rebuild(work);
            }
        }
    }

    pub(super) fn settle(&mut self, step: &StepOptions) {
        self.ngram.iter_mut().for_each(|ngram| ngram.settle(step));
        self.values.iter_mut().for_each(|values| values.settle(step));
        self.layers.iter_mut().for_each(|(_, layer)| layer.settle(step));
    }

    /// How much of the tables training has used: `ngram_rows_used` and `memory_slots_used` (shares), `memory_divergence`
    /// (see [`Usage::divergence`](crate::layer::memory::Usage::divergence)), of those memories that there are.
    pub fn usage(&self) -> Vec<(&'static str, f64)> {
        let ngram = self.ngram.iter().map(|ngram| {
            let used = ngram.table.used_rows() as f64;
            ("ngram_rows_used", used / ngram.table.parameter().rows() as f64)
        });
        let values = self.values.iter().map(ValueTable::usage);
        let values =
            values.flat_map(|usage| [("memory_slots_used", usage.share), ("memory_divergence", usage.divergence)]);
        ngram.chain(values).collect()
    }

    pub(super) fn list<'a>(&'a self, list: &mut Vec<&'a Parameter>) {
        list.extend(self.ngram.iter().flat_map(NgramMemory::list));
        list.extend(self.layers.iter().flat_map(|(_, layer)| layer.list()));
        list.extend(self.values.iter().map(|values| values.table.parameter()));
    }

    pub(super) fn list_mut<'a>(&'a mut self, list: &mut Vec<&'a mut Parameter>) {
        list.extend(self.ngram.iter_mut().flat_map(NgramMemory::list_mut));
        list.extend(self.layers.iter_mut().flat_map(|(_, layer)| layer.list_mut()));
        list.extend(self.values.iter_mut().map(|values| values.table.parameter_mut()));
    }

    /// What a checkpoint keeps beside parameters and their state.
    pub(super) fn counts(&self) -> Option<Tensor<'_>> {
        self.values.as_ref().map(ValueTable::uses)
    }

    /// The state of parameters, and [`counts`](Self::counts), to be written.
    pub(super) fn state_tensors_mut<'a>(&'a mut self, tensors: &mut Vec<TensorMut<'a>>) {
        tensors.extend(self.ngram.iter_mut().flat_map(NgramMemory::list_mut).flat_map(Parameter::state_tensors_mut));
        let layers = self.layers.iter_mut().flat_map(|(_, layer)| layer.list_mut());
        tensors.extend(layers.flat_map(Parameter::state_tensors_mut));
        self.values.iter_mut().for_each(|values| tensors.extend(values.state_tensors_mut()));
    }

    pub(super) fn indexes(&self) -> impl Iterator<Item = (String, &dyn Index)> {
        self.layers.iter().filter_map(|(block, layer)| match &layer.keys {
            Keys::Product(_) => None,
            Keys::Table(keys) => Some((format!("blocks.{block}.memory"), keys.index())),
        })
    }

    /// The indexes of keys, by the name of their layer.
    pub(super) fn indexes_mut(&mut self) -> impl Iterator<Item = (String, &mut dyn Index)> {
        self.layers.iter_mut().filter_map(|(block, layer)| match &mut layer.keys {
            Keys::Product(_) => None,
            Keys::Table(keys) => Some((format!("blocks.{block}.memory"), keys.index_mut())),
        })
    }
}
