//! Each format means what its definition says.

use super::{Sample, all, file, options, samples};
use hotrow::config::{Data, Format, Unlabelled};
use hotrow::data::{self, Batch, Samples, read_bytes};
use std::io::Write;

fn read(text: &str, format: Format) -> (Vec<Sample>, data::Summary) {
    let (batch, summary) = read_bytes(&[text.as_bytes()], &options(format)).unwrap();
    (samples(&batch), summary)
}

const TWO: &str = "2 6 4\n3,1 5:0.5 0:2\n0 2:-1e-3\n";

fn two() -> Vec<Sample> {
    vec![(vec![1, 3], vec![(0, 2.0), (5, 0.5)]), (vec![0], vec![(2, -1e-3)])]
}

#[test]
fn xc_text_is_read_and_sorted() {
    let (got, summary) = read(TWO, Format::Xc);
    assert_eq!(got, two());
    assert_eq!((summary.samples, summary.features, summary.labels), (2, 6, 4));
    assert_eq!((summary.feature_entries, summary.label_entries), (3, 3));
}

#[test]
fn line_ends_blanks_a_missing_last_newline_and_a_byte_order_mark_change_nothing() {
    for text in [
        TWO.replace('\n', "\r\n"),
        TWO.trim_end().to_string(),
        TWO.replace('\n', "  \n"),
        TWO.replace(' ', "\t"),
        format!("\u{feff}{TWO}"),
    ] {
        assert_eq!(read(&text, Format::Xc).0, two(), "{text:?}");
    }
}

#[test]
fn packed_files_are_told_by_their_first_bytes() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(TWO.as_bytes()).unwrap();
    // Two members, as `cat a.gz b.gz` makes.
    let mut half = flate2::write::GzEncoder::new(gzip.finish().unwrap(), flate2::Compression::fast());
    half.write_all(b"").unwrap();
    let zstd = zstd::encode_all(TWO.as_bytes(), 1).unwrap();
    for packed in [half.finish().unwrap(), zstd] {
        let (batch, _) = read_bytes(&[&packed], &Data::default()).unwrap();
        assert_eq!(samples(&batch), two());
    }
}

#[test]
fn samples_without_labels_are_skipped_and_counted_and_those_without_features_kept() {
    let (got, summary) = read("4 6 4\n 1:1\n2\n1:1\n3 \n", Format::Xc);
    assert_eq!(got, [(vec![2], vec![]), (vec![3], vec![])]);
    assert_eq!((summary.samples, summary.skipped, summary.empty), (2, 2, 2));
}

#[test]
fn a_label_named_twice_is_one_label_and_counted() {
    let (got, summary) = read("1 6 4\n2,0,2,2 1:1\n", Format::Xc);
    assert_eq!(got, [(vec![0, 2], vec![(1, 1.0)])]);
    assert_eq!((summary.duplicate_labels, summary.label_entries), (2, 2));
}

#[test]
fn svmlight_has_dimensions_from_the_largest_ids_and_comments() {
    let (got, summary) = read("# made by hand\n3,1 5:0.5 0:2\n\n0 2:-1e-3 # second\n", Format::Svmlight);
    assert_eq!(got, two());
    assert_eq!((summary.samples, summary.features, summary.labels), (2, 6, 4));
}

#[test]
fn arrays_of_scipy_are_read_in_each_type_and_compression() {
    let features = include_bytes!("features.npz").as_slice();
    let labels = include_bytes!("labels.npz").as_slice();
    let want = [(vec![2], vec![(0, 1.0), (3, 2.0)]), (vec![0], vec![(0, 4.0), (1, 1.0), (4, 3.0)]), (vec![6], vec![])];
    for pair in [
        [features, labels],
        [include_bytes!("features-stored.npz"), labels],
        [features, include_bytes!("labels-int64.npz")],
        [features, include_bytes!("labels-bool.npz")],
    ] {
        let (batch, summary) = read_bytes(&pair, &Data::default()).unwrap();
        assert_eq!(samples(&batch), want);
        assert_eq!((summary.features, summary.labels, summary.skipped, summary.empty), (6, 7, 1, 1));
    }
}

#[test]
fn arrays_of_many_rows_keep_their_order() {
    let numbers = |numbers: &mut dyn Iterator<Item = u32>| numbers.flat_map(u32::to_le_bytes).collect::<Vec<_>>();
    let header =
        |kind: &str, shape: &str| format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let file = super::npz(&[
        ("format", &header("|S3", "()"), b"csr"),
        ("shape", &header("<i4", "(2,)"), &numbers(&mut [9000, 7].into_iter())),
        ("indptr", &header("<i4", "(9001,)"), &numbers(&mut (0..9001))),
        ("indices", &header("<u4", "(9000,)"), &numbers(&mut (0..9000).map(|row| row % 7))),
        ("data", &header("<u4", "(9000,)"), &numbers(&mut (1..9001))),
    ]);
    let (batch, summary) = read_bytes(&[&file, &file], &Data::default()).unwrap();
    assert_eq!((summary.samples, summary.features, summary.labels), (9000, 7, 7));
    let want = (0..9000).map(|row| (vec![row % 7], vec![(row % 7, (row + 1) as f32)])).collect::<Vec<_>>();
    assert_eq!(samples(&batch), want);
}

