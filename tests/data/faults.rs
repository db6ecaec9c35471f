//! Each fault is refused with its place and the limit it broke.

use super::{file, npz, options};
use hotrow::config::{Data, Format, Labels, Unlabelled};
use hotrow::data::{self, Samples, read_bytes};
use hotrow::error::Error;
use std::io::Write;

fn refused(bytes: &[u8], config: &Data) -> String {
    let error = read_bytes(&[bytes], config).expect_err(&format!("{:?}", bytes.escape_ascii().to_string()));
    assert_eq!(error.exit_code(), 4);
    error.to_string()
}

#[test]
fn faults_of_ids_are_refused_with_line_and_column() {
    for (line, want) in [
        ("4 1:1", "2:1: label 4 is not below 4"),
        ("1,99999999999999999999999 1:1", "2:3: label 18446744073709551615 is not below 4"),
        ("1 0:1 6:1", "2:7: feature 6 is not below 6"),
        ("1 2:3e38 0:1 2:3e38", "2:3: the values of feature 2, which is repeated, have no finite sum"),
        ("1 2:1 3", "2:8: feature 3 is not followed by `:` and a value"),
        ("1 2 3:1", "2:4: feature 2 is not followed by `:` and a value"),
        ("1 2:", "2:5: value `` is not a number"),
        ("1 2:one", "2:5: value `one` is not a number"),
        ("1 2:1,5", "2:5: value `1,5` is not a number"),
        ("1 2:1:5", "2:5: value `1:5` is not a number"),
        ("1 2:inf", "2:5: value `inf` is not finite"),
        ("1 2:NaN", "2:5: value `NaN` is not finite"),
        ("1 2:1e39", "2:5: value `1e39` is not finite"),
        ("1 :1", "2:3: unexpected `:` where a feature should be"),
        ("1 -2:1", "2:3: a feature is negative"),
        ("-1 2:1", "2:1: a label is negative"),
        ("1,,2 2:1", "2:3: unexpected `,` where a label should be"),
        ("1, 2:1", "2:3: a label is missing"),
        ("1,", "2:3: a label is missing"),
        ("x 2:1", "2:1: unexpected `x` where a label should be"),
        ("1.5 2:1", "2:2: unexpected `.` after a label"),
        ("1 2:\u{fc}", "2:5: value `\u{fc}` is not a number"),
    ] {
        let text = format!("1 6 4\n{line}\n");
        assert_eq!(refused(text.as_bytes(), &options(Format::Xc)), format!("input:{want}"), "{line}");
    }
    let huge = options(Format::Svmlight);
    assert_eq!(refused(b"1 4294967295:1\n", &huge), "input:1:3: feature 4294967295 is not below 4294967295");
}

#[test]
fn a_header_must_be_there_and_right() {
    let xc = options(Format::Xc);
    let header = "input:1:1: the header `samples features labels` is missing";
    for text in ["0 1:1\n", "1\n", "1 2 3 4\n", "-1 2 3\n"] {
        assert_eq!(refused(text.as_bytes(), &xc), header, "{text}");
    }
    assert_eq!(refused(b"2 6 4\n1 1:1\n", &xc), "input:1:1: the header says 2 samples, the file has 1");
    assert_eq!(refused(b"1 6 4\n1 1:1\n\n", &xc), "input:1:1: the header says 1 samples, the file has 2");
    assert_eq!(refused(b"1 4294967296 4\n", &xc), "input:1:1: 4294967296 features are more than 4294967295");
}

#[test]
fn features_and_labels_beyond_the_training_sets_header_are_left_out_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let train = file(folder.path(), "a.txt", "1 6 4\n0 1:1\n");
    let valid = file(folder.path(), "b.txt", "1 8 9\n0,4,8 1:1 6:1\n");
    let valid = data::open(&train, Some(&valid), &Data::default(), folder.path()).unwrap().valid.unwrap();
    assert_eq!((valid.features(), valid.labels(), valid.labels_of(0)), (6, 4, &[0][..]));
    assert_eq!((valid.summary().unknown_labels, valid.summary().unknown_features), (2, 1));
    // What the file's own header has no place for is a fault of the file.
    let bad = file(folder.path(), "c.txt", "1 8 9\n0,9 1:1\n");
    let error = data::open(&train, Some(&bad), &Data::default(), folder.path()).unwrap_err();
    assert!(error.to_string().ends_with("c.txt:2:3: label 9 is not below 9"), "{error}");
}

