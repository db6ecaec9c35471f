//! Public data sets are read with the counts that their pages state. `HOTROW_DATA` names the folder that has them.

use hotrow::config::Data;
use hotrow::data::{self, Batch, Datasets, Loader, Samples, Summary, steps_per_epoch};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder of a data set, or a line that says it is missing.
fn folder(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("HOTROW_DATA").map(|data| Path::new(&data).join(name)).filter(|path| path.is_dir());
    if folder.is_none() {
        let mut stderr = std::io::stderr();
        writeln!(stderr, "left out: {name} is not there (HOTROW_DATA)").unwrap();
    }
    folder
}

fn open(name: &str, train: &str, valid: Option<&str>, config: &Data) -> Option<(Datasets, Summary)> {
    let (folder, cache) = (folder(name)?, tempfile::tempdir().unwrap());
    let path = |file: &str| folder.join(file).to_string_lossy().into_owned();
    let sets = data::open(path(train).as_str(), valid.map(path).as_deref(), config, cache.path()).unwrap();
    let epoch = steps_per_epoch(sets.train.len(), 256);
    let batches = Loader::new(Arc::new(sets.train.clone()), 1, 256, 0, epoch).unwrap();
    let entries = batches.map(|batch| batch.features.nnz() as u64).sum::<u64>();
    let summary = sets.train.summary().clone();
    assert_eq!(entries, summary.feature_entries);
    Some((sets, summary))
}

/// Entries a sample, rounded to `digits` as the pages have it.
fn mean(entries: u64, samples: u64, digits: i32) -> f64 {
    let unit = 10_f64.powi(digits);
    (entries as f64 / samples as f64 * unit).round() / unit
}

#[test]
fn bibtex_has_its_counts() {
    let Some((sets, summary)) = open("bibtex", "train.txt.gz", Some("test.txt.gz"), &Data::default()) else { return };
    assert_eq!((summary.samples, summary.features, summary.labels), (4880, 1836, 159));
    assert_eq!(mean(summary.feature_entries, 4880, 1), 68.5);
    assert_eq!(mean(summary.label_entries, 4880, 2), 2.38);
    let valid = sets.valid.unwrap();
    assert_eq!((valid.len(), valid.labels()), (2515, 159));
    let mut batch = Batch::new(1836);
    sets.train.read(0, &mut batch);
    assert_eq!(batch.labels.row(0), &[3, 23, 61, 63, 76]);
    assert_eq!(&batch.features.row(0).indices()[..4], &[0, 5, 6, 20]);
}

#[test]
fn delicious_has_its_counts() {
    let Some((_, summary)) = open("delicious", "train.txt.gz", None, &Data::default()) else { return };
    assert_eq!((summary.samples + summary.skipped, summary.features, summary.labels), (12920, 500, 983));
    assert_eq!(mean(summary.label_entries, 12920, 2), 19.05);
}

#[test]
fn citeulike_t_has_its_counts() {
    let config = Data { tf_idf: true.into(), normalize: true, ..Default::default() };
    let Some((sets, summary)) = open("citeulike-t", "train.txt.gz", Some("valid.txt.gz"), &config) else { return };
    assert_eq!((summary.samples, summary.features, summary.labels), (20826, 20000, 52946));
    assert_eq!(mean(summary.feature_entries, 20826, 1), 18.9);
    assert_eq!(mean(summary.label_entries, 20826, 2), 11.16);
    assert_eq!(sets.valid.unwrap().len(), 1334);
}

#[test]
fn gutenberg_subjects_has_its_counts() {
    let config = Data { text: "title".into(), label: "labels".into(), word_ngrams: 2, ..Default::default() };
    let Some((sets, summary)) = open("gutenberg-subjects", "train.jsonl.zst", Some("valid.jsonl.zst"), &config) else {
        return;
    };
    assert_eq!((summary.samples, summary.label_entries, summary.features), (66643, 155_282, 1 << 18));
    assert!(summary.labels <= 42131);
    let valid = sets.valid.unwrap().summary().clone();
    assert_eq!((valid.samples, valid.label_entries + valid.unknown_labels), (4017, 9346));
}

#[test]
fn arxiv_authors_has_its_counts() {
    let config = Data { text: "4".into(), label: "3".into(), ..Default::default() };
    let Some((sets, summary)) = open("arxiv-authors", "train.tsv.zst", Some("valid.tsv.zst"), &config) else { return };
    assert_eq!((summary.samples, summary.label_entries, summary.labels), (468_073, 1_107_724, 213_263));
    let valid = sets.valid.unwrap().summary().clone();
    assert_eq!((valid.samples, valid.label_entries, valid.unknown_labels), (4939, 11_689, 0));
}
