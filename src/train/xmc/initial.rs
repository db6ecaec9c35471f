//! What a run begins with, for other programs that shall begin with the same.

use std::path::{Path, PathBuf};

use super::{Inputs, Options, Run};
use crate::checkpoint::{self, write_tensors};
use crate::config::Config;
use crate::data::{Batch, Samples, order};
use crate::error::Result;
use crate::run::{Observer, Signals};
use crate::tensor::{Elements, Tensor};
use crate::train::run::Task;

/// Makes the run that [`start`](super::start) would, but does no step: the folder `out` gets the checkpoint of step 0, from which
/// [`resume`](super::resume) goes on, and beside it, as safetensors,
///
/// - `order.safetensors`: `order` (epochs, samples), the samples in the order of training;
/// - `train.safetensors` and `valid.safetensors`: samples as the network gets them, in the order of their file, as `features`
///   and `values` (entries), of which sample `s` has `feature_offsets[s]..feature_offsets[s + 1]`, and `labels` with
///   `label_offsets` in the same way. Pooling is the network's and not applied.
///
/// Gives the checkpoint's folder.
///
/// # Errors
///
/// As [`start`](super::start).
pub fn initial(
    out: &Path,
    inputs: &Inputs,
    config: Config,
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<PathBuf> {
    let mut run = Run::create(out, inputs, config, options, &Signals::unconnected(), observer)?;
    run.dir.keep();
    let keep = run.trainer.config.train.keep;
    let saved = checkpoint::save(out, &run.contents(), keep)?;
    let train = &run.trainer.config.train;
    let (samples, epochs) = (run.data.train.len(), train.epochs);
    let orders: Vec<u32> = (0..epochs).flat_map(|epoch| order(samples, train.seed, epoch)).collect();
    let order =
        Tensor { name: "order".to_owned(), shape: vec![epochs as usize, samples], elements: Elements::U32(&orders) };
    write_tensors(out, "order.safetensors", &[order])?;
    write_samples(out, "train.safetensors", &run.data.train)?;
    if let Some(valid) = &run.data.valid {
        write_samples(out, "valid.safetensors", valid)?;
    }
    Ok(saved)
}

fn write_samples(folder: &Path, name: &str, samples: &dyn Samples) -> Result<()> {
    let mut batch = Batch::new(samples.features());
    (0..samples.len()).for_each(|sample| samples.read(sample, &mut batch));
    let (mut features, mut values, mut feature_offsets) = (Vec::new(), Vec::new(), vec![0_u64]);
    let (mut labels, mut label_offsets) = (Vec::new(), vec![0_u64]);
    for sample in 0..samples.len() {
        let row = batch.features.row(sample);
        features.extend_from_slice(row.indices());
        values.extend_from_slice(row.values());
        feature_offsets.push(features.len() as u64);
        labels.extend_from_slice(batch.labels.row(sample));
        label_offsets.push(labels.len() as u64);
    }
    let vector = |name: &str, length: usize, elements| Tensor { name: name.to_owned(), shape: vec![length], elements };
    let tensors = [
        vector("feature_offsets", feature_offsets.len(), Elements::U64(&feature_offsets)),
        vector("features", features.len(), Elements::U32(&features)),
        vector("values", values.len(), Elements::F32(&values)),
        vector("label_offsets", label_offsets.len(), Elements::U64(&label_offsets)),
        vector("labels", labels.len(), Elements::U32(&labels)),
    ];
    write_tensors(folder, name, &tensors)
}
