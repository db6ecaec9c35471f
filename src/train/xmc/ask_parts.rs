//! What parts answer, and what is said of them.

use std::sync::Mutex;

use rayon::prelude::*;
use serde_json::{Value, json};

use super::beside::finished;
use super::trainer::Shape;
use super::{KS, Scored};
use crate::checkpoint::{self, Loaded, OwnedTensor};
use crate::config::{Config, Data, PartName, Weighing};
use crate::data::{Batch, Samples};
use crate::error::{Error, Result};
use crate::kernels::Level;
use crate::layer::Workspace;
use crate::metrics::{Inverse, Ranking};
use crate::module::{Module, Part, PartMut};
use crate::parts::{Classifier, Kept, LearnOptions, Lookup, NetworkPart, Present};
use crate::run::{Component, PartUse, Summary};
use crate::tensor::Tensor;
use crate::train::run::View;

/// The file of a checkpoint with the tensors of all parts.
pub(super) const PARTS: &str = "parts.safetensors";

/// Training samples that a feature is to have: what came once tells nothing of others.
pub(super) const LEAST: usize = 2;

/// Values of features for which linear rows are trained unasked. On a planted set of 37 million values (490 449 samples, 670 091 labels)
/// they take nine minutes on two cores, and the memories half a minute.
const MOST_VALUES: u64 = 20_000_000;

fn is_auto(config: &Config) -> bool {
    config.model.parts == [PartName::Auto]
}

/// How the parts of a configuration are built.
///
/// Of a training set with more values than [`MOST_VALUES`], `auto` leaves linear rows out.
pub(super) fn learn_options(config: &Config, values: u64) -> LearnOptions {
    let (model, seed, options) = (&config.model, config.train.seed, LearnOptions::default());
    let parts = Present {
        counts: model.may_use(PartName::Counts),
        neighbours: model.may_use(PartName::Neighbours),
        linear: model.may_use(PartName::Linear) && !(is_auto(config) && values > MOST_VALUES),
        texts: model.may_use(PartName::Texts),
        network: model.has_network(),
    };
    let linear = crate::parts::LinearOptions { seed, ..options.linear };
    let (seconds, bytes) = (config.train.budget_seconds, config.train.budget_bytes);
    let seconds = if seconds > 0.0 { seconds } else { options.seconds };
    let bytes = if bytes > 0 { bytes } else { options.bytes };
    LearnOptions { parts, linear, seconds, bytes, seed, ..options }
}

/// Bytes of names, of the mixture and of all that is small.
const SMALL: u64 = 8 << 10;

/// The bytes that a budget leaves for parts with so many features and labels, and values of texts, beside the list of features.
///
/// # Errors
///
/// If parts without anything in them take more.
pub(super) fn bytes_of_parts(options: &LearnOptions, (features, labels): (usize, usize), texts: usize) -> Result<u64> {
    if options.bytes == u64::MAX {
        return Ok(u64::MAX);
    }
    let (features, labels) = (features as u64, labels as u64);
    // The list of features.
    let beside = 4 * features + SMALL;
    let counts = if options.parts.counts { 12 * features } else { 0 };
    let linear = if options.parts.linear { 8 * features + 4 * labels } else { 0 };
    let texts = if texts > 0 { 8 * (texts as u64 + features) } else { 0 };
    let least = beside + 4 * labels + counts + linear + texts;
    match options.bytes {
        bytes if bytes < least => Err(Error::config(
            "train.budget_bytes",
            format!("{bytes} is too few: {features} features and {labels} labels alone take {least}"),
        )),
        bytes => Ok(bytes - beside),
    }
}

/// There is none: what runs say of a network they say of nothing.
pub(super) struct NoNetwork;

