//! How a network's memory is divided.

use serde::{Deserialize, Serialize};

use crate::tensor::Tensor;

/// A part of what a run keeps in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// `embedding`, `output`, `optimiser`, `index`, ...
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
}

impl Component {
    /// Weights by layer, the state of the optimiser, and `index` bytes of indexes. Layers of all blocks are added up by
    /// kind.
    ///
    /// ```
    /// use hotrow::{run::Component, tensor::{Elements, Tensor}};
    /// let tensor = |name: &str| Tensor { name: name.into(), shape: vec![2], elements: Elements::F32(&[0.0; 2]) };
    /// let weights = [tensor("blocks.0.attention.out.weight"), tensor("head.weight"), tensor("blocks.1.attention.qkv.weight")];
    /// let parts = Component::list(&weights, &[tensor("head.weight.adam.m")], 5);
    /// let parts: Vec<_> = parts.iter().map(|part| (part.name.as_str(), part.bytes)).collect();
    /// assert_eq!(parts, [("attention", 16), ("head", 8), ("optimiser", 8), ("index", 5)]);
    /// ```
    pub fn list(weights: &[Tensor], state: &[Tensor], index: u64) -> Vec<Component> {
        let mut parts: Vec<Component> = Vec::new();
        let layers = weights.iter().map(|tensor| (layer(&tensor.name), tensor.elements.bytes().len() as u64));
        let others =
            [("optimiser", state.iter().map(|tensor| tensor.elements.bytes().len() as u64).sum()), ("index", index)];
        for (name, bytes) in layers.chain(others) {
            match parts.iter_mut().find(|part| part.name == name) {
                Some(part) => part.bytes += bytes,
                None => parts.push(Component { name: name.to_owned(), bytes }),
            }
        }
        parts.retain(|part| part.bytes > 0);
        parts
    }
}

/// `attention` of `blocks.3.attention.qkv.weight`, `output` of `output.weight`.
fn layer(tensor: &str) -> &str {
    let mut words = tensor.split('.').filter(|word| !word.starts_with(|c: char| c.is_ascii_digit()));
    match words.next() {
        Some("blocks") => words.next().unwrap_or("blocks"),
        first => first.unwrap_or(tensor),
    }
}
