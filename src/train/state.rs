//! What a checkpoint has of a trainer: weights, optimiser, indexes, and where they stand.

use std::path::Path;

use crate::checkpoint::{self, Loaded, OwnedTensor};
use crate::error::{Error, Result};
use crate::module::Module;
use crate::tensor::{ElementsMut, Tensor, TensorMut};

pub(super) const MODEL: &str = "model.safetensors";
pub(super) const OPTIMIZER: &str = "optimizer.safetensors";
pub(super) const INDEX: &str = "index.safetensors";

/// The files of a network's tensors.
pub(super) fn tensors(network: &impl Module) -> Vec<(&'static str, Vec<Tensor<'_>>)> {
    let indexes = network.indexes().into_iter().map(|(name, index)| (name, index.state()));
    files(network.weight_tensors(), network.state_tensors(), indexes)
}

/// Gives a network its weights, optimiser state, counters and indexes; the step that it then stands at.
///
/// # Errors
///
/// [`Error::Checkpoint`](crate::error::Error::Checkpoint) if they are of another shape.
pub(super) fn restore(loaded: &Loaded, network: &mut impl Module) -> Result<u64> {
    loaded.fill(MODEL, &mut network.weight_tensors_mut())?;
    fill_state(loaded, &mut network.state_tensors_mut(), loaded.state().step)?;
    restore_each(loaded, network.indexes_mut(), |index, state| index.restore(state))?;
    Ok(loaded.state().step)
}

/// The files of a trainer's tensors; those of each index have its name in front.
pub(super) fn files<'a>(
    weights: Vec<Tensor<'a>>,
    state: Vec<Tensor<'a>>,
    indexes: impl IntoIterator<Item = (String, Vec<Tensor<'a>>)>,
) -> Vec<(&'static str, Vec<Tensor<'a>>)> {
    let prefixed = indexes.into_iter().flat_map(|(index, tensors)| {
        tensors.into_iter().map(move |tensor| Tensor { name: format!("{index}.{}", tensor.name), ..tensor })
    });
    vec![(MODEL, weights), (OPTIMIZER, state), (INDEX, prefixed.collect())]
}

/// Gives an optimiser what a checkpoint after step `step` has of it.
///
/// # Errors
///
/// [`Error::Checkpoint`](crate::error::Error::Checkpoint) if that is of another shape, or of a later step.
pub(super) fn fill_state(loaded: &Loaded, tensors: &mut [TensorMut], step: u64) -> Result<()> {
    if step > u64::from(u32::MAX) {
        return Err(loaded.refuse("trainer_state.json", format!("step: {step} is above {}", u32::MAX)));
    }
    loaded.fill(OPTIMIZER, tensors)?;
    // Reads of values are counted in numbers of the same kind.
    for tensor in tensors.iter().filter(|tensor| tensor.name.ends_with(".steps")) {
        let ElementsMut::U32(steps) = &tensor.elements else { continue };
        if let Some(later) = steps.iter().find(|&&of_row| u64::from(of_row) > step) {
            let message = format!("{}: a row of step {later}, after the checkpoint's, {step}", tensor.name);
            return Err(loaded.refuse(OPTIMIZER, message));
        }
    }
    Ok(())
}

/// Opens a checkpoint to ask its network: the state of the optimiser need not be there.
pub(crate) fn open_weights(path: &Path) -> Result<Loaded> {
    checkpoint::open_without(path, &[OPTIMIZER])
}

/// Gives a network its weights where they are in the file, and the optimiser's state only where rows have steps to make up for by it.
///
/// # Errors
///
/// [`Error::Checkpoint`](crate::error::Error::Checkpoint) if they are of another shape, or the state is wanted and not there.
pub(super) fn fill_weights(loaded: &Loaded, network: &mut impl Module) -> Result<()> {
    let mut mapping = loaded.mapping(MODEL)?;
    for parameter in network.parameters_mut() {
        parameter.set_memory(|name, type_name, bytes| mapping.memory(name, type_name, bytes));
    }
    loaded.fill_all_but(mapping.mapped(), MODEL, &mut network.weight_tensors_mut())?;
    let deferring = network.parameters().into_iter().find(|parameter| parameter.rule().defers());
    let Some(name) = deferring.map(|parameter| parameter.name().to_owned()) else { return Ok(()) };
    if !loaded.files().any(|file| file == OPTIMIZER) {
        let message = format!("is not there, and rows of {name} may have steps to make up for by what it holds");
        return Err(loaded.refuse(OPTIMIZER, message));
    }
    fill_state(loaded, &mut network.state_tensors_mut(), loaded.state().step)
}

