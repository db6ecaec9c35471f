//! Caches are used while they belong to their file and are whole, and made again otherwise.

use super::{all, file, options};
use hotrow::config::{Data, Format};
use hotrow::data::{self, Samples, Vocabulary, read_cache};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The caches in `folder`.
fn caches(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_cache_is_used_again_and_leaves_no_other_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, cache) = (file(folder.path(), "a.txt", "2 6 4\n0 1:1\n1,3 0:2 2:5\n"), folder.path().join("deep/cache"));
    let first = data::open(&path, None, &Data::default(), &cache).unwrap().train;
    let [made] = &caches(&cache)[..] else { panic!("{:?}", caches(&cache)) };
    let written = fs::metadata(made).unwrap().modified().unwrap();
    let weighted = Data { tf_idf: true.into(), normalize: true, ..Data::default() };
    for config in [Data::default(), weighted] {
        let again = data::open(&path, None, &config, &cache).unwrap().train;
        assert_eq!(again.summary(), first.summary());
        assert_eq!((0..2).map(|at| again.labels_of(at).len()).sum::<usize>(), 3);
    }
    assert_eq!((caches(&cache).len(), fs::metadata(made).unwrap().modified().unwrap()), (1, written));
}

#[test]
fn a_cache_follows_its_file_and_its_options() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let path = file(folder.path(), "a.txt", "1 6 4\n0 1:1\n");
    let open = || data::open(&path, None, &Data::default(), &cache).unwrap().train;
    let old = open();
    // As long as before: the time of change tells.
    file(folder.path(), "a.txt", "1 6 4\n2 3:4\n");
    File::open(&path).unwrap().set_modified(SystemTime::now() + Duration::from_secs(5)).unwrap();
    assert_eq!(all(&open()), [(vec![2], vec![(3, 4.0)])]);
    assert_eq!(all(&old), [(vec![0], vec![(1, 1.0)])], "what is open stays as it was");
    assert_eq!(caches(&cache).len(), 1);

    let text = file(folder.path(), "b.tsv", "hot rows\t1\n");
    for word_ngrams in [1, 2] {
        let config = Data { word_ngrams, ..options(Format::Tsv) };
        let train = data::open(&text, None, &config, &cache).unwrap().train;
        assert_eq!(train.summary().feature_entries, if word_ngrams == 1 { 2 } else { 3 });
    }
}

#[test]
fn a_cache_with_any_byte_changed_or_missing_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let path = file(folder.path(), "a.tsv", "hot rows\tb,a\ncold rows\tc\n");
    let open = || data::open(&path, None, &options(Format::Tsv), &cache).unwrap().train;
    let want = all(&open());
    let made = caches(&cache).remove(0);
    let whole = fs::read(&made).unwrap();
    for at in (0..whole.len()).step_by(7) {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        for bytes in [&changed[..], &whole[..at], &[&whole[..], &[0]].concat()] {
            // Renamed, never written in place: what is mapped does not change.
            fs::write(made.with_extension("new"), bytes).unwrap();
            fs::rename(made.with_extension("new"), &made).unwrap();
            assert_eq!(all(&open()), want, "byte {at}");
            assert_eq!(fs::read(&made).unwrap(), whole, "byte {at}");
        }
    }
}

#[test]
fn equal_samples_have_equal_digests_and_others_have_others() {
    let folder = tempfile::tempdir().unwrap();
    let digest = |name: &str, content: &str| {
        let path = file(folder.path(), name, content);
        data::open(&path, None, &Data::default(), folder.path()).unwrap().train.digest()
    };
    let one = digest("a.txt", "2 6 4\n0 1:1\n1,3 0:2 2:5\n");
    assert_eq!(digest("b.svm", "0 1:1\r\n 4:1\n3,1 2:5 0:2e0\n"), one);
    assert_ne!(digest("c.txt", "2 6 4\n0 1:1\n1,3 0:2 2:6\n"), one);
    assert_ne!(digest("d.txt", "2 6 4\n1,3 0:2 2:5\n0 1:1\n"), one);
}

