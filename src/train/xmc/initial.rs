//! What the steps of a run will read, for other programs that shall read the same.

use std::path::Path;

use super::task::Xmc;
use crate::checkpoint::write_tensors;
use crate::data::{Batch, Samples, order};
use crate::error::Result;
use crate::tensor::{Elements, Tensor};

/// Writes the samples and their order into the folder `out`.
pub fn write_order(task: &Xmc, out: &Path) -> Result<()> {
    let (train, samples) = (&task.trainer.config.train, task.data.train.len());
    let orders: Vec<u32> = (0..train.epochs).flat_map(|epoch| order(samples, train.seed, epoch)).collect();
    let shape = vec![train.epochs as usize, samples];
    let order = Tensor { name: "order".to_owned(), shape, elements: Elements::U32(&orders) };
    write_tensors(out, "order.safetensors", &[order])?;
    write_samples(out, "train.safetensors", &task.data.train)?;
    task.data.valid.as_ref().map_or(Ok(()), |valid| write_samples(out, "valid.safetensors", valid))
}

fn write_samples(folder: &Path, name: &str, samples: &dyn Samples) -> Result<()> {
    let batch = Batch::whole(samples);
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