/// Gives each index what a checkpoint has under its name.
///
/// # Errors
///
/// [`Error::Checkpoint`](crate::error::Error::Checkpoint) if that is not its state.
pub(super) fn restore_each<T>(
    loaded: &Loaded,
    indexes: impl IntoIterator<Item = (String, T)>,
    restore: impl Fn(T, &[Tensor]) -> Result<(), String>,
) -> Result<()> {
    let tensors = loaded.tensors(INDEX)?;
    indexes.into_iter().try_for_each(|(name, index)| {
        let restored = restore(index, &of_prefix(&tensors, &format!("{name}.")));
        restored.map_err(|message| loaded.refuse(INDEX, format!("{name}: {message}")))
    })
}

/// The tensors whose names begin with `prefix`, without it.
fn of_prefix<'a>(tensors: &'a [OwnedTensor], prefix: &str) -> Vec<Tensor<'a>> {
    let own = tensors.iter().filter_map(|tensor| {
        let tensor = tensor.view();
        let name = tensor.name.strip_prefix(prefix)?.to_owned();
        Some(Tensor { name, ..tensor })
    });
    own.collect()
}

/// An error if a checkpoint is of a run of the kind `found` where one of the kind `wanted` is needed.
pub(super) fn other_kind(loaded: &Loaded, is_other: bool, found: &str, wanted: &str) -> Result<()> {
    if !is_other {
        return Ok(());
    }
    let message = format!("is of a run of `train {found}`, where one of `train {wanted}` is needed");
    Err(Error::Checkpoint { path: loaded.path().to_owned(), message, previous: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Contents, TrainerState, open, save};
    use crate::config::{Optim, OptimizerName, Storage};
    use crate::kernels::Level;
    use crate::layer::Linear;
    use crate::optim::Scope;

    fn layer(scope: &Scope, storage: Storage) -> Linear {
        Linear::new(&scope.child("output"), 5, 3, storage).unwrap()
    }

    #[test]
    fn weights_are_mapped_and_what_is_written_to_them_is_not_written_to_the_file() {
        let optim = Optim { name: OptimizerName::Sgd, ..Optim::default() };
        for storage in [Storage::F32, Storage::Bf16] {
            let run = tempfile::tempdir().unwrap();
            let first = layer(&Scope::fresh(&optim, 7, Level::detect()), storage);
            let contents = Contents {
                tensors: vec![(MODEL, first.weight_tensors())],
                ..Contents::new(TrainerState::new(1, 1, 7), serde_json::json!({}))
            };
            save(run.path(), &contents, 1).unwrap();
            let loaded = open(run.path()).unwrap();
            let mut second = layer(&Scope::saved(&optim, 7, Level::detect()), storage);
            let mut mapping = loaded.mapping(MODEL).unwrap();
            for parameter in second.parameters_mut() {
                parameter.set_memory(|name, type_name, bytes| mapping.memory(name, type_name, bytes));
            }
            assert_eq!(mapping.mapped().len(), 2, "weights and biases");

            let mut second = layer(&Scope::saved(&optim, 7, Level::detect()), storage);
            fill_weights(&loaded, &mut second).unwrap();
            assert_eq!(second.weight_tensors(), first.weight_tensors());
            second.weight_tensors_mut().iter_mut().for_each(|tensor| tensor.elements.bytes_mut().fill(1));
            assert_ne!(second.weight_tensors(), first.weight_tensors());
            // The digests of the files are as they were.
            open(run.path()).unwrap();
        }
    }

    #[test]
    fn mapping_refuses_what_reading_refuses() {
        let optim = Optim { name: OptimizerName::Sgd, ..Optim::default() };
        let run = tempfile::tempdir().unwrap();
        let first = layer(&Scope::fresh(&optim, 7, Level::detect()), Storage::F32);
        let mut contents = Contents::new(TrainerState::new(1, 1, 7), serde_json::json!({}));
        contents.tensors.push((MODEL, first.weight_tensors()));
        save(run.path(), &contents, 1).unwrap();
        let loaded = open(run.path()).unwrap();
        let scope = Scope::saved(&optim, 7, Level::detect());
        let wrong = [
            (layer(&scope, Storage::Bf16), "tensor output.weight is F32, not BF16"),
            (Linear::new(&scope.child("output"), 3, 5, Storage::F32).unwrap(), "has the shape [5, 3], not [3, 5]"),
            (Linear::new(&scope.child("other"), 5, 3, Storage::F32).unwrap(), "belongs to another network"),
        ];
        for (mut network, message) in wrong {
            let error = fill_weights(&loaded, &mut network).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
