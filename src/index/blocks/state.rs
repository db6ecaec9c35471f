//! What a checkpoint keeps of blocks.

use super::Blocks;
use crate::index::centre::Centre;
use crate::index::inserted::Inserted;
use crate::index::saved::Saved;
use crate::tensor::{Elements, Tensor};

impl Blocks {
    /// Everything that the rows do not determine any more.
    pub(super) fn tensors(&self) -> Vec<Tensor<'_>> {
        let (groups, blocks) = (self.groups.count, self.biases.len());
        let tensor = |name: &str, shape: &[usize], elements| Tensor {
            name: format!("index.{name}"),
            shape: shape.to_vec(),
            elements,
        };
        let mut state = vec![
            tensor("centre", &[self.dim + 1], Elements::F32(self.centre.mean())),
            tensor("directions", &[groups, self.dim + 1], Elements::F32(&self.groups.directions)),
            tensor("group_means", &[groups, self.dim], Elements::F32(&self.group_means)),
            tensor("group_biases", &[groups], Elements::F32(&self.group_biases)),
            tensor("first_block", &[groups + 1], Elements::U32(&self.first_block)),
            tensor("means", &[blocks, self.dim], Elements::F32(&self.means)),
            tensor("biases", &[blocks], Elements::F32(&self.biases)),
            tensor("offsets", &[blocks + 1], Elements::U32(&self.offsets)),
            tensor("items", &[self.items.len()], Elements::U32(&self.items)),
            tensor("rebuilds", &[1], Elements::U64(&self.rebuilds)),
        ];
        state.extend(self.inserted.tensors());
        state
    }

    /// Takes the tensors of [`Blocks::tensors`]. An error leaves everything as it was.
    pub(super) fn take(&mut self, state: Saved) -> Result<(), String> {
        let (groups, row_len) = (self.groups.count, self.dim + 1);
        let rebuilds = state.u64s("index.rebuilds", 1)?;
        let items = state.u32s("index.items", None)?;
        let all = if rebuilds[0] > 0 { self.rows } else { 0 };
        let first_block = state.u32s("index.first_block", groups + 1)?;
        let offsets = state.u32s("index.offsets", None)?;
        let blocks = offsets.len().saturating_sub(1);
        let cuts = |what: &str, cuts: &[u32], end: usize| {
            let right = cuts.first() == Some(&0) && cuts.is_sorted() && cuts.last() == Some(&(end as u32));
            if right { Ok(()) } else { Err(format!("index.{what}: does not run from 0 to {end}")) }
        };
        cuts("offsets", offsets, all)?;
        cuts("first_block", first_block, blocks)?;
        let mut sorted = items.to_vec();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..all as u32) {
            return Err(format!("index.items: not each of the {all} rows once"));
        }
        let inserted = Inserted::restored(state, blocks as u64, self.rows)?;
        let directions = state.f32s("index.directions", groups * row_len)?;
        let centre = state.f32s("index.centre", row_len)?;
        let (group_means, group_biases) =
            (state.f32s("index.group_means", groups * self.dim)?, state.f32s("index.group_biases", groups)?);
        let (means, biases) = (state.f32s("index.means", blocks * self.dim)?, state.f32s("index.biases", blocks)?);

        self.rebuilds = [rebuilds[0]];
        self.centre = Centre::at(centre.to_vec(), rebuilds[0] > 0);
        (self.items, self.offsets, self.first_block) = (items.to_vec(), offsets.to_vec(), first_block.to_vec());
        (self.means, self.biases) = (means.to_vec(), biases.to_vec());
        (self.group_means, self.group_biases) = (group_means.to_vec(), group_biases.to_vec());
        self.groups.directions = directions.to_vec();
        self.inserted = inserted;
        self.pack();
        Ok(())
    }
}