#[test]
fn files_without_a_sample_are_refused() {
    for format in [Format::Svmlight, Format::Tsv, Format::Jsonl] {
        assert_eq!(refused(b"", &options(format)), "input: the file has no sample", "{format:?}");
        assert_eq!(refused(b"\n\n", &options(format)), "input: the file has no sample", "{format:?}");
    }
    assert_eq!(refused(b"0 6 4\n", &options(Format::Xc)), "input: the file has no sample");
    assert_eq!(refused(b"1 6 4\n 1:1\n", &options(Format::Xc)), "input: none of the file's 1 samples has a label");
}

#[test]
fn a_sample_without_a_label_is_refused_if_asked() {
    let refuse = |format| Data { unlabelled: Unlabelled::Refuse, ..options(format) };
    assert_eq!(refused(b"2 6 4\n1\n 1:1\n", &refuse(Format::Xc)), "input:3:1: the sample has no label");
    assert_eq!(refused(b"hot\t\n", &refuse(Format::Tsv)), "input:1:1: the sample has no label");
    let json = br#"{"text": "hot", "labels": []}"#;
    assert_eq!(refused(json, &refuse(Format::Jsonl)), "input:1:1: the sample has no label");
}

#[test]
fn faults_of_text_are_refused_with_line_and_column() {
    let tsv = options(Format::Tsv);
    for (line, want) in [
        (&b"hot"[..], "2:4: column 2 is missing: the line has 1"),
        (b"hot\t3,,1", "2:7: a label is empty"),
        (b"h\xffot\t3", "2:2: the text is not UTF-8"),
    ] {
        let text = [b"x\t0\n", line, b"\n"].concat();
        assert_eq!(refused(&text, &tsv), format!("input:{want}"));
    }
    let ids = Data { labels: Labels::Ids, ..options(Format::Tsv) };
    for (line, want) in [
        ("hot\t3,-1", "2:7: label -1 is negative"),
        ("hot\t3,a", "2:7: label `a` is not a number"),
        ("hot\t4294967295", "2:5: label 4294967295 is not below 4294967295"),
    ] {
        assert_eq!(refused(format!("x\t0\n{line}\n").as_bytes(), &ids), format!("input:{want}"));
    }
    let json = options(Format::Jsonl);
    for (line, want) in [
        (r#"{"text": "hot", "labels": [1}"#, "2:29: expected `,` or `]`"),
        (r#"{"labels": [1]}"#, "2:1: field `text` is missing"),
        (r#"{"text": 5, "labels": [1]}"#, "2:1: field `text` is no text"),
        (r#"{"text": "hot", "labels": [1.5]}"#, "2:1: field `labels` holds 1.5, which is no label"),
        (r#"{"text": "hot", "labels": {"a": 1}}"#, "2:1: field `labels` holds {\"a\":1}, which is no label"),
        (r#"{"text": "hot", "labels": [-1]}"#, "2:1: label -1 is negative"),
        (r#"{"text": "hot"} x"#, "2:17: trailing characters"),
        (r#"[1]"#, "2:1: invalid type: sequence, expected a JSON object"),
    ] {
        let text = format!("{{\"text\": \"x\", \"labels\": 0}}\n{line}\n");
        assert_eq!(refused(text.as_bytes(), &json), format!("input:{want}"), "{line}");
    }
}

#[test]
fn columns_of_text_must_be_named() {
    for (config, want) in [
        (Data { text: String::new(), ..options(Format::Jsonl) }, "data.text: is not set"),
        (Data { label: String::new(), ..options(Format::Tsv) }, "data.label: is not set"),
        (Data { text: "0".into(), ..options(Format::Tsv) }, "data.text: `0` is not a column number"),
        (Data { label: "title".into(), ..options(Format::Tsv) }, "data.label: `title` is not a column number"),
    ] {
        let error = read_bytes(&[b"x\t1\n"], &config).unwrap_err();
        assert!(matches!(error, Error::Config { .. }));
        assert!(error.to_string().starts_with(want), "{error}");
    }
}

#[test]
fn packed_files_that_are_cut_off_are_refused_after_the_faults_before_the_cut() {
    let good: String = (0..2000).map(|at| format!("{} {}:{}\n", at % 7, at * 37 % 911, at)).collect();
    let bad = good.replacen("\n4 ", "\nx ", 1);
    for (text, want) in [(&good, "cannot be read further"), (&bad, "5:1: unexpected `x`")] {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        for mut packed in [gzip.finish().unwrap(), zstd::encode_all(text.as_bytes(), 1).unwrap()] {
            packed.truncate(packed.len() - 5);
            let got = refused(&packed, &options(Format::Svmlight));
            // zstd unpacks whole blocks: of this small file it gives nothing.
            assert!(got.contains(want) || got.starts_with("input:1: cannot be read further"), "{got}");
        }
    }
}

#[test]
fn arrays_that_do_not_fit_are_refused() {
    let (features, labels) = (include_bytes!("features.npz"), include_bytes!("labels.npz"));
    let pair = |first: &[u8], second: &[u8]| {
        let npz = Data { format: Format::Npz, ..Data::default() };
        read_bytes(&[first, second], &npz).unwrap_err().to_string()
    };
    assert_eq!(pair(include_bytes!("columns.npz"), labels), "input: is a `csc` array, not `csr`");
    assert_eq!(pair(features, b"PK"), "input: invalid Zip archive: Could not find EOCD");
    let cut = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
    assert!(pair(&cut(features), labels).contains("Zip"));
    let short = include_bytes!("features-short.npz");
    assert_eq!(pair(short, labels), "input: 4 rows of labels for 3 of features");
    let infinite = include_bytes!("features-infinite.npz");
    assert_eq!(pair(infinite, labels), "input: row 0: the value of index 3 is not finite");
    let beyond = include_bytes!("features-beyond.npz");
    assert_eq!(pair(beyond, labels), "input: row 0: index 3 is not below 3");
}

#[test]
fn arrays_whose_headers_promise_too_much_are_refused() {
    let header =
        |kind: &str, shape: &str| format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let shape: Vec<u8> = [2_i64, 3].into_iter().flat_map(i64::to_le_bytes).collect();
    let refused = |indptr: &str, indices: &str, kind: &str| {
        let numbers = [0; 64];
        let file = npz(&[
            ("format", &header("|S3", "()"), b"csr"),
            ("shape", &header("<i8", "(2,)"), &shape),
            ("indptr", &header("<i4", indptr), &numbers),
            ("indices", &header("<i4", indices), &numbers),
            ("data", &header(kind, indices), &numbers),
        ]);
        let config = Data { format: Format::Npz, unlabelled: Unlabelled::Skip, ..Data::default() };
        read_bytes(&[&file, &file], &config).unwrap_err().to_string()
    };
    let nested = format!("{}1{}", "(".repeat(400), ")".repeat(400));
    for (indptr, indices, kind, want) in [
        ("(3,)", "(0,)", "<f4", "none of the file's 2 samples has a label"),
        ("(3,)", "(16,)", "<f4", "the rows end at 0, the entries at 16"),
        ("(4,)", "(0,)", "<f4", "indptr has 4 numbers, not one more than 2 rows"),
        ("(3,)", "(99999999999999999,)", "<f4", "the rows end at 0, the entries at 99999999999999999"),
        ("(3,)", "(9999999999,9999999999)", "<f4", "indices: is no ordinary array"),
        (&nested, "(0,)", "<f4", "indptr: is no ordinary array"),
        ("(3,)", "(0,)", "<c8", "numbers of type '<c8' are not supported"),
    ] {
        assert_eq!(refused(indptr, indices, kind), format!("input: {want}"));
    }
}

#[test]
fn unreadable_paths_and_lines_without_a_format_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &str| data::open(path, None, &Data::default(), folder.path()).unwrap_err();
    assert_eq!(open("no/such/file").exit_code(), 1);
    assert!(open(folder.path().to_str().unwrap()).to_string().ends_with("is a folder, not a file"));
    let path = file(folder.path(), "strange.bin", "something else\n");
    assert!(open(&path).to_string().ends_with(":1: this line does not show the format; set data.format"));
}
