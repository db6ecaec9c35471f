//! What a file is: its labels, its packing, its format, and what it only looks like.

use super::{all, file, npz, options, samples};
use hotrow::config::{Data, Format, Labels, Words};
use hotrow::data::{self, Samples, Vocabulary, read_bytes};
use std::fs;

fn names(text: &str, config: &Data) -> Option<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "a", text);
    data::open(&path, None, config, folder.path()).unwrap().vocabulary.names().map(<[String]>::to_vec)
}

#[test]
fn strings_of_digits_are_ids_only_if_they_are_canonical_and_dense() {
    let json = options(Format::Jsonl);
    let lines = |labels: &[&str]| {
        labels.iter().map(|label| format!("{{\"text\": \"a\", \"labels\": [{label}]}}\n")).collect::<String>()
    };
    let strings = |labels: &[&str]| Some(labels.iter().map(|&label| label.to_owned()).collect::<Vec<_>>());
    assert_eq!(names(&lines(&["\"0101\"", "\"101\""]), &json), strings(&["0101", "101"]));
    assert_eq!(names(&lines(&["\"43211503\"", "\"43211503\"", "\"7\""]), &json), strings(&["43211503", "7"]));
    assert_eq!(names(&lines(&["\"-1\"", "\"1\""]), &json), strings(&["-1", "1"]));
    assert_eq!(names(&lines(&["\"1023\"", "\"0\""]), &json), None, "few rows cost nothing");
    assert_eq!(names(&lines(&["\"1024\"", "\"0\""]), &json), strings(&["0", "1024"]));
    assert_eq!(names(&lines(&["100000", "3"]), &json), None, "numbers are ids");
    let tsv = options(Format::Tsv);
    let sparse =
        |largest: u32| (0..500).map(|at| format!("a\t{at}\n")).collect::<String>() + &format!("a\t{largest}\n");
    // 501 labels: 4 x 501.
    assert_eq!(names(&sparse(2003), &tsv), None);
    assert_eq!(names(&sparse(2004), &tsv).unwrap().len(), 501);
}

#[test]
fn a_key_says_whether_labels_are_ids_or_names() {
    let ids = Data { labels: Labels::Ids, ..options(Format::Tsv) };
    let always = Data { labels: Labels::Names, ..options(Format::Tsv) };
    assert_eq!(names("a\t5000\nb\t007\n", &ids), None);
    assert_eq!(names("a\t1\nb\t1\nc\t0\n", &always).unwrap(), ["1", "0"]);
    let error = read_bytes(&[b"0 1:1\n"], &Data { labels: Labels::Names, ..Data::default() }).unwrap_err();
    assert!(error.to_string().starts_with("data.labels: "), "{error}");
}

#[test]
fn another_writing_of_an_id_is_another_label_where_strings_are_ids() {
    let folder = tempfile::tempdir().unwrap();
    let (train, valid) = (file(folder.path(), "a.tsv", "a\t0\nb\t7\n"), file(folder.path(), "b.tsv", "a\t007,7\n"));
    let valid = data::open(&train, Some(&valid), &options(Format::Tsv), folder.path()).unwrap().valid.unwrap();
    assert_eq!((valid.labels_of(0), valid.summary().unknown_labels), (&[7][..], 1));
}

#[test]
fn a_row_of_column_names_is_hinted_at_and_skipped_if_told() {
    let text = "title\tlabels\nhot rows\t1\ncold rows\t0\nrows\t1\n";
    let (_, summary) = read_bytes(&[text.as_bytes()], &options(Format::Tsv)).unwrap();
    assert!(summary.left_out_line().unwrap().contains("data.header=true"), "{summary:?}");
    let config = Data { header: true, ..options(Format::Tsv) };
    let (batch, summary) = read_bytes(&[text.as_bytes()], &config).unwrap();
    assert_eq!((samples(&batch).len(), summary.labels, summary.notes.len()), (3, 2, 0));
    let named = text.replace("\t1", "\tfig");
    assert!(read_bytes(&[named.as_bytes()], &options(Format::Tsv)).unwrap().1.notes.is_empty());
}

#[test]
fn set_columns_mean_text_and_later_files_are_read_as_the_training_file() {
    let folder = tempfile::tempdir().unwrap();
    let config = Data { format: Format::Auto, ..options(Format::Tsv) };
    let train = file(folder.path(), "a.txt", "Rows: hot ones\tfig\n");
    let valid = file(folder.path(), "b.txt", "Rows: cold ones\tfig\n");
    let sets = data::open(&train, Some(&valid), &config, folder.path()).unwrap();
    assert_eq!((sets.train.len(), sets.valid.unwrap().labels_of(0)), (1, &[0][..]));
}

#[test]
fn a_header_in_a_file_called_svm_is_a_header() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "a.svm", "1 6 4\n0 1:1\n");
    let train = data::open(&path, None, &Data::default(), folder.path()).unwrap().train;
    assert_eq!((train.len(), train.features(), train.labels()), (1, 6, 4));
    let error = read_bytes(&[b"1 6 4\n0 1:1\n"], &options(Format::Svmlight)).unwrap_err();
    assert!(error.to_string().contains("header of an XC file"), "{error}");
}