impl Module for NoNetwork {
    fn visit<'a>(&'a self, _: &mut dyn FnMut(Part<'a>)) {}

    fn visit_mut<'a>(&'a mut self, _: &mut dyn FnMut(PartMut<'a>)) {}
}

/// The parts, in the order of their shares.
const NAMES: [&str; 5] = ["counts", "neighbours", "linear", "texts", "network"];

/// The summary of a classifier that was asked.
pub(super) fn asked(classifier: &Classifier, level: Level, (steps, seed): (u64, u64), threads: usize) -> Summary {
    let view = View { network: &NoNetwork, work: &Workspace::new(level), steps, seed };
    summary_of(classifier, [0.0; 5], view.summary(threads))
}

/// What a classifier alone says of a summary.
pub(super) fn summary_of(classifier: &Classifier, seconds: [f64; 5], summary: Summary) -> Summary {
    let mut tensors = classifier.tensors();
    tensors.extend(classifier.network.iter().flat_map(NetworkPart::tensors));
    let bytes = classifier.bytes();
    let part = |(at, name): (usize, &str)| {
        let bytes = bytes.iter().find(|part| part.0 == name).map_or(0, |part| part.1);
        let of_part = PartUse { weight: classifier.shares[at], seconds: seconds[at], bytes };
        (bytes > 0 || of_part.seconds > 0.0).then(|| (name.to_owned(), of_part))
    };
    Summary {
        parts: NAMES.into_iter().enumerate().filter_map(part).collect(),
        parameters: tensors.iter().map(|tensor| tensor.shape.iter().product::<usize>() as u64).sum(),
        digest: checkpoint::digest(&tensors),
        components: Component::list(&tensors, &[], 0),
        ..summary
    }
}

/// The classifier of a checkpoint.
pub(super) fn open(loaded: &Loaded, shape: &Shape) -> Result<(Classifier, Kept)> {
    let options = learn_options(&shape.config, 0);
    let tensors = loaded.tensors(PARTS)?;
    let views: Vec<Tensor> = tensors.iter().map(OwnedTensor::view).collect();
    let of = (&options.counts, options.neighbours);
    let both = Kept::from_tensors(&views, shape.features).and_then(|kept| {
        let sizes = (kept.len(), shape.labels);
        Ok((Classifier::from_tensors(&views, sizes, of)?, kept))
    });
    let mut both = both.map_err(|message| loaded.refuse(PARTS, message))?;
    if both.0.wants_network() {
        both.0.network = Some(finished(loaded, &shape.config, both.1.len(), shape.labels)?);
    }
    let rows = both.0.linear.as_ref().map_or(shape.labels, |linear| linear.labels());
    if rows != shape.labels && loaded.state().step >= shape.total_steps {
        return Err(loaded.refuse(PARTS, format!("linear: {rows} labels, not {}", shape.labels)));
    }
    if loaded.state().step < shape.total_steps {
        let message = format!("{} of {} stages are done: resume the run first", loaded.state().step, shape.total_steps);
        return Err(loaded.refuse(PARTS, message));
    }
    Ok(both)
}

/// Samples that are ranked between two looks at `stop`.
const SAMPLES: usize = 512;

/// Ranks candidates for every sample, unless `stop` says so before the end.
pub(super) fn evaluate(
    asked: (&Classifier, &Kept, Scored),
    level: Level,
    samples: &dyn Samples,
    inverse: Option<Inverse>,
    stop: &dyn Fn() -> bool,
) -> Option<Ranking> {
    let lookups = Lookups::default();
    let (mut ranking, mut batch) = (Ranking::new(&KS, inverse), Batch::new(samples.features()));
    for from in (0..samples.len()).step_by(SAMPLES) {
        if stop() {
            return None;
        }
        batch.clear();
        (from..samples.len().min(from + SAMPLES)).for_each(|sample| samples.read(sample, &mut batch));
        for (sample, best) in best(asked, level, &batch, ranking.places(), &lookups).iter().enumerate() {
            let predicted: Vec<u32> = best.iter().map(|entry| entry.0).collect();
            ranking.add_with_missing(&predicted, batch.labels.row(sample), batch.unseen_of(sample));
        }
    }
    Some(ranking)
}

/// What threads need to ask a classifier, for the next time.
#[derive(Debug, Default)]
pub(super) struct Lookups(Mutex<Vec<Lookup>>);

impl Lookups {
    fn with<T>(&self, classifier: &Classifier, level: Level, ask: impl FnOnce(&mut Lookup) -> T) -> T {
        let kept = self.0.lock().expect("nobody panics in between").pop();
        let mut lookup = kept.unwrap_or_else(|| classifier.lookup(level));
        let answer = ask(&mut lookup);
        self.0.lock().expect("nobody panics in between").push(lookup);
        answer
    }
}

/// Samples that one thread answers at a time.
const TOGETHER: usize = 16;

/// The `k` best labels of each sample with their scores.
pub(super) fn best(
    (classifier, kept, scored): (&Classifier, &Kept, Scored),
    level: Level,
    batch: &Batch,
    k: usize,
    lookups: &Lookups,
) -> Vec<Vec<(u32, f32)>> {
    let features = kept.apply(&batch.features);
    let answer = |samples: &[usize]| -> Vec<Vec<(u32, f32)>> {
        lookups.with(classifier, level, |lookup| {
            let best = |&sample: &usize| match scored {
                Scored::All => classifier.best_of_all(features.entries(sample), k, lookup),
                _ => classifier.best(features.entries(sample), k, lookup),
            };
            samples.iter().map(best).collect()
        })
    };
    let samples: Vec<usize> = (0..batch.len()).collect();
    match samples.len() {
        0..=TOGETHER => answer(&samples),
        _ => samples.par_chunks(TOGETHER).flat_map_iter(answer).collect(),
    }
}

/// What was decided by the data: for people, and for the log.
/// `texts` is the number of labels with a text.
pub(super) fn chosen(config: &Config, data: &Data, kept: &Kept, values: u64, texts: usize) -> (String, Value) {
    let parts = learn_options(config, values).parts;
    let there = [parts.counts, parts.neighbours, parts.linear, texts > 0, parts.network];
    let names: Vec<&str> = NAMES.into_iter().zip(there).filter(|part| part.1).map(|part| part.0).collect();
    let weighed = if data.tf_idf == Weighing::On { "weighed by how rare they are" } else { "as they are in the file" };
    let length = if data.normalize { ", samples of length 1" } else { "" };
    let count = kept.len();
    let left_out = match is_auto(config) && !parts.linear {
        true => {
            format!(" (no linear rows for more than {MOST_VALUES} values of features, unless model.parts names them)")
        }
        false => String::new(),
    };
    let described = if texts > 0 { format!("; {texts} labels have a text") } else { String::new() };
    let note = format!(
        "parts: {}, as far as each helps{left_out}; {count} features that {LEAST} samples or more have, {weighed}{length}{described}",
        names.join(", ")
    );
    let value = json!({
        "parts": names,
        "values": values,
        "features": count,
        "least_samples": LEAST,
        "hash_size": data.hash_size,
        "word_ngrams": data.word_ngrams,
        "tf_idf": data.tf_idf,
        "normalize": data.normalize,
        "labels_with_text": texts,
    });
    (note, value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::xmc::Mixed;

    #[test]
    fn linear_rows_are_left_out_of_large_sets_unless_they_are_named_and_that_is_said() {
        let kept = Kept::new(&crate::sparse::SparseBatch::new(3), LEAST);
        let of = |parts: &str, values: u64| {
            let Mixed(config) = Mixed::load(None, &[format!("model.parts={parts}")]).unwrap();
            chosen(&config, &config.data, &kept, values, 0)
        };
        let (small, large) = (of("auto", MOST_VALUES), of("auto", MOST_VALUES + 1));
        assert!(small.0.starts_with("parts: counts, neighbours, linear, as far"), "{}", small.0);
        assert!(large.0.contains("no linear rows for more than 20000000 values"), "{}", large.0);
        assert_eq!(large.1["parts"], json!(["counts", "neighbours"]));
        assert_eq!(of("[\"counts\", \"linear\"]", u64::MAX).1["parts"], json!(["counts", "linear"]));
    }
}