#[test]
fn tab_separated_text_and_json_lines_of_the_same_content_are_the_same() {
    let tsv = "Hot rows\t2,0\tx\nCold rows, cold\t1\ty\n\n";
    let json = r#"{"id": {"a": [1]}, "text": "Hot rows", "labels": [2, 0]}
{"labels": 1, "text": "Cold rows, cold"}
"#;
    let strings = json.replace("[2, 0]", "\"2, 0\"").replace("1,", "\"1\",").replace("Hot", "\\u0048ot");
    let want = read(tsv, Format::Tsv);
    assert_eq!(want.1.samples, 2);
    assert_eq!((want.1.features, want.1.labels), (1 << 10, 3));
    assert_eq!(read(json, Format::Jsonl), want);
    assert_eq!(read(&strings, Format::Jsonl), want);
    assert_eq!(want.0[1].1.iter().map(|feature| feature.1).sum::<f32>(), 3.0);
}

#[test]
fn names_of_labels_are_numbered_by_frequency_and_then_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let train = file(folder.path(), "a.tsv", "x\tpear,fig\ny\tfig\nz\tapple,007\n");
    let valid = file(folder.path(), "b.tsv", "x\tfig,plum\ny\t\nz\tplum\n");
    let sets = data::open(&train, Some(&valid), &options(Format::Tsv), folder.path()).unwrap();
    assert_eq!(sets.vocabulary.names().unwrap(), ["fig", "007", "apple", "pear"]);
    assert_eq!(sets.vocabulary.name(3), "pear");
    let valid = sets.valid.unwrap();
    let labels: Vec<_> = (0..3).map(|sample| valid.labels_of(sample)).collect();
    assert_eq!(labels, [&[0][..], &[], &[]]);
    let summary = valid.summary();
    assert_eq!((summary.samples, summary.unknown_labels, summary.unlabelled, summary.labels), (3, 2, 1, 4));
}

#[test]
fn ids_beyond_a_training_set_without_a_header_are_left_out_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let train = file(folder.path(), "a.svm", "0,2 3:1\n");
    let valid = file(folder.path(), "b.svm", "2,9 1:1 4:1 7:2\n 1:1\n");
    let sets = data::open(&train, Some(&valid), &Data::default(), folder.path()).unwrap();
    let valid = sets.valid.unwrap();
    assert_eq!(all(&valid), [(vec![2], vec![(1, 1.0)]), (vec![], vec![(1, 1.0)])]);
    let summary = valid.summary();
    assert_eq!((summary.unknown_labels, summary.unknown_features, summary.unlabelled), (1, 2, 1));
    assert_eq!((valid.features(), valid.labels()), (4, 3));
}

#[test]
fn the_format_is_told_by_the_name_or_else_by_the_first_line() {
    let folder = tempfile::tempdir().unwrap();
    let text = "hot\t1\n";
    let json = "{\"text\": \"hot\", \"labels\": 1}\n";
    for (name, content) in [
        ("a.txt", TWO),
        ("b.txt", "0 1:1\n"),
        ("c.libsvm", "0\n"),
        ("d.tsv.gz", text),
        ("e.jsonl.zst", json),
        ("f", json),
        ("g", text),
    ] {
        let config = match name.contains("tsv") || name == "g" {
            true => options(Format::Tsv),
            false => options(Format::Jsonl),
        };
        let config = Data { format: Format::Auto, ..config };
        let path = file(folder.path(), name, content);
        let sets = data::open(&path, None, &config, folder.path()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!sets.train.is_empty());
    }
    let pair = ["features", "labels"].map(|name| format!("{}/tests/data/{name}.npz", env!("CARGO_MANIFEST_DIR")));
    let sets = data::open(&pair.join(","), Some(&pair[0]), &Data::default(), folder.path()).unwrap();
    assert_eq!((sets.train.len(), sets.valid.unwrap().len()), (3, 4));
}

#[test]
fn a_line_is_read_as_the_training_file_was() {
    let folder = tempfile::tempdir().unwrap();
    let refused = Data { unlabelled: Unlabelled::Refuse, ..Data::default() };
    for (name, content, line) in [("a.txt", TWO, "3,1 5:0.5 0:2"), ("a.svm", "3,1 5:0.5 0:2\n", "5:0.5 0:2\r\n")] {
        let path = file(folder.path(), name, content);
        let vocabulary = data::open(&path, None, &refused, folder.path()).unwrap().vocabulary;
        let mut batch = Batch::new(vocabulary.features());
        vocabulary.push_line(line, &mut batch).unwrap();
        assert_eq!(samples(&batch)[0].1, two()[0].1);
        assert!(vocabulary.push_line("5:0.5 5", &mut batch).is_err());
        assert!(vocabulary.push_text("hot", &mut batch).is_err());
        assert_eq!(batch.len(), 1);
    }
}