#[test]
fn pairs_of_newer_sets_of_the_repository_are_read() {
    let (features, labels) = ("3 6\n5:0.5 0:2\n\n2:-1e-3\n", "3 4\n3:1 1:1.0\n0:1\n2:0 0:1\n");
    let (batch, summary) = read_bytes(&[features.as_bytes(), labels.as_bytes()], &Data::default()).unwrap();
    let want = [(vec![1, 3], vec![(0, 2.0), (5, 0.5)]), (vec![0], vec![]), (vec![0], vec![(2, -1e-3)])];
    assert_eq!(samples(&batch), want);
    assert_eq!((summary.features, summary.labels, summary.empty), (6, 4, 1));
    let refused = |features: &str, labels: &str| {
        read_bytes(&[features.as_bytes(), labels.as_bytes()], &Data::default()).unwrap_err().to_string()
    };
    for (features, labels, want) in [
        (features, "2 4\n1:1\n1:1\n", "input:1:1: 2 rows of labels for 3 of features"),
        (features, "3 4\n3:1\n", "input:1:1: the header says 3 samples, the file has 1"),
        (features, "3 4\n3:1\n1:1\n1:1\n1:1\n", "input:1:1: the header says 3 samples, the file has more"),
        (features, "3 4\n3:1\n4:1\n1:1\n", "input:3:1: label 4 is not below 4"),
        (features, "3 4\n3:1\n2:-1\n1:1\n", "input:3:1: label 2 has the value -1, below 0"),
        ("1 6\n6:1\n", "1 4\n1:1\n", "input:2:1: feature 6 is not below 6"),
    ] {
        assert_eq!(refused(features, labels), want);
    }
    let alone = read_bytes(&[features.as_bytes()], &Data::default()).unwrap_err().to_string();
    assert!(alone.ends_with("the file of labels is missing: trn_X_Xf.txt,trn_X_Y.txt"), "{alone}");
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("a,b");
    fs::create_dir(&inner).unwrap();
    let pair = [file(&inner, "trn_X_Xf.txt", features), file(&inner, "trn_X_Y.txt", labels)];
    let sets = data::open(&pair.join(","), Some(&pair[0]), &Data::default(), folder.path()).unwrap();
    assert_eq!((all(&sets.train), sets.valid.unwrap().labelled()), (want.to_vec(), 0));
}

#[test]
fn what_a_file_is_instead_is_named() {
    let dense = npz(&[("x", "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }\n", &[0; 4])]);
    for (bytes, want) in [
        (&b"\x93NUMPY\x01\0"[..], ".npy file"),
        (&dense, "dense arrays (x.npy)"),
        (b"\xfd7zXZ\0\0", "packed with xz"),
        (b"BZh91AY", "packed with bzip2"),
        (b"\xff\xfeh\0o\0t\0\n\0", "UTF-16"),
        (b"__label__fig hot rows\n", "fastText"),
    ] {
        for config in [Data::default(), options(Format::Tsv), options(Format::Svmlight)] {
            let files = if config.format == Format::Auto && want.starts_with("dense") {
                vec![bytes, bytes]
            } else {
                vec![bytes]
            };
            let error = read_bytes(&files, &config).unwrap_err();
            let expected =
                if config.format != Format::Auto && want.starts_with("dense") { ".zip archive" } else { want };
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(error.exit_code(), 4);
        }
    }
}

#[test]
fn pipes_are_refused_where_a_file_is_read_more_than_once() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("p");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let error = data::open(&pipe, None, &Data::default(), folder.path()).unwrap_err();
    assert!(error.to_string().contains("is a pipe, which cannot be read a second time"), "{error}");
}

#[test]
fn paths_need_not_be_utf_8() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("a.svm"), "0 1:1\n").unwrap();
    let sets = data::open(&inner.join("a.svm"), None, &Data::default(), folder.path()).unwrap();
    assert_eq!(sets.train.len(), 1);
}

#[test]
fn a_vocabulary_of_the_version_before_goes_on_with_its_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "a.tsv", "हिन्दी text\tfig\n");
    let saved = folder.path().join("vocabulary.json");
    data::open(&path, None, &options(Format::Tsv), folder.path()).unwrap().vocabulary.save(&saved).unwrap();
    let features = |vocabulary: &Vocabulary| {
        let mut batch = data::Batch::new(vocabulary.features());
        vocabulary.push_text("हिन्दी", &mut batch).unwrap();
        batch.features.nnz()
    };
    assert_eq!(features(&Vocabulary::load(&saved).unwrap()), 1);
    let text = fs::read_to_string(&saved).unwrap();
    let start = text.find(",\"labels\":\"auto\"").unwrap();
    let end = text[start..].find('}').unwrap() + start;
    let old = format!("{}{}", &text[..start], &text[end..]).replace("\"version\":2", "\"version\":1");
    fs::write(&saved, old).unwrap();
    let old = Vocabulary::load(&saved).unwrap();
    assert_eq!((features(&old), old.options().words, old.options().labels), (2, Words::Runs, Labels::Names));
}
