//! What tokens read from tables before they enter a block: rows of n-grams, and values of an associative memory.

use crate::config::Optim;
use crate::config::lm::Parts;
use crate::error::Result;
use crate::layer::memory::MemorySaved;
use crate::layer::ngram::NgramSaved;
use crate::layer::{Buffer, MemoryLayer, NgramMemory, ValueTable, Workspace};
use crate::optim::{Group, Rule, Scope};

/// The memories of a network; none of them by default.
#[derive(Debug, Default)]
pub struct Memories {
    /// Added to the stream before the blocks `ngram_blocks`.
    pub ngram: Option<NgramMemory>,
    ngram_blocks: Vec<usize>,
    /// Those of the associative memory.
    pub layers: Vec<MemoryLayer>,
    /// The block before which each of them reads.
    layer_blocks: Vec<usize>,
    /// What they read.
    pub values: Option<ValueTable>,
}

crate::module!(Memories { ngram, layers, values });

/// What the backward pass needs of the forward pass.
#[derive(Debug, Default)]
pub(super) struct MemoriesSaved {
    ngram: NgramSaved,
    /// (T, D): the stream before each layer of the associative memory.
    inputs: Vec<Buffer>,
    layers: Vec<MemorySaved>,
}

impl Memories {
    /// Those that `parts` has.
    pub(super) fn new(scope: &Scope, parts: &Parts) -> Result<Self> {
        let Parts { model, ngram, memory, .. } = parts;
        let layer =
            |block: &usize| MemoryLayer::new(&scope.child(&format!("blocks.{block}.memory")), model.into(), memory);
        let (width, ngram_blocks) = (model.width, ngram.blocks(model));
        let layer_blocks = if memory.is_on() { memory.blocks(model) } else { Vec::new() };
        let grams = || NgramMemory::new(&scope.child("ngram"), ngram, width, ngram_blocks.len());
        let values = || ValueTable::new(&scope.child("memory.values"), memory, width);
        Ok(Self {
            ngram: ngram.is_on().then(grams).transpose()?,
            layers: layer_blocks.iter().map(layer).collect::<Result<_>>()?,
            values: memory.is_on().then(values).transpose()?,
            ngram_blocks,
            layer_blocks,
        })
    }

    /// Tables have rules of their own.
    pub(super) fn groups(scope: &Scope, parts: &Parts) -> Scope {
        let Parts { ngram, memory, .. } = parts;
        let rule = |optim: &Optim, factor: f32| Group::Rule(Rule::from(optim).times(factor));
        let (rows, slots) = (rule(&ngram.rule(), ngram.lr_factor), rule(&memory.rule(), memory.lr_factor));
        [
            ("ngram.weight", rows),
            ("ngram.scale", Group::WithoutDecay),
            ("ngram.gate.*", Group::WithoutDecay),
            ("memory.values.weight", slots),
            ("blocks.*.memory.keys.weight", slots),
        ]
        .into_iter()
        .fold(scope.clone(), |scope, (pattern, group)| scope.default_group(pattern, group))
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
            ngram.forward_add(work, at, &mut saved.ngram, x.view_mut());
        }
        saved.inputs.resize_with(self.layers.len(), Buffer::default);
        saved.layers.resize_with(self.layers.len(), MemorySaved::default);
        for (at, layer) in self.layers.iter().enumerate().filter(|(at, _)| self.layer_blocks[*at] == block) {
            let (input, values) = (&mut saved.inputs[at], self.values.as_ref().expect("layers have values"));
            std::mem::swap(x, input);
            x.shape(input.view().rows(), input.view().cols());
            layer.forward(work, values, input.view(), x.view_mut(), &mut saved.layers[at]);
        }
    }

    /// `dx` (T, D), the gradient at the input of `block`, becomes that before its memories. Gradients are added up.
    pub(super) fn backward(&mut self, work: &mut Workspace, block: usize, dx: &mut Buffer, saved: &mut MemoriesSaved) {
        for (at, layer) in self.layers.iter_mut().enumerate().filter(|(at, _)| self.layer_blocks[*at] == block) {
            let (input, values) = (saved.inputs[at].view(), self.values.as_mut().expect("layers have values"));
            let mut below = work.buffer(input.rows(), input.cols());
            layer.backward(work, values, input, &saved.layers[at], dx.view(), below.view_mut());
            std::mem::swap(dx, &mut below);
            work.give_back(below);
        }
        if let (Some(ngram), Ok(at)) = (&mut self.ngram, self.ngram_blocks.binary_search(&block)) {
            ngram.backward_add(work, at, &mut saved.ngram, dx.view_mut());
        }
    }

    /// After the last block's backward.
    pub(super) fn accumulate(&mut self, work: &mut Workspace, saved: &mut MemoriesSaved) {
        if let Some(ngram) = &mut self.ngram {
            ngram.accumulate(work, &mut saved.ngram);
        }
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
}
