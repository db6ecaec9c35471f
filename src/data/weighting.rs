//! Weights of features. They apply when a sample is read, so one cache serves with and without them.

use super::Batch;
use super::records::Record;
use std::sync::Arc;

/// TF-IDF and scaling.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weighting {
    /// The inverse document frequency of each feature.
    idf: Option<Arc<[f32]>>,
    normalize: bool,
}

impl Weighting {
    /// Weights for `samples` training samples; `frequencies[f]` of them have feature `f`.
    ///
    /// The inverse document frequency is `ln((1 + n) / (1 + df)) + 1`, as in scikit-learn's `TfidfTransformer`
    /// (`smooth_idf`): as if one more sample had every feature.
    pub fn new(samples: u64, frequencies: Option<&[u32]>, normalize: bool) -> Self {
        let idf = |&df: &u32| (((1 + samples) as f64 / (1.0 + f64::from(df))).ln() + 1.0) as f32;
        Self { idf: frequencies.map(|all| all.iter().map(idf).collect()), normalize }
    }

    /// Adds `record` to `batch`, with its values weighted.
    #[track_caller]
    pub fn push(&self, record: Record, batch: &mut Batch) {
        batch.features.push(record.indices, record.values).expect("ids were checked when they were read");
        batch.labels.push(record.labels.iter().copied());
        batch.set_unseen(record.unseen);
        if self.idf.is_none() && !self.normalize {
            return;
        }
        let (indices, values) = batch.features.row_mut(batch.features.len() - 1);
        if let Some(idf) = &self.idf {
            for (value, &index) in values.iter_mut().zip(indices) {
                *value = damped(*value) * idf[index as usize];
            }
        }
        if self.normalize {
            let length = values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
            let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
            values.iter_mut().for_each(|value| *value = (f64::from(*value) * scale) as f32);
        }
    }
}

/// `1 + ln value` for counts (`sublinear_tf` of scikit-learn). Values below 1 are no counts and stay.
fn damped(value: f32) -> f32 {
    if value > 1.0 { 1.0 + value.ln() } else { value }
}