#[test]
fn a_cache_of_a_faulty_file_is_not_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let path = file(folder.path(), "a.txt", "2 6 4\n0 1:1\n0 9:1\n");
    let error = data::open(&path, None, &Data::default(), &cache).unwrap_err();
    assert_eq!(error.to_string(), format!("{path}:3:3: feature 9 is not below 6"));
    assert!(!cache.exists(), "the folder was made for it");
}

#[test]
fn the_bytes_of_a_cache_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let path = file(folder.path(), "a.txt", "2 6 4\n0 1:1\n1,3 0:2 2:5\n");
    let train = data::open(&path, None, &Data::default(), &cache).unwrap().train;
    let bytes = fs::read(&caches(&cache)[0]).unwrap();
    assert_eq!(super::samples(&read_cache(&bytes).unwrap()), all(&train));
    for end in 0..bytes.len() {
        assert!(read_cache(&bytes[..end]).is_err(), "{end} bytes");
    }
}

#[test]
fn a_saved_vocabulary_reads_files_as_the_first_did() {
    let folder = tempfile::tempdir().unwrap();
    let train = file(folder.path(), "a.tsv", "hot rows\tb,a\ncold rows\tc,b\n");
    let valid = file(folder.path(), "b.tsv", "cold and hot\ta\n");
    let config = Data { tf_idf: true.into(), normalize: true, ..options(Format::Tsv) };
    let sets = data::open(&train, Some(&valid), &config, folder.path()).unwrap();
    let saved = folder.path().join("vocabulary.json");
    sets.vocabulary.save(&saved).unwrap();
    let loaded = Vocabulary::load(&saved).unwrap();
    assert_eq!((loaded.names(), loaded.options()), (sets.vocabulary.names(), &config));
    assert_eq!((loaded.features(), loaded.labels()), (1 << 10, 3));
    let again = loaded.open(&valid, &folder.path().join("elsewhere")).unwrap();
    assert_eq!(all(&again), all(&sets.valid.unwrap()));

    let mut batch = data::Batch::new(loaded.features());
    loaded.push_line("cold and hot\ta\n", &mut batch).unwrap();
    loaded.push_line("cold and hot", &mut batch).unwrap();
    loaded.push_text("Cold, and hot!", &mut batch).unwrap();
    assert_eq!(batch.labels.row(0), again.labels_of(0));
    assert!(batch.labels.row(1).is_empty());
    let mut want = data::Batch::new(again.features());
    again.read(0, &mut want);
    for sample in super::samples(&batch) {
        assert_eq!(sample.1, super::samples(&want)[0].1);
    }
}

#[test]
fn a_vocabulary_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "a.tsv", "hot rows\tb,a\n");
    let saved = folder.path().join("vocabulary.json");
    data::open(&path, None, &options(Format::Tsv), folder.path()).unwrap().vocabulary.save(&saved).unwrap();
    let good = fs::read_to_string(&saved).unwrap();
    for (change, want) in [
        (good.replace("\"version\":2", "\"version\":3"), "vocabulary version 3 is not 1 or 2"),
        (good.replace("\"labels\":2", "\"labels\":3"), "2 label names, not 3"),
        (good.replace("\"frequencies\":null", "\"frequencies\":[1]"), "1 feature frequencies, not 1024"),
        (good.replace("\"features\":1024", "\"features\":2000"), "2000 features of 1024 buckets"),
        (good.replace("\"labels\":2", "\"labels\":4294967296"), "are too many"),
        (good[..good.len() / 2].into(), "EOF"),
        (good.replace("\"samples\"", "\"sample\""), "unknown field `sample`"),
    ] {
        fs::write(&saved, &change).unwrap();
        let error = Vocabulary::load(&saved).unwrap_err();
        assert_eq!(error.exit_code(), 4);
        assert!(error.to_string().contains(want), "{error}");
    }
}
