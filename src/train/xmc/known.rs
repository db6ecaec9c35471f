//! What a checkpoint knows of the data that its run began with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use super::{Shape, VOCABULARY};
use crate::checkpoint::Loaded;
use crate::data::{Dataset, Datasets, LabelTexts, Samples, Vocabulary};
use crate::error::{Error, Result};
use crate::train::start::Inputs;

/// The names that the digests have among the counters of a checkpoint.
const TRAIN: &str = "train_digest";
const VALID: &str = "valid_digest";
const TEXTS: &str = "label_texts_digest";

/// Digests of the sets of a run: equal samples with equal names have equal digests, wherever their file is and however it is
/// packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digests {
    train: u64,
    valid: Option<u64>,
    texts: Option<u64>,
}

impl Digests {
    pub fn of(data: &Datasets) -> Self {
        Self {
            train: digest(&data.train, &data.vocabulary),
            valid: data.valid.as_ref().map(|valid| digest(valid, &data.vocabulary)),
            texts: data.label_texts.as_ref().map(LabelTexts::digest),
        }
    }

    /// For the counters of a checkpoint.
    pub fn insert(&self, counters: &mut BTreeMap<String, u64>) {
        counters.insert(TRAIN.to_owned(), self.train);
        counters.extend(self.valid.map(|valid| (VALID.to_owned(), valid)));
        counters.extend(self.texts.map(|texts| (TEXTS.to_owned(), texts)));
    }
}

/// The samples, and what their ids mean.
fn digest(data: &Dataset, vocabulary: &Vocabulary) -> u64 {
    #[derive(Serialize)]
    struct Meaning<'a> {
        samples: u64,
        features: usize,
        labels: usize,
        names: Option<&'a [String]>,
    }
    let meaning =
        Meaning { samples: data.digest(), features: data.features(), labels: data.labels(), names: vocabulary.names() };
    xxh3_64(&serde_json::to_vec(&meaning).expect("names and numbers are JSON"))
}

/// An error unless the run of a checkpoint, with its folder `run`, can continue on `data`, which was read from `inputs`.
///
/// Checkpoints of hotrow 0.1 have no digests: of them, sizes and names have to agree.
pub(super) fn check_resumed(
    loaded: &Loaded,
    shape: &Shape,
    run: &Path,
    inputs: &Inputs,
    data: &Datasets,
) -> Result<()> {
    let digests = Digests::of(data);
    let changed = |path: &Path, how: String| {
        let checkpoint = loaded.path().display();
        Error::data(path, 0, 0, format!("is not what {checkpoint} was trained with: {how}"))
    };
    let of = |name: &str| loaded.state().counters.get(name).copied();
    // Before the samples, whose digest is of the labels' names too, and a file of texts may have named more of them.
    let path = Path::new(&data.vocabulary.options().label_texts);
    match (of(TEXTS), digests.texts) {
        (Some(known), Some(texts)) if known != texts => {
            return Err(changed(path, format!("its texts have the digest {texts:016x}, not {known:016x}")));
        }
        _ => {}
    }
    if let Some(train) = of(TRAIN) {
        if train != digests.train {
            let how = format!("its samples have the digest {:016x}, not {train:016x}", digests.train);
            return Err(changed(&inputs.train, how));
        }
    } else {
        let (features, labels) = (data.train.features(), data.train.labels());
        if (features, labels) != (shape.features, shape.labels) {
            let (old_features, old_labels) = (shape.features, shape.labels);
            let how = format!("it has {features} features and {labels} labels, not {old_features} and {old_labels}");
            return Err(changed(&inputs.train, how));
        }
        let known = run.join(VOCABULARY);
        if known.exists() && Vocabulary::load(&known)?.names() != data.vocabulary.names() {
            return Err(changed(&inputs.train, "its labels have other names".to_owned()));
        }
    }
    match (of(VALID), digests.valid, &inputs.valid) {
        (Some(known), Some(valid), Some(path)) if known != valid => {
            Err(changed(path, format!("its samples have the digest {valid:016x}, not {known:016x}")))
        }
        _ => Ok(()),
    }
}

/// A file that belongs to a checkpoint: from the checkpoint itself, or, of hotrow 0.1, from its run's folder.
pub(super) fn read(loaded: &Loaded, name: &str) -> Result<(PathBuf, Vec<u8>)> {
    if loaded.files().any(|file| file == name) {
        return Ok((loaded.path().join(name), loaded.bytes(name)?));
    }
    let path = loaded.path().parent().unwrap_or(Path::new(".")).join(name);
    let bytes = std::fs::read(&path).map_err(Error::io(&path))?;
    Ok((path, bytes))
}
